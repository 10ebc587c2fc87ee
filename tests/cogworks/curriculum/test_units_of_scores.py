"""The unit of the scores never matters: what is drawn, and how, is the same in any."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metta.cogworks.curriculum import Curriculum, LearningProgressConfig
from metta.cogworks.curriculum.config import CurriculumConfig
from metta.cogworks.curriculum.learning_progress_algorithm import SCORERS

EPISODES = 150


def play(config: LearningProgressConfig, rewards: list[float], factor: float, seed: int):
    """The tasks drawn in a run, and the probabilities at its end. A task's rewards are a few of
    ``rewards``, which it gets in the order of its own luck, times ``factor``."""
    luck = np.random.default_rng(seed)
    drawn = []
    with Curriculum(CurriculumConfig(algorithm_config=config, seed=seed)) as curriculum:
        for _ in range(EPISODES):
            task = curriculum.get_task()
            drawn.append(task.task_id)
            own = np.random.default_rng(task.task_id).integers(0, len(rewards), 3)
            task.complete(factor * rewards[luck.choice(own)])
        return drawn, curriculum.probabilities()


def config_of(scorer: str) -> LearningProgressConfig:
    return LearningProgressConfig(scorer=scorer, num_active_tasks=6, use_shared_memory=False)


rewards = st.lists(
    st.sampled_from([0.0, 1.0]) | st.floats(-3.0, 3.0, width=16), min_size=1, max_size=4
)


@pytest.mark.parametrize("scorer", SCORERS)
@settings(max_examples=20, deadline=None)
@given(rewards=rewards, exponent=st.integers(-60, 60), seed=st.integers(0, 9))
def test_a_power_of_two_changes_no_bit(
    scorer: str, rewards: list[float], exponent: int, seed: int
) -> None:
    config = config_of(scorer)
    expected = play(config, rewards, 1.0, seed)
    assert play(config, rewards, 2.0**exponent, seed) == expected


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("factor", [1e-6, 0.001, 3.0, 1e6])
def test_another_factor_changes_the_probabilities_by_rounding_only(
    scorer: str, factor: float
) -> None:
    scores = [(int(i), float(x)) for i, x in np.random.default_rng(0).normal(0.3, 1.0, (200, 2))]
    worth = []
    for unit in (1.0, factor):
        algorithm = config_of(scorer).create(6)
        for number, (task, score) in enumerate(scores):
            algorithm.update_task_performance(abs(task) % 6, unit * score * (number % 3))
        worth.append(algorithm.score_tasks(list(range(6))))
    # A difference of two averages, which `signed` and `bidirectional` are, loses digits.
    assert worth[1] == pytest.approx(worth[0], rel=1e-6)


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("score", [0.0, 5.0, -5.0])
def test_scores_that_are_all_the_same_are_a_range_like_another(scorer: str, score: float) -> None:
    algorithm = config_of(scorer).create(6)
    for task in range(6):
        algorithm.update_task_performance(task, score)
        algorithm.update_task_performance(task, score)
    assert algorithm.task_tracker.table.header.seen_range == (min(score, 0.0), max(score, 0.0))
    assert all(
        math.isfinite(worth) and worth >= 0
        for worth in algorithm.score_tasks(list(range(6))).values()
    )


def test_a_small_reward_counts_as_much_as_a_large_one() -> None:
    algorithm = config_of("posterior").create(6)
    for score in (0.0, 1.0, 0.0, 1.0, 1.0):
        algorithm.update_task_performance(0, 1e6 * score)
        algorithm.update_task_performance(1, 1e-6 * score)
    worth = algorithm.score_tasks([0, 1])
    assert worth[1] == pytest.approx(worth[0], rel=1e-3)  # their last completion is not as long ago


def test_the_first_score_is_not_the_origin() -> None:
    """A task that succeeds at once is one that succeeds, whatever the others have paid."""
    algorithm = config_of("posterior").create(6)
    algorithm.update_task_performance(3, 1.0)
    assert algorithm.task_tracker.get_column(3, "level") > 0.0
    assert algorithm.task_tracker.table.header.score_range == (0.0, 1.0)


@pytest.mark.parametrize("task_id", [0, 1])
def test_the_range_of_clipped_scores_is_from_zero_to_one(task_id: int) -> None:
    config = config_of("learnability").model_copy(update={"score_normalization": "clip"})
    algorithm = config.create(6)
    algorithm.update_task_performance(task_id, 0.25)
    assert algorithm.task_tracker.table.header.score_range == (0.0, 1.0)
