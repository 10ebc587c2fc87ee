"""The values of buckets and overrides, in the form in which a configuration keeps them."""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator, model_serializer, model_validator

from metta.cogworks.curriculum.tasks.class_paths import refuse_untrusted_types
from metta.cogworks.curriculum.tasks.ids import TO_UNIT

SPAN_BINS = 4
"""In statistics: enough to see a trend, few enough to keep the number of metrics bounded."""


def plain(value: Any, what: str) -> Any:
    """`value` as JSON would give it back: what a bucket or an override may hold.

    Numbers, strings, booleans, None, and lists and string-keyed dicts of these stay as they are;
    tuples become lists, numpy scalars and enum members their value, pydantic models their dump (the
    field makes a model of it again).

    Raises:
        ValueError: NaN, a dict key that is not a string, or another type; the message starts with
            `what`.
    """
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json", serialize_as_any=True), what)
    if isinstance(value, enum.Enum):
        return plain(value.value, what)
    if isinstance(value, np.generic):
        return plain(value.item(), what)
    if isinstance(value, float) and math.isnan(value):
        raise ValueError(f"{what}: NaN is not a value; give a number")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(item, what) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(
                    f"{what}: the key {key!r} is a {type(key).__name__}; write it as a string, "
                    "the configuration's own type converts it"
                )
        return {key: plain(item, what) for key, item in value.items()}
    raise ValueError(
        f"{what}: {value!r} is a {type(value).__name__}; allowed are numbers, strings, booleans, "
        "None, "
        "lists, dicts and pydantic models"
    )


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
        value = value.item() if isinstance(value, np.generic) else value
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
        if not self.is_integer and not _LEAST_WIDTH <= self.max - self.min < math.inf:
            raise ValueError(
                f"Span({self.min!r}, {self.max!r}) is not allowed: max - min is from "
                f"{_LEAST_WIDTH} to the largest number; vary a field of another unit"
            )
        return self

    @model_serializer
    def _dump(self) -> dict[str, Any]:
        return {"span": [self.min, self.max]}

    @functools.cached_property
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
        return self._bin_names[min(max(int((value - self.min) / width), 0), SPAN_BINS - 1)]

    @functools.cached_property
    def _bin_names(self) -> tuple[str, ...]:
        width = (self.max - self.min) / SPAN_BINS
        ends = [self.min + i * width for i in range(SPAN_BINS)] + [self.max]
        return tuple(
            f"[{ends[i]:.6g}, {ends[i] + width:.6g}{']' if i == SPAN_BINS - 1 else ')'}"
            for i in range(SPAN_BINS)
        )


_LEAST_WIDTH = 1e-300  # a share of it is a number too

BucketValue = Any  # a plain value or a Span
_NUMBER = (int, float)


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
    seen: set[str] = set()
    for value in values:
        item = (
            _span(value, what)
            if isinstance(value, Span) or _is_span_dump(value)
            else plain(value, what)
        )
        text = repr(item)  # because 1 == 1.0 == True, also inside lists
        if text in seen:
            raise ValueError(
                f"{what}: {item!r} occurs twice; list each value once (weights are a "
                "TaskGeneratorSet's)"
            )
        refuse_untrusted_types(item)
        seen.add(text)
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
    match ends:
        case [low, high]:
            return Span(low, high)
    raise ValueError(f"{what}: {value!r} is no span; write {{'span': [min, max]}}")


class SliceNames:
    """The names of an axis' slices: see `TaskGenerator.slice_key`.

    Args:
        axis: its path.
        choices: its values and `Span`s.
    """

    def __init__(self, axis: str, choices: Iterable[BucketValue]) -> None:
        self._axis = axis
        self._listed: list[Any] = []
        self._spans: list[Span] = []  # those with bins
        for choice in choices:
            if not isinstance(choice, Span):
                self._listed.append(choice)
            elif choice.has_bins:
                self._spans.append(choice)

    def of(self, value: Any) -> str:
        """The name of the slice that holds `value`."""
        if self._spans and isinstance(value, _NUMBER) and not isinstance(value, bool):
            for span in self._spans if value not in self._listed else ():
                if span.min <= value <= span.max:
                    return f"{self._axis}={span.bin_name(value)}"
        return f"{self._axis}_{value}"


class NamesByAxis(dict[str, SliceNames]):
    """:class:`SliceNames` by axis, each made when it is first asked for.

    Args:
        choices: the values and `Span`s of each axis.
    """

    def __init__(self, choices: Mapping[str, list[BucketValue]]) -> None:
        super().__init__()
        self._choices = choices

    def __missing__(self, axis: str) -> SliceNames:
        names = SliceNames(axis, self._choices.get(axis, ()))
        return self.setdefault(axis, names)
