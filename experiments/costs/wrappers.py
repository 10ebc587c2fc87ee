"""Steps a second that Gymnasium's vector environment keeps with the curriculum's wrapper."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv
from pydantic import BaseModel

from experiments.costs.pools import Costs
from metta.cogworks.curriculum import Curriculum, LearningProgressConfig, bucketed
from metta.cogworks.curriculum.gymnasium import CurriculumWrapper

Policy = Callable[[np.ndarray], np.ndarray]


class Pole(BaseModel):
    """What varies of CartPole."""

    length: float = 0.5
    masspole: float = 0.1


def set_pole(env: Any, pole: Pole) -> None:
    """Hand a pole to CartPole."""
    env.unwrapped.length, env.unwrapped.masspole = pole.length, pole.masspole


def poles() -> Curriculum:
    """Nine poles, all in the pool."""
    values = {"length": [0.3, 0.5, 0.7], "masspole": [0.05, 0.1, 0.2]}
    algorithm = LearningProgressConfig(num_active_tasks=9)
    return bucketed(Pole(), values).to_curriculum(algorithm_config=algorithm).make()


def balance(observations: np.ndarray) -> np.ndarray:
    """A policy that holds every one of these poles up for CartPole's 500 steps."""
    return (observations @ np.array([0.05, 0.1, 1.0, 0.5]) > 0.0).astype(np.int64)


def steps_kept(num_envs: int, turns: int) -> Costs:
    """CartPole's steps a second in a SyncVectorEnv with the wrapper ÷ without it.

    Two policies: one at random, whose episodes take 22 steps, and one that reaches the limit of
    500. CartPole's step takes 10 µs, less than that of nearly every environment one trains on, so
    what the wrapper adds to an episode is also given as a time.
    """
    rng = np.random.default_rng(0)
    policies: dict[str, tuple[Policy, int]] = {
        "random": (lambda _: rng.integers(0, 2, num_envs), 250),
        "balancing": (balance, 501),  # with the resets, which are a step of their own
    }
    figures, times = {}, {}
    with poles() as curriculum:
        bare = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * num_envs)
        wrapped = SyncVectorEnv(
            [
                lambda: CurriculumWrapper(
                    gymnasium.make("CartPole-v1"), curriculum, apply_task=set_pole
                )
            ]
            * num_envs
        )
        for name, (policy, steps) in policies.items():
            taken = np.array(
                [_turn(bare, wrapped, policy, steps, turn % 2 == 0) for turn in range(turns)]
            )
            seconds, episodes = taken[..., 0], taken[..., 1]
            added = (seconds[:, 1] - seconds[:, 0]) / episodes.mean()
            figures[f"{name}_steps_kept"] = float(np.median(seconds[:, 0] / seconds[:, 1]))
            times |= {
                f"{name}_bare_step_us": 1e6 * float(np.median(seconds[:, 0])) / (steps * num_envs),
                f"{name}_steps_per_episode": steps * num_envs / float(episodes.mean()),
                f"{name}_added_per_episode_us": 1e6 * float(np.median(added)),
            }
        bare.close()
        wrapped.close()
    return Costs(figures, times)


def _turn(
    bare: SyncVectorEnv, wrapped: SyncVectorEnv, policy: Policy, steps: int, bare_first: bool
) -> list[tuple[float, float]]:
    """Seconds and episodes of each, the bare one's first."""
    order = (bare, wrapped) if bare_first else (wrapped, bare)
    found = [_run(envs, policy, steps) for envs in order]
    return found if bare_first else found[::-1]


def _run(envs: SyncVectorEnv, policy: Policy, steps: int) -> tuple[float, float]:
    observations, _ = envs.reset(seed=0)
    ended = 0
    begin = time.perf_counter()
    for _ in range(steps):
        observations, _, terminated, truncated, _ = envs.step(policy(observations))
        ended += np.count_nonzero(terminated | truncated)
    return time.perf_counter() - begin, float(ended)
