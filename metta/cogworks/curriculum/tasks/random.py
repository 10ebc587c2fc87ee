"""How the values of a task are drawn where a family cannot be enumerated, and the random numbers of
custom generators.

A task is a pure function of (generator configuration, task id): the same in every process, on every
machine and Python version. Nothing is drawn from a random state; each decision hashes a seed of its
own (`mix64`):

    seed of task t                     s = mix64((t + 1) · 2^64/φ)
    seed of child i of a generator     mix64(s xor hash("child/i"))
    which child a set takes            mix64(s xor hash("choice"))
    the value of a bucket              mix64(s xor hash("bucket/" + its path))
    the point within a `Span`          mix64 of that value

with `hash` the first 8 bytes of BLAKE2b. So the choice of a child says nothing about the choices
inside it, two axes are independent of each other, and adding an axis leaves the values of the
others as they were.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
from collections.abc import MutableSequence, Sequence
from typing import Any

from metta.cogworks.curriculum.tasks.ids import GOLDEN, TO_UNIT, mix64

_MASK = 2**64 - 1
_LONGEST = 60  # characters of a value that are shown


def salt_of(name: str) -> int:
    """64 bits of a name, for the seeds of what it names."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def task_seed(task_id: int) -> int:
    """The seed of a task."""
    return mix64((task_id + 1) * GOLDEN & _MASK)


class TaskRandom:
    """The random numbers of one task in a custom generator: a function of the task id, stable
    across versions.

    The stream is splitmix64. Its methods are named as those of `random.Random`, with the same
    arguments, and raise TypeError or ValueError for others: `random`, `uniform`, `randint`,
    `choice`, `choices`, `sample` and `shuffle`. For more, seed a generator of your own with `seed`.

    Args:
        seed: from 0 to 2^64 − 1.
    """

    __slots__ = ("_state", "seed")

    def __init__(self, seed: int) -> None:
        if type(seed) is not int or not 0 <= seed <= _MASK:
            raise ValueError(
                f"TaskRandom: seed is {seed!r}; give an integer from 0 to 2^64 − 1, such as the "
                "`seed` of another TaskRandom"
            )
        self.seed = seed
        self._state = seed

    def _next(self) -> int:
        self._state = (self._state + GOLDEN) & _MASK
        return mix64(self._state)

    def _below(self, n: int) -> int:
        return (self._next() * n) >> 64

    def random(self) -> float:
        """Uniform in [0, 1), a multiple of 2^-53."""
        return (self._next() >> 11) * TO_UNIT

    def uniform(self, low: float, high: float) -> float:
        """Uniform in [low, high]."""
        for name, value in (("low", low), ("high", high)):
            _check_number(value, f"uniform: {name}")
        return low + (high - low) * self.random()

    def randint(self, low: int, high: int) -> int:
        """Uniform among the integers from low to high, both included; at most 2^64 of them."""
        low, high = _integer(low, "randint: low"), _integer(high, "randint: high")
        if low > high:
            raise ValueError(f"randint({low}, {high}) is empty: low must not exceed high")
        if high - low > _MASK:
            raise ValueError(
                f"randint({low}, {high}) has more than 2^64 values: draw from a smaller range"
            )
        return low + self._below(high - low + 1)

    def choice(self, items: Sequence[Any]) -> Any:
        """One of the items, each equally likely."""
        items = _some_items(items, "choice")
        return items[self._below(len(items))]

    def choices(
        self,
        population: Sequence[Any],
        weights: Sequence[float] | None = None,
        *,
        cum_weights: Sequence[float] | None = None,
        k: int = 1,
    ) -> list[Any]:
        """`k` of the items, drawn independently, in proportion to their weights; equally likely
        without any.

        Args:
            weights: one number >= 0 per item.
            cum_weights: the same, summed up from the first to the last; give one of the two.
        """
        items = _some_items(population, "choices")
        k = _count(k, "choices: k")
        if weights is not None and cum_weights is not None:
            raise TypeError("choices: weights and cum_weights are given; give one of the two")
        if weights is None and cum_weights is None:
            return [items[self._below(len(items))] for _ in range(k)]
        sums = _cumulative(weights, cum_weights, len(items))
        last = max(i for i in range(len(sums)) if i == 0 or sums[i] > sums[i - 1])
        points = [self.random() * sums[-1] for _ in range(k)]
        return [items[min(bisect.bisect_right(sums, point), last)] for point in points]

    def sample(
        self, population: Sequence[Any], k: int, *, counts: Sequence[int] | None = None
    ) -> list[Any]:
        """`k` different items, in random order: every such list is equally likely.

        Args:
            counts: how often each item is in the population. Default: once.
        """
        items = _sequence(population, "sample")
        k = _count(k, "sample: k")
        bounds = None if counts is None else _checked_counts(counts, len(items))
        size = len(items) if bounds is None else (bounds[-1] if bounds else 0)
        if k > size:
            raise ValueError(f"sample: k={k} is more than the population, {size}; give at most it")
        positions = self._positions(size, k)
        if bounds is None:
            return [items[position] for position in positions]
        return [items[bisect.bisect_right(bounds, position)] for position in positions]

    def _positions(self, n: int, k: int) -> list[int]:
        # Fisher and Yates, with only what was moved in memory.
        moved: dict[int, int] = {}
        drawn = []
        for last in range(n - 1, n - 1 - k, -1):
            at = self._below(last + 1)
            drawn.append(moved.get(at, at))
            moved[at] = moved.get(last, last)
        return drawn

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """Puts the items into random order, in place: every order is equally likely."""
        if not isinstance(items, MutableSequence):
            raise TypeError(
                f"shuffle: {_short(items)} is a {type(items).__name__}, which cannot be put into "
                "another order; give a list, or use sample(items, len(items))"
            )
        items[:] = [items[position] for position in self._positions(len(items), len(items))]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _integer(value: Any, what: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} is {_short(value)}, a {type(value).__name__}; give an integer")
    return value.__index__()


