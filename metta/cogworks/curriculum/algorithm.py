"""The interface of algorithms, which decide which tasks are drawn and which leave; and the simplest
one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from metta.cogworks.curriculum.older.outside import enter, let_go
from metta.cogworks.curriculum.pool.exclusive import exclusive
from metta.cogworks.curriculum.pool.layout import (
    BLOCK,
    IS_ACTIVE,
    TASK_ID,
    Column,
)
from metta.cogworks.curriculum.pool.table import TaskTable
from metta.cogworks.curriculum.pool.totals import group_totals
from metta.cogworks.curriculum.pool_config import PoolConfig
from metta.cogworks.curriculum.sampling import lag_bound
from metta.cogworks.curriculum.stats import SliceAnalyzer, StatsLogger, gini, with_prefix
from metta.cogworks.curriculum.task_tracker import TaskTracker
from metta.cogworks.curriculum.tasks.ids import validate_task_ids
from metta.cogworks.curriculum.tasks.inputs import checked_integer, instance

ALL_SLOTS = slice(None)


class CurriculumAlgorithmConfig(PoolConfig, ABC):
    """What every algorithm is told about the pool it works on, and how one is made."""

    @abstractmethod
    def algorithm_type(self) -> str:
        """Short name of the algorithm, for statistics and logs."""

    @abstractmethod
    def create(self, num_tasks: int) -> CurriculumAlgorithm:
        """The algorithm, on a pool opened as configured."""


class CurriculumAlgorithm(StatsLogger, ABC):
    """Decides which tasks are worth drawing and which leave the pool.

    A custom algorithm implements the abstract methods, which see task ids only. Sampling is then in
    proportion to ``score_tasks``. Its own attributes stay in its process; what it declares as
    ``columns`` is shared, saved and cleared with each task.

    **At a completion** the curriculum calls :meth:`complete`, which records it in the tracker and
    then calls :meth:`update_task_performance`, all in one change of the pool. An algorithm has
    nothing to record. It may call :meth:`complete` or the tracker's ``update_task_performance``
    from there, to set the learning progress say: the completion is counted once. What it raises
    undoes the completion.

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
        self.num_tasks = checked_integer("num_tasks", num_tasks, 0)
        if hypers is None:
            hypers = DiscreteRandomConfig(num_active_tasks=max(1, num_tasks))
        way_out = "give a configuration such as DiscreteRandomConfig"
        self.hypers = instance("hypers", hypers, CurriculumAlgorithmConfig, way_out)
        self._task_tracker: TaskTracker | None = None
        self._table: TaskTable | None = None
        if task_tracker is not None:
            self.bind(task_tracker)

    def bind(self, task_tracker: TaskTracker) -> None:
        """Use this pool. Called once, by the constructor or by the curriculum.

        Raises:
            KeyError: the pool lacks a declared column.
        """
        instance("task_tracker", task_tracker, TaskTracker, "give one, or None to have one made")
        for column in self.columns:
            task_tracker.table.layout.position(column)
        self._task_tracker, self._table = task_tracker, task_tracker.table
        self.on_bound(task_tracker)

    def on_bound(self, task_tracker: TaskTracker) -> None:
        """The pool is known from now on."""

    @property
    def is_bound(self) -> bool:
        """Whether the pool is known."""
        return self._task_tracker is not None

    def open(self, columns: Sequence[Column] = ()) -> TaskTracker:
        """The pool; one is opened, as configured, where none was handed in. ``columns``: what it
        then has beside the algorithm's own."""
        tracker = self._task_tracker
        if tracker is None:
            tracker = self.hypers.make_tracker((*self.columns, *columns))
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

    def cleanup_shared_memory(self) -> None:
        """Let go of the pool, under its older name: see ``Curriculum.close``."""
        let_go(self._task_tracker)

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
        if tracker.is_completing(task_id):  # an algorithm that calls this where it is told
            return None
        begun = table.begin()
        row = table.save_row(slot)
        tracker.record(row, score)
        table.flights.end(slot, row)
        tracker.completing(task_id, lambda: self.update_task_performance(task_id, score))
        table.header.log_score(score)  # last: an algorithm that raises has changed nothing
        table.commit(begun)
        return None

    def in_flight_changed(self, slot: int, before: int, now: int) -> None:
        """``now`` draws of the task in ``slot`` are in flight, and were ``before``; not called at a
        completion. Lock held."""

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
        return self.task_tracker.fitting(state.get("tracker", {}))

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
        return dict.fromkeys(validate_task_ids(task_ids), 1.0)

    def recommend_eviction(self, task_ids: list[int]) -> int | None:
        """None: no task leaves."""
        return None

    def should_evict_task(self, task_id: int, criterion: Sequence[int] | int | None = None) -> bool:
        """False: no task leaves."""
        return False

    def update_task_performance(self, task_id: int, score: float) -> None:
        """Record it."""
        self.task_tracker.update_task_performance(task_id, score)

    def on_task_created(self, task: Any) -> None:
        """Track the task, where no curriculum does."""
        enter(self.task_tracker, task)

    def on_task_evicted(self, task_id: int) -> None:
        """Forget the task, where no curriculum does."""
        self.task_tracker.remove_task(task_id)

    def weigh(self, slots: slice) -> np.ndarray:
        """1 for every task."""
        return (self.table.rows[slots, IS_ACTIVE] != 0.0).astype(np.float64)

    def evictions(self, limit: int, slots: slice = ALL_SLOTS) -> list[int]:
        """None."""
        return []
