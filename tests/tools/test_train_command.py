"""The command line trains, stops, resumes, evaluates and plays: real processes, from start to exit
status."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from metta.cogworks.curriculum import list_sessions
from metta.rl.checkpoint import latest_checkpoint, load_checkpoint, to_arrays

ROOT = Path(__file__).resolve().parents[2]
RECIPE = str(Path(__file__).with_name("small_recipe.py"))
POOL = f"test-train-command-{os.getpid()}"
SESSION = "training_env.curriculum.algorithm_config.session_id"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

pytestmark = pytest.mark.timeout(280)


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "tools/run.py"), *arguments]


def run(*arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=200,
        env=ENVIRONMENT,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run ``a`` in tmp_path that would train for hours, after its second epoch."""
    arguments = command(
        RECIPE,
        "run=a",
        f"data_dir={tmp_path}",
        "trainer.total_timesteps=1000000000",
        f"{SESSION}={POOL}",
    )
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2"):
            break
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def end(process: subprocess.Popen[str], workers: list[psutil.Process]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == [], "workers outlived the run"
    assert POOL not in {info.session_id for info in list_sessions()}
    assert "Traceback" not in output
    return process.returncode, output


def test_training_leaves_a_complete_run_and_resumes(tmp_path: Path):
    output = run(RECIPE, "run=a", f"data_dir={tmp_path}", "policy=lstm", "seed=3")
    run_dir = tmp_path / "a"
    lines = metrics(run_dir)
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["agent_steps"] >= 2000
    last = lines[-1]
    for key in (
        "SPS",
        "time",
        "environment/reward",
        "environment/length",
        "losses/policy_loss",
        "losses/value_loss",
    ):
        assert isinstance(last[key], (int, float)), key
    assert last["curriculum/num_completed"] > 0
    assert last["curriculum/algorithm/lp/mean_learning_progress"] >= 0

    # Two agents in each of four environments of 4 to 10 steps: every worker's episodes are counted.
    steps = last["agent_steps"] / 2
    assert steps / 10 - 8 <= last["curriculum/num_completed"] <= steps / 4

    checkpoint = latest_checkpoint(run_dir / "checkpoints")
    assert checkpoint is not None
    saved = load_checkpoint(checkpoint)
    assert saved["agent_steps"] == last["agent_steps"]
    assert completions(saved) == last["curriculum/num_completed"]

    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    assert config["seed"] == 3
    assert config["trainer"]["total_timesteps"] == 2000
    assert config["made_with"]["metta-curriculum"]

    for expected in ("steps    ", "reward   ", "4 created", "completed", "evicted", str(run_dir)):
        assert expected in output
    assert "epoch 1  128/2,000 steps (6%)" in output

    output = run(RECIPE, "run=a", f"data_dir={tmp_path}", "policy=lstm", "seed=3")
    assert "is complete" in output
    assert "configuration has changed" not in output
    output = run(RECIPE, "run=a", f"data_dir={tmp_path}", "policy=lstm", "seed=4")
    assert "is complete" in output
    assert "configuration has changed" in output
    assert "seed: 4, was 3" in output
    error = run(RECIPE, "run=a", f"data_dir={tmp_path}", "policy=stateless", status=2)
    assert "was trained with policy.name=lstm, not stateless" in error
    output = run(
        RECIPE,
        "run=a",
        f"data_dir={tmp_path}",
        "policy=lstm",
        "trainer.total_timesteps=3000",
        "training_env.num_workers=1",
    )
    assert f"resuming {run_dir} at {last['agent_steps']:,} agent steps" in output
    assert "training_env.num_workers: 1, was 2" in output
    assert "seed: 0, was 3" in output
    assert "trainer.total_timesteps" not in output
    assert "what is known of a task" not in output
    former = run_dir / f"config.until_{last['agent_steps']:012d}.yaml"
    assert yaml.safe_load(former.read_text()) == config
    assert yaml.safe_load((run_dir / "config.yaml").read_text())["seed"] == 0
    resumed = metrics(run_dir)
    assert resumed[: len(lines)] == lines
    assert resumed[len(lines)]["epoch"] == len(lines) + 1
    assert resumed[len(lines)]["curriculum/num_completed"] >= last["curriculum/num_completed"]
    assert resumed[-1]["agent_steps"] >= 3000

    checkpoint.parent.joinpath("step_999999999999.pt").write_bytes(b"half")
    error = run(RECIPE, "run=a", f"data_dir={tmp_path}", "trainer.total_timesteps=9000", status=1)
    assert "step_999999999999.pt cannot be read as plain data" in error


def completions(saved: dict[str, Any]) -> float:
    """Completions in the curriculum state of a checkpoint, read by loading it into a pool of the
    same configuration."""
    from tests.tools.small_recipe import make_curriculum

    config = make_curriculum()
    assert config.algorithm_config is not None
    local = config.model_copy(
        update={
            "algorithm_config": config.algorithm_config.model_copy(
                update={"use_shared_memory": False}
            )
        }
    )
    with local.make() as curriculum:
        curriculum.load_state(to_arrays(saved["curriculum"]))
        return curriculum.stats()["num_completed"]


@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_saves_and_ends(
    endless: subprocess.Popen[str], tmp_path: Path, signum: int, status: int
):
    workers = children(endless)
    assert len(workers) == 2
    # To the whole process group, twice, as a terminal or `timeout` may do.
    os.killpg(endless.pid, signum)
    os.killpg(endless.pid, signum)
    code, output = end(endless, workers)
    assert code == status, output
    assert (
        f"stopped by {signal.Signals(signum).name}: saving, then ending with exit status {status}"
        in output
    )
    saved = latest_checkpoint(tmp_path / "a/checkpoints")
    assert saved is not None
    assert load_checkpoint(saved)["agent_steps"] >= metrics(tmp_path / "a")[-1]["agent_steps"]


def test_a_killed_worker_ends_the_run_with_a_message_and_a_checkpoint(
    endless: subprocess.Popen[str], tmp_path: Path
):
    workers = children(endless)
    workers[0].kill()
    code, output = end(endless, workers)
    assert code == 1, output
    assert f"(pid {workers[0].pid}) was lost: killed by SIGKILL" in output
    assert latest_checkpoint(tmp_path / "a/checkpoints") is not None


def test_a_stopped_worker_is_named_and_the_run_goes_on_with_it(
    endless: subprocess.Popen[str],
):
    workers = children(endless)
    assert endless.stdout is not None
    workers[0].suspend()
    named = next(line for line in endless.stdout if not line.startswith("epoch"))
    assert f"(pid {workers[0].pid}): it is stopped" in named
    workers[0].resume()
    assert next(endless.stdout).startswith("epoch")

    workers[1].suspend()
    named = next(line for line in endless.stdout if not line.startswith("epoch"))
    assert f"(pid {workers[1].pid}): it is stopped" in named
    endless.send_signal(signal.SIGINT)
    code, output = end(endless, workers)
    assert code == 130, output
    assert "stopped by SIGINT: saving, then ending with exit status 130" in output


def test_workers_do_not_outlive_a_killed_run(endless: subprocess.Popen[str]):
    workers = children(endless)
    endless.kill()
    end(endless, workers)


def test_a_run_in_one_process_can_be_repeated(tmp_path: Path):
    histories = []
    for name in ("a", "b"):
        run(
            RECIPE,
            f"run={name}",
            f"data_dir={tmp_path}",
            "training_env.num_workers=1",
            "trainer.total_timesteps=400",
            "seed=5",
        )
        histories.append([comparable(line) for line in metrics(tmp_path / name)])
    assert histories[0] == histories[1]


def comparable(line: dict[str, Any]) -> dict[str, Any]:
    """Everything in an epoch's line that is not a time."""
    return {key: value for key, value in line.items() if key not in ("SPS", "time", "uptime")}


def test_a_run_cannot_be_trained_twice_at_once(endless: subprocess.Popen[str], tmp_path: Path):
    error = run(RECIPE, "run=a", f"data_dir={tmp_path}", status=1)
    assert f"another process is training {tmp_path / 'a'} at this moment" in error
    assert endless.poll() is None


def test_spawned_workers_share_the_pool_too(tmp_path: Path):
    run(
        RECIPE,
        "run=a",
        f"data_dir={tmp_path}",
        "training_env.start_method=spawn",
        "trainer.total_timesteps=1000",
    )
    last = metrics(tmp_path / "a")[-1]
    assert last["curriculum/num_completed"] >= last["agent_steps"] / 2 / 10 - 8


def test_evaluate_and_play_a_run(tmp_path: Path):
    run(RECIPE, "run=a", f"data_dir={tmp_path}", "trainer.total_timesteps=200")
    output = run(RECIPE + ":evaluate", "run=a", f"data_dir={tmp_path}")
    summary = json.loads(output.splitlines()[-1])
    assert summary["episodes"] == 6
    assert "standard_error of the mean reward per agent" in " ".join(output.split())
    assert "policy=random gives the yardstick" in output
    assert summary["worst_tenth_reward"] <= summary["mean_reward"]
    assert (
        json.loads((tmp_path / "a/evaluation.json").read_text())["results"][0]["map_seed"] >= 2**31
    )
    (newest,) = (tmp_path / "a/checkpoints").glob("*.pt")
    saved = newest.read_bytes()
    output = run(RECIPE + ":evaluate", "run=a", f"data_dir={tmp_path}", "policy=random")
    by_chance = json.loads((tmp_path / "a/evaluation_random.json").read_text())
    assert json.loads(output.splitlines()[-1])["policy"] == by_chance["policy"] == "random"
    assert newest.read_bytes() == saved
    output = run(RECIPE + ":play", "run=a", f"data_dir={tmp_path}")
    assert "step 0, reward so far 0.0000 per agent" in output
    assert "episode of" in output
    assert "needs a terminal" in run(
        RECIPE + ":play", "policy=random", "render=interactive", status=2
    )
    output = run(RECIPE + ":play", "policy=random", "render=text", "max_steps=2")
    assert "step 1, reward 0" in output
    assert "episode of 2 steps" in output
    error = run(RECIPE + ":evaluate", "run=b", f"data_dir={tmp_path}", status=2)
    assert f"holds no checkpoint; runs in {tmp_path}: a" in error
    error = run(RECIPE + ":evaluate", f"data_dir={tmp_path}", status=2)
    assert "which policy? Name it with run=NAME or checkpoint=PATH" in error


def test_an_interrupt_while_importing_is_told():
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", str(ROOT / "tools/run.py"), "--list"],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "pydantic" in line:  # in the midst of this package's imports
            process.send_signal(signal.SIGINT)
            break
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "error: interrupted" in error
    assert "Traceback" not in error


def test_the_runner_starts_quickly_and_is_executable():
    assert os.access(ROOT / "tools/run.py", os.X_OK)
    began = time.monotonic()
    run("--list")
    assert time.monotonic() - began < 20