def _count(value: Any, what: str) -> int:
    count = _integer(value, what)
    if count < 0:
        raise ValueError(f"{what} is {count}; give an integer of at least 0")
    return count


def _check_number(value: Any, what: str) -> None:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{what} is {_short(value)}, a {type(value).__name__}; give a number")
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value!r}; give a finite number")


def _sequence(items: Any, what: str) -> Sequence[Any]:
    if not hasattr(items, "__len__") or not hasattr(items, "__getitem__"):
        raise TypeError(
            f"{what}: {_short(items)} is a {type(items).__name__}, not a sequence; give a list"
        )
    if hasattr(items, "keys"):
        raise TypeError(f"{what}: {_short(items)} is a mapping, without order; give list(it)")
    return items


def _some_items(items: Any, what: str) -> Sequence[Any]:
    found = _sequence(items, what)
    if not len(found):
        raise ValueError(f"{what}: the sequence {_short(items)} is empty; give at least one item")
    return found


def _cumulative(weights: Any, cum_weights: Any, count: int) -> list[float]:
    name = "weights" if cum_weights is None else "cum_weights"
    given = _sequence(weights if cum_weights is None else cum_weights, f"choices: {name}")
    if len(given) != count:
        raise ValueError(
            f"choices: {name} has {len(given)} entries for {count} items; give one per item"
        )
    for value in given:
        _check_number(value, f"choices: an entry of {name}")
    sums = list(itertools.accumulate(given)) if cum_weights is None else list(given)
    if any(b < a for a, b in itertools.pairwise([0.0, *sums])):
        rule = "at least 0" if cum_weights is None else "at least 0, none below the one before it"
        raise ValueError(f"choices: {name} are {_short(list(given))}; they must be {rule}")
    if not sums[-1] > 0 or not math.isfinite(sums[-1]):
        raise ValueError(
            f"choices: {name} sum up to {sums[-1]!r}; give at least one above 0, and a finite sum"
        )
    return sums


def _checked_counts(counts: Any, count: int) -> list[int]:
    given = [_count(n, "sample: an entry of counts") for n in _sequence(counts, "sample: counts")]
    if len(given) != count:
        raise ValueError(
            f"sample: counts has {len(given)} entries for {count} items; give one per item"
        )
    return list(itertools.accumulate(given))
