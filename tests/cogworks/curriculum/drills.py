"""A small native PufferLib environment, its tasks, and curricula of them."""

from typing import Any

import gymnasium
import numpy as np
from pufferlib.pufferlib import PufferEnv
from pydantic import BaseModel

from metta.cogworks.curriculum import (
    BucketedTaskGenerator,
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    Span,
    bucketed,
)
from metta.cogworks.curriculum.curriculum_env import CurriculumEnv

ACTIONS = np.zeros(2, dtype=np.int32)


class Drill(BaseModel):
    """Task of DrillEnv: ``length`` steps, of which each pays agent i ``(i + 1) * pay``."""

    length: int = 3
    pay: float = 0.5
    number: int = 0
    """Makes one task of many."""


class DrillEnv(PufferEnv):
    """A native PufferLib environment of two agents: infos are a list, rewards are not summed, steps
    follow a task."""

    def __init__(self, buf: Any = None, seed: int = 0, ending: str = "terminals") -> None:
        self.single_observation_space = gymnasium.spaces.Box(0, 255, (1,), np.uint8)
        self.single_action_space = gymnasium.spaces.Discrete(2)
        self.num_agents = 2
        super().__init__(buf)
        self.task = Drill()
        self.elapsed = 0
        self.ending = ending
        self.seeds: list[int | None] = []

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, list[dict[str, Any]]]:
        if self.task.length < 1:
            raise ValueError(f"length {self.task.length} is not allowed")
        self.seeds.append(seed)
        self.elapsed = 0
        self.terminals[:] = self.truncations[:] = False
        return self.observations, []

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        self.elapsed += 1
        self.rewards[:] = self.task.pay, 2 * self.task.pay
        over = self.elapsed == self.task.length
        self.terminals[:] = over and self.ending != "truncations"
        self.truncations[:] = over and self.ending != "terminals"
        if self.ending == "one each":
            self.terminals[:], self.truncations[:] = (over, False), (False, over)
        return (
            self.observations,
            self.rewards,
            self.terminals,
            self.truncations,
            [{"elapsed": self.elapsed}],
        )

    def close(self) -> None:
        pass


def set_drill(env: DrillEnv, task: Drill) -> None:
    env.task = task


def many(drill: Drill) -> BucketedTaskGenerator.Config:
    """As many tasks as anybody wants that differ in nothing that is noticed."""
    return bucketed(drill, {"number": Span(0, 2**40)})


def pool(generator: Any = None, tasks: int = 4, **options: Any) -> Curriculum:
    """A local pool of a few tasks, by default of `many`, drawn uniformly."""
    config = DiscreteRandomConfig(num_active_tasks=tasks, use_shared_memory=False)
    return CurriculumConfig(
        task_generator=generator or many(Drill()), algorithm_config=config, **options
    ).make()


def drill(curriculum: Curriculum, env: Any = None, **options: Any) -> CurriculumEnv:
    """``env``, by default a new DrillEnv, under the curriculum."""
    return CurriculumEnv(
        DrillEnv() if env is None else env, curriculum, apply_task=set_drill, **options
    )


def run_episode(env: CurriculumEnv) -> tuple[Any, ...]:
    for _ in range(1000):
        result = env.step(ACTIONS)
        if np.logical_or(result[2], result[3]).all():
            return result
    raise AssertionError("no episode ended within 1000 steps")
