"""Whether an environment that was made anew for a task fits those who act in it."""

from __future__ import annotations

from typing import Any

from gymnasium.spaces import Box, Dict, Tuple


def check_spaces(
    observations: tuple[Any, Any], actions: tuple[Any, Any], whose: str = "the environment"
) -> None:
    """Raises ValueError unless the action spaces are equal, and the observation spaces are too but
    for the bounds of their boxes, which no network depends on.

    Args:
        observations, actions: the space of all tasks, and that of the environment that was made.
        whose: whose they are, for the error.
    """
    for name, (own, made), fits in (
        ("observation", observations, _same_form(*observations)),
        ("action", actions, actions[0] == actions[1]),
    ):
        if not fits:
            raise ValueError(
                f"the {name} space of {whose} that make_env made is {made}, and was {own}: it must "
                "be the same for all tasks"
            )


def _same_form(own: Any, other: Any) -> bool:
    if isinstance(own, Box) and isinstance(other, Box):
        return own.shape == other.shape and own.dtype == other.dtype
    if isinstance(own, Dict) and isinstance(other, Dict):
        return own.keys() == other.keys() and all(_same_form(own[k], other[k]) for k in own)
    if isinstance(own, Tuple) and isinstance(other, Tuple):
        return len(own) == len(other) and all(map(_same_form, own, other))
    return own == other
