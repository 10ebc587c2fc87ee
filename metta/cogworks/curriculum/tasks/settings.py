"""Values ready to be put into configurations, validated once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from metta.cogworks.curriculum.tasks.copier import compile_copier, is_immutable
from metta.cogworks.curriculum.tasks.ids import GOLDEN, mix64
from metta.cogworks.curriculum.tasks.masses import union
from metta.cogworks.curriculum.tasks.paths import Location, locate
from metta.cogworks.curriculum.tasks.random import salt_of
from metta.cogworks.curriculum.tasks.values import BucketValue, Span, plain

Choice = int | tuple[int, int | float]
"""Which of an axis' values a task has: its number among the different ones, and of a `Span` the
point too."""


class Grid(NamedTuple):
    """How finely a family is cut into regions."""

    bins: int
    """Intervals of equal width per `Span`; of integers at most as many as there are."""
    extra: int
    """So many axes, the first ones of each task, have one interval more."""
    cuts_lists: bool
    """Whether the values of a list, in its order, make at most so many groups too; otherwise each
    is one of its own."""

    def parts(self, axis: int) -> int:
        """Intervals on the axis of this number."""
        return self.bins + 1 if axis < self.extra else self.bins


Cell = int | tuple[int, int]
"""A group of a list's values, or an interval of the span of this number."""


class Setting:
    """One value that can be put into the configurations of one structure, validated here."""

    def __init__(self, location: Location, value: Any, what: str) -> None:
        self.location = location
        self.validated = location.validate(value, what)
        self._make = compile_copier(self.validated)
        held = self.validated
        # What `describe` says: the number or text that the field holds; of anything else, the value
        # as written.
        self.told = held if isinstance(held, bool | int | float | str | None) else value

    def apply(self, config: Any) -> None:
        """Puts the value into a configuration."""
        self.location.assign(config, self._make())

    def identity(self) -> tuple[Any, ...]:
        """Equal only if both put the same into a configuration. With the text, because
        1 == 1.0 == True also inside containers."""
        return type(self.validated), repr(self.validated)


class SpanSetting:
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
        self.cast: Callable[[Any], Any] = type(held_by_value[span.min])
        for value, held in held_by_value.items():
            if type(held) is not self.cast or held != value:
                raise ValueError(
                    f"{what} {location.path!r}: {span!r} contains {value!r}, which the field turns "
                    f"into {held!r}; list the allowed values instead of a Span"
                )

    def identity(self) -> tuple[Any, ...]:
        """No two spans are the same."""
        return (id(self),)

    def _samples(self, span: Span) -> Iterable[int | float]:
        if span.is_integer and span.max - span.min < self._CHECK_ALL:
            return range(int(span.min), int(span.max) + 1)
        inside = span.at(GOLDEN)  # hardly ever a round number
        return (span.min, inside, span.max)


