"""MiniGrid rooms of six sizes, explored by PPO in one file, in CleanRL's manner: some minutes on
one core.

uv run python experiments/examples/minigrid_cleanrl.py

The lines about the curriculum are those of ``make_curriculum`` and ``make_env``, and the return
that ``task_score`` has in the infos.
"""

import argparse
import functools
from collections import deque
from dataclasses import dataclass

import gymnasium
import minigrid  # registers its environments
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from minigrid.wrappers import ImgObsWrapper
from pydantic import BaseModel
from torch import nn
from torch.distributions import Categorical

from metta.cogworks.curriculum import Curriculum, LearningProgressConfig, bucketed
from metta.cogworks.curriculum.gymnasium import CurriculumWrapper

STEPS = 50_000
NUM_ENVS, ROLLOUT = 8, 128
EPOCHS, MINIBATCH = 4, 256
GAMMA, LAMBDA, CLIP = 0.99, 0.95, 0.2
ENTROPY, VALUE, MAX_NORM, LEARNING_RATE = 0.01, 0.5, 0.5, 1e-3
ENV_ID = "MiniGrid-Empty-5x5-v0"


class Room(BaseModel):
    """A task: the arguments of gymnasium.make."""

    size: int = 5


def make_curriculum() -> Curriculum:
    """Rooms of six sizes."""
    rooms = bucketed(Room(), {"size": [5, 6, 8, 10, 13, 16]})
    algorithm = LearningProgressConfig(num_active_tasks=6, use_shared_memory=False)
    return Curriculum(rooms.to_curriculum(algorithm_config=algorithm))


def make_env(curriculum: Curriculum) -> gymnasium.Env:
    """A room, made anew for each task. Wrappers that MiniGrid cannot make again stand outside."""
    make = functools.partial(gymnasium.make, ENV_ID, agent_start_pos=None)
    return ImgObsWrapper(CurriculumWrapper(make(), curriculum, make_env=make))


class Agent(nn.Module):
    """A small network on the 7 × 7 cells that the agent sees."""

    def __init__(self, num_actions: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(147, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh()
        )
        self.policy, self.value = nn.Linear(128, num_actions), nn.Linear(128, 1)

    def forward(self, observations: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
        """The distribution of actions and the value, of observations of shape (n, 7, 7, 3)."""
        hidden = self.body(observations.float() / 10.0)
        return Categorical(logits=self.policy(hidden)), self.value(hidden).squeeze(-1)


@dataclass
class Rollout:
    """Steps of all environments, each of shape (ROLLOUT, NUM_ENVS, ...)."""

    observations: torch.Tensor
    actions: torch.Tensor
    log_probs: torch.Tensor
    values: torch.Tensor
    rewards: torch.Tensor
    ends: torch.Tensor
    """1.0 where the step ended an episode."""
    last_value: torch.Tensor


def play(
    envs: SyncVectorEnv, agent: Agent, observation: np.ndarray, scores: deque[float]
) -> tuple[Rollout, np.ndarray]:
    """Collect a rollout. Returns it and the observation after it; adds the scores of the episodes
    that ended."""
    steps: list[list[torch.Tensor]] = []
    for _ in range(ROLLOUT):
        seen = torch.as_tensor(observation)
        with torch.no_grad():
            distribution, value = agent(seen)
        action = distribution.sample()
        observation, reward, terminated, truncated, infos = envs.step(action.numpy())
        ended = terminated | truncated
        if ended.any():  # the environments are reset in the same step
            scores.extend(infos["final_info"]["task_score"][ended].tolist())
        rewards, ends = torch.as_tensor(reward).float(), torch.as_tensor(ended).float()
        steps.append([seen, action, distribution.log_prob(action), value, rewards, ends])
    with torch.no_grad():
        last_value = agent(torch.as_tensor(observation))[1]
    columns = [torch.stack(column) for column in zip(*steps, strict=True)]
    observations, actions, log_probs, values, rewards, ends = columns
    collected = Rollout(observations, actions, log_probs, values, rewards, ends, last_value)
    return collected, observation


def advantages(rollout: Rollout) -> torch.Tensor:
    """Generalised advantage estimates, shape (ROLLOUT, NUM_ENVS)."""
    found, following, value = torch.zeros_like(rollout.values), 0.0, rollout.last_value
    for t in reversed(range(ROLLOUT)):
        goes_on = 1.0 - rollout.ends[t]
        error = rollout.rewards[t] + GAMMA * value * goes_on - rollout.values[t]
        following = error + GAMMA * LAMBDA * goes_on * following
        found[t], value = following, rollout.values[t]
    return found


def update(agent: Agent, optimizer: torch.optim.Optimizer, rollout: Rollout) -> None:
    """PPO's update."""
    gains = advantages(rollout)
    targets = (gains + rollout.values).flatten()
    observations, actions = rollout.observations.flatten(0, 1), rollout.actions.flatten()
    old_log_probs, gains = rollout.log_probs.flatten(), gains.flatten()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(actions)).split(MINIBATCH):
            distribution, value = agent(observations[chosen])
            gain = gains[chosen]
            gain = (gain - gain.mean()) / (gain.std() + 1e-8)
            ratio = (distribution.log_prob(actions[chosen]) - old_log_probs[chosen]).exp()
            policy = -torch.min(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
            error = (value - targets[chosen]).square().mean()
            loss = policy + VALUE * error - ENTROPY * distribution.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), MAX_NORM)
            optimizer.step()


def main(steps: int = STEPS) -> Curriculum:
    """Train. Returns the curriculum, open."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    curriculum = make_curriculum()
    envs = SyncVectorEnv(
        [lambda: make_env(curriculum)] * NUM_ENVS, autoreset_mode=AutoresetMode.SAME_STEP
    )
    agent = Agent(num_actions=3)  # left, right, forward: the others do nothing here
    optimizer = torch.optim.Adam(agent.parameters(), LEARNING_RATE, eps=1e-5)
    observation, _ = envs.reset(seed=1)
    scores: deque[float] = deque(maxlen=100)
    for step in range(0, steps, NUM_ENVS * ROLLOUT):
        rollout, observation = play(envs, agent, observation, scores)
        update(agent, optimizer, rollout)
        mean = np.mean(scores) if scores else 0.0
        print(f"step {step + NUM_ENVS * ROLLOUT:,}  return of the last 100 episodes {mean:.2f}")
    envs.close()
    return curriculum


def show(curriculum: Curriculum) -> None:
    """Each task, and how it went."""
    for task_id, probability in curriculum.probabilities().items():
        state = curriculum.state_of(task_id)
        if state is not None:
            print(
                f"{curriculum.bucket_values_of(task_id)}  episodes {state.completion_count:4}  "
                f"return lately {state.reward_ema:.2f}  probability {probability:.2f}"
            )


if __name__ == "__main__":
    print(f"MiniGrid {minigrid.__version__}")
    parser = argparse.ArgumentParser(description="MiniGrid with PPO in one file")
    parser.add_argument("--steps", type=int, default=STEPS, help="of all environments together")
    with main(parser.parse_args().steps) as trained:
        show(trained)
