"""The training study: its tasks, its policy, its bookkeeping, and the command from start to last
line."""

import fcntl
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mettagrid.policy.policy_env_interface import PolicyEnvInterface

from experiments.arms import ARMS, algorithm
from experiments.curriculum_study import compare, parse_arms
from experiments.study import one_run
from experiments.study.evaluation import (
    GROUPS,
    group_means,
    sampled_per_group,
    success_per_task,
    worst_tenth,
)
from experiments.study.policy import PictureNet
from experiments.study.report import one_line, summarise
from experiments.study.runs import Evaluation, Run, SettingsChangedError, make_run, prepare
from experiments.study.tasks import (
    CHAIN,
    ERRANDS,
    MAX_STEPS,
    STATIONS,
    Errand,
    ErrandGenerator,
    make_env,
)
from metta.cogworks.curriculum import Curriculum, CurriculumConfig, TaskGeneratorConfig
from metta.sim.map_seeds import EVALUATION_SEEDS, TRAINING_SEEDS, with_map_seed
from metta.sim.simulation import Task
from metta.sim.simulation import make_env as environment
from tests.cogworks.curriculum.generator_contract import GeneratorContract
from tests.recipes.scripted_play import ScriptedPlay

ROOT = Path(__file__).resolve().parents[2]
SMALL = Evaluation(episodes_per_task=1, curve_points=1, curve_episodes_per_task=1, seed=0)

pytestmark = pytest.mark.timeout(280)


# -- tasks


