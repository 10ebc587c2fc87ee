"""Command lines that cannot be: each ends with status 2 and one line that names the argument, the
value and what is allowed, before anything is made."""

import subprocess
import sys
from pathlib import Path

import pytest

from metta.cli.runner import main

ROOT = Path(__file__).resolve().parents[2]
TRAIN = str(Path(__file__).with_name("small_recipe.py"))
EVALUATE, PLAY = TRAIN + ":evaluate", TRAIN + ":play"
CURRICULUM = "training_env.curriculum."
ALGORITHM = CURRICULUM + "algorithm_config."
GENERATOR = CURRICULUM + "task_generator."
NAME = "cannot name a session: use 1 to 100 letters, digits"
FOLDER = "cannot name a folder: use letters, digits"

# Arguments, and what the line must hold: the argument with its value, and what is allowed.
BAD: list[tuple[list[str], list[str]]] = [
    ([TRAIN, ALGORITHM + "session_id=../x"], [ALGORITHM + "session_id=../x", NAME]),
    ([TRAIN, ALGORITHM + "session_id="], [ALGORITHM + "session_id=", NAME]),
    ([TRAIN, ALGORITHM + "session_id=a b"], ["session_id='a b'", NAME]),
    ([TRAIN, ALGORITHM + "session_id=.x"], ["session_id='.x'", NAME]),
    ([TRAIN, ALGORITHM + "session_id=" + 101 * "x"], [101 * "x", NAME]),
    (
        [TRAIN, ALGORITHM + "lock_timeout_seconds=0"],
        ["lock_timeout_seconds", "0", "greater than 0"],
    ),
    ([TRAIN, ALGORITHM + "lock_timeout_seconds=soon"], ["=soon", "valid number"]),
    ([TRAIN, ALGORITHM + "lock_timeout_seconds=nan"], ["lock_timeout_seconds", "nan", "finite"]),
    ([TRAIN, ALGORITHM + "num_active_tasks=0"], ["num_active_tasks", "0", "equal to 1"]),
    ([TRAIN, ALGORITHM + "num_active_tasks=1.5"], ["num_active_tasks=1.5", "integer"]),
    ([TRAIN, ALGORITHM + "num_active_tasks=true"], ["num_active_tasks=true", "number"]),
    ([TRAIN, ALGORITHM + "num_active_tasks=-3"], ["num_active_tasks", "-3", "equal to 1"]),
    ([TRAIN, ALGORITHM + "scorer=foo"], ["scorer='foo'", "use posterior, bidirectional"]),
    ([TRAIN, ALGORITHM + "scorer=os.path"], ["'os.path' is a module, not a class"]),
    ([TRAIN, ALGORITHM + "scorer=nowhere.Scorer"], ["'nowhere.Scorer'", "package.module.Class"]),
    ([TRAIN, ALGORITHM + "sampling=best"], ["sampling=best", "'power'", "'proportional'"]),
    ([TRAIN, ALGORITHM + "ema_timescale=2"], ["ema_timescale", "2.0", "less than or equal to 1"]),
    ([TRAIN, ALGORITHM + "rand_task_rate=-0.1"], ["rand_task_rate", "-0.1", "equal to 0"]),
    ([TRAIN, ALGORITHM + "rand_task_rate=inf"], ["rand_task_rate", "inf", "finite number"]),
    ([TRAIN, ALGORITHM + "scorr=basic"], ["algorithm_config.scorr", "did you mean"]),
    ([TRAIN, ALGORITHM + "type=os.path"], ["algorithm_config.type", "there is no key"]),
    ([TRAIN, ALGORITHM + "use_shared_memory=maybe"], ["use_shared_memory=maybe", "boolean"]),
    ([TRAIN, CURRICULUM + "max_task_id=0"], ["max_task_id", "0", "equal to 1"]),
    ([TRAIN, CURRICULUM + "max_task_id=1e30"], ["max_task_id=1e30", "integer"]),
    ([TRAIN, CURRICULUM + "seed=-1"], ["curriculum.seed", "-1", "equal to 0"]),
    ([TRAIN, "training_env.curriculum=none"], ["training_env.curriculum=none", "dictionary"]),
    ([TRAIN, "training_env.curriculum={}"], ["training_env.curriculum", "has no task_generator"]),
    ([TRAIN, "training_env={}"], ["training_env={}", "required"]),
    ([TRAIN, CURRICULUM + "task_generator=null"], ["has no task_generator: build it from one"]),
    ([TRAIN, GENERATOR + "buckets=[]"], ["buckets=[]", "dictionary"]),
    (
        [TRAIN, GENERATOR + "buckets.game.max_steps=[]"],
        ["'game.max_steps' is empty", "at least one"],
    ),
    ([TRAIN, GENERATOR + "type=os.path"], ["task_generator.type", "there is no key"]),
    ([TRAIN, "training_env.num_workers=0"], ["num_workers", "0", "greater than 0"]),
    ([TRAIN, "training_env.num_workers=3"], ["num_envs=4 is not divisible by num_workers=3"]),
    ([TRAIN, "training_env.num_workers=two"], ["num_workers=two", "integer"]),
    ([TRAIN, "training_env.num_envs=-4"], ["num_envs", "-4", "greater than 0"]),
    ([TRAIN, "training_env.async_factor=3"], ["not divisible by async_factor=3"]),
    ([TRAIN, "training_env.start_method=thread"], ["start_method=thread", "'spawn'"]),
    ([TRAIN, "training_env.agent_stats=5"], ["agent_stats=5", "tuple"]),
    ([TRAIN, "trainer.total_timesteps=-1"], ["total_timesteps", "-1", "greater than 0"]),
    ([TRAIN, "trainer.gamma=2"], ["trainer.gamma", "2.0", "less than or equal to 1"]),
    ([TRAIN, "trainer.gamma=nan"], ["trainer.gamma", "nan", "finite"]),
    ([TRAIN, "trainer.gamma=true"], ["trainer.gamma=true", "number"]),
    ([TRAIN, "trainer.learning_rate=-1"], ["learning_rate", "-1.0", "greater than 0"]),
    ([TRAIN, "trainer.bptt_horizon=0"], ["bptt_horizon", "0", "greater than 0"]),
    ([TRAIN, "trainer.checkpoint_interval=0"], ["checkpoint_interval", "0", "greater than 0"]),
    ([TRAIN, "trainer.keep_checkpoints=0"], ["keep_checkpoints", "0", "greater than 0"]),
    ([TRAIN, "trainer.torch_threads=0"], ["torch_threads=0", "at least 1, or 'auto'"]),
    ([TRAIN, "trainer.torch_threads=many"], ["torch_threads=many", "'auto'"]),
    ([TRAIN, "trainer.minibatch_size=7"], ["minibatch_size=7", "a multiple of bptt_horizon=16"]),
    ([TRAIN, "policy.name="], ["policy.name", "''", "at least 1 character"]),
    ([TRAIN, "policy.nam=lstm"], ["policy.nam", "did you mean 'policy.name'?"]),
    ([TRAIN, "device=gpu"], ["device=gpu", "'auto' | 'cpu' | 'cuda'"]),
    ([TRAIN, "device="], ["device=", "'auto' | 'cpu' | 'cuda'"]),
    ([TRAIN, "seed=1.5"], ["seed=1.5", "integer"]),
    ([TRAIN, "seed=true"], ["seed=true", "number", "int"]),
    ([TRAIN, "seed=2147483648"], ["seed", "2147483648", "less than"]),
    ([TRAIN, "run=a/b"], ["run='a/b'", FOLDER]),
    ([TRAIN, "run=.."], ["run='..'", FOLDER]),
    ([TRAIN, "run="], ["run= is empty: write run=NAME"]),
    ([TRAIN, "num_tasks=0"], ["num_active_tasks", "0", "equal to 1"]),
    ([TRAIN, "num_tasks=1e400"], ["num_tasks=1e400", "finite"]),
    ([TRAIN, "seed"], ["'seed' is a key of small_recipe.train: write seed=VALUE"]),
    ([TRAIN, "seed=1", "seed=2"], ["seed is given twice: '1' and '2'"]),
    ([TRAIN, "=1"], ["'=1' is not a parameter: write key=value"]),
    ([TRAIN, "a.b.c=1"], ["there is no key 'a'; there are: data_dir, device"]),
    ([TRAIN, "trainer..gamma=1"], ["there is no key 'trainer.'"]),
    ([TRAIN, "--fast"], ["there is no option '--fast'"]),
    ([EVALUATE, "episodes=0"], ["episodes", "0", "greater than 0"]),
    ([EVALUATE, "policy=best"], ["policy=best", "'trained' | 'random'"]),
    ([EVALUATE, "trust=a-b"], ["trust='a-b'", "write trust=my_module"]),
    ([PLAY, "render=film"], ["render=film", "'interactive' | 'text' | 'log'"]),
    ([PLAY, "max_steps=0"], ["max_steps", "0", "greater than 0"]),
    ([PLAY, "delay_seconds=-1"], ["delay_seconds", "-1.0", "equal to 0"]),
    ([TRAIN + ":command", "status=x"], ["status=x", "integer"]),
    ([TRAIN + ":command", "device=cpu"], ["there is no key 'device'"]),
    ([TRAIN + ":demanding"], ["the parameter size has no default: give size=VALUE (int)"]),
    (["--list", "arena"], ["--list shows all recipes: leave out 'arena'"]),
    (["arenna"], ["there is no recipe 'arenna'; did you mean 'arena'?"]),
    (["arena.fly"], ["arena has no function 'fly'; did you mean 'play'?"]),
    (["arena.train", "num_agents=0"], ["num_agents", "0", "equal to 1"]),
    (["stress.kills", "kills=0"], ["kills=0", "an integer of at least 1"]),
    (["stress.kills", "processes=-1"], ["processes=-1", "an integer of at least 1"]),
    (["sessions.clean", "dry_run=perhaps"], ["dry_run=perhaps", "boolean"]),
]

