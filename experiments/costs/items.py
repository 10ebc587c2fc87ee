"""What a curriculum over many items takes to open, and what a batch takes."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np

from experiments.costs.pools import Costs, noisy_scores
from metta.cogworks.curriculum import Curriculum, LearningProgressConfig

BATCH, ROLLOUTS = 64, 8


def prompts(count: int) -> list[str]:
    """That many texts, of some 100 characters."""
    story = "Show your work step by step, then give the answer as one number on a line of its own."
    return [f"What is {i} plus {3 * i}? {story}" for i in range(count)]


def opening_cost(items: int) -> Costs:
    """Opening a curriculum over so many prompts, and one that has all of them in its pool, each in
    a process of its own: the best of three times, the most memory."""
    context = multiprocessing.get_context("spawn")
    costs = Costs({}, {})
    for name, num_active_tasks in (("", None), ("all_", items)):
        with context.Pool(1, maxtasksperchild=1) as workers:
            found = [workers.apply(_opened, (items, num_active_tasks)) for _ in range(3)]
        taken, used = zip(*found, strict=True)
        costs.figures[f"open_{name}items_s"] = min(taken)
        costs.figures[f"open_{name}items_mib"] = max(used)
    return costs


def _opened(items: int, num_active_tasks: int | None) -> tuple[float, float]:
    """Seconds, and MiB beside those of the items."""
    listed = prompts(items)
    before = _kibibytes("VmHWM")
    begin = time.perf_counter()
    with Curriculum.from_items(listed, num_active_tasks=num_active_tasks) as curriculum:
        taken = time.perf_counter() - begin
        curriculum.get_task().complete(0.5)
        return taken, (_kibibytes("VmHWM") - before) / 1024.0


def _kibibytes(name: str) -> float:
    """Of memory that this process has ("VmRSS"), or had at most ("VmHWM"). On Linux."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return float(status.partition(f"{name}:")[2].split()[0])


def batch_cost(items: int) -> Costs:
    """Draws and scores in batches, against one by one: µs an item, medians of 200 batches."""
    algorithm = LearningProgressConfig(use_shared_memory=True)
    with Curriculum.from_items(range(items), algorithm_config=algorithm) as curriculum:
        scores = np.array(noisy_scores(200 * BATCH * ROLLOUTS)).reshape(200, BATCH, ROLLOUTS)
        taken = np.array([_batch(curriculum, each) for each in scores])
    drawn, at_once, one_by_one, many, each = np.median(taken, axis=0) / BATCH * 1e6
    return Costs(
        {"batch_vs_single": float((drawn + many) / (one_by_one + each))},
        {
            "draw_distinct_us": float(drawn),
            "draw_us": float(at_once),
            "draw_single_us": float(one_by_one),
            "score_us": float(many) / ROLLOUTS,
            "score_single_us": float(each) / ROLLOUTS,
        },
    )


def _batch(curriculum: Curriculum, scores: np.ndarray) -> list[float]:
    clock = time.perf_counter
    curriculum.get_tasks(BATCH)  # refreshes what the last batch has left to do
    marks = [clock()]
    tasks = curriculum.get_tasks(BATCH, distinct=True)
    marks.append(clock())
    curriculum.get_tasks(BATCH)
    marks.append(clock())
    for _ in range(BATCH):
        curriculum.get_task()
    marks.append(clock())
    curriculum.update_tasks([task.task_id for task in tasks], scores)
    marks.append(clock())
    for task, row in zip(tasks, scores.tolist(), strict=True):
        for score in row:
            curriculum.update_task_performance(task.task_id, score)
    marks.append(clock())
    return np.diff(marks).tolist()