class TestErrandGenerator(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        return ErrandGenerator.Config()


def test_the_pool_holds_every_errand_once() -> None:
    assert len(set(ERRANDS)) == len(ERRANDS) >= 50
    assert {errand.possible for errand in ERRANDS} == {True, False}
    for arm in ARMS:
        config = CurriculumConfig(
            task_generator=ErrandGenerator.Config(),
            max_task_id=len(ERRANDS),
            algorithm_config=algorithm(arm, len(ERRANDS), use_shared_memory=False),
        )
        with Curriculum(config) as curriculum:
            for _ in range(
                3 * len(ERRANDS)
            ):  # evictions, where an arm has them, find no other task to put in
                curriculum.get_task().complete(0.0)
            assert sorted(curriculum.probabilities()) == list(range(len(ERRANDS))), arm


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_an_errand_is_done_station_by_station_and_pays_once(steps: int) -> None:
    with ScriptedPlay(make_env(Errand(steps, size=7, clutter=0.0, possible=True)), seed=1) as play:
        rewards = [play.use(station) for station in STATIONS[-steps:]]
        assert rewards == [0.0] * (steps - 1) + [1.0]
        assert play.held("heart") == 1
        again = [play.use(station) for station in STATIONS]
        assert sum(again) == 0.0


def test_a_step_left_out_makes_nothing() -> None:
    with ScriptedPlay(make_env(Errand(3, size=7, clutter=0.0, possible=True)), seed=1) as play:
        assert play.use("altar") == 0.0
        assert [play.held(thing) for thing in CHAIN] == [1, 0, 0, 0]  # three steps begin with ore


def test_every_possible_room_has_its_stations_and_every_impossible_one_lacks_the_altar() -> None:
    generator = ErrandGenerator.Config().create()
    for task_id, errand in enumerate(ERRANDS):
        built = with_map_seed(generator.get_task(task_id), 3).game.map_builder.create().build().grid
        found = {station for station in STATIONS if (built == station).any()}
        assert found == set(STATIONS if errand.possible else STATIONS[:-1]), errand
        assert built.shape == (errand.size, errand.size)
        assert (built == "agent.agent").sum() == generator.config.num_agents


# -- policy


def test_an_object_lights_the_input_of_its_cell_and_kind_wherever_it_stands_in_the_list() -> None:
    config = make_env(Errand(2, size=7, clutter=0.1, possible=True))
    net = PictureNet(PolicyEnvInterface.from_mg_cfg(config))
    env = environment(Task(0, "", {}, 5, with_map_seed(config, 5)))
    observations, _ = env.reset(seed=5)
    env.close()
    tokens = torch.as_tensor(observations)
    logits, values = net(tokens)
    assert logits.shape == (len(tokens), env.single_action_space.n)
    assert values.shape == (len(tokens), 1)
    shuffled = tokens[
        :, torch.randperm(tokens.shape[1], generator=torch.Generator().manual_seed(0))
    ]
    torch.testing.assert_close(net(shuffled), net(tokens))
    tag = next(f.id for f in PolicyEnvInterface.from_mg_cfg(config).obs_features if f.name == "tag")
    (places,) = (tokens[0, :, 1] == tag).nonzero(as_tuple=True)
    other = tokens.clone()
    other[0, places[-1], 2] = (other[0, places[-1], 2] + 1) % 6  # another kind of object
    assert not torch.equal(net(other)[0][0], logits[0])
    assert torch.equal(net(other)[0][1:], logits[1:])


# -- evaluation and statistics


def test_worst_tenth_is_that_of_the_possible_errands() -> None:
    possible = np.array([errand.possible for errand in ERRANDS])
    success = np.zeros(len(ERRANDS))
    success[possible] = np.linspace(0.1, 1.0, possible.sum())
    count = possible.sum() // 10
    assert worst_tenth(success) == pytest.approx(
        np.linspace(0.1, 1.0, possible.sum())[:count].mean()
    )
    means = group_means(success)
    assert means["impossible"] == 0.0
    assert set(means) == set(GROUPS)


def test_evaluation_maps_are_new_and_the_same_for_every_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments.study import evaluation

    class Always:
        def __init__(self, *ignored: Any) -> None:
            pass

        def begin_episode(self) -> None:
            pass

        def act(self, observations: np.ndarray) -> np.ndarray:
            return np.zeros(len(observations), dtype=np.int32)

    played: list[list[tuple[int, int]]] = []

    def note(env: Any, task: Task, actor: Any) -> Any:
        played[-1].append((task.task_id, task.map_seed))
        return run_episode(env, task, actor)

    run_episode = evaluation.run_episode
    monkeypatch.setattr(evaluation, "PolicyActor", Always)
    monkeypatch.setattr(evaluation, "load_policy", lambda *ignored: None)
    monkeypatch.setattr(evaluation, "run_episode", note)
    generator = ErrandGenerator.Config(max_steps=2).create()
    for _ in range(2):
        played.append([])
        success = success_per_task(tmp_path, generator, episodes=2, seed=7)
        assert success.shape == (len(ERRANDS),)
    assert played[0] == played[1]
    assert [task_id for task_id, _ in played[0]] == [
        i for i in range(len(ERRANDS)) for _ in range(2)
    ]
    seeds = {seed for _, seed in played[0]}
    assert len(seeds) == len(played[0])
    assert all(seed in EVALUATION_SEEDS and seed not in TRAINING_SEEDS for seed in seeds)


def _result(success: float) -> dict[str, Any]:
    values = [success if errand.possible else 0.0 for errand in ERRANDS]
    sampled = {group: [[0, 0.0], [100, 10.0]] for group in GROUPS}
    return {"success": values, "curve": [[100, success]], "sampled": sampled, "agent_steps": 100}


def test_differences_are_taken_seed_by_seed() -> None:
    # Seeds differ much more than arms: only pairing shows the difference of 0.1, and shows it
    # exactly.
    uniform = {seed: _result(0.1 + 0.15 * seed) for seed in range(5)}
    better = {seed: _result(0.2 + 0.15 * seed) for seed in range(5)}
    summary = summarise({"uniform": uniform, "default": better})
    share = np.mean([errand.possible for errand in ERRANDS])
    assert summary["default"]["delta_vs_uniform"] == pytest.approx(0.1 * share)
    assert summary["default"]["ci_low"] == pytest.approx(summary["default"]["ci_high"])
    assert (
        summary["default"]["mean"]["low"] < summary["uniform"]["mean"]["high"]
    )  # unpaired, they overlap
    assert summary["default"]["impossible_share"]["value"] == pytest.approx(1 / len(GROUPS))
    assert set(one_line(summary)["default"]) == {
        "mean",
        "worst_tenth",
        "delta_vs_uniform",
        "ci_low",
        "ci_high",
    }


def test_without_uniform_there_is_no_difference() -> None:
    summary = summarise({"default": {0: _result(0.5)}})
    assert "delta_vs_uniform" not in summary["default"]
    assert set(one_line(summary)["default"]) == {"mean", "worst_tenth"}


def test_sampled_counts_a_group_that_has_not_begun_as_0(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    key = f"curriculum/algorithm/label/{GROUPS[0]}/scheduled"
    path.write_text(
        "".join(json.dumps({"agent_steps": i, key: float(i)}) + "\n" for i in range(101))
    )
    sampled = sampled_per_group(path)
    assert sampled[GROUPS[0]][-1] == [100, 100.0]
    assert sampled[GROUPS[1]][-1] == [100, 0.0]
    assert 40 <= len(sampled[GROUPS[0]]) <= 50


# -- bookkeeping


def test_a_changed_setting_is_refused_by_name(tmp_path: Path) -> None:
    def run(steps: int, evaluation: Evaluation = SMALL) -> Run:
        return make_run(
            "default", 0, tmp_path, steps, num_envs=4, num_workers=1, evaluation=evaluation
        )

    prepare(run(20_000))
    prepare(run(20_000))  # the same again is fine
    with pytest.raises(
        SettingsChangedError,
        match=r"trainer\.total_timesteps was 20000, now it is 30000.*another out=",
    ):
        prepare(run(30_000))
    longer = Evaluation(episodes_per_task=9, curve_points=1, curve_episodes_per_task=1, seed=0)
    with pytest.raises(
        SettingsChangedError, match=r"evaluation\.episodes_per_task was 1, now it is 9"
    ):
        prepare(run(20_000, longer))


def test_runs_of_one_seed_differ_in_the_arm_alone(tmp_path: Path) -> None:
    runs = [
        make_run(arm, 3, tmp_path, 20_000, num_envs=4, num_workers=1, evaluation=SMALL)
        for arm in ARMS
    ]
    tools = [run.tool.model_dump(mode="json") for run in runs]
    for tool in tools:
        del tool["run"], tool["training_env"]["curriculum"]["algorithm_config"]
    assert all(tool == tools[0] for tool in tools)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("unifrom", "no arm 'unifrom'; did you mean 'uniform'"),
        ("uniform,uniform", "'uniform' is given twice"),
        (" , ", "names no arm"),
    ],
)
def test_wrong_arms(names: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_arms(names)


def test_all_arms_and_their_order() -> None:
    assert parse_arms("all") == list(ARMS)
    assert parse_arms("posterior, uniform") == ["posterior", "uniform"]


@pytest.mark.parametrize(
    "setting", ["seeds", "processes", "num_workers", "num_envs", "total_timesteps"]
)
def test_nothing_to_do_is_refused(setting: str) -> None:
    settings: dict[str, Any] = {setting: 0}
    with pytest.raises(ValueError, match=f"{setting}=0 must be at least 1"):
        compare(**settings)


# -- the command


def _command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "tools/run.py"), "curriculum_study.compare", *arguments]


