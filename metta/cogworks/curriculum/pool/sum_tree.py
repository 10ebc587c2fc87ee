"""A tree of sums: draw a slot in proportion to its weight, and change a weight, in log2(n) steps.

Leaf ``i`` is the weight of slot ``i``, every other node the sum of its two children. Nodes are
computed from their children, never by adding a difference, so that the tree is a function of its
leaves: the same in every process, after a crash, and after being saved and loaded. Wong and Easton,
"An efficient method for weighted sampling without replacement", SIAM J. Comput. 9, 1980.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metta.cogworks.curriculum.pool.journal import Journal

_FEW = 8  # nodes that are added up faster one by one than by numpy


class SumTree:
    """Weights of ``size`` slots, a power of two.

    Args:
        memory: all of the pool's bytes.
        at: where the tree begins, in bytes. It takes 16 bytes per slot.
        size: number of leaves.
    """

    def __init__(self, memory: memoryview, at: int, size: int):
        self._array = np.frombuffer(memory, np.float64, 2 * size, at)
        self._nodes: Any = self._array.data  # float64, as a memoryview: faster one by one
        self.size = size
        self._first_leaf = at + 8 * size
        self.leaves = self._array[size:]

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return self._nodes[1]

    def slot_at(self, offset: int) -> int:
        """The slot whose weight lies at ``offset``, or -1 if no weight does."""
        slot = (offset - self._first_leaf) // 8
        return slot if 0 <= slot < self.size else -1

    def weight(self, slot: int) -> float:
        """The weight of a slot."""
        return self._nodes[self.size + slot]

    def set(self, slot: int, weight: float, journal: Journal) -> None:
        """Set the weight of a slot. Lock held, inside a change."""
        if self._nodes[self.size + slot] != weight:
            journal.save(self._first_leaf + 8 * slot, 8)
            self._set(slot, weight)

    def refresh_path(self, slot: int) -> None:
        """Compute the sums above a slot again. Lock held."""
        self._set(slot, self._nodes[self.size + slot])

    def _set(self, slot: int, weight: float) -> None:
        nodes, i = self._nodes, self.size + slot
        nodes[i] = weight
        while i > 1:
            weight += nodes[i ^ 1]  # the sibling
            i >>= 1
            nodes[i] = weight

    def set_range(self, first: int, weights: np.ndarray) -> None:
        """Set the weights of ``len(weights)`` slots from ``first`` on. Lock held.

        Cost: linear in their number, in numpy.
        """
        array, low, high = self._array, self.size + first, self.size + first + len(weights)
        array[low:high] = weights
        while high - low > _FEW:
            low, high = low >> 1, (high + 1) >> 1
            children = array[2 * low : 2 * high]
            np.add(children[::2], children[1::2], out=array[low:high])
        nodes = self._nodes
        while low > 1:
            low, high = low >> 1, (high + 1) >> 1
            for i in range(low, high):
                nodes[i] = nodes[2 * i] + nodes[2 * i + 1]

    def find(self, x: float) -> int:
        """The slot in whose share ``x`` falls, for x in [0, 1); its weight is above 0.

        With x uniform, slot i is found with probability weight_i / total. -1 if all weights are 0.
        """
        nodes, size, i = self._nodes, self.size, 1
        rest = x * nodes[1]
        while i < size:
            i += i
            left = nodes[i]
            if rest >= left:
                rest -= left
                i += 1
        if nodes[i] > 0.0:
            return i - size
        return self._last_positive()

    def remaining(self) -> Remaining:
        """The tree without the slots that are left out of it from now on. Lock held, as long as it
        is used."""
        return Remaining(self._nodes, self.size)

    def faults(self) -> int:
        """How many nodes are not the sum of their children."""
        sums = self._array[2::2] + self._array[3::2]
        return int((sums != self._array[1 : self.size]).sum())

    def _last_positive(self) -> int:
        # Rounding of the sums may lead past the last positive weight.
        nodes, i = self._nodes, 1
        if not nodes[1] > 0.0:
            return -1
        while i < self.size:
            i += i
            if nodes[i + 1] > 0.0:
                i += 1
        return i - self.size


class Remaining:
    """A tree of sums some of whose slots are left out, for draws without replacement. The tree
    itself stays as it is; of the nodes above the slots that are left out there are sums here.

    Weights of slots that were left out may change meanwhile, others may not.

    Args:
        nodes: of the tree: its sums, then its leaves.
        size: number of leaves.
    """

    def __init__(self, nodes: Any, size: int):
        self._nodes, self._size = nodes, size
        self._sums: dict[int, Any] = {}  # float, by node
        self._leaving: list[int] = []  # slots whose sums are still to be made

    def leave_out(self, slot: int) -> None:
        """Count the slot's weight as 0 from now on."""
        self._leaving.append(slot)

    def find(self, x: float) -> int:
        """See :meth:`SumTree.find`, of what is left. Cost: log2(size) steps, and as many for each
        slot that was left out since."""
        for slot in self._leaving:
            self._leave_out(slot)
        self._leaving.clear()
        sums, nodes, size, i = self._sums, self._nodes, self._size, 1
        rest = x * sums.get(1, nodes[1])
        while i < size:
            i += i
            left = sums[i] if i in sums else nodes[i]
            if rest >= left:
                rest -= left
                i += 1
        return i - size if sums.get(i, nodes[i]) > 0.0 else self._last_positive()

    def _leave_out(self, slot: int) -> None:
        sums, nodes, i, weight = self._sums, self._nodes, self._size + slot, 0.0
        sums[i] = 0.0
        while i > 1:
            sibling = i ^ 1
            weight += sums[sibling] if sibling in sums else nodes[sibling]
            i >>= 1
            sums[i] = weight

    def _last_positive(self) -> int:
        sums, nodes, i = self._sums, self._nodes, 1
        if not sums.get(1, nodes[1]) > 0.0:
            return -1
        while i < self._size:
            i += i
            if sums.get(i + 1, nodes[i + 1]) > 0.0:
                i += 1
        return i - self._size
