"""The values that make one task differ from another, and how they are drawn.

A task is a pure function of (generator configuration, task id): the same in every process, on every
machine and Python version. Nothing is drawn from a random state; each decision hashes a seed of its
own (`mix64`):

    seed of task t                     s = mix64(t · 2^64/φ)
    seed of child i of a generator     mix64(s xor hash("child/i"))
    which child a set takes            mix64(s xor hash("choice"))
    the value of a bucket              mix64(s xor hash("bucket/" + its path))
    the point within a `Span`          mix64 of that value

with `hash` the first 8 bytes of BLAKE2b. So the choice of a child says nothing about the choices
inside it, two axes are independent of each other, and adding an axis leaves the values of the
others as they were.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_serializer, model_validator

from metta.cogworks.curriculum.task_config import (
    Location,
    compile_copier,
    is_immutable,
    locate,
    plain,
)
from metta.cogworks.curriculum.tasks.ids import (
    GOLDEN,
    TO_UNIT,
    mix64,
)

# ---------------------------------------------------------------------------------------------- ran

_MASK = 2**64 - 1
SPAN_BINS = (
    4  # in statistics: enough to see a trend, few enough to keep the number of metrics bounded
)


def salt_of(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def task_seed(task_id: int) -> int:
    return mix64((task_id + 1) * GOLDEN & _MASK)


class TaskRandom:
    """The random numbers of one task in a custom generator: a function of the task id, stable
    across versions.

    The stream is splitmix64. Methods are named as those of `random.Random`. For more, seed a
    generator of your own with `seed`.
    """

    __slots__ = ("_state", "seed")

    def __init__(self, seed: int) -> None:
        self.seed = seed  # in [0, 2^64)
        self._state = seed

    def _next(self) -> int:
        self._state = (self._state + GOLDEN) & _MASK
        return mix64(self._state)

    def random(self) -> float:
        """Uniform in [0, 1), a multiple of 2^-53."""
        return (self._next() >> 11) * TO_UNIT

    def uniform(self, low: float, high: float) -> float:
        """Uniform in [low, high]."""
        return low + (high - low) * self.random()

    def randint(self, low: int, high: int) -> int:
        """Uniform among the integers from low to high, both included."""
        if low > high:
            raise ValueError(f"randint({low}, {high}) is empty: low must not exceed high")
        return low + ((self._next() * (high - low + 1)) >> 64)

    def choice(self, items: Sequence[Any]) -> Any:
        """One of the items, each equally likely."""
        return items[self.randint(0, len(items) - 1)]


# ---------------------------------------------------------------------------------------------- buc


class Span(BaseModel):
    """A range of values, drawn uniformly: `Span(1, 8)` integers, both ends included; `Span(0.1,
    1.0)` floats.

    It is an integer range if both ends are integers. As JSON: `{"span": [1, 8]}`.

    Raises:
        ValueError: an end is no finite number, or min is not below max.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: int | float
    max: int | float

    def __init__(self, min: float, max: float) -> None:
        super().__init__(min=min, max=max)

    @field_validator("min", "max", mode="before")
    @classmethod
    def _is_a_finite_number(cls, value: Any) -> Any:
        value = plain(value, "Span")
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise ValueError(f"the ends of a Span are finite numbers, not {value!r}")
        return value

    @model_validator(mode="after")
    def _min_is_below_max(self) -> Self:
        if not self.min < self.max:
            raise ValueError(
                f"Span({self.min!r}, {self.max!r}) is empty: min must be below max; for one value, "
                "list that value"
            )
        return self

    @model_serializer
    def _dump(self) -> dict[str, Any]:
        return {"span": [self.min, self.max]}

    @property
    def is_integer(self) -> bool:
        """Whether integers are drawn."""
        return isinstance(self.min, int) and isinstance(self.max, int)

    def at(self, bits: int) -> int | float:
        """The value of this range for 64 random bits."""
        if self.is_integer:
            return int(self.min) + ((bits * int(self.max - self.min + 1)) >> 64)
        return min(self.min + (self.max - self.min) * ((bits >> 11) * TO_UNIT), self.max)

    @property
    def has_bins(self) -> bool:
        """Whether statistics group its values into bins; integers, if no more than the bins, stand
        for themselves."""
        return not (self.is_integer and self.max - self.min < SPAN_BINS)

    def bin_name(self, value: float) -> str:
        """The one of `SPAN_BINS` intervals of equal width that holds `value`: `"[0, 2.5)"`; the
        last is closed."""
        width = (self.max - self.min) / SPAN_BINS
        index = min(max(int((value - self.min) / width), 0), SPAN_BINS - 1)
        low, high = self.min + index * width, self.min + (index + 1) * width
        return f"[{low:.6g}, {high:.6g}{']' if index == SPAN_BINS - 1 else ')'}"


BucketValue = Any  # a plain value or a Span