def _run(*arguments: str) -> str:
    done = subprocess.run(
        _command(*arguments), capture_output=True, text=True, timeout=250, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_smoke_run_and_its_continuation(tmp_path: Path) -> None:
    out = tmp_path / "study"
    printed = _run("smoke=true", f"out={out}")
    line = json.loads(printed.splitlines()[-1])
    assert set(line) == {"uniform", "default"}
    results = json.loads((out / "results.json").read_text())
    assert results["arms"]["default"]["mean"]["value"] == pytest.approx(
        line["default"]["mean"], abs=1e-5
    )
    for arm in line:
        result = results["runs"][arm]["0"]
        assert result["agent_steps"] >= results["settings"]["total_timesteps"]
        assert len(result["success"]) == len(ERRANDS)
        impossible = [
            s for s, errand in zip(result["success"], ERRANDS, strict=True) if not errand.possible
        ]
        assert impossible == [0.0] * len(impossible)
        assert (
            max(result["success"]) > 0.0
        )  # one step in a small room: even a beginner bumps into the altar
        assert len(result["curve"]) == 2
        begun = sum(points[-1][1] for points in result["sampled"].values())
        assert begun >= results["settings"]["total_timesteps"] / (4 * MAX_STEPS)
    for name in ("curve.png", "groups.png", "sampling.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")

    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/result.json")}
    again = _run("smoke=true", f"out={out}")
    assert "2 finished already" in again
    assert json.loads(again.splitlines()[-1]) == line
    assert {path: path.stat().st_mtime_ns for path in out.glob("runs/*/result.json")} == before


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_interrupted_study_goes_on_where_it_was(tmp_path: Path) -> None:
    arguments = ["smoke=true", "arms=default", f"out={tmp_path}", "total_timesteps=60000"]
    process = subprocess.Popen(
        _command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    metrics = tmp_path / "runs/default-0/metrics.jsonl"
    deadline = time.monotonic() + 240
    try:
        while not (metrics.is_file() and metrics.read_text().count("\n") >= 2):
            assert time.monotonic() < deadline, "the run did not begin"
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)  # polls a file that another process writes
    finally:
        process.terminate()
        printed, _ = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM, printed
    assert "the same command goes on from there" in printed
    saved = max(
        int(path.stem.removeprefix("step_"))
        for path in (tmp_path / "runs/default-0/checkpoints").glob("*.pt")
    )
    assert 0 < saved < 60_000
    _run(*arguments)
    assert (
        f"resuming {tmp_path / 'runs/default-0'} at {saved:,} agent steps"
        in (tmp_path / "runs/default-0/output.log").read_text()
    )
    assert (
        json.loads((tmp_path / "results.json").read_text())["runs"]["default"]["0"]["agent_steps"]
        >= 60_000
    )


def test_two_studies_do_not_work_on_one_run(tmp_path: Path) -> None:
    run = make_run("uniform", 0, tmp_path, 4096, num_envs=4, num_workers=1, evaluation=SMALL)
    prepare(run)
    with (run.folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert one_run.main(run.folder) == 1
    assert run.result() is None
    assert not (run.folder / "config.yaml").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_fails_says_where_to_look(tmp_path: Path) -> None:
    folder = tmp_path / "runs/uniform-0/checkpoints"
    folder.mkdir(parents=True)
    (folder / "step_000000000064.pt").write_bytes(b"damaged")
    done = subprocess.run(
        _command("smoke=true", "arms=uniform", f"out={tmp_path}"),
        capture_output=True,
        text=True,
        timeout=400,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 1
    assert "arm uniform, seed 0: ended with exit status" in done.stderr
    assert "output.log" in done.stderr
    assert "cannot be read as plain data" in done.stderr
