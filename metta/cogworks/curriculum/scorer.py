"""Scorers: what is known of a task's learning, and what the task is worth.

:class:`LPScorer` is the interface. A scorer whose whole state is in declared columns derives from
:class:`ColumnScorer`: it works across processes, is checkpointed, and costs no search per
completion.

Scores arrive as received, or clipped (``LearningProgressConfig.score_normalization``). The averages
keep that scale; the range of all scores, ``low`` to ``high``, is applied when a task is scored, so
that a new record does not look like forgetting.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from metta.cogworks.curriculum.pool.exclusive import exclusive
from metta.cogworks.curriculum.pool.layout import Column
from metta.cogworks.curriculum.pool.snapshot import Snapshot, snapshot
from metta.cogworks.curriculum.pool.table import TaskTable
from metta.cogworks.curriculum.scores import validate_completion
from metta.cogworks.curriculum.stats import gini
from metta.cogworks.curriculum.strict_config import StrictConfig
from metta.cogworks.curriculum.task_tracker import TaskTracker
from metta.cogworks.curriculum.tasks.ids import validate_task_id
from metta.cogworks.curriculum.tasks.inputs import MAX_SIZE, instance

# -- configuration and interface ------------------------------------------------------------------


MAX_FACTOR = 1e9
"""Of settings that multiply: what they make stays far from overflow."""


class ScorerConfig(StrictConfig):
    """What the scorers are told; each uses some of it."""

    ema_timescale: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="weight of the latest score in the fast average; the guide's default",
    )
    slow_timescale_factor: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="weight of the slow average as a share of the fast one's; the guide's default",
    )
    use_baseline_normalization: bool = Field(
        default=True, description="measure bidirectional progress above the first score of the task"
    )
    progress_smoothing: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="θ of the reweighting R(p); the guide's default. 0.5 is no reweighting",
    )
    basic_ema_initial_alpha: float = Field(
        default=0.3, gt=0, le=1, description="α_0 of the basic scorer; the guide's default"
    )
    basic_ema_alpha_decay: float = Field(
        default=0.2, ge=0, le=MAX_FACTOR, description="decay of α_n; the guide's default"
    )
    exploration_blend_factor: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of exploration in a young task's basic score; the guide's default",
    )
    exploration_bonus: float = Field(
        default=0.1,
        ge=0,
        le=MAX_FACTOR,
        description="what a task nobody knows yet is worth above the average; with the posterior "
        "scorer, how fast a task that is "
        "not tried becomes unknown again; the guide's default",
    )
    min_samples_for_lp: int = Field(
        default=10,
        ge=1,
        le=MAX_SIZE,
        description="completions before a task counts as measured; the time of the default fast "
        "average",
    )


class LPScorer(ABC):
    """A strategy that turns completions into a learning-progress score per task.

    Declare ``columns`` to keep state in the shared pool and reach it through
    ``self.tracker.get_column`` and ``set_column``; state kept in attributes stays in this process.
    """

    columns: ClassVar[tuple[Column, ...]] = ()

    def __init__(self, config: ScorerConfig):
        self.config = instance("config", config, ScorerConfig, "give LearningProgressConfig()")
        self._tracker: TaskTracker | None = None

    def bind(self, tracker: TaskTracker) -> None:
        """Called once by the algorithm, with the tracker that holds the declared columns."""
        self._tracker = instance("tracker", tracker, TaskTracker, "give the algorithm's")

    @property
    def tracker(self) -> TaskTracker:
        """The tracker this scorer was bound to. RuntimeError before that."""
        if self._tracker is None:
            raise RuntimeError(
                f"{type(self).__name__} is not bound to a tracker: pass it to "
                "LearningProgressAlgorithm"
            )
        return self._tracker

    @abstractmethod
    def score_task(self, task_id: int, tracker: TaskTracker) -> float:
        """Learning progress of a task, at least 0; 0.0 for a task that is not tracked."""

    @abstractmethod
    def update_with_score(self, task_id: int, score: float) -> None:
        """Take note of a completion. A task that is not tracked is ignored."""

    @abstractmethod
    def remove_task(self, task_id: int) -> None:
        """Forget a task that leaves the pool."""

    @abstractmethod
    def get_stats(self) -> dict[str, float]:
        """Statistics, reported under ``lp/``."""

    @abstractmethod
    def get_state(self) -> dict[str, Any]:
        """State beyond the declared columns: plain arrays, numbers and strings. Empty if there is
        none."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""

    @abstractmethod
    def invalidate_cache(self) -> None:
        """Forget derived values; called after every change."""


