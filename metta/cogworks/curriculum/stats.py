"""Statistics of a curriculum: one interface, per-slice analysis, aggregation under prefixes, Gini
coefficients."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from metta.cogworks.curriculum.older.told import deprecated
from metta.cogworks.curriculum.pool.layout import COLUMN_LIMIT
from metta.cogworks.curriculum.scores import validate_completion
from metta.cogworks.curriculum.tasks.inputs import checked_integer, finite, instance, text, vector

if TYPE_CHECKING:
    from metta.cogworks.curriculum.task_tracker import TaskTracker


def gini(values: Iterable[float] | np.ndarray) -> float:
    """Gini coefficient of non-negative values: 0 when all are equal, (n - 1)/n when one has
    everything.

    With x sorted ascending, i = 1..n:  G = (2 Σ i·x_i) / (n Σ x_i) − (n + 1)/n   (Gini 1912;
    e.g. Sen, On Economic
    Inequality, 1973). 0 for no values or all zeros. Raises ValueError for a
    negative value, or one that is not finite.
    """
    x = np.sort(vector("values", values, least=0.0))
    total = x.sum()
    if total <= 0.0:
        return 0.0
    n = x.size
    return float(max(0.0, 2.0 * np.dot(np.arange(1, n + 1), x) / (n * total) - (n + 1) / n))


class StatsLogger(ABC):
    """Base statistics, which are always computed, and detailed ones, which are kept until something
    changes."""

    def __init__(self) -> None:
        self._stats_cache: dict[str, float] = {}
        self._cache_valid = False
        self._cached_version: Hashable = None

    @abstractmethod
    def get_base_stats(self) -> dict[str, float]:
        """Cheap statistics."""

    @abstractmethod
    def _compute_detailed_stats(self) -> dict[str, float]:
        """Statistics worth keeping between changes."""

    def stats_version(self) -> Hashable:
        """Changes whenever detailed statistics may have changed by another hand than this object's.
        None: never."""
        return None

    def get_detailed_stats(self) -> dict[str, float]:
        """Detailed statistics, computed anew after a change."""
        version = self.stats_version()
        if not self._cache_valid or version != self._cached_version:
            self._stats_cache = self._compute_detailed_stats()
            self._cache_valid, self._cached_version = True, version
        return dict(self._stats_cache)

    def invalidate_cache(self) -> None:
        """Compute the detailed statistics anew when next asked for."""
        self._cache_valid = False

    def stats(self, prefix: str = "") -> dict[str, float]:
        """All statistics, as ``prefix/name`` where a prefix is given."""
        text("prefix", prefix)
        stats = {**self.get_base_stats(), **self.get_detailed_stats()}
        return with_prefix(prefix, stats) if prefix else stats


class NullStatsLogger(StatsLogger):
    """No statistics, for older code that passes a logger around; nothing here takes one."""

    def __init__(self) -> None:
        deprecated(
            "NullStatsLogger() is deprecated: nothing takes a logger; stats() of a curriculum or "
            "an algorithm costs nothing until it is called"
        )
        super().__init__()

    def get_base_stats(self) -> dict[str, float]:
        """None."""
        return {}

    def _compute_detailed_stats(self) -> dict[str, float]:
        return {}


def with_prefix(prefix: str, stats: Mapping[str, float]) -> dict[str, float]:
    """The statistics as ``prefix/name``."""
    return {f"{prefix.rstrip('/')}/{name}": value for name, value in stats.items()}


class SliceAnalyzer:
    """Performance by the value of a bucketed parameter.

    Keeps count, sum and sum of squares per slice ``axis_value``: constant memory per slice.

    Args:
        max_axes: how many axes are followed; further ones are left out. Three is the guide's
            default.
    """

    def __init__(self, max_axes: int = 3):
        self.max_axes = checked_integer("max_axes", max_axes, 0)
        self._axes: set[str] = set()
        self._slices: dict[str, tuple[float, float, float]] = {}

    def update_task_completion(
        self, task_id: int, slice_values: Mapping[str, Any], score: float
    ) -> None:
        """Record a completion of a task with these values; ValueError or TypeError, and no change,
        for what cannot be one."""
        task_id, score = validate_completion(task_id, score)
        instance("slice_values", slice_values, Mapping, "give a mapping of axes to values")
        for axis, value in slice_values.items():
            if axis in self._axes or len(self._axes) < self.max_axes:
                self._axes.add(axis)
                self.add(f"{axis}_{value}", 1.0, score, score * score)

    def add(self, name: str, count: float, total: float, total_squared: float) -> None:
        """Add ``count`` completions of a slice, given the sums of their scores and of the
        squares."""
        text("name", name)
        count, total = finite("count", count), finite("total", total, COLUMN_LIMIT)
        if count < 0.0:
            raise ValueError(f"count={count} is not allowed: give a number of at least 0")
        total_squared = finite("total_squared", total_squared, COLUMN_LIMIT)
        old = self._slices.get(name, (0.0, 0.0, 0.0))
        self._slices[name] = (old[0] + count, old[1] + total, old[2] + total_squared)

    def get_base_stats(self) -> dict[str, float]:
        """How many axes and slices there are."""
        return {
            "num_slice_axes": float(len(self._axes)),
            "total_slice_values": float(len(self._slices)),
        }

    def get_detailed_stats(self) -> dict[str, float]:
        """Mean, standard deviation and count of the scores, per slice with completions."""
        stats: dict[str, float] = {}
        for name, (count, total, squared) in self._slices.items():
            if count > 0:
                mean = total / count
                stats[f"{name}/mean"] = mean
                stats[f"{name}/std"] = math.sqrt(max(0.0, squared / count - mean * mean))
                stats[f"{name}/count"] = count
        return stats


class _StatsSource(Protocol):
    def get_stats(self) -> dict[str, float]: ...


class _SliceSource(Protocol):
    def get_detailed_stats(self) -> dict[str, float]: ...


class _HasSlices(Protocol):
    @property
    def slice_analyzer(self) -> SliceAnalyzer: ...


class LiveSlices:
    """The pool's slices as of the moment they are asked for."""

    def __init__(self, algorithm: _HasSlices):
        self._algorithm = algorithm

    def get_detailed_stats(self) -> dict[str, float]:
        """See :class:`SliceAnalyzer`."""
        return self._algorithm.slice_analyzer.get_detailed_stats()


