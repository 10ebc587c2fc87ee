"""From a key to the slot that has it: open addressing with linear probing, in the pool's memory.

Keys are a float64 column of the rows; the index itself holds slots. Deleting moves the entries
behind the gap forward (Knuth, TAOCP vol. 3, 6.4, algorithm R), so that the index never has to be
cleaned.
"""

from __future__ import annotations

import numpy as np

from metta.cogworks.curriculum.pool.journal import Journal
from metta.cogworks.curriculum.tasks.ids import GOLDEN

_MASK = 2**64 - 1


class SlotIndex:
    """Slots by the value of one column, which no two rows in it share.

    Args:
        memory: all of the pool's bytes.
        at: where the index begins, in bytes.
        size: number of entries, a power of two, at least twice the number of rows.
        rows: all rows, shape ``(n, row_size)``.
        keys: the rows as one flat float64 memory, and where row 0 begins in it.
        column: position of the key within a row.
        has_zero: whether 0 is a key; else it says that a row has none, and is not in the index.
    """

    def __init__(
        self,
        memory: memoryview,
        at: int,
        size: int,
        rows: np.ndarray,
        keys: tuple[memoryview[float], int],
        column: int,
        has_zero: bool = True,
    ):
        self._at = at
        self._array = np.frombuffer(memory, np.int32, size, at)
        self._entries = self._array.data
        self._shift = 64 - (size.bit_length() - 1)
        self._mask = size - 1
        self._rows, self._column, self._has_zero = rows, column, has_zero
        self._values, base = keys
        self._base, self._row_size = base + column, rows.shape[1]

    def find(self, key: int) -> int:
        """The slot of the row with this key, or -1."""
        entries, values, base, size = self._entries, self._values, self._base, self._row_size
        i = ((key * GOLDEN) & _MASK) >> self._shift
        while entry := entries[i]:
            if values[base + (entry - 1) * size] == key:
                return entry - 1
            i = (i + 1) & self._mask
        return -1

    def insert(self, slot: int, journal: Journal) -> None:
        """Add a row, which has its key. Lock held."""
        key = self._key(slot)
        if key == 0.0 and not self._has_zero:
            return
        i = ((int(key) * GOLDEN) & _MASK) >> self._shift
        while self._entries[i]:
            i = (i + 1) & self._mask
        self._store(i, slot + 1, journal)

    def remove(self, slot: int, journal: Journal) -> None:
        """Take out a row, while it still has its key. Lock held.

        Raises:
            RuntimeError: it is not there.
        """
        key = self._key(slot)
        if key == 0.0 and not self._has_zero:
            return
        i = ((int(key) * GOLDEN) & _MASK) >> self._shift
        while self._entries[i] != slot + 1:
            if self._entries[i] == 0:
                raise RuntimeError(f"slot {slot} has a row but no entry in the index")
            i = (i + 1) & self._mask
        gap, i = i, (i + 1) & self._mask
        while entry := self._entries[i]:
            home = ((int(self._key(entry - 1)) * GOLDEN) & _MASK) >> self._shift
            if ((i - home) & self._mask) >= ((i - gap) & self._mask):  # it may stand in the gap
                self._store(gap, entry, journal)
                gap = i
            i = (i + 1) & self._mask
        self._store(gap, 0, journal)

    def rebuild(self, slots: np.ndarray) -> None:
        """Make the index anew from the rows in ``slots``. Lock held. Cost: linear, in numpy."""
        self._array[:] = 0
        if not self._has_zero:
            slots = slots[self._rows[slots, self._column] != 0.0]
        with np.errstate(over="ignore"):
            keys = self._rows[slots, self._column].astype(np.uint64)
            at = ((keys * np.uint64(GOLDEN)) >> np.uint64(self._shift)).astype(np.int64)
        entries = (slots + 1).astype(np.int32)
        while len(entries):
            # Of those that want the same free place the last one written gets it; the others try
            # the next place.
            free = self._array[at] == 0
            self._array[at[free]] = entries[free]
            waiting = self._array[at] != entries
            at, entries = (at[waiting] + 1) & self._mask, entries[waiting]

    def slots(self) -> np.ndarray:
        """All slots in the index, ascending."""
        return np.sort(self._array[self._array > 0] - 1)

    def _key(self, slot: int) -> float:
        return self._values[self._base + slot * self._row_size]

    def _store(self, i: int, entry: int, journal: Journal) -> None:
        journal.save((self._at + 4 * i) // 8 * 8, 8)
        self._entries[i] = entry
