"""How a run ends early: before its first step, or when learning diverges."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metta.rl.checkpoint import SavedRun, latest_checkpoint, read_run, to_arrays
from metta.rl.signals import StopSignals
from metta.rl.trainer import train
from metta.tools.train import TrainTool
from metta.usage import UsageError
from tests.tools import small_recipe


def make_tool(data_dir: Path, **trainer: Any) -> TrainTool:
    tool = small_recipe.train()
    training_env = tool.training_env.model_copy(update={"num_workers": 1})
    settings = {"total_timesteps": 400, "checkpoint_interval": 1, **trainer}
    return tool.model_copy(
        update={
            "run": "a",
            "data_dir": data_dir,
            "training_env": training_env,
            "trainer": tool.trainer.model_copy(update=settings),
        }
    )


def checkpoints(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "a/checkpoints").glob("*"))


def test_a_stop_before_the_first_step_saves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert train(make_tool(tmp_path), stop) == 143
    output = capfd.readouterr().out
    assert "no step was made: nothing is saved" in output
    assert "train longer" not in output
    assert checkpoints(tmp_path) == []


def test_divergence_ends_the_run_and_leaves_earlier_checkpoints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    with StopSignals() as stop:
        assert train(make_tool(tmp_path, total_timesteps=200), stop) == 0
        before = checkpoints(tmp_path)
        assert before
        capfd.readouterr()
        assert train(make_tool(tmp_path, total_timesteps=4000, learning_rate=1e38), stop) == 1
    output = capfd.readouterr().out
    assert "error: learning diverged in epoch 3 (" in output
    assert "Try a smaller trainer.learning_rate" in output
    assert checkpoints(tmp_path) == before


def test_a_run_that_lost_its_steps_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/metrics.jsonl").write_text(json.dumps({"epoch": 9, "agent_steps": 1152}) + "\n")
    with StopSignals() as stop:
        assert train(make_tool(tmp_path), stop) == 0
    assert (
        "no checkpoint was saved of the 1,152 steps in metrics.jsonl: beginning again"
        in capfd.readouterr().out
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_in_flight_is_forgotten_when_a_run_goes_on(tmp_path: Path, workers: int):
    """However often a run is resumed: an environment has one episode in flight, and so each task
    was scheduled as often as it was completed, but for one per environment."""
    tool = make_tool(tmp_path)
    training_env = tool.training_env.model_copy(update={"num_workers": workers})
    tool = tool.model_copy(update={"training_env": training_env})
    in_flight = []
    for steps in (400, 800, 1200, 1600):
        trainer = tool.trainer.model_copy(update={"total_timesteps": steps})
        with StopSignals() as stop:
            assert train(tool.model_copy(update={"trainer": trainer}), stop) == 0
        newest = latest_checkpoint(tmp_path / "a/checkpoints")
        assert newest is not None
        in_flight.append(_in_flight(read_run(newest)))
    assert all((counts >= 0).all() for counts in in_flight)
    assert [counts.sum() <= training_env.num_envs for counts in in_flight] == [True] * 4, in_flight
    assert in_flight[0].sum() > 0  # or this test says nothing


def _in_flight(saved: SavedRun) -> np.ndarray:
    """Per task of the saved pool, episodes that were begun and not completed."""
    tracker = to_arrays(saved.curriculum)["algorithm"]["tracker"]
    columns, rows = tracker["columns"], tracker["rows"]
    scheduled, completed = columns.index("scheduled_count"), columns.index("completion_count")
    return rows[:, scheduled] - rows[:, completed]


def test_a_complete_run_is_of_one_policy(tmp_path: Path):
    with StopSignals() as stop:
        tool = make_tool(tmp_path)
        assert train(tool, stop) == 0
        other = tool.model_copy(update={"policy": tool.policy.model_copy(update={"name": "lstm"})})
        with pytest.raises(UsageError, match=r"was trained with policy\.name=stateless, not lstm"):
            train(other, stop)
