"""The memory of a pool, by the settings of whoever opens it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metta.cogworks.curriculum.pool.backends import (
    MAX_COLUMNS,
    TASK_STRUCT_SIZE,
    LocalMemoryBackend,
    SharedMemoryBackend,
    TaskMemoryBackend,
    checked_identity,
)
from metta.cogworks.curriculum.pool.layout import MAX_SLICE_AXES, Column, TableLayout
from metta.cogworks.curriculum.tasks.inputs import checked_integer, flag, instance, listed


def make_layout(
    max_tasks: int,
    columns: Sequence[Column],
    slice_axes: int,
    task_struct_size: int,
    history_size: int,
) -> TableLayout:
    """The layout of a pool. Raises TypeError or ValueError for a size that cannot be."""
    columns = listed("columns", columns, "Column(name, description) objects")
    if not all(isinstance(column, Column) for column in columns):
        raise TypeError(
            f"columns={columns!r:.60} is not allowed: give Column(name, description) objects"
        )
    return TableLayout(
        checked_integer("max_memory_tasks", max_tasks, 1),
        columns,
        checked_integer("slice_axes", slice_axes, 0, MAX_SLICE_AXES),
        checked_integer("task_struct_size", task_struct_size, TASK_STRUCT_SIZE, MAX_COLUMNS),
        checked_integer("completion_history_size", history_size, 1),
    )


def make_backend(
    layout: TableLayout,
    shared: bool,
    session_id: str | None,
    identity: Mapping[str, Any] | None,
    lock_timeout_seconds: float,
) -> TaskMemoryBackend:
    """Memory for that layout: this process's own, or shared under a session id.

    Args:
        layout: of the pool.
        shared: whether other processes can open it.
        session_id: its name; None: a new one.
        identity: what else must be equal in all processes that open it.
        lock_timeout_seconds: how long this process waits for its lock.
    """
    if session_id is not None:
        instance("session_id", session_id, str, "give a name, or None for a new one")
    identity = checked_identity(identity)
    sizes = (layout.task_struct_size, layout.completion_history_size)
    extra: dict[str, Any] = {
        "extra_columns": layout.extra_columns,
        "extra_bytes": layout.extra_bytes,
        "lock_timeout_seconds": lock_timeout_seconds,
    }
    if not flag("use_shared_memory", shared):
        return LocalMemoryBackend(layout.max_tasks, *sizes, **extra)
    return SharedMemoryBackend(
        layout.max_tasks,
        session_id,
        *sizes,
        layout=layout.describe(),
        identity=identity,
        **extra,
    )
