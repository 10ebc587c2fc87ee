"""Pools to measure, and how times are taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    LearningProgressConfig,
    Span,
    bucketed,
)

LARGE = 1000  # the large pool holds this many times the tasks of the small one


class Costs(NamedTuple):
    """Ratios and bounds that have a bar, by key; and absolute times, with their unit in the
    name."""

    figures: dict[str, float]
    times: dict[str, float]


class Room(BaseModel):
    """An environment of no cost, with the fields that are varied."""

    width: int = 8
    height: int = 8
    light: float = 0.5


def pool_config(tasks: int) -> CurriculumConfig:
    """The default algorithm on a shared pool of ``tasks`` tasks: rooms of nine shapes, each with a
    light of its own, so that there are more than any pool holds. Not in regions: each is a row."""
    shapes = {"width": [8, 10, 12], "height": [8, 10, 12], "light": Span(0.0, 1.0)}
    return CurriculumConfig(
        task_generator=bucketed(Room(), shapes),
        max_task_id=max(1_000_000, 2 * tasks),
        algorithm_config=LearningProgressConfig(num_active_tasks=tasks, max_regions=0),
    )


@contextmanager
def pool(tasks: int) -> Iterator[Curriculum]:
    """A new shared curriculum, closed in the end."""
    with pool_config(tasks).make() as opened:
        yield opened


def play(curriculum: Curriculum, scores: list[float]) -> np.ndarray:
    """One episode of no length per score. Returns the nanoseconds each took, shape
    ``(len(scores),)``."""
    clock = time.perf_counter_ns
    taken = np.empty(len(scores))
    for i, score in enumerate(scores):
        begin = clock()
        task = curriculum.get_task()
        curriculum.update_task_performance(task.task_id, score)
        taken[i] = clock() - begin
    return taken


def timed(function: Callable[[], Any], repetitions: int) -> np.ndarray:
    """Nanoseconds of every call, shape ``(repetitions,)``."""
    clock = time.perf_counter_ns
    taken = np.empty(repetitions)
    for i in range(repetitions):
        begin = clock()
        function()
        taken[i] = clock() - begin
    return taken


def noisy_scores(n: int, seed: int = 0) -> list[float]:
    """``n`` scores, uniform in [0, 1]: tasks that pay at random keep evictions busy."""
    return np.random.default_rng(seed).random(n).tolist()
