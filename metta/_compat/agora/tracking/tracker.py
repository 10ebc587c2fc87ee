"""Deprecated: use :mod:`metta.cogworks.curriculum.task_tracker`."""

import warnings

from metta.cogworks.curriculum.task_tracker import (
    CentralizedTaskTracker,
    LocalTaskTracker,
    TaskTracker,
    create_task_tracker,
)

__all__ = ["CentralizedTaskTracker", "LocalTaskTracker", "TaskTracker", "create_task_tracker"]

warnings.warn(
    "agora.tracking.tracker is now metta.cogworks.curriculum.task_tracker",
    DeprecationWarning,
    stacklevel=2,
)
