"""Checks of what comes from outside: each returns the value as it is used from then on, or raises
an error that names the thing, the value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

T = TypeVar("T")

MAX_ABS_SCORE = 1e100
"""Larger scores would overflow when squared and summed; no reward is near it."""
MAX_SIZE = 2**30
"""Of anything that is counted in slots: their positions are stored in 32 bits."""


def checked_integer(name: str, value: Any, least: int, most: int = MAX_SIZE) -> int:
    """``value`` as an int. Raises ValueError, naming the parameter, unless it is an integer from
    ``least`` to ``most``."""
    if type(value) is int and least <= value <= most:
        return value
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_integer or value < least:
        raise ValueError(f"{name}={value!r} is not allowed: give an integer of at least {least}")
    if value > most:
        raise ValueError(f"{name}={value!r:.60} is not allowed: give an integer of at most {most}")
    return int(value)


def number(value: Any) -> float:
    """The value as a float; NaN unless it is a number. Neither a boolean nor a text is one."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return math.inf


def finite(name: str, value: Any, limit: float = MAX_ABS_SCORE) -> float:
    """The value as a float. Raises ValueError, naming the thing, unless it is a finite number of
    magnitude below ``limit``."""
    x = number(value)
    if not abs(x) < limit:  # false for NaN
        raise ValueError(
            f"{name}={value!r:.60} is not allowed: give a finite number of magnitude below "
            f"{limit:g}"
        )
    return x


def share(name: str, value: Any) -> float:
    """The value as a float. Raises ValueError, naming the thing, unless it is above 0, at most
    1."""
    x = number(value)
    if not 0.0 < x <= 1.0:
        raise ValueError(f"{name}={value!r:.60} is not allowed: give a number above 0, at most 1")
    return x


def flag(name: str, value: Any) -> bool:
    """The value as a bool. Raises TypeError, naming the thing, unless it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={value!r:.60} is not allowed: give True or False")
    return bool(value)


def text(name: str, value: Any) -> str:
    """The value. Raises TypeError, naming the thing, unless it is a string."""
    return instance(name, value, str, "give a string")


def instance(name: str, value: Any, kind: type[T], way_out: str) -> T:
    """The value. Raises TypeError, with the way out, unless it is an instance of ``kind``."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(
            f"{name}={value!r:.60} is a {type(value).__name__}, not {article} {kind.__name__}: "
            f"{way_out}"
        )
    return value


def listed(name: str, values: Any, of: str) -> list[Any]:
    """The values as a list. Raises TypeError, naming the thing, unless they are some that can be
    iterated over, and no text, bytes or mapping, whose parts are something else. What a generator
    raises comes through."""
    try:
        if isinstance(values, str | bytes | bytearray | Mapping | type):
            raise TypeError
        iterator = iter(values)
    except TypeError:
        raise TypeError(
            f"{name}={values!r:.60} is a {type(values).__name__}: give a list of {of}"
        ) from None
    return list(iterator)


@runtime_checkable
class HasList(Protocol):
    """An array or a tensor, of numpy, torch, jax, pandas ...: its numbers can be had as Python's,
    from whatever device they are on."""

    def tolist(self) -> Any:
        """Its numbers, in lists if it has dimensions."""


def as_list(values: Any) -> Any:
    """An array or a tensor as lists of numbers, without dimensions as a number; all else as it is.

    ``tolist`` is what all of them have, and what works on a graphics card, with gradients and for
    types that numpy lacks, where ``numpy.asarray`` would not.
    """
    return (
        values if isinstance(values, list) or not isinstance(values, HasList) else values.tolist()
    )


def vector(name: str, values: np.ndarray | Iterable[float], least: float = -math.inf) -> np.ndarray:
    """The values as float64 of shape ``(n,)``. Raises ValueError, naming the thing, unless they are
    finite numbers of at least ``least`` in one dimension."""
    found = values if isinstance(values, np.ndarray) else listed(name, values, "numbers")
    try:
        array: np.ndarray | None = np.asarray(found)
    except ValueError:  # of unequal lengths
        array = None
    if array is None or array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
        raise ValueError(
            f"{name}={values!r:.60} is not allowed: give an array of numbers with one dimension"
        )
    array = array.astype(np.float64)
    good = np.isfinite(array) & (array >= least)
    if not good.all():
        bound = "" if least == -math.inf else f" of at least {least:g}"
        raise ValueError(
            f"{name} holds {array[~good][0]}, which is not allowed: give finite numbers{bound}"
        )
    return array
