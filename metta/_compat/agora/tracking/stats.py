"""Deprecated: use :mod:`metta.cogworks.curriculum.stats`."""

from metta.cogworks.curriculum.stats import (
    CacheCoordinator,
    LPStatsAggregator,
    SliceAnalyzer,
    StatsLogger,
)

__all__ = ["CacheCoordinator", "LPStatsAggregator", "SliceAnalyzer", "StatsLogger"]