class ColumnScorer(LPScorer, ABC):
    """A scorer whose state is in its columns and nowhere else.

    ``explores`` says whether the score itself makes unknown tasks attractive; otherwise the
    algorithm adds an exploration bonus. ``pool_values``, once bound: the columns declared with
    ``of_pool``, of the pool of all processes; to be changed by :meth:`update_row` only.
    """

    explores: ClassVar[bool] = False
    pool_values: memoryview[float]

    def bind(self, tracker: TaskTracker) -> None:
        """Called once by the algorithm, with the tracker that holds the declared columns."""
        super().bind(tracker)
        at = {column.name: tracker.table.layout.position(column) for column in self.columns}
        self._in_row = [at[column.name] for column in self.columns if not column.of_pool]
        self.pool_values = tracker.table.header.pool_values
        self.bind_columns(at)

    @abstractmethod
    def bind_columns(self, at: dict[str, int]) -> None:
        """Keep the positions of the declared columns within a row; of those that are ``of_pool``,
        within :attr:`pool_values`."""

    @abstractmethod
    def update_row(
        self, row: memoryview[float], x: float, low: float, high: float, clock: int
    ) -> None:
        """Add a completion to a task.

        Args:
            row: the task's row, and nothing but it: float64 of length ``row_size``.
                ``row[COMPLETION_COUNT]`` is how many completions it had before.
            x: the score.
            low, high: the range of all scores so far, this one and 0 included; from 0 to 1 while
                every score was 0.
            clock: completions of the pool so far, without this one.
        """

    @abstractmethod
    def score_row(self, row: memoryview[float], low: float, high: float, clock: int) -> float:
        """Learning progress of a row, on the scale where scores from ``low`` to ``high`` are 0 to
        1."""

    @abstractmethod
    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        """Learning progress of many rows, shape ``(n, row_size)``; equal to :meth:`score_row` of
        each."""

    def impossible(self, rows: np.ndarray) -> np.ndarray:
        """Which of the rows, shape ``(n, row_size)``, this scorer cannot have written, though each
        of their columns is within its bounds: bool of shape ``(n,)``. A saved pool with one of them
        is refused."""
        return np.zeros(len(rows), bool)

    @property
    def table(self) -> TaskTable:
        """The pool."""
        return self.tracker.table

    def score_task(self, task_id: int, tracker: TaskTracker) -> float:
        """Learning progress of a task, at least 0; 0.0 for a task that is not tracked."""
        instance("tracker", tracker, TaskTracker, "give the one that holds the scorer's columns")
        return _score(tracker.table, self, validate_task_id(task_id))

    @exclusive
    def update_with_score(self, task_id: int, score: float) -> None:
        """Take note of a completion. A task that is not tracked is ignored."""
        task_id, score = validate_completion(task_id, score)
        table = self.table
        slot = table.find(task_id)
        if slot >= 0:
            begun = table.begin()
            header = table.header
            low, high = header.range_with(score)
            header.widen_range(score)
            header.save_pool_values(table.journal)
            self.update_row(table.save_row(slot), score, low, high, header.clock)
            table.commit(begun)

    @exclusive
    def remove_task(self, task_id: int) -> None:
        """Forget a task that leaves the pool."""
        slot = self.table.find(validate_task_id(task_id))
        if slot >= 0:
            begun = self.table.begin()
            row = self.table.save_row(slot)
            for column in self._in_row:
                row[column] = 0.0
            self.table.commit(begun)

    def get_stats(self) -> dict[str, float]:
        """Statistics of the pool: see :func:`pool_stats`."""
        return pool_stats(self.table)

    def get_state(self) -> dict[str, Any]:
        """No state beyond the columns."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing beyond the columns, which the tracker loads."""

    def invalidate_cache(self) -> None:
        """Nothing is kept."""


@exclusive
def _score(table: TaskTable, scorer: ColumnScorer, task_id: int) -> float:
    slot = table.find(task_id)
    if slot < 0:
        return 0.0
    low, high = table.header.score_range
    return scorer.score_row(table.row(slot), low, high, table.header.clock)


_REPORTED = ("is_active", "completion_count", "lp_score", "success_rate_ema")


def pool_stats(table: TaskTable) -> dict[str, float]:
    """What every scorer reports of its pool. Means are over the tasks with completions."""
    copy: Snapshot = snapshot(table, _REPORTED)
    active = copy.active()
    n, progress = copy.column("completion_count")[active], copy.column("lp_score")[active]
    success = copy.column("success_rate_ema")[active]
    weights, priors = copy.weights[active], copy.priors[active]
    probability = table.samples.probabilities(weights, priors)
    measured = n > 0
    some = bool(measured.any())
    return {
        "mean_learning_progress": float(progress[measured].mean()) if some else 0.0,
        "max_learning_progress": float(progress[measured].max()) if some else 0.0,
        "mean_task_success_rate": float(success[measured].mean()) if some else 0.0,
        "mean_sample_prob": float(probability.mean()) if probability.size else 0.0,
        "max_sample_prob": float(probability.max()) if probability.size else 0.0,
        "num_measured_tasks": float(measured.sum()),
        "gini_sample_prob": gini(probability),
        "gini_learning_progress": gini(np.maximum(progress, 0.0)),
        "gini_completions": gini(n),
    }
