"""Deprecated: use :mod:`metta.cogworks.curriculum.stats`."""

import warnings

from metta.cogworks.curriculum.stats import (
    CacheCoordinator,
    LPStatsAggregator,
    SliceAnalyzer,
    StatsLogger,
)

__all__ = ["CacheCoordinator", "LPStatsAggregator", "SliceAnalyzer", "StatsLogger"]

warnings.warn(
    "agora.tracking.stats is now metta.cogworks.curriculum.stats",
    DeprecationWarning,
    stacklevel=2,
)
