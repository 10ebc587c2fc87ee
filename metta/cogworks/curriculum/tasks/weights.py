"""How often each generator of a set is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any


def listed_weights(weights: Any) -> list[Any]:
    """The weights as a list; what is in it is for `check_weights`.

    Raises:
        ValueError: they are no list.
    """
    if isinstance(weights, str | bytes | Mapping) or not isinstance(weights, Iterable):
        raise ValueError(f"weights is {weights!r}; give a list of one number per generator")
    found = list(weights)
    for index, weight in enumerate(found):
        check_weight(index, weight)
    return [float(weight) for weight in found]


def check_weight(index: int, weight: Any) -> None:
    """Raises ValueError if this is no weight."""
    is_number = isinstance(weight, Real) and not isinstance(weight, bool)
    if not is_number or not math.isfinite(weight) or weight < 0:
        raise ValueError(
            f"weights[{index}] is {weight!r}; weights are finite numbers above or equal to 0"
        )


def check_weights(weights: list[float], count: int) -> None:
    """Raises ValueError if these are no weights of so many generators."""
    if len(weights) != count:
        raise ValueError(
            f"weights has {len(weights)} entries for {count} task generators; give one weight per "
            "generator"
        )
    for index, weight in enumerate(weights):
        check_weight(index, weight)
    total = sum(weights)
    if weights and not total > 0:
        raise ValueError(f"weights {weights!r} are all 0; at least one must be above 0")
    if not math.isfinite(total):
        raise ValueError(f"the sum of weights {weights!r} is not finite; give smaller ones")
