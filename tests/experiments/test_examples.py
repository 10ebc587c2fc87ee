"""The examples run, from the lines that the README has, with tiny budgets."""

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.examples import cartpole_sb3, minigrid_cleanrl, pursuit_pettingzoo

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = {path.name for path in (ROOT / "experiments" / "examples").glob("[a-z]*.py")}


@pytest.fixture(autouse=True)
def one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)


def test_the_readme_names_them() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"uv run python experiments/examples/(\S+)", text)
    assert {"cartpole_sb3.py", "minigrid_cleanrl.py", "pursuit_pettingzoo.py"} <= set(named)
    assert set(named) <= EXAMPLES


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cartpole_sb3", ["--steps", "2048"]),
        ("minigrid_cleanrl", ["--steps", "1024"]),
        ("pursuit_pettingzoo", ["--episodes", "2"]),
    ],
)
def test_it_runs_as_a_program(
    name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = ROOT / "experiments" / "examples" / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")
    assert re.search(r"episodes +\d+  return lately", capsys.readouterr().out)


def test_cartpole_goes_on_from_what_it_saved(tmp_path: Path) -> None:
    with cartpole_sb3.main(steps=2048, folder=tmp_path) as curriculum:
        before = curriculum.stats()["num_completed"]
    with cartpole_sb3.main(steps=2048, folder=tmp_path) as curriculum:
        assert curriculum.stats()["num_completed"] > before > 50
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert names == ["ppo.curriculum.npz", "ppo.zip"]


def test_every_example_tells_its_curriculum_of_its_episodes() -> None:
    for curriculum in (minigrid_cleanrl.main(1024), pursuit_pettingzoo.main(3, max_cycles=5)):
        with curriculum:
            assert curriculum.stats()["num_completed"] >= 3
