"""Learning progress with error bars: the default scorer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metta.cogworks.curriculum.pool.layout import COMPLETION_COUNT, Column
from metta.cogworks.curriculum.scorer import ColumnScorer

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
_LEAST_DISPERSION = 0.05  # of what varies less, a single score would decide
# A task's scale. One score widens it by at most this share of itself: an outlier does not own it.
_MOST_GROWTH = 0.5
# And it fades by this share with each score that is hardly above the lowest or below the highest:
# 2 % to 5 % are close, 10 % costs Gaussian scores much.
_FADING, _NEAR_AN_END = 0.03, 0.1
# Scores that differ by less than this share of their size, or of their scale, are the same: sums of
# the same rewards differ by rounding, and in another unit by another.
_SAME, _SMALLEST = 1e-9, 1e-300
# Of forgetting: the prior deviation of both coefficients, the variance that the rate gains per
# completion, and how many deviations below its estimate it is taken to be. With 1, up to a
# quarter of the gain in a world of noise is lost; with 3, a seventh where everything decays.
_SHORTFALL0, _FORGETTING0 = 0.5, 0.1
_FORGETTING_DRIFT = 1e-6
_CAUTION = 2.0
_LEAST_VARIANCE_OF_RATE, _RATE_LIMIT = 1e-12, 100.0
# Completions before a task may be worth less than a new one: one lucky success, or a first return
# that nothing can be compared with, must not end a task. 10 costs 0.05 of the mean share.
_TRIES = 3
_LEAST_SLOPE_VARIANCE = 1e-12
_ROUNDING = 1e-6  # of a covariance, over many completions
_VARIANCE_LIMIT = 1e9  # of what a saved pool may hold: after 2^36 rounds without a completion
_RATES = (-_RATE_LIMIT, _RATE_LIMIT)


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


def _limited(x: float, low: float, high: float) -> float:
    return low if x < low else high if x > high else x


def _rescaled(level: float, factor: float, offset: float) -> float:
    """Log-odds of  factor · sigmoid(level) + offset."""
    p = factor / (1.0 + math.exp(-level)) + offset
    return math.log(p / (1.0 - p)) if 0.0 < p < 1.0 else math.copysign(_LEVEL_LIMIT, p - 0.5)


def _are_same(a: float, b: float) -> bool:
    difference = a - b if a > b else b - a
    return difference <= _SMALLEST or difference <= _SAME * max(abs(a), abs(b))


class PosteriorLPScorer(ColumnScorer):
    """Learning progress with error bars: a trend in log-odds, and the success that one more
    completion is expected to add.

    Per task θ, the log-odds of success, and β, its change per completion, with covariance P: an
    extended Kalman filter, which for Bernoulli outcomes is dynamic logistic regression (West,
    Harrison and Migon, "Dynamic generalized linear models and Bayesian forecasting", JASA 80,
    1985). A completion y in [0, 1], Δ rounds after the last one:

        predict   θ += β;   P00 += 2 P01 + P11 + q_θ Δ;   P01 += P11;   P11 += q_β
        correct   p = sigmoid(θ / sqrt(1 + π/8 P00));   h = max(p(1 − p), 0.02)
                  φ = max(1 − Σ y(1 − y) / (1 + Σ p(1 − p)), 0.05)
                  g = 1 / (φ + h P00);   e = (y − p) g
                  θ += P00 e;   β += P01 e;   P00, P01 *= φ g;   P11 −= P01² h g

    h is dp/dθ and the variance of an outcome of 0 or 1. A score that is a mean, or has other noise,
    varies less: φ, the task's own dispersion, is the share of it that is left. With outcomes of
    mean p, E[y(1 − y)] = p(1 − p) − var y, so the sums, over the task's completions, tell it; it is
    1 while all scores are 0 or 1. The innovation variance h² P00 + φ h gives the gain P / (φ + h
    P00). A round is as many completions of the pool as it has tasks. The score is
    :func:`expected_gain`, with P00 + q_θ Δ.

    What is not practised may be forgotten: before all else a level above 0 falls to
    max(θ − λΔ, 0). λ is the pool's, not the task's: outcomes of tasks with θ > 0 fall short of p
    by h (s + λΔ), a regression on Δ (recursive least squares) whose intercept s takes what has
    other causes, above all that the tasks which are drawn looked better than they are. λ counts as
    its estimate less two standard deviations, at least 0: where nothing is forgotten, nothing is
    expected to be. So a task that was mastered is worth something again once it may have been lost,
    and what it lost is no falling trend.

    A new task has a wide prior, a task that is not tried widens again, and a task that pays at
    random is known not to change: so no bonus is added for either. A task of fewer than 3
    completions is worth at least what a new one is. ``exploration_bonus`` is how
    fast an untried task becomes unknown again (q_θ = 0.015 · bonus); α = ``ema_timescale`` is how
    fast learning goes, in units of which all slopes are: β of a new task is 0.25 α ± 0.2 α, and may
    change by q_β = (0.02 α)² per completion.

    y is the score on the task's own scale, from its lowest to its highest score, whatever the other
    tasks pay. The scale grows by at most half of itself per completion, what is beyond it counting
    as its end, and a score that is hardly above its lower end, or below its upper one, moves the
    other end 3 % closer: an outlier is forgotten. With the scale, the success rate moves as the
    scores do. While all scores of a task are the same, to nine digits, they count as 1 if they are
    above 0 and none of the pool is higher, otherwise as 0. The level stays within ±6, the slope
    within −0.5 α and 2.5 α.
    """

    explores = True
    columns = (
        Column("level", "log-odds of success", -_LEVEL_LIMIT, _LEVEL_LIMIT),
        Column("slope", "change of the level per completion", _LEAST_SLOPE, _MOST_SLOPE),
        Column("var_level", "variance of the level", 0.0, _VARIANCE_LIMIT),
        Column(
            "cov_level_slope", "covariance of level and slope", -_VARIANCE_LIMIT, _VARIANCE_LIMIT
        ),
        Column("var_slope", "variance of the slope", 0.0, _VARIANCE_LIMIT),
        Column(
            "last_clock",
            "completions of the pool at the task's latest",
            0.0,
            2.0**53,
            is_clock=True,
        ),
        Column("lowest", "score that counts as 0: the lowest, of late"),
        Column("record", "score that counts as 1: the highest, of late"),
        Column("same", "what the scores count as while all of them are the same", 0.0, 1.0),
        Column("spread", "sum of y(1 − y) over the completions", 0.0),
        Column("binary_spread", "sum of p(1 − p) over the completions", 0.0),
        Column("shortfall", "of outcomes, at no age, in log-odds", *_RATES, of_pool=True),
        Column("forgetting", "log-odds lost per round, λ", *_RATES, of_pool=True),
        Column("var_shortfall", "variance of the shortfall", 0.0, 1.0, of_pool=True),
        Column("var_forgetting", "variance of the forgetting", 0.0, _VARIANCE_LIMIT, of_pool=True),
        Column("correlation", "of shortfall and forgetting", -1.0, 1.0, of_pool=True),
    )

    def bind_columns(self, at: dict[str, int]) -> None:
        """Keep the positions of the declared columns within a row."""
        self._level, self._slope = at["level"], at["slope"]
        self._p00, self._p01, self._p11 = at["var_level"], at["cov_level_slope"], at["var_slope"]
        self._last, self._same = at["last_clock"], at["same"]
        self._lowest, self._record = at["lowest"], at["record"]
        self._spread, self._binary_spread = at["spread"], at["binary_spread"]
        self._shortfall, self._forgetting = at["shortfall"], at["forgetting"]
        self._v00, self._v11 = at["var_shortfall"], at["var_forgetting"]
        self._correlation = at["correlation"]
        self._slope0 = 0.25 * self.config.ema_timescale
        self._least_slope = _LEAST_SLOPE * self.config.ema_timescale
        self._most_slope = _MOST_SLOPE * self.config.ema_timescale
        self._var_slope0 = max((0.2 * self.config.ema_timescale) ** 2, _LEAST_SLOPE_VARIANCE)
        self._level_drift = 0.015 * self.config.exploration_bonus
        self._q_slope = (0.02 * self.config.ema_timescale) ** 2
        self._header = self.tracker.table.header
        self._unseen_worth = float(
            expected_gain(0.0, self._slope0, _VAR_LEVEL0, self._var_slope0, math.exp, math.sqrt)
        )

    def update_row(
        self, row: memoryview[float], x: float, low: float, high: float, clock: int
    ) -> None:
        """Add a completion: see the class."""
        if row[self._p11] == 0.0:
            self._begin(row, x, high, clock)
        level, y = self._on_own_scale(row, x, high)
        slope, p00, p01, p11 = row[self._slope], row[self._p00], row[self._p01], row[self._p11]
        # predict
        age = (clock - row[self._last]) / (self._header.active_count or 1)
        known = level
        if level > 0.0:
            level = max(level - self._rate() * age, 0.0)
        lost = known - level
        level = _limited(level + slope, -_LEVEL_LIMIT, _LEVEL_LIMIT)
        p00 += 2.0 * p01 + p11 + self._level_drift * age
        p01 += p11
        p11 += self._q_slope
        # correct
        p = 1.0 / (1.0 + math.exp(-level / math.sqrt(1.0 + _LOGISTIC_NORMAL * p00)))
        h = p * (1.0 - p)
        row[self._spread] = spread = row[self._spread] + y * (1.0 - y)
        row[self._binary_spread] = binary_spread = row[self._binary_spread] + h
        dispersion = 1.0 - spread / (1.0 + binary_spread)
        if dispersion < _LEAST_DISPERSION:
            dispersion = _LEAST_DISPERSION
        if h < _LEAST_VARIANCE:
            h = _LEAST_VARIANCE
        g = 1.0 / (dispersion + h * p00)
        if known > 0.0:
            self._learn_rate((p - y) / h + lost, age, 1.0 / (g * h))
        e = (y - p) * g
        row[self._level] = _limited(level + p00 * e, -_LEVEL_LIMIT, _LEVEL_LIMIT)
        row[self._slope] = _limited(slope + p01 * e, self._least_slope, self._most_slope)
        row[self._p00] = p00 * dispersion * g
        row[self._p01] = p01 * dispersion * g
        p11 -= p01 * p01 * h * g
        row[self._p11] = _LEAST_SLOPE_VARIANCE if p11 < _LEAST_SLOPE_VARIANCE else p11
        row[self._last] = clock

    def _rate(self) -> float:
        """λ as it is taken to be: see the class."""
        values = self.pool_values
        rate = values[self._forgetting] - _CAUTION * math.sqrt(values[self._v11])
        return rate if rate > 0.0 else 0.0

    def _learn_rate(self, shortfall: float, age: float, variance: float) -> None:
        """Add an outcome's shortfall, in log-odds, with its variance to the regression."""
        values = self.pool_values
        v00, v11 = values[self._v00], values[self._v11]
        if v11 == 0.0:
            v00, v11 = _SHORTFALL0**2, _FORGETTING0**2
        v01 = values[self._correlation] * math.sqrt(v00 * v11)
        along0, along1 = v00 + v01 * age, v01 + v11 * age
        total = variance + along0 + along1 * age
        e = shortfall - values[self._shortfall] - values[self._forgetting] * age
        for at, along in ((self._shortfall, along0), (self._forgetting, along1)):
            values[at] = _limited(values[at] + along / total * e, *_RATES)
        v01 -= along0 * along1 / total
        v00 = max(v00 - along0 * along0 / total, _LEAST_VARIANCE_OF_RATE)
        v11 = max(v11 - along1 * along1 / total, _LEAST_VARIANCE_OF_RATE) + _FORGETTING_DRIFT
        values[self._v00], values[self._v11] = v00, min(v11, _VARIANCE_LIMIT)
        values[self._correlation] = _limited(v01 / math.sqrt(v00 * v11), -1.0, 1.0)

    def _begin(self, row: memoryview[float], x: float, high: float, clock: int) -> None:
        # At the first completion, or where only the documented row is shared.
        row[self._level], row[self._slope] = 0.0, self._slope0
        row[self._p00], row[self._p01], row[self._p11] = _VAR_LEVEL0, 0.0, self._var_slope0
        row[self._lowest] = row[self._record] = x
        row[self._same], row[self._last] = float(x >= high), clock
        row[self._spread] = row[self._binary_spread] = 0.0

    def _on_own_scale(self, row: memoryview[float], x: float, high: float) -> tuple[float, float]:
        """Let ``x`` into the task's own scale; returns level and score on it."""
        level, lowest, record = row[self._level], row[self._lowest], row[self._record]
        width = record - lowest
        if _are_same(lowest, record):
            return self._of_same_scores(row, x, high)
        y = (x - lowest) / width
        new_lowest, new_record = lowest, record
        if y > 1.0 + _SAME:
            new_record = min(x, record + _MOST_GROWTH * width)
        elif y < -_SAME:
            new_lowest = max(x, lowest - _MOST_GROWTH * width)
        elif _SAME < y < _NEAR_AN_END - _SAME:
            new_record -= _FADING * width
        elif 1.0 - _NEAR_AN_END + _SAME < y < 1.0 - _SAME:
            new_lowest += _FADING * width
        else:
            return level, _limited(y, 0.0, 1.0)
        if not _are_same(new_lowest, new_record):  # otherwise the scale is as narrow as can be
            new_width = new_record - new_lowest
            row[self._lowest], row[self._record] = new_lowest, new_record
            level = _rescaled(level, width / new_width, (lowest - new_lowest) / new_width)
            y = (x - new_lowest) / new_width
        return level, _limited(y, 0.0, 1.0)

    def _of_same_scores(self, row: memoryview[float], x: float, high: float) -> tuple[float, float]:
        # As many successes as there were failures have the opposite log-odds.
        same, before = row[self._record], row[self._same]
        is_same = _are_same(x, same)
        counts = float(same > high or _are_same(same, high)) if is_same else float(same > x)
        row[self._same] = counts
        if not is_same:
            row[self._lowest], row[self._record] = min(x, same), max(x, same)
        level = row[self._level]
        return level if counts == before else -level, counts if is_same else 1.0 - counts

    def score_row(self, row: memoryview[float], low: float, high: float, clock: int) -> float:
        """Expected gain of a row: see the class."""
        if row[self._p11] == 0.0:
            return self._unseen_worth
        age = (clock - row[self._last]) / (self._header.active_count or 1)
        level, var_level = row[self._level], row[self._p00] + self._level_drift * age
        if level > 0.0:
            level = max(level - self._rate() * age, 0.0)
        worth = expected_gain(
            level, row[self._slope], var_level, row[self._p11], math.exp, math.sqrt
        )
        is_young = row[COMPLETION_COUNT] < _TRIES
        return self._unseen_worth if is_young and worth < self._unseen_worth else worth

    def impossible(self, rows: np.ndarray) -> np.ndarray:
        """Where the covariance is none: P01² > P00 · P11."""
        p00, p01, p11 = rows[:, self._p00], rows[:, self._p01], rows[:, self._p11]
        return p01 * p01 > (1.0 + _ROUNDING) * p00 * p11

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        """Expected gain of many rows, shape ``(n, row_size)``."""
        unseen = rows[:, self._p11] == 0.0
        age = (clock - rows[:, self._last]) / (self._header.active_count or 1)
        level, var_level = rows[:, self._level], rows[:, self._p00] + self._level_drift * age
        rate = self._rate()
        if rate:
            level = np.where(level > 0.0, np.maximum(level - rate * age, 0.0), level)
        slope, var_slope = rows[:, self._slope], rows[:, self._p11]
        if unseen.any():
            var_level = np.where(unseen, _VAR_LEVEL0, var_level)
            slope = np.where(unseen, self._slope0, slope)
            var_slope = np.where(unseen, self._var_slope0, var_slope)
        worth = expected_gain(level, slope, var_level, var_slope, np.exp, np.sqrt)
        is_young = rows[:, COMPLETION_COUNT] < _TRIES
        return np.where(is_young, np.maximum(worth, self._unseen_worth), worth)
