"""Stable-Baselines3 as it is: its checker, its vector environments, PPO, and the callback."""

import csv
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import CallbackList, CheckpointCallback
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from metta.cogworks.curriculum import CurriculumConfig
from metta.cogworks.curriculum.saving import curriculum_path
from metta.cogworks.curriculum.sb3 import CurriculumCallback, load_curriculum, save_curriculum
from tests.cogworks.curriculum.gym_examples import makers, walk, walks
from tests.cogworks.curriculum.states import without_times

# From Python 3.12, fork warns in a process with threads, such as those of a test runner.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def ppo(envs: Any) -> PPO:
    """Tiny."""
    return PPO("MlpPolicy", envs, n_steps=16, batch_size=16, n_epochs=1, seed=1, device="cpu")


def test_it_passes_the_checker():
    with walks() as curriculum:
        check_env(walk(curriculum, gymnasium.make("tests/Walk-v0")))


# Each server of forks imports torch: 8 s where the machine is idle.
@pytest.mark.parametrize(
    "kind", ["dummy", "fork", pytest.param("forkserver", marks=pytest.mark.slow)]
)
def test_ppo_credits_every_episode_once(kind: str):
    with walks(local=kind == "dummy") as curriculum:
        makes = [lambda make=make: Monitor(make()) for make in makers(curriculum)]
        envs = DummyVecEnv(makes) if kind == "dummy" else SubprocVecEnv(makes, start_method=kind)
        model = ppo(envs).learn(64)
        ended = model._episode_num or len(model.ep_info_buffer)  # type: ignore[arg-type]
        assert ended > 10
        stats = curriculum.stats()
        assert stats["num_completed"] == ended
        assert stats["num_scheduled"] == ended + stats["num_in_flight"]
        assert stats["num_in_flight"] == 2
        envs.close()
        assert curriculum.stats()["num_in_flight"] == 0


# -- the callback ----------------------------------------------------------------------------------


def test_statistics_are_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with walks() as curriculum:
        model = ppo(DummyVecEnv(makers(curriculum)))
        model.set_logger(configure(str(tmp_path), ["csv", "stdout"]))
        model.learn(64, callback=CurriculumCallback(curriculum, log_freq=1))
        model.logger.close()
        header, *rows = (tmp_path / "progress.csv").read_text().splitlines()
        columns = header.split(",")
        completed = [
            float(row.split(",")[columns.index("curriculum/num_completed")]) for row in rows
        ]
        assert completed == sorted(set(completed))
        assert completed[-1] == curriculum.stats()["num_completed"]
        assert "curriculum/algorithm/label/Stroll/completions" in columns
        printed = capsys.readouterr().out
        assert "num_completed" in printed
        assert "algorithm" not in printed  # whose names its table would cut off


@pytest.mark.parametrize(("log_freq", "expected"), [(1, [16, 32, 48, 64]), (20, [16, 48])])
def test_how_often_they_are_logged(log_freq: int, expected: list[int]):
    calls: list[int] = []

    class Noted(CurriculumCallback):
        def _log(self) -> None:
            calls.append(self.n_calls)

    with walks() as curriculum:
        callback = Noted(curriculum, log_freq=log_freq)
        ppo(DummyVecEnv(makers(curriculum))).learn(128, callback=callback)
    assert calls == [*expected, 64]  # and when the training ends


def test_the_state_is_saved_beside_the_model_and_loaded(tmp_path: Path):
    with walks() as curriculum:
        callback = CurriculumCallback(curriculum, save_freq=16, save_path=tmp_path / "models")
        beside = CheckpointCallback(save_freq=16, save_path=str(tmp_path / "models"))
        model = ppo(DummyVecEnv(makers(curriculum)))
        model.learn(64, callback=CallbackList([beside, callback]))
        names = sorted(path.name for path in (tmp_path / "models").iterdir())
        assert names == [
            f"rl_model_{steps}_steps.{end}"
            for steps in (32, 64)
            for end in ("curriculum.npz", "zip")
        ]
        completed = curriculum.stats()["num_completed"]
    with walks(seed=5) as restored:
        load_curriculum(restored, tmp_path / "models" / "rl_model_64_steps.zip")
        stats = restored.stats()
        assert stats["num_in_flight"] == 0
        assert stats["num_completed"] == completed > 10


