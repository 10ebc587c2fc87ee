"""One run: a curriculum teaches a simulated learner for as many episodes as its scenario gives."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from experiments.arms import ARMS, ORACLE, UNIFORM, algorithm
from experiments.simulation.families import Family
from experiments.simulation.learner import GROUPS, Learner
from experiments.simulation.scenarios import Merit, Scenario
from metta.cogworks.curriculum import Curriculum, CurriculumConfig

POINTS = 50
"""Points of a learning curve, evenly spaced; the last one is the end of the budget."""


@dataclass(frozen=True)
class Job:
    """What to run. ``learning`` overrides fields of the arm's ``LearningProgressConfig``.

    ``in_flight``: episodes that are always begun and not yet ended, K. That many tasks are drawn at
    the start; then, step by step, the oldest episode ends, the learner has practised it, its
    outcome is reported, and a new task is drawn. So a task is drawn when the outcomes of the K − 1
    before it are unknown, as in a training with K environments and episodes of equal length. The
    budget counts episodes that ended: what is in flight at its end was drawn and not practised.
    """

    scenario: str
    world: Scenario
    arm: str
    seed: int
    learning: tuple[tuple[str, Any], ...] = ()
    in_flight: int = 1


@dataclass(frozen=True)
class Run:
    """What came of it."""

    episodes: NDArray[np.int64]
    """(POINTS,) episodes practised by each point of the curve."""
    mastered: NDArray[np.int64]
    """(POINTS,) skills mastered at each point."""
    level: NDArray[np.float64]
    """(POINTS,) mean competence over the skills that can be mastered, in percent."""
    spent: NDArray[np.int64]
    """(POINTS, len(GROUPS)) episodes since the point before, by what they were spent on."""
    learnable: int
    """Skills that can be mastered at all."""
    merit: Merit = "mastered"
    """Which of the two is the figure of merit."""

    @property
    def curve(self) -> NDArray[Any]:
        """(POINTS,) the figure of merit."""
        return self.mastered if self.merit == "mastered" else self.level

    @property
    def final(self) -> float:
        """The figure of merit at the budget: a whole number of skills, or a level in percent."""
        return self.curve[-1].item()

    @property
    def area(self) -> float:
        """Area under the learning curve ÷ its length: the figure of merit, averaged over the
        run."""
        return float(self.curve.mean())

    @property
    def shares(self) -> NDArray[np.float64]:
        """(len(GROUPS),) shares of all episodes."""
        return self.spent.sum(axis=0) / self.spent.sum()


class Teacher(Protocol):
    """Who chooses the tasks."""

    def choose(self) -> int:
        """The task of an episode that begins."""
        ...

    def complete(self, task: int, score: float, /) -> None:
        """An episode of ``task`` ended with ``score``."""
        ...


def run(job: Job) -> Run:
    """Run a job. The world and the learner's luck depend on scenario and seed alone; what the arm
    draws, on the arm too."""
    world = job.world.world(job.seed)
    learner, budget = Learner(world, seed=job.seed), job.world.budget(world)
    if job.arm == ORACLE:
        # What practice does is settled by the order of the episodes, and they end in the order in
        # which they begin. So whoever sees the learner knows what those in flight will have
        # changed when a new one is practised, and chooses as with one in flight.
        return follow(_Oracle(learner), learner, budget, 1, job.world.merit)
    own_seed = 1000 * job.seed + list(ARMS).index(job.arm)
    pool = job.world.pool or world.num_tasks
    overrides = {} if job.arm == UNIFORM else dict(job.learning)
    tasks = world.skill_of_task
    config = CurriculumConfig(
        task_generator=tasks.generator() if isinstance(tasks, Family) else None,
        max_task_id=world.num_tasks,
        algorithm_config=algorithm(job.arm, pool, use_shared_memory=False, **overrides),
        seed=own_seed,
    )
    with Curriculum(config) as curriculum:
        return follow(_Curriculum(curriculum), learner, budget, job.in_flight, job.world.merit)


class _Curriculum:
    """A curriculum, as the loop sees it."""

    def __init__(self, curriculum: Curriculum):
        self._curriculum = curriculum
        self.complete = curriculum.update_task_performance

    def choose(self) -> int:
        return self._curriculum.get_task().task_id


class _Oracle:
    """Chooses the skill that one more episode improves most, with whatever is in flight known.
    Greedy, so a limit for what a curriculum can see, not a proof."""

    def __init__(self, learner: Learner):
        self._learner = learner
        self._task = learner.world.tasks_of_skills()

    def choose(self) -> int:
        return int(
            self._task[int(np.argmax(np.where(self._task >= 0, self._learner.gains(), -1.0)))]
        )

    def complete(self, task: int, score: float) -> None:
        """An oracle needs no scores."""


def follow(
    teacher: Teacher,
    learner: Learner,
    budget: int,
    in_flight: int,
    merit: Merit = "mastered",
) -> Run:
    """Let ``teacher`` teach for ``budget`` episodes, of which ``in_flight`` are always begun and
    not yet ended (see :class:`Job`)."""
    ends = np.maximum(1, np.arange(1, POINTS + 1) * budget // POINTS)
    mastered, level = np.zeros(POINTS, dtype=np.int64), np.zeros(POINTS)
    spent = np.zeros((POINTS, len(GROUPS)), dtype=np.int64)
    before = np.zeros(len(GROUPS), dtype=np.int64)
    begun = deque(teacher.choose() for _ in range(in_flight))
    for point, end in enumerate(ends.tolist()):
        for _ in range(end - learner.episode):
            task = begun.popleft()
            teacher.complete(task, learner.practise(task))
            begun.append(teacher.choose())
        now = np.array(learner.spent)
        spent[point], before = now - before, now
        mastered[point], level[point] = learner.mastered().sum(), learner.level()
    learnable = int(learner.world.learnable.sum())
    return Run(ends, mastered, level, spent, learnable, merit)
