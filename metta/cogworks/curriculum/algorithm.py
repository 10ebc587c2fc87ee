"""The interface of algorithms, which decide which tasks are drawn and which leave; and the simplest
one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from metta.cogworks.curriculum.pool.backends import TASK_STRUCT_SIZE
from metta.cogworks.curriculum.pool.exclusive import exclusive
from metta.cogworks.curriculum.pool.layout import (
    BLOCK,
    IS_ACTIVE,
    TASK_ID,
    Column,
)
from metta.cogworks.curriculum.pool.saved import fitted
from metta.cogworks.curriculum.pool.table import TaskTable
from metta.cogworks.curriculum.pool.totals import group_totals
from metta.cogworks.curriculum.sampling import lag_bound
from metta.cogworks.curriculum.sessions import LOCK_TIMEOUT_SECONDS, checked_session_id
from metta.cogworks.curriculum.stats import SliceAnalyzer, StatsLogger, gini, with_prefix
from metta.cogworks.curriculum.strict_config import StrictConfig
from metta.cogworks.curriculum.task_tracker import TaskTracker

ALL_SLOTS = slice(None)


class CurriculumAlgorithmConfig(StrictConfig, ABC):
    """What every algorithm is told about the pool it works on."""

    num_active_tasks: int = Field(
        default=1000, ge=1, description="capacity of the pool, in tasks; the guide's default"
    )
    use_shared_memory: bool = Field(
        default=True, description="share the pool with every process of the session"
    )
    session_id: Annotated[str, AfterValidator(checked_session_id)] | None = Field(
        default=None, description="name of the shared pool; None: a new one"
    )
    task_struct_size: int = Field(
        default=TASK_STRUCT_SIZE,
        ge=TASK_STRUCT_SIZE,
        description="float64 a row shows; those beyond 13 are the user's",
    )
    completion_history_size: int = Field(
        default=1000, ge=1, description="scores that mean_recent_score averages"
    )
    task_tracker_ema_alpha: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="weight of the latest score in reward_ema and ema_squared; the guide's default",
    )
    task_default_success_threshold: float = Field(
        default=0.5, description="score from which a completion is a success"
    )
    task_default_generator_type: float = Field(
        default=0.0, description="number stored with every task"
    )
    memory: int = Field(
        default=25,
        ge=1,
        description="completions that the success rate looks back on, as the exponential average "
        "with α = 2/(memory + 1), whose centre of mass is that of the window; the guide's default",
    )
    max_slice_axes: int = Field(
        default=3, ge=0, le=16, description="buckets whose values are followed; the guide's default"
    )
    enable_detailed_slice_logging: bool = Field(
        default=False, description="report statistics per bucket value"
    )
    lock_timeout_seconds: float = Field(
        default=LOCK_TIMEOUT_SECONDS,
        gt=0,
        description="of waiting for the pool's lock, until LockTimeoutError names who keeps it",
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and "max_memory_tasks" in data:
            raise ValueError(
                "max_memory_tasks no longer exists: the capacity of the pool is num_active_tasks"
            )
        return data

    @abstractmethod
    def algorithm_type(self) -> str:
        """Short name of the algorithm, for statistics and logs."""

    @abstractmethod
    def create(self, num_tasks: int) -> CurriculumAlgorithm:
        """The algorithm, on a pool opened as configured."""

    def make_tracker(
        self,
        columns: Sequence[Column] = (),
        max_tasks: int | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> TaskTracker:
        """The pool as configured, with these columns beside the documented ones.

        Args:
            columns: what the algorithm and its parts declare.
            max_tasks: capacity where it is less than ``num_active_tasks``.
            identity: see :class:`~metta.cogworks.curriculum.task_tracker.TaskTracker`.
        """
        return TaskTracker(
            max_memory_tasks=self.num_active_tasks if max_tasks is None else max_tasks,
            ema_alpha=self.task_tracker_ema_alpha,
            session_id=self.session_id if self.use_shared_memory else None,
            use_shared_memory=self.use_shared_memory,
            task_struct_size=self.task_struct_size,
            completion_history_size=self.completion_history_size,
            default_success_threshold=self.task_default_success_threshold,
            default_generator_type=self.task_default_generator_type,
            columns=columns,
            slice_axes=self.max_slice_axes,
            success_alpha=2.0 / (self.memory + 1.0),
            identity=identity,
            lock_timeout_seconds=self.lock_timeout_seconds,
        )


class CurriculumAlgorithm(StatsLogger, ABC):
    """Decides which tasks are worth drawing and which leave the pool.

    A custom algorithm implements the abstract methods, which see task ids only. Sampling is then in
    proportion to ``score_tasks``. Its own attributes stay in its process; what it declares as
    ``columns`` is shared, saved and cleared with each task.

    **At a completion** the curriculum records it in the tracker, then calls
    :meth:`update_task_performance`. An algorithm may call the tracker's method of the same name
    from there, to set the learning progress say: the completion is counted once.

    Args:
        num_tasks: reported as ``num_tasks``.
        hypers: the configuration; None: uniform sampling's, with ``num_tasks`` tasks.
        task_tracker: the pool. Without one, the curriculum hands in the pool it has opened; an
            algorithm that is used without a curriculum opens one as configured, on first use.
    """

    # Whether on_task_created and on_task_evicted are to be called for every task. Each costs a call
    # per task of the pool.
    needs_task_events: bool = True
    columns: tuple[Column, ...] = ()
    uniform_share: float = 0.0
    """Share of the draws that follow the sampling weights of the task family alone."""

    def __init__(
        self,
        num_tasks: int,
        hypers: CurriculumAlgorithmConfig | None,
        task_tracker: TaskTracker | None = None,
    ):
        super().__init__()
        self.num_tasks = num_tasks
        if hypers is None:
            hypers = DiscreteRandomConfig(num_active_tasks=max(1, num_tasks))
        self.hypers = hypers
        self._task_tracker: TaskTracker | None = None
        self._table: TaskTable | None = None
        if task_tracker is not None:
            self.bind(task_tracker)

    def bind(self, task_tracker: TaskTracker) -> None:
        """Use this pool. Called once, by the constructor or by the curriculum.

        Raises:
            KeyError: the pool lacks a declared column.
        """
        for column in self.columns:
            task_tracker.table.offset(column.name)
        self._task_tracker, self._table = task_tracker, task_tracker.table
        self.on_bound(task_tracker)

    def on_bound(self, task_tracker: TaskTracker) -> None:
        """The pool is known from now on."""

    @property
    def is_bound(self) -> bool:
        """Whether the pool is known."""
        return self._task_tracker is not None

    def open(self) -> TaskTracker:
        """The pool; one is opened, as configured, where none was handed in."""
        tracker = self._task_tracker
        if tracker is None:
            tracker = self.hypers.make_tracker(self.columns)
            self.bind(tracker)
        return tracker

    @property
    def task_tracker(self) -> TaskTracker:
        """The pool: see :meth:`open`."""
        return self._task_tracker or self.open()

    @property
    def table(self) -> TaskTable:
        """The pool's table."""
        return self._table or self.open().table

    @property
    def refresh_period(self) -> int:
        """Completions between two refreshes of a block of weights."""
        return lag_bound(min(BLOCK, self.table.layout.max_tasks))

    @abstractmethod
    def score_tasks(self, task_ids: list[int]) -> dict[int, float]:
        """What each task is worth, at least 0."""

    @abstractmethod
    def recommend_eviction(self, task_ids: list[int]) -> int | None:
        """The task that should leave first, or None."""

    @abstractmethod
    def should_evict_task(self, task_id: int, criterion: Sequence[int] | int | None = None) -> bool:
        """Whether the task may leave. ``criterion``: the ids it is compared with, or the least
        number of completions."""

    @abstractmethod
    def update_task_performance(self, task_id: int, score: float) -> None:
        """Take note of a completion: see the class."""

    def on_task_created(self, task: Any) -> None:
        """A task, a ``CurriculumTask``, has entered the pool."""

    def on_task_evicted(self, task_id: int) -> None:
        """A task has left the pool; its row is gone."""

    def complete(self, slot: int, task_id: int, score: float) -> str | None:
        """Record a completion of the task in ``slot``, then tell the algorithm. Lock held. Returns
        why the task must be retired, or None."""
        tracker, table = self.task_tracker, self.table
        begun = table.begin()
        tracker.record(table.save_row(slot), score)
        tracker.completing(task_id, lambda: self.update_task_performance(task_id, score))
        table.commit(begun)
        return None

    def may_leave(self, slot: int) -> bool:
        """Whether the task in ``slot`` leaves before the next draw: asked once, after
        :meth:`complete` has called the header's ``note_candidate``. Lock held."""
        return False

    def new_weight(self) -> float | None:
        """What a task is drawn by that has just entered the pool, before its prior; None: its
        block's next refresh tells. Lock held."""
        return None

    def evictions(self, limit: int, slots: slice = ALL_SLOTS) -> list[int]:
        """Ids of the tasks in ``slots`` that leave the pool now, at most ``limit``. Lock held."""
        ids = self.task_tracker.get_all_tracked_tasks()
        if limit < 1 or not ids:
            return []
        candidate = self.recommend_eviction(ids)
        leaves = candidate is not None and self.should_evict_task(candidate, ids)
        return [candidate] if candidate is not None and leaves else []

    def weigh(self, slots: slice) -> np.ndarray:
        """What the tasks in a block are drawn by, before their priors; float64 of shape ``(n,)``,
        comparable over the whole pool. Lock held. 0 for empty slots; a task whose weight is not
        finite, or below 0, is retired."""
        rows = self.table.rows[slots]
        active = rows[:, IS_ACTIVE] != 0.0
        ids = rows[active, TASK_ID].astype(np.int64).tolist()
        scores = self.score_tasks(ids)
        weights = np.zeros(len(rows))
        weights[active] = [scores.get(task_id, 0.0) for task_id in ids]
        return weights

    @exclusive
    def distribution(self) -> np.ndarray:
        """Probability of every slot as of now, shape ``(max_tasks,)``; 0 for empty ones. Cost:
        linear in the capacity."""
        n, samples = self.table.layout.max_tasks, self.table.samples
        blocks = [slice(first, min(first + BLOCK, n)) for first in range(0, n, BLOCK)]
        priors = samples.priors.leaves[:n]
        weights = np.concatenate([self.weigh(block) for block in blocks]) * priors
        return samples.probabilities(weights, priors, self.uniform_share)

    def get_base_stats(self) -> dict[str, float]:
        """How many tasks there are."""
        return {"num_tasks": float(self.table.header.active_count)}

    def _compute_detailed_stats(self) -> dict[str, float]:
        tracker = with_prefix("tracker", self.task_tracker.get_global_stats())
        return tracker | self.label_stats() | self.slice_stats()

    def stats_version(self) -> Hashable:
        """Changes with every change of the pool."""
        return self.table.header.version()

    def label_stats(self) -> dict[str, float]:
        """Completions, scheduled count, mean score, tasks in the pool: ``label/<label>/…``."""
        totals = group_totals(self.table, "label")
        totals.pop("", None)  # tasks without a label
        stats: dict[str, float] = {}
        for label, group in totals.items():
            n = group["completion_count"]
            stats[f"label/{label}/completions"] = n
            stats[f"label/{label}/scheduled"] = group["scheduled_count"]
            stats[f"label/{label}/active_tasks"] = group["active_tasks"]
            if n:
                stats[f"label/{label}/mean_score"] = group["total_score"] / n
        if totals:
            completions = [group["completion_count"] for group in totals.values()]
            stats["label/gini_completions"] = gini(completions)
        return stats

    @property
    def slice_analyzer(self) -> SliceAnalyzer:
        """The slices of the whole pool, past tasks included, as of now."""
        analyzer = SliceAnalyzer(self.hypers.max_slice_axes)
        for name, group in group_totals(self.table, "slice").items():
            sums = (group["completion_count"], group["total_score"], group["total_squared"])
            analyzer.add(name, *sums)
        return analyzer

    def slice_stats(self) -> dict[str, float]:
        """Statistics per bucket value as ``slice/…``, if they are wanted."""
        if not self.hypers.enable_detailed_slice_logging:
            return {}
        return with_prefix("slice", self.slice_analyzer.get_detailed_stats())

    def get_state(self) -> dict[str, Any]:
        """The pool, and what the algorithm keeps beside it."""
        return {"type": self.hypers.algorithm_type(), "tracker": self.task_tracker.get_state()}

    def check_state(self, state: Any) -> dict[str, Any]:
        """What is wrong with a saved state of this algorithm, before anything is changed: returns
        the state of the pool, fitted to this one's table.

        Raises:
            ValueError: it belongs to another algorithm or does not fit.
        """
        if not isinstance(state, dict):
            raise ValueError(f"not the state of an algorithm: a {type(state).__name__}, not a dict")
        if state.get("type") != self.hypers.algorithm_type():
            raise ValueError(
                f"saved state belongs to algorithm {state.get('type')!r}, this is "
                f"{self.hypers.algorithm_type()!r}"
            )
        return fitted(state.get("tracker", {}), self.table.layout)

    @exclusive
    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a saved state; ValueError, and no change, if it belongs to another algorithm or
        does not fit."""
        self.table.replace(self.check_state(state))
        self.invalidate_cache()


class DiscreteRandomConfig(CurriculumAlgorithmConfig):
    """Every task of the pool equally often, and no eviction."""

    def algorithm_type(self) -> str:
        """``"discrete_random"``."""
        return "discrete_random"

    def create(self, num_tasks: int) -> DiscreteRandomCurriculum:
        """The algorithm."""
        return DiscreteRandomCurriculum(num_tasks, self)


class DiscreteRandomCurriculum(CurriculumAlgorithm):
    """Uniform sampling over the pool: p_i = 1/n, times the sampling weights of the task family."""

    needs_task_events = False
    uniform_share = 1.0

    def score_tasks(self, task_ids: list[int]) -> dict[int, float]:
        """1 for every task."""
        return dict.fromkeys(task_ids, 1.0)

    def recommend_eviction(self, task_ids: list[int]) -> int | None:
        """None: no task leaves."""
        return None

    def should_evict_task(self, task_id: int, criterion: Sequence[int] | int | None = None) -> bool:
        """False: no task leaves."""
        return False

    def update_task_performance(self, task_id: int, score: float) -> None:
        """Record it."""
        self.task_tracker.update_task_performance(task_id, score)

    def weigh(self, slots: slice) -> np.ndarray:
        """1 for every task."""
        return (self.table.rows[slots, IS_ACTIVE] != 0.0).astype(np.float64)

    def evictions(self, limit: int, slots: slice = ALL_SLOTS) -> list[int]:
        """None."""
        return []
