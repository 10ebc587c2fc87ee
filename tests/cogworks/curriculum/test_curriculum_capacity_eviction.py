"""Capacity and eviction: which task leaves, when, and what takes its place."""

from typing import Any

import numpy as np
import pytest

from metta.cogworks.curriculum import (
    CurriculumConfig,
    LearningProgressAlgorithm,
    LearningProgressConfig,
)
from metta.cogworks.curriculum.eviction import percentile
from tests.cogworks.curriculum.algorithm_contract import score_of


def local(**fields: Any) -> LearningProgressConfig:
    return LearningProgressConfig(
        **{"num_active_tasks": 10, "use_shared_memory": False, "scorer": "bidirectional", **fields}
    )


def measured(
    progress: list[float], completions: int = 10, **fields: Any
) -> LearningProgressAlgorithm:
    """Ten tasks of which number `i` has `completions` completions and the learning progress
    `progress[i]`."""
    algorithm = local(**fields).create(10)
    for task_id, value in enumerate(progress):
        for _ in range(completions):
            algorithm.update_task_performance(task_id, 0.5)
        algorithm.task_tracker.update_lp_score(task_id, value)
    return algorithm


PROGRESS = [0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8, 0.0, 0.6, 0.4]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.5, 1.0])
def test_the_bottom_share_of_the_measured_tasks_may_leave(share: float) -> None:
    algorithm = measured(PROGRESS, eviction_threshold_percentile=share)
    ids = list(range(10))
    threshold = sorted(PROGRESS)[int(share * 9)]
    expected = (
        sorted((i for i in ids if PROGRESS[i] <= threshold), key=PROGRESS.__getitem__)
        if share
        else []
    )
    assert algorithm.evictions(100) == expected  # the lowest first
    assert algorithm.evictions(2) == expected[:2]
    assert algorithm.evictions(0) == []
    assert [i for i in ids if algorithm.should_evict_task(i, ids)] == sorted(expected)
    assert algorithm.recommend_eviction(ids) == 7


def test_the_comparison_is_with_the_given_tasks() -> None:
    algorithm = measured(PROGRESS)
    assert not algorithm.should_evict_task(0, list(range(10)))  # 0.5 is above the 40 % of all
    assert algorithm.should_evict_task(0, [0, 2, 4, 6])  # but the lowest of these
    assert algorithm.recommend_eviction([0, 2, 4]) == 0
    assert algorithm.recommend_eviction([]) is None
    assert algorithm.recommend_eviction([99]) is None
    assert not algorithm.should_evict_task(99, list(range(10)))


def test_the_second_argument_may_be_a_number_of_completions() -> None:
    algorithm = measured(PROGRESS, completions=12, min_samples_for_lp=10)
    assert algorithm.should_evict_task(7, 5)
    assert algorithm.should_evict_task(7, 12)
    assert not algorithm.should_evict_task(7, 13)
    assert not algorithm.should_evict_task(2, 5)
    few = measured(PROGRESS, completions=9, min_samples_for_lp=10)
    assert not few.should_evict_task(7, 5)  # not measured: no number makes it so


@pytest.mark.parametrize(
    "field", ["min_presentations_for_eviction", "sample_threshold", "min_samples_for_lp"]
)
def test_a_task_stays_until_the_largest_of_three_thresholds(field: str) -> None:
    others = {"min_presentations_for_eviction": 1, "sample_threshold": 1, "min_samples_for_lp": 1}
    for completions, leaves in ((6, False), (7, True)):
        algorithm = measured(PROGRESS, completions=completions, **{**others, field: 7})
        assert bool(algorithm.evictions(10)) == leaves
        assert algorithm.should_evict_task(7, list(range(10))) == leaves
        assert (algorithm.recommend_eviction(list(range(10))) == 7) == leaves


def test_the_percentile_is_an_order_statistic() -> None:
    scores = np.random.default_rng(0).random(17)
    for share in (0.0, 0.3, 0.4, 0.99, 1.0):
        assert percentile(scores, share) == np.sort(scores)[int(share * 16)]


def test_unmeasured_tasks_neither_leave_nor_count() -> None:
    algorithm = measured(PROGRESS[:5])
    for task_id in range(5, 10):
        algorithm.task_tracker.track_task_creation(task_id)
    assert algorithm.evictions(10) == [1, 3]  # of 5 measured ones; not the zeros of the unmeasured
    assert not algorithm.should_evict_task(7, list(range(10)))
    assert algorithm.recommend_eviction(list(range(5, 10))) is None


