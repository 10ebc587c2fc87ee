"""Task ids, and the hash that everything random about them is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from metta.cogworks.curriculum.tasks.inputs import listed

MAX_TASK_ID = 2**53 - 1  # the largest integer up to which a float64 column holds every one exactly

_MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, the increment of splitmix64
TO_UNIT = 2.0**-53


def mix64(x: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection of 64-bit
    integers, well mixed."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def validate_task_id(task_id: Any) -> int:
    """`task_id` as an int; integral numpy numbers and floats count as integers.

    Raises:
        ValueError: it is not a number, or a boolean, fractional, negative, or above 2^53 − 1.
    """
    if type(task_id) is int and 0 <= task_id <= MAX_TASK_ID:
        return task_id
    kinds = int | float | np.integer | np.floating
    is_number = isinstance(task_id, kinds) and not isinstance(task_id, bool)
    if not is_number or not 0 <= task_id <= MAX_TASK_ID or task_id != int(task_id):
        raise ValueError(
            f"task id {task_id!r:.60} is not valid: task ids are integers from 0 to 2^53 − 1 = "
            f"{MAX_TASK_ID}"
        )
    return int(task_id)


def validate_task_ids(task_ids: Iterable[Any]) -> list[int]:
    """The ids as a list of ints.

    Raises:
        TypeError: it is nothing that holds ids.
        ValueError: one of them cannot be an id.
    """
    return [validate_task_id(task_id) for task_id in listed("task_ids", task_ids, "task ids")]
