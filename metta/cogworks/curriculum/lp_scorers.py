"""Scorers: what is known of a task's learning, and what the task is worth.

:class:`LPScorer` is the interface. A scorer whose whole state is in declared columns derives from
:class:`ColumnScorer`: it works across processes, is checkpointed, and costs no search per
completion. The rules are pure functions at the top.

Scores arrive as received, or clipped (``LearningProgressConfig.score_normalization``). The averages
keep that scale; the range of all scores, ``low`` to ``high``, is applied when a task is scored, so
that a new record does not look like forgetting.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from metta.cogworks.curriculum.pool.exclusive import exclusive
from metta.cogworks.curriculum.pool.layout import COMPLETION_COUNT, Column
from metta.cogworks.curriculum.pool.snapshot import Snapshot, snapshot
from metta.cogworks.curriculum.pool.table import TaskTable
from metta.cogworks.curriculum.stats import gini
from metta.cogworks.curriculum.strict_config import StrictConfig
from metta.cogworks.curriculum.task_tracker import TaskTracker

# -- rules -----------------------------------------------------------------------------------------

BASELINE_LIMIT = 0.75  # a first score above it would leave too little room above the baseline


def reweight(p: Any, theta: float) -> Any:
    """R(p) = p(1−θ) / (p + θ(1−2p)), for floats and arrays.

    θ = 0.5 is the identity; a smaller θ magnifies changes near p = 0. Kanitscheider et al. 2021,
    eq. 2.
    """
    return p * (1.0 - theta) / (p + theta * (1.0 - 2.0 * p))


def bidirectional_progress(fast: Any, slow: Any, theta: float) -> Any:
    """L = |R(f) − R(g)|: change in either direction, so that forgetting counts too. Kanitscheider
    et al. 2021, eq. 1."""
    return abs(reweight(fast, theta) - reweight(slow, theta))


def basic_alpha(n: float, initial: float, decay: float) -> float:
    """α_n = initial / (1 + decay·n): the weight of the score that follows n completions. It falls
    as 1/n, so that the average converges (Robbins and Monro 1951)."""
    return initial / (1.0 + decay * n)


# -- configuration and interface ------------------------------------------------------------------


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
        default=0.2, ge=0, description="decay of α_n; the guide's default"
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
        description="what a task nobody knows yet is worth above the average; with the posterior "
        "scorer, how fast a task that is "
        "not tried becomes unknown again; the guide's default",
    )
    min_samples_for_lp: int = Field(
        default=10,
        ge=1,
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
        self.config = config
        self._tracker: TaskTracker | None = None

    def bind(self, tracker: TaskTracker) -> None:
        """Called once by the algorithm, with the tracker that holds the declared columns."""
        self._tracker = tracker

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
    algorithm adds an exploration bonus.
    """

    explores: ClassVar[bool] = False

    def bind(self, tracker: TaskTracker) -> None:
        super().bind(tracker)
        self._at = {column.name: tracker.table.offset(column.name) for column in self.columns}
        self.bind_columns(self._at)

    @abstractmethod
    def bind_columns(self, at: dict[str, int]) -> None:
        """Keep the positions of the declared columns within a row."""

    @abstractmethod
    def update_row(
        self, row: memoryview[float], x: float, low: float, high: float, clock: int
    ) -> None:
        """Add a completion to a task.

        Args:
            row: the task's row, and nothing but it: float64 of length ``row_size``.
                ``row[COMPLETION_COUNT]`` is how many completions it had before.
            x: the score.
            low, high: the range of all scores so far, this one included.
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

    @property
    def table(self) -> TaskTable:
        """The pool."""
        return self.tracker.table

    def score_task(self, task_id: int, tracker: TaskTracker) -> float:
        """Learning progress of a task, at least 0; 0.0 for a task that is not tracked."""
        with tracker.table as table:
            slot = table.find(task_id)
            if slot < 0:
                return 0.0
            low, high = table.header.score_range
            return self.score_row(table.row(slot), low, high, table.header.clock)

    @exclusive
    def update_with_score(self, task_id: int, score: float) -> None:
        """Take note of a completion. A task that is not tracked is ignored."""
        table = self.table
        slot = table.find(task_id)
        if slot >= 0:
            begun = table.begin()
            low, high = table.header.score_range
            self.update_row(table.save_row(slot), score, low, high, table.header.clock)
            table.commit(begun)

    @exclusive
    def remove_task(self, task_id: int) -> None:
        """Forget a task that leaves the pool."""
        slot = self.table.find(task_id)
        if slot >= 0:
            begun = self.table.begin()
            row = self.table.save_row(slot)
            for column in self._at.values():
                row[column] = 0.0
            self.table.commit(begun)

    def get_stats(self) -> dict[str, float]:
        """Statistics of the pool: see :func:`pool_stats`."""
        return pool_stats(self.table)

    def get_state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing beyond the columns, which the tracker loads."""

    def invalidate_cache(self) -> None:
        """Nothing is kept."""


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


