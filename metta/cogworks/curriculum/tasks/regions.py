"""Regions of a family that has more tasks than a pool has rows: what is known is shared in them.

Of a family with a `Span` hardly a task is ever drawn twice, and of a large one few are. So the pool
keeps a row per *region*, a part of every axis; an episode plays some task of the region, and what
comes of it is known of all of them. The values of a list are kept apart as long as they fit; a
`Span` is cut into equal parts.
"""

from __future__ import annotations

import sys
from collections.abc import Set
from typing import Any

from metta.cogworks.curriculum.tasks.generator import TaskGenerator
from metta.cogworks.curriculum.tasks.masses import inclusion, num_variants
from metta.cogworks.curriculum.tasks.nodes import Node
from metta.cogworks.curriculum.tasks.settings import Grid

MEMBERS = 16
"""Tasks of a region that are played at a time, on average: so many ids a region are looked at, some
10 µs each; but at least so many of all:"""
LEAST_MEMBERS = 4096
DRAWS_PER_MEMBER = 64
"""Draws until the oldest member of all makes room for a new one. Each process has to look at that
one, which costs 0.2 µs a draw and process."""
_LOWER_HALF = 2**32 - 1  # of 64 bits
LEAST_REGIONS = 16
"""A family that cannot be cut into as many is left as it is: where it has so many axes that few of
them can be cut in two, a region says little about its tasks."""


class Regions:
    """The regions of a family of tasks. Each is named by one of its tasks, its *representative*:
    the first of the family's ids that lies in it.

    The tasks that are played, its *members*, are those among some thousand consecutive ids that lie
    in it. The ids begin at 0, and move on by one every ``DRAWS_PER_MEMBER`` draws of the pool,
    unless they are all that there are: so all processes play the same ones, and in the long run all
    ids are played. Any id belongs to a region; one in which none of the first ids lies does not
    exist.

    Args:
        generator: of the family, with :func:`grid_of` of it not None.
        num_ids: of the family.
        grid: how it is cut.
    """

    def __init__(self, generator: TaskGenerator[Any], num_ids: int, grid: Grid):
        self._generator, self._num_ids, self.grid = generator, num_ids, grid
        count = generator.node.num_regions(grid) or 1
        self._width = min(num_ids, max(LEAST_MEMBERS, MEMBERS * count))
        self._moves = self._width < num_ids
        self._representative: dict[Any, int] = {}
        # Of this process: the members as of a draw, which are found anew where they do not fit.
        self._first = 0
        self._members: dict[int, list[int]] = {}
        self._of_member: dict[int, int] = {}
        for task_id in range(self._width):
            region = self._region(task_id)
            self._enter(task_id, self._representative.setdefault(region, task_id))
        self.representatives = list(self._members)
        """One id per region, ascending."""

    def _region(self, task_id: int) -> Any:
        key: Any = self._generator.variant(task_id)
        return self._generator.node.region(key, self.grid)

    def __len__(self) -> int:
        return len(self.representatives)

    def representative(self, task_id: int) -> int:
        """That of the region in which a task lies; the task itself, if that region does not
        exist. Cheap for a member."""
        found = self._of_member.get(task_id)
        return self._representative.get(self._region(task_id), task_id) if found is None else found

    def member(self, representative: int, draw: int, bits: int, retired: Set[int]) -> int:
        """The task of a region that is played at a draw of the pool.

        Args:
            representative: of the region. Any other id is played itself.
            draw: its number.
            bits: 32 random ones, or more, of which the lowest 32 count.
            retired: tasks that are not played.
        """
        ids = self.members(representative, draw)
        if retired:
            ids = [task_id for task_id in ids if task_id not in retired] or [representative]
        return ids[(bits & _LOWER_HALF) * len(ids) >> 32]

    def members(self, representative: int, draw: int) -> list[int]:
        """The tasks of a region that are played at the pool's draw of this number, at least one. Of
        an id that represents none, itself."""
        first = draw // DRAWS_PER_MEMBER if self._moves else 0
        if first != self._first:
            self._move_to(first)
        return self._members.get(representative) or [representative]

    def _move_to(self, first: int) -> None:
        before, self._first = self._first, -1  # in case that this is interrupted
        if 0 <= first - before <= self._width and before >= 0:
            for place in range(before, first):
                self._leave(place % self._num_ids)
                self._look_at((place + self._width) % self._num_ids)
        else:
            self._members, self._of_member = {}, {}
            for place in range(first, first + self._width):
                self._look_at(place % self._num_ids)
        self._first = first

    def _look_at(self, task_id: int) -> None:
        representative = self._representative.get(self._region(task_id))
        if representative is not None:
            self._enter(task_id, representative)

    def _enter(self, task_id: int, representative: int) -> None:
        self._members.setdefault(representative, []).append(task_id)
        self._of_member[task_id] = representative

    def _leave(self, task_id: int) -> None:
        representative = self._of_member.pop(task_id, None)
        if representative is not None:
            self._members[representative].remove(task_id)

    def weight(self, representative: int) -> float:
        """How likely one draw of the family lies in the region, compared with the mean region.

        Where ids are random, a region of so small a share that it may be without one among the
        first stands for those that are: by 1 / the chance that it is with one (Horvitz and
        Thompson 1952).
        """
        key: Any = self._generator.variant(representative)
        share = self._generator.node.region_share(key, self.grid)
        if self._generator.num_variants is None and share > sys.float_info.min:
            share /= inclusion(share, self._width)
        return share * len(self)


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
        fitting, count = _finest(generator.node, limit, cuts_lists)
        if fitting is not None:
            return fitting if count >= LEAST_REGIONS else None
    return None


def _finest(node: Node, limit: int, cuts_lists: bool) -> tuple[Grid | None, int]:
    """The first of the grids with the most regions, at most ``limit``, and how many those are."""
    finest, most = None, 0
    for bins in range(1, limit + 1):
        before = most
        for extra in range(max(1, node.num_axes)):
            grid = Grid(bins, extra, cuts_lists)
            count = node.num_regions(grid)
            if count is None or count > limit:
                return finest, most
            if count > most:
                finest, most = grid, count
        if most == before:  # each axis had its turn: they are as fine as they can be
            break
    return finest, most


def _fits(generator: TaskGenerator[Any], num_ids: int, capacity: int) -> bool:
    # The number of variants is a sum of fractions, and so rounded.
    return num_ids <= capacity or num_variants(generator.node.masses) <= capacity + 0.5
