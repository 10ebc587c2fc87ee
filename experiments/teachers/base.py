"""What a teacher is: whoever says what to practise next, and is told how it went.

Any number of draws may be waiting for their report, and reports may come in another order.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Point = NDArray[np.float64]
"""(dimensions,) parameters of one task, each in [0, 1]."""


class Teacher(Protocol):
    """Chooses among tasks 0 to n − 1."""

    def draw(self) -> int:
        """The task of the next episode."""
        ...

    def report(self, task: int, score: float) -> None:
        """An episode of ``task`` ended with ``score``, in [0, 1]."""
        ...


class BoxTeacher(Protocol):
    """Chooses in the unit cube."""

    def draw(self) -> Point:
        """The parameters of the next episode."""
        ...

    def report(self, point: Point, score: float) -> None:
        """An episode with these parameters ended with ``score``, in [0, 1]."""
        ...


class UniformInBox:
    """Every point equally likely."""

    def __init__(self, dimensions: int, seed: int):
        self._dimensions = dimensions
        self._rng = np.random.default_rng(seed)

    def draw(self) -> Point:
        """A point."""
        return self._rng.random(self._dimensions)

    def report(self, point: Point, score: float) -> None:
        """Nothing to note."""


def proportional_choice(worth: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Index i with probability ``worth[i] / sum(worth)``, all ``worth`` ≥ 0; each equally likely
    where all are 0."""
    total = float(worth.sum())
    if total <= 0.0:
        return int(rng.integers(len(worth)))
    at = int(np.searchsorted(np.cumsum(worth), rng.random() * total, side="right"))
    return min(at, len(worth) - 1)  # the sums may round below the total
