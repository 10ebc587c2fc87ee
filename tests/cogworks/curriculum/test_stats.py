"""Statistics: Gini coefficients, the logger and its cache, slices, aggregation, invalidation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metta.cogworks.curriculum import (
    CacheCoordinator,
    LPStatsAggregator,
    SliceAnalyzer,
    StatsLogger,
    TaskTracker,
    gini,
)
from metta.cogworks.curriculum.stats import with_prefix


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0.0),
        ([0, 0], 0.0),
        ([5], 0.0),
        ([3, 3, 3], 0.0),
        ([0, 0, 0, 1], 0.75),  # (n - 1) / n
        ([1, 3], 0.25),
        (np.array([2.0, 1.0]), 1 / 6),
    ],
)
def test_gini(values: list[float], expected: float) -> None:
    assert gini(values) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_gini_is_half_the_mean_difference_over_the_mean(values: list[float]) -> None:
    x = np.array(values)
    if x.sum() > 1e-3:
        assert gini(values) == pytest.approx(
            np.abs(x[:, None] - x).mean() / (2 * x.mean()), abs=1e-9
        )
    assert 0.0 <= gini(values) < 1.0


def test_gini_of_a_negative_value_is_an_error() -> None:
    with pytest.raises(
        ValueError,
        match=r"values holds -1\.0, .*: give finite numbers of at least 0",
    ):
        gini([1.0, -1.0])


class Counted(StatsLogger):
    """Counts how often its statistics are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.computed = 0
        self.version = 0

    def get_base_stats(self) -> dict[str, float]:
        return {"base": 1.0}

    def _compute_detailed_stats(self) -> dict[str, float]:
        self.computed += 1
        return {"computed": float(self.computed)}

    def stats_version(self) -> int:
        return self.version


class Plain(Counted):
    """Does not tell versions."""

    def stats_version(self) -> None:
        return None


def test_detailed_statistics_are_kept_until_invalidated() -> None:
    logger = Plain()
    assert logger.stats() == logger.stats() == {"base": 1.0, "computed": 1.0}
    logger.invalidate_cache()
    assert logger.stats("pre") == {"pre/base": 1.0, "pre/computed": 2.0}


def test_or_until_the_version_changes() -> None:
    logger = Counted()
    logger.stats()
    logger.version += 1
    assert logger.stats()["computed"] == 2.0


def test_a_caller_cannot_change_what_is_kept() -> None:
    logger = Counted()
    logger.get_detailed_stats()["computed"] = 99.0
    assert logger.get_detailed_stats() == {"computed": 1.0}


def test_prefixes() -> None:
    assert with_prefix("a", {"b": 1.0}) == with_prefix("a/", {"b": 1.0}) == {"a/b": 1.0}


def test_slices() -> None:
    analyzer = SliceAnalyzer(max_axes=2)
    scores = {3: [0.0, 1.0, 0.5], 4: [0.25]}
    for value, items in scores.items():
        for score in items:
            analyzer.update_task_completion(
                0, {"game.size": value, "game.mode": "hard", "third": 1}, score
            )
    stats = analyzer.get_detailed_stats()
    for value, items in scores.items():
        assert stats[f"game.size_{value}/mean"] == pytest.approx(np.mean(items))
        assert stats[f"game.size_{value}/std"] == pytest.approx(np.std(items))
        assert stats[f"game.size_{value}/count"] == len(items)
    assert stats["game.mode_hard/count"] == 4
    assert not any(name.startswith("third") for name in stats)  # beyond max_axes
    assert analyzer.get_base_stats() == {"num_slice_axes": 2.0, "total_slice_values": 3.0}


def test_slices_without_completions_are_not_reported() -> None:
    analyzer = SliceAnalyzer()
    analyzer.add("size_3", 0.0, 0.0, 0.0)
    assert analyzer.get_detailed_stats() == {}


class Source:
    """Anything with statistics and a cache."""

    def __init__(self) -> None:
        self.invalidated = 0

    def get_stats(self) -> dict[str, float]:
        return {"progress": 0.5}

    def get_detailed_stats(self) -> dict[str, float]:
        return {"size_3/mean": 0.25}

    def invalidate_cache(self) -> None:
        self.invalidated += 1


def test_aggregation_under_the_guides_prefixes() -> None:
    tracker = TaskTracker(4)
    tracker.update_task_performance(1, 0.5)
    aggregator = LPStatsAggregator(tracker, Source(), Source(), num_tasks=7)
    expected = {
        "num_tasks": 7.0,
        "tracker/mean_recent_score": 0.5,
        "tracker/total_tracked_tasks": 1.0,
        "tracker/total_completions": 1.0,
        "lp/progress": 0.5,
    }
    assert aggregator.get_all_stats() == expected
    assert aggregator.get_all_stats(include_slice=True) == {**expected, "slice/size_3/mean": 0.25}
    assert aggregator.get_all_stats(False, False, False) == {"num_tasks": 7.0}


def test_invalidation_reaches_everybody_with_a_cache() -> None:
    logger, scorer = Source(), Source()
    CacheCoordinator(logger, scorer, SliceAnalyzer()).invalidate_stats_cache()
    assert (logger.invalidated, scorer.invalidated) == (1, 1)