class Axis:
    """A bucket, ready for use: its values for each structure (leaf) that the child's configurations
    can have.

    Values that are the same in every structure, such as 5 and "5" for an integer field, are one
    choice of so many times the weight.

    Args:
        path: of the field.
        values: and spans.
        references: a configuration of each structure.
        number: of the axis, among those of a task.
    """

    def __init__(
        self, path: str, values: list[BucketValue], references: Sequence[Any], number: int = 0
    ) -> None:
        self.path, self._number = path, number
        self._salt = salt_of(f"bucket/{path}")
        leaves = [
            [
                (SpanSetting if isinstance(value, Span) else Setting)(location, value, "bucket")
                for value in values
            ]
            for location in (locate(reference, path, "bucket") for reference in references)
        ]
        self._size = len(values)
        self._choice_of = _numbered(leaves)
        self.num_choices = max(self._choice_of) + 1
        self._times, first = [0] * self.num_choices, [0] * self.num_choices
        for i, choice in enumerate(self._choice_of):
            first[choice] = first[choice] if self._times[choice] else i
            self._times[choice] += 1
        self._leaves = [[settings[i] for i in first] for settings in leaves]
        # By number: the span, or None; and those that are values, in their order.
        self._spans = [s.span if isinstance(s, SpanSetting) else None for s in self._leaves[0]]
        self._listed = [c for c, span in enumerate(self._spans) if span is None]
        self._rank = {choice: rank for rank, choice in enumerate(self._listed)}
        self.is_finite = not any(self._spans)
        self.is_uniform = max(self._times) == 1
        self.masses = union(
            (times / self._size, {_mass(span): 1.0})
            for times, span in zip(self._times, self._spans, strict=True)
        )
        # None: not told as it is, or not at all
        self._told = [
            [s.told if isinstance(s, Setting) and is_immutable(s.told) else None for s in settings]
            for settings in self._leaves
        ]
        self._choice_by_text = [
            {_text(s.told): i for i, s in enumerate(settings) if isinstance(s, Setting)}
            for settings in self._leaves
        ]

    def draw(self, seed: int) -> Choice:
        """The choice of a task with this seed: each value of the list is equally likely."""
        bits = mix64(seed ^ self._salt)
        index = bits * self._size >> 64
        choice = self._choice_of[index]
        span = self._spans[choice]
        return choice if span is None else (choice, span.at(mix64(bits)))

    def share(self, choice: Choice) -> float:
        """How likely a choice is; of a point in a span, how likely the span."""
        number = choice if isinstance(choice, int) else choice[0]
        return self._times[number] / self._size

    def mass(self, choice: Choice) -> float:
        """The chance that one draw is this value; 0 for a real number of a span."""
        number = choice if isinstance(choice, int) else choice[0]
        return self.share(choice) * _mass(self._spans[number])

    def num_cells(self, grid: Grid) -> int:
        """How many parts a grid cuts the axis into."""
        parts = grid.parts(self._number)
        bins = sum(_num_bins(span, parts) for span in self._spans if span is not None)
        return self._num_groups(grid) + bins

    def _num_groups(self, grid: Grid) -> int:
        listed = len(self._listed)
        return min(grid.parts(self._number), listed) if grid.cuts_lists else listed

    def cell(self, choice: Choice, grid: Grid) -> Cell:
        """The part in which a choice lies."""
        if isinstance(choice, int):
            return self._rank[choice] * self._num_groups(grid) // len(self._listed)
        number, value = choice
        span = self._spans[number]
        return number, 0 if span is None else _bin(span, value, grid.parts(self._number))

    def cell_share(self, choice: Choice, grid: Grid) -> float:
        """How likely the part is in which a choice lies."""
        cell = self.cell(choice, grid)
        if isinstance(cell, int):
            held = _held(len(self._listed), self._num_groups(grid), cell)
            return sum(self._times[self._listed[rank]] for rank in held) / self._size
        span, share = self._spans[cell[0]], self.share(choice)
        bins = 1 if span is None else _num_bins(span, grid.parts(self._number))
        if span is None or not span.is_integer:
            return share / bins
        count = _count(span)
        held = _held(count, bins, cell[1])
        return share * (held.stop - held.start) / count  # len() has a limit

    def tell(self, choice: Choice, leaf: int) -> Any:
        """The value, as `describe` says it."""
        if isinstance(choice, int):
            told = self._told[leaf][choice]
            if told is not None:
                return told
            setting = self._leaves[leaf][choice]
            written = setting.told if isinstance(setting, Setting) else None
            return plain(written, self.path)  # a copy
        setting = self._leaves[leaf][choice[0]]
        return setting.cast(choice[1]) if isinstance(setting, SpanSetting) else None

    def find(self, value: Any, leaf: int) -> int | None:
        """The choice that is told as `value`; None if there is none, or only in a span."""
        try:
            return self._choice_by_text[leaf].get(_text(value))
        except (TypeError, ValueError):  # nothing that is told
            return None

    def apply(self, config: Any, choice: Choice, leaf: int) -> None:
        """Puts the value into a configuration."""
        setting = self._leaves[leaf][choice if isinstance(choice, int) else choice[0]]
        if isinstance(setting, Setting):
            setting.apply(config)
        elif not isinstance(choice, int):
            setting.location.assign(config, setting.cast(choice[1]))


def _mass(span: Span | None) -> float:
    """The chance of one value of a span, if the span is drawn; 1 where there is none."""
    if span is None:
        return 1.0
    return 1.0 / _count(span) if span.is_integer else 0.0


def _count(span: Span) -> int:
    """How many integers an integer span has."""
    return int(span.max) - int(span.min) + 1


def _num_bins(span: Span, parts: int) -> int:
    return min(parts, _count(span)) if span.is_integer else parts


def _bin(span: Span, value: float, parts: int) -> int:
    """Which of its intervals, at most ``parts``, holds a value of a span."""
    if span.is_integer:
        count = _count(span)
        return (int(value) - int(span.min)) * min(parts, count) // count
    low = span.min
    at = (value - low) / (span.max - low) * parts
    return int(at) if at < parts else parts - 1  # also if the width is more than a float can be


def _held(count: int, parts: int, part: int) -> range:
    """Which of ``count`` places lie in a part: those i for which ``i · parts // count`` is it."""
    return range(-(-part * count // parts), -(-(part + 1) * count // parts))


def _numbered(leaves: Sequence[Sequence[Setting | SpanSetting]]) -> list[int]:
    """For each value its number among the different ones."""
    numbers: list[int] = []
    known: dict[tuple[Any, ...], int] = {}
    for settings in zip(*leaves, strict=True):
        key = tuple(setting.identity() for setting in settings)
        numbers.append(known.setdefault(key, len(known)))
    return numbers


def _text(value: Any) -> str:
    return json.dumps(plain(value, "value"), sort_keys=True)


def prepare_overrides(base: Any, overrides: Mapping[str, Any]) -> list[Setting]:
    """The overrides, checked against `base` and applied to it."""
    settings = []
    for path, value in overrides.items():
        setting = Setting(locate(base, path, "override"), value, "override")
        setting.apply(base)
        settings.append(setting)
    return settings
