"""PufferLib's emulation of Gymnasium and PettingZoo environments, used as a native environment.

What emulates returns numbers or dicts of numbers where a native environment returns arrays, and one
info where that returns a list; the arrays are its buffers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pufferlib.emulation import GymnasiumPufferEnv, PettingZooPufferEnv


def is_emulated(env: object) -> bool:
    """Whether PufferLib's emulation made this environment."""
    return isinstance(env, GymnasiumPufferEnv | PettingZooPufferEnv)


def reset(env: Any, seed: int | None) -> tuple[np.ndarray, list[Any]]:
    """Begin an episode. Returns observations, shape (num_agents, ...), and a list of infos."""
    _, infos = env.reset() if seed is None else env.reset(seed=seed)
    return env.observations, [infos] if infos else []


def step(
    env: Any, actions: np.ndarray, **kwargs: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[Any]]:
    """One step. Returns observations, shape (num_agents, ...), rewards, terminals and truncations,
    shape (num_agents,), and a list of infos. An agent that has left is a terminated one."""
    infos = env.step(actions, **kwargs)[4]
    return env.observations, env.rewards, env.terminals, env.truncations, [infos] if infos else []
