"""Names, keys, values and exit statuses of the command line, in process and without training."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metta.cli.recipes import list_recipes, resolve
from metta.cli.runner import main
from metta.cli.settings import parse_value, type_name
from metta.usage import UsageError

RECIPE = str(Path(__file__).with_name("small_recipe.py"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


# Names
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["arena.train"],
        ["experiments.recipes.arena.train"],
        ["recipes.arena.train"],
        ["train", "arena"],
        ["arena"],
        ["experiments.recipes.arena"],
    ],
)
def test_names_of_the_same_recipe(words: list[str]):
    from experiments.recipes import arena

    assert resolve(words).function is arena.train
    assert resolve(words).name == "arena.train"


def test_names_of_a_nested_recipe():
    from experiments.recipes.cogs_v_clips import level_1

    for words in (
        ["cogs_v_clips.level_1"],
        ["cogs_v_clips.level_1.train"],
        ["train", "cogs_v_clips.level_1"],
    ):
        assert resolve(words).function is level_1.train
        assert resolve(words).name == "cogs_v_clips.level_1.train"


@pytest.mark.parametrize("suffix", ["", ":train"])
def test_a_recipe_may_be_a_file(suffix: str):
    recipe = resolve([RECIPE + suffix])
    assert recipe.name == "small_recipe.train"
    assert recipe.function.__module__ == "small_recipe"
    assert (
        "small_recipe" in sys.modules
    )  # by its own name, so that spawned workers find what it defines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["arenna.train"], r"there is no recipe 'arenna.train'; did you mean 'arena.train'\?"),
        (["arena.trian"], r"arena has no function 'trian'; did you mean 'train'\?"),
        (["arena..train"], "there is no recipe 'arena..train'"),
        (["nowhere.py"], "there is no recipe file nowhere.py"),
        ([RECIPE + ":trein"], r"has no function 'trein'; did you mean 'train'\?"),
        (["train", "arena", "fast"], "one recipe at a time: got 'train arena fast'"),
        (["xyzzy"], "there is no recipe 'xyzzy'; tools/run.py --list shows all"),
        (["json"], "'json' is not a recipe: its function does not return a tool"),
        (["json.dumps"], "'json.dumps' is not a recipe: its function does not return a tool"),
        (["os.path"], "'os.path' is not a recipe: its function does not return a tool"),
        ([".."], r"there is no recipe '\.\.'"),
        (["train", "areena"], r"there is no recipe 'areena.train'; did you mean 'arena.train'\?"),
    ],
)
def test_unknown_names(words: list[str], message: str):
    with pytest.raises(UsageError, match=message):
        resolve(words)


def test_a_recipe_file_may_not_hide_a_loaded_module(tmp_path: Path):
    (tmp_path / "json.py").write_text("def train():\n    pass\n")
    with pytest.raises(UsageError, match="has the name of a module that is loaded already"):
        resolve([str(tmp_path / "json.py")])


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("recipe_syntax", "x = 1\ndef train(:\n", r"recipe_syntax\.py, line 2: invalid syntax"),
        ("recipe_raises", "x = 1\ny = {}['a']\n", r"recipe_raises\.py, line 2: KeyError: 'a'"),
        (
            "recipe_import",
            "import nowhere_to_be_found\n",
            r"recipe_import\.py, line 1: ModuleNotFoundError: No module named",
        ),
        (
            "recipe_config",
            "from metta.rl.config import TrainerConfig\nTrainerConfig(gamma=2)\n",
            r"recipe_config\.py, line 2: ValidationError: gamma: Input should be less than or "
            r"equal to 1 \(got 2\)$",
        ),
    ],
)
def test_a_recipe_file_that_cannot_be_imported_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str, message: str
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / f"{name}.py").write_text(source)
    with pytest.raises(UsageError, match=message):
        resolve([str(tmp_path / f"{name}.py")])


def test_the_list_has_every_recipe_and_imports_none(capsys: pytest.CaptureFixture[str]):
    names = {listed.name for listed in list_recipes()}
    assert {
        "arena.train",
        "arena.evaluate",
        "arena.play",
        "navigation.train",
        "cogs_v_clips.level_1.train",
    } <= names
    status, out, _ = run(capsys, "--list")
    assert status == 0
    assert {line.split()[0] for line in out.splitlines()} == names


# Keys and values
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("5", int, 5),
        ("20_000", int, 20_000),
        ("1e6", int, 1_000_000),
        ("5", float, 5.0),
        ("5", str, "5"),
        ("true", bool, True),
        ("False", bool, False),
        ("null", int | None, None),
        ("None", int | None, None),
        ("a/b", Path, Path("a/b")),
        ("7", Path, Path("7")),
        ("7", str | None, "7"),
        ("[1, 2]", list[int], [1, 2]),
        ("('a', 'b')", tuple[str, ...], ("a", "b")),
    ],
)
def test_values(text: str, annotation: object, value: object):
    parsed = parse_value("key", text, annotation)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "annotation"), [("many", int), ("1.5", int), ("maybe", bool), ("x", list[int])]
)
def test_wrong_values(text: str, annotation: object):
    with pytest.raises(UsageError, match=rf"key={text}: .*\(type: "):
        parse_value("key", text, annotation)


@pytest.mark.parametrize(
    ("annotation", "name"),
    [(int, "int"), (int | None, "int | None"), (list[int], "list[int]"), (None.__class__, "None")],
)
def test_type_names(annotation: object, name: str):
    assert type_name(annotation) == name


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (
            ["trainer.total_timestep=5"],
            ["'trainer.total_timestep'", "did you mean 'trainer.total_timesteps'?"],
        ),
        (["num_task=5"], ["there is no key 'num_task'; did you mean 'num_tasks'?"]),
        (["traner.gamma=1"], ["there is no key 'traner'; did you mean 'trainer'?"]),
        (["seed.more=1"], ["there is no key 'seed.more': seed is 0, which has no keys inside"]),
        (["trainer.total_timesteps=0"], ["trainer.total_timesteps: ", "greater than 0", "(got 0)"]),
        (["trainer.total_timesteps=many"], ["trainer.total_timesteps=many", "(type: int)"]),
        (
            ["training_env.num_envs=3"],
            ["training_env: num_envs=3 is not divisible by num_workers=2"],
        ),
        (["num_tasks=many"], ["num_tasks=many", "(type: int)"]),
        (["num_tasks=0"], ["num_active_tasks", "greater than or equal to 1"]),
        (["seed=-1"], ["seed: ", "greater than or equal to 0"]),
        (["device=gpu"], ["device=gpu", "'auto' | 'cpu' | 'cuda'"]),
        (["run=a/b"], ["run='a/b' cannot name a folder"]),
        (["seed=1", "seed=2"], ["seed is given twice: '1' and '2'"]),
        (["=5"], ["'=5' is not a parameter: write key=value"]),
        (["trainer=5"], ["trainer=5"]),
        (["run="], ["run= is empty: write run=NAME"]),
        (["run"], ["'run' is a key of small_recipe.train: write run=VALUE"]),
        (["--run=x"], ["there is no option '--run=x'; did you mean run=x?"]),
        (["trainer.learning_rate=inf"], ["trainer.learning_rate: ", "finite number"]),
        (
            ["trainer.batch_size=3200000000"],
            ["trainer: batch_size=3200000000 is too large", "67108864"],
        ),
        (["--fast"], ["there is no option '--fast'"]),
        (["--dry_run"], ["there is no option '--dry_run'; did you mean '--dry-run'?"]),
    ],
)
def test_usage_errors(
    capsys: pytest.CaptureFixture[str], arguments: list[str], messages: list[str]
):
    status, _, error = run(capsys, RECIPE, *arguments, "--dry-run")
    assert status == 2, error
    for message in messages:
        assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (
            ["policy.name=foo"],
            [
                "policy.name='foo' cannot be loaded",
                "use one of lstm, puffer, stateless or the class path",
            ],
        ),
        (
            ["policy.name=os.path"],
            ["policy.name='os.path' is not a policy: use one of lstm, puffer, stateless or"],
        ),
        (["policy.name=..a"], ["policy.name='..a' cannot be loaded"]),
        (
            ["policy.name=mettagrid.policy.random_agent.RandomMultiAgentPolicy"],
            ["has no network to train: use one of lstm"],
        ),
        (
            ["training_env.curriculum.max_task_id=1000"],
            ["training_env.curriculum: max_task_id=1000 is more than the task generator has tasks"],
        ),
        (
            ["training_env.curriculum.task_generator.buckets.game.foo=[1]"],
            ["training_env.curriculum.task_generator: ", "game.foo"],
        ),
    ],
)
def test_settings_that_only_training_can_check(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], messages: list[str]
):
    status, _, error = run(
        capsys, RECIPE, *arguments, f"data_dir={tmp_path}", "run=a", "training_env.num_workers=1"
    )
    assert status == 2, error
    for message in messages:
        assert message in error


def test_wrong_buckets_of_a_recipe(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    for arguments in ([f"data_dir={tmp_path}"], ["--dry-run"]):
        status, _, error = run(capsys, RECIPE + ":wrong_bucket", *arguments)
        assert status == 2
        assert "bucket path 'game.foo' does not exist" in error
    status, _, error = run(capsys, RECIPE + ":empty_bucket")
    assert status == 2
    assert "bucket 'game.max_steps' is empty" in error
    assert "pydantic" not in error


def test_a_data_dir_that_is_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "file").write_text("")
    status, _, error = run(capsys, RECIPE, f"data_dir={tmp_path / 'file'}")
    assert status == 2
    assert f"data_dir={tmp_path / 'file'} cannot hold the run's folder (" in error
    assert "give data_dir=FOLDER" in error


def test_a_file_that_is_no_checkpoint(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    status, _, error = run(capsys, RECIPE + ":evaluate", f"checkpoint={tmp_path / 'notes.txt'}")
    assert status == 2
    assert "notes.txt is not a checkpoint" in error
    assert "delete" not in error


def test_a_gpu_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("needs a machine without CUDA")
    status, _, error = run(capsys, RECIPE, "device=cuda", f"data_dir={tmp_path}")
    assert status == 2
    assert "device=cuda, but torch finds no CUDA device here" in error


def test_a_default_chosen_elsewhere_is_not_among_the_values(capsys: pytest.CaptureFixture[str]):
    status, _, error = run(
        capsys, RECIPE, "training_env.curriculum.algorithm_config.sampling=foo", "--dry-run"
    )
    assert status == 2
    assert "'power'" in error
    assert "''" not in error


def test_a_command_has_its_parameters_only(capsys: pytest.CaptureFixture[str]):
    status, out, _ = run(capsys, RECIPE + ":command", "--help")
    assert status == 0
    assert "message: str = done" in out
    assert "fields of its tool" not in out
    status, _, error = run(capsys, RECIPE + ":command", "device=cpu")
    assert status == 2
    assert "there is no key 'device'" in error


def test_keys_that_must_change_together_may(capsys: pytest.CaptureFixture[str]):
    # Each alone is refused: 4 environments on 3 workers, 3 environments on 2.
    arguments = ("training_env.num_envs=3", "training_env.num_workers=3", "--dry-run")
    assert run(capsys, RECIPE, *arguments)[0] == 0


def test_a_parameter_without_default_must_be_given(capsys: pytest.CaptureFixture[str]):
    status, _, error = run(capsys, RECIPE + ":demanding")
    assert status == 2
    assert "the parameter size has no default: give size=VALUE (int)" in error
    assert run(capsys, RECIPE + ":demanding", "size=4")[:2] == (0, "4\n")


def test_a_function_that_returns_no_tool_is_no_recipe(capsys: pytest.CaptureFixture[str]):
    status, _, error = run(capsys, RECIPE + ":no_recipe")
    assert status == 2
    assert "small_recipe.no_recipe is no recipe: it returned int" in error


# Running
# --------------------------------------------------------------------------------------------------


def test_a_command_returns_its_status(capsys: pytest.CaptureFixture[str]):
    assert run(capsys, RECIPE + ":command", "status=5", "message=hello there") == (
        5,
        "hello there\n",
        "",
    )


def test_a_failure_is_a_message_and_status_1(capsys: pytest.CaptureFixture[str]):
    status, _, error = run(capsys, RECIPE + ":broken")
    assert status == 1
    assert "error: RuntimeError: the disk is full" in error
    assert "Traceback" not in error


def test_a_traceback_is_shown_on_request(capsys: pytest.CaptureFixture[str]):
    status, _, error = run(capsys, RECIPE + ":broken", "--traceback")
    assert status == 1
    assert "Traceback" in error
    assert "in _fail" in error


def test_nothing_to_run_shows_the_usage(capsys: pytest.CaptureFixture[str]):
    status, _, error = run(capsys)
    assert status == 2
    assert "usage: tools/run.py" in error
    assert run(capsys, "--help")[0] == 0


def test_help_names_every_key_with_type_and_default(capsys: pytest.CaptureFixture[str]):
    status, out, _ = run(capsys, RECIPE, "--help")
    assert status == 0
    assert "Train on four lengths of navigation." in out
    for line in (
        "num_tasks: int = 16",
        "policy: str = stateless",
        "seed: int = 0",
        "device: 'auto' | 'cpu' | 'cuda' = cpu",
        "data_dir: Path = train_dir",
        "trainer.total_timesteps: int = 2000",
        "training_env.num_envs: int = 4",
        "training_env.num_workers: int = 2",
        "training_env.curriculum.algorithm_config.num_active_tasks: int = 16",
    ):
        assert f"  {line}\n" in out
    assert "  run: str = " in out


def test_a_dry_run_builds_one_environment_and_no_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, RECIPE, "--dry-run")
    assert status == 0
    assert out.startswith("small_recipe.train: 2 agents on ")
    assert out.rstrip().endswith("tasks (num_variants)")
    assert list(tmp_path.iterdir()) == []


def test_a_nested_key_reaches_the_algorithm(capsys: pytest.CaptureFixture[str]):
    status, out, error = run(
        capsys, RECIPE, "training_env.curriculum.algorithm_config.memory=5", "--help"
    )
    assert status == 0, error
    assert "training_env.curriculum.algorithm_config.memory: int = 5\n" in out


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    runner = Path(__file__).resolve().parents[2] / "tools/run.py"
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, str(runner), "arena", "--help"]
    done = subprocess.run(
        command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False
    )
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 141
