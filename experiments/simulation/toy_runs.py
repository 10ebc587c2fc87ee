"""One run in the toy environment: an arm chooses the parameters of every episode."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from experiments.arms import ARMS as ARMS_OF_POOLS
from experiments.arms import UNIFORM
from experiments.simulation.toy import Setting, ToyEnvironment
from experiments.teachers.base import BoxTeacher, Teacher, UniformInBox
from experiments.teachers.discrete import (
    SyllabusLearningProgress,
    SyllabusLevelReplay,
    SyllabusOnlineLearningProgress,
)
from experiments.teachers.gmm import AlpGmm, CovarGmm
from experiments.teachers.riac import Riac
from metta.cogworks.curriculum import (
    BucketedTaskGenerator,
    Curriculum,
    CurriculumConfig,
    CurriculumTask,
    Span,
    bucketed,
)

POINTS = 50
"""Points of a learning curve, evenly spaced; the last one is the end of the run."""
SPAN, CELLS = "span", "cells"
"""The module's curriculum: on tasks drawn from ranges, and on one task per cell."""


@dataclass(frozen=True)
class Job:
    """What to run. ``learning`` overrides fields of the ``LearningProgressConfig`` of ``span`` and
    ``cells``; ``pool`` is for ``span``, None what a user gets who chooses nothing."""

    setting: Setting
    arm: str
    seed: int
    pool: int | None = None
    in_flight: int = 1
    learning: tuple[tuple[str, Any], ...] = ()

    @property
    def own_seed(self) -> int:
        """Seed of the arm's draws."""
        name = [*self.arm.encode(), self.pool or 0]
        return int(np.random.SeedSequence([self.seed, *name]).generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True)
class Run:
    """What came of it."""

    episodes: NDArray[np.int64]
    """(POINTS,) episodes practised by each point of the curve."""
    mastered: NDArray[np.float64]
    """(POINTS,) cells mastered at each point, in percent."""
    seconds_per_episode: float
    """That the arm took to choose and to be told; without the environment."""

    @property
    def final(self) -> float:
        """Percent of the cells mastered at the end."""
        return float(self.mastered[-1])

    @property
    def area(self) -> float:
        """Area under the learning curve ÷ its length: percent mastered, averaged over the run."""
        return float(self.mastered.mean())


def run(job: Job) -> Run:
    """Run a job. The environment draws nothing, so the seed is the arm's."""
    environment = ToyEnvironment(job.setting)
    with ARMS[job.arm](job, environment) as player:
        return _follow(player, environment, job)


class _Player(Protocol):
    """An arm, as the loop sees it."""

    def draw(self) -> tuple[Any, Any]:
        """What to report by, and the parameters of the episode."""
        ...

    def report(self, drawn: Any, score: float, /) -> None:
        """The episode ended with ``score``."""
        ...


