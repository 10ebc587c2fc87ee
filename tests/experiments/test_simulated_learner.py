"""The simulated learner against its equations, the runs, and the command."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydantic import ValidationError

from experiments.simulated_learner import CompareTool, compare
from experiments.simulation.learner import GROUPS, IMPOSSIBLE, Learner, World, logit, sigmoid
from experiments.simulation.runs import Job, follow, run
from experiments.simulation.scenarios import SCENARIOS, Scenario
from metta.cli.runner import main

ROOT = Path(__file__).resolve().parents[2]
NO_SHIFTS = {name: scenario for name, scenario in SCENARIOS.items() if scenario.shift_every is None}


def world(**changes: object) -> World:
    """Two skills, the second of which needs the first."""
    plain = World(
        start=np.array([logit(0.1), logit(0.1)]),
        rate=np.array([0.5, 0.5]),
        ceiling=np.array([logit(0.99), logit(0.99)]),
        parents=((), (0,)),
        mastery=0.8,
        blocked_success=0.0,
        half_life=math.inf,
        shifts=(),
        skill_of_task=np.array([0, 1, IMPOSSIBLE], dtype=np.int32),
        reward_scale=np.ones(2),
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def practised(learner: Learner, task: int, episodes: int) -> Learner:
    for _ in range(episodes):
        learner.practise(task)
    return learner


def test_log_odds_and_back() -> None:
    for p in (0.001, 0.3, 0.5, 0.999):
        assert sigmoid(logit(p)) == pytest.approx(p)


@pytest.mark.parametrize("episodes", [0, 1, 5, 7])
def test_practice_adds_the_rate_in_log_odds(episodes: int) -> None:
    learner = practised(Learner(world(), seed=0), 0, episodes)
    assert learner.competence()[0] == pytest.approx(sigmoid(logit(0.1) + 0.5 * episodes))


def test_competence_follows_the_logistic_curve() -> None:
    """dp/dn = η p (1 − p) has the solution p_n = 1 / (1 + (1/p_0 − 1) exp(−η n))."""
    learner = practised(Learner(world(rate=np.array([0.01, 0.01])), seed=0), 0, 200)
    assert learner.competence()[0] == pytest.approx(1 / (1 + 9 * math.exp(-2.0)))


def test_practice_stops_at_the_ceiling() -> None:
    assert practised(Learner(world(), seed=0), 0, 100).competence()[0] == pytest.approx(0.99)


def test_a_blocked_skill_learns_nothing_until_its_parent_is_mastered() -> None:
    learner = practised(Learner(world(), seed=0), 1, 50)
    assert learner.competence()[1] == pytest.approx(0.1)
    assert learner.spent[GROUPS.index("blocked")] == 50
    needed = int(learner.world.episodes_to_master()[0])
    practised(learner, 0, needed - 1)
    assert not learner.mastered()[0]
    practised(learner, 0, 1)
    assert learner.mastered()[0]
    assert practised(learner, 1, 1).competence()[1] == pytest.approx(sigmoid(logit(0.1) + 0.5))


def test_a_blocked_skill_succeeds_by_its_factor() -> None:
    learner = Learner(world(blocked_success=0.5, start=np.array([logit(0.1), logit(0.8)])), seed=1)
    n = 4000
    successes = sum(learner.practise(1) for _ in range(n))
    assert successes / n == pytest.approx(0.4, abs=4 * math.sqrt(0.4 * 0.6 / n))


def test_outcomes_are_bernoulli_of_the_competence() -> None:
    learner = Learner(world(rate=np.zeros(2), start=np.array([logit(0.3), 0.0])), seed=2)
    n = 4000
    outcomes = [learner.practise(0) for _ in range(n)]
    assert set(outcomes) == {0.0, 1.0}
    assert np.mean(outcomes) == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / n))


def test_the_score_is_the_mean_over_agents_times_the_scale() -> None:
    learner = Learner(world(rate=np.zeros(2), agents=4, reward_scale=np.array([8.0, 1.0])), seed=3)
    outcomes = np.array([learner.practise(0) for _ in range(4000)])
    assert set(outcomes.tolist()) <= {0.0, 2.0, 4.0, 6.0, 8.0}
    assert outcomes.var() == pytest.approx(64 * 0.1 * 0.9 / 4, rel=0.15)


def test_what_is_learned_halves_with_the_half_life() -> None:
    learner = practised(Learner(world(half_life=100.0, parents=((), ())), seed=0), 0, 4)
    learned = math.log(learner.competence()[0] / (1 - learner.competence()[0])) - logit(0.1)
    practised(learner, 1, 100)
    assert learner.competence()[0] == pytest.approx(sigmoid(logit(0.1) + learned / 2))


def test_an_unlearned_skill_has_nothing_to_forget() -> None:
    learner = practised(Learner(world(half_life=10.0), seed=0), 2, 100)
    assert learner.competence() == pytest.approx([0.1, 0.1])


def test_a_shift_makes_a_skill_harder_but_not_harder_than_at_the_start() -> None:
    learner = practised(Learner(world(shifts=((6, 0, 1.5), (8, 0, 50.0))), seed=0), 0, 5)
    learned = logit(0.1) + 2.5
    assert practised(learner, 2, 1).competence()[0] == pytest.approx(sigmoid(learned - 1.5))
    assert practised(learner, 2, 2).competence()[0] == pytest.approx(0.1)


def test_an_impossible_task_pays_nothing_and_teaches_nothing() -> None:
    learner = Learner(world(), seed=0)
    assert sum(learner.practise(2) for _ in range(50)) == 0.0
    assert learner.competence() == pytest.approx([0.1, 0.1])
    assert learner.spent[GROUPS.index("unlearnable")] == 50


def test_gains_are_what_one_more_episode_brings() -> None:
    learner = Learner(world(), seed=0)
    gains, before = learner.gains(), learner.competence()
    assert gains[1] == 0.0, "blocked"
    assert gains[0] == pytest.approx(practised(learner, 0, 1).competence()[0] - before[0])
    practised(learner, 0, 50)
    assert learner.gains()[0] == 0.0, "mastered"
    assert learner.gains()[1] > 0.0


def test_same_seed_same_outcomes() -> None:
    one, other = (Learner(world(), seed=7) for _ in range(2))
    assert [one.practise(0) for _ in range(50)] == [other.practise(0) for _ in range(50)]


# -- scenarios -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_world_depends_on_its_seed_alone(name: str) -> None:
    one, same, other = (SCENARIOS[name].world(seed) for seed in (3, 3, 4))
    for field in ("start", "rate", "ceiling", "skill_of_task", "reward_scale"):
        np.testing.assert_array_equal(getattr(one, field), getattr(same, field))
    assert (one.parents, one.shifts) == (same.parents, same.shifts)
    assert not np.array_equal(one.rate, other.rate)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_learnable_skill_can_be_reached(name: str) -> None:
    world = SCENARIOS[name].world(0)
    assert all(world.learnable[parent] for parents in world.parents for parent in parents)
    assert all(parent < skill for skill, parents in enumerate(world.parents) for parent in parents)


@pytest.mark.parametrize("name", [n for n, s in NO_SHIFTS.items() if s.half_life == math.inf])
def test_the_oracle_masters_everything_in_the_episodes_that_it_takes(name: str) -> None:
    """Nothing decays there, so the closed form is exact: the oracle wastes no episode."""
    exactly = SCENARIOS[name].model_copy(update={"budget_factor": 1.0})
    result = run(Job(name, exactly, "oracle", seed=0))
    assert result.final == result.learnable
    assert result.shares[GROUPS.index("learning")] == pytest.approx(1.0)


def test_scenarios_are_what_they_are_called() -> None:
    worlds = {name: scenario.world(0) for name, scenario in SCENARIOS.items()}
    assert worlds["tech_tree"].num_skills == 107
    assert {len(parents) for parents in worlds["tech_tree"].parents} == {0, 1, 2}
    assert worlds["chain"].parents == (
        (),
        *((skill,) for skill in range(worlds["chain"].num_skills - 1)),
    )
    assert worlds["plateau"].learnable.mean() == pytest.approx(0.1, abs=0.01)
    assert (~worlds["noise"].learnable).mean() == pytest.approx(1 / 3, abs=0.01)
    assert worlds["unbounded"].num_tasks == 1_000_000
    assert (worlds["unbounded"].skill_of_task == IMPOSSIBLE).mean() == pytest.approx(0.5, abs=0.01)
    assert worlds["moving"].shifts
    assert worlds["forgetting"].half_life < math.inf
    assert np.mean([bool(parents) for parents in worlds["sparse"].parents]) == pytest.approx(
        0.8, abs=0.01
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 200}, "layers=200 is more than skills=107"),
        ({"impossible_share": 0.5}, "needs task_ids"),
        ({"parents": (2, 1)}, r"parents=\(2, 1\)"),
        ({"start": 0.9}, "need start < mastery <= ceiling"),
        ({"skils": 3}, "Extra inputs"),
        ({"lists": (8, 5)}, r"lists=\(8, 5\) and spans=\(\) are 40 cells.* skills=107"),
        ({"spans": (107,)}, r"spans=\(107,\) needs task_ids"),
        ({"opens": 0.4}, "opens=0.4 needs lists or spans"),
        ({"by_success": True, "score_noise": "gaussian"}, "by_success needs score_noise=bernoulli"),
    ],
)
def test_inconsistent_parameters_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Scenario.model_validate(changes)


# -- runs ------------------------------------------------------------------------------------------

SMALL = Scenario(skills=12, layers=2, episodes_to_master=10)


@pytest.mark.parametrize("arm", ["uniform", "default", "learnability", "oracle"])
def test_a_run_is_repeatable_and_adds_up(arm: str) -> None:
    one, same = (run(Job("small", SMALL, arm, seed=1)) for _ in range(2))
    np.testing.assert_array_equal(one.mastered, same.mastered)
    assert one.spent.sum() == one.episodes[-1] == SMALL.budget(SMALL.world(1))
    assert one.shares.sum() == pytest.approx(1.0)
    assert 0 <= one.final <= one.learnable == 12


def test_uniform_spends_in_proportion_to_the_pool() -> None:
    scenario = Scenario(skills=30, noise_share=1 / 3)
    result = run(Job("small", scenario, "uniform", seed=0))
    n, share = result.episodes[-1], 1 / 3
    spent = result.shares[GROUPS.index("unlearnable")]
    assert spent == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n))


def test_eviction_brings_new_tasks_into_a_small_pool() -> None:
    scenario = Scenario(skills=40, task_ids=10_000, impossible_share=0.5, pool=16)
    fixed = run(Job("small", scenario, "uniform", seed=0))
    assert run(Job("small", scenario, "default", seed=0)).final > fixed.final


# -- in flight -------------------------------------------------------------------------------------


class Script:
    """A teacher with a given list of tasks, which writes down what happens, in order."""

    def __init__(self, tasks: list[int]):
        self.events: list[tuple[str, int]] = []
        self._tasks = iter(tasks)

    def choose(self) -> int:
        task = next(self._tasks)
        self.events.append(("begun", task))
        return task

    def complete(self, task: int, score: float) -> None:
        self.events.append(("ended", task))


@pytest.mark.parametrize("in_flight", [1, 2, 7, 60])  # 60: more than the budget
def test_k_episodes_are_in_flight_and_the_oldest_ends(in_flight: int) -> None:
    """Derived: K begin, then one ends and one begins, ``budget`` times; the n-th to end is the n-th
    that began; what has begun and not ended at the end is not practised."""
    budget = 50
    tasks = [(7 * n) % 3 for n in range(budget + in_flight)]
    teacher, learner = Script(tasks), Learner(world(), seed=0)
    result = follow(teacher, learner, budget, in_flight)
    expected = [("begun", task) for task in tasks[:in_flight]]
    for n in range(budget):
        expected += [("ended", tasks[n]), ("begun", tasks[in_flight + n])]
    assert teacher.events == expected
    assert result.spent.sum() == result.episodes[-1] == learner.episode == budget
    practised_in_order = Learner(world(), seed=0)
    for task in tasks[:budget]:
        practised_in_order.practise(task)
    assert learner.competence().tolist() == practised_in_order.competence().tolist()
    assert result.final == practised_in_order.mastered().sum()


def test_the_curriculum_hears_of_what_has_ended_only() -> None:
    """With the whole budget in flight nothing is known when a task is drawn, so that half of the
    episodes go to the half of the tasks that cannot be learned; with one in flight, fewer do."""
    scenario = Scenario(skills=20, noise_share=0.5, episodes_to_master=20)
    budget = scenario.budget(scenario.world(0))
    blind = run(Job("small", scenario, "default", seed=0, in_flight=budget))
    knowing = run(Job("small", scenario, "default", seed=0, in_flight=1))
    n, share = budget, 0.5
    wasted = [r.shares[GROUPS.index("unlearnable")] for r in (blind, knowing)]
    assert wasted[0] == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n))
    assert wasted[1] < wasted[0]


@pytest.mark.parametrize("name", ["tech_tree", "forgetting", "moving"])
def test_the_oracle_knows_what_is_in_flight(name: str) -> None:
    """An oracle with a copy of the learner, which practises each task when it begins: what it sees
    is what will be when what is in flight has ended. It chooses as with one in flight."""
    scenario = SCENARIOS[name].model_copy(update={"skills": 24, "layers": 3})
    worldly, budget = scenario.world(0), 600

    class Foresight:
        def __init__(self) -> None:
            self.ahead = Learner(worldly, seed=0)

        def choose(self) -> int:
            task = int(np.argmax(self.ahead.gains()))
            self.ahead.practise(task)
            return task

        def complete(self, task: int, score: float) -> None:
            pass

    one, many = (follow(Foresight(), Learner(worldly, seed=0), budget, k) for k in (1, 64))
    assert one.mastered.tolist() == many.mastered.tolist()
    assert one.spent.tolist() == many.spent.tolist()
    full = run(Job(name, scenario, "oracle", seed=0, in_flight=64))
    assert full.mastered.tolist() == run(Job(name, scenario, "oracle", seed=0)).mastered.tolist()


def test_several_numbers_in_flight_are_compared_in_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["scenario=noise", "arms=default", "seeds=2", "in_flight=1,8", "processes=1"]
    settings = [f"out={tmp_path}", "params.skills=12", "params.episodes_to_master=8"]
    assert main(["simulated_learner.compare", *arguments, *settings]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(line) == ["1", "8"]
    assert list(line["8"]["noise"]) == ["uniform", "default", "oracle"]
    assert line["1"]["noise"]["oracle"] == line["8"]["noise"]["oracle"]
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["settings"]["in_flight"] == [1, 8]
    assert (
        written["results"]["8"]["noise"]["default"]["auc"] == line["8"]["noise"]["default"]["auc"]
    )
    assert set(written["summary"]["1"]) == {"uniform", "default"}
    plots = {f"noise_{k}_{kind}.png" for k in (1, 8) for kind in ("curves", "spent")}
    assert plots <= {path.name for path in tmp_path.iterdir()}


# -- the command -----------------------------------------------------------------------------------


def test_the_command_writes_results_and_ends_with_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "simulated_learner.compare",
        "scenario=tech_tree,noise",
        "arms=default,guide",
        "seeds=2",
        "seed=5",
    ]
    settings = [
        "processes=2",
        f"out={tmp_path}",
        "params.skills=12",
        "params.layers=2",
        "params.episodes_to_master=8",
    ]
    assert main([*arguments, *settings]) == 0
    printed = capsys.readouterr().out
    line = json.loads(printed.splitlines()[-1])
    assert list(line) == ["tech_tree", "noise"]
    assert list(line["noise"]) == ["uniform", "default", "guide", "oracle"]
    shares = {"oracle_share", "auc_share"}
    keys = {"mastered", "auc", "delta_vs_uniform", "ci_low", "ci_high"} | shares
    assert all(set(of_arm) == keys for arms in line.values() for of_arm in arms.values())
    assert line["tech_tree"]["oracle"]["mastered"] == 12
    assert line["tech_tree"]["uniform"]["delta_vs_uniform"] == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["results"]["noise"]["guide"]["mastered"] == line["noise"]["guide"]["mastered"]
    assert results["scenarios"]["noise"]["skills"] == 12
    assert set(results["summary"]) == {"uniform", "default", "guide"}
    plots = {"tech_tree_curves.png", "tech_tree_spent.png", "noise_curves.png", "noise_spent.png"}
    assert plots <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("scenario=tech_treee", "did you mean 'tech_tree'?"),
        ("scenario=grit", "Use all, more, every, or some of tech_tree"),
        ("arms=learnabilty", "did you mean 'learnability'?"),
        ("params.layer=3", "did you mean 'layers'?"),
        ("params.layers=300", "more than skills=107"),
        ("learning.rand_task_rat=0.1", "did you mean 'rand_task_rate'?"),
        ("learning.rand_task_rate=2", "less than or equal to 1"),
        ("seeds=0", "greater than or equal to 1"),
        ("seeds=1001", "less than or equal to 1000"),
        ("in_flight=0", "in_flight=0: give a number from 1 on"),
        ("in_flight=1,-4", "in_flight=1,-4: give a number from 1 on"),
        ("in_flight=4,4", "several different ones"),
        ("in_flight=[]", "several different ones"),
        ("in_flight=many", "in_flight=many: "),
    ],
)
def test_wrong_settings_end_with_status_2(
    argument: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulated_learner.compare", argument]) == 2
    assert message in capsys.readouterr().err


def test_arms_of_one_configuration_run_once() -> None:
    same = CompareTool(arms="default,posterior,guide").distinct_arms()
    assert same["default"] == "default"
    assert same["guide"] == "guide"
    assert same["uniform"] == "uniform"
    assert isinstance(compare(), CompareTool)


def test_workers_end_at_once_when_interrupted_and_twice_is_no_harm() -> None:
    """Work of ten minutes, an interrupt, and another one while the first is being answered: as uv
    and a terminal deliver it."""
    program = textwrap.dedent(
        """
        import time
        from experiments.simulated_learner import workers

        if __name__ == "__main__":
            try:
                with workers(2) as pool:
                    waiting = [pool.submit(time.sleep, 600) for _ in range(4)]
                    print("working", flush=True)
                    waiting[0].result()
            except KeyboardInterrupt:
                print("interrupted", flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    deadline = time.monotonic() + 60
    while (
        len(children := psutil.Process(process.pid).children(recursive=True)) < 2
    ):  # the pool starts them one by one
        assert time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGINT)
    while not psutil.wait_procs(children, timeout=0.02)[0]:  # until the answer has begun
        assert time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
