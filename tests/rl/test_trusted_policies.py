"""Names of classes in a run's files import nothing but this package, mettagrid, what the program
has imported already, and what ``trust=`` allows."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from metta.cli.runner import main
from metta.rl.checkpoint import latest_checkpoint

TESTS = Path(__file__).resolve().parents[1]
RECIPE = str(TESTS / "tools/small_recipe.py")
TRAIN = [RECIPE, "run=a", "training_env.num_workers=1"]
EVALUATE = [RECIPE + ":evaluate", "run=a", "episodes=1"]
PLAY = [RECIPE + ":play", "run=a", "max_steps=1", "curriculum=None"]
PLAYING = pytest.mark.parametrize("command", [EVALUATE, PLAY], ids=["evaluate", "play"])

pytestmark = pytest.mark.timeout(280)

MODULE = """
import pathlib
from mettagrid.map_builder.random_map import RandomMapBuilder
from mettagrid.policy.stateless import StatelessPolicy
from metta.cogworks.curriculum import BasicLPScorer, BucketedTaskGenerator

pathlib.Path(__file__).with_suffix(".ran").touch()

class Policy(StatelessPolicy):
    pass

class Scorer(BasicLPScorer):
    pass

class Generator(BucketedTaskGenerator):
    class Config(BucketedTaskGenerator.Config):
        pass