@pytest.mark.parametrize("shared", [False, True])
def test_no_task_leaves_before_it_was_measured(open_curriculum, shared: bool) -> None:
    """With the default thresholds: ten completions each, for as long as it runs."""
    curriculum = open_curriculum(
        CurriculumConfig(algorithm_config=local(use_shared_memory=shared), max_task_id=10_000)
    )
    assert curriculum.algorithm.hypers.eviction_samples() == 10
    tracker = curriculum.algorithm.task_tracker
    completions: dict[int, int] = {}
    pool, departures = set(tracker.get_all_tracked_tasks()), 0
    for step in range(1500):
        task_id = curriculum.get_task().task_id
        now = set(tracker.get_all_tracked_tasks())
        for gone in pool - now:
            assert completions.pop(gone) >= 10
            departures += 1
        pool = now
        curriculum.update_task_performance(task_id, score_of(task_id, step))
        completions[task_id] = completions.get(task_id, 0) + 1
    assert departures == curriculum.stats()["num_evicted"] > 20


def test_evicted_tasks_keep_counting_in_the_totals(open_curriculum) -> None:
    algorithm = local(min_presentations_for_eviction=1, sample_threshold=1, min_samples_for_lp=1)
    curriculum = open_curriculum(CurriculumConfig(algorithm_config=algorithm, max_task_id=10_000))
    for step in range(300):
        curriculum.update_task_performance(curriculum.get_task().task_id, score_of(step, step))
    stats = curriculum.stats()
    in_pool = sum(
        curriculum.algorithm.task_tracker.get_task_state(i).completion_count
        for i in curriculum.probabilities()
    )
    assert stats["num_evicted"] > 50
    assert in_pool < stats["num_completed"] == stats["algorithm/tracker/total_completions"] == 300
    assert stats["num_created"] == stats["num_evicted"] + 10


def test_a_task_in_flight_may_be_evicted_and_its_completion_is_late(open_curriculum) -> None:
    algorithm = local(
        num_active_tasks=2,
        min_presentations_for_eviction=1,
        sample_threshold=1,
        min_samples_for_lp=1,
    )
    curriculum = open_curriculum(CurriculumConfig(algorithm_config=algorithm, max_task_id=1000))
    in_flight = curriculum.get_task()
    for _ in range(100):
        in_flight.complete(0.5)  # no progress
        curriculum.get_task()
        if not curriculum.explain(in_flight.task_id).in_pool:
            break
    late = curriculum.stats()["late_completions"]
    totals = [
        curriculum.algorithm.task_tracker.get_task_state(i).total_score
        for i in curriculum.probabilities()
    ]
    in_flight.complete(0.5)
    assert curriculum.stats()["late_completions"] == late + 1
    after = [
        curriculum.algorithm.task_tracker.get_task_state(i).total_score
        for i in curriculum.probabilities()
    ]
    assert after == totals  # nobody was credited


def test_without_another_id_nobody_leaves(open_curriculum) -> None:
    algorithm = local(
        num_active_tasks=4,
        min_presentations_for_eviction=1,
        sample_threshold=1,
        min_samples_for_lp=1,
    )
    curriculum = open_curriculum(CurriculumConfig(algorithm_config=algorithm, max_task_id=4))
    for step in range(100):
        curriculum.update_task_performance(curriculum.get_task().task_id, score_of(step, step))
    assert sorted(curriculum.probabilities()) == [0, 1, 2, 3]
    assert curriculum.stats()["num_evicted"] == 0


def test_nearly_every_id_in_the_pool(open_curriculum) -> None:
    """The one id that is left is found, every time."""
    algorithm = local(
        num_active_tasks=9,
        min_presentations_for_eviction=1,
        sample_threshold=1,
        min_samples_for_lp=1,
    )
    curriculum = open_curriculum(CurriculumConfig(algorithm_config=algorithm, max_task_id=10))
    for step in range(200):
        curriculum.update_task_performance(curriculum.get_task().task_id, score_of(step, step))
        assert len(set(curriculum.probabilities())) == 9
    assert curriculum.stats()["num_evicted"] > 10


def test_capacity_is_given_once() -> None:
    assert CurriculumConfig(num_active_tasks=5).algorithm.num_active_tasks == 5
    assert (
        CurriculumConfig(
            algorithm_config=LearningProgressConfig(), num_active_tasks=5
        ).algorithm.num_active_tasks
        == 5
    )
    assert (
        CurriculumConfig(
            algorithm_config=LearningProgressConfig(num_active_tasks=7)
        ).num_active_tasks
        == 7
    )
    both = CurriculumConfig(
        algorithm_config=LearningProgressConfig(num_active_tasks=7), num_active_tasks=7
    )
    assert both.num_active_tasks == 7
    with pytest.raises(
        ValueError, match="num_active_tasks=5 here and 7 in algorithm_config: give it once"
    ):
        CurriculumConfig(
            algorithm_config=LearningProgressConfig(num_active_tasks=7), num_active_tasks=5
        )
    config = CurriculumConfig(num_active_tasks=5)
    config.num_active_tasks = 6
    assert config.algorithm.num_active_tasks == 6


@pytest.mark.parametrize("value", [0, -1])
def test_capacity_is_at_least_one(value: int) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        LearningProgressConfig(num_active_tasks=value)
