"""From what is known of tasks to what they are drawn by: the sampling rule, as configured.

A rule is *local* if the weight of a task follows from its own row; then a completion changes the
task's weight at once. The others compare tasks with each other, by the moments of what all of them
are worth: they are applied block by block, every so many completions, and each block leaves in the
table what the others need to know of it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

import metta.cogworks.curriculum.sampling as sampling
from metta.cogworks.curriculum.in_flight import InFlightDiscount
from metta.cogworks.curriculum.pool.layout import (
    BLOCK,
    COMPLETION_COUNT,
    IS_ACTIVE,
    LP_SCORE,
    REWARD_EMA,
)
from metta.cogworks.curriculum.pool.table import TaskTable
from metta.cogworks.curriculum.scorer import MAX_FACTOR, ColumnScorer, LPScorer, ScorerConfig

Rule = Literal[
    "power",
    "zscore_softmax",
    "zscore_sigmoid",
    "quantile_sigmoid",
    "temperature_softmax",
    "proportional",
    "uniform",
]
_LOCAL = ("power", "proportional", "uniform")
_MOST_WEIGHT = 1e280  # of one task: a sum over all of them is far from overflow


LOCAL_REFRESH_PERIOD = 384
"""Completions between two refreshes of a block, for rules by which a completion changes its task's
weight at once: what is left is the slow drift of tasks that are not tried. More than a hundred, so
that the refresh is not among the slowest hundredth of episodes."""


class SamplingConfig(ScorerConfig):
    """How worth becomes probability."""

    performance_bonus_weight: float = Field(
        default=0.0,
        ge=0,
        le=MAX_FACTOR,
        description="worth added per unit of average score; the guide's default",
    )
    sampling: Rule | Literal[""] = Field(
        default="",
        description="the sampling rule. Default: power for posterior, else zscore_softmax (see "
        "docs/evidence.md)",
    )
    sampling_power: float = Field(
        default=6.0,
        ge=0,
        le=MAX_FACTOR,
        description="exponent of the worth: how much more often a better task is drawn "
        "(docs/evidence.md)",
    )
    z_score_amplification: float = Field(
        default=1.0, ge=0, le=MAX_FACTOR, description="factor before softmax or sigmoid"
    )
    sampling_quantile: float = Field(
        default=0.9, gt=0, lt=1, description="centre of the quantile sigmoid; Kanitscheider 2021"
    )
    sampling_temperature: float = Field(
        default=0.1,
        ge=1.0 / MAX_FACTOR,
        le=MAX_FACTOR,
        description="of temperature_softmax, in units of worth",
    )
    in_flight_discount: float = Field(
        default=0.1,
        ge=0,
        le=MAX_FACTOR,
        description="a task is worth 1 / (1 + discount · m) of itself while m of its own episodes "
        "have not ended; 0: they do not matter (docs/evidence.md)",
    )
    rand_task_rate: float = Field(
        default=0.01, ge=0, le=1, description="share of uniform sampling; the guide's default"
    )


class _Known(NamedTuple):
    """Of the progress of measured tasks."""

    mean: float
    top: float


class Weighing:
    """Weights by the rule of a configuration.

    Args:
        config: the rule.
        scorer: says what a task is worth.
        unseen_worth: what a task is worth that nobody has tried, where the scorer can tell.
    """

    def __init__(self, config: SamplingConfig, scorer: LPScorer, unseen_worth: float | None):
        self._config = config
        self._scorer = scorer if isinstance(scorer, ColumnScorer) else None
        self._explores = self._scorer is not None and self._scorer.explores
        self._scale = unseen_worth or 1.0
        exponents = {"power": config.sampling_power, "proportional": 1.0, "uniform": 0.0}
        self._exponent = exponents.get(config.sampling, 0.0)
        in_flight_exponent = exponents.get(config.sampling, config.sampling_power)
        self.in_flight = InFlightDiscount(config.in_flight_discount, in_flight_exponent)
        self.is_local = (
            config.sampling in _LOCAL
            and unseen_worth is not None
            and config.performance_bonus_weight == 0.0
        )

    def in_flight_changed(self, table: TaskTable, slot: int, before: int, now: int) -> None:
        """Change the weight of the task in ``slot`` by how many of its draws are in flight."""
        if not self.in_flight.is_none and before != now:
            begun = table.begin()
            table.samples.scale_weight(slot, self.in_flight.ratio(before, now))
            table.commit(begun)

    def of_worth(self, worth: float) -> float:
        """Weight of a task of this worth, at least 0, by a local rule."""
        if self._config.sampling == "uniform":
            return 1.0
        if worth <= 0.0:
            return 0.0
        try:
            return min((worth / self._scale) ** self._exponent, _MOST_WEIGHT)
        except OverflowError:
            return _MOST_WEIGHT

    def worth(self, table: TaskTable, slots: slice) -> np.ndarray:
        """What the tasks in a block are worth: progress, exploration and performance bonus; float64
        of shape ``(n,)``, anything for empty slots. Lock held."""
        rows, config = table.rows[slots], self._config
        low, high = table.header.score_range
        if self._scorer is not None:
            worth = self._scorer.score_rows(rows, low, high, table.header.clock)
        else:
            worth = rows[:, LP_SCORE].copy()
        if not self._explores:
            measured = rows[:, COMPLETION_COUNT] >= config.min_samples_for_lp
            measured &= rows[:, IS_ACTIVE] != 0.0
            known = self._known(table, slots, worth[measured])
            worth = explored(worth, measured, known.mean, known.top, config.exploration_bonus)
        if config.performance_bonus_weight:
            level = (rows[:, REWARD_EMA] - low) / (high - low)
            bonus = config.performance_bonus_weight * level
            worth = worth + bonus * (rows[:, COMPLETION_COUNT] > 0)
        return worth

    def of_block(self, table: TaskTable, slots: slice) -> np.ndarray:
        """Weights of a block, float64 of shape ``(n,)``; not finite where a task cannot be scored,
        0 for empty slots. Lock held."""
        config = self._config
        active = table.rows[slots, IS_ACTIVE] != 0.0
        worth = np.where(active, self.worth(table, slots), 0.0)
        bad = ~np.isfinite(worth)
        worth[bad] = 0.0
        if config.sampling == "uniform":
            weights = np.ones(len(worth))
        elif self.is_local:
            weights = sampling.power_weights(worth, self._scale, self._exponent)
        else:
            weights = self._compared(worth, self._moments(table, slots, worth[active]))
        if not self.in_flight.is_none:
            weights = weights * self.in_flight.of_block(table.flights.load_of_block(slots))
        weights = np.where(active, weights, 0.0)
        weights[bad] = np.nan
        return weights

    def _compared(self, worth: np.ndarray, m: sampling.Moments) -> np.ndarray:
        c = self._config
        if c.sampling == "zscore_softmax":
            return sampling.zscore_softmax_weights(worth, m, c.z_score_amplification)
        if c.sampling == "zscore_sigmoid":
            return sampling.zscore_sigmoid_weights(worth, m, c.z_score_amplification)
        if c.sampling == "quantile_sigmoid":
            return sampling.quantile_sigmoid_weights(worth, m, c.z_score_amplification)
        if c.sampling == "temperature_softmax":
            return sampling.temperature_softmax_weights(worth, m, c.sampling_temperature)
        return sampling.power_weights(worth, m.top if m.top > 0.0 else 1.0, self._exponent)

    # What blocks know of each other stands in the table, a row per block: of the measured tasks'
    # progress count, sum and largest; of all tasks' worth count, sum, sum of squares, largest and
    # the quantile.

    def _known(self, table: TaskTable, slots: slice, progress: np.ndarray) -> _Known:
        blocks, own = table.samples.moments, slots.start // BLOCK
        some = bool(progress.size)
        blocks[own, :3] = (
            progress.size,
            progress.sum(),
            progress.max() if some else 0.0,
        )
        count = float(blocks[:, 0].sum())
        mean = float(blocks[:, 1].sum()) / count if count else 0.0
        return _Known(mean, float(blocks[:, 2].max()))

    def _moments(self, table: TaskTable, slots: slice, worth: np.ndarray) -> sampling.Moments:
        blocks, own = table.samples.moments, slots.start // BLOCK
        if not worth.size:
            blocks[own, 3:] = 0.0
            return sampling.Moments(0.0, 0.0, 0.0, 0.0)
        exact = sampling.moments(worth, self._config.sampling_quantile)
        n = worth.size
        second = n * (exact.spread**2 + exact.mean**2)
        blocks[own, 3:8] = (n, n * exact.mean, second, exact.top, exact.quantile)
        if len(blocks) == 1:
            return exact
        used = blocks[blocks[:, 3] > 0.0]
        count = used[:, 3].sum()
        mean = float(used[:, 4].sum() / count)
        spread = float(np.sqrt(max(0.0, used[:, 5].sum() / count - mean**2)))
        quantile = float(used[:, 3] @ used[:, 7] / count)  # slots are filled at random
        return sampling.Moments(mean, spread, float(used[:, 6].max()), quantile)


def explored(
    progress: np.ndarray, measured: np.ndarray, mean: float, top: float, bonus: float
) -> np.ndarray:
    """Progress with unmeasured tasks raised to  mean(L) + bonus · max(L)  of the measured ones.

    On the scale of the others' progress, so that the bonus neither drowns them nor drowns in them.
    With nothing measured, or no progress anywhere, the scale is 1.

    Args:
        progress: float64 of shape ``(n,)``.
        measured: which of them count as measured, bool of the same shape.
        mean, top: of the progress of all measured tasks of the pool.
        bonus: see ``exploration_bonus``.
    """
    level = mean + bonus * top if top > 0.0 else bonus
    return np.where(measured, progress, np.maximum(progress, level))
