"""Which wrapper an environment needs, by the library that it comes from."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

_PACKAGE = "metta.cogworks.curriculum"
_PUFFERLIB = f"{_PACKAGE}.CurriculumEnv"
_GYMNASIUM = f"{_PACKAGE}.gymnasium.CurriculumWrapper"
_PETTINGZOO = f"{_PACKAGE}.pettingzoo.CurriculumParallelWrapper"


class _Kind(NamedTuple):
    """Environments of a class, if its module is imported: nobody can have one otherwise."""

    module: str
    name: str
    article: str
    way_out: str


_KINDS = (
    _Kind("pufferlib.pufferlib", "PufferEnv", "a PufferLib", f"use {_PUFFERLIB}"),
    # before gymnasium.Env, which it is too
    _Kind("pufferlib.emulation", "GymnasiumPufferEnv", "a PufferLib", f"use {_PUFFERLIB}"),
    _Kind("pufferlib.emulation", "PettingZooPufferEnv", "a PufferLib", f"use {_PUFFERLIB}"),
    _Kind("gymnasium", "Env", "a Gymnasium", f"use {_GYMNASIUM}"),
    _Kind("pettingzoo.utils.env", "ParallelEnv", "a parallel PettingZoo", f"use {_PETTINGZOO}"),
    _Kind(
        "pettingzoo.utils.env",
        "AECEnv",
        "a turn-based PettingZoo",
        f"make it parallel with pettingzoo.utils.aec_to_parallel, and use {_PETTINGZOO}",
    ),
    _Kind(
        "gymnasium.vector",
        "VectorEnv",
        "a vector",
        f"use {_GYMNASIUM} on each of the environments that it is made of",
    ),
    _Kind(
        "stable_baselines3.common.vec_env",
        "VecEnv",
        "a vector",
        f"use {_GYMNASIUM} on each of the environments that it is made of",
    ),
    _Kind(
        "gym",
        "Env",
        "an older gym",
        f"make a Gymnasium environment of it, with shimmy for instance, and use {_GYMNASIUM}",
    ),
)


def right_wrapper(env: object, other_than: str) -> str | None:
    """What kind of environment this is, and the wrapper for it, in words; None where it is of no
    kind that is known.

    Args:
        other_than: name of the wrapper that asks, which is no advice.
    """
    for kind in _KINDS:
        module: Any = sys.modules.get(kind.module)
        if isinstance(env, getattr(module, kind.name, ())):  # another module may have this name
            is_own = kind.way_out.startswith("use ") and kind.way_out.endswith(f".{other_than}")
            return None if is_own else f"it is {kind.article} environment: {kind.way_out}"
    return None