class Map(RandomMapBuilder):
    class Config(RandomMapBuilder.Config):
        pass
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run ``a`` of one epoch, in a folder of runs."""
    data_dir = tmp_path_factory.mktemp("whole")
    assert main([*TRAIN, f"data_dir={data_dir}", "trainer.total_timesteps=128"]) == 0
    return data_dir


@pytest.fixture
def run_dir(whole: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    shutil.copytree(whole / "a", tmp_path / "a")
    return tmp_path / "a"


@pytest.fixture
def trap(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """A module ``trap`` that leaves a file ``trap.ran`` when it is imported: in the run's folder,
    which is the working folder and lies on the path."""
    path = run_dir / "trap.py"
    path.write_text(MODULE)
    monkeypatch.chdir(run_dir)
    monkeypatch.syspath_prepend(str(run_dir))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield path
    sys.modules.pop("trap", None)


def ran(trap: Path) -> bool:
    assert trap.with_suffix(".ran").exists() == ("trap" in sys.modules)
    return "trap" in sys.modules


def run(
    command: list[str], run_dir: Path, capfd: pytest.CaptureFixture[str], *more: str
) -> tuple[int, str]:
    capfd.readouterr()
    status = main([*command, f"data_dir={run_dir.parent}", *more])
    return status, capfd.readouterr().err


def name_policy(run_dir: Path, name: str) -> None:
    path = latest_checkpoint(run_dir / "checkpoints")
    assert path is not None
    torch.save({**torch.load(path, weights_only=True), "policy_name": name}, path)


def name_in_config(run_dir: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = run_dir / "config.yaml"
    config = yaml.safe_load(path.read_text())
    change(config["training_env"]["curriculum"])
    path.write_text(yaml.safe_dump(config))


def generator(curriculum: dict[str, Any]) -> None:
    curriculum["task_generator"]["type"] = "trap.Generator.Config"


def scorer(curriculum: dict[str, Any]) -> None:
    curriculum["algorithm_config"]["scorer"] = "trap.Scorer"
    curriculum["algorithm_config"]["sampling"] = "zscore_softmax"


def algorithm(curriculum: dict[str, Any]) -> None:
    curriculum["algorithm_config"]["type"] = "trap.Algorithm"


def map_builder(curriculum: dict[str, Any]) -> None:
    env = curriculum["task_generator"]["child_generator_config"]["env"]
    builder = {"type": "trap.Map.Config", "width": 9, "height": 9, "agents": 2}
    env["config"]["game"]["map_builder"] = builder


def environment(curriculum: dict[str, Any]) -> None:
    curriculum["task_generator"]["child_generator_config"]["env"]["type"] = "trap.Env"


PLACES = (generator, scorer, algorithm, map_builder, environment)


@PLAYING
def test_the_policy_of_a_checkpoint_is_not_imported(
    run_dir: Path, trap: Path, capfd: pytest.CaptureFixture[str], command: list[str]
) -> None:
    name_policy(run_dir, "trap.Policy")
    status, error = run(command, run_dir, capfd)
    assert not ran(trap)
    assert status == 1
    assert len(error.splitlines()) == 1
    assert "type 'trap.Policy' names a module that this program has not imported, 'trap'" in error
    assert str(run_dir / "checkpoints") in error
    assert "On the command line, trust=MODULE allows a module" in error


@PLAYING
def test_a_trusted_policy_plays(
    run_dir: Path, trap: Path, capfd: pytest.CaptureFixture[str], command: list[str]
) -> None:
    name_policy(run_dir, "trap.Policy")
    assert run(command, run_dir, capfd, "trust=trap") == (0, "")
    assert ran(trap)


@PLAYING
@pytest.mark.parametrize("place", PLACES)
def test_no_class_of_a_config_is_imported(
    run_dir: Path,
    trap: Path,
    capfd: pytest.CaptureFixture[str],
    command: list[str],
    place: Callable[[dict[str, Any]], None],
) -> None:
    name_in_config(run_dir, place)
    status, error = run(command, run_dir, capfd)
    assert not ran(trap)
    assert status == 1
    assert len(error.splitlines()) == 1
    assert "names a module that this program has not imported, 'trap'" in error
    assert str(run_dir / "config.yaml") in error


@PLAYING
@pytest.mark.parametrize("place", [generator, scorer, map_builder])
def test_a_trusted_class_of_a_config_is_used(
    run_dir: Path,
    trap: Path,
    capfd: pytest.CaptureFixture[str],
    command: list[str],
    place: Callable[[dict[str, Any]], None],
) -> None:
    name_in_config(run_dir, place)
    status, error = run(command, run_dir, capfd, "trust=trap,another")
    assert (status, error) == (0, "")
    assert ran(trap)


@pytest.mark.parametrize("place", PLACES)
def test_resuming_imports_nothing(
    run_dir: Path,
    trap: Path,
    capfd: pytest.CaptureFixture[str],
    place: Callable[[dict[str, Any]], None],
) -> None:
    name_in_config(run_dir, place)
    status, error = run(TRAIN, run_dir, capfd, "trainer.total_timesteps=256")
    assert (status, error) == (0, "")
    assert not ran(trap)


def test_resuming_with_another_policy_imports_nothing(
    run_dir: Path, trap: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name_policy(run_dir, "trap.Policy")
    status, error = run(TRAIN, run_dir, capfd, "trainer.total_timesteps=256")
    assert status == 2
    assert "was trained with policy.name=trap.Policy, not stateless" in error
    assert not ran(trap)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("trap.Nothing", "there is no 'Nothing' in trap"),
        ("trap", "is not a class path"),
        ("trap..Policy", "is not a class path"),
        ("mettagrid.trap.Policy", "there is no 'trap' in mettagrid"),
        ("metta.trap.Policy", "there is no 'trap' in metta"),
        ("os.system", "is a builtin_function_or_method, not a class"),
        ("pathlib.Path", "is not a subclass of mettagrid.policy.policy.MultiAgentPolicy"),
    ],
)
def test_what_is_no_policy_is_told(
    run_dir: Path, trap: Path, capfd: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    name_policy(run_dir, name)
    status, error = run(EVALUATE, run_dir, capfd, "trust=trap")
    assert status == 1
    assert len(error.splitlines()) == 1
    assert message in error


@pytest.mark.parametrize(
    ("source", "raised"),
    [
        ("raise SystemExit(7)", "SystemExit: 7"),
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
        ("1 / 0", "ZeroDivisionError"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_trusted_module_that_fails_is_one_error(
    run_dir: Path, trap: Path, capfd: pytest.CaptureFixture[str], source: str, raised: str
) -> None:
    trap.write_text(source)
    name_policy(run_dir, "trap.Policy")
    status, error = run(EVALUATE, run_dir, capfd, "trust=trap")
    assert status == 1
    assert len(error.splitlines()) == 1
    assert "module 'trap' cannot be imported" in error
    assert raised in error


@pytest.mark.parametrize("source", ["raise SystemExit(7)", "1 / 0", "import nowhere_to_be_found"])
def test_a_policy_named_on_the_command_line_that_fails_is_one_error(
    run_dir: Path, trap: Path, capfd: pytest.CaptureFixture[str], source: str
) -> None:
    trap.write_text(source)
    status, error = run([*TRAIN, "policy.name=trap.Policy"], run_dir, capfd)
    assert status == 2
    assert len(error.splitlines()) == 1
    assert "policy.name='trap.Policy' cannot be loaded" in error


def test_a_recipe_file_that_ends_the_program_is_one_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ending_recipe.py").write_text("raise SystemExit(7)\n")
    assert main([str(tmp_path / "ending_recipe.py")]) == 2
    assert "ending_recipe.py, line 1: SystemExit: 7" in capfd.readouterr().err


def test_what_the_command_line_names_is_imported(
    run_dir: Path, trap: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = "training_env.curriculum.task_generator"
    env = yaml.safe_load((run_dir / "config.yaml").read_text())
    value = env["training_env"]["curriculum"]["task_generator"]
    value["type"] = "trap.Generator.Config"
    status = main(
        [
            *TRAIN,
            "policy.name=trap.Policy",
            "trainer.total_timesteps=128",
            f"{made}={json.dumps(value)}",
            f"data_dir={run_dir}",
        ]
    )
    assert (status, capfd.readouterr().err) == (0, "")
    assert ran(trap)
    # The program has imported it now, so the run's files may name it.
    assert run(PLAY, run_dir / "a", capfd) == (0, "")


@pytest.mark.parametrize("trust", ["not-a-module", "a..b", "a,,b", "1", "a/b", ","])
def test_what_cannot_be_a_module_is_not_trusted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], trust: str
) -> None:
    status = main([RECIPE + ":evaluate", "run=a", f"data_dir={tmp_path}", f"trust={trust}"])
    error = capfd.readouterr().err
    assert status == 2
    assert len(error.splitlines()) == 1
    assert "trust" in error
