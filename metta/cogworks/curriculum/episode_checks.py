"""What `CurriculumEnv` and the other wrappers demand of their environment, of their curriculum and
of the functions that they are given.

Each check raises a TypeError or ValueError that names the thing, the value, what is allowed and the
way out. What can be seen at construction is checked there; what only the end of an episode shows is
checked before the episode is credited.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from metta.cogworks.curriculum.curriculum import Curriculum
from metta.cogworks.curriculum.pool.backends import LocalMemoryBackend
from metta.cogworks.curriculum.right_wrapper import right_wrapper

OWN_INFOS = ("reward", "length")
"""Keys that `CurriculumEnv` itself adds to the infos of an episode's last step."""

_ENV_NAMES = (
    "num_agents",
    "single_observation_space",
    "single_action_space",
    "reset",
    "step",
    "close",
)
_CURRICULUM_NAMES = ("get_task", "update_task_performance", "stats")
_WAY_OUT = (
    "Give a pufferlib.PufferEnv or what pufferlib.emulation makes of another environment, or call "
    "the curriculum's get_task() and update_task_performance() around the episodes of your own loop"
)
_SEEDS = 2**32  # numpy's and mettagrid's are of 32 bits


def check_own_curriculum(curriculum: Any) -> None:
    """TypeError for what is no Curriculum, ValueError for one of another process's memory."""
    if not isinstance(curriculum, Curriculum):
        raise TypeError(
            f"curriculum={shown(curriculum)} is not a Curriculum: make one of a configuration with "
            "Curriculum(config), and give that"
        )
    check_process(curriculum)


def check_wrapping(curriculum: Any, bucket_values: Any, max_attempts: Any) -> None:
    """TypeError or ValueError for what a wrapper of Gymnasium or PettingZoo cannot use."""
    check_own_curriculum(curriculum)
    if not isinstance(bucket_values, bool):
        raise TypeError(f"bucket_values={shown(bucket_values)} is not allowed: give a boolean")
    check_options(max_attempts, None)


def check_process(curriculum: Curriculum) -> None:
    """ValueError where the scores would be lost: the pool lies in the local memory of the process
    that this one was forked from."""
    memory = curriculum.tracker.backend
    if isinstance(memory, LocalMemoryBackend) and memory.process_id != os.getpid():
        raise ValueError(
            f"the curriculum lies in the local memory of process {memory.process_id}, and this is "
            f"process {os.getpid()}, forked from it: what is scored here would not be known there. "
            "Give the curriculum's configuration use_shared_memory=True"
        )


def check_environment(env: Any, emulated: bool) -> int:
    """The number of agents of a PufferLib environment, native or ``emulated``; TypeError, which
    names the right wrapper, if it is none."""
    problem = ""
    lacks = [name for name in _ENV_NAMES if getattr(env, name, None) is None]
    if isinstance(env, type):
        problem = "it is a class, not an environment"
    elif lacks:
        problem = f"it has no {', '.join(lacks)}"
    elif not emulated and getattr(env, "emulated", False):
        problem = "it emulates one, and returns numbers where a native one returns arrays"
    elif not _is_integer(env.num_agents) or env.num_agents < 1:
        problem = f"its num_agents is {env.num_agents!r}, not an integer of at least 1"
    if not problem:
        return int(env.num_agents)
    found = right_wrapper(env, "CurriculumEnv") or f"{problem}. {_WAY_OUT}"
    raise TypeError(f"env={shown(env)} is no PufferLib environment: {found}")


def check_curriculum(curriculum: Any, reuse_configs: bool) -> None:
    """TypeError for what cannot choose tasks, a configuration or a class for instance.

    Args:
        reuse_configs: whether it must keep configurations, as a Curriculum does.
    """
    names = (*_CURRICULUM_NAMES, "configs") if reuse_configs else _CURRICULUM_NAMES
    missing = object()
    lacks = [name for name in names if getattr(curriculum, name, missing) is missing]
    if isinstance(curriculum, type) or lacks:
        problem = "it is a class" if isinstance(curriculum, type) else f"no {', '.join(lacks)}"
        raise TypeError(
            f"curriculum={shown(curriculum)} is not a Curriculum ({problem}): make one of a "
            "configuration with Curriculum(config), and give that; or any object with get_task, "
            "update_task_performance and stats"
        )


