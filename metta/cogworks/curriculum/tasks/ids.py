"""Task ids, and the hash that everything random about them is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from metta.cogworks.curriculum.tasks.inputs import as_list, listed

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
    """`task_id` as an int; integral floats, and numbers of numpy or torch, count as integers.

    Raises:
        ValueError: it is not a number, or a boolean, fractional, negative, or above 2^53 − 1.
    """
    if type(task_id) is int and 0 <= task_id <= MAX_TASK_ID:
        return task_id
    found = as_list(task_id)
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    if not is_number or not 0 <= found <= MAX_TASK_ID or found != int(found):
        raise ValueError(
            f"task id {task_id!r:.60} is not valid: task ids are integers from 0 to 2^53 − 1 = "
            f"{MAX_TASK_ID}"
        )
    return int(found)


def validate_family_id(task_id: int, num_ids: int) -> int:
    """The id. Raises ValueError if it is none of the ids from 0 to ``num_ids - 1``."""
    if task_id >= num_ids:
        raise ValueError(
            f"task id {task_id} is not one of this curriculum's: they are integers from 0 to "
            f"max_task_id - 1 = {num_ids - 1}"
        )
    return task_id


def validate_task_ids(task_ids: Iterable[Any]) -> list[int]:
    """The ids as a list of ints.

    Raises:
        TypeError: it is nothing that holds ids.
        ValueError: one of them cannot be an id.
    """
    found = listed("task_ids", as_list(task_ids), "task ids")
    return [validate_task_id(task_id) for task_id in found]
