"""Groups of tasks, by label and by bucket value: names, and the sums of tasks that have left."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from metta.cogworks.curriculum.pool.journal import Journal
from metta.cogworks.curriculum.pool.layout import (
    EPOCH,
    GROUP_FIELDS,
    GROUP_NAME_BYTES,
    GROUP_WORDS,
    GROUPS,
    MAX_GROUPS,
    TableLayout,
)

OTHER = 0
"""The group that collects what does not fit."""


class Groups:
    """Names are ``kind/name``; a row holds indices of groups, a group the :data:`GROUP_FIELDS` of
    the tasks that have left the pool.

    Args:
        memory: all of the pool's bytes.
        words: the same as int64.
        layout: where they lie.
    """

    def __init__(self, memory: memoryview, words: memoryview[int], layout: TableLayout):
        self._memory, self._words = memory, words
        self._at, self._names_at = layout.offsets["groups"], layout.offsets["group_names"]
        count = GROUP_WORDS * MAX_GROUPS
        self.sums = np.frombuffer(memory, np.float64, count, self._at).reshape(MAX_GROUPS, -1)
        self._sums: Any = self.sums.reshape(-1).data  # as a memoryview: faster one by one
        self._names: list[str] = []
        self._index: dict[str, int] = {}
        self._epoch = -1

    def start(self) -> None:
        """Begin without groups but :data:`OTHER`. Lock held."""
        self._words[GROUPS] = 1

    def index(self, name: str) -> int:
        """Index of a group, made on first use; :data:`OTHER` when there is no room. Lock held."""
        # an index never changes within an epoch
        if self._epoch == self._words[EPOCH] and name in self._index:
            return self._index[name]
        self._read()
        if name in self._index:
            return self._index[name]
        data = _stored(name)
        text = data.decode()
        if text in self._index:
            return self._index.setdefault(name, self._index[text])
        count = self._words[GROUPS]
        if count >= MAX_GROUPS:
            return self._index.setdefault(name, OTHER)
        at = self._names_at + GROUP_NAME_BYTES * count
        self._memory[at + 8 : at + 8 + len(data)] = data
        self._words[at // 8] = len(data)
        self.sums[count] = 0.0
        self._words[GROUPS] = count + 1
        self._index[name] = count
        self._read()
        return count

    def names(self) -> list[str]:
        """The names, by index. Lock held."""
        self._read()
        return list(self._names)

    def name(self, group: int) -> str | None:
        """Name of a group without its kind; None for :data:`OTHER`. Lock held."""
        self._read()
        return self._names[group].partition("/")[2] if 0 < group < len(self._names) else None

    def add(self, group: int, totals: list[float], journal: Journal) -> None:
        """Add a task that leaves the pool, given its totals. Lock held."""
        sums, first = self._sums, GROUP_WORDS * group
        journal.save(self._at + 8 * first, 8 * GROUP_WORDS)
        for at, total in enumerate((*totals, 1.0), first):
            sums[at] += total

    def _read(self) -> None:
        if self._epoch != self._words[EPOCH]:
            self._epoch, self._names, self._index = self._words[EPOCH], [], {}
        for i in range(len(self._names), self._words[GROUPS]):
            at = self._names_at + GROUP_NAME_BYTES * i
            data = bytes(self._memory[at + 8 : at + 8 + self._words[at // 8]])
            name = data.decode() if i else "other"
            self._names.append(name)
            self._index.setdefault(name, i)


def totals_by_group(
    kind: str, names: list[str], sums: np.ndarray, members: np.ndarray, totals: np.ndarray
) -> dict[str, dict[str, float]]:
    """Per group of a kind (``"label"`` or ``"slice"``): :data:`GROUP_FIELDS` over all tasks that
    ever were in the pool.

    ``tasks`` counts those that have left; ``active_tasks`` those that have not.

    Args:
        kind: which groups.
        names: of all groups.
        sums: of tasks that have left, shape ``(groups, at least len(GROUP_FIELDS))``.
        members: groups of the tasks in the pool, int64 of shape ``(n, axes)``.
        totals: of the tasks in the pool, the fields without ``tasks``, shape ``(n, 4)``.
    """
    count = len(names)
    sums = sums[:count, : len(GROUP_FIELDS)].copy()
    present = np.zeros(count)
    for column in members.T:
        present += np.bincount(column, minlength=count)
        for k in range(len(GROUP_FIELDS) - 1):
            sums[:, k] += np.bincount(column, totals[:, k], count)
    return {
        name.partition("/")[2]: {
            **dict(zip(GROUP_FIELDS, sums[i].tolist(), strict=True)),
            "active_tasks": float(present[i]),
        }
        for i, name in enumerate(names)
        if name.startswith(f"{kind}/")
    }


def _stored(name: str) -> bytes:
    """A group's name as it is stored. Of one that is too long, what fits and a digest that tells it
    from others."""
    data = name.encode()
    room = GROUP_NAME_BYTES - 8
    if len(data) <= room:
        return data
    digest = b"~" + hashlib.sha256(data).hexdigest()[:8].encode()
    return data[: room - len(digest)].decode(errors="ignore").encode() + digest
