"""Deprecated: use :mod:`metta.cogworks.curriculum.task_tracker`."""

from metta.cogworks.curriculum.task_tracker import (
    CentralizedTaskTracker,
    LocalTaskTracker,
    TaskTracker,
    create_task_tracker,
)

__all__ = ["CentralizedTaskTracker", "LocalTaskTracker", "TaskTracker", "create_task_tracker"]
