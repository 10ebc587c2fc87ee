"""Algorithms without a curriculum: tasks come and go by the algorithm's own methods."""

from __future__ import annotations

from typing import Any

from metta.cogworks.curriculum.older.told import deprecated
from metta.cogworks.curriculum.task import CurriculumTask
from metta.cogworks.curriculum.task_tracker import TaskTracker
from metta.cogworks.curriculum.tasks.inputs import instance


def enter(tracker: TaskTracker, task: Any) -> None:
    """Track a task, with its label and bucket values; one that is tracked is left as it is.

    Raises:
        TypeError: it is no task.
    """
    way_out = "give what a curriculum's get_task() returned"
    found: CurriculumTask[Any] = instance("task", task, CurriculumTask, way_out)
    table = tracker.table
    with table:
        if table.find(found.task_id) >= 0:
            return
        tracker.track_task_creation(found.task_id)
        slices = [f"{axis}_{value}" for axis, value in found.get_slice_values().items()]
        table.describe(table.find(found.task_id), found.get_label(), slices)


def let_go(tracker: TaskTracker | None) -> None:
    """Let go of the pool of an algorithm, if it has one, with a warning that names the new way."""
    deprecated(
        "algorithm.cleanup_shared_memory() is deprecated: close() the curriculum; without one, "
        "call algorithm.task_tracker.cleanup_shared_memory()"
    )
    if tracker is not None:
        tracker.cleanup_shared_memory()
