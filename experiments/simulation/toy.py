"""The toy environment of Portelas et al., "Teacher algorithms for curriculum learning of Deep RL in
continuously parameterized environments" (2019), section 4: what is learned unlocks what is beside
it.

The unit cube is cut into ``side`` cells along each of its axes. An episode in an open cell is
counted and pays 1 to 100, the count; one in a locked cell pays 0 and teaches nothing. A cell is
mastered with 75 episodes, and opens its neighbours along the axes. One corner is open at first.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

MASTERY = 75
"""Episodes that master a cell."""
HIGHEST = 100
"""The most that an episode pays."""


class Setting(BaseModel):
    """Size of the cube, and how long it is practised in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dimensions: int = Field(ge=1, le=8)
    """Axes that matter."""
    side: int = Field(ge=2, le=100)
    """Cells along an axis."""
    episodes: int = Field(ge=1)
    """Episodes of a run."""
    irrelevant: int = Field(default=0, ge=0, le=8)
    """Further parameters of a task, which do not matter."""

    @property
    def parameters(self) -> int:
        """Parameters of a task."""
        return self.dimensions + self.irrelevant

    @property
    def cells(self) -> int:
        """Cells that can be mastered."""
        return self.side**self.dimensions


_SIZES = {"2d": (2, 10, 20_000), "3d": (3, 6, 43_200), "5d": (5, 3, 48_600)}

SETTINGS: MappingProxyType[str, Setting] = MappingProxyType(
    {
        f"{name}{suffix}": Setting(
            dimensions=dimensions, side=side, episodes=episodes, irrelevant=irrelevant
        )
        for suffix, irrelevant in (("", 0), ("_irrelevant", 2))
        for name, (dimensions, side, episodes) in _SIZES.items()
    }
)
"""200 episodes per cell, of which mastering it takes 75."""


class ToyEnvironment:
    """The cube, and what was practised in it."""

    def __init__(self, setting: Setting):
        self.setting = setting
        self.counts: NDArray[np.int64] = np.zeros(setting.cells, dtype=np.int64)
        """(cells,) episodes counted, the last axis fastest."""
        self.open: NDArray[np.bool_] = np.zeros(setting.cells, dtype=np.bool_)
        """(cells,) whether an episode counts."""
        self.open[0] = True
        self.mastered = 0
        """Cells mastered."""

    def practise(self, point: Sequence[float] | NDArray[np.float64]) -> float:
        """An episode with these parameters, each in [0, 1]. Returns its score: what it pays ÷ the
        most that one pays."""
        cell = self.cell_of(point)
        if not self.open[cell]:
            return 0.0
        self.counts[cell] += 1
        count = int(self.counts[cell])
        if count == MASTERY:
            self.mastered += 1
            self.open[self.neighbours(cell)] = True
        return min(count, HIGHEST) / HIGHEST

    def evaluate(self) -> NDArray[np.float64]:
        """(cells,) the score that an episode would have in each cell now, without one."""
        return np.where(self.open, np.minimum(self.counts + 1, HIGHEST) / HIGHEST, 0.0)

    def cell_of(self, point: Sequence[float] | NDArray[np.float64]) -> int:
        """The cell that a point lies in; 1.0 lies in the last one of its axis."""
        side, cell = self.setting.side, 0
        for axis in range(self.setting.dimensions):
            cell = cell * side + min(int(point[axis] * side), side - 1)
        return cell

    def neighbours(self, cell: int) -> list[int]:
        """Cells that share a face with this one."""
        side, found = self.setting.side, []
        for axis in range(self.setting.dimensions):
            step = side**axis
            place = cell // step % side
            found += [cell - step] if place > 0 else []
            found += [cell + step] if place < side - 1 else []
        return found