# Known only when the work begins: what stands in the file system.
NOT_THERE: list[tuple[list[str], list[str]]] = [
    ([EVALUATE, "run=nowhere"], ["nowhere holds no checkpoint; there are no runs in"]),
    ([EVALUATE], ["which policy? Name it with run=NAME or checkpoint=PATH"]),
    ([EVALUATE, "policy=random", "run=nowhere"], ["nowhere holds no checkpoint"]),
    ([EVALUATE, "policy=random", "checkpoint=/nowhere/x"], ["no checkpoint=/nowhere/x"]),
    ([PLAY, "policy=trained"], ["which policy? Name it with run=NAME"]),
    ([PLAY, "policy=random", "render=interactive"], ["needs a terminal", "use render=text"]),
]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command line that is refused."""
    status = main(arguments)
    captured = capsys.readouterr()
    assert status == 2, captured.err
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    return lines[0]


def test_there_are_many() -> None:
    assert len(BAD) + len(NOT_THERE) >= 60


@pytest.mark.parametrize(("arguments", "told"), BAD, ids=lambda value: " ".join(value)[-60:])
def test_a_bad_command_line_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refused(arguments, capsys)
    assert [part for part in told if part not in line] == [], line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "told"), NOT_THERE, ids=lambda value: " ".join(value)[-60:])
def test_what_is_not_there_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refused(arguments, capsys)
    assert [part for part in told if part not in line] == [], line
    assert list(tmp_path.iterdir()) == []


def test_the_program_itself(tmp_path: Path) -> None:
    """The same, as a shell sees it."""
    ended = subprocess.run(
        [sys.executable, ROOT / "tools/run.py", TRAIN, ALGORITHM + "session_id=../x"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {ALGORITHM}session_id=../x: ")
    assert ended.stderr.count("\n") == 1
