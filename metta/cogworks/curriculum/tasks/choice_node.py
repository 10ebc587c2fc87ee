"""Tasks of several children."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from metta.cogworks.curriculum.tasks.ids import TO_UNIT, mix64
from metta.cogworks.curriculum.tasks.invariants import (
    causes,
    differences,
    inconsistent,
    path_of,
    read_invariants,
    told,
)
from metta.cogworks.curriculum.tasks.masses import union
from metta.cogworks.curriculum.tasks.nodes import Key, Node, Own
from metta.cogworks.curriculum.tasks.random import salt_of
from metta.cogworks.curriculum.tasks.settings import Grid

_BITS_TO_DROP = 11  # of 64, for the 53 of a float


class Child(NamedTuple):
    """One of the generators of a set."""

    node: Node
    weight: float
    overrides: Mapping[str, Any]
    """The child's own, which messages name."""


class ChoiceNode(Node):
    """Key: the child's number, then that of its task. They are numbered child by child; a child of
    weight 0 has none."""

    disagreement: str
    """What the children differ in that must be the same in all tasks; "" for nothing."""

    def __init__(
        self, label: str | None, overrides: Mapping[str, Any], children: Sequence[Child]
    ) -> None:
        self._children = [child.node for child in children]
        bases = [base for child in self._children for base in child.own.copies()]
        self.own = Own(label, overrides, bases)
        self.disagreement = self._disagreement(children)
        leaves = [len(child.own.bases) for child in self._children]
        self._first_leaf = [0, *itertools.accumulate(leaves)]
        self._salts = [salt_of(f"child/{index}") for index in range(len(children))]
        self._choice_salt = salt_of("choice")
        self._cumulative = list(itertools.accumulate(child.weight for child in children))
        total = self._cumulative[-1]
        self._shares = [child.weight / total for child in children]
        sizes = [c.node.num_variants if c.weight > 0 else 0 for c in children]
        counted = [size for size in sizes if size is not None]
        self._first = [0, *itertools.accumulate(counted)]
        self.num_variants = self._first[-1] if len(counted) == len(sizes) else None
        self.num_axes = max(child.num_axes for child in self._children)
        drawn = [c for c in children if c.weight > 0]
        self.tells_all = all(c.node.tells_all for c in drawn)
        of_each = {c.weight / c.node.num_variants for c in drawn if c.node.num_variants}
        each = zip(self._shares, self._children, strict=True)
        self.masses = union((share, child.masses) for share, child in each)
        self.is_uniform = len(of_each) <= 1 and all(c.node.is_uniform for c in drawn)

    def _disagreement(self, children: Sequence[Child]) -> str:
        # This set's overrides are in its bases, so those are compared.
        expected, bases = self.own.invariants, iter(self.own.bases)
        for index, child in enumerate(children):
            for base in itertools.islice(bases, len(child.node.own.bases)):
                found = read_invariants(base)
                for quantity in differences(expected, found):
                    why = causes(quantity, "override", dict(child.overrides))
                    return (
                        f"inconsistent {inconsistent(quantity, expected, found)}: the children of "
                        f"a TaskGeneratorSet disagree on {quantity}: child 0 "
                        f"({children[0].node.own.base_label}) has {told(expected, quantity)}, "
                        f"child {index} ({child.node.own.base_label}) has {told(found, quantity)}"
                        f"{f', set by {why}' if why else ''}; all tasks of a curriculum need the "
                        f"same {quantity}: make {path_of(quantity)} equal"
                    )
        return ""

    def draw(self, task_id: int, seed: int) -> Key:
        """The child in proportion to the weights, and its task, each by a seed of its own."""
        point = (mix64(seed ^ self._choice_salt) >> _BITS_TO_DROP) * TO_UNIT * self._cumulative[-1]
        index = bisect.bisect_right(self._cumulative, point)
        return index, self._children[index].draw(task_id, mix64(seed ^ self._salts[index]))

    def nth(self, number: int) -> Key:
        """The child in whose range the number lies."""
        index = bisect.bisect_right(self._first, number) - 1
        return index, self._children[index].nth(number - self._first[index])

    def share(self, key: Key) -> float:
        """Of the child, times that of its task among the child's."""
        return self._shares[key[0]] * self._children[key[0]].share(key[1])

    def mass(self, key: Key) -> float:
        """Of the child, times that of its task."""
        return self._shares[key[0]] * self._children[key[0]].mass(key[1])

    def num_regions(self, grid: Grid) -> int | None:
        """Those of all children that are drawn."""
        each = zip(self._shares, self._children, strict=True)
        counts = [child.num_regions(grid) for share, child in each if share > 0]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def region(self, key: Key, grid: Grid) -> Key:
        """The child, and its region."""
        return key[0], self._children[key[0]].region(key[1], grid)

    def region_share(self, key: Key, grid: Grid) -> float:
        """Of the child, times that of its region."""
        return self._shares[key[0]] * self._children[key[0]].region_share(key[1], grid)

    def leaf(self, key: Key) -> int:
        """Those of the children, one after the other."""
        return self._first_leaf[key[0]] + self._children[key[0]].leaf(key[1])

    def label(self, key: Key) -> str:
        """The generator's, or that of the child's task."""
        return self.own.label or self._children[key[0]].label(key[1])

    def values(self, key: Key) -> dict[str, Any]:
        """Those of the child's task."""
        return self._children[key[0]].values(key[1])

    def find(self, label: str | None, values: Mapping[str, Any]) -> Iterator[int]:
        """Those of the children, in their ranges."""
        possible, label = self.own.accepts(label)
        if not possible:
            return
        for child, share, first in zip(self._children, self._shares, self._first[:-1], strict=True):
            if share > 0:
                yield from (first + number for number in child.find(label, values))

    def build(self, key: Key) -> Any:
        """The child's task with the overrides."""
        return self.own.apply(self._children[key[0]].build(key[1]), self.leaf(key))
