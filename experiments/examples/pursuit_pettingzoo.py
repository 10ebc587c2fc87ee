"""PettingZoo's Pursuit with few and many evaders in small and large worlds, by an actor-critic that
all pursuers share: two minutes on one core.

uv run python experiments/examples/pursuit_pettingzoo.py

Pursuit itself needs pygame-ce and scipy, which a clone has. Each evader that is caught pays every
pursuer 1.25.
"""

import argparse
import functools
from collections import deque
from typing import Any

import numpy as np
import pettingzoo
import torch
from pydantic import BaseModel
from torch import nn
from torch.distributions import Categorical

from metta.cogworks.curriculum import Curriculum, LearningProgressConfig, bucketed
from metta.cogworks.curriculum.pettingzoo import CurriculumParallelWrapper

EPISODES = 150
GAMMA, ENTROPY, LEARNING_RATE = 0.95, 0.01, 2e-3


class World(BaseModel):
    """A task: arguments of pettingzoo.make."""

    x_size: int = 8
    n_evaders: int = 2


def make_curriculum() -> Curriculum:
    """Six worlds."""
    worlds = bucketed(World(), {"x_size": [8, 16], "n_evaders": [2, 4, 8]})
    algorithm = LearningProgressConfig(num_active_tasks=6, use_shared_memory=False)
    return Curriculum(worlds.to_curriculum(algorithm_config=algorithm))


def make_env(curriculum: Curriculum, max_cycles: int) -> CurriculumParallelWrapper:
    """Pursuit, made anew for each task."""
    make: Any = functools.partial(
        pettingzoo.make,
        "parallel",
        "sisl/pursuit-v5",
        max_cycles=max_cycles,
        y_size=8,
        n_pursuers=4,
        surround=False,
        n_catch=1,
        freeze_evaders=True,
        urgency_reward=0.0,
    )
    return CurriculumParallelWrapper(make(), curriculum, make_env=make)


class Pursuer(nn.Module):
    """What every pursuer does, and expects, of the 7 × 7 cells that it sees."""

    def __init__(self, num_actions: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(147, 64), nn.Tanh())
        self.policy, self.value = nn.Linear(64, num_actions), nn.Linear(64, 1)

    def forward(self, observations: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
        """The distributions of actions and the values, of observations of shape (n, 7, 7, 3)."""
        hidden = self.body(observations)
        return Categorical(logits=self.policy(hidden)), self.value(hidden).squeeze(-1)


Steps = list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]
"""Log-probability and entropy of the actions, values, rewards: one of each per pursuer."""


def play(env: CurriculumParallelWrapper, pursuer: Pursuer, seed: int | None) -> Steps:
    """An episode."""
    observations, _ = env.reset(seed=seed)
    steps: Steps = []
    while env.agents:
        agents = list(env.agents)
        seen = np.stack([observations[agent] for agent in agents])
        distribution, values = pursuer(torch.as_tensor(seen, dtype=torch.float32))
        actions = distribution.sample()
        chosen = dict(zip(agents, actions.tolist(), strict=True))
        observations, rewards, _, _, _ = env.step(chosen)
        paid = torch.tensor([rewards[agent] for agent in agents]).float()
        steps.append((distribution.log_prob(actions), distribution.entropy(), values, paid))
    return steps


def learn(optimizer: torch.optim.Optimizer, steps: Steps) -> None:
    """One step of an actor-critic, by the returns of the episode."""
    log_probs, entropies, values, rewards = (torch.stack(c) for c in zip(*steps, strict=True))
    returns = torch.zeros_like(rewards)
    following = torch.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        following = returns[t] = rewards[t] + GAMMA * following
    gains = returns - values
    policy = -(log_probs * gains.detach()).mean()
    loss = policy + gains.square().mean() - ENTROPY * entropies.mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def main(episodes: int = EPISODES, max_cycles: int = 100) -> Curriculum:
    """Train. Returns the curriculum, open."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    curriculum = make_curriculum()
    env = make_env(curriculum, max_cycles)
    pursuer = Pursuer(env.action_space(env.possible_agents[0]).n)
    optimizer = torch.optim.Adam(pursuer.parameters(), LEARNING_RATE)
    returns: deque[float] = deque(maxlen=20)
    for episode in range(episodes):
        steps = play(env, pursuer, seed=1 if episode == 0 else None)
        learn(optimizer, steps)
        returns.append(float(sum(rewards.mean() for *_, rewards in steps)))
        if (episode + 1) % 20 == 0:
            print(f"episode {episode + 1}, return of the last 20 {np.mean(returns):.2f}")
    env.close()
    return curriculum


def show(curriculum: Curriculum) -> None:
    """Each task, and how it went."""
    for task_id, probability in curriculum.probabilities().items():
        state = curriculum.state_of(task_id)
        if state is not None:
            print(
                f"{curriculum.bucket_values_of(task_id)}  episodes {state.completion_count:4}  "
                f"return lately {state.reward_ema:5.1f}  probability {probability:.2f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pursuit with an actor-critic")
    parser.add_argument("--episodes", type=int, default=EPISODES)
    with main(parser.parse_args().episodes) as trained:
        show(trained)
