"""The quantities that the policy network depends on, where a configuration has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from metta.cogworks.curriculum.tasks.paths import overlap


class TaskInvariantError(ValueError, AssertionError):
    """A task differs from its generator's base in what must be the same for all: agents, actions,
    resources. An AssertionError too, as it was in older versions."""


# The attribute of an action that holds its variants; each is an action of the policy.
_ACTION_VARIANTS = {"move": "allowed_directions", "change_vibe": "vibes"}


def read_invariants(config: Any) -> dict[str, Any]:
    """What must be equal in all tasks, because the shape of the policy network follows from it.

    For a configuration with `game` (mettagrid's): `num_agents`; `resource_names`, whose order is
    that of the observation; `actions`, the enabled ones with the number of their variants.
    Quantities that it lacks are left out, so for other configurations the result is empty.
    """
    game = getattr(config, "game", None)
    num_agents, resources = getattr(game, "num_agents", None), getattr(game, "resource_names", None)
    actions = getattr(game, "actions", None)
    found: dict[str, Any] = {}
    if isinstance(num_agents, int):
        found["num_agents"] = num_agents
    if isinstance(resources, list | tuple):
        found["resource_names"] = tuple(resources)
    if isinstance(actions, BaseModel):
        found["actions"] = {
            name: len(getattr(action, _ACTION_VARIANTS[name], ()))
            if name in _ACTION_VARIANTS
            else 1
            for name, action in vars(actions).items()
            if getattr(action, "enabled", True)
        }
    return found


# Where each quantity stands in the configuration: to say which override changed it.
_PATHS = {
    "num_agents": "game.num_agents",
    "resource_names": "game.resource_names",
    "actions": "game.actions",
}


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The quantities in which two results of `read_invariants` differ."""
    return [quantity for quantity in _PATHS if expected.get(quantity) != found.get(quantity)]


def inconsistent(quantity: str, expected: dict[str, Any], found: dict[str, Any]) -> str:
    """What is inconsistent: `"agent count"`, `"resource count"` or `"action count"`; just
    `"resources"` or `"actions"` where there are equally many others."""
    name, size = _SIZES[quantity]
    sizes = {size(each[quantity]) if quantity in each else None for each in (expected, found)}
    return f"{name} count" if len(sizes) > 1 else f"{name}s"


# What one of each quantity is called, and how many there are of a value.
_SIZES: dict[str, tuple[str, Callable[[Any], int]]] = {
    "num_agents": ("agent", int),
    "resource_names": ("resource", len),
    "actions": ("action", lambda variants: sum(variants.values())),
}


def told(invariants: dict[str, Any], quantity: str) -> str:
    """The value of a quantity, for a message."""
    value = invariants.get(quantity)
    return repr(list(value) if isinstance(value, tuple) else value)


def causes(quantity: str, kind: str, values: dict[str, Any]) -> str:
    """Which of the values, path -> value, set a quantity: `"bucket a=1 and bucket b=2"`, or
    nothing."""
    path = _PATHS[quantity]
    return " and ".join(f"{kind} {p}={value!r}" for p, value in values.items() if overlap(p, path))


def path_of(quantity: str) -> str:
    """Where a quantity stands in the configuration."""
    return _PATHS[quantity]
