"""The slots that changed lately: what somebody who copies the table block by block copies again."""

from __future__ import annotations

import numpy as np

from metta.cogworks.curriculum.pool.layout import BLOCK, CHANGES, TableLayout


class Changes:
    """A ring of slots in the pool's memory, and a count of all that were ever written to it.

    Args:
        memory: all of the pool's bytes.
        words: the same as int64.
        layout: where the ring lies.
    """

    def __init__(self, memory: memoryview, words: memoryview[int], layout: TableLayout):
        self._words, self._max_tasks = words, layout.max_tasks
        at, size = layout.offsets["changes"], layout.changes_size
        self._array = np.frombuffer(memory, np.int32, size, at)
        self._ring, self._mask = self._array.data, size - 1

    @property
    def count(self) -> int:
        """How many changes there were. Lock held."""
        return self._words[CHANGES]

    def note(self, slot: int) -> None:
        """The row or the weight of a slot is about to change. Lock held."""
        count = self._words[CHANGES]
        self._ring[count & self._mask] = slot
        self._words[CHANGES] = count + 1

    def note_block(self, block: int) -> None:
        """The weights of a block are about to change. Lock held."""
        self.note(-1 - block)

    def since(self, count: int) -> np.ndarray | None:
        """The slots that changed since there were ``count`` changes, ascending; None if that is
        too long ago. Lock held."""
        now = self._words[CHANGES]
        if not 0 <= now - count <= self._mask + 1:
            return None
        entries = self._array[np.arange(count, now) & self._mask]
        slots = [entries[entries >= 0]]
        for block in set((-1 - entries[entries < 0]).tolist()):
            slots.append(np.arange(block * BLOCK, min((block + 1) * BLOCK, self._max_tasks)))
        found = np.sort(np.concatenate(slots))
        # np.unique would import numpy.ma, which takes 50 ms, and the lock is held
        return found[np.append(True, found[1:] != found[:-1])] if len(found) else found