def _follow(player: _Player, environment: ToyEnvironment, job: Job) -> Run:
    budget, clock = job.setting.episodes, time.perf_counter
    ends = np.maximum(1, np.arange(1, POINTS + 1) * budget // POINTS)
    mastered, seconds, done = np.zeros(POINTS), 0.0, 0
    waiting: deque[tuple[Any, Any]] = deque()
    for point, end in enumerate(ends.tolist()):
        for _ in range(end - done):
            begun = clock()
            while len(waiting) < job.in_flight:
                waiting.append(player.draw())
            seconds += clock() - begun
            drawn, parameters = waiting.popleft()
            score = environment.practise(parameters)
            begun = clock()
            player.report(drawn, score)
            seconds += clock() - begun
        done = end
        mastered[point] = 100.0 * environment.mastered / job.setting.cells
    return Run(ends, mastered, seconds / done)


# The arms
# --------------------------------------------------------------------------------------------------


class _InBox:
    """A teacher that chooses points."""

    def __init__(self, teacher: BoxTeacher):
        self._teacher = teacher
        self.report = teacher.report

    def draw(self) -> tuple[Any, Any]:
        point = self._teacher.draw()
        return point, point


class _OnCells:
    """A teacher that chooses cells: of all parameters, since it cannot know which ones matter."""

    def __init__(self, teacher: Teacher, setting: Setting):
        self._teacher = teacher
        self.report = teacher.report
        self._centres = list(itertools.product(_centres(setting), repeat=setting.parameters))

    def draw(self) -> tuple[Any, Any]:
        task = self._teacher.draw()
        return task, self._centres[task]


class _OfCurriculum:
    """The module's curriculum."""

    def __init__(self, curriculum: Curriculum, paths: list[str]):
        self._curriculum, self._paths = curriculum, paths

    def draw(self) -> tuple[Any, Any]:
        task = self._curriculum.get_task()
        values = task.get_bucket_values()
        return task, [values[path] for path in self._paths]

    def report(self, drawn: CurriculumTask, score: float) -> None:
        drawn.complete(score)


def _centres(setting: Setting) -> list[float]:
    return [(i + 0.5) / setting.side for i in range(setting.side)]


class _Point(BaseModel):
    at: dict[str, float]


def _tasks(setting: Setting, values: Any) -> BucketedTaskGenerator.Config:
    names = [f"x{i}" for i in range(setting.parameters)]
    return bucketed(_Point(at=dict.fromkeys(names, 0.0)), {f"at.{name}": values for name in names})


@contextlib.contextmanager
def _curriculum(job: Job, values: Any, **capacity: int) -> Iterator[_Player]:
    tasks = _tasks(job.setting, values)
    options = {**capacity, **dict(job.learning), "use_shared_memory": False}
    config = CurriculumConfig(
        task_generator=tasks,
        algorithm_config=ARMS_OF_POOLS["default"](**options),
        seed=job.own_seed,
    )
    with Curriculum(config) as curriculum:
        yield _OfCurriculum(curriculum, list(tasks.buckets))


def _span(job: Job, environment: ToyEnvironment) -> contextlib.AbstractContextManager[_Player]:
    capacity = {} if job.pool is None else {"num_active_tasks": job.pool}
    return _curriculum(job, Span(0.0, 1.0), **capacity)


def _cells(job: Job, environment: ToyEnvironment) -> contextlib.AbstractContextManager[_Player]:
    # A pool that holds them all.
    capacity = {"num_active_tasks": job.setting.side**job.setting.parameters}
    return _curriculum(job, _centres(job.setting), **capacity)


_Arm = Callable[[Job, ToyEnvironment], contextlib.AbstractContextManager[_Player]]


def _boxed(make: Callable[[int, int], BoxTeacher]) -> _Arm:
    return lambda job, environment: contextlib.nullcontext(
        _InBox(make(job.setting.parameters, job.own_seed))
    )


def _discrete(make: Callable[[int, int], Teacher]) -> _Arm:
    return lambda job, environment: contextlib.nullcontext(
        _OnCells(make(job.setting.side**job.setting.parameters, _short(job)), job.setting)
    )


def _evaluated(job: Job, environment: ToyEnvironment) -> contextlib.AbstractContextManager[_Player]:
    cells_per_cell = job.setting.side**job.setting.irrelevant
    teacher = SyllabusLearningProgress(
        job.setting.side**job.setting.parameters,
        _short(job),
        lambda: np.repeat(environment.evaluate(), cells_per_cell),
    )
    return contextlib.nullcontext(_OnCells(teacher, job.setting))


def _short(job: Job) -> int:
    return job.own_seed % 2**32  # as numpy's older streams want it


ARMS: MappingProxyType[str, _Arm] = MappingProxyType(
    {
        UNIFORM: _boxed(UniformInBox),
        SPAN: _span,
        CELLS: _cells,
        "alp_gmm": _boxed(AlpGmm),
        "covar_gmm": _boxed(CovarGmm),
        "riac": _boxed(Riac),
        "syllabus_lp": _evaluated,
        "syllabus_online_lp": _discrete(SyllabusOnlineLearningProgress),
        "syllabus_plr": _discrete(SyllabusLevelReplay),
    }
)
"""Arm → what makes it for a job."""
