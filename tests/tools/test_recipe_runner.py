"""Names, keys, values and exit statuses of the command line, in process and without training."""

import sys
from pathlib import Path

import pytest

from metta.common.recipe_runner import main
from metta.common.recipes import list_recipes, resolve
from metta.common.settings import parse_value, type_name
from metta.common.usage import UsageError

RECIPE = str(Path(__file__).with_name("small_recipe.py"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


# Names ----------------------------------------------------------------------------------------------------------------


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

    for words in (["cogs_v_clips.level_1"], ["cogs_v_clips.level_1.train"], ["train", "cogs_v_clips.level_1"]):
        assert resolve(words).function is level_1.train
        assert resolve(words).name == "cogs_v_clips.level_1.train"


@pytest.mark.parametrize("suffix", ["", ":train"])
def test_a_recipe_may_be_a_file(suffix: str):
    recipe = resolve([RECIPE + suffix])
    assert recipe.name == "small_recipe.train"
    assert recipe.function.__module__ == "small_recipe"
    assert "small_recipe" in sys.modules  # by its own name, so that spawned workers find what it defines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["arenna.train"], r"there is no recipe 'arenna.train'; did you mean 'arena.train'\?"),
        (["arena.trian"], r"arena has no function 'trian'; did you mean 'train'\?"),
        (["arena..train"], "there is no recipe 'arena..train'"),
        (["nowhere.py"], "there is no recipe file nowhere.py"),
        ([RECIPE + ":trein"], r"has no function 'trein'; did you mean 'train'\?"),
        (["train", "arena", "fast"], "one recipe at a time: got 'train arena fast'"),
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


def test_the_list_has_every_recipe_and_imports_none(capsys: pytest.CaptureFixture[str]):
    names = {listed.name for listed in list_recipes()}
    assert {"arena.train", "arena.evaluate", "arena.play", "navigation.train", "cogs_v_clips.level_1.train"} <= names
    status, out, _ = run(capsys, "--list")
    assert status == 0
    assert {line.split()[0] for line in out.splitlines()} == names


# Keys and values ------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("text", "annotation"), [("many", int), ("1.5", int), ("maybe", bool), ("x", list[int])])
def test_wrong_values(text: str, annotation: object):
    with pytest.raises(UsageError, match=rf"key={text}: .*\(type: "):
        parse_value("key", text, annotation)


@pytest.mark.parametrize(
    ("annotation", "name"), [(int, "int"), (int | None, "int | None"), (list[int], "list[int]"), (None.__class__, "None")]
)
def test_type_names(annotation: object, name: str):
    assert type_name(annotation) == name


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["trainer.total_timestep=5"], ["'trainer.total_timestep'", "did you mean 'trainer.total_timesteps'?"]),
        (["num_task=5"], ["there is no key 'num_task'; did you mean 'num_tasks'?"]),
        (["traner.gamma=1"], ["there is no key 'traner'; did you mean 'trainer'?"]),
        (["seed.more=1"], ["there is no key 'seed.more': seed is 0, which has no keys inside"]),
        (["trainer.total_timesteps=0"], ["trainer.total_timesteps: ", "greater than 0", "(got 0)"]),
        (["trainer.total_timesteps=many"], ["trainer.total_timesteps=many", "(type: int)"]),
        (["training_env.num_envs=3"], ["training_env: num_envs=3 is not divisible by num_workers=2"]),
        (["num_tasks=many"], ["num_tasks=many", "(type: int)"]),
        (["num_tasks=0"], ["num_active_tasks", "greater than or equal to 1"]),
        (["seed=-1"], ["seed: ", "greater than or equal to 0"]),
        (["device=gpu"], ["device=gpu", "'auto' | 'cpu' | 'cuda'"]),
        (["run=a/b"], ["run='a/b' cannot name a folder"]),
        (["seed=1", "seed=2"], ["seed is given twice: '1' and '2'"]),
        (["=5"], ["'=5' is not a parameter: write key=value"]),
        (["trainer=5"], ["trainer=5"]),
        (["--fast"], ["there is no option '--fast'"]),
        (["--dry_run"], ["there is no option '--dry_run'; did you mean '--dry-run'?"]),
    ],
)
def test_usage_errors(capsys: pytest.CaptureFixture[str], arguments: list[str], messages: list[str]):
    status, _, error = run(capsys, RECIPE, *arguments, "--dry-run")
    assert status == 2, error
    for message in messages:
        assert message in error
    assert "Traceback" not in error


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


# Running --------------------------------------------------------------------------------------------------------------


def test_a_command_returns_its_status(capsys: pytest.CaptureFixture[str]):
    assert run(capsys, RECIPE + ":command", "status=5", "message=hello there") == (5, "hello there\n", "")


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
    assert list(tmp_path.iterdir()) == []


def test_a_nested_key_reaches_the_algorithm(capsys: pytest.CaptureFixture[str]):
    status, out, error = run(capsys, RECIPE, "training_env.curriculum.algorithm_config.memory=5", "--help")
    assert status == 0, error
    assert "training_env.curriculum.algorithm_config.memory: int = 5\n" in out