def test_a_whole_state_comes_back(tmp_path: Path):
    with walks() as curriculum, walks(seed=3) as other:
        for _ in range(30):
            curriculum.get_task().complete(0.25)
        path = save_curriculum(curriculum, tmp_path / "new" / "ppo.zip")
        assert (
            path == tmp_path / "new" / "ppo.curriculum.npz" == curriculum_path(tmp_path / "new/ppo")
        )
        assert curriculum_path(path) == path
        load_curriculum(other, tmp_path / "new" / "ppo")
        assert other.stats() == curriculum.stats()
        drawn = [[task.task_id for task in each.get_tasks(50)] for each in (curriculum, other)]
        assert drawn[0] == drawn[1]
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["ppo.curriculum.npz"]


def test_a_state_that_is_missing_damaged_or_anothers(tmp_path: Path):
    with walks() as curriculum:
        with pytest.raises(FileNotFoundError, match=r"no\.curriculum\.npz"):
            load_curriculum(curriculum, tmp_path / "no.zip")
        path = save_curriculum(curriculum, tmp_path / "bad")
        whole = path.read_bytes()
        before = without_times(curriculum.get_state())
        for damaged in (b"", whole[: len(whole) // 2], whole[:200] + b"x" * 50 + whole[250:]):
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"bad\.curriculum\.npz cannot be read as a"):
                load_curriculum(curriculum, tmp_path / "bad")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", "b")
        with pytest.raises(ValueError, match="cannot be read as a curriculum's state"):
            load_curriculum(curriculum, tmp_path / "bad")
        with walks(tasks={"length": [2, 3, 5]}) as other:
            save_curriculum(other, tmp_path / "other")
            with pytest.raises(ValueError, match="task_generator"):
                load_curriculum(curriculum, tmp_path / "other")
        assert without_times(curriculum.get_state()) == before


def test_off_policy_algorithms_work_too(tmp_path: Path):
    with walks() as curriculum:
        model = DQN(
            "MlpPolicy",
            walk(curriculum),
            learning_starts=10,
            buffer_size=100,
            batch_size=8,
            device="cpu",
        )
        model.set_logger(configure(str(tmp_path), ["csv"]))
        model.learn(80, callback=CurriculumCallback(curriculum, log_freq=10))
        model.logger.close()
        assert "curriculum/num_completed" in (tmp_path / "progress.csv").read_text()
        assert curriculum.stats()["num_completed"] >= 80 // 4 - 1


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"log_freq": 0}, ValueError, "log_freq=0 is not allowed: give an integer of at least 1"),
        ({"save_freq": 0, "save_path": "x"}, ValueError, "save_freq=0 is not allowed"),
        ({"save_freq": 5}, ValueError, "save_freq=5 without save_path: give the folder"),
        ({"curriculum": CurriculumConfig()}, TypeError, r"is not a Curriculum: make one of a conf"),
    ],
)
def test_arguments_that_cannot_be_used(options: dict[str, Any], kind: Any, message: str):
    with walks() as curriculum, pytest.raises(kind, match=message):
        CurriculumCallback(**{"curriculum": curriculum, **options})


def test_it_says_where_it_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with walks() as curriculum:
        callback = CurriculumCallback(curriculum, save_path=tmp_path, name_prefix="a", verbose=2)
        ppo(DummyVecEnv(makers(curriculum))).learn(32, callback=callback)
    expected = tmp_path / "a_32_steps.curriculum.npz"
    assert f"Saving curriculum to {expected}" in capsys.readouterr().out
    assert expected.exists()


def test_without_stable_baselines3_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['stable_baselines3'] = None; import metta.cogworks.curriculum.sb3"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "pip install 'metta-curriculum[sb3]'" in done.stderr


def test_names_are_offered_by_the_package():
    import metta.cogworks.curriculum as package
    from metta.cogworks.curriculum import gymnasium, pettingzoo, sb3

    assert package.CurriculumWrapper is gymnasium.CurriculumWrapper
    assert package.CurriculumParallelWrapper is pettingzoo.CurriculumParallelWrapper
    assert package.CurriculumCallback is sb3.CurriculumCallback
    assert np.all([name not in package.__all__ for name in package._OF_OTHER_LIBRARIES])


def test_the_statistics_at_the_end_of_training_are_written_down(tmp_path: Path):
    """Also where the last steps are fewer than log_freq."""
    with walks() as curriculum:
        envs = DummyVecEnv(makers(curriculum))
        model = ppo(envs)
        model.set_logger(configure(str(tmp_path), ["csv"]))
        model.learn(96, callback=CurriculumCallback(curriculum, log_freq=1000))
        with (tmp_path / "progress.csv").open() as file:
            rows = list(csv.DictReader(file))
        logged = [row["curriculum/num_completed"] for row in rows]
        model.logger.close()
        assert float(logged[-1]) == curriculum.stats()["num_completed"]
        envs.close()