def check_function(name: str, value: Any, example: str) -> None:
    """TypeError for what is neither None nor callable."""
    if value is not None and not callable(value):
        raise TypeError(
            f"{name}={shown(value)} is not a function: give one, such as {example}, or None"
        )


def check_options(max_attempts: Any, reuse_configs: Any) -> None:
    """TypeError for the wrong type, ValueError for a ``max_attempts`` below 1."""
    if not _is_integer(max_attempts):
        raise TypeError(
            f"max_attempts={shown(max_attempts)} is not an integer: give how many invalid tasks "
            "in a row are tried, at least 1"
        )
    if max_attempts < 1:
        raise ValueError(f"max_attempts must be at least 1, got {max_attempts}")
    if reuse_configs is not None and not isinstance(reuse_configs, bool):
        raise TypeError(
            f"reuse_configs={shown(reuse_configs)} is not allowed: give True, False, or None for "
            "the default"
        )


def check_seed(seed: Any, any_size: bool = False) -> int | None:
    """The seed as int, or None. Refused here, because an environment's refusal would be taken for
    one of its task. ``any_size``: also above 2^32 - 1, as Gymnasium allows."""
    if seed is None:
        return None
    if not _is_integer(seed):
        raise TypeError(f"seed={shown(seed)} is not an integer: give one, or None")
    if seed < 0 or (seed >= _SEEDS and not any_size):
        most = "" if any_size else " to 2^32 - 1"
        raise ValueError(f"seed={seed} is not allowed: seeds are from 0{most}")
    return int(seed)


def mean_reward(rewards: Any, num_agents: int, source: str) -> float:
    """Mean over agents of ``rewards``, shape (num_agents,). May be NaN or infinite, as they may.

    Args:
        source: who returned them, for the error.
    """
    check_rewards(rewards, num_agents, source)
    total = 0.0
    for reward in rewards.tolist():  # of few agents: numpy's mean takes several times as long
        total += reward
    return total / num_agents


def check_rewards(rewards: Any, num_agents: int, source: str) -> None:
    """TypeError for anything but an array of numbers, ValueError for another shape than
    (num_agents,)."""
    if not isinstance(rewards, np.ndarray) or rewards.dtype.kind not in "biuf":
        kind = f" of {rewards.dtype}" if isinstance(rewards, np.ndarray) else ""
        raise TypeError(
            f"{source} returned {shown(rewards)}, a {type(rewards).__name__}{kind}: it must "
            f"return an array of numbers, shape ({num_agents},), such as np.array(rewards, "
            "np.float32); the episode was not credited"
        )
    if rewards.shape != (num_agents,):
        raise ValueError(
            f"{source} returned an array of shape {rewards.shape}: it must have one number per "
            f"agent, shape ({num_agents},); the episode was not credited"
        )


def checked_stats(stats: Any) -> Mapping[str, float]:
    """What ``episode_stats`` returned, if it is a mapping of names to numbers."""
    way_out = (
        "it must return a dict of names to numbers, such as {'steps': 3.0}; the episode was not "
        "credited"
    )
    if not isinstance(stats, Mapping):
        raise TypeError(f"episode_stats returned {shown(stats)}: {way_out}")
    for name, value in stats.items():
        if not isinstance(name, str):
            raise TypeError(f"episode_stats returned the key {shown(name)}: {way_out}")
        if name in OWN_INFOS:
            raise ValueError(
                f"episode_stats returned the key {name!r}, which CurriculumEnv sets itself: use "
                "another name; the episode was not credited"
            )
        if not isinstance(value, Real):
            raise TypeError(f"episode_stats returned {name}={shown(value)}: {way_out}")
    return stats


def with_episode(infos: Any, ended: Mapping[str, float]) -> Any:
    """Infos with those of the episode: in the dict, or as one more dict of the list."""
    if isinstance(infos, dict):
        return {**infos, **ended}
    if isinstance(infos, list | tuple):
        return [*infos, ended]
    raise TypeError(
        f"step() of the environment returned infos {shown(infos)}: they must be a dict or a list "
        "of dicts; the episode was not credited"
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """The value, short; of a large object, its type."""
    if value is None or isinstance(value, Real | str | bytes | list | tuple | dict | type):
        return reprlib.repr(value)
    return f"<{type(value).__name__}>"
