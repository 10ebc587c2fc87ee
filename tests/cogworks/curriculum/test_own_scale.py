"""The posterior's scale of scores: a task's own, and its dispersion."""

import math

import numpy as np
import pytest

from metta.cogworks.curriculum import LearningProgressAlgorithm, LearningProgressConfig


def posterior(*scores: float, others: tuple[float, ...] = (0.0, 1.0)) -> LearningProgressAlgorithm:
    """Task 0 with ``scores``, after another task had ``others``."""
    config = LearningProgressConfig(
        scorer="posterior", num_active_tasks=4, use_shared_memory=False, max_slice_axes=0
    )
    algorithm = config.create(4)
    for score in others:
        algorithm.update_task_performance(3, score)
    add(algorithm, *scores)
    return algorithm


def add(algorithm: LearningProgressAlgorithm, *scores: float) -> None:
    for score in scores:
        algorithm.update_task_performance(0, score)


def columns(algorithm: LearningProgressAlgorithm, *names: str) -> list[float]:
    return [algorithm.task_tracker.get_column(0, name) for name in names]


def dispersion(algorithm: LearningProgressAlgorithm) -> float:
    spread, binary_spread = columns(algorithm, "spread", "binary_spread")
    return max(1.0 - spread / (1.0 + binary_spread), 0.05)


def coins(n: int, p: float = 0.5) -> list[float]:
    return (np.random.default_rng(1).random(n) < p).astype(float).tolist()


def test_what_other_tasks_pay_does_not_matter() -> None:
    scores = coins(40, 0.3)
    alone, beside = posterior(*scores), posterior(*scores, others=(-1000.0, 1000.0))
    names = ("level", "slope", "var_level", "var_slope")
    assert columns(alone, *names) == columns(beside, *names)


@pytest.mark.parametrize("offset", [-5.0, 0.5, 100.0])
def test_what_a_task_pays_for_nothing_does_not_matter(offset: float) -> None:
    scores = [0.0, 1.0, *coins(40, 0.3)]
    plain = posterior(*scores, others=(-200.0, 200.0))
    shifted = posterior(*(offset + score for score in scores), others=(-200.0, 200.0))
    names = ("level", "slope", "var_level", "var_slope")
    assert columns(shifted, *names) == columns(plain, *names)


@pytest.mark.parametrize(
    ("score", "counts"),
    [
        (1.0, 1.0),  # the highest of the pool
        (2.0, 1.0),
        (0.5, 0.0),
        (0.0, 0.0),
        (-1.0, 0.0),
    ],
)
def test_what_scores_count_as_that_are_all_the_same(score: float, counts: float) -> None:
    algorithm = posterior(score, score, score)
    assert columns(algorithm, "same") == [counts]
    (level,) = columns(algorithm, "level")
    assert math.copysign(1.0, level) == (1.0 if counts else -1.0)


def test_scores_that_were_all_the_same_turn_out_to_be_successes() -> None:
    """They counted as 0; then the task pays less."""
    algorithm = posterior(*[0.5] * 10)
    (before,) = columns(algorithm, "level")
    add(algorithm, 0.0)
    (after,) = columns(algorithm, "level")
    assert before < -1.0
    assert 0.0 < after < -before


def test_the_dispersion_of_zeros_and_ones_is_one() -> None:
    algorithm = posterior(*coins(200))
    assert columns(algorithm, "spread") == [0.0]
    assert dispersion(algorithm) == 1.0


@pytest.mark.parametrize("agents", [2, 4, 10])
def test_the_dispersion_of_a_mean_is_one_over_the_number_of_outcomes(agents: int) -> None:
    means = np.random.default_rng(0).binomial(agents, 0.5, 2000) / agents
    algorithm = posterior(0.0, 1.0, *means.tolist())
    # the ends of the scale may fade a little where they are rare, with ten agents
    assert dispersion(algorithm) == pytest.approx(1.0 / agents, abs=0.06)


def test_less_noise_is_more_knowledge() -> None:
    """As many completions of a mean of ten say more than of a single outcome."""
    means = np.random.default_rng(0).binomial(10, 0.5, 100) / 10
    (of_means,) = columns(posterior(0.0, 1.0, *means.tolist()), "var_level")
    (of_outcomes,) = columns(posterior(0.0, 1.0, *coins(100)), "var_level")
    assert of_means < 0.6 * of_outcomes


