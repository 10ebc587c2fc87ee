"""The toy environment by its rules, the runs in it, and the command."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from experiments.simulation.toy import MASTERY, SETTINGS, Setting, ToyEnvironment
from experiments.simulation.toy_runs import Job, run
from metta.cli.runner import main

SMALL = Setting(dimensions=2, side=3, episodes=4_000)


def point_in(*places: int, side: int = 3) -> list[float]:
    """A point of the cell at these places of its axes, not its centre."""
    return [(place + 0.3) / side for place in places]


def practised(environment: ToyEnvironment, point: list[float], episodes: int) -> list[float]:
    return [environment.practise(point) for _ in range(episodes)]


def test_an_open_cell_pays_its_count_up_to_the_highest() -> None:
    scores = practised(ToyEnvironment(SMALL), point_in(0, 0), 130)
    assert scores == [min(n, 100) / 100 for n in range(1, 131)]


def test_a_locked_cell_pays_nothing_and_counts_nothing() -> None:
    environment = ToyEnvironment(SMALL)
    assert practised(environment, point_in(1, 0), 200) == [0.0] * 200
    assert environment.counts.sum() == environment.mastered == 0


def test_mastering_a_cell_opens_those_that_share_a_face() -> None:
    environment = ToyEnvironment(SMALL)
    beside = [point_in(1, 0), point_in(0, 1)]
    practised(environment, point_in(0, 0), 74)
    assert [environment.practise(point) for point in beside] == [0.0, 0.0]
    assert environment.mastered == 0
    practised(environment, point_in(0, 0), 1)
    assert environment.mastered == 1
    assert [environment.practise(point) for point in beside] == [0.01, 0.01]
    assert environment.practise(point_in(1, 1)) == 0.0, "a diagonal neighbour"


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_neighbours_differ_by_one_in_one_place(dimensions: int) -> None:
    setting = Setting(dimensions=dimensions, side=3, episodes=1)
    environment = ToyEnvironment(setting)
    cells = list(itertools.product(range(3), repeat=dimensions))
    for cell, places in enumerate(cells):
        assert environment.cell_of(point_in(*places)) == cell
        expected = {
            other
            for other, there in enumerate(cells)
            if sum(abs(a - b) for a, b in zip(places, there, strict=True)) == 1
        }
        assert set(environment.neighbours(cell)) == expected


def test_the_upper_faces_belong_to_the_last_cells() -> None:
    assert ToyEnvironment(SMALL).cell_of([1.0, 0.0]) == 6
    assert ToyEnvironment(SMALL).cell_of([1.0, 1.0]) == 8


def test_an_irrelevant_parameter_changes_nothing() -> None:
    environment = ToyEnvironment(SMALL.model_copy(update={"irrelevant": 1}))
    scores = [environment.practise([0.1, 0.1, other]) for other in (0.0, 0.5, 1.0)]
    assert scores == [0.01, 0.02, 0.03]


def test_an_evaluation_says_what_the_next_episodes_pay() -> None:
    environment = ToyEnvironment(SMALL)
    practised(environment, point_in(0, 0), 120)
    practised(environment, point_in(0, 1), 7)
    told = environment.evaluate()
    next_of = [environment.practise(point_in(i, j)) for i in range(3) for j in range(3)]
    np.testing.assert_array_equal(told, next_of)


def test_the_settings_give_200_episodes_a_cell() -> None:
    assert all(setting.episodes == 200 * setting.cells for setting in SETTINGS.values())
    assert {s.irrelevant for s in SETTINGS.values()} == {0, 2}


# -- runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", ["uniform", "span", "cells", "alp_gmm", "covar_gmm", "riac"])
def test_a_run_is_repeatable(arm: str) -> None:
    setting = SMALL.model_copy(update={"episodes": 350, "irrelevant": 1})
    job = Job(setting, arm, seed=3, pool=32, in_flight=16)
    one, same = run(job), run(job)
    np.testing.assert_array_equal(one.mastered, same.mastered)
    assert one.episodes[-1] == 350
    assert (np.diff(one.mastered) >= 0).all()
    assert one.seconds_per_episode > 0
    # The budget bounds what can be mastered.
    assert 0 <= one.final <= 100 * (350 // MASTERY) / 9


@pytest.mark.parametrize("arm", ["cells", "span"])
def test_the_curriculum_masters_more_than_uniform(arm: str) -> None:
    setting = Setting(dimensions=2, side=5, episodes=2_500)
    uniform = run(Job(setting, "uniform", seed=0)).final
    assert run(Job(setting, arm, seed=0, pool=128)).final > uniform


def test_what_uniform_masters_is_what_its_counts_allow() -> None:
    """Each cell gets a ninth of the episodes: in 1.5 · 75 · 9 of them the first one is mastered,
    and of the others the two that it opened at most."""
    result = run(Job(SMALL.model_copy(update={"episodes": 1_012}), "uniform", seed=0))
    assert 100 / 9 <= result.final <= 3 * 100 / 9


# -- the command -----------------------------------------------------------------------------------


def test_the_command_writes_results_and_ends_with_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["setting=2d,3d_irrelevant", "arms=uniform,span,riac", "pool=default,16"]
    sizes = ["params.side=2", "params.episodes=200", "seeds=2", "seed=7", "in_flight=2"]
    out = [f"out={tmp_path}", "processes=1", "learning.rand_task_rate=0.05"]
    assert main(["toy_environment.compare", *arguments, *sizes, *out]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(line) == ["2d", "3d_irrelevant"]
    assert list(line["2d"]) == ["uniform", "span_default", "span_16", "riac"]
    keys = {"mastered", "ci_low", "ci_high", "auc", "seconds_per_episode"}
    assert all(set(of_arm) == keys for arms in line.values() for of_arm in arms.values())
    results = json.loads((tmp_path / "results.json").read_text())
    by_seed = results["results"]["2d"]["riac"]["details"]["mastered_by_seed"]
    setting = Setting(dimensions=2, side=2, episodes=200)
    job = Job(setting, "riac", 8, in_flight=2)
    assert by_seed[1] == run(job).final
    assert results["environments"]["3d_irrelevant"]["irrelevant"] == 2
    assert {"2d.png", "3d_irrelevant.png"} <= {path.name for path in tmp_path.iterdir()}


def test_a_pool_may_be_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["toy_environment.compare", "setting=2d", "arms=span", "pool=64", "--dry-run"]
    assert main(arguments) == 0
    assert "1 settings, 1 arms, 20 seeds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("setting=2dd", "did you mean '2d'?"),
        ("arms=riak", "did you mean 'riac'?"),
        ("pool=1", "'1' is no size of a pool"),
        ("pool=64,big", "'big' is no size of a pool"),
        ("params.sides=3", "did you mean 'side'?"),
        ("params.side=1", "greater than or equal to 2"),
        ("learning.rand_task_rat=0.1", "did you mean 'rand_task_rate'?"),
        ("learning.rand_task_rate=2", "less than or equal to 1"),
        ("learning.num_active_tasks=20", "pool= sets the pool"),
        ("in_flight=0", "greater than or equal to 1"),
        ("seeds=0", "greater than or equal to 1"),
    ],
)
def test_wrong_settings_end_with_status_2(
    argument: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["toy_environment.compare", argument]) == 2
    assert message in capsys.readouterr().err
