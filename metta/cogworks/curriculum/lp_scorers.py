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
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from metta.cogworks.curriculum.stats import gini
from metta.cogworks.curriculum.task_table import ACTIVE, SCORE_HIGH, SCORE_LOW, Column, TaskTable

if TYPE_CHECKING:
    from metta.cogworks.curriculum.learning_progress_algorithm import LearningProgressConfig
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


# -- interface -------------------------------------------------------------------------------------


class LPScorer(ABC):
    """A strategy that turns completions into a learning-progress score per task.

    Declare ``columns`` to keep state in the shared pool and reach it through
    ``self.tracker.get_column`` and ``set_column``; state kept in attributes stays in this process.
    """

    columns: ClassVar[tuple[Column, ...]] = ()

    def __init__(self, config: LearningProgressConfig):
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
    def update_row(self, v: memoryview[float], b: int, x: float, n: float, clock: int) -> None:
        """Add a completion of score ``x`` to the row at ``v[b:]``, which had ``n`` before.
        ``clock`` counts the pool's.

        ``v[SCORE_LOW]`` and ``v[SCORE_HIGH]`` are the range of all scores so far, this one
        included.
        """

    @abstractmethod
    def score_row(self, v: memoryview[float], b: int, low: float, high: float, clock: int) -> float:
        """Learning progress of the row at ``v[b:]``, on the scale where scores from ``low`` to
        ``high`` are 0 to 1."""

    @abstractmethod
    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        """Learning progress of many rows, shape ``(n, row_size)``; equal to :meth:`score_row` of
        each."""

    def score_task(self, task_id: int, tracker: TaskTracker) -> float:
        with tracker.table as table:
            slot = table.find(task_id)
            v = table.values
            if slot < 0:
                return 0.0
            return self.score_row(v, table.base(slot), v[SCORE_LOW], v[SCORE_HIGH], table.clock)

    def update_with_score(self, task_id: int, score: float) -> None:
        with self.tracker.table as table:
            slot = table.find(task_id)
            if slot >= 0:
                b = table.save_row(slot)
                self.update_row(table.values, b, score, table.values[b + 2], table.clock)
                table.commit()

    def remove_task(self, task_id: int) -> None:
        with self.tracker.table as table:
            slot = table.find(task_id)
            if slot >= 0:
                b = table.save_row(slot)
                for offset in self._at.values():
                    table.values[b + offset] = 0.0
                table.commit()

    def get_stats(self) -> dict[str, float]:
        return pool_stats(self.tracker.table)

    def get_state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing beyond the columns, which the tracker loads."""

    def invalidate_cache(self) -> None:
        """Nothing is kept."""


def pool_stats(table: TaskTable) -> dict[str, float]:
    """What every scorer reports of its pool. Means are over the tasks with completions."""
    with table:
        active = table.active()
        n = table.column("completion_count")[active]
        progress = table.column("lp_score")[active]
        success = table.column("success_rate_ema")[active]
        probability = table.probability[active]
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

    def update_row(self, v: memoryview[float], b: int, x: float, n: float, clock: int) -> None:
        if self._normalise:
            if n == 0.0:
                low, high = v[SCORE_LOW], v[SCORE_HIGH]
                v[b + self._baseline] = min(x, low + BASELINE_LIMIT * (high - low))
            x = max(x, v[b + self._baseline])
        if n == 0.0:
            v[b + self._fast] = v[b + self._slow] = x
        else:
            v[b + self._fast] += self._alpha * (x - v[b + self._fast])
            v[b + self._slow] += self._slow_alpha * (x - v[b + self._slow])

    def score_row(self, v: memoryview[float], b: int, low: float, high: float, clock: int) -> float:
        zero = v[b + self._baseline] if self._normalise else low
        unit = 1.0 / (high - zero)
        return bidirectional_progress(
            (v[b + self._fast] - zero) * unit, (v[b + self._slow] - zero) * unit, self._theta
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

    def update_row(self, v: memoryview[float], b: int, x: float, n: float, clock: int) -> None:
        if n == 0.0:
            v[b + self._fast] = v[b + self._slow] = x
        else:
            v[b + self._fast] += self._alpha * (x - v[b + self._fast])
            v[b + self._slow] += self._slow_alpha * (x - v[b + self._slow])

    def score_row(self, v: memoryview[float], b: int, low: float, high: float, clock: int) -> float:
        return (
            1.0 / (1.0 + math.exp((v[b + self._slow] - v[b + self._fast]) / (high - low)))
            + self._theta
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

    def update_row(self, v: memoryview[float], b: int, x: float, n: float, clock: int) -> None:
        if n == 0.0:
            v[b + self._mean], v[b + self._square] = x, x * x
        else:
            alpha = basic_alpha(n, self._initial, self._decay)
            v[b + self._mean] += alpha * (x - v[b + self._mean])
            v[b + self._square] += alpha * (x * x - v[b + self._square])

    def score_row(self, v: memoryview[float], b: int, low: float, high: float, clock: int) -> float:
        mean = v[b + self._mean]
        deviation = math.sqrt(max(0.0, v[b + self._square] - mean * mean)) / (high - low)
        return (
            deviation
            if v[b + 2] >= self._enough
            else (1.0 - self._blend) * deviation + self._blend * 0.5
        )

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        mean = rows[:, self._mean]
        deviation = np.sqrt(np.maximum(0.0, rows[:, self._square] - mean * mean)) / (high - low)
        return np.where(
            rows[:, 2] >= self._enough,
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

    def update_row(self, v: memoryview[float], b: int, x: float, n: float, clock: int) -> None:
        old = v[b + self._mean] if n else 0.5 * (v[SCORE_LOW] + v[SCORE_HIGH])
        v[b + self._mean] = old + self._alpha * (x - old)

    def score_row(self, v: memoryview[float], b: int, low: float, high: float, clock: int) -> float:
        p = (v[b + self._mean] - low) / (high - low) if v[b + 2] else 0.5
        return p * (1.0 - p)

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        p = np.where(rows[:, 2] > 0, (rows[:, self._mean] - low) / (high - low), 0.5)
        return p * (1.0 - p)


# E[sigmoid(N(t, v))] is about sigmoid(t / sqrt(1 + πv/8)): MacKay, "The evidence framework applied
# to classification networks", Neural Computation 4, 1992.
_LOGISTIC_NORMAL = math.pi / 8.0
# Where a default has no other source it is the middle of the range within which the simulated
# learners do equally well, to 0.03 of the oracle's gain (docs/evidence.md).
# of the prior log-odds: nearly every success rate is equally plausible, 0 and 1 a little more
_VAR_LEVEL0 = 8.0
_LEAST_VARIANCE = 0.02  # of an outcome: even a success that never failed carries some information
_LEVEL_LIMIT = 6.0  # log-odds; success rates of 0.0025 and 0.9975
# Limits of the slope, in units of ema_timescale. Where the level is at its own limit the slope
# would grow with every completion that says nothing new, and a task that changes after thousands of
# them would be noticed too late. A slope below the lower limit is worth nothing anyway; the upper
# one is ten times what is expected of a new task.
_LEAST_SLOPE, _MOST_SLOPE = -0.5, 2.5
_RECORD_FLOOR = 0.02  # a task's own scale is at least this share of the range of all scores
_LEAST_SLOPE_VARIANCE = 1e-12


def expected_positive(mean: Any, deviation: Any, exp: Any) -> Any:
    """E[max(s, 0)] for s ~ N(mean, deviation²):  m·Φ(m/σ) + σ·φ(m/σ).  ``exp`` is ``math.exp`` or
    ``np.exp``.

    Φ by Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.17, absolute error below
    7.5e-8.
    """
    a = abs(mean / deviation)
    density = 0.3989422804014327 * exp(-0.5 * a * a)
    t = 1.0 / (1.0 + 0.2316419 * a)
    tail = (
        density
        * t
        * (
            0.319381530
            + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429)))
        )
    )
    # E[max(s, 0)] of a mean m >= 0 is m + (that of -m), and that of -|m| is σ(φ(a) − a·(1 − Φ(a))).
    rest = density - a * tail
    return (
        deviation * (rest + abs(rest)) * 0.5 + (mean + abs(mean)) * 0.5
    )  # far out the approximation falls below 0


def expected_gain(
    level: Any, slope: Any, var_level: Any, var_slope: Any, exp: Any, sqrt: Any
) -> Any:
    """p (1 − p)² · E[max(slope, 0)]  with  p = sigmoid(level / sqrt(1 + π/8 · var_level)), for
    floats and arrays.

    dp/dn = p(1 − p)·slope is the logistic learning curve (Thurstone 1930): what one more completion
    is expected to add to the success rate. The further factor (1 − p) is the room that is left.
    """
    p = 1.0 / (1.0 + exp(-level / sqrt(1.0 + _LOGISTIC_NORMAL * var_level)))
    q = 1.0 - p
    return p * q * q * expected_positive(slope, sqrt(var_slope), exp)


def _rescaled(level: float, factor: float, offset: float) -> float:
    """Log-odds of  factor · sigmoid(level) + offset."""
    p = factor / (1.0 + math.exp(-level)) + offset
    return math.log(p / (1.0 - p)) if 0.0 < p < 1.0 else math.copysign(_LEVEL_LIMIT, p - 0.5)


class PosteriorLPScorer(ColumnScorer):
    """Learning progress with error bars: a trend in log-odds, and the success that one more
    completion is expected to add.

    Per task θ, the log-odds of success, and β, its change per completion, with covariance P: an
    extended Kalman filter, which for Bernoulli outcomes is dynamic logistic regression (West,
    Harrison and Migon, "Dynamic generalized linear models and Bayesian forecasting", JASA 80,
    1985). A completion y in [0, 1], Δ rounds after the last one:

        predict   θ += β;   P00 += 2 P01 + P11 + q_θ Δ;   P01 += P11;   P11 += q_β
        correct   p = sigmoid(θ / sqrt(1 + π/8 P00));   h = max(p(1 − p), 0.02)
                  g = 1 / (1 + h P00);   e = (y − p) g
                  θ += P00 e;   β += P01 e;   P00, P01 *= g;   P11 −= P01² h g

    h is both dp/dθ and the variance of y, so that the innovation variance h² P00 + h gives the gain
    P / (1 + h P00). A round is as many completions of the pool as it has tasks. The score is
    :func:`expected_gain`, with P00 + q_θ Δ.

    A new task has a wide prior, a task that is not tried widens again, and a task that pays at
    random is known not to change: so no bonus is added for either. ``exploration_bonus`` is how
    fast an untried task becomes unknown again (q_θ = 0.015 · bonus); α = ``ema_timescale`` is how
    fast learning goes, in units of which all slopes are: β of a new task is 0.25 α ± 0.2 α, and may
    change by q_β = (0.02 α)² per completion.

    y is the score on the task's own scale, from the lowest score of the pool to the highest of the
    task (but at least 2 % of the pool's range), so that tasks with small rewards count as much as
    others. When the record of a task that had paid before rises, or the lowest score of the pool
    falls, its success rate is moved to the new scale, as the scores are. The level stays within ±6,
    the slope within −0.5 α and 2.5 α.
    """

    explores = True
    columns = (
        Column("level", "log-odds of success"),
        Column("slope", "change of the level per completion"),
        Column("var_level", "variance of the level"),
        Column("cov_level_slope", "covariance of level and slope"),
        Column("var_slope", "variance of the slope"),
        Column("last_clock", "completions of the pool at the task's latest"),
        Column("record", "highest score"),
        Column("unit", "distance from origin to the score that counts as 1"),
        Column("origin", "score that counts as 0: the lowest of the pool at the latest completion"),
    )

    def bind_columns(self, at: dict[str, int]) -> None:
        self._level, self._slope = at["level"], at["slope"]
        self._p00, self._p01, self._p11 = at["var_level"], at["cov_level_slope"], at["var_slope"]
        self._last, self._record, self._unit, self._origin = (
            at["last_clock"],
            at["record"],
            at["unit"],
            at["origin"],
        )
        self._slope0 = 0.25 * self.config.ema_timescale
        self._least_slope = _LEAST_SLOPE * self.config.ema_timescale
        self._most_slope = _MOST_SLOPE * self.config.ema_timescale
        self._var_slope0 = max((0.2 * self.config.ema_timescale) ** 2, _LEAST_SLOPE_VARIANCE)
        self._level_drift = 0.015 * self.config.exploration_bonus
        self._q_slope = (0.02 * self.config.ema_timescale) ** 2
        self._header = self.tracker.table.header

    def update_row(self, v: memoryview[float], b: int, x: float, n: float, clock: int) -> None:
        if (
            v[b + self._p11] == 0.0
            # nothing is known here: at the first completion, or where only the documented row is
            # shared
        ):
            level, slope, p00, p01, p11, age = (
                0.0,
                self._slope0,
                _VAR_LEVEL0,
                0.0,
                self._var_slope0,
                0.0,
            )
            origin = record = v[SCORE_LOW]
            unit = 0.0
        else:
            level, slope = v[b + self._level], v[b + self._slope]
            p00, p01, p11 = v[b + self._p00], v[b + self._p01], v[b + self._p11]
            record, unit, origin = v[b + self._record], v[b + self._unit], v[b + self._origin]
            age = (clock - v[b + self._last]) / (self._header[ACTIVE] or 1)
        # the task's own scale
        low = v[SCORE_LOW]
        had_paid = record > origin
        if x > record:  # comparisons, not min and max: this is on the path of every episode
            record = x
        new_unit = _RECORD_FLOOR * (v[SCORE_HIGH] - low)
        if record - low > new_unit:
            new_unit = record - low
        if (had_paid and new_unit > unit) or (low < origin and unit > 0.0):
            level = _rescaled(level, unit / new_unit, (origin - low) / new_unit)
        y = (x - low) / new_unit if x > low else 0.0
        # predict
        level += slope
        if level > _LEVEL_LIMIT:
            level = _LEVEL_LIMIT
        elif level < -_LEVEL_LIMIT:
            level = -_LEVEL_LIMIT
        p00 += 2.0 * p01 + p11 + self._level_drift * age
        p01 += p11
        p11 += self._q_slope
        # correct
        p = 1.0 / (1.0 + math.exp(-level / math.sqrt(1.0 + _LOGISTIC_NORMAL * p00)))
        h = p * (1.0 - p)
        if h < _LEAST_VARIANCE:
            h = _LEAST_VARIANCE
        g = 1.0 / (1.0 + h * p00)
        e = (y - p) * g
        slope += p01 * e
        if slope < self._least_slope:
            slope = self._least_slope
        elif slope > self._most_slope:
            slope = self._most_slope
        level += p00 * e
        if level > _LEVEL_LIMIT:
            level = _LEVEL_LIMIT
        elif level < -_LEVEL_LIMIT:
            level = -_LEVEL_LIMIT
        v[b + self._level] = level
        v[b + self._slope] = slope
        v[b + self._p00] = p00 * g
        v[b + self._p01] = p01 * g
        p11 -= p01 * p01 * h * g
        v[b + self._p11] = _LEAST_SLOPE_VARIANCE if p11 < _LEAST_SLOPE_VARIANCE else p11
        v[b + self._last] = clock
        v[b + self._record], v[b + self._unit], v[b + self._origin] = record, new_unit, low

    def score_row(self, v: memoryview[float], b: int, low: float, high: float, clock: int) -> float:
        if v[b + self._p11] == 0.0:
            return expected_gain(
                0.0, self._slope0, _VAR_LEVEL0, self._var_slope0, math.exp, math.sqrt
            )
        age = (clock - v[b + self._last]) / (self._header[ACTIVE] or 1)
        var_level = v[b + self._p00] + self._level_drift * age
        return expected_gain(
            v[b + self._level], v[b + self._slope], var_level, v[b + self._p11], math.exp, math.sqrt
        )

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        unseen = rows[:, self._p11] == 0.0
        var_level = rows[:, self._p00] + (clock - rows[:, self._last]) * (
            self._level_drift / (self._header[ACTIVE] or 1)
        )
        slope, var_slope = rows[:, self._slope], rows[:, self._p11]
        if unseen.any():
            var_level = np.where(unseen, _VAR_LEVEL0, var_level)
            slope = np.where(unseen, self._slope0, slope)
            var_slope = np.where(unseen, self._var_slope0, var_slope)
        return expected_gain(rows[:, self._level], slope, var_level, var_slope, np.exp, np.sqrt)
