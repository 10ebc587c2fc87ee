"""What an episode of no length costs: ``get_task`` and ``update_task_performance``."""

from __future__ import annotations

import gc
import time

import numpy as np

from experiments.costs.pools import LARGE, Costs, noisy_scores, play, pool, pool_config, timed
from metta.cogworks.curriculum import Curriculum, TableBackend

SMALLEST = 16


def episode_cost(tasks: int) -> Costs:
    """An episode against numpy's ``choice``, and on pools of other sizes.

    Medians say what an episode costs that is nothing special; means include refreshes and
    evictions.
    """
    probability = np.random.default_rng(1).dirichlet(np.ones(tasks))
    rng = np.random.default_rng(2)
    turns, tails = [], []
    with pool(tasks) as small, pool(LARGE * tasks) as large, pool(SMALLEST) as smallest:
        play(small, noisy_scores(20 * tasks))  # every task known, evictions under way
        play(smallest, noisy_scores(20 * SMALLEST))
        play(large, noisy_scores(2000))
        for turn in range(21):
            scores = noisy_scores(2000, turn)
            choice = timed(lambda: rng.choice(tasks, p=probability), 500)
            at_small, at_large = play(small, scores), play(large, scores)
            at_smallest = play(smallest, scores)
            turns.append((_summary(at_small), _summary(at_large), _summary(choice)))
            tails.append([_tail(each) for each in (at_smallest, at_small, at_large)])
    one, thousand, yardstick = (np.array(column) for column in zip(*turns, strict=True))
    against, ratio = one / yardstick, thousand / one
    times = {
        "episode_1k": one,
        "episode_1m": thousand,
        "numpy_choice": yardstick,
    }
    return Costs(
        {
            "episode_vs_numpy_choice_1k": float(np.median(against[:, 0])),
            "mean_episode_vs_numpy_choice_1k": float(np.median(against[:, 1])),
            "episode_1m_vs_1k": float(np.median(ratio[:, 0])),
            "mean_episode_1m_vs_1k": float(np.median(ratio[:, 1])),
            "episode_p99_vs_p50": float(np.median(tails, axis=0).max()),
        },
        {
            f"{name}_{kind}_us": float(np.median(values[:, i])) / 1e3
            for name, values in times.items()
            for i, kind in enumerate(("median", "mean"))
        }
        | {
            f"p99_vs_p50_{size}": float(tail)
            for size, tail in zip(("16", "1k", "1m"), np.median(tails, axis=0), strict=True)
        },
    )


def _summary(taken: np.ndarray) -> tuple[float, float]:
    return float(np.median(taken)), float(np.mean(taken))


def _tail(taken: np.ndarray) -> float:
    return float(np.percentile(taken, 99) / np.median(taken))


def first_draw_cost(tasks: int) -> Costs:
    """An episode of a task that is drawn for the first time, so that its label and bucket values
    are looked up, against one of a task that is known. In a pool ten times as large, where both
    are frequent."""
    first, other = [], []
    with pool(10 * tasks) as opened:
        play(opened, noisy_scores(5 * tasks))
        for turn in range(15):
            for score in noisy_scores(tasks, turn):
                begin = time.perf_counter_ns()
                task = opened.get_task()
                opened.update_task_performance(task.task_id, score)
                taken = time.perf_counter_ns() - begin
                state = task.state
                if state is not None and state.completion_count:
                    (first if state.completion_count == 1 else other).append(taken)
    return Costs(
        {"first_draw_vs_other": float(np.median(first) / np.median(other))},
        {
            "first_draw_episode_us": float(np.median(first)) / 1e3,
            "other_episode_us": float(np.median(other)) / 1e3,
        },
    )


def creation_cost(tasks: int) -> Costs:
    """Creating a shared curriculum, its memory per task, and ``stats()`` right after a
    completion."""
    created = [(_create(tasks), _create(LARGE * tasks)) for _ in range(7)]
    with pool(tasks) as small:
        play(small, noisy_scores(20 * tasks))
        stats = []
        for score in noisy_scores(100):
            play(small, [score])
            stats.append(timed(small.stats, 1)[0])
        per_task = _bytes_per_task(small, tasks)
    small_ms, large_ms = np.median(created, axis=0)
    return Costs(
        {
            "create_1k_ms": float(small_ms),
            "create_1m_ms": float(large_ms),
            "bytes_per_task": per_task,
            "stats_1k_ms": float(np.median(stats)) / 1e6,
        },
        {},
    )


def _create(tasks: int) -> float:
    config = pool_config(tasks)
    gc.collect()  # what earlier curricula left is not this one's cost
    begin = time.perf_counter()
    opened = config.make()
    taken = time.perf_counter() - begin
    opened.close()
    return 1e3 * taken


def _bytes_per_task(curriculum: Curriculum, tasks: int) -> float:
    memory = curriculum.tracker.backend
    return memory.nbytes / tasks if isinstance(memory, TableBackend) else float("nan")
