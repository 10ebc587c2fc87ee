"""Poles of nine kinds, balanced by Stable-Baselines3's PPO: about a minute on one core.

uv run python experiments/examples/cartpole_sb3.py
"""

import argparse
from pathlib import Path
from typing import Any

import gymnasium
import torch
from pydantic import BaseModel
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv

from metta.cogworks.curriculum import Curriculum, LearningProgressConfig, bucketed
from metta.cogworks.curriculum.gymnasium import CurriculumWrapper
from metta.cogworks.curriculum.sb3 import CurriculumCallback, load_curriculum, save_curriculum

STEPS = 100_000


class Pole(BaseModel):
    """A task: the pole's half length in metres, and the strength of the push in newtons."""

    length: float = 0.5
    force_mag: float = 10.0


def set_pole(env: gymnasium.Env, pole: Pole) -> None:
    """Hand a task to CartPole."""
    cart_pole: Any = env.unwrapped
    cart_pole.length, cart_pole.force_mag = pole.length, pole.force_mag
    cart_pole.polemass_length = cart_pole.masspole * pole.length


def make_curriculum() -> Curriculum:
    """All nine combinations."""
    poles = bucketed(Pole(), {"length": [0.1, 0.5, 2.0], "force_mag": [2.0, 5.0, 10.0]})
    algorithm = LearningProgressConfig(num_active_tasks=9)
    return Curriculum(poles.to_curriculum(algorithm_config=algorithm))


def main(
    steps: int = STEPS, processes: bool = False, folder: Path = Path("train_dir/cartpole_sb3")
) -> Curriculum:
    """Train, or go on from what was saved. Returns the curriculum, open."""
    torch.set_num_threads(1)  # small networks: several times as fast where cores are busy
    curriculum = make_curriculum()

    def make_env() -> gymnasium.Env:
        return CurriculumWrapper(gymnasium.make("CartPole-v1"), curriculum, apply_task=set_pole)

    # Processes share the pool, however they are started.
    envs = make_vec_env(make_env, 8, seed=1, vec_env_cls=SubprocVecEnv if processes else None)
    folder.mkdir(parents=True, exist_ok=True)
    saved = folder / "ppo.zip"
    if saved.exists():
        model = PPO.load(saved, envs, device="cpu")
        load_curriculum(curriculum, saved)
    else:
        model = PPO("MlpPolicy", envs, n_steps=256, batch_size=256, seed=1, device="cpu", verbose=1)
    model.learn(steps, callback=CurriculumCallback(curriculum), reset_num_timesteps=False)
    model.save(saved)
    save_curriculum(curriculum, saved)
    envs.close()
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
    parser = argparse.ArgumentParser(description="CartPole with Stable-Baselines3")
    parser.add_argument("--steps", type=int, default=STEPS, help="of all environments together")
    parser.add_argument("--processes", action="store_true", help="a process for each environment")
    arguments = parser.parse_args()
    with main(arguments.steps, arguments.processes) as trained:
        show(trained)
