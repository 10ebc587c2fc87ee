"""A small Gymnasium environment, its tasks, and curricula of them. Imports no pytest: spawned
children import it too."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from pydantic import BaseModel

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    bucketed,
)
from metta.cogworks.curriculum.gymnasium import CurriculumWrapper


class Stroll(BaseModel):
    """Task of Walk."""

    length: int = 3
    pay: float = 0.5


class Walk(gymnasium.Env):
    """``length`` steps, each of which pays ``pay``. Observations: a random number, the length."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        length: int = 3,
        pay: float = 0.5,
        truncates: bool = False,
        most: int = 9,
        size: int = 2,
    ):
        self.observation_space = Box(0, most, (size,), np.float32)
        self.action_space = Discrete(2)
        self.length, self.pay, self.truncates, self.elapsed = length, pay, truncates, 0
        self.closed = 0

    def _observation(self) -> np.ndarray:
        return np.array([self.np_random.random(), self.length], np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        for name, value in (options or {}).items():
            setattr(self, name, value)
        if self.length < 1:
            raise ValueError(f"length {self.length} is not allowed")
        self.elapsed = 0
        return self._observation(), {"begun": True}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.elapsed += 1
        over = self.elapsed >= self.length
        info = {"last": over}
        return self._observation(), self.pay, over and not self.truncates, over, info

    def close(self) -> None:
        self.closed += 1


gymnasium.register("tests/Walk-v0", entry_point=f"{__name__}:Walk")


def set_walk(env: gymnasium.Env, task: Stroll) -> None:
    """Hand a task to Walk."""
    walk: Any = env.unwrapped
    walk.length, walk.pay = task.length, task.pay


def walks(*, local: bool = True, tasks: Any = None, seed: int = 0, pool: int = 6) -> Curriculum:
    """Drawn uniformly: lengths 2 and 4, pays 0.25, 0.5 and 1."""
    buckets = {"length": [2, 4], "pay": [0.25, 0.5, 1.0]} if tasks is None else tasks
    return CurriculumConfig(
        task_generator=bucketed(Stroll(), buckets),
        algorithm_config=DiscreteRandomConfig(num_active_tasks=pool, use_shared_memory=not local),
        seed=seed,
    ).make()


def walk(curriculum: Curriculum, env: Any = None, **options: Any) -> CurriculumWrapper:
    """``env``, by default a new Walk, under the curriculum."""
    if not {"make_env", "as_options"} & options.keys():
        options.setdefault("apply_task", set_walk)
    return CurriculumWrapper(Walk() if env is None else env, curriculum, **options)


def makers(curriculum: Curriculum, count: int = 2, **options: Any) -> list[Callable[[], Any]]:
    """What vector environments are made of."""

    def make() -> Any:
        return walk(curriculum, gymnasium.make("tests/Walk-v0"), **options)

    return [make] * count


def play(env: gymnasium.Env, **options: Any) -> tuple[float, dict[str, Any]]:
    """An episode. Returns what it paid, and the info of its last step."""
    env.reset(**options)
    paid = 0.0
    for _ in range(1000):
        _, reward, terminated, truncated, info = env.step(0)
        paid += float(reward)
        if terminated or truncated:
            return paid, info
    raise AssertionError("no episode ended within 1000 steps")
