"""A copy of the pool as of one instant, made without holding the lock for long.

The rows are copied in blocks, each in a hold of its own, while others go on changing the table;
then what changed meanwhile is copied again, until so little is left that the rest fits in one hold
(pre-copy, as in the live migration of virtual machines: Clark et al., NSDI 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metta.cogworks.curriculum.pool.exclusive import exclusive
from metta.cogworks.curriculum.pool.layout import BLOCK
from metta.cogworks.curriculum.pool.memory import MirrorLock
from metta.cogworks.curriculum.pool.table import TaskTable

_LAST_ROWS = BLOCK // 2  # that may be left for the last hold: 0.1 ms
_ROUNDS = 50  # each leaves a small part of the one before; the bound is for a machine that stalls


@dataclass(frozen=True)
class Snapshot:
    """The pool as of one instant.

    Attributes:
        names: the columns that were copied.
        rows: float64 of shape ``(max_tasks, len(names))``.
        weights, priors: float64 of shape ``(max_tasks,)``; see
            :class:`~metta.cogworks.curriculum.pool.samples.Samples`.
        moments: what the sampling rule knows of each block.
        counters: by name, and ``active``.
        score_range: the lowest and the highest score, and 0.
        of_pool: the columns of the whole pool, by name.
        group_names, groups: names and sums of the groups.
        history: the ring of recent scores.
        retired: ids of the last retired tasks.
    """

    names: tuple[str, ...]
    rows: np.ndarray
    weights: np.ndarray
    priors: np.ndarray
    moments: np.ndarray
    counters: dict[str, int]
    score_range: tuple[float, float]
    of_pool: dict[str, float]
    group_names: list[str]
    groups: np.ndarray
    history: np.ndarray
    retired: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """A column over all slots, shape ``(max_tasks,)``."""
        return self.rows[:, self.names.index(name)]

    def active(self) -> np.ndarray:
        """Which slots hold a task. ``is_active`` must be among the columns."""
        return self.column("is_active") != 0.0

    def recent_scores(self) -> np.ndarray:
        """The recent scores, in no particular order."""
        return self.history[: min(self.counters["history"], len(self.history))]


def snapshot(table: TaskTable, names: Sequence[str] | None = None) -> Snapshot:
    """The pool as it is at the instant at which this returns; ``names`` are the columns, all by
    default.

    No hold of the lock is longer than copying 1,024 rows takes, unless the caller holds the lock
    already or the backend shares rows alone.
    """
    names = table.layout.names if names is None else tuple(names)
    return _Copy(table, names).make()


class _Copy:
    def __init__(self, table: TaskTable, names: tuple[str, ...]):
        self.table, self._names = table, names
        offsets = [table.offset(name) for name in names]
        whole = offsets == list(range(table.layout.row_size))
        self._columns: Any = slice(None) if whole else offsets
        n = table.layout.max_tasks
        self._rows = np.empty((n, len(names)))
        self._weights, self._priors = np.empty(n), np.empty(n)

    def make(self) -> Snapshot:
        table = self.table
        at_once = table.layout.max_tasks <= BLOCK or table.lock.owned
        if at_once or isinstance(table.lock, MirrorLock):
            return self._all()
        seen = self._copy_blocks()
        for _ in range(_ROUNDS):
            done, left, seen = self._finish(seen)
            if done is not None:
                return done
            if left is None:
                seen = self._copy_blocks()
                continue
            for first in range(0, len(left), BLOCK):
                self._take(left[first : first + BLOCK])
        return self._all()  # others change more than can be copied: nobody may while this ends

    def _copy_blocks(self) -> int:
        """Copy block by block; returns how many changes there were before."""
        seen = self._count()
        for first in range(0, self.table.layout.max_tasks, BLOCK):
            block = slice(first, first + BLOCK)
            for copy in (self._rows, self._weights, self._priors):
                copy[block] = 0.0  # the system finds memory for it now, not while others wait
            self._take(block)
        return seen

    @exclusive
    def _count(self) -> int:
        return self.table.changes.count

    @exclusive
    def _finish(self, seen: int) -> tuple[Snapshot | None, np.ndarray | None, int]:
        """The snapshot, if few enough slots changed; else those that did (None: nobody knows), and
        how many changes there were so far."""
        changes = self.table.changes
        left = changes.since(seen)
        if left is None or len(left) > _LAST_ROWS:
            return None, left, changes.count
        self._take(left)
        return self._rest(), left, seen

    @exclusive
    def _all(self) -> Snapshot:
        self._take(slice(0, self.table.layout.max_tasks))
        return self._rest()

    @exclusive
    def _take(self, slots: Any) -> None:
        table = self.table
        rows = table.rows[slots]
        self._rows[slots] = rows if isinstance(self._columns, slice) else rows[:, self._columns]
        n = table.layout.max_tasks
        self._weights[slots] = table.samples.weights.leaves[:n][slots]
        self._priors[slots] = table.samples.priors.leaves[:n][slots]

    def _rest(self) -> Snapshot:
        table = self.table
        counters, ring = table.header.counters(), table.new_ids.retired_ring
        group_names = table.groups.names()
        return Snapshot(
            names=self._names,
            rows=self._rows,
            weights=self._weights,
            priors=self._priors,
            moments=table.samples.moments.copy(),
            counters=counters,
            score_range=table.header.seen_range,
            of_pool=table.header.of_pool(),
            group_names=group_names,
            groups=table.groups.sums[: len(group_names)].copy(),
            history=table.history.copy(),
            retired=ring[: min(counters["invalid"], len(ring))].copy(),
        )
