"""The pool as one table: rows, the way from a task id to its row, counters.

Everything here lies in the flat memory of a backend, so that every process that maps it sees one
pool. A table has one writer at a time; methods say when they expect the lock to be held.

**Crashes.** Before a writer changes anything that must change as a whole, it saves the old bytes in
a journal inside the same memory, and empties the journal when it is done (:meth:`TaskTable.begin`,
:meth:`TaskTable.commit`). Whoever takes the lock next and finds the journal in use puts the old
bytes back, so that a writer killed between any two instructions leaves no half of a change. The
same code undoes a change that an exception interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from metta.cogworks.curriculum.pool.backends import TaskMemoryBackend
from metta.cogworks.curriculum.pool.changes import Changes
from metta.cogworks.curriculum.pool.exclusive import exclusive
from metta.cogworks.curriculum.pool.flights import Flights
from metta.cogworks.curriculum.pool.groups import Groups
from metta.cogworks.curriculum.pool.header import Header
from metta.cogworks.curriculum.pool.index import SlotIndex
from metta.cogworks.curriculum.pool.journal import Journal
from metta.cogworks.curriculum.pool.layout import (
    ACTIVE,
    BLOCK_AT_WORK,
    CHANGES,
    CLOSED_COMPLETED,
    CLOSED_SCHEDULED,
    COMPLETION_COUNT,
    CREATED,
    CREATION_TIME,
    EPOCH,
    EVICTED,
    FREE,
    GROUP_FIELDS,
    GROUPS,
    HEADER_BYTES,
    INVALID,
    IS_ACTIVE,
    JOURNAL,
    LABEL,
    LOADING,
    PRIOR,
    ROW_SEED,
    SCHEDULED,
    SEED,
    SUCCESS_THRESHOLD,
    TASK_ID,
    VARIANT,
    TableLayout,
)
from metta.cogworks.curriculum.pool.memory import open_memory
from metta.cogworks.curriculum.pool.new_ids import NewIds
from metta.cogworks.curriculum.pool.samples import Samples

_SAVED_FROM = BLOCK_AT_WORK + 1  # header words that a change saves: not those that say what it is
EVICTION, RETIREMENT = EVICTED, INVALID
"""Why a task leaves: what :meth:`TaskTable.remove` and :meth:`TaskTable.exchange` count it as."""


class TaskTable:
    """The pool of tasks in a backend's memory.

    ``rows`` is an array of all rows, shape ``(max_tasks, row_size)``; columns are found by
    :meth:`offset`. ``samples`` are the weights and the draws, ``new_ids`` the ids of tasks that are
    not in the pool, ``groups`` labels and bucket values, ``index`` the slots by id, ``header``
    counters and the clock.
    """

    def __init__(self, layout: TableLayout, backend: TaskMemoryBackend):
        self.layout = layout
        memory, self.lock = open_memory(layout, backend, self._rows_changed)
        self._memory, self._bytes = memory, memory.memory  # the first keeps the mapping alive
        words = memory.memory[: memory.nbytes // 8 * 8]
        self._words: memoryview[int] = words.cast("q")
        self._values: memoryview[float] = words.cast("d")
        self.rows = memory.rows
        self.history = memory.get_completion_history()
        self._row_size, self._rows_base = layout.row_size, memory.rows_offset // 8
        self._empty_row = bytes(8 * layout.row_size)
        self._label, self._scheduled = layout.offset(LABEL), layout.offset(SCHEDULED)
        self._prior = layout.offset(PRIOR)
        slices = [f"slice_{i}" for i in range(layout.slice_axes)]
        self._group_columns = tuple(map(layout.offset, [LABEL, *slices]))
        self._totals = tuple(map(layout.offset, GROUP_FIELDS[:-1]))
        self.header = Header(self._words, self._values, layout, memory.history_offset)
        parts = (self._bytes, self._words, layout)
        self.journal = Journal(self._bytes, self._words, layout.offsets["journal"])
        self.changes = Changes(*parts)
        self.groups = Groups(*parts)
        self.index = self._index("index", TASK_ID)
        self.indexes = (self.index,)
        if layout.has_variants:
            self.indexes = (self.index, self._index("variants", layout.offset(VARIANT), False))
        self.samples = Samples(*parts, self.rows, self.journal, self.changes)
        self.flights = Flights(self.rows, self.samples.moments, layout, self.header)
        self.new_ids = NewIds(*parts, self.rows, self.index)
        self._nested = 0
        self._start_if_new()

    def _index(self, part: str, column: int, has_zero: bool = True) -> SlotIndex:
        at, size = self.layout.offsets[part], self.layout.index_size
        values = (self._values, self._rows_base)
        return SlotIndex(self._bytes, at, size, self.rows, values, column, has_zero)

    @property
    def table(self) -> TaskTable:
        """Itself."""
        return self

    # -- locking and crashes -----------------------------------------------------------------------

    def acquire(self) -> None:
        """Take the lock, and undo what its last holder left unfinished.

        To be followed by :meth:`release` in two nested ``finally``: see
        :func:`~metta.cogworks.curriculum.pool.exclusive.exclusive`.
        """
        self.lock.acquire()
        self._nested = 0
        words = self._words
        if words[JOURNAL] or words[LOADING] or words[BLOCK_AT_WORK]:
            self._recover()

    def release(self) -> None:
        """Give the lock back, and undo a change that was not committed. May be called twice."""
        words = self._words
        unfinished = words[JOURNAL] or words[LOADING] or words[BLOCK_AT_WORK]
        if unfinished and self.lock.owned:
            self._recover()
        self.lock.release_all()

    def __enter__(self) -> TaskTable:
        if self.lock.owned:
            self._nested += 1
        else:
            self.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._nested:
            self._nested -= 1
        else:
            self.release()

    def begin(self) -> int:
        """Begin a change, which may be part of another one; what it returns goes to
        :meth:`commit`. Lock held."""
        return self._words[JOURNAL]

    def commit(self, begun: int) -> None:
        """The change is complete. A change inside another is committed or undone with that one."""
        if not begun:
            self._words[JOURNAL] = 0

    def save_row(self, slot: int) -> memoryview[float]:
        """Journal the row of ``slot`` before changing it; returns the row. Lock held."""
        self.changes.note(slot)
        base, size = self._rows_base + slot * self._row_size, self._row_size
        self.journal.save(8 * base, 8 * size)
        return self._values[base : base + size]

    def _save_header(self) -> None:
        self.journal.save(8 * _SAVED_FROM, HEADER_BYTES - 8 * _SAVED_FROM)

    def _recover(self) -> None:
        words = self._words
        for offset, _ in self.journal.undo():
            self.samples.recover_leaf(offset)
        if words[LOADING]:
            self._clear()
        elif words[BLOCK_AT_WORK]:
            self.samples.recover_block()
        words[BLOCK_AT_WORK] = words[LOADING] = 0

    def _rows_changed(self) -> None:
        # Another process has changed which tasks there are, through a backend of rows alone.
        self.rows[self.rows[:, IS_ACTIVE] != 0.0, self._prior] = 1.0
        self._rebuild()

    # -- rows --------------------------------------------------------------------------------------

    def offset(self, name: str) -> int:
        """Position of a column within its row. KeyError for one that does not exist."""
        return self.layout.offset(name)

    def row(self, slot: int) -> memoryview[float]:
        """The row in ``slot``, to be changed by :meth:`save_row` only. Lock held."""
        base = self._rows_base + slot * self._row_size
        return self._values[base : base + self._row_size]

    def column(self, name: str) -> np.ndarray:
        """A column over all slots, shape ``(max_tasks,)``: a view."""
        return self.rows[:, self.offset(name)]

    def active(self) -> np.ndarray:
        """Which slots hold a task, shape ``(max_tasks,)``, bool."""
        return self.rows[:, IS_ACTIVE] != 0.0

    def task_ids(self) -> np.ndarray:
        """Ids of the tasks in the pool, in slot order, int64."""
        return self.rows[self.active(), TASK_ID].astype(np.int64)

    def find(self, task_id: int) -> int:
        """Slot of a task, or -1. Lock held."""
        return self.index.find(task_id)

    def insert(self, task_id: int, fields: dict[str, float]) -> int:
        """Put a task into a free slot and return it. Lock held; the id is not in the pool.

        ``fields`` gives columns other than zero; the seed defaults to the id, the sampling weight
        to 1.

        Raises:
            RuntimeError: the pool is full.
        """
        words = self._words
        slot = words[FREE] - 1
        if slot < 0:
            n = self.layout.max_tasks
            raise RuntimeError(f"the pool of {n} tasks is full: remove or exchange one")
        begun = self.begin()
        self._save_header()
        row = self.save_row(slot)
        words[FREE] = int(row[TASK_ID])
        self._open(slot, row, task_id, fields)
        words[ACTIVE] += 1
        self.commit(begun)
        return slot

    def remove(self, slot: int, counted_as: int | None = None) -> None:
        """Take the task out of the pool; its totals stay in its groups. Lock held.

        ``counted_as``: :data:`EVICTION`, :data:`RETIREMENT`, or nothing.
        """
        words = self._words
        begun = self.begin()
        self._save_header()
        row = self.save_row(slot)
        self._close(slot, row, counted_as)
        self._zero(slot)
        row[TASK_ID] = words[FREE]
        words[FREE] = slot + 1
        words[ACTIVE] -= 1
        self.samples.close(slot)
        self.commit(begun)

    def exchange(
        self, slot: int, task_id: int, fields: dict[str, float], counted_as: int | None
    ) -> None:
        """:meth:`remove` and :meth:`insert` as one change: a crash leaves either task, never an
        empty slot. Lock held."""
        begun = self.begin()
        self._save_header()
        row = self.save_row(slot)
        self._close(slot, row, counted_as)
        self._open(slot, row, task_id, fields)
        self.commit(begun)

    def _open(
        self, slot: int, row: memoryview[float], task_id: int, fields: dict[str, float]
    ) -> None:
        self._zero(slot)
        row[TASK_ID] = row[ROW_SEED] = task_id
        row[CREATION_TIME] = time.time()
        row[SUCCESS_THRESHOLD] = 0.5
        row[self._prior] = 1.0
        for name, value in fields.items():
            row[self.offset(name)] = value
        for index in self.indexes:
            index.insert(slot, self.journal)
        row[IS_ACTIVE] = 1.0
        self._words[CREATED] += 1
        self.samples.open(slot, row[self._prior])

    def _close(self, slot: int, row: memoryview[float], counted_as: int | None) -> None:
        words = self._words
        totals = [row[column] for column in self._totals]
        for group in {int(row[column]) for column in self._group_columns}:
            self.groups.add(group, totals, self.journal)
        words[CLOSED_COMPLETED] += int(row[COMPLETION_COUNT])
        words[CLOSED_SCHEDULED] += int(row[self._scheduled])
        for index in self.indexes:
            index.remove(slot, self.journal)
        if counted_as == RETIREMENT:
            self.new_ids.retire(int(row[TASK_ID]), self.journal)
        if counted_as is not None:
            words[counted_as] += 1

    def _zero(self, slot: int) -> None:
        at, size = 8 * (self._rows_base + slot * self._row_size), 8 * self._row_size
        self._bytes[at : at + size] = self._empty_row

    # -- what happens to a task --------------------------------------------------------------------

    def hand_out(self, slot: int) -> tuple[int, bool]:
        """Count a draw; returns the task's id, and whether it was described. Lock held."""
        self.changes.note(slot)
        values, base = self._values, self._rows_base + slot * self._row_size
        values[base + self._scheduled] += 1.0  # one store: nothing to journal
        return int(values[base + TASK_ID]), values[base + self._label] != 0.0

    def describe(self, slot: int, label: str, slices: Iterable[str]) -> None:
        """Set the task's groups. Lock held. Slices beyond the layout's axes are left out."""
        self.changes.note(slot)
        row = self.row(slot)
        for column, name in zip(self._group_columns[1:], slices, strict=False):
            row[column] = self.groups.index(f"slice/{name}")
        row[self._label] = self.groups.index(f"label/{label}")  # last: it says that all are set

    # -- all of the memory -------------------------------------------------------------------------

    def fill(self, ids: np.ndarray, priors: np.ndarray, fields: Mapping[str, Any]) -> None:
        """Put tasks, int64 ids, with their sampling weights into an empty pool. Lock held.

        ``fields`` as for :meth:`insert`, one for all or one each. Cost: linear, in numpy.
        """
        words, rows, n = self._words, self.rows, len(ids)
        words[LOADING] = 1
        rows[:n] = 0.0
        rows[:n, TASK_ID] = rows[:n, ROW_SEED] = ids
        rows[:n, CREATION_TIME] = time.time()
        rows[:n, self._prior] = priors
        for name, value in fields.items():
            rows[:n, self.offset(name)] = value
        rows[:n, IS_ACTIVE] = 1.0
        words[CREATED] += n
        self._rebuild()
        words[EPOCH] += 1
        self.header.mark_filled()
        words[LOADING] = 0

    def clear(self) -> None:
        """Empty the pool, its groups and its counters. Lock held."""
        self._words[LOADING] = 1
        self._words[JOURNAL] = 0
        self._clear()
        self._words[LOADING] = 0

    def replace(self, state: dict[str, Any]) -> None:
        """Take over a saved pool, as :func:`~metta.cogworks.curriculum.pool.saved.fitted` returns
        it; an exception puts the former one back. Lock held. Cost: linear, in numpy."""
        self.journal.all_or_nothing(lambda: self._replace(state))

    def _replace(self, state: dict[str, Any]) -> None:
        words, rows = self._words, state["rows"]
        words[LOADING] = 1
        self._clear()
        self.rows[: len(rows)] = rows
        for name in state["group_names"][1:]:
            self.groups.index(name)
        self.groups.sums[: len(state["groups"])] = state["groups"]
        self.new_ids.retired_ring[: len(state["retired"])] = state["retired"]
        self.history[: len(state["history"])] = state["history"]
        self._rebuild()
        self.samples.load(state["weights"], state["moments"])
        self.header.load(state)
        words[LOADING] = 0

    def _clear(self) -> None:
        self._words[EPOCH] += 1  # never back to a number that another process knows
        for word in range(HEADER_BYTES // 8):
            if word not in (JOURNAL, LOADING, SEED, EPOCH, CHANGES):
                self._words[word] = 0
        np.frombuffer(self._bytes, np.uint8)[HEADER_BYTES:] = 0
        self._start_empty()

    @exclusive
    def _start_if_new(self) -> None:
        if self._words[GROUPS] == 0:  # zeroed memory
            self._start_empty()

    def _start_empty(self) -> None:
        self._rebuild()
        self.groups.start()  # last: it says that the rest is done

    def _rebuild(self) -> None:
        """Derive index, priors, number of tasks and free list from the rows. Lock held. Cost:
        linear in the capacity."""
        words, active = self._words, self.active()
        slots, free = np.flatnonzero(active), np.flatnonzero(~active)
        for index in self.indexes:
            index.rebuild(slots)
        self.rows[free] = 0.0
        self.rows[free, TASK_ID] = np.append(free[1:] + 1, 0)[: len(free)]
        words[FREE] = int(free[0]) + 1 if len(free) else 0
        words[ACTIVE] = len(slots)
        self.samples.rebuild()