# -- scorers ---------------------------------------------------------------------------------------


class BidirectionalLPScorer(ColumnScorer):
    """Progress as the distance between a fast and a slow average of the score above a baseline.

    With x in [0, 1]: at the first completion  b = min(x, 0.75),  f = g = y;  later  f += α(y − f),
    g += αk(y − g),  where y = clip((x − b)/(1 − b), 0, 1) (or x without
    ``use_baseline_normalization``), α = ``ema_timescale`` and k = ``slow_timescale_factor``. Score:
    |R(f) − R(g)| with θ = ``progress_smoothing``. The columns hold b and the averages of max(x, b)
    on the scale of the scores; the affine map to y commutes with averaging.
    """

    columns = (
        Column("fast_ema", "fast average of the score, not below the baseline"),
        Column("slow_ema", "slow average of the score, not below the baseline"),
        Column("baseline", "score that counts as no progress"),
    )

    def bind_columns(self, at: dict[str, int]) -> None:
        self._fast, self._slow, self._baseline = at["fast_ema"], at["slow_ema"], at["baseline"]
        self._alpha = self.config.ema_timescale
        self._slow_alpha = self.config.ema_timescale * self.config.slow_timescale_factor
        self._normalise = self.config.use_baseline_normalization
        self._theta = self.config.progress_smoothing

    def update_row(
        self, row: memoryview[float], x: float, low: float, high: float, clock: int
    ) -> None:
        if self._normalise:
            if row[COMPLETION_COUNT] == 0.0:
                row[self._baseline] = min(x, low + BASELINE_LIMIT * (high - low))
            x = max(x, row[self._baseline])
        if row[COMPLETION_COUNT] == 0.0:
            row[self._fast] = row[self._slow] = x
        else:
            row[self._fast] += self._alpha * (x - row[self._fast])
            row[self._slow] += self._slow_alpha * (x - row[self._slow])

    def score_row(self, row: memoryview[float], low: float, high: float, clock: int) -> float:
        zero = row[self._baseline] if self._normalise else low
        unit = 1.0 / (high - zero)
        return bidirectional_progress(
            (row[self._fast] - zero) * unit, (row[self._slow] - zero) * unit, self._theta
        )

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        zero = rows[:, self._baseline] if self._normalise else low
        unit = 1.0 / (high - zero)
        return bidirectional_progress(
            (rows[:, self._fast] - zero) * unit, (rows[:, self._slow] - zero) * unit, self._theta
        )


class SignedLPScorer(ColumnScorer):
    """The guide's variant: the sigmoid of the signed difference, plus smoothing.

    1 / (1 + exp(−(f − g))) + θ, with the averages of :class:`BidirectionalLPScorer` without a
    baseline. Between 0.27 + θ and 0.73 + θ whatever happens, so that sampling in proportion to it
    is close to uniform.
    """

    columns = (
        Column("fast_ema", "fast average of the score"),
        Column("slow_ema", "slow average of the score"),
    )

    def bind_columns(self, at: dict[str, int]) -> None:
        self._fast, self._slow = at["fast_ema"], at["slow_ema"]
        self._alpha = self.config.ema_timescale
        self._slow_alpha = self.config.ema_timescale * self.config.slow_timescale_factor
        self._theta = self.config.progress_smoothing

    def update_row(
        self, row: memoryview[float], x: float, low: float, high: float, clock: int
    ) -> None:
        if row[COMPLETION_COUNT] == 0.0:
            row[self._fast] = row[self._slow] = x
        else:
            row[self._fast] += self._alpha * (x - row[self._fast])
            row[self._slow] += self._slow_alpha * (x - row[self._slow])

    def score_row(self, row: memoryview[float], low: float, high: float, clock: int) -> float:
        return (
            1.0 / (1.0 + math.exp((row[self._slow] - row[self._fast]) / (high - low))) + self._theta
        )

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        return (
            1.0 / (1.0 + np.exp((rows[:, self._slow] - rows[:, self._fast]) / (high - low)))
            + self._theta
        )


