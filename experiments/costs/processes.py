"""What processes that share a pool cost each other."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection

import numpy as np

from experiments.costs.pools import Costs, noisy_scores, play, pool
from metta.cogworks.curriculum import Curriculum


def process_scaling(tasks: int, processes: int) -> Costs:
    """Episodes a second of ``processes`` processes on one pool, and of two of them."""
    context = multiprocessing.get_context("spawn")
    seconds, rates = 0.5, []
    with pool(tasks) as shared:
        play(shared, noisy_scores(20 * tasks))
        ours, workers = [], []
        for _ in range(processes):
            here, there = context.Pipe()
            worker = context.Process(target=work, args=(there, shared), daemon=True)
            worker.start()
            there.close()
            ours.append(here)
            workers.append(worker)
        for end in ours:
            end.recv()  # ready
        for _ in range(7):
            turn = []
            for count in (2, processes):
                begin = time.monotonic() + 0.05
                for end in ours[:count]:
                    end.send((begin, begin + seconds))
                turn.append(sum(end.recv() for end in ours[:count]) / seconds)
            rates.append(turn)
        for end, worker in zip(ours, workers, strict=True):
            end.send(None)
            worker.join()
    two, many = np.median(rates, axis=0)
    ratio = float(np.median([turn[1] / turn[0] for turn in rates]))
    return Costs(
        {"eight_vs_two_processes": ratio},
        {
            "two_processes_episodes_per_second": float(two),
            "eight_processes_episodes_per_second": float(many),
        },
    )


def work(end: Connection, shared: Curriculum) -> None:
    """A worker process: episodes from one time to another, as often as it is told; replies how many
    it did."""
    scores = noisy_scores(64, os.getpid())
    play(shared, scores)
    end.send(0)
    while (period := end.recv()) is not None:
        begin, stop = period
        done = 0
        time.sleep(max(0.0, begin - time.monotonic()))
        while time.monotonic() < stop:
            play(shared, scores)
            done += len(scores)
        end.send(done)
