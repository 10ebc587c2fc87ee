"""Families of generated tasks whose skill is visible in their bucket values.

Buckets of a real :class:`BucketedTaskGenerator`: ``a``, ``b``, ... are lists of integers or real
numbers out of ``Span(0, 1)``, cut into equal cells. The cells of all buckets together number the
skills, the first bucket counting most.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from metta.cogworks.curriculum import Span, TaskGeneratorConfig, bucketed


class Settings(BaseModel):
    """The environment that the buckets vary: nothing but their values."""

    a: float = 0
    b: float = 0
    c: float = 0
    label: str = "task"


class Family:
    """Tasks by their bucket values.

    Args:
        lists: number of values of each bucket of integers.
        spans: number of cells of each bucket of real numbers. 1: a number that does not matter.
        ids: task ids, where ``spans`` makes them unlimited.
        skill_of_cell: (prod(lists) · prod(spans),) skill of each cell.
    """

    def __init__(
        self,
        lists: tuple[int, ...],
        spans: tuple[int, ...],
        ids: int,
        skill_of_cell: NDArray[np.int32],
    ):
        self._sizes = (*lists, *spans)
        self._names = string.ascii_lowercase[: len(self._sizes)]
        self._reals = len(spans)
        self._skill_of_cell: list[int] = skill_of_cell.tolist()
        self._generator = self.generator().create()
        self._ids = self._generator.num_variants or ids
        self._known: dict[int, int] = {}

    def generator(self) -> TaskGeneratorConfig:
        """The generator's configuration."""
        buckets: dict[str, Any] = {}
        for axis, (name, size) in enumerate(zip(self._names, self._sizes, strict=True)):
            is_real = axis >= len(self._sizes) - self._reals
            buckets[name] = Span(0.0, 1.0) if is_real else list(range(size))
        return bucketed(Settings(), buckets)

    def __len__(self) -> int:
        """Number of task ids."""
        return self._ids

    def __getitem__(self, task: int) -> int:
        """Skill of a task id. Raises ``IndexError`` where there is no such task."""
        if not 0 <= task < self._ids:
            raise IndexError(f"task {task} is not one of this family's {self._ids}")
        if task not in self._known:
            self._known[task] = self._skill_of(self._generator.get_bucket_values(task))
        return self._known[task]

    def _skill_of(self, values: Mapping[str, Any]) -> int:
        cell = 0
        for axis, (name, size) in enumerate(zip(self._names, self._sizes, strict=True)):
            is_real = axis >= len(self._sizes) - self._reals
            inside = min(int(values[name] * size), size - 1) if is_real else int(values[name])
            cell = cell * size + inside
        return self._skill_of_cell[cell]


def grid_neighbours(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """For each cell of a grid, numbered as :class:`Family` does, those that differ by 1 in one
    coordinate."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    result = []
    for place in itertools.product(*map(range, shape)):
        cell = sum(i * stride for i, stride in zip(place, strides, strict=True))
        beside = [
            cell + step * strides[axis]
            for axis, i in enumerate(place)
            for step in (-1, 1)
            if 0 <= i + step < shape[axis]
        ]
        result.append(tuple(beside))
    return tuple(result)