class LPStatsAggregator:
    """Statistics of tracker, scorer and slices under one roof: ``tracker/…``, ``lp/…``,
    ``slice/…``."""

    def __init__(
        self,
        task_tracker: TaskTracker,
        scorer: _StatsSource,
        slice_analyzer: _SliceSource,
        num_tasks: int,
    ) -> None:
        self.task_tracker = task_tracker
        self.scorer = scorer
        self.slice_analyzer = slice_analyzer
        self.num_tasks = checked_integer("num_tasks", num_tasks, 0)

    def get_all_stats(
        self, include_tracker: bool = True, include_scorer: bool = True, include_slice: bool = False
    ) -> dict[str, float]:
        """The statistics of the chosen components."""
        stats: dict[str, float] = {"num_tasks": float(self.num_tasks)}
        if include_tracker:
            stats |= with_prefix("tracker", self.task_tracker.get_global_stats())
        if include_scorer:
            stats |= with_prefix("lp", self.scorer.get_stats())
        if include_slice:
            stats |= with_prefix("slice", self.slice_analyzer.get_detailed_stats())
        return stats


class _Invalidated(Protocol):
    def invalidate_cache(self) -> None: ...


class CacheCoordinator:
    """Tells every component that keeps derived values that the state has changed."""

    def __init__(
        self, stats_logger: _Invalidated, scorer: _Invalidated, slice_analyzer: object = None
    ) -> None:
        self.stats_logger = stats_logger
        self.scorer = scorer
        self.slice_analyzer = slice_analyzer  # keeps running sums: nothing to invalidate

    def invalidate_stats_cache(self) -> None:
        """Forget derived values."""
        self.stats_logger.invalidate_cache()
        self.scorer.invalidate_cache()