def normalise_bucket(path: str, values: Any) -> list[BucketValue]:
    """The values of a bucket in the form in which the configuration keeps them.

    Raises:
        ValueError: there is none, one occurs twice, or one is of a kind that a bucket cannot hold.
    """
    what = f"bucket {path!r}"
    if not isinstance(path, str) or not path:
        raise ValueError(
            f"{what}: a bucket's name is the dotted path of a field, for instance 'game.max_steps'"
        )
    if path == "label":
        raise ValueError(
            f"{what}: the label names a generator's tasks; to vary it, merge generators with "
            "labels of their own"
        )
    if isinstance(values, Span) or _is_span_dump(values):
        values = [values]
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise ValueError(
            f"{what}: expected a list of values or a Span, got {values!r}; for one value write "
            f"[{values!r}]"
        )
    result: list[BucketValue] = []
    for value in values:
        item = (
            _span(value, what)
            if isinstance(value, Span) or _is_span_dump(value)
            else plain(value, what)
        )
        if any(type(item) is type(other) and item == other for other in result):
            raise ValueError(
                f"{what}: {item!r} occurs twice; list each value once (weights are a "
                "TaskGeneratorSet's)"
            )
        result.append(item)
    if not result:
        raise ValueError(
            f"{what} is empty; give at least one value or a Span, or leave the bucket out"
        )
    return result


def _is_span_dump(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"span"}


def _span(value: Any, what: str) -> Span:
    if isinstance(value, Span):
        return value
    ends = value["span"]
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        raise ValueError(f"{what}: {value!r} is no span; write {{'span': [min, max]}}")
    return Span(ends[0], ends[1])


class Setting:
    """One value that can be put into the configurations of one structure, validated once, here."""

    def __init__(self, location: Location, value: Any, what: str) -> None:
        self.location = location
        validated = location.validate(value, what)
        self._make = compile_copier(validated)
        # What `describe` says: the number or text that the field holds; of anything else, the value
        # as written.
        self.told = validated if isinstance(validated, bool | int | float | str | None) else value

    def apply(self, config: Any) -> None:
        self.location.assign(config, self._make())


class _SpanSetting:
    """A range of values for one place."""

    # Integer ranges up to this size are validated value by value, others at both ends and a point
    # between.
    _CHECK_ALL = 256

    def __init__(self, location: Location, span: Span, what: str) -> None:
        self.location = location
        self.span = span
        held_by_value = {
            value: location.validate(value, f"{what} {span!r} for") for value in self._samples(span)
        }
        self._cast: Callable[[Any], Any] = type(held_by_value[span.min])
        for value, held in held_by_value.items():
            if type(held) is not self._cast or held != value:
                raise ValueError(
                    f"{what} {location.path!r}: {span!r} contains {value!r}, which the field turns "
                    f"into {held!r}; "
                    "list the allowed values instead of a Span"
                )

    def _samples(self, span: Span) -> Iterable[int | float]:
        if span.is_integer and span.max - span.min < self._CHECK_ALL:
            return range(int(span.min), int(span.max) + 1)
        return (
            span.min,
            span.at(GOLDEN),
            span.max,
        )  # a point inside that is hardly ever a round number

    def value(self, bits: int) -> Any:
        return self._cast(self.span.at(bits))


class Axis:
    """A bucket, ready for use: its values for each structure (leaf) that the child's configurations
    can have."""

    def __init__(self, path: str, values: list[BucketValue], references: Sequence[Any]) -> None:
        self.path = path
        self.size = len(values)
        self.salt = salt_of(f"bucket/{path}")
        self.leaves = [
            [
                (_SpanSetting if isinstance(value, Span) else Setting)(location, value, "bucket")
                for value in values
            ]
            for location in (locate(reference, path, "bucket") for reference in references)
        ]
        self.is_simple = all(
            isinstance(setting, Setting) and is_immutable(setting.told)
            for leaf in self.leaves
            for setting in leaf
        )
        self.told = [
            [setting.told if isinstance(setting, Setting) else None for setting in leaf]
            for leaf in self.leaves
        ]

    def tell(self, seed: int, leaf: int) -> Any:
        """The value for a task, as `describe` says it."""
        bits = mix64(seed ^ self.salt)
        if self.is_simple:
            return self.told[leaf][bits * self.size >> 64]
        setting = self.leaves[leaf][bits * self.size >> 64]
        if isinstance(setting, _SpanSetting):
            return setting.value(mix64(bits))
        return (
            setting.told if is_immutable(setting.told) else plain(setting.told, self.path)
        )  # a copy

    def variant(self, seed: int, leaf: int) -> int | tuple[int, Any]:
        """Which of the values a task has: equal only if the values are."""
        bits = mix64(seed ^ self.salt)
        index = bits * self.size >> 64
        setting = self.leaves[leaf][index]
        return (index, setting.value(mix64(bits))) if isinstance(setting, _SpanSetting) else index

    def apply(self, config: Any, seed: int, leaf: int) -> None:
        """Puts the value for a task into its configuration."""
        bits = mix64(seed ^ self.salt)
        setting = self.leaves[leaf][bits * self.size >> 64]
        if isinstance(setting, _SpanSetting):
            setting.location.assign(config, setting.value(mix64(bits)))
        else:
            setting.apply(config)
