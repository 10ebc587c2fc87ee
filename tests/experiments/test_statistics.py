"""Our aggregates against references from scipy and pandas, and against what intervals promise."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.statistics import (
    Interval,
    estimate,
    interquartile_mean,
    paired_difference,
    share_interval,
    share_of_oracle,
)

SAMPLES = [
    np.random.default_rng(seed).gamma(2.0, 3.0, n)
    for seed, n in enumerate((1, 2, 3, 4, 5, 10, 19, 20, 101))
]


@pytest.mark.parametrize("sample", SAMPLES, ids=len)
def test_interquartile_mean_by_ranks(sample: np.ndarray) -> None:
    """The mean of what pandas ranks between the first and last quarter."""
    cut = len(sample) // 4
    rank = pd.Series(sample).rank(method="first")
    assert interquartile_mean(sample) == pytest.approx(
        sample[(rank > cut) & (rank <= len(sample) - cut)].mean()
    )


def test_interquartile_mean_ignores_an_outlier() -> None:
    assert interquartile_mean([1.0, 2.0, 3.0, 1e9]) == 2.5


@pytest.mark.parametrize("sample", [s for s in SAMPLES if len(s) > 1], ids=len)
def test_interval_is_that_of_scipy(sample: np.ndarray) -> None:
    def iqm(x: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(stats.trim_mean(x, 0.25, axis=axis))

    reference = stats.bootstrap(
        (sample,), iqm, n_resamples=20_000, method="percentile", rng=np.random.default_rng(99)
    )
    ours = estimate(sample)
    low, high = reference.confidence_interval
    width = high - low
    assert ours.value == pytest.approx(stats.trim_mean(sample, 0.25))
    assert ours.low == pytest.approx(low, abs=0.1 * width)
    assert ours.high == pytest.approx(high, abs=0.1 * width)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Percentile intervals of 20 normal values cover somewhat less than 95 %; far less would be a
    mistake."""
    random = np.random.default_rng(5)
    covered = [
        est.low <= 10.0 <= est.high
        for est in (estimate(random.normal(10.0, 2.0, 20)) for _ in range(150))
    ]
    assert np.mean(covered) > 0.85


def test_equal_values_have_no_width() -> None:
    assert estimate([3, 3, 3]) == Interval(3.0, 3.0, 3.0)
    assert estimate([7]) == Interval(7.0, 7.0, 7.0)
    assert not Interval(0.0, 0.0, 0.0).excludes_zero()


def test_pairing_removes_what_both_share() -> None:
    random = np.random.default_rng(6)
    world = random.normal(50.0, 20.0, 20)
    arm, baseline = world + 2.0 + random.normal(0, 0.5, 20), world + random.normal(0, 0.5, 20)
    paired = paired_difference(arm, baseline)
    reference = stats.ttest_rel(arm, baseline).confidence_interval(0.95)
    assert paired.excludes_zero()
    assert paired.low == pytest.approx(reference.low, abs=0.25)
    assert paired.high == pytest.approx(reference.high, abs=0.25)


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="3 values against 2 of the baseline"):
        paired_difference([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="at least one number"):
        estimate([])


def test_share_of_the_oracle() -> None:
    assert share_of_oracle([30, 30], [20, 20], [40, 40]) == pytest.approx(0.5)
    assert share_of_oracle([10], [20], [40]) == pytest.approx(-0.5)
    assert math.isnan(share_of_oracle([20], [20], [20]))


def test_the_interval_of_a_share_is_that_of_the_arm_where_the_limits_are_fixed() -> None:
    """Uniform 0 and oracle 10 in every seed: the share is the arm's mean ÷ 10, and so are the
    ends. The same indices are drawn whatever is divided, so rescaling changes nothing."""
    arm = np.random.default_rng(0).uniform(2, 8, 20)
    share = share_interval(arm, np.zeros(20), np.full(20, 10.0))
    ends = np.array([share.value, share.low, share.high])
    assert share.value == pytest.approx(interquartile_mean(arm) / 10)
    reference = estimate(arm)
    # two bootstraps of 2,000 resamples: their ends differ by far less than the width
    width = (reference.high - reference.low) / 10
    expected = np.array([reference.value, reference.low, reference.high]) / 10
    assert ends == pytest.approx(expected, abs=0.15 * width)


def test_the_seeds_of_a_share_are_drawn_together() -> None:
    """An arm that has half of the gain in every seed has it in every resample, however much the
    worlds differ, as long as nothing is trimmed: three seeds."""
    uniform, gain = np.array([1.0, 20.0, 5.0]), np.array([10.0, 2.0, 40.0])
    share = share_interval(uniform + gain / 2, uniform, uniform + gain)
    assert (share.low, share.value, share.high) == pytest.approx((0.5, 0.5, 0.5))


def test_a_share_without_gain_or_of_other_seeds() -> None:
    assert math.isnan(share_interval([1.0, 2.0], [3.0, 3.0], [3.0, 3.0]).low)
    with pytest.raises(ValueError, match=r"\[2, 2, 1\] values"):
        share_interval([1.0, 2.0], [1.0, 2.0], [1.0])
