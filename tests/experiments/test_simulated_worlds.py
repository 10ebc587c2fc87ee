"""The further worlds: what is seen of a competence, families of tasks, neighbours, and shares."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from experiments.arms import ORACLE, UNIFORM
from experiments.simulated_learner import REPORTING, TUNING, CompareTool
from experiments.simulation import report
from experiments.simulation.families import Family, grid_neighbours
from experiments.simulation.learner import IMPOSSIBLE, Learner, Neighbours, World, logit, sigmoid
from experiments.simulation.observation import Luck, Noise, Observation
from experiments.simulation.runs import POINTS, Job, Run, run
from experiments.simulation.scenarios import SCENARIOS, Scenario
from experiments.simulation.worlds import GROUPS, WORLDS
from metta.cogworks.curriculum import Curriculum, CurriculumConfig, LearningProgressConfig

N = 20_000
P = 0.3


# -- observation -----------------------------------------------------------------------------------


def outcomes(noise: Noise, **constants: float) -> np.ndarray:
    observation, luck = Observation(noise, **constants), Luck(seed=0)
    return np.array([luck.outcome(P, observation) for _ in range(N)])


def test_gaussian_outcomes_have_the_competence_as_mean_and_their_scale_as_deviation() -> None:
    x = outcomes("gaussian", scale=0.2)
    assert x.mean() == pytest.approx(P, abs=4 * 0.2 / math.sqrt(N))
    # the standard error of a standard deviation of normal numbers is s / sqrt(2 n)
    assert x.std() == pytest.approx(0.2, abs=4 * 0.2 / math.sqrt(2 * N))


def test_lognormal_outcomes_have_the_competence_as_mean() -> None:
    """E = p and Var = p² (exp(s²) − 1); ln x is normal with deviation s."""
    x = outcomes("lognormal", scale=0.5)
    deviation = P * math.sqrt(math.exp(0.25) - 1)
    assert x.mean() == pytest.approx(P, abs=4 * deviation / math.sqrt(N))
    assert np.log(x).std() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(2 * N))
    assert (x > 0).all()


@pytest.mark.parametrize("freedom", [1.5, 2.0])
def test_student_t_outcomes_have_its_quantiles_about_the_competence(freedom: float) -> None:
    """There is no variance to compare: the share below a quantile is binomial."""
    x = outcomes("student_t", scale=0.1, freedom=freedom)
    for q in (0.05, 0.5, 0.95):
        below = float(np.mean(x < P + 0.1 * stats.t.ppf(q, freedom)))
        assert below == pytest.approx(q, abs=4 * math.sqrt(q * (1 - q) / N))


def test_bernoulli_outcomes_are_the_same_whatever_else_is_drawn() -> None:
    plain, mixed = Luck(seed=5), Luck(seed=5)
    expected = [plain.outcome(P, Observation()) for _ in range(50)]
    found = []
    for _ in range(50):
        mixed.outcome(P, Observation("gaussian", 1.0))
        found.append(mixed.outcome(P, Observation()))
    assert found == expected


def test_a_score_is_the_outcome_in_its_unit_above_its_offset_grown() -> None:
    observation = Observation(unit=3.0, offset=-1.0, growth=math.log(2.0) / 100)
    assert observation.score(0.5, episode=0) == pytest.approx(3.0 * 0.5 - 1.0)
    assert observation.score(0.5, episode=200) == pytest.approx(4.0 * (3.0 * 0.5 - 1.0))


def test_the_outcome_of_an_episode_is_the_mean_over_its_agents() -> None:
    scenario = Scenario(skills=1, agents=4, score_noise="gaussian", score_scale=0.2)
    learner = Learner(scenario.world(0), seed=0)
    for _ in range(500):  # at its ceiling, where practice changes nothing
        learner.practise(0)
    x = np.array([learner.practise(0) for _ in range(4000)])
    assert x.mean() == pytest.approx(0.99, abs=4 * 0.1 / math.sqrt(4000))
    assert x.std() == pytest.approx(0.1, abs=4 * 0.1 / math.sqrt(8000))


# -- learning --------------------------------------------------------------------------------------


def three_in_a_row(**changes: Any) -> World:
    constants: dict[str, Any] = {
        "start": np.full(3, logit(0.1)),
        "rate": np.full(3, 0.5),
        "ceiling": np.full(3, logit(0.99)),
        "parents": ((), (), ()),
        "mastery": 0.8,
        "blocked_success": 0.0,
        "half_life": math.inf,
        "shifts": (),
        "skill_of_task": np.array([0, 1, 2, IMPOSSIBLE], dtype=np.int32),
        "reward_scale": np.ones(3),
        "neighbours": Neighbours(((1,), (0, 2), (1,)), transfer=0.3, opens=0.4),
    }
    return World(**{**constants, **changes})


def practised(learner: Learner, task: int, episodes: int) -> Learner:
    for _ in range(episodes):
        learner.practise(task)
    return learner


def test_practice_gives_neighbours_their_share() -> None:
    learner = practised(Learner(three_in_a_row(), seed=0), 0, 4)
    expected = [logit(0.1) + 0.5 * 4, logit(0.1) + 0.3 * 0.5 * 4, logit(0.1)]
    assert learner.competence() == pytest.approx([sigmoid(theta) for theta in expected])


def test_a_place_opens_when_a_neighbour_is_half_mastered() -> None:
    """logit 0.4 − logit 0.1 is 1.79: four episodes of 0.5 open the next place, three do not."""
    learner = practised(Learner(three_in_a_row(), seed=0), 0, 3)
    before = learner.competence()
    assert practised(learner, 1, 5).competence().tolist() == before.tolist()
    practised(learner, 0, 1)
    assert practised(learner, 1, 1).competence()[1] > before[1]
    assert practised(learner, 2, 1).competence()[2] == sigmoid(logit(0.1) + 0.3 * 0.5)


def test_at_its_ceiling_a_skill_gives_nothing_more() -> None:
    learner = practised(Learner(three_in_a_row(), seed=0), 0, 100)
    steps = math.ceil((logit(0.99) - logit(0.1)) / 0.5)
    assert learner.competence()[1] == pytest.approx(sigmoid(logit(0.1) + 0.3 * 0.5 * steps))
    assert learner.gains()[0] == 0.0


@pytest.mark.parametrize("episodes", [0, 2, 4, 6])
def test_gains_with_neighbours_are_what_one_more_episode_brings(episodes: int) -> None:
    for skill in range(3):
        learner = practised(Learner(three_in_a_row(mastery=0.98), seed=0), 0, episodes)
        expected, before = learner.gains()[skill], learner.competence().sum()
        assert practised(learner, skill, 1).competence().sum() - before == pytest.approx(expected)


def test_by_success_nothing_is_learned_by_failing() -> None:
    world = three_in_a_row(by_success=True, neighbours=None, rate=np.full(3, 10.0))
    learner = Learner(world, seed=0)
    while not learner.practise(0):
        assert learner.competence()[0] == pytest.approx(0.1)
    assert learner.mastered().tolist() == [True, False, False]


def test_by_success_gains_and_episodes_are_expectations() -> None:
    """A success of probability 0.1 masters: ten episodes on average, each worth 0.1 of the rise."""
    world = three_in_a_row(by_success=True, neighbours=None, rate=np.full(3, 10.0))
    assert world.episodes_to_master().tolist() == [10, 10, 10]
    assert Learner(world, seed=0).gains() == pytest.approx([0.1 * (0.99 - 0.1)] * 3)


def test_a_reset_forgets_everything() -> None:
    scenario = Scenario(skills=3, episodes_to_master=5, reset_every=20, episodes=50)
    learner = practised(Learner(scenario.world(0), seed=0), 0, 19)
    assert learner.mastered()[0]
    assert practised(learner, 1, 1).competence()[[0, 2]] == pytest.approx([0.05, 0.05])


# -- families --------------------------------------------------------------------------------------


def test_neighbours_of_a_grid_differ_by_one_step() -> None:
    shape = (3, 4, 2)
    places = [np.unravel_index(cell, shape) for cell in range(24)]
    for cell, beside in enumerate(grid_neighbours(shape)):
        distance = [np.abs(np.subtract(place, places[cell])).sum() for place in places]
        assert set(beside) == set(np.flatnonzero(np.array(distance) == 1).tolist())


def family(world: World) -> Family:
    assert isinstance(world.skill_of_task, Family)
    return world.skill_of_task


def test_lists_are_a_finite_family_of_one_task_per_skill() -> None:
    world = WORLDS["variants_40"].world(0)
    assert sorted(family(world)[task] for task in range(world.num_tasks)) == list(range(40))
    config = CurriculumConfig(
        task_generator=family(world).generator(),
        algorithm_config=LearningProgressConfig(use_shared_memory=False),
    )
    with Curriculum(config) as curriculum:
        assert curriculum.get_base_stats()["num_active_tasks"] == 40
        for task in range(40):
            values = curriculum.bucket_values_of(task)
            assert family(world)[task] == 5 * values["a"] + values["b"]


def test_spans_are_cut_into_equal_cells() -> None:
    world = WORLDS["continuum"].world(0)
    generator = family(world).generator().create()
    for task in range(50):
        values = generator.get_bucket_values(task)
        cell = 12 * math.floor(12 * values["a"]) + math.floor(12 * values["b"])
        assert family(world)[task] == cell
    assert len(family(world)) == 1_000_000
    with pytest.raises(IndexError, match="task 1000000 is not one of"):
        family(world)[1_000_000]


def test_kinds_are_visible_and_half_of_them_impossible() -> None:
    world = WORLDS["kinds"].world(0)
    generator = family(world).generator().create()
    skill_of_kind: dict[int, int] = {}
    for task in range(3000):
        kind = generator.get_bucket_values(task)["a"]
        assert skill_of_kind.setdefault(kind, family(world)[task]) == family(world)[task]
    skills = sorted(skill_of_kind.values())
    assert skills == [IMPOSSIBLE] * 128 + list(range(128))


# -- the worlds ------------------------------------------------------------------------------------


def plain(world: World) -> list[Any]:
    arrays = (world.start, world.rate, world.ceiling, world.reward_scale)
    skills = [int(world.skill_of_task[task]) for task in range(min(200, world.num_tasks))]
    rest = [world.parents, world.shifts, world.observations, world.neighbours, skills]
    return [array.tolist() for array in arrays] + rest


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_depends_on_its_seed_alone(name: str) -> None:
    one, same = (plain(WORLDS[name].world(3)) for _ in range(2))
    assert one == same


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_runs_and_no_arm_is_better_than_the_oracle(name: str) -> None:
    """The first episodes of it: a curriculum is not yet better than uniform there, an oracle is."""
    start = WORLDS[name].model_copy(update={"episodes": 500})
    arms = {arm: run(Job(name, start, arm, seed=TUNING)) for arm in (UNIFORM, "default", ORACLE)}
    assert all(result.spent.sum() == 500 for result in arms.values())
    assert arms[ORACLE].area >= max(arms[UNIFORM].area, arms["default"].area)
    assert arms[ORACLE].final >= max(arms[UNIFORM].final, arms["default"].final)


def test_worlds_are_what_they_are_called() -> None:
    worlds = {name: scenario.world(0) for name, scenario in WORLDS.items()}
    kinds = [observation.noise for observation in worlds["coins"].observations]
    learnable = worlds["coins"].learnable
    assert (kinds.count("bernoulli"), learnable.sum(), len(kinds)) == (10, 5, 20)
    flat = ~learnable & (np.array(kinds) == "gaussian")
    assert worlds["coins"].start[flat] == pytest.approx([logit(0.3)] * 5)
    assert worlds["coins"].start[np.array(kinds) == "bernoulli"] == pytest.approx([0.0] * 10)
    assert worlds["coins"].episodes_to_master()[learnable].tolist() == [400] * 5
    assert worlds["unlearnable_95"].learnable.mean() == pytest.approx(0.05)
    scenario = WORLDS["drifting_scale"]
    last = scenario.budget(worlds["drifting_scale"])
    assert worlds["drifting_scale"].observations[0].score(1.0, last) == pytest.approx(10.0)
    offsets = [observation.offset for observation in worlds["offsets"].observations]
    assert (min(offsets) < -0.9, max(offsets) > 0.9) == (True, True)
    assert {observation.offset for observation in worlds["negative"].observations} == {-1.0}
    assert {len(parents) for parents in worlds["prerequisite_web"].parents} == {0, 3, 4, 5, 6}
    assert len(worlds["grid"].start) == 225


def test_all_equal_is_won_by_whoever_practises_everything_equally() -> None:
    world = WORLDS["all_equal"].world(0)
    budget = WORLDS["all_equal"].budget(world)
    learner = Learner(world, seed=0)
    for episode in range(budget):
        learner.practise(episode % world.num_skills)
    assert run(Job("all_equal", WORLDS["all_equal"], ORACLE, seed=0)).final == learner.level()


def test_groups_of_scenarios() -> None:
    assert list(CompareTool().chosen_scenarios()) == list(SCENARIOS)
    assert list(CompareTool(scenario="more").chosen_scenarios()) == list(WORLDS)
    assert list(CompareTool(scenario="every").chosen_scenarios()) == [*SCENARIOS, *WORLDS]
    assert list(CompareTool(scenario="grid,noise").chosen_scenarios()) == ["grid", "noise"]
    assert not set(SCENARIOS) & set(WORLDS)
    assert not set(GROUPS) & set(GROUPS["every"])


def test_seeds_for_reporting_and_for_fitting_do_not_overlap() -> None:
    most = next(m.le for m in CompareTool.model_fields["seeds"].metadata if hasattr(m, "le"))
    assert CompareTool().seed == REPORTING
    assert REPORTING + most <= TUNING


# -- shares ----------------------------------------------------------------------------------------


def made_run(curve: Callable[[np.ndarray], np.ndarray], merit: Any = "mastered") -> Run:
    episodes = np.arange(1, POINTS + 1) * 10
    values = curve(np.arange(POINTS) / (POINTS - 1))
    spent = np.tile([10, 0, 0, 0], (POINTS, 1))
    return Run(episodes, values.round().astype(np.int64), values, spent, 100, merit)


def test_shares_are_of_the_end_and_of_the_area() -> None:
    """Uniform reaches 20 and the oracle 100. An arm that reaches 60 at once has half of the gain at
    the end, and more of the area: with curves a·t of mean a/2, (60 − 10) / (50 − 10)."""
    runs = {
        UNIFORM: [made_run(lambda t: 20 * t, "level")] * 3,
        "default": [made_run(lambda t: 60 + 0 * t, "level")] * 3,
        ORACLE: [made_run(lambda t: 100 * t, "level")] * 3,
    }
    figures = report.figures(runs)
    assert figures["default"]["oracle_share"] == pytest.approx((60 - 20) / (100 - 20))
    assert figures["default"]["auc_share"] == pytest.approx((60 - 10) / (50 - 10))
    assert figures[UNIFORM]["auc_share"] == 0.0
    assert figures[ORACLE]["auc_share"] == 1.0


def test_there_is_no_share_of_a_gain_that_is_nothing() -> None:
    runs = {
        UNIFORM: [made_run(lambda t: 96 * t)],
        "default": [made_run(lambda t: 90 * t)],
        ORACLE: [made_run(lambda t: 100 * t)],
    }
    figures = report.figures(runs)
    assert figures["default"]["oracle_share"] is None
    summary = report.summary({"equal": figures})
    assert summary["default"]["mean_oracle_share"] is None
    assert summary["default"]["worst_auc_share"] is None
    assert report.summary_table({"equal": figures}, in_flight=1).row_count == 6


def test_the_summary_has_means_and_the_worst() -> None:
    def scenario(default: float) -> dict[str, Any]:
        runs = {UNIFORM: 20.0, "default": default, ORACLE: 100.0}
        return report.figures(
            {arm: [made_run(lambda t, v=v: v * t, "level")] * 2 for arm, v in runs.items()}
        )

    summary = report.summary({"good": scenario(60.0), "bad": scenario(12.0)})
    shares = [(60 - 20) / 80, (12 - 20) / 80]
    of_default = summary["default"]
    assert of_default["mean_oracle_share"] == pytest.approx(np.mean(shares))
    assert of_default["mean_auc_share"] == pytest.approx(np.mean(shares))
    worst = {"scenario": "bad", "share": [shares[1]] * 3}
    assert of_default["worst_oracle_share"] == of_default["worst_auc_share"] == worst
