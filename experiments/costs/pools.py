"""Pools to measure, and how times are taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from metta.cogworks.curriculum import (
    BucketedTaskGenerator,
    Curriculum,
    CurriculumConfig,
    LearningProgressConfig,
)

AGENTS, EPISODE_STEPS = 4, 50
LARGE = 1000  # the large pool holds this many times the tasks of the small one


class Costs(NamedTuple):
    """Ratios and bounds that have a bar, by key; and absolute times, with their unit in the
    name."""

    figures: dict[str, float]
    times: dict[str, float]


def room_generator() -> BucketedTaskGenerator.Config:
    """Empty rooms of nine shapes, 4 agents, 50 steps."""
    from mettagrid.config.mettagrid_config import MettaGridConfig

    room = MettaGridConfig.EmptyRoom(num_agents=AGENTS)
    room.game.max_steps = EPISODE_STEPS
    config = BucketedTaskGenerator.Config.from_mg(room)
    return config.add_bucket("game.map_builder.width", [8, 10, 12]).add_bucket(
        "game.map_builder.height", [8, 10, 12]
    )


def pool_config(tasks: int) -> CurriculumConfig:
    """The default algorithm on a shared pool of ``tasks`` tasks."""
    return CurriculumConfig(
        task_generator=room_generator(),
        max_task_id=max(1_000_000, 2 * tasks),
        algorithm_config=LearningProgressConfig(num_active_tasks=tasks),
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
