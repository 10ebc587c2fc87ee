"""Tasks of a child, with some fields set to one of several values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from metta.cogworks.curriculum.tasks.ids import mix64
from metta.cogworks.curriculum.tasks.masses import product
from metta.cogworks.curriculum.tasks.nodes import Key, Node, Own
from metta.cogworks.curriculum.tasks.random import salt_of
from metta.cogworks.curriculum.tasks.settings import Axis, Grid
from metta.cogworks.curriculum.tasks.values import BucketValue

CHILD_SALT = salt_of("child/0")


class BucketNode(Node):
    """Key: that of the child's task, then a choice per bucket.

    They are numbered in mixed radix: the first bucket's choice is the lowest digit, the child's
    task the highest.
    """

    def __init__(
        self,
        label: str | None,
        overrides: Mapping[str, Any],
        buckets: Mapping[str, list[BucketValue]],
        child: Node,
    ) -> None:
        self.own = Own(label, overrides, child.own.copies())
        self._child = child
        self._only_child = child.nth(0) if child.num_variants == 1 else None
        self._has_one_leaf = len(self.own.bases) == 1
        self._axes = [
            Axis(path, values, self.own.bases, child.num_axes + i)
            for i, (path, values) in enumerate(buckets.items())
        ]
        self.num_axes = child.num_axes + len(self._axes)
        self._sizes = [axis.num_choices for axis in self._axes]
        self._combinations = math.prod(self._sizes)
        is_finite = child.num_variants is not None and all(axis.is_finite for axis in self._axes)
        self.num_variants = (child.num_variants or 0) * self._combinations if is_finite else None
        self.masses = product([child.masses, *(axis.masses for axis in self._axes)])
        self.tells_all = child.tells_all
        self.is_uniform = child.is_uniform and all(axis.is_uniform for axis in self._axes)

    def draw(self, task_id: int, seed: int) -> Key:
        """Every bucket, and the child, by a seed of its own."""
        child = self._only_child
        if child is None:
            child = self._child.draw(task_id, mix64(seed ^ CHILD_SALT))
        return (child, *[axis.draw(seed) for axis in self._axes])

    def nth(self, number: int) -> Key:
        """The digits of the number."""
        digits = []
        for size in self._sizes:
            number, digit = divmod(number, size)
            digits.append(digit)
        return (self._child.nth(number), *digits)

    def share(self, key: Key) -> float:
        """Of the child's task, times that of each value."""
        return self._child.share(key[0]) * math.prod(
            axis.share(choice) for axis, choice in zip(self._axes, key[1:], strict=True)
        )

    def mass(self, key: Key) -> float:
        """Of the child's task, times that of each value."""
        return self._child.mass(key[0]) * math.prod(
            axis.mass(choice) for axis, choice in zip(self._axes, key[1:], strict=True)
        )

    def num_regions(self, grid: Grid) -> int | None:
        """Those of the child, times the parts of each axis."""
        of_child = self._child.num_regions(grid)
        if of_child is None:
            return None
        return of_child * math.prod(axis.num_cells(grid) for axis in self._axes)

    def region(self, key: Key, grid: Grid) -> Key:
        """That of the child's task, and a part of each axis."""
        cells = [axis.cell(c, grid) for axis, c in zip(self._axes, key[1:], strict=True)]
        return (self._child.region(key[0], grid), *cells)

    def region_share(self, key: Key, grid: Grid) -> float:
        """That of the child's task, times that of each part."""
        shares = [axis.cell_share(c, grid) for axis, c in zip(self._axes, key[1:], strict=True)]
        return self._child.region_share(key[0], grid) * math.prod(shares)

    def leaf(self, key: Key) -> int:
        """That of the child's task."""
        return 0 if self._has_one_leaf else self._child.leaf(key[0])

    def label(self, key: Key) -> str:
        """The generator's, or that of the child's task."""
        return self.own.label or self._child.label(key[0])

    def values(self, key: Key) -> dict[str, Any]:
        """Those of the child's task, and one per bucket."""
        values, leaf = self._child.values(key[0]), self.leaf(key)
        for axis, choice in zip(self._axes, key[1:], strict=True):
            values[axis.path] = axis.tell(choice, leaf)
        return values

    def find(self, label: str | None, values: Mapping[str, Any]) -> Iterator[int]:
        """Those of the child with the other values, with this generator's as the low digits."""
        possible, label = self.own.accepts(label)
        own = [axis.path for axis in self._axes]
        if not possible or not values.keys() >= set(own):
            return
        others = {path: value for path, value in values.items() if path not in own}
        for number in self._child.find(label, others):
            leaf = 0 if self._has_one_leaf else self._child.leaf(self._child.nth(number))
            choices = [axis.find(values[axis.path], leaf) for axis in self._axes]
            low = self._number(choices)
            if low is not None:
                yield number * self._combinations + low

    def _number(self, choices: list[int | None]) -> int | None:
        number = 0
        for choice, size in zip(reversed(choices), reversed(self._sizes), strict=True):
            if choice is None:
                return None
            number = number * size + choice
        return number

    def build(self, key: Key) -> Any:
        """The child's task with the overrides and the buckets' values."""
        leaf = self.leaf(key)
        config = self.own.apply(self._child.build(key[0]), leaf)
        for axis, choice in zip(self._axes, key[1:], strict=True):
            axis.apply(config, choice, leaf)
        return config
