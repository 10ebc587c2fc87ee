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

from metta.cogworks.curriculum.tasks import variates
from metta.cogworks.curriculum.tasks.elementary import exp, log
from metta.cogworks.curriculum.tasks.ids import GOLDEN, TO_UNIT, mix64

_WORD = 64  # bits that one step of the stream gives
_MASK = 2**_WORD - 1
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

    The stream is splitmix64. Its methods are those by which `random.Random` draws, also those that
    a later Python has, with the same arguments; they raise TypeError or ValueError for others. The
    numbers are the same on every platform and Python version, and others than those of
    `random.Random`: `random`, `uniform`, `randint`, `randrange`, `getrandbits`, `randbytes`;
    `choice`, `choices`, `sample`, `shuffle`; `triangular`, `gauss`, `normalvariate`,
    `lognormvariate`, `expovariate`, `gammavariate`, `betavariate`, `paretovariate`,
    `weibullvariate`, `vonmisesvariate` and `binomialvariate`.

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

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """Uniform among the integers of `range(start, stop, step)`, or of `range(start)`; at most
        2^64 of them."""
        start, step = _integer(start, "randrange: start"), _integer(step, "randrange: step")
        numbers = range(start)
        if stop is not None:
            if step == 0:
                raise ValueError("randrange: step is 0; give another integer")
            numbers = range(start, _integer(stop, "randrange: stop"), step)
        elif step != 1:
            raise TypeError(f"randrange: step is {step}, without a stop; give both")
        if not numbers:
            raise ValueError(f"randrange: {numbers} is empty; give one with an integer in it")
        count = 1 + (numbers[-1] - numbers[0]) // numbers.step
        if count - 1 > _MASK:
            raise ValueError(
                f"randrange: {numbers} has more than 2^64 values: draw from a smaller range"
            )
        return numbers[0] + numbers.step * self._below(count)

    def getrandbits(self, k: int) -> int:
        """Uniform among the integers from 0 to 2^k − 1."""
        k = _count(k, "getrandbits: k")
        words = [self._next() for _ in range(-(-k // _WORD))]
        return sum(word << (_WORD * i) for i, word in enumerate(words)) & ((1 << k) - 1)

    def randbytes(self, n: int) -> bytes:
        """`n` bytes, each uniform."""
        n = _count(n, "randbytes: n")
        return self.getrandbits(8 * n).to_bytes(n, "little")

    def triangular(self, low: float = 0.0, high: float = 1.0, mode: float | None = None) -> float:
        """From low to high, with a density that rises up to the mode and falls from there. `mode`:
        between the two; None: halfway."""
        for name, value in (("low", low), ("high", high), ("mode", mode)):
            if value is not None:
                _check_number(value, f"triangular: {name}")
        mode = 0.5 * (low + high) if mode is None else mode
        least, most = min(low, high), max(low, high)
        if not least <= mode <= most:
            raise ValueError(f"triangular: mode is {mode!r}; give one from {least!r} to {most!r}")
        return variates.triangular(self.random, least, most, mode)

    def normalvariate(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """Normal, of mean mu and standard deviation sigma >= 0."""
        _check_number(mu, "normalvariate: mu")
        _check_number(sigma, "normalvariate: sigma", least=0.0)
        return mu + sigma * variates.normal(self.random)

    gauss = normalvariate

    def lognormvariate(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """The exponential of a normal variate."""
        return exp(self.normalvariate(mu, sigma))

    def expovariate(self, lambd: float = 1.0) -> float:
        """Exponential, of mean 1 / lambd, which is not 0."""
        _check_number(lambd, "expovariate: lambd")
        if lambd == 0.0:
            raise ValueError("expovariate: lambd is 0; give another number, 1 / the mean")
        return variates.exponential(self.random) / lambd

    def gammavariate(self, alpha: float, beta: float) -> float:
        """Gamma, of shape alpha > 0 and scale beta > 0: the mean is their product."""
        _check_positive("gammavariate", alpha=alpha, beta=beta)
        return beta * exp(variates.log_gamma(self.random, alpha))

    def betavariate(self, alpha: float, beta: float) -> float:
        """Beta, in [0, 1], of the shapes alpha > 0 and beta > 0."""
        _check_positive("betavariate", alpha=alpha, beta=beta)
        return variates.beta(self.random, alpha, beta)

    def paretovariate(self, alpha: float) -> float:
        """Pareto, of shape alpha > 0: at least 1. OverflowError where it is no float."""
        _check_positive("paretovariate", alpha=alpha)
        return exp(variates.exponential(self.random) / alpha)

    def weibullvariate(self, alpha: float, beta: float) -> float:
        """Weibull, of scale alpha > 0 and shape beta > 0. OverflowError where it is no float."""
        _check_positive("weibullvariate", alpha=alpha, beta=beta)
        draw = variates.exponential(self.random)
        return alpha * exp(log(draw) / beta) if draw > 0.0 else 0.0

    def vonmisesvariate(self, mu: float, kappa: float) -> float:
        """An angle from 0 to 2π, around mu with concentration kappa >= 0; uniform for kappa 0."""
        _check_number(mu, "vonmisesvariate: mu")
        _check_number(kappa, "vonmisesvariate: kappa", least=0.0)
        return variates.von_mises(self.random, mu, kappa)

    def binomialvariate(self, n: int = 1, p: float = 0.5) -> int:
        """Binomial: successes in n trials, each with probability p."""
        n = _count(n, "binomialvariate: n")
        _check_number(p, "binomialvariate: p", least=0.0)
        if p > 1.0:
            raise ValueError(f"binomialvariate: p is {p!r}; give a number from 0 to 1")
        return variates.binomial(self.random, n, p)

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


def _check_number(value: Any, what: str, least: float = -math.inf) -> None:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{what} is {_short(value)}, a {type(value).__name__}; give a number")
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value!r}; give a finite number")
    if value < least:
        raise ValueError(f"{what} is {value!r}; give a number of at least {least:g}")


def _check_positive(method: str, **values: Any) -> None:
    for name, value in values.items():
        _check_number(value, f"{method}: {name}")
        if not value > 0.0:
            raise ValueError(f"{method}: {name} is {value!r}; give a number above 0")


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
