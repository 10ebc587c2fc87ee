"""The memory of a pool: that of its backend, or a copy where a backend shares rows alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from metta.cogworks.curriculum.pool.backends import (
    LocalMemoryBackend,
    TableBackend,
    TaskMemoryBackend,
)
from metta.cogworks.curriculum.pool.layout import IS_ACTIVE, TASK_ID, TableLayout
from metta.cogworks.curriculum.sessions import Lock


def open_memory(
    layout: TableLayout, backend: TaskMemoryBackend, on_change: Callable[[], None]
) -> tuple[TableBackend, Lock | MirrorLock]:
    """Memory that a whole pool fits in, and its lock.

    ``on_change`` is called, with the lock held, when another process has changed which tasks there
    are through a backend of rows alone.

    Raises:
        ValueError: the backend holds another number of tasks.
    """
    if isinstance(backend, TableBackend) and _fits(layout, backend):
        return backend, backend.lock
    if backend.max_tasks != layout.max_tasks:
        raise ValueError(
            f"the backend holds {backend.max_tasks} tasks, the tracker wants {layout.max_tasks}"
        )
    local = LocalMemoryBackend(
        layout.max_tasks,
        layout.task_struct_size,
        backend.completion_history_size,
        extra_columns=layout.extra_columns,
        extra_bytes=layout.extra_bytes,
    )
    return local, MirrorLock(backend, local, on_change)


def _fits(layout: TableLayout, backend: TableBackend) -> bool:
    return (
        backend.row_size == layout.row_size
        and backend.history_offset >= layout.extra_bytes
        and backend.nbytes >= layout.extra_bytes
    )


class MirrorLock:
    """Lock of a row-only backend: copies its rows into a local table when taken, and the changed
    ones back when released.

    Columns beyond the backend's ``task_struct_size`` stay in this process.
    """

    def __init__(
        self,
        backend: TaskMemoryBackend,
        local: LocalMemoryBackend,
        on_change: Callable[[], None],
    ):
        self._backend, self._local, self._on_change = backend, local, on_change
        self._width = min(backend.task_struct_size, local.row_size)
        self._hold: AbstractContextManager[Any] | None = None

    @property
    def depth(self) -> int:
        """Above 0 while somebody has it."""
        return self._local.lock.depth + (self._hold is not None)

    @property
    def owned(self) -> bool:
        """Whether this thread holds it."""
        return self._local.lock.owned

    def acquire(self) -> None:
        """Wait for both locks, then read."""
        self._local.lock.acquire()
        try:
            hold = self._backend.acquire_lock()
            hold.__enter__()
            self._hold = hold
            if self._pull():
                self._on_change()
        except BaseException:
            self._give_back()
            raise

    def release_all(self) -> None:
        """Write, then give both locks back. Does nothing where this thread does not hold it."""
        try:
            if self._hold is not None and self.owned:
                self._push()
        finally:
            self._give_back()

    def _give_back(self) -> None:
        hold = self._hold
        if hold is not None and self.owned:
            self._hold = None
            hold.__exit__(None, None, None)
        self._local.lock.release_all()

    def _pull(self) -> bool:
        backend, width = self._backend, self._width
        rows = np.stack([backend.get_task_data(i)[:width] for i in range(backend.max_tasks)])
        own = self._local.rows[:, :width]
        changed = (rows[:, [TASK_ID, IS_ACTIVE]] != own[:, [TASK_ID, IS_ACTIVE]]).any(axis=1)
        own[:] = rows
        # what was known here of the slot's former task
        self._local.rows[changed, width:] = 0.0
        self._local.get_completion_history()[:] = backend.get_completion_history()
        return bool(changed.any())

    def _push(self) -> None:
        for index in range(self._backend.max_tasks):
            row, own = self._backend.get_task_data(index), self._local.rows[index, : self._width]
            if not np.array_equal(row[: self._width], own):
                row[: self._width] = own
        self._backend.get_completion_history()[:] = self._local.get_completion_history()