@pytest.mark.parametrize("outlier", [1000.0, -1000.0, 1e9])
def test_an_outlier_does_not_own_the_scale(outlier: float) -> None:
    random = np.random.default_rng(3)
    scores = random.uniform(0.0, 1.0, 60).tolist()
    algorithm, plain = posterior(*scores), posterior(*scores)
    add(algorithm, outlier)
    low, high = columns(algorithm, "lowest", "record")
    assert high - low < 1.6  # by at most half of itself
    for score in random.uniform(0.0, 1.0, 60).tolist():
        add(algorithm, score)
        add(plain, score)
    assert columns(algorithm, "level") == pytest.approx(columns(plain, "level"), abs=0.5)


def test_a_first_outlier_is_forgotten() -> None:
    """Nothing is known of the scale before it; its share of the scale falls by 3 % each time."""
    algorithm = posterior(0.0, 1000.0)
    add(algorithm, *np.random.default_rng(0).uniform(0.0, 1.0, 400).tolist())
    (record,) = columns(algorithm, "record")
    assert record < 10.0


def test_a_reward_that_grows_is_followed() -> None:
    algorithm = posterior(0.0, 1.0, 0.0, 1.0)
    add(algorithm, *[100.0, 0.0] * 15)
    assert columns(algorithm, "lowest", "record") == [0.0, 100.0]


def test_what_moves_the_scale_is_no_progress() -> None:
    """A task that gets 0.5 and 1 in turn, and then 0, had a success rate of three quarters."""
    algorithm = posterior(*[0.5, 1.0] * 30)
    assert abs(columns(algorithm, "level")[0]) < 0.5
    algorithm.update_task_performance(0, 0.25)  # half of the width
    add(algorithm, 0.0)
    (level,) = columns(algorithm, "level")
    assert level == pytest.approx(math.log(3.0), abs=0.6)


@pytest.mark.parametrize("scores", [(5e-324, 1e-323), (1e6, 1e6 + 2e-10), (-1e12, 1e12)])
def test_differences_at_the_limit_of_rounding(scores: tuple[float, float]) -> None:
    algorithm = posterior(*scores * 40, *np.linspace(*scores, 50).tolist())
    assert all(math.isfinite(worth) for worth in algorithm.score_tasks([0, 3]).values())


@pytest.mark.parametrize(
    "nearly",
    [
        (0.3, 0.1 + 0.2),  # which is 0.30000000000000004
        (0.0, 5e-324),
        (1e12, 1e12 + 0.0002),
    ],
)
def test_a_difference_of_rounding_is_no_scale(nearly: tuple[float, float]) -> None:
    """From which it could grow only by rounding errors, too: as if both were the first."""
    later = [1e12 * score if nearly[0] > 1.0 else score for score in [2.0, 0.5, 0.7, 2.0] * 30]
    alike = posterior(nearly[0], nearly[0], *later)
    differing = posterior(*nearly, *later)
    names = ("level", "slope", "lowest", "record")
    assert columns(differing, *names) == columns(alike, *names)
    assert columns(differing, "record")[0] == pytest.approx(max(later))


@pytest.mark.parametrize("unit", [0.1, 1e-9, 7e50])
def test_scores_at_the_ends_of_a_scale_are_there_in_any_unit(unit: float) -> None:
    """Where what is 1 in one unit is 1 - 1e-16 in another: 1.5 is the most to which the scale
    grows at once, and 0.15 and 1.35 are where scores begin to be near an end of it."""
    scores = [0.0, 1.0, 1.5, 1.5, 0.15, 1.35, 1.5, 0.15, *(1.5 * coin for coin in coins(40))]
    plain = posterior(*scores, others=(-2.0, 2.0))
    scaled = posterior(*(unit * score for score in scores), others=(-2.0 * unit, 2.0 * unit))
    names = ("level", "slope", "var_level", "spread")
    assert columns(scaled, *names) == pytest.approx(columns(plain, *names), rel=1e-6)
