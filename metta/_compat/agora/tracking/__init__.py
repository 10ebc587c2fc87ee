"""Deprecated: use :mod:`metta.cogworks.curriculum`."""

import warnings

from metta.cogworks.curriculum.shared_memory_backend import (
    LocalMemoryBackend,
    SharedMemoryBackend,
    TaskMemoryBackend,
    TaskState,
)
from metta.cogworks.curriculum.stats import (
    CacheCoordinator,
    LPStatsAggregator,
    SliceAnalyzer,
    StatsLogger,
)
from metta.cogworks.curriculum.task_tracker import (
    CentralizedTaskTracker,
    LocalTaskTracker,
    TaskTracker,
    create_task_tracker,
)

__all__ = [
    "CacheCoordinator",
    "CentralizedTaskTracker",
    "LPStatsAggregator",
    "LocalMemoryBackend",
    "LocalTaskTracker",
    "SharedMemoryBackend",
    "SliceAnalyzer",
    "StatsLogger",
    "TaskMemoryBackend",
    "TaskState",
    "TaskTracker",
    "create_task_tracker",
]

warnings.warn(
    "agora.tracking is now metta.cogworks.curriculum",
    DeprecationWarning,
    stacklevel=2,
)
