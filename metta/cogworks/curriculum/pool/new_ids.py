"""Ids of tasks that are not in the pool."""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from metta.cogworks.curriculum.pool.index import SlotIndex
from metta.cogworks.curriculum.pool.journal import Journal
from metta.cogworks.curriculum.pool.layout import (
    ACTIVE,
    CREATED,
    EPOCH,
    INVALID,
    MAX_RETIRED,
    NEW_IDS,
    SEED,
    TASK_ID,
    TableLayout,
)
from metta.cogworks.curriculum.tasks.ids import GOLDEN, mix64

_MASK = 2**64 - 1
_NONE: frozenset[int] = frozenset()
_TRIES = 64  # enough where half of the ids are free, but for a chance of 2^-64
_MANY_TRIES = 512  # 0.4 ms, in a family too large to be enumerated
_ENUMERABLE = 4096  # ids that are enumerated to find the last free one: 0.3 ms


class NewIds:
    """The ``k``-th new id is ``mix64(seed + k·2^64/φ)`` modulo the number of ids, or the next that
    is free.

    Ids of tasks that were taken out as invalid do not come back: the last ``MAX_RETIRED`` of them
    are remembered in ``retired_ring``.

    Args:
        memory: all of the pool's bytes.
        words: the same as int64.
        layout: where things lie.
        rows: all rows, shape ``(max_tasks, row_size)``.
        index: the pool's index by id.
    """

    def __init__(
        self,
        memory: memoryview,
        words: memoryview[int],
        layout: TableLayout,
        rows: np.ndarray,
        index: SlotIndex,
    ):
        self._words, self._rows, self._index = words, rows, index
        self._at = layout.offsets["retired"]
        self.retired_ring = np.frombuffer(memory, np.int64, MAX_RETIRED, self._at)
        self._retired: tuple[tuple[int, int], frozenset[int]] = ((-1, -1), frozenset())

    def retire(self, task_id: int, journal: Journal) -> None:
        """Remember the id of an invalid task, which is counted afterwards. Lock held."""
        at = self._words[INVALID] % MAX_RETIRED
        journal.save(self._at + 8 * at, 8)
        self.retired_ring[at] = task_id

    def retire_member(self, task_id: int, journal: Journal) -> None:
        """Count a task as invalid, and another as created, while the row that stands for both goes
        on. Lock held, inside a change."""
        self.retire(task_id, journal)
        for word in (INVALID, CREATED):
            journal.save(8 * word, 8)
            self._words[word] += 1

    def retired(self) -> frozenset[int]:
        """Ids of the last ``MAX_RETIRED`` tasks that were taken out as invalid. Lock held."""
        if not self._words[INVALID]:
            return _NONE
        version = (self._words[EPOCH], self._words[INVALID])
        if version != self._retired[0]:
            ids = self.retired_ring[: min(version[1], MAX_RETIRED)].tolist()
            self._retired = (version, frozenset(ids))
        return self._retired[1]

    def draw(self, num_ids: int, other_than: int = -1) -> int | None:
        """A random id below ``num_ids`` that is not in the pool, or None. Lock held.

        None if there is no other; in a family of more than 4,096 ids, also if none of 512 tries
        finds one.
        """
        words = self._words
        excluded = {i for i in (*self.retired(), other_than) if 0 <= i < num_ids}
        outside = sum(self._index.find(i) < 0 for i in excluded)
        if words[ACTIVE] + outside >= num_ids:
            return None
        for _ in range(_TRIES if num_ids <= _ENUMERABLE else _MANY_TRIES):
            words[NEW_IDS] += 1
            candidate = mix64((words[SEED] + words[NEW_IDS] * GOLDEN) & _MASK) % num_ids
            if candidate not in excluded and self._index.find(candidate) < 0:
                return candidate
        return self._enumerate(num_ids, excluded) if num_ids <= _ENUMERABLE else None

    def missing(self, num_ids: int) -> list[int]:
        """All ids below ``num_ids`` that are not in the pool, but for retired ones. Lock held.
        Cost: linear in their number, in numpy."""
        return np.flatnonzero(self._free(num_ids, self.retired())).tolist()

    def _enumerate(self, num_ids: int, excluded: set[int]) -> int | None:
        free = np.flatnonzero(self._free(num_ids, excluded))
        if not len(free):
            return None
        self._words[NEW_IDS] += 1
        return int(free[self._words[NEW_IDS] % len(free)])

    def _free(self, num_ids: int, excluded: Set[int]) -> np.ndarray:
        used = np.append(self._rows[self._index.slots(), TASK_ID], list(excluded)).astype(np.int64)
        is_free = np.ones(num_ids, bool)
        is_free[used[used < num_ids]] = False
        return is_free


def distinct(rng: np.random.Generator, n: int, upper: int) -> np.ndarray:
    """``n`` distinct integers below ``upper``, in random order, int64."""
    if upper <= 4 * n:
        return rng.permutation(upper)[:n]
    found = np.empty(0, np.int64)
    while len(found) < n:
        more = rng.integers(0, upper, n - len(found) + n // 4 + 1)
        found = np.sort(np.concatenate([found, more]))
        # np.unique would import numpy.ma, which takes 50 ms
        found = found[np.append(True, found[1:] != found[:-1])]
    return rng.permutation(found)[:n]
