"""Robust aggregates over seeds, with bootstrap intervals: thin wrappers around scipy.

The interquartile mean and its bootstrap interval are what Agarwal et al., "Deep reinforcement
learning at the edge of the statistical precipice" (2021), recommend for few runs: less noisy than
the median, less swayed by one lucky seed than the mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

RESAMPLES = 2_000
"""Bootstrap resamples: the interval's ends move by less than a twentieth of its width from one set
of resamples to another."""


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


def interquartile_mean(values: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Mean of the values between the quartiles: ``floor(n / 4)`` of the n are dropped at each end
    (``scipy.stats.trim_mean``)."""
    return np.asarray(stats.trim_mean(np.asarray(values, dtype=np.float64), 0.25, axis=axis))


def estimate(values: ArrayLike, seed: int = 0) -> Interval:
    """Interquartile mean of ``values``, one per seed, with its 95 % percentile bootstrap interval.

    Percentiles rather than BCa, which is undefined when all values but one are equal, as counts of
    mastered tasks often are. One value, or equal values, give an interval of width 0. Raises
    ``ValueError`` when there is none.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(
            f"values of shape {sample.shape}: need a sequence of at least one number, one per seed"
        )
    value = float(interquartile_mean(sample))
    if np.ptp(sample) == 0:
        return Interval(value, value, value)
    result = stats.bootstrap(
        (sample,),
        interquartile_mean,
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return Interval(
        value, float(result.confidence_interval.low), float(result.confidence_interval.high)
    )


def paired_difference(values: ArrayLike, baseline: ArrayLike, seed: int = 0) -> Interval:
    """:func:`estimate` of ``values − baseline``, seed by seed: what both share of a seed (its
    world) cancels.

    Raises ``ValueError`` when the two are not equally long.
    """
    left, right = np.asarray(values, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if left.shape != right.shape:
        raise ValueError(
            f"{left.size} values against {right.size} of the baseline: a paired difference needs "
            "the same seeds"
        )
    return estimate(left - right, seed)


def share_of_oracle(arm: ArrayLike, uniform: ArrayLike, oracle: ArrayLike) -> float:
    """``(arm − uniform) / (oracle − uniform)`` of the interquartile means; NaN when the oracle
    gains nothing over uniform."""
    low, high = float(interquartile_mean(uniform)), float(interquartile_mean(oracle))
    return (float(interquartile_mean(arm)) - low) / (high - low) if high > low else float("nan")


def share_interval(
    arm: ArrayLike, uniform: ArrayLike, oracle: ArrayLike, seed: int = 0
) -> Interval:
    """:func:`share_of_oracle` with its 95 % percentile bootstrap interval: seeds are drawn with
    replacement, the three of a seed together. A resample in which the oracle gains nothing over
    uniform has no share and is left out; all NaN where that is so of the sample itself.

    Raises ``ValueError`` when the three are not equally long.
    """
    samples = [np.asarray(values, dtype=np.float64) for values in (arm, uniform, oracle)]
    sizes = [sample.size for sample in samples]
    if len(set(sizes)) > 1:
        raise ValueError(f"{sizes} values of arm, uniform and oracle: a share needs the same seeds")
    value = share_of_oracle(*samples)
    if np.isnan(value):
        return Interval(value, value, value)
    drawn = np.random.default_rng(seed).integers(0, sizes[0], (RESAMPLES, sizes[0]))
    means, low, high = (interquartile_mean(sample[drawn], axis=1) for sample in samples)
    gains = high > low
    shares = (means[gains] - low[gains]) / (high[gains] - low[gains])
    ends = np.quantile(shares, [0.025, 0.975])
    return Interval(value, float(ends[0]), float(ends[1]))
