"""Regions of a family that has more tasks than a pool has rows: what is known is shared in them.

Of a family with a `Span` hardly a task is ever drawn twice, and of a large one few are. So the pool
keeps a row per *region*, a part of every axis; an episode plays some task of the region, and what
comes of it is known of all of them. The values of a list are kept apart as long as they fit; a
`Span` is cut into equal parts.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from metta.cogworks.curriculum.tasks.generator import TaskGenerator
from metta.cogworks.curriculum.tasks.masses import num_variants
from metta.cogworks.curriculum.tasks.settings import Grid

MEMBERS = 16
"""Tasks of a region that are played, on average: so many ids a region are looked at, 8 µs each."""
LEAST_REGIONS = 16
"""A family that cannot be cut into as many is left as it is: where it has so many axes that few of
them can be cut in two, a region says little about its tasks."""


class Regions:
    """The regions of a family of tasks. Each is named by one of its tasks, its *representative*.

    The members of a region are those among the family's first ids that lie in it, so that every
    process knows the same ones; any other id belongs to a region too. A region in which none of
    the first ids lies does not exist.

    Args:
        generator: of the family, with :func:`grid_of` of it not None.
        num_ids: of the family.
        grid: how it is cut.
    """

    def __init__(self, generator: TaskGenerator[Any], num_ids: int, grid: Grid):
        self._generator, self.grid = generator, grid
        count = generator.node.num_regions(grid) or 1
        members: dict[Any, list[int]] = {}
        for task_id in range(min(num_ids, MEMBERS * count)):
            members.setdefault(self._region(task_id), []).append(task_id)
        self._members = {ids[0]: ids for ids in members.values()}
        self._representative = {region: ids[0] for region, ids in members.items()}
        self._of_member = {i: ids[0] for ids in members.values() for i in ids}

    def _region(self, task_id: int) -> Any:
        key: Any = self._generator.variant(task_id)
        return self._generator.node.region(key, self.grid)

    def __len__(self) -> int:
        return len(self._members)

    @property
    def representatives(self) -> list[int]:
        """One id per region, ascending."""
        return list(self._members)

    def representative(self, task_id: int) -> int:
        """That of the region in which a task lies; the task itself, if that region does not
        exist."""
        found = self._of_member.get(task_id)
        return self._representative.get(self._region(task_id), task_id) if found is None else found

    def members(self, representative: int) -> list[int]:
        """The tasks of a region that are played. Of an id that represents none, itself."""
        return self._members.get(representative) or [representative]

    def member(self, representative: int, bits: int, without: Collection[int] = ()) -> int:
        """The task of a region that is played for 64 random bits.

        Args:
            without: tasks that are not played, a set; all are, if there would be none.
        """
        ids = self._members.get(representative)
        if ids is None:
            return representative
        if without:
            ids = [task_id for task_id in ids if task_id not in without] or ids
        return ids[bits * len(ids) >> 64]

    def weight(self, representative: int) -> float:
        """How likely one draw of the family lies in the region, compared with the mean region."""
        key: Any = self._generator.variant(representative)
        return self._generator.node.region_share(key, self.grid) * len(self._members)


def grid_of(
    generator: TaskGenerator[Any] | None, num_ids: int, capacity: int, limit: int
) -> Grid | None:
    """The finest grid with at most ``limit`` regions: lists are whole if they can be, and the spans
    are cut into as many parts as possible.

    Args:
        generator: of the family; None: tasks are plain ids.
        num_ids: of the family.
        capacity: of the pool, in tasks.
        limit: at most ``capacity``.

    Returns:
        None for a family that has no grid, of which a custom generator is a part; that fits into
        the pool as it is; or of which there would be fewer than ``LEAST_REGIONS`` regions.
    """
    if generator is None or _fits(generator, num_ids, capacity):
        return None
    for cuts_lists in (False, True):
        fitting, most = None, 0
        for bins in range(1, limit + 1):
            count = generator.node.num_regions(Grid(bins, cuts_lists))
            if count is None or count > limit:
                break
            if count > most:
                fitting, most = Grid(bins, cuts_lists), count
        if fitting is not None:
            return fitting if most >= LEAST_REGIONS else None
    return None


def _fits(generator: TaskGenerator[Any], num_ids: int, capacity: int) -> bool:
    # The number of variants is a sum of fractions, and so rounded.
    return num_ids <= capacity or num_variants(generator.node.masses) <= capacity + 0.5
