"""A task as it was handed out, and why it is or is not being sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self

from metta.cogworks.curriculum.older.hand_made import made_by_hand
from metta.cogworks.curriculum.pool.backends import TaskState
from metta.cogworks.curriculum.pool.layout import (
    EXPIRING,
    IN_FLIGHT,
    LABEL,
    PRIOR,
    SCHEDULED,
    TOTAL_SQUARED,
)
from metta.cogworks.curriculum.tasks.task_config import TConfig


class TaskSource(Protocol):
    """What a task needs of the curriculum that handed it out."""

    def build(self, task_id: int) -> Any:
        """The environment configuration of a task id: a new object at every call."""

    def label_of(self, task_id: int) -> str:
        """Label of a task id."""
        ...

    def bucket_values_of(self, task_id: int) -> dict[str, Any]:
        """Bucket values of a task id."""
        ...

    def update_task_performance(self, task_id: int, score: float) -> None:
        """Record a completion."""

    def state_of(self, task_id: int) -> TaskState | None:
        """The task's row, or None if it is not in the pool."""


class CurriculumTask(Generic[TConfig]):
    """A task as it was handed out: an id, and the way to its environment. Nothing is built before
    it is asked for.

    A curriculum makes tasks; :meth:`of` makes one of a curriculum by its id. Made by hand, as in
    older code, with a DeprecationWarning, a task belongs to no curriculum, and keeps its scores
    itself.

    Args:
        task_id: of a task that is made by hand.
        env_cfg: what :meth:`get_env_cfg` returns.
        slice_values: what :meth:`get_slice_values` returns; None: nothing.
    """

    __slots__ = ("_curriculum", "_env_cfg", "task_id")

    task_id: int
    """Identity of the task. Not to be set."""

    def __init__(
        self, task_id: int, env_cfg: TConfig, slice_values: Mapping[str, Any] | None = None
    ) -> None:
        source = made_by_hand(task_id, env_cfg, slice_values)
        self._curriculum: TaskSource = source
        self._env_cfg: Any = env_cfg
        self.task_id = source.task_id

    @classmethod
    def of(cls, curriculum: TaskSource, task_id: int) -> Self:
        """The task of a curriculum that has this id."""
        task = cls.__new__(cls)
        task._curriculum, task._env_cfg = curriculum, None  # noqa: SLF001 - of this class
        task.task_id = task_id
        return task

    @property
    def _task_id(self) -> int:  # its name in older code
        return self.task_id

    def get_env_cfg(self) -> TConfig:
        """The environment's configuration, built on first use. It is this object's own: changing it
        changes no other task.

        Raises TaskInvariantError if the generator makes a task that does not fit the others.
        """
        if self._env_cfg is None:
            self._env_cfg = self._curriculum.build(self.task_id)
        return self._env_cfg

    @property
    def item(self) -> Any:
        """The item of this task, of a curriculum over items: the object itself, or a copy of its
        own where it is a configuration, such as a pydantic model. Of any other curriculum, what
        :meth:`get_env_cfg` gives."""
        return self.get_env_cfg()

    def get_label(self) -> str:
        """Label of the task's environment, known without building it."""
        return self._curriculum.label_of(self.task_id)

    def get_slice_values(self) -> dict[str, Any]:
        """Value of each bucket, by path, known without building the environment."""
        return self._curriculum.bucket_values_of(self.task_id)

    get_bucket_values = get_slice_values

    def complete(self, score: float) -> None:
        """Record a completion of this task."""
        self._curriculum.update_task_performance(self.task_id, score)

    @property
    def state(self) -> TaskState | None:
        """The task's row in the pool, as of now; None once it has left."""
        return self._curriculum.state_of(self.task_id)

    def __repr__(self) -> str:
        return f"CurriculumTask({self.task_id})"


@dataclass(frozen=True)
class TaskExplanation:
    """Why a task is, or is not, being sampled. ``str()`` says it in words."""

    task_id: int
    in_pool: bool
    label: str = ""
    probability: float = 0.0
    uniform: float = 0.0
    rank: int = 0
    num_tasks: int = 0
    completions: int = 0
    scheduled: int = 0
    in_flight: int = 0
    mean_score: float = 0.0
    learning_progress: float = 0.0
    may_be_evicted: bool = False
    completions_until_refresh: int = 0
    known: dict[str, float] | None = None
    asked: int | None = None
    """The task that was asked for, where the pool keeps a row for its region."""

    def __str__(self) -> str:
        if not self.in_pool:
            return (
                f"task {self.task_id} is not in the pool: it was never drawn, was evicted, or was "
                "retired because it cannot be played"
            )
        whose = "" if self.asked is None else f", which stands for the region of task {self.asked}"
        times = self.probability / self.uniform if self.uniform else 0.0
        lines = [
            f"task {self.task_id}{whose} ({self.label or 'no label'}): probability "
            f"{self.probability:.3g}, {times:.2f} times "
            f"uniform, rank {self.rank} of {self.num_tasks}",
            f"  scheduled {self.scheduled}, completed {self.completions}, in flight "
            f"{self.in_flight}, mean score {self.mean_score:.3g}, "
            f"learning progress {self.learning_progress:.3g}"
            + ("; never measured, so it is being explored" if self.completions == 0 else ""),
            f"  {'may be evicted' if self.may_be_evicted else 'not up for eviction'}; the "
            "distribution is refreshed within "
            f"{self.completions_until_refresh} more completions of the pool",
        ]
        if self.known:
            lines.append(
                "  columns of the scorer: "
                + ", ".join(f"{name} {value:.3g}" for name, value in self.known.items())
            )
        return "\n".join(lines)


_NOT_TOLD = (LABEL, SCHEDULED, IN_FLIGHT, EXPIRING, TOTAL_SQUARED, PRIOR)


def explained(
    state: TaskState,
    probability: dict[int, float],
    label: str,
    may_be_evicted: bool,
    completions_until_refresh: int,
    asked: int | None = None,
) -> TaskExplanation:
    """Explain a task of the pool.

    Args:
        state: the task's row.
        probability: of all tasks in the pool, by id.
        label: the task's.
        may_be_evicted: whether the algorithm would let it go.
        completions_until_refresh: of the distribution.
        asked: the task that was asked for, if it is another one, of whose region this is the row.
    """
    p, n = probability[state.task_id], state.completion_count
    known = {
        name: value
        for name, value in state.columns.items()
        if name not in _NOT_TOLD and not name.startswith(("slice_", "spare_"))
    }
    return TaskExplanation(
        task_id=state.task_id,
        in_pool=True,
        label=label,
        probability=p,
        uniform=1.0 / len(probability),
        rank=1 + sum(other > p for other in probability.values()),
        num_tasks=len(probability),
        completions=n,
        scheduled=int(state.columns[SCHEDULED]),
        in_flight=int(state.columns[IN_FLIGHT]),
        mean_score=state.total_score / n if n else 0.0,
        learning_progress=state.lp_score,
        may_be_evicted=may_be_evicted,
        completions_until_refresh=completions_until_refresh,
        known=known,
        asked=asked,
    )
