"""Settings are checked before anything starts."""

import subprocess
import sys
from typing import Any

import pytest
from mettagrid.config.mettagrid_config import MettaGridConfig
from pydantic import ValidationError

from metta.cogworks.curriculum import CurriculumConfig, single_task
from metta.rl.config import TrainerConfig, TrainingEnvConfig
from metta.rl.learner import puffer_config
from metta.tools.train import TrainTool


def curriculum() -> CurriculumConfig:
    return single_task(MettaGridConfig.EmptyRoom(num_agents=1)).to_curriculum(num_active_tasks=4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"total_timesteps": 0}, "greater than 0"),
        ({"learning_rate": -1}, "greater than 0"),
        ({"batch_size": 100}, "batch_size=100 must be a multiple of bptt_horizon=64"),
        ({"minibatch_size": 32}, "minibatch_size=32 must be a multiple of bptt_horizon=64"),
        (
            {"batch_size": 64, "minibatch_size": 128},
            "minibatch_size=128 must not exceed batch_size=64",
        ),
        ({"torch_threads": 0}, "torch_threads=0 must be at least 1"),
        ({"gamma": 1.5}, "less than or equal to 1"),
        ({"total_timestep": 5}, "total_timestep"),
        ({"learning_rate": float("inf")}, "finite number"),
        ({"adam_eps": float("nan")}, "finite number|greater than 0"),
        (
            {"batch_size": 3_200_000_000},
            "batch_size=3200000000 is too large: use 64 .* to 67108864, or 'auto'",
        ),
    ],
)
def test_trainer_refuses(settings: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        TrainerConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_envs": 3, "num_workers": 2}, "num_envs=3 is not divisible by num_workers=2"),
        ({"num_envs": 0}, "greater than 0"),
        (
            {"num_envs": 6, "num_workers": 3, "async_factor": 2},
            "num_workers=3 is not divisible by async_factor=2",
        ),
    ],
)
def test_training_env_refuses(settings: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        TrainingEnvConfig(curriculum=curriculum(), **settings)


def test_training_needs_environments():
    with pytest.raises(ValidationError, match="has no task_generator"):
        TrainTool(training_env=TrainingEnvConfig(curriculum=CurriculumConfig()))


@pytest.mark.parametrize("run", ["../up", "a/b", ".hidden", "-x", "a b", "x" * 101])
def test_a_run_name_must_be_a_folder_name(run: str):
    with pytest.raises(ValidationError, match="cannot name a folder"):
        TrainTool(run=run, training_env=TrainingEnvConfig(curriculum=curriculum()))


def test_automatic_sizes():
    config = puffer_config(TrainerConfig(total_timesteps=1000), num_agents=8)
    assert config["batch_size"] == 8 * 64
    assert config["minibatch_size"] == 128
    assert config["total_timesteps"] == 2 * 512
    tiny = puffer_config(TrainerConfig(bptt_horizon=16), num_agents=1)
    assert tiny["batch_size"] == tiny["minibatch_size"] == 16
    large = puffer_config(TrainerConfig(), num_agents=1024)
    assert large["minibatch_size"] == 4096


def test_a_batch_too_small_for_the_agents_is_refused():
    with pytest.raises(
        ValueError,
        match=r"batch_size=64 is too small: 8 agents with trainer.bptt_horizon=64 need at least "
        r"512",
    ):
        puffer_config(TrainerConfig(batch_size=64), num_agents=8)


def test_a_tool_survives_its_own_dump():
    tool = TrainTool(run="a", training_env=TrainingEnvConfig(curriculum=curriculum(), num_envs=4))
    assert TrainTool.model_validate(tool.model_dump(mode="json")) == tool


def test_building_a_tool_loads_no_torch():
    code = (
        "import sys, metta.tools.train, metta.tools.evaluate, metta.tools.play; print('torch' "
        "in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"
