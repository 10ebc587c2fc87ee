"""A task's episodes that have not ended make it worth less for now.

With hundreds of environments most draws are made before the latest results are known: what is best
at one moment would be drawn for all of them, and practised long after it was learned. So the worth
of a task is divided by 1 + d·m, m its own episodes in flight, before it is raised to the power e of
the sampling rule: its weight by (1 + d·m)^e. Rules without a power take `sampling_power`. That is
the virtual loss of parallel tree search (Chaslot, Winands and van den Herik, "Parallel Monte-Carlo
tree search", 2008), made soft.
"""

from __future__ import annotations

import numpy as np

from metta.cogworks.curriculum.sampling import raised

_KNOWN = 1024  # episodes of one task in flight whose factor is looked up


class InFlightDiscount:
    """Factors on the weights of tasks with episodes in flight.

    Args:
        discount: d, at least 0.
        exponent: e, at least 0.
    """

    def __init__(self, discount: float, exponent: float):
        self._discount, self._exponent = discount, exponent
        self.is_none = discount == 0.0 or exponent == 0.0
        self._factors = [self._factor(m) for m in range(_KNOWN)]

    def _factor(self, m: float) -> float:
        return (1.0 + self._discount * m) ** -self._exponent

    def factor(self, m: int) -> float:
        """Of a task with ``m`` episodes in flight."""
        return self._factors[m] if m < _KNOWN else self._factor(m)

    def ratio(self, before: int, now: int) -> float:
        """By what its weight changes when their number does."""
        former = self.factor(before)
        return self.factor(now) / former if former > 0.0 else 1.0

    def of_block(self, m: np.ndarray) -> np.ndarray:
        """Of many tasks, float64 of shape ``(n,)``."""
        return raised(1.0 / (1.0 + self._discount * m), self._exponent)
