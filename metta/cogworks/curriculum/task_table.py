"""The pool as one table: rows, the way from a task id to its row, counters, groups, and the
sampling distribution.

Everything here lives in the flat memory of a backend, so that every process that maps it sees one
pool. A table has one writer at a time (``lock``); methods say when they expect it to be held.

**Crashes.** Before a writer changes anything that must change as a whole, it saves the old bytes in
a journal inside the same memory, and empties the journal when it is done. Whoever takes the lock
next and finds the journal in use puts the old bytes back (:meth:`TaskTable.acquire`), so that a
writer killed between any two instructions leaves no half of a change. The same code undoes a change
that an exception interrupted. What can be derived (the index, the distribution, the samples drawn
ahead) is not saved but marked as unfinished, and derived again.

**Randomness** is counter-based: batch ``k`` of samples is ``Philox(key=(seed, k))``, the ``k``-th
new task id is ``mix64(seed + k)``; the counters are part of the table.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metta.cogworks.curriculum.sessions import Lock
from metta.cogworks.curriculum.shared_memory_backend import (
    BASE_COLUMNS,
    TASK_STRUCT_SIZE,
    LocalMemoryBackend,
    MirrorLock,
    TableBackend,
    TaskMemoryBackend,
    TaskState,
)
from metta.cogworks.curriculum.task_values import MAX_TASK_ID, mix64

FORMAT = 1


@dataclass(frozen=True)
class Column:
    """A float64 per task that a component declares: shared, checkpointed and cleared with the row.
    Zero for a new task."""

    name: str
    description: str = ""


# Declared by the table itself. total_squared and scheduled_count are sums over a task's life; label
# and slice_k are indices into the groups, 0 until the task is first scheduled.
SCHEDULED, TOTAL_SQUARED, LABEL = "scheduled_count", "total_squared", "label"
_OWN_COLUMNS = (
    Column(SCHEDULED, "how often the task was handed out"),
    Column(TOTAL_SQUARED, "sum of all squared scores"),
    Column(LABEL, "group of the task's label"),
)

# Header words, int64.
(
    JOURNAL,  # bytes of the journal in use
    STAGE,  # what is being derived: _INDEX, _SAMPLES, _LOADING
    SEED,
    NEW_IDS,  # draws of new task ids so far
    BATCHES,  # batches of samples so far
    ACTIVE,  # tasks in the pool
    FREE,  # 1 + first free slot, 0 if none is free
    CREATED,
    EVICTED,
    INVALID,
    LATE,
    CLOSED_COMPLETED,  # completions of tasks that have left the pool
    CLOSED_SCHEDULED,
    CLOCK,  # completions, counted for pace: lags and ages are measured on it
    REFRESHED,  # CLOCK at the last refresh of the distribution
    STALE,  # nonzero: the distribution must be refreshed before the next draw
    CURSOR,  # next sample of the batch
    QUEUED,  # samples in the batch
    TOMBSTONES,
    GROUPS,
    EPOCH,  # changes when group names start anew
    HISTORY,  # scores ever written to the ring
    FILLED,  # nonzero: the pool was filled
) = range(23)
COUNTERS = {
    "seed": SEED,
    "new_ids": NEW_IDS,
    "batches": BATCHES,
    "created": CREATED,
    "evicted": EVICTED,
    "invalid": INVALID,
    "late_completions": LATE,
    "closed_completed": CLOSED_COMPLETED,
    "closed_scheduled": CLOSED_SCHEDULED,
    "clock": CLOCK,
    "refreshed": REFRESHED,
    "stale": STALE,
    "cursor": CURSOR,
    "queued": QUEUED,
    "history": HISTORY,
    "filled": FILLED,
}
# Header words, float64: the range of scores seen.
SCORE_LOW, SCORE_HIGH = 32, 33
_INDEX, _SAMPLES, _LOADING = 1, 2, 4

_HEADER_BYTES = 512
MAX_RETIRED = 1024  # ids of invalid tasks that are remembered, so that they are not drawn again
_JOURNAL_BYTES = 16 * 1024
MAX_GROUPS = 512
_GROUP_NAME_BYTES = 128  # 8 for the length
_GROUP_WORDS = 8
# What a group keeps of tasks that have left the pool; the rest is summed over the rows when asked
# for.
GROUP_FIELDS = ("completion_count", "total_score", "total_squared", "scheduled_count", "tasks")

# What a saved pool has beside its counters and names.
_STATE_ARRAYS: dict[str, Any] = {
    "rows": np.float64,
    "score_range": np.float64,
    "groups": np.float64,
    "probability": np.float64,
    "queue": np.int32,
    "history": np.float64,
    "retired": np.int64,
}

_MASK = 2**64 - 1
_GOLDEN = (
    0x9E3779B97F4A7C15  # 2^64 / golden ratio: Knuth, TAOCP vol. 3, 6.4, multiplicative hashing
)
_TOMBSTONE = -1


def _batch(max_tasks: int) -> int:
    """How many samples are drawn at a time."""
    return max(64, max_tasks // 32)


class TableLayout:
    """Where everything is, as a function of capacity and columns. Two processes share a table if
    their layouts are equal."""

    def __init__(
        self,
        max_tasks: int,
        columns: Sequence[Column] = (),
        slice_axes: int = 0,
        task_struct_size: int = TASK_STRUCT_SIZE,
        completion_history_size: int = 1000,
    ):
        spare = tuple(Column(f"spare_{i}") for i in range(TASK_STRUCT_SIZE, task_struct_size))
        slices = tuple(
            Column(f"slice_{i}", f"group of the task's value on axis {i}")
            for i in range(slice_axes)
        )
        declared = (*_OWN_COLUMNS, *slices, *columns)
        self.names = (*BASE_COLUMNS, *(c.name for c in (*spare, *declared)))
        duplicates = sorted({name for name in self.names if self.names.count(name) > 1})
        if duplicates:
            raise ValueError(
                f"columns declared twice: {duplicates}; give each column of a component a name of "
                "its own"
            )
        self.max_tasks = max_tasks
        self.task_struct_size = task_struct_size
        self.completion_history_size = completion_history_size
        self.slice_axes = slice_axes
        self.extra_columns = len(declared)
        self.row_size = task_struct_size + len(declared)
        # The largest change, an exchange of tasks, journals the header, the row, a group for the
        # label and for each slice, two entries of the index and a retired id, each with its place
        # and length.
        room = _JOURNAL_BYTES - (
            _HEADER_BYTES + 16 + 16 + (1 + slice_axes) * (8 * _GROUP_WORDS + 16) + 3 * (8 + 16)
        )
        if 8 * self.row_size > room:
            raise ValueError(
                f"rows of {self.row_size} columns are not allowed: with {slice_axes} slice axes "
                f"they have at most {room // 8}, "
                "so that a crash in the middle of a change can be undone; use a smaller "
                "task_struct_size, or fewer columns"
            )
        self.batch = _batch(max_tasks)
        self.index_size = 1 << max(4, (2 * max_tasks - 1).bit_length())  # at most half full
        offset = 0
        self.offsets: dict[str, int] = {}
        for name, nbytes in (
            ("header", _HEADER_BYTES),
            ("journal", _JOURNAL_BYTES),
            ("groups", 8 * _GROUP_WORDS * MAX_GROUPS),
            ("group_names", _GROUP_NAME_BYTES * MAX_GROUPS),
            ("retired", 8 * MAX_RETIRED),
            ("probability", 8 * max_tasks),
            ("queue", 4 * self.batch),
            ("index", 4 * self.index_size),
        ):
            self.offsets[name] = offset
            offset += (nbytes + 63) // 64 * 64
        self.extra_bytes = offset

    def describe(self) -> str:
        """What two processes compare, short enough for a header."""
        text = json.dumps([FORMAT, self.names, self.extra_bytes, MAX_GROUPS])
        return (
            f"columns {'+'.join(self.names[self.task_struct_size :])} "
            f"#{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        )


class TaskTable:
    """The pool of tasks in a backend's memory.

    ``values`` is the whole memory as float64; row ``slot`` begins at ``base(slot)``, which is
    ``rows_base + slot * row_size``, column ``name`` stands at ``base(slot) + offset(name)``, the
    ring of ``history_size`` recent scores at ``history_base``. ``rows`` is an array of all rows,
    shape ``(max_tasks, row_size)``.
    """

    lock: Lock | MirrorLock

    def __init__(self, layout: TableLayout, backend: TaskMemoryBackend):
        self.layout = layout
        if (
            isinstance(backend, TableBackend)
            and backend.nbytes >= layout.extra_bytes
            and self._fits(backend)
        ):
            table, self.lock = backend, backend.lock
        else:
            if backend.max_tasks != layout.max_tasks:
                raise ValueError(
                    f"the backend holds {backend.max_tasks} tasks, the tracker wants "
                    f"{layout.max_tasks}"
                )
            table = LocalMemoryBackend(
                layout.max_tasks,
                layout.task_struct_size,
                backend.completion_history_size,
                extra_columns=layout.extra_columns,
                extra_bytes=layout.extra_bytes,
            )
            self.lock = MirrorLock(backend, table, self._rows_changed)
        self._memory = table  # keeps the mapping alive
        at = layout.offsets
        self._bytes = table.memory
        words = table.memory[: table.nbytes // 8 * 8]
        self.header: memoryview[int] = words.cast("q")
        self.values: memoryview[float] = words.cast("d")
        self.rows = table.rows
        self.history = table.get_completion_history()
        self.history_base, self.history_size = (
            table.history_offset // 8,
            layout.completion_history_size,
        )
        self.row_size = layout.row_size
        self._row_bytes = 8 * layout.row_size
        self._rows_offset = table.rows_offset
        self.rows_base = table.rows_offset // 8
        self._column = {name: i for i, name in enumerate(layout.names)}
        self._id, self._active = self._column["task_id"], self._column["is_active"]
        self._label = self._column[LABEL]
        self._scheduled = self._column[SCHEDULED]
        self._groups_column = (
            self._label,
            *(self._column[f"slice_{i}"] for i in range(layout.slice_axes)),
        )
        self._totals = tuple(self._column[name] for name in GROUP_FIELDS[:-1])
        self._seed, self._created = self._column["seed"], self._column["creation_time"]
        self._threshold = self._column["success_threshold"]
        self._empty_row = bytes(self._row_bytes)
        self._make_random()
        self.probability = np.frombuffer(
            self._bytes, np.float64, layout.max_tasks, at["probability"]
        )
        self._queue = self._array("queue", np.int32, layout.batch)
        self._queue_values = self._queue.data
        self._index = self._array("index", np.int32, layout.index_size)
        self._index_values = self._index.data
        self._shift = 64 - (layout.index_size.bit_length() - 1)
        self._index_mask = layout.index_size - 1
        self._groups = self._array("groups", np.float64, _GROUP_WORDS * MAX_GROUPS).reshape(
            MAX_GROUPS, _GROUP_WORDS
        )
        self._group_names: list[str] = []
        self._group_index: dict[str, int] = {}
        self._group_epoch = -1
        self._retired = self._array("retired", np.int64, MAX_RETIRED)
        self._retired_ids: set[int] = set()
        self._retired_version = (-1, -1)
        self._journal = at["journal"]
        self._journal_row = self._array("journal", np.float64, layout.row_size)
        self._journal_word = self._journal // 8 + layout.row_size
        with self.lock:
            if self.header[GROUPS] == 0:  # zeroed memory: a new pool
                self._start_empty()

    def _fits(self, backend: TableBackend) -> bool:
        return (
            backend.row_size == self.layout.row_size
            and backend.history_offset >= self.layout.extra_bytes
        )

    def _rows_changed(self) -> None:
        self._rebuild()
        self.header[STALE] = 1

    def _array(self, name: str, dtype: Any, count: int) -> np.ndarray:
        return np.frombuffer(self._bytes, dtype, count, self.layout.offsets[name])

    def _start_empty(self) -> None:
        self.values[SCORE_LOW], self.values[SCORE_HIGH] = 0.0, 1.0
        self._rebuild()
        self.header[GROUPS] = (
            1  # group 0 collects what does not fit. Last: it says that the rest is done
        )

    # -- locking and crashes -----------------------------------------------------------------------

    def acquire(self) -> None:
        """Take the lock, and undo what its last holder left unfinished."""
        self.lock.acquire()
        header = self.header
        if (header[JOURNAL] or header[STAGE]) and self.lock.depth == 1:
            try:
                self._recover()
            except BaseException:  # an interrupt; whoever comes next begins again
                self.lock.release()
                raise

    def release(self) -> None:
        """Give the lock back; a change that was not committed is undone."""
        header = self.header
        try:
            if (header[JOURNAL] or header[STAGE]) and self.lock.depth == 1:
                self._recover()
        finally:
            self.lock.release()

    def __enter__(self) -> TaskTable:
        self.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def save(self, offset: int, nbytes: int) -> None:
        """Journal ``nbytes`` bytes at ``offset`` before changing them. Lock held."""
        header, memory = self.header, self._bytes
        used = header[JOURNAL]
        end = used + nbytes + 16
        if end > _JOURNAL_BYTES:
            raise RuntimeError(
                f"a change of more than {_JOURNAL_BYTES} bytes: split it into several. If it is "
                "not yours, an interrupt (Ctrl-C) "
                "once hit this process in the instant in which it gave back the lock of the pool: "
                "restart the process"
            )
        at = self._journal + used
        memory[at : at + nbytes] = memory[offset : offset + nbytes]
        word = (at + nbytes) // 8
        header[word] = offset
        header[word + 1] = nbytes
        header[JOURNAL] = end

    def _save_header(self) -> None:
        # Without the words that say what is to be put back: copying them in the middle of that
        # would cut it short.
        self.save(8 * (STAGE + 1), _HEADER_BYTES - 8 * (STAGE + 1))

    def save_row(self, slot: int) -> int:
        """Journal the row of ``slot`` before changing it; returns its :meth:`base`. Lock held."""
        header, base = self.header, self.rows_base + slot * self.row_size
        if header[JOURNAL]:
            self.save(8 * base, self._row_bytes)
        else:  # the path of every episode: what save does, by what numpy's users have in the caches
            np.copyto(self._journal_row, self.rows[slot])
            word = self._journal_word
            header[word] = 8 * base
            header[word + 1] = self._row_bytes
            header[JOURNAL] = self._row_bytes + 16
        return base

    def commit(self) -> None:
        """The change is complete. Inside another change, it is committed or undone with that
        one."""
        if self.lock.depth == 1:
            self.header[JOURNAL] = 0

    def _recover(self) -> None:
        header = self.header
        while header[JOURNAL]:
            end = header[JOURNAL]
            word = (self._journal + end) // 8 - 2
            offset, nbytes = header[word], header[word + 1]
            at = self._journal + end - 16 - nbytes
            self._bytes[offset : offset + nbytes] = self._bytes[at : at + nbytes]
            header[JOURNAL] = end - 16 - nbytes
        stage = header[STAGE]
        if stage & _LOADING:
            self._clear()
        elif stage & _INDEX:
            self._rebuild()
        header[CURSOR] = header[QUEUED] = 0
        header[STALE] = 1
        header[STAGE] = 0

    # -- rows --------------------------------------------------------------------------------------

    def base(self, slot: int) -> int:
        """Position of the first column of ``slot`` in ``values``."""
        return self.rows_base + slot * self.row_size

    def offset(self, name: str) -> int:
        """Position of a column within its row."""
        if name not in self._column:
            raise KeyError(f"no column {name!r}; there are {', '.join(self.layout.names)}")
        return self._column[name]

    def column(self, name: str) -> np.ndarray:
        """A column over all slots, shape ``(max_tasks,)``: a view."""
        return self.rows[:, self.offset(name)]

    def active(self) -> np.ndarray:
        """Which slots hold a task, shape ``(max_tasks,)``, bool."""
        return self.rows[:, self._active] != 0.0

    def task_ids(self) -> np.ndarray:
        """Ids of the tasks in the pool, in slot order, int64."""
        return self.rows[self.active(), self._id].astype(np.int64)

    def find(self, task_id: int, hint: int = -1) -> int:
        """Slot of a task, or -1. Lock held, or the row's id is to be checked after reading.
        ``hint``: the slot where it was."""
        index, values, base, size = self._index_values, self.values, self.rows_base, self.row_size
        if 0 <= hint < self.layout.max_tasks:
            b = base + hint * size
            if int(values[b]) == task_id and values[b + self._active]:
                return hint
        i = ((task_id * _GOLDEN) & _MASK) >> self._shift
        while True:
            entry = index[i]
            if entry == 0:
                return -1
            if entry > 0 and values[base + (entry - 1) * size] == task_id:
                return entry - 1
            i = (i + 1) & self._index_mask

    def state(self, slot: int) -> TaskState:
        """The row as a record."""
        row = dict(zip(self.layout.names, self.rows[slot].tolist(), strict=True))
        base = {name: row.pop(name) for name in BASE_COLUMNS}
        base["task_id"], base["completion_count"] = (
            int(base["task_id"]),
            int(base["completion_count"]),
        )
        return TaskState(**base, columns=row)

    def insert(self, task_id: int, fields: dict[str, float] | None = None) -> int:
        """Put a task into a free slot and return it. Lock held; the id is not in the pool and a
        slot is free.

        ``fields`` gives columns other than zero; seed defaults to the id.
        """
        header = self.header
        slot = header[FREE] - 1
        if slot < 0:
            raise RuntimeError(
                f"the pool of {self.layout.max_tasks} tasks is full: evict one before inserting "
                "another"
            )
        self._save_header()
        self.save_row(slot)
        header[FREE] = int(self.values[self.base(slot) + self._id])
        self._open(slot, task_id, fields)
        header[ACTIVE] += 1
        self.commit()
        return slot

    def remove(self, slot: int, counter: int | None = None) -> None:
        """Take the task out of the pool; its totals stay in its groups. ``counter``: header word to
        count it in. Lock held."""
        header = self.header
        self._save_header()
        self.save_row(slot)
        self._close(slot, counter)
        self._zero_row(slot)
        self.values[self.base(slot) + self._id] = header[FREE]
        header[FREE] = slot + 1
        header[ACTIVE] -= 1
        header[STALE] = 1  # all of the distribution may have been on this task
        self.commit()
        self._sweep()

    def exchange(
        self, slot: int, task_id: int, fields: dict[str, float], counter: int | None
    ) -> None:
        """:meth:`remove` and :meth:`insert` as one change: a crash leaves either task, never an
        empty slot. Lock held."""
        self._save_header()
        self.save_row(slot)
        self._close(slot, counter)
        self._open(slot, task_id, fields)
        self.commit()
        self._sweep()

    def restart(self, slot: int, fields: dict[str, float]) -> None:
        """Begin the task anew, as :meth:`exchange` for itself: its totals stay in its groups. Lock
        held."""
        self.header[CREATED] -= 1
        self.exchange(slot, int(self.values[self.base(slot) + self._id]), fields, None)
        self.header[STALE] = 1

    def _open(self, slot: int, task_id: int, fields: dict[str, float] | None) -> None:
        values, base = self.values, self.base(slot)
        self._zero_row(slot)
        values[base + self._id] = values[base + self._seed] = task_id
        values[base + self._created] = time.time()
        values[base + self._threshold] = 0.5
        for name, value in (fields or {}).items():
            values[base + self.offset(name)] = value
        self._index_insert(task_id, slot)
        values[base + self._active] = 1.0
        self.header[CREATED] += 1

    def _close(self, slot: int, counter: int | None) -> None:
        header, values, base = self.header, self.values, self.base(slot)
        totals = [values[base + column] for column in self._totals]
        for group in {int(values[base + column]) for column in self._groups_column}:
            at = self.layout.offsets["groups"] + 8 * _GROUP_WORDS * group
            self.save(at, 8 * _GROUP_WORDS)
            at //= 8
            for k, total in enumerate(totals):
                values[at + k] += total
            values[at + len(totals)] += 1.0
        header[CLOSED_COMPLETED] += int(totals[GROUP_FIELDS.index("completion_count")])
        header[CLOSED_SCHEDULED] += int(totals[GROUP_FIELDS.index(SCHEDULED)])
        task_id = int(values[base + self._id])
        self._index_remove(task_id)
        if counter == INVALID:
            at = header[INVALID] % MAX_RETIRED
            self.save(self.layout.offsets["retired"] + 8 * at, 8)
            self._retired[at] = task_id
        if counter is not None:
            header[counter] += 1

    def _sweep(self) -> None:
        if self.header[TOMBSTONES] > self.layout.index_size // 4:
            if self.lock.depth == 1:
                self._rebuild()
            # the change that this is part of may still be undone: when the lock is given back
            else:
                self.header[STAGE] |= _INDEX

    def _zero_row(self, slot: int) -> None:
        at = self._rows_offset + slot * self._row_bytes
        self._bytes[at : at + self._row_bytes] = self._empty_row

    def new_task_id(self, max_task_id: int, other_than: int = -1) -> int | None:
        """A random id below ``max_task_id`` that is not in the pool, or None if there is no other.
        Lock held.

        Tasks that were taken out as invalid do not come back: the last ``MAX_RETIRED`` of them are
            remembered.
        """
        header, retired = self.header, self.retired()
        if header[ACTIVE] + len(retired) + 1 < max_task_id:
            for _ in range(64):
                header[NEW_IDS] += 1
                candidate = mix64((header[SEED] + header[NEW_IDS] * _GOLDEN) & _MASK) % max_task_id
                if (
                    candidate != other_than
                    and candidate not in retired
                    and self.find(candidate) < 0
                ):
                    return candidate
        # Nearly every id is taken (at least half of them, but for a chance of 2^-64): choose among
        # the others.
        free = np.setdiff1d(
            np.arange(max_task_id), np.append(self.task_ids(), [*retired, other_than])
        )
        if not len(free):
            return None
        header[NEW_IDS] += 1
        return int(free[header[NEW_IDS] % len(free)])

    def retired(self) -> set[int]:
        """Ids of the last ``MAX_RETIRED`` tasks that were taken out as invalid. Lock held."""
        version = (self.header[EPOCH], self.header[INVALID])
        if version != self._retired_version:
            self._retired_version = version
            self._retired_ids = set(self._retired[: min(version[1], MAX_RETIRED)].tolist())
        return self._retired_ids

    def fill(self, max_task_id: int, success_threshold: float, generator_type: float) -> np.ndarray:
        """Fill the free slots of an empty pool with random tasks below ``max_task_id``. Lock held.
        Returns their ids, int64.

        Cost: linear in the capacity, in numpy.
        """
        header, n = self.header, min(self.layout.max_tasks, max_task_id)
        rng = self._random(_MASK)
        ids = _distinct(rng, n, max_task_id)
        header[STAGE] |= _LOADING
        rows = self.rows
        rows[:n] = 0.0
        rows[:n, self._id] = rows[:n, self._column["seed"]] = ids
        rows[:n, self._column["creation_time"]] = time.time()
        rows[:n, self._column["success_threshold"]] = success_threshold
        rows[:n, self._column["generator_type"]] = generator_type
        rows[:n, self._active] = 1.0
        header[CREATED] += n
        self._rebuild()
        header[STALE] = header[FILLED] = 1
        header[STAGE] = 0
        return ids

    def _clear(self) -> None:
        self.header[EPOCH] += 1  # never back to a number that another process knows
        for word in range(_HEADER_BYTES // 8):
            if word not in (JOURNAL, STAGE, SEED, EPOCH):
                self.header[word] = 0
        np.frombuffer(self._bytes, np.uint8)[_HEADER_BYTES:] = 0
        self._start_empty()

    def clear(self) -> None:
        """Empty the pool, its groups and its counters. Lock held."""
        self.header[STAGE] |= _LOADING
        self.header[JOURNAL] = 0
        self._clear()
        self.header[STAGE] = 0

    # -- index: open addressing with linear probing ------------------------------------------------

    def _index_slot(self, i: int) -> int:
        return self.layout.offsets["index"] + 4 * i

    def _index_insert(self, task_id: int, slot: int) -> None:
        index = self._index_values
        i = ((task_id * _GOLDEN) & _MASK) >> self._shift
        while index[i] > 0:
            i = (i + 1) & self._index_mask
        if index[i] == _TOMBSTONE:
            self.header[TOMBSTONES] -= 1
        self.save(self._index_slot(i) // 8 * 8, 8)
        index[i] = slot + 1

    def _index_remove(self, task_id: int) -> None:
        index = self._index_values
        i = ((task_id * _GOLDEN) & _MASK) >> self._shift
        while not (index[i] > 0 and self.values[self.base(index[i] - 1)] == task_id):
            if index[i] == 0:
                raise RuntimeError(f"task {task_id} has a row but no entry in the index")
            i = (i + 1) & self._index_mask
        self.save(self._index_slot(i) // 8 * 8, 8)
        index[i] = _TOMBSTONE
        self.header[TOMBSTONES] += 1

    def _rebuild(self) -> None:
        """Derive the index, the number of tasks and the free list from the rows. Lock held. Cost:
        linear in the capacity."""
        header = self.header
        before = header[STAGE]
        header[STAGE] = before | _INDEX
        active = self.active()
        slots = np.flatnonzero(active)
        self._index[:] = 0
        with np.errstate(over="ignore"):
            at = (self.rows[slots, self._id].astype(np.uint64) * np.uint64(_GOLDEN)) >> np.uint64(
                self._shift
            )
        at = at.astype(np.int64)
        entries = (slots + 1).astype(np.int32)
        while len(entries):
            # Of those that want the same free place the last one written gets it; the others try
            # the next place.
            free = self._index[at] == 0
            self._index[at[free]] = entries[free]
            waiting = self._index[at] != entries
            at, entries = (at[waiting] + 1) & self._index_mask, entries[waiting]
        free_slots = np.flatnonzero(~active)
        if len(free_slots):
            self.rows[free_slots, self._id] = np.append(free_slots[1:] + 1, 0)
        header[FREE] = int(free_slots[0]) + 1 if len(free_slots) else 0
        header[ACTIVE] = len(slots)
        header[TOMBSTONES] = 0
        header[STAGE] = before

    # -- sampling ----------------------------------------------------------------------------------

    def publish(self, probability: np.ndarray) -> None:
        """Make ``probability``, shape ``(max_tasks,)``, the distribution from now on. Lock held.

        Raises ValueError, and keeps the former one, if it is not finite.
        """
        if not math.isfinite(probability.sum()):
            raise ValueError(
                "the sampling rule gave probabilities that are not finite: use smaller values of "
                "z_score_amplification, "
                "sampling_power or 1/sampling_temperature, or a scorer with finite scores"
            )
        header = self.header
        header[STAGE] |= _SAMPLES
        self.probability[:] = probability
        header[CURSOR] = header[QUEUED] = 0
        header[REFRESHED] = header[CLOCK]
        header[STALE] = 0
        header[STAGE] &= ~_SAMPLES

    def next_slot(self) -> int:
        """Slot of the next sample, or -1 if the pool is empty. Lock held; the distribution is
        published."""
        header, values = self.header, self.values
        while True:
            cursor = header[CURSOR]
            if cursor >= header[QUEUED]:
                if not self._draw():
                    return -1
                cursor = 0
            slot = self._queue_values[cursor]
            header[CURSOR] = cursor + 1
            base = self.rows_base + slot * self.row_size
            if values[base + self._active]:
                values[base + self._scheduled] += 1.0  # one store: nothing to journal
                return slot

    def _make_random(self) -> None:
        # One bit generator, set to another key for every batch: making one costs several times as
        # much.
        self._bits = np.random.Philox(key=0)
        self._fresh_bits: Any = self._bits.state
        self._rng = np.random.Generator(self._bits)
        self._random_pid = os.getpid()

    def _random(self, stream: int) -> np.random.Generator:
        # The stream of Philox(key=(seed, stream)) from its beginning. Valid until the next call.
        # Lock held.
        if (
            self._random_pid != os.getpid()
        ):  # numpy's generator has a lock, which another thread may have held at the fork
            self._make_random()
        fresh = self._fresh_bits
        fresh["state"]["key"] = np.array([self.header[SEED], stream], np.uint64)
        self._bits.state = fresh
        return self._rng

    def _draw(self) -> bool:
        """Draw the next batch of samples. Lock held."""
        header = self.header
        cumulative = (
            self.probability.cumsum()
        )  # methods, not functions: their overhead counts at a thousand tasks
        total = cumulative[-1]
        if header[ACTIVE] == 0 or not total > 0.0:
            return False
        rng = self._random(header[BATCHES])
        slots = cumulative.searchsorted(rng.random(self.layout.batch) * total, side="right")
        last = int(
            cumulative.searchsorted(total)
        )  # rounding may reach past the last slot of positive probability
        header[STAGE] |= _SAMPLES
        np.minimum(slots, last, out=slots)
        self._queue[:] = slots
        header[CURSOR] = 0
        header[QUEUED] = self.layout.batch
        header[BATCHES] += 1
        header[STAGE] &= ~_SAMPLES
        return True

    # -- groups: labels and slices -----------------------------------------------------------------

    def described(self, slot: int) -> bool:
        """Whether the task's groups are known."""
        return self.values[self.rows_base + slot * self.row_size + self._label] != 0.0

    def describe(self, slot: int, label: str, slices: Iterable[str]) -> None:
        """Set the task's groups. Lock held. Slices beyond the layout's axes are left out."""
        base = self.base(slot)
        for column, name in zip(self._groups_column[1:], slices, strict=False):
            self.values[base + column] = self.group(f"slice/{name}")
        self.values[base + self._label] = self.group(
            f"label/{label}"
        )  # last: it says that the others are set

    def group(self, name: str) -> int:
        """Index of a group, made on first use. 0 when :data:`MAX_GROUPS` exist. Lock held."""
        if (
            self._group_epoch == self.header[EPOCH] and name in self._group_index
        ):  # an index never changes within an epoch
            return self._group_index[name]
        self._read_group_names()
        if name in self._group_index:
            return self._group_index[name]
        data = _group_name_bytes(name)
        stored = data.decode()
        if stored in self._group_index:
            return self._group_index.setdefault(name, self._group_index[stored])
        count = self.header[GROUPS]
        if count >= MAX_GROUPS:
            return self._group_index.setdefault(name, 0)
        at = self.layout.offsets["group_names"] + _GROUP_NAME_BYTES * count
        self._bytes[at + 8 : at + 8 + len(data)] = data
        self.header[at // 8] = len(data)
        self._groups[count] = 0.0
        self.header[GROUPS] = count + 1
        self._group_index[name] = count
        self._read_group_names()
        return count

    def _read_group_names(self) -> None:
        if self._group_epoch != self.header[EPOCH]:
            self._group_epoch, self._group_names, self._group_index = self.header[EPOCH], [], {}
        for i in range(len(self._group_names), self.header[GROUPS]):
            at = self.layout.offsets["group_names"] + _GROUP_NAME_BYTES * i
            name = (
                bytes(self._bytes[at + 8 : at + 8 + self.header[at // 8]]).decode()
                if i
                else "other"
            )
            self._group_names.append(name)
            self._group_index.setdefault(name, i)

    def group_name(self, slot: int, column: str = LABEL) -> str | None:
        """Name of a task's group, without its kind, or None while unknown."""
        group = int(self.values[self.base(slot) + self.offset(column)])
        self._read_group_names()
        return (
            self._group_names[group].partition("/")[2]
            if 0 < group < len(self._group_names)
            else None
        )

    def group_totals(self, kind: str) -> dict[str, dict[str, float]]:
        """Per group of a kind (``"label"`` or ``"slice"``): :data:`GROUP_FIELDS` over all tasks
        that ever were in the pool.

        ``tasks`` counts those that have left; ``active_tasks`` those that have not.
        """
        self._read_group_names()
        totals = self._groups[:, : len(GROUP_FIELDS)].copy()
        present = np.zeros(MAX_GROUPS)
        columns = self._groups_column[:1] if kind == "label" else self._groups_column[1:]
        rows = self.rows[self.active()]
        for column in columns:
            member = rows[:, column].astype(np.int64)
            present += np.bincount(member, minlength=MAX_GROUPS)[:MAX_GROUPS]
            for k, name in enumerate(GROUP_FIELDS[:-1]):
                totals[:, k] += np.bincount(member, rows[:, self._column[name]], MAX_GROUPS)[
                    :MAX_GROUPS
                ]
        return {
            name.partition("/")[2]: {
                **dict(zip(GROUP_FIELDS, totals[i].tolist(), strict=True)),
                "active_tasks": float(present[i]),
            }
            for i, name in enumerate(self._group_names)
            if name.startswith(f"{kind}/")
        }

    @property
    def active_count(self) -> int:
        """Tasks in the pool."""
        return self.header[ACTIVE]

    @property
    def clock(self) -> int:
        """Completions recorded so far: the measure of ages and lags."""
        return self.header[CLOCK]

    # -- totals, history, state --------------------------------------------------------------------

    def completed(self) -> int:
        """Completions of all tasks that ever were in the pool."""
        return self.header[CLOSED_COMPLETED] + int(self.column("completion_count").sum())

    def scheduled(self) -> int:
        """How often any task was handed out."""
        return self.header[CLOSED_SCHEDULED] + int(self.column(SCHEDULED).sum())

    def recent_scores(self) -> np.ndarray:
        """The recent scores, in no particular order."""
        return self.history[: min(self.header[HISTORY], self.history_size)].copy()

    def get_state(self) -> dict[str, Any]:
        """The table as plain arrays, numbers and strings. Lock held.

        Read by every version whose ``FORMAT`` is the same; others refuse it with a message. Columns
        are matched by name.
        """
        self._read_group_names()
        return {
            "format": FORMAT,
            "max_tasks": self.layout.max_tasks,
            "columns": list(self.layout.names),
            "rows": self.rows.copy(),
            "counters": {name: int(self.header[word]) for name, word in COUNTERS.items()},
            "score_range": [self.values[SCORE_LOW], self.values[SCORE_HIGH]],
            "groups": self._groups[: len(self._group_names)].copy(),
            "group_names": list(self._group_names),
            "probability": self.probability.copy(),
            "queue": self._queue.copy(),
            "history": self.history.copy(),
            "retired": self._retired[: min(self.header[INVALID], MAX_RETIRED)].copy(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Replace the table by a saved one. Lock held. Raises ValueError, before changing anything,
        if it does not fit.

        A larger pool takes the tasks of a smaller one and has room for more; a column that was not
        saved begins at zero.
        """
        saved, names = _checked(state), list(state["columns"])
        kept = saved["rows"][saved["rows"][:, names.index("is_active")] != 0.0]
        same = len(saved["rows"]) == self.layout.max_tasks
        if len(kept) > self.layout.max_tasks:
            raise ValueError(
                f"saved pool holds {len(kept)} tasks, this one has room for "
                f"{self.layout.max_tasks}: "
                f"use num_active_tasks of at least {len(kept)}"
            )
        self.header[STAGE] |= _LOADING
        self._clear()
        for name, word in COUNTERS.items():
            self.header[word] = int(state["counters"][name])
        self.values[SCORE_LOW], self.values[SCORE_HIGH] = saved["score_range"].tolist()
        source = saved["rows"] if same else kept
        for name in set(names) & set(self.layout.names):
            self.rows[: len(source), self._column[name]] = source[:, names.index(name)]
        for name in state["group_names"][1:]:
            self.group(name)
        self._groups[: len(saved["groups"])] = saved["groups"]
        self._retired[: len(saved["retired"])] = saved["retired"]
        self._load_history(saved["history"])
        self._rebuild()
        if same:
            self.probability[:] = saved["probability"]
            self._queue[:] = saved["queue"]
        else:
            self.header[CURSOR] = self.header[QUEUED] = 0
            self.header[STALE] = 1
        self.header[STAGE] = 0

    def _load_history(self, saved: np.ndarray) -> None:
        """Take over a ring of scores; of a ring of another size, the latest scores."""
        count, size = self.header[HISTORY], len(self.history)
        if len(saved) != size:
            saved = saved[:count] if count <= len(saved) else np.roll(saved, -(count % len(saved)))
            saved = saved[-size:]
            self.header[HISTORY] = len(saved)
        self.history[: len(saved)] = saved


def _checked(state: dict[str, Any]) -> dict[str, Any]:
    """The arrays of a saved pool. Raises ValueError if it is not one, or not consistent."""
    if not isinstance(state, dict):
        raise ValueError(f"not the state of a pool: a {type(state).__name__}, not a dict")
    if state.get("format") != FORMAT:
        raise ValueError(
            f"saved pool has format {state.get('format')!r}, this version reads {FORMAT}"
        )
    lacks = {"max_tasks", "columns", "group_names", "counters", *_STATE_ARRAYS} - set(state)
    for name, kind in (("columns", list), ("group_names", list), ("counters", dict)):
        if not isinstance(state.get(name, kind()), kind):
            raise ValueError(
                f"saved pool is inconsistent: {name} is a {type(state[name]).__name__}, not a "
                f"{kind.__name__}"
            )
    if (
        not all(isinstance(name, str) for name in state.get("group_names", ()))
        or len(state.get("group_names", ())) > MAX_GROUPS
    ):
        raise ValueError(
            f"saved pool is inconsistent: group_names are at most {MAX_GROUPS} strings"
        )
    lacks |= {
        f"counters[{name!r}]" for name in set(COUNTERS) - set(state.get("counters", COUNTERS))
    }
    lacks |= {
        f"column {name!r}" for name in set(BASE_COLUMNS) - set(state.get("columns", BASE_COLUMNS))
    }
    if lacks:
        raise ValueError(
            f"saved pool lacks {', '.join(sorted(lacks))}: is it the state of a curriculum's pool?"
        )
    for name, value in {**state["counters"], "max_tasks": state["max_tasks"]}.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, int | np.integer)
            or not 0 <= value < 2**63
        ):
            raise ValueError(
                f"saved pool is inconsistent: {name} is {value!r}, not an integer from 0 to 2^63 - "
                "1"
            )
    try:
        arrays = {name: np.asarray(state[name], dtype) for name, dtype in _STATE_ARRAYS.items()}
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"saved pool is inconsistent: a field does not hold numbers ({error})"
        ) from None
    n, names = int(state["max_tasks"]), list(state["columns"])
    retired = min(state["counters"]["invalid"], MAX_RETIRED)
    for name, shape in (
        ("rows", (n, len(names))),
        ("groups", (len(state["group_names"]), _GROUP_WORDS)),
        ("probability", (n,)),
        ("queue", (_batch(n),)),
        ("history", (max(1, arrays["history"].size),)),
        ("retired", (retired,)),
        ("score_range", (2,)),
    ):
        if arrays[name].shape != shape:
            raise ValueError(
                f"saved pool is inconsistent: {name} has shape {arrays[name].shape}, expected "
                f"{shape}"
            )
    _check_values(arrays, names, len(state["group_names"]))
    ids = arrays["rows"][arrays["rows"][:, names.index("is_active")] != 0.0, names.index("task_id")]
    if (
        len(np.unique(ids)) < len(ids)
        or not ((ids >= 0) & (ids <= MAX_TASK_ID) & (ids == np.floor(ids))).all()
    ):
        raise ValueError(
            "saved pool is inconsistent: its task ids are not distinct integers from 0 to 2^53 - 1"
        )
    queue, cursor, queued = (
        arrays["queue"],
        state["counters"]["cursor"],
        state["counters"]["queued"],
    )
    if not (0 <= cursor <= queued <= len(queue) and ((queue >= 0) & (queue < n)).all()):
        raise ValueError("saved pool is inconsistent: its queue of samples points outside the pool")
    return arrays


def _check_values(arrays: dict[str, Any], names: list[str], num_groups: int) -> None:
    rows = {name: arrays["rows"][:, i] for i, name in enumerate(names)}
    own = {name: rows[name] for name in names if name in (*BASE_COLUMNS, SCHEDULED, TOTAL_SQUARED)}
    for name, values in {
        **own,
        **{name: arrays[name] for name in ("score_range", "groups", "probability", "history")},
    }.items():
        least = 0.0 if name in ("completion_count", SCHEDULED, "probability") else -np.inf
        if not (np.isfinite(values) & (values >= least)).all():
            raise ValueError(
                f"saved pool is inconsistent: {name} holds a number that is not finite, or below "
                f"{least:g}"
            )
    low, high = arrays["score_range"].tolist()
    if not low < high:
        raise ValueError(
            f"saved pool is inconsistent: its range of scores, {low} to {high}, is empty"
        )
    for name in [name for name in names if name == LABEL or name.removeprefix("slice_").isdigit()]:
        if not ((rows[name] >= 0) & (rows[name] < num_groups)).all():
            raise ValueError(
                f"saved pool is inconsistent: column {name!r} points outside its {num_groups} "
                "groups"
            )


def _group_name_bytes(name: str) -> bytes:
    """A group's name as it is stored. Of one that is too long, what fits and a digest that tells it
    from others."""
    data = name.encode()
    room = _GROUP_NAME_BYTES - 8
    if len(data) <= room:
        return data
    return (
        data[: room - 9].decode(errors="ignore").encode()
        + b"~"
        + hashlib.sha256(data).hexdigest()[:8].encode()
    )


def _distinct(rng: np.random.Generator, n: int, upper: int) -> np.ndarray:
    """``n`` distinct integers below ``upper``, in random order."""
    if upper <= 4 * n:
        return rng.permutation(upper)[:n]
    found = np.empty(0, np.int64)
    while len(found) < n:
        found = np.sort(
            np.concatenate([found, rng.integers(0, upper, n - len(found) + n // 4 + 1)])
        )
        found = found[
            np.append(True, found[1:] != found[:-1])
        ]  # np.unique would import numpy.ma, which takes 50 ms
    return rng.permutation(found)[:n]
