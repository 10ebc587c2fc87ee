"""A damaged run folder: resuming, evaluating and playing end in one line that names the file and
what to do, or go on because the damage means nothing to them."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from metta.cli.runner import main
from metta.rl.checkpoint import latest_checkpoint

RECIPE = str(Path(__file__).resolve().parents[1] / "tools/small_recipe.py")
STEPS = 128  # one epoch of the recipe

pytestmark = pytest.mark.timeout(280)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run ``a`` of one epoch, in a folder of runs."""
    data_dir = tmp_path_factory.mktemp("whole")
    assert main([RECIPE, *TRAIN, f"data_dir={data_dir}", f"trainer.total_timesteps={STEPS}"]) == 0
    return data_dir


@pytest.fixture
def run_dir(whole: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be damaged."""
    shutil.copytree(whole / "a", tmp_path / "a")
    return tmp_path / "a"


TRAIN = ["run=a", "training_env.num_workers=1"]
COMMANDS = {
    "resume": [RECIPE, *TRAIN, f"trainer.total_timesteps={2 * STEPS}"],
    "evaluate": [RECIPE + ":evaluate", "run=a", "episodes=1"],
    "play": [RECIPE + ":play", "run=a", "max_steps=1"],
    "play of the run's curriculum": [RECIPE + ":play", "run=a", "max_steps=1", "curriculum=None"],
}
READ_THE_CONFIG = ("evaluate", "play of the run's curriculum")


def outcome(name: str, run_dir: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and standard error of a command on the run."""
    capfd.readouterr()
    status = main([*COMMANDS[name], f"data_dir={run_dir.parent}"])
    return status, capfd.readouterr().err


def assert_told(status: int, error: str, file: str) -> None:
    """One line, naming the file and the way out, without the name of a raw exception."""
    assert status in (1, 2), error
    assert len(error.splitlines()) == 1, error
    assert file in error
    assert re.search(
        r"move it elsewhere|moved elsewhere|move the file elsewhere|give a run's", error
    )
    assert not re.match(r"error: \w+(Error|Exception|File|Interrupt)\b", error), error


# Checkpoints
# --------------------------------------------------------------------------------------------------

Content = dict[str, Any]


def without(key: str) -> Callable[[Content], Any]:
    return lambda content: {name: value for name, value in content.items() if name != key}


def with_value(key: str, value: Any) -> Callable[[Content], Any]:
    return lambda content: {**content, key: value}


def deeper(key: str) -> Callable[[Content], Any]:
    return lambda content: {**content, key: {key: content[key]}}


def weights(change: Callable[[torch.Tensor], Any]) -> Callable[[Content], Any]:
    """The first weights changed."""

    def mutate(content: Content) -> Content:
        first = next(iter(content["policy"]))
        return {**content, "policy": {**content["policy"], first: change(content["policy"][first])}}

    return mutate


def moments(change: Callable[[Any], Any]) -> Callable[[Content], Any]:
    """The optimiser's state of the first parameter changed."""

    def mutate(content: Content) -> Content:
        state = {**content["optimizer"]["state"], 0: change(content["optimizer"]["state"][0])}
        return {**content, "optimizer": {**content["optimizer"], "state": state}}

    return mutate


KEYS = (
    *("agent_steps", "epoch", "policy_name", "policy", "optimizer", "curriculum"),
    "torch_random_state",
)
OF_THE_POLICY = ("policy_name", "policy")
JUNK = {"None": None, "text": "x", "-1": -1, "1.5": 1.5, "[]": [], "{}": {}, "2^70": 2**70}
JUNK["NaN"] = float("nan")
JUNK["tensor"] = torch.zeros(3)
ACCEPTED = {
    ("policy_name", "text"),  # another policy's: told as such, see test_trainer
}

MUTATIONS: dict[str, Callable[[Content], Any]] = {
    "not a dict": lambda content: list(content.values()),
    "an extra level": lambda content: {"content": content},
    "no format": without("format"),
    "format True": with_value("format", True),
    "format tensor": with_value("format", torch.ones(1)),
    "fewer weights": lambda content: {**content, "policy": {}},
    "weights of another shape": weights(lambda tensor: tensor[:1]),
    "weights without dimension": weights(lambda tensor: tensor.sum()),
    "weights no tensor": weights(lambda tensor: tensor.tolist()),
    "weights NaN": weights(lambda tensor: torch.full_like(tensor, float("nan"))),
    "weights infinite": weights(lambda tensor: torch.full_like(tensor, float("inf"))),
    "weights sparse": weights(lambda tensor: tensor.to_sparse()),
    "weights complex": weights(lambda tensor: tensor.to(torch.complex64)),
}
RESUME_ONLY: dict[str, Callable[[Content], Any]] = {
    "moments of another shape": moments(lambda m: {**m, "exp_avg": m["exp_avg"][:1]}),
    "moments NaN": moments(lambda m: {**m, "exp_avg": m["exp_avg"] * float("nan")}),
    "moments negative": moments(lambda m: {**m, "exp_avg_sq": m["exp_avg_sq"] - 1}),
    "moments missing": moments(lambda m: {"step": m["step"]}),
    "moments no dict": moments(lambda m: list(m.values())),
    "moments no tensor": moments(lambda m: {**m, "step": 4}),
    "moments deeper": moments(lambda m: {"state": m}),
    "state of too many parameters": lambda content: {
        **content,
        "optimizer": {
            **content["optimizer"],
            "state": {**content["optimizer"]["state"], 99: content["optimizer"]["state"][0]},
        },
    },
    "random state too short": with_value("torch_random_state", torch.zeros(8, dtype=torch.uint8)),
    "curriculum: other algorithm": lambda content: {
        **content,
        "curriculum": {
            **content["curriculum"],
            "algorithm": {**content["curriculum"]["algorithm"], "type": "other"},
        },
    },
}
for key in KEYS:
    table = MUTATIONS if key in OF_THE_POLICY else RESUME_ONLY
    table[f"no {key}"] = without(key)
    table[f"{key} deeper"] = deeper(key)
    for name, junk in JUNK.items():
        if (key, name) not in ACCEPTED:
            table[f"{key}={name}"] = with_value(key, junk)


def save(run_dir: Path, mutate: Callable[[Content], Any]) -> Path:
    path = latest_checkpoint(run_dir / "checkpoints")
    assert path is not None
    content = torch.load(path, weights_only=True)
    changed = mutate(content)
    torch.save(changed, path)
    return path


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("command", ["resume", "evaluate", "play"])
def test_a_changed_checkpoint_is_told(
    run_dir: Path, capfd: pytest.CaptureFixture[str], mutation: str, command: str
) -> None:
    path = save(run_dir, MUTATIONS[mutation])
    assert_told(*outcome(command, run_dir, capfd), str(path))


@pytest.mark.parametrize("mutation", RESUME_ONLY)
def test_a_checkpoint_that_cannot_be_resumed_is_told(
    run_dir: Path, capfd: pytest.CaptureFixture[str], mutation: str
) -> None:
    path = save(run_dir, RESUME_ONLY[mutation])
    before = path.read_bytes()
    assert_told(*outcome("resume", run_dir, capfd), str(path))
    assert path.read_bytes() == before


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "half": lambda content: content[: len(content) // 2],
    "all but one byte": lambda content: content[:-1],
    "text": lambda content: b"not a checkpoint\n",
    "zeros": lambda content: bytes(len(content)),
    "random": lambda content: np.random.default_rng(0).bytes(len(content)),
    "a pickle": lambda content: b"\x80\x02}q\x00.",
    "an archive of something else": lambda content: b"PK\x05\x06" + bytes(18),
    "the tail": lambda content: content[len(content) // 2 :],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("command", ["resume", "evaluate", "play"])
def test_a_damaged_checkpoint_is_told(
    run_dir: Path, capfd: pytest.CaptureFixture[str], damage: str, command: str
) -> None:
    path = latest_checkpoint(run_dir / "checkpoints")
    assert path is not None
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert_told(*outcome(command, run_dir, capfd), str(path))


def test_a_folder_in_place_of_a_checkpoint_is_told(
    run_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = run_dir / "checkpoints/step_000000009999.pt"
    path.mkdir()
    for command in ("resume", "evaluate", "play"):
        assert_told(*outcome(command, run_dir, capfd), str(path))


def test_the_checkpoint_before_a_damaged_one_is_taken_once_that_is_moved(
    run_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = run_dir / "checkpoints/step_000000009999.pt"
    damaged.write_bytes(b"half")
    assert_told(*outcome("resume", run_dir, capfd), str(damaged))
    damaged.rename(run_dir / damaged.name)
    assert outcome("resume", run_dir, capfd)[0] == 0


@pytest.mark.parametrize("seed", range(12))
def test_any_wrong_byte_of_a_checkpoint_is_told_or_means_nothing(
    run_dir: Path, capfd: pytest.CaptureFixture[str], seed: int
) -> None:
    """Ten files a seed, one to four bytes changed in each, half of them in the archive's directory
    and headers."""
    random = np.random.default_rng(seed)
    path = latest_checkpoint(run_dir / "checkpoints")
    assert path is not None
    content = path.read_bytes()
    directory = content.rindex(b"PK\x05\x06") - 2000
    for number in range(10):
        damaged = bytearray(content)
        low = directory if number % 2 else 0
        for place in random.integers(low, len(content), size=random.integers(1, 5)):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        status, error = outcome("play", run_dir, capfd)
        if status == 0:
            assert error == ""
        else:
            assert_told(status, error, str(path))


# config.yaml
# --------------------------------------------------------------------------------------------------

CONFIGS: dict[str, bytes | Callable[[Content], Any]] = {
    "empty": b"",
    "not yaml": b"a: [1, 2\n",
    "a tab": b"a:\n\tb: 1\n",
    "a list": b"- 1\n- 2\n",
    "text": b"hello",
    "a number": b"5",
    "not UTF-8": b"run: \xff\xfe\n",
    "control characters": b"run: \x00\x01\n",
    "a python object": b"run: !!python/object/apply:os.system ['touch trapped']\n",
    "a date that cannot be": b"run: 2001-99-99\n",
    "contains itself": b"training_env: &x\n  curriculum: *x\n",
    "too deep": b"[" * 3000 + b"]" * 3000,
    "a key that is a list": b"? [1]\n: 2\n",
}
WRONG_CONFIGS: dict[str, Callable[[Content], Any]] = {
    "no training_env": without("training_env"),
    "training_env is a number": with_value("training_env", 5),
    "training_env is a list": with_value("training_env", [1]),
    "training_env is empty": with_value("training_env", {}),
    "training_env is deeper": deeper("training_env"),
    "curriculum is text": with_value("training_env", {"curriculum": "x"}),
    "curriculum is a list": with_value("training_env", {"curriculum": []}),
    "curriculum is deeper": lambda c: {
        **c,
        "training_env": {"curriculum": {"curriculum": c["training_env"]["curriculum"]}},
    },
}


def in_curriculum(*place: str, value: Any) -> Callable[[Content], Any]:
    def mutate(content: Content) -> Content:
        node = content["training_env"]["curriculum"]
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = value
        return content

    return mutate


for where in (
    ("task_generator",),
    ("task_generator", "type"),
    ("task_generator", "buckets"),
    ("task_generator", "child_generator_config"),
    ("algorithm_config",),
    ("algorithm_config", "num_active_tasks"),
    ("seed",),
    ("max_task_id",),
):
    for name, junk in {"text": "x y", "a list": [[]], "a dict": {"z": 1}, "1.5": 1.5}.items():
        WRONG_CONFIGS[f"{'.'.join(where)} is {name}"] = in_curriculum(*where, value=junk)


@pytest.mark.parametrize("command", ["resume", *READ_THE_CONFIG])
@pytest.mark.parametrize("config", CONFIGS)
def test_a_damaged_config_is_told(
    run_dir: Path, capfd: pytest.CaptureFixture[str], config: str, command: str
) -> None:
    (run_dir / "config.yaml").write_bytes(CONFIGS[config])
    assert_told(*outcome(command, run_dir, capfd), str(run_dir / "config.yaml"))


@pytest.mark.parametrize("command", READ_THE_CONFIG)
@pytest.mark.parametrize("config", WRONG_CONFIGS)
def test_a_config_that_cannot_be_is_told(
    run_dir: Path, capfd: pytest.CaptureFixture[str], config: str, command: str
) -> None:
    path = run_dir / "config.yaml"
    content = WRONG_CONFIGS[config](yaml.safe_load(path.read_text()))
    path.write_text(yaml.safe_dump(content))
    assert_told(*outcome(command, run_dir, capfd), str(path))


@pytest.mark.parametrize("config", WRONG_CONFIGS)
def test_a_config_that_is_only_compared_may_hold_anything(
    run_dir: Path, capfd: pytest.CaptureFixture[str], config: str
) -> None:
    path = run_dir / "config.yaml"
    content = WRONG_CONFIGS[config](yaml.safe_load(path.read_text()))
    path.write_text(yaml.safe_dump(content))
    main([RECIPE, *TRAIN, f"data_dir={run_dir.parent}", f"trainer.total_timesteps={STEPS}"])
    assert "the configuration has changed" in capfd.readouterr().out


@pytest.mark.parametrize("command", ["resume", *READ_THE_CONFIG])
def test_a_folder_in_place_of_the_config_is_told(
    run_dir: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    (run_dir / "config.yaml").unlink()
    (run_dir / "config.yaml").mkdir()
    assert_told(*outcome(command, run_dir, capfd), str(run_dir / "config.yaml"))


def test_a_missing_config_is_written_anew_and_told_where_it_is_needed(
    run_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (run_dir / "config.yaml").unlink()
    for command in READ_THE_CONFIG:
        status, error = outcome(command, run_dir, capfd)
        assert status == 1
        assert f"there is no {run_dir / 'config.yaml'}" in error
    assert outcome("resume", run_dir, capfd) == (0, "")
    assert (run_dir / "config.yaml").is_file()


# metrics.jsonl
# --------------------------------------------------------------------------------------------------

METRICS = {
    "not UTF-8": b'{"agent_steps": 1, "x": "\xff"}\n',
    "not JSON": b"epoch one\n",
    "an empty line": b"\n",
    "a list": b"[1]\n",
    "no agent_steps": b'{"epoch": 1}\n',
    "agent_steps is text": b'{"agent_steps": "1"}\n',
    "agent_steps is true": b'{"agent_steps": true}\n',
    "agent_steps is a fraction": b'{"agent_steps": 1.5}\n',
    "a number of too many digits": b'{"agent_steps": 1, "x": ' + b"9" * 5000 + b"}\n",
    "a huge number": b'{"agent_steps": 1, "x": ' + b"9" * 400 + b"}\n",
    "a value that is a list": b'{"agent_steps": 1, "x": [1]}\n',
    "too deep": b"[" * 100000 + b"\n",
    "zeros": bytes(100) + b"\n",
}


@pytest.mark.parametrize("metrics", METRICS)
def test_damaged_metrics_are_told_with_their_line(
    run_dir: Path, capfd: pytest.CaptureFixture[str], metrics: str
) -> None:
    path = run_dir / "metrics.jsonl"
    before = path.read_bytes() + METRICS[metrics]
    path.write_bytes(before)
    status, error = outcome("resume", run_dir, capfd)
    assert_told(status, error, f"line 2 of {path}")
    assert path.read_bytes() == before


def test_a_folder_in_place_of_the_metrics_is_told(
    run_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (run_dir / "metrics.jsonl").unlink()
    (run_dir / "metrics.jsonl").mkdir()
    assert_told(*outcome("resume", run_dir, capfd), str(run_dir / "metrics.jsonl"))


@pytest.mark.parametrize(
    "tail",
    [
        b'{"agent_steps": 9',
        b"\xff\xfe",
        bytes(50),
        b"[",
        b"",
    ],  # as a crash or a power cut leaves it
)
def test_a_last_line_that_was_cut_off_is_left_out(
    run_dir: Path, capfd: pytest.CaptureFixture[str], tail: bytes
) -> None:
    path = run_dir / "metrics.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + tail)
    assert outcome("resume", run_dir, capfd) == (0, "")
    assert path.read_bytes().startswith(before)
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_json_has_no_name_for_becomes_null(
    run_dir: Path, capfd: pytest.CaptureFixture[str], number: str
) -> None:
    path = run_dir / "metrics.jsonl"
    path.write_text(f'{{"agent_steps": 1, "environment/reward": {number}}}\n')
    assert outcome("resume", run_dir, capfd) == (0, "")
    assert '"environment/reward": null' in path.read_text().splitlines()[0]


def test_missing_metrics_begin_again(run_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (run_dir / "metrics.jsonl").unlink()
    assert outcome("resume", run_dir, capfd) == (0, "")
