"""Scorers of averages: what is known of a task's learning is a mean, or two of them.

:mod:`.scorer` is the interface, :mod:`.posterior_scorer` the default. The rules are pure functions
at the top.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metta.cogworks.curriculum.pool.layout import COMPLETION_COUNT, Column
from metta.cogworks.curriculum.scorer import ColumnScorer, LPScorer, ScorerConfig, pool_stats

__all__ = [
    "BASELINE_LIMIT",
    "BasicLPScorer",
    "BidirectionalLPScorer",
    "ColumnScorer",
    "LPScorer",
    "LearnabilityScorer",
    "ScorerConfig",
    "SignedLPScorer",
    "basic_alpha",
    "bidirectional_progress",
    "pool_stats",
    "reweight",
]

# -- rules -----------------------------------------------------------------------------------------

_MOST_EXPONENT = 500.0  # of e: far from overflow
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
        """Keep the positions of the declared columns within a row."""
        self._fast, self._slow, self._baseline = at["fast_ema"], at["slow_ema"], at["baseline"]
        self._alpha = self.config.ema_timescale
        self._slow_alpha = self.config.ema_timescale * self.config.slow_timescale_factor
        self._normalise = self.config.use_baseline_normalization
        self._theta = self.config.progress_smoothing

    def update_row(
        self, row: memoryview[float], x: float, low: float, high: float, clock: int
    ) -> None:
        """Add a completion: see the class."""
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
        """The score of a row: see the class."""
        zero = row[self._baseline] if self._normalise else low
        # Where all scores were 0 or less, a task that began with 0 is at its baseline.
        unit = 1.0 / (high - zero) if high > zero else 0.0
        return bidirectional_progress(
            (row[self._fast] - zero) * unit, (row[self._slow] - zero) * unit, self._theta
        )

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        """The scores of many rows, shape ``(n, row_size)``."""
        zero = rows[:, self._baseline] if self._normalise else low
        width = high - zero
        unit = np.divide(1.0, width, out=np.zeros(len(rows)), where=width > 0.0)
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
        """Keep the positions of the declared columns within a row."""
        self._fast, self._slow = at["fast_ema"], at["slow_ema"]
        self._alpha = self.config.ema_timescale
        self._slow_alpha = self.config.ema_timescale * self.config.slow_timescale_factor
        self._theta = self.config.progress_smoothing

    def update_row(
        self, row: memoryview[float], x: float, low: float, high: float, clock: int
    ) -> None:
        """Add a completion: see the class."""
        if row[COMPLETION_COUNT] == 0.0:
            row[self._fast] = row[self._slow] = x
        else:
            row[self._fast] += self._alpha * (x - row[self._fast])
            row[self._slow] += self._slow_alpha * (x - row[self._slow])

    def score_row(self, row: memoryview[float], low: float, high: float, clock: int) -> float:
        """The score of a row: see the class."""
        fall = (row[self._slow] - row[self._fast]) / (high - low)
        return 1.0 / (1.0 + math.exp(min(fall, _MOST_EXPONENT))) + self._theta

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        """The scores of many rows, shape ``(n, row_size)``."""
        fall = (rows[:, self._slow] - rows[:, self._fast]) / (high - low)
        return 1.0 / (1.0 + np.exp(np.minimum(fall, _MOST_EXPONENT))) + self._theta


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
        Column("basic_mean_square", "average squared score", 0.0),
    )

    def bind_columns(self, at: dict[str, int]) -> None:
        """Keep the positions of the declared columns within a row."""
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
        """Add a completion: see the class."""
        if row[COMPLETION_COUNT] == 0.0:
            row[self._mean], row[self._square] = x, x * x
        else:
            alpha = basic_alpha(row[COMPLETION_COUNT], self._initial, self._decay)
            row[self._mean] += alpha * (x - row[self._mean])
            row[self._square] += alpha * (x * x - row[self._square])

    def score_row(self, row: memoryview[float], low: float, high: float, clock: int) -> float:
        """The score of a row: see the class."""
        mean = row[self._mean]
        deviation = math.sqrt(max(0.0, row[self._square] - mean * mean)) / (high - low)
        return (
            deviation
            if row[COMPLETION_COUNT] >= self._enough
            else (1.0 - self._blend) * deviation + self._blend * 0.5
        )

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        """The scores of many rows, shape ``(n, row_size)``."""
        mean = rows[:, self._mean]
        variance = np.maximum(0.0, rows[:, self._square] - mean * mean)
        deviation = np.sqrt(variance) / (high - low)
        return np.where(
            rows[:, COMPLETION_COUNT] >= self._enough,
            deviation,
            (1.0 - self._blend) * deviation + self._blend * 0.5,
        )


class LearnabilityScorer(ColumnScorer):
    """Learnability p(1 − p): the variance of success, largest for tasks that succeed half of the
    time.

    Rutherford et al., "No regrets: investigating and improving regret approximations for curriculum
    discovery", 2024. p is the exponential average of the score with α = ``ema_timescale``, from 1/2
    before the first. The column holds the average from 0, on the scale of the scores, so that
    a half is a half whatever range is seen later: with the 1/2 it is  p = (a − (1 − r) low) /
    (high − low) + r/2,  r = (1 − α)^n what is left of it after n completions.
    """

    explores = True
    columns = (Column("score_average", "average score, from 0"),)

    def bind_columns(self, at: dict[str, int]) -> None:
        """Keep the positions of the declared columns within a row."""
        self._average = at["score_average"]
        self._alpha = self.config.ema_timescale
        self._rest = 1.0 - self._alpha

    def update_row(
        self, row: memoryview[float], x: float, low: float, high: float, clock: int
    ) -> None:
        """Add a completion: see the class."""
        row[self._average] += self._alpha * (x - row[self._average])

    def score_row(self, row: memoryview[float], low: float, high: float, clock: int) -> float:
        """The score of a row: see the class."""
        rest = self._rest ** row[COMPLETION_COUNT]
        p = (row[self._average] - (1.0 - rest) * low) / (high - low) + 0.5 * rest
        return p * (1.0 - p)

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        """The scores of many rows, shape ``(n, row_size)``."""
        rest = self._rest ** rows[:, COMPLETION_COUNT]
        p = (rows[:, self._average] - (1.0 - rest) * low) / (high - low) + 0.5 * rest
        return p * (1.0 - p)
