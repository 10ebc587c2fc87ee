"""A small PettingZoo environment, and curricula of its tasks."""

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv

from metta.cogworks.curriculum import Curriculum
from metta.cogworks.curriculum.pettingzoo import CurriculumParallelWrapper
from tests.cogworks.curriculum.gym_examples import Stroll

AGENTS = ("short", "long")


class Race(ParallelEnv):
    """Agent "long" takes ``length`` steps, "short" leaves after one less; each step of both pays
    ``pay``, of "long" twice that."""

    metadata = {"name": "race_v0", "render_modes": []}  # noqa: RUF012

    def __init__(
        self, length: int = 3, pay: float = 0.5, agents: Any = AGENTS, most: int = 9, size: int = 2
    ):
        self.possible_agents = list(agents)
        self.length, self.pay, self.elapsed, self.closed = length, pay, 0, 0
        self._spaces = {agent: (Box(0, most, (size,), np.float32), Discrete(2)) for agent in agents}
        self._rng = np.random.default_rng()

    def observation_space(self, agent: str) -> Box:
        return self._spaces[agent][0]

    def action_space(self, agent: str) -> Discrete:
        return self._spaces[agent][1]

    def _observations(self) -> dict[str, np.ndarray]:
        return {agent: np.array([self._rng.random(), 1], np.float32) for agent in self.agents}

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        for name, value in (options or {}).items():
            setattr(self, name, value)
        if self.length < 1:
            raise ValueError(f"length {self.length} is not allowed")
        self.agents, self.elapsed = list(self.possible_agents), 0
        return self._observations(), {agent: {"begun": True} for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> Any:
        self.elapsed += 1
        observations = self._observations()
        rewards = {agent: self.pay * (1 + (agent == "long")) for agent in self.agents}
        ends = {agent: self.length - (agent == "short") for agent in self.agents}
        terminated = {agent: self.elapsed >= ends[agent] for agent in self.agents}
        truncated = dict.fromkeys(self.agents, False)
        infos = {agent: {"elapsed": self.elapsed} for agent in self.agents}
        self.agents = [agent for agent in self.agents if not terminated[agent]]
        return observations, rewards, terminated, truncated, infos

    def close(self) -> None:
        self.closed += 1


def set_race(env: ParallelEnv, task: Stroll) -> None:
    """Hand a task to Race."""
    race: Any = env.unwrapped
    race.length, race.pay = task.length, task.pay


def race(curriculum: Curriculum, env: Any = None, **options: Any) -> CurriculumParallelWrapper:
    """``env``, by default a new Race, under the curriculum."""
    if not {"make_env", "as_options"} & options.keys():
        options.setdefault("apply_task", set_race)
    return CurriculumParallelWrapper(Race() if env is None else env, curriculum, **options)


def run(env: ParallelEnv, **options: Any) -> dict[str, Any]:
    """An episode. Returns the infos of its last step."""
    env.reset(**options)
    infos: dict[str, Any] = {}
    for _ in range(1000):
        infos = env.step({agent: env.action_space(agent).sample() for agent in env.agents})[4]
        if not env.agents:
            return infos
    raise AssertionError("no episode ended within 1000 steps")