class BasicLPScorer(ColumnScorer):
    """Standard deviation of the score: sqrt(max(0, E[x²] − E[x]²)).

    The averages use α_n = ``basic_ema_initial_alpha`` / (1 + ``basic_ema_alpha_decay``·n). For a
    task with fewer than ``min_samples_for_lp`` completions the score is blended, by
    ``exploration_blend_factor``, with 1/2, the largest standard deviation that a score in [0, 1]
    can have.
    """

    explores = True
    columns = (
        Column("basic_mean", "average score"),
        Column("basic_mean_square", "average squared score"),
    )

    def bind_columns(self, at: dict[str, int]) -> None:
        self._mean, self._square = at["basic_mean"], at["basic_mean_square"]
        self._initial, self._decay = (
            self.config.basic_ema_initial_alpha,
            self.config.basic_ema_alpha_decay,
        )
        self._blend, self._enough = (
            self.config.exploration_blend_factor,
            self.config.min_samples_for_lp,
        )

    def update_row(
        self, row: memoryview[float], x: float, low: float, high: float, clock: int
    ) -> None:
        if row[COMPLETION_COUNT] == 0.0:
            row[self._mean], row[self._square] = x, x * x
        else:
            alpha = basic_alpha(row[COMPLETION_COUNT], self._initial, self._decay)
            row[self._mean] += alpha * (x - row[self._mean])
            row[self._square] += alpha * (x * x - row[self._square])

    def score_row(self, row: memoryview[float], low: float, high: float, clock: int) -> float:
        mean = row[self._mean]
        deviation = math.sqrt(max(0.0, row[self._square] - mean * mean)) / (high - low)
        return (
            deviation
            if row[COMPLETION_COUNT] >= self._enough
            else (1.0 - self._blend) * deviation + self._blend * 0.5
        )

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        mean = rows[:, self._mean]
        deviation = np.sqrt(np.maximum(0.0, rows[:, self._square] - mean * mean)) / (high - low)
        return np.where(
            rows[:, COMPLETION_COUNT] >= self._enough,
            deviation,
            (1.0 - self._blend) * deviation + self._blend * 0.5,
        )


class LearnabilityScorer(ColumnScorer):
    """Learnability p(1 − p): the variance of success, largest for tasks that succeed half of the
    time.

    Rutherford et al., "No regrets: investigating and improving regret approximations for curriculum
    discovery", 2024. p is the exponential average of the score with α = ``ema_timescale``; a task
    without completions counts as p = 1/2.
    """

    explores = True
    columns = (Column("success_mean", "average score"),)

    def bind_columns(self, at: dict[str, int]) -> None:
        self._mean = at["success_mean"]
        self._alpha = self.config.ema_timescale

    def update_row(
        self, row: memoryview[float], x: float, low: float, high: float, clock: int
    ) -> None:
        old = row[self._mean] if row[COMPLETION_COUNT] else 0.5 * (low + high)
        row[self._mean] = old + self._alpha * (x - old)

    def score_row(self, row: memoryview[float], low: float, high: float, clock: int) -> float:
        p = (row[self._mean] - low) / (high - low) if row[COMPLETION_COUNT] else 0.5
        return p * (1.0 - p)

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        p = np.where(rows[:, COMPLETION_COUNT] > 0, (rows[:, self._mean] - low) / (high - low), 0.5)
        return p * (1.0 - p)
