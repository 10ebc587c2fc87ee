"""Comparing the saved states of pools."""

import copy
import json
from typing import Any

import numpy as np


def as_json(state: Any) -> Any:
    """The state with arrays as lists, after a round trip through JSON text."""
    return json.loads(json.dumps(state, default=lambda array: array.tolist(), allow_nan=False))


def without_times(state: dict[str, Any]) -> Any:
    """The state as plain lists, less the wall-clock times at which tasks entered the pool."""
    state = copy.deepcopy(state)
    for part in (state, state.get("algorithm", {}).get("tracker", {}), state.get("tracker", {})):
        if "rows" in part:
            part["rows"][:, part["columns"].index("creation_time")] = 0.0
    return as_json(state)


def only_plain(value: Any) -> bool:
    """Whether there is nothing but numpy arrays, numbers, strings, None, lists and dictionaries
    with string keys."""
    if isinstance(value, dict):
        return all(type(key) is str and only_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(only_plain(item) for item in value)
    return (
        value is None
        or type(value) in (bool, int, float, str)
        or (type(value) is np.ndarray and value.dtype != object)
    )
