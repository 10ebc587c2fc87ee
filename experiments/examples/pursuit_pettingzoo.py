"""PettingZoo's Pursuit with few and many evaders in small and large worlds, by REINFORCE with one
policy for all pursuers: some minutes on one core.

uv run python experiments/examples/pursuit_pettingzoo.py

Pursuit itself needs pygame-ce and scipy, which a clone has.
"""

import argparse
import functools
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
GAMMA, ENTROPY, LEARNING_RATE = 0.97, 0.01, 1e-3


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
    )
    return CurriculumParallelWrapper(make(), curriculum, make_env=make)


class Policy(nn.Module):
    """Of every pursuer: it sees 7 × 7 cells."""

    def __init__(self, num_actions: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(147, 64), nn.Tanh(), nn.Linear(64, num_actions)
        )

    def forward(self, observations: torch.Tensor) -> Categorical:
        """The distributions of actions, of observations of shape (n, 7, 7, 3)."""
        return Categorical(logits=self.layers(observations))


def play(env: CurriculumParallelWrapper, policy: Policy, seed: int | None) -> tuple[Any, Any, Any]:
    """An episode. Returns log-probabilities and entropies of the actions and rewards, one of each
    for every step: their shape is that of the pursuers."""
    observations, _ = env.reset(seed=seed)
    log_probs, entropies, rewards = [], [], []
    while env.agents:
        agents = list(env.agents)
        seen = np.stack([observations[agent] for agent in agents])
        distribution = policy(torch.as_tensor(seen, dtype=torch.float32))
        actions = distribution.sample()
        chosen = dict(zip(agents, actions.tolist(), strict=True))
        observations, reward, _, _, _ = env.step(chosen)
        log_probs.append(distribution.log_prob(actions))
        entropies.append(distribution.entropy())
        rewards.append(torch.tensor([reward[agent] for agent in agents]).float())
    return log_probs, entropies, rewards


def learn(optimizer: torch.optim.Optimizer, log_probs: Any, entropies: Any, rewards: Any) -> None:
    """REINFORCE, with each episode's mean return as its baseline."""
    returns, following = [], torch.zeros(1)
    for reward in reversed(rewards):
        following = reward + GAMMA * following
        returns.insert(0, following)
    gains = torch.cat(returns)
    gains = (gains - gains.mean()) / (gains.std() + 1e-8)
    loss = -(torch.cat(log_probs) * gains).mean() - ENTROPY * torch.cat(entropies).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def main(episodes: int = EPISODES, max_cycles: int = 100) -> Curriculum:
    """Train. Returns the curriculum, open."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    curriculum = make_curriculum()
    env = make_env(curriculum, max_cycles)
    policy = Policy(env.action_space(env.possible_agents[0]).n)
    optimizer = torch.optim.Adam(policy.parameters(), LEARNING_RATE)
    for episode in range(episodes):
        log_probs, entropies, rewards = play(env, policy, seed=1 if episode == 0 else None)
        learn(optimizer, log_probs, entropies, rewards)
        if (episode + 1) % 10 == 0:
            print(f"episode {episode + 1}, mean return {torch.stack(rewards).sum(0).mean():.1f}")
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
    parser = argparse.ArgumentParser(description="Pursuit with REINFORCE")
    parser.add_argument("--episodes", type=int, default=EPISODES)
    with main(parser.parse_args().episodes) as trained:
        show(trained)
