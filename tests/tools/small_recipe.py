"""A recipe that is a file outside the recipes' package: two agents, four short tasks, quick to
train on anything."""

import functools

from mettagrid.builder.envs import make_navigation

from metta.cogworks.curriculum import CurriculumConfig, LearningProgressConfig, bucketed
from metta.rl.config import PolicyConfig, TrainerConfig, TrainingEnvConfig
from metta.tools.command import CommandTool
from metta.tools.evaluate import EvaluateTool
from metta.tools.play import PlayTool
from metta.tools.train import TrainTool


def make_curriculum(num_tasks: int = 16) -> CurriculumConfig:
    env = make_navigation(num_agents=2)
    tasks = bucketed(env, {"game.max_steps": [4, 6, 8, 10]})
    return tasks.to_curriculum(algorithm_config=LearningProgressConfig(num_active_tasks=num_tasks))


def train(num_tasks: int = 16, policy: str = "stateless") -> TrainTool:
    """Train on four lengths of navigation.

    Args:
        num_tasks: size of the pool.
    """
    return TrainTool(
        trainer=TrainerConfig(
            total_timesteps=2000, bptt_horizon=16, torch_threads=1, checkpoint_interval=10
        ),
        training_env=TrainingEnvConfig(
            curriculum=make_curriculum(num_tasks), num_envs=4, num_workers=2
        ),
        policy=PolicyConfig(name=policy),
        device="cpu",
    )


def evaluate() -> EvaluateTool:
    """Evaluate a run."""
    return EvaluateTool(device="cpu", episodes=6)


def play() -> PlayTool:
    """Play one episode."""
    return PlayTool(device="cpu", curriculum=make_curriculum())


def wrong_bucket(path: str = "game.foo") -> TrainTool:
    """A bucket for a place that no environment has."""
    tasks = bucketed(make_navigation(num_agents=2), {path: [1]})
    return TrainTool(
        training_env=TrainingEnvConfig(curriculum=tasks.to_curriculum(num_active_tasks=4))
    )


def empty_bucket() -> TrainTool:
    """A bucket without values."""
    bucketed(make_navigation(num_agents=2), {"game.max_steps": []})
    return train()


def command(status: int = 0, message: str = "done") -> CommandTool:
    """Print a message and end with a status."""
    return CommandTool(function=functools.partial(_say, message, status))


def broken() -> CommandTool:
    """A command that fails."""
    return CommandTool(function=_fail)


def no_recipe() -> int:
    return 3


def demanding(size: int) -> CommandTool:
    return CommandTool(function=functools.partial(_say, str(size), 0))


def _say(message: str, status: int) -> int:
    print(message)
    return status


def _fail() -> int:
    raise RuntimeError("the disk is full")
