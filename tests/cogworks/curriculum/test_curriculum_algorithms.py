"""The algorithms: their contract, and what learning progress does with its parts."""

import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest

from metta.cogworks.curriculum import (
    CacheCoordinator,
    ColumnScorer,
    CurriculumConfig,
    DiscreteRandomConfig,
    DiscreteRandomCurriculum,
    LearningProgressAlgorithm,
    LearningProgressConfig,
    LPStatsAggregator,
    TaskTracker,
    lag_bound,
)
from metta.cogworks.curriculum.learning_progress_algorithm import SCORERS
from metta.cogworks.curriculum.pool.layout import COMPLETION_COUNT, LAST_SCORE
from metta.cogworks.curriculum.sampling import mix_uniform, zscore_softmax
from metta.cogworks.curriculum.weighing import explored
from tests.cogworks.curriculum.algorithm_contract import STEPS, AlgorithmContract, steps
from tests.cogworks.curriculum.curriculum_examples import CopyConfig, RareFirst, RareFirstConfig
from tests.cogworks.curriculum.states import as_json

EXAMPLES = "tests.cogworks.curriculum.curriculum_examples"
# Tasks may leave as soon as they have one completion, so that thirty steps see several evictions.
QUICK = {"num_active_tasks": 6, "use_shared_memory": False, "min_presentations_for_eviction": 1} | {
    "sample_threshold": 1,
    "min_samples_for_lp": 1,
    "rand_task_rate": 0.2,
    "eviction_worth_ratio": 1e9,
}


class TestDiscreteRandom(AlgorithmContract):
    @pytest.fixture
    def config(self) -> DiscreteRandomConfig:
        return DiscreteRandomConfig(num_active_tasks=6, use_shared_memory=False)


class TestLearningProgress(AlgorithmContract):
    @pytest.fixture(params=[*SCORERS, f"{EXAMPLES}.SharedScorer", f"{EXAMPLES}.StepScorer"])
    def config(self, request: pytest.FixtureRequest) -> LearningProgressConfig:
        return LearningProgressConfig(scorer=request.param, **QUICK)

    def test_the_steps_of_the_contract_see_evictions(
        self, whole: CurriculumConfig, open_curriculum
    ) -> None:
        curriculum = open_curriculum(whole)
        steps(curriculum, 0, STEPS)
        assert curriculum.stats()["num_evicted"] >= 3


class TestCustomAlgorithm(AlgorithmContract):
    @pytest.fixture
    def config(self) -> RareFirstConfig:
        return RareFirstConfig(num_active_tasks=6, use_shared_memory=False)


class TestCopyOfTheShippedAlgorithm(AlgorithmContract):
    @pytest.fixture
    def config(self) -> CopyConfig:
        return CopyConfig(num_active_tasks=6, use_shared_memory=False)


def local(**fields) -> LearningProgressConfig:
    return LearningProgressConfig(**{"num_active_tasks": 6, "use_shared_memory": False, **fields})


def test_uniform_sampling_is_uniform_whatever_the_scores(open_curriculum) -> None:
    curriculum = open_curriculum(DiscreteRandomConfig(num_active_tasks=5, use_shared_memory=False))
    steps(curriculum, 0, 100)
    assert list(curriculum.probabilities().values()) == pytest.approx([0.2] * 5)
    assert curriculum.stats()["num_evicted"] == 0
    algorithm = curriculum.algorithm
    assert isinstance(algorithm, DiscreteRandomCurriculum)
    ids = algorithm.task_tracker.get_all_tracked_tasks()
    assert algorithm.recommend_eviction(ids) is None
    assert algorithm.score_tasks(ids) == dict.fromkeys(ids, 1.0)
    algorithm.update_task_performance(ids[0], 0.5)  # outside of a curriculum
    assert algorithm.task_tracker.get_global_stats()["total_completions"] == 101


def test_the_distribution_is_the_documented_pipeline(open_curriculum) -> None:
    """progress → exploration bonus → z-score × amplification → softmax → share of uniform."""
    config = local(
        scorer="bidirectional", z_score_amplification=1.5, rand_task_rate=0.1, exploration_bonus=0.2
    )
    curriculum = open_curriculum(config.model_copy(update={"min_samples_for_lp": 4}))
    ids = curriculum.algorithm.task_tracker.get_all_tracked_tasks()
    for i, task_id in enumerate(ids[:4]):  # the last two stay unmeasured
        for step in range(4):
            curriculum.update_task_performance(task_id, step * i / 12)
    curriculum.update_task_performance(ids[4], 0.5)
    progress = np.array(list(curriculum.algorithm.score_tasks(ids).values()))
    bonus = progress[:4].mean() + 0.2 * progress[:4].max()
    worth = np.append(progress[:4], [max(bonus, progress[4]), bonus])
    z = (worth - worth.mean()) / worth.std()
    softmax = np.exp(1.5 * z) / np.exp(1.5 * z).sum()
    assert curriculum.algorithm.distribution() == pytest.approx(0.9 * softmax + 0.1 / 6)
    assert curriculum.algorithm.distribution() == pytest.approx(
        mix_uniform(zscore_softmax(worth, 1.5), 0.1)
    )


def test_the_exploration_bonus_is_on_the_scale_of_the_others_progress() -> None:
    measured = np.array([True, True, False])
    for scale in (1.0, 1e-3):
        progress = scale * np.array([0.1, 0.3, 0.0])
        mean, top = progress[:2].mean(), progress[:2].max()
        assert explored(progress, measured, mean, top, 0.5) == pytest.approx(
            scale * np.array([0.1, 0.3, 0.2 + 0.15])
        )
    # no progress anywhere: the scale is 1
    assert explored(np.zeros(3), measured, 0.0, 0.0, 0.5).tolist() == [0.0, 0.0, 0.5]
    assert explored(np.zeros(2), np.zeros(2, bool), 0.0, 0.0, 0.5).tolist() == [0.5, 0.5]
    assert explored(np.ones(2), np.ones(2, bool), 1.0, 1.0, 0.5).tolist() == [1.0, 1.0]


def test_tasks_with_progress_are_drawn_more(open_curriculum) -> None:
    curriculum = open_curriculum(
        local(scorer="bidirectional", min_samples_for_lp=1, eviction_threshold_percentile=0.0)
    )
    ids = curriculum.algorithm.task_tracker.get_all_tracked_tasks()
    for _ in range(3):
        for task_id in ids:
            curriculum.update_task_performance(task_id, 0.5)
    for value in (0.7, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0):
        curriculum.update_task_performance(ids[2], value)
    probabilities = curriculum.probabilities()
    assert max(probabilities, key=probabilities.__getitem__) == ids[2]
    explanation = curriculum.explain(ids[2])
    assert explanation.rank == 1
    assert explanation.learning_progress > 0.0


def test_the_distribution_lags_by_less_than_its_bound(open_curriculum) -> None:
    """The bound is max(8, tasks / 32): until then the distribution stands, at it the distribution
    counts everything."""
    assert [lag_bound(n) for n in (1, 256, 640, 6400)] == [8, 8, 20, 200]
    curriculum = open_curriculum(local(num_active_tasks=640, scorer="basic"))
    ids = list(curriculum.probabilities())
    for n in range(30):
        before = curriculum.probabilities()
        curriculum.update_task_performance(ids[n], n % 2)
        curriculum.update_task_performance(ids[n], 1 - n % 2)
        completions = 2 * (n + 1)
        assert (curriculum.probabilities() != before) == (completions % lag_bound(640) == 0)


def test_an_algorithm_alone_tracks_what_it_is_told() -> None:
    algorithm = local(scorer="bidirectional").create(6)
    assert algorithm.score_tasks([3]) == {3: 0.0}
    algorithm.update_task_performance(3, 0.0)
    algorithm.update_task_performance(3, 1.0)
    assert algorithm.score_tasks([3])[3] == algorithm.get_learning_progress_score(3) > 0.0
    assert algorithm.get_learning_progress_score(3, algorithm.task_tracker) > 0.0
    algorithm.on_task_evicted(3)
    assert algorithm.task_tracker.get_task_stats(3) is None
    assert algorithm.score_tasks([3]) == {3: 0.0}


@pytest.mark.parametrize(
    ("task_id", "score"), [(1, float("nan")), (1, "much"), (-1, 0.5), (1.5, 0.5)]
)
def test_an_algorithm_alone_refuses_what_a_curriculum_does(task_id, score) -> None:
    algorithm = local().create(6)
    with pytest.raises(ValueError, match="task"):
        algorithm.update_task_performance(task_id, score)
    assert algorithm.task_tracker.get_all_tracked_tasks() == []


def test_it_is_put_together_from_the_guides_components() -> None:
    algorithm = local(scorer="bidirectional").create(6)
    assert isinstance(algorithm, LearningProgressAlgorithm)
    assert isinstance(algorithm.task_tracker, TaskTracker)
    assert isinstance(algorithm.stats_aggregator, LPStatsAggregator)
    assert isinstance(algorithm.cache_coordinator, CacheCoordinator)
    assert algorithm.cache_coordinator.scorer is algorithm.scorer
    algorithm.update_task_performance(0, 0.5)
    stats = algorithm.stats()
    aggregated = algorithm.stats_aggregator.get_all_stats(
        include_tracker=True, include_scorer=True, include_slice=True
    )
    assert aggregated.items() <= stats.items() | {("num_tasks", 6.0)}
    assert {"num_tasks", "tracker/mean_recent_score", "lp/mean_learning_progress"} <= set(stats)
    assert {"lp/mean_task_success_rate", "lp/mean_sample_prob"} <= set(stats)


def test_statistics_are_computed_anew_only_after_a_change() -> None:
    algorithm = local().create(6)
    algorithm.update_task_performance(0, 0.5)
    first = algorithm.get_detailed_stats()
    assert algorithm._cache_valid
    first["tracker/mean_recent_score"] = 99.0  # a copy
    assert algorithm.get_detailed_stats()["tracker/mean_recent_score"] == 0.5
    algorithm.update_task_performance(0, 1.0)
    assert not algorithm._cache_valid
    assert algorithm.get_detailed_stats()["tracker/mean_recent_score"] == 0.75


def test_a_custom_algorithm_hears_of_every_completion_creation_and_eviction(
    open_curriculum,
) -> None:
    curriculum = open_curriculum(
        CurriculumConfig(algorithm_config=RareFirstConfig(num_active_tasks=4), max_task_id=100)
    )
    algorithm = curriculum.algorithm
    assert isinstance(algorithm, RareFirst)
    drawn = steps(curriculum, 0, 60)
    stats = curriculum.stats()
    assert [task_id for task_id, _ in algorithm.noted] == drawn
    assert len(algorithm.created) == stats["num_created"] > 4
    assert len(algorithm.evicted) == stats["num_evicted"] == stats["num_created"] - 4
    pool = Counter(algorithm.task_tracker.get_all_tracked_tasks())
    assert Counter(algorithm.created) - Counter(algorithm.evicted) == pool
    assert stats["num_completed"] == 60  # recorded once each


@pytest.mark.parametrize("value", [float("nan"), -1.0, float("inf")])
def test_tasks_that_a_custom_algorithm_scores_as_nonsense_are_retired(
    open_curriculum, monkeypatch, caplog, value: float
) -> None:
    curriculum = open_curriculum(RareFirstConfig(num_active_tasks=4, use_shared_memory=False))
    bad = curriculum.get_task().task_id
    monkeypatch.setattr(
        RareFirst, "score_tasks", lambda self, ids: {i: value if i == bad else 1.0 for i in ids}
    )
    with curriculum.table as table:
        table.samples.mark_stale()
    assert bad not in curriculum.probabilities()
    assert curriculum.stats()["num_invalid"] == 1
    assert f"task {bad} is invalid and was replaced" in caplog.text
    assert f"RareFirst weighs it as {value}" in caplog.text
    monkeypatch.setattr(RareFirst, "score_tasks", lambda self, ids: dict.fromkeys(ids, value))
    for _ in range(50):  # whatever it says, the pool goes on
        curriculum.get_task().complete(0.5)


def test_a_custom_algorithm_without_preferences_is_uniform(open_curriculum, monkeypatch) -> None:
    monkeypatch.setattr(RareFirst, "score_tasks", lambda self, ids: {})
    curriculum = open_curriculum(RareFirstConfig(num_active_tasks=4, use_shared_memory=False))
    assert list(curriculum.probabilities().values()) == pytest.approx([0.25] * 4)


def test_a_completion_that_the_algorithm_fails_on_leaves_the_row_as_it_was(
    open_curriculum, monkeypatch
) -> None:
    curriculum = open_curriculum(RareFirstConfig(num_active_tasks=4, use_shared_memory=False))
    task = curriculum.get_task()
    task.complete(0.5)
    before, whole = task.state, as_json(curriculum.get_state())

    def fails(self, task_id: int, score: float) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(RareFirst, "update_task_performance", fails)
    with pytest.raises(OSError, match="disk full"):
        task.complete(1.0)
    assert task.state == before
    assert as_json(curriculum.get_state()) == whole  # clock and recent scores as well
    assert curriculum.stats()["num_completed"] == 1


def test_no_warnings_at_the_edges() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sampling in (
            "power",
            "zscore_softmax",
            "zscore_sigmoid",
            "quantile_sigmoid",
            "temperature_softmax",
            "uniform",
        ):
            algorithm = local(num_active_tasks=1, sampling=sampling).create(1)
            algorithm.update_task_performance(0, 1e90)
            assert algorithm.distribution() == pytest.approx(np.array([1.0]))


class CertainScorer(ColumnScorer):
    """Every seen task is worth its last score; of unseen ones it cannot tell."""

    explores = True

    def bind_columns(self, at: dict[str, int]) -> None:
        pass

    def update_row(self, row: Any, x: float, low: float, high: float, clock: int) -> None:
        pass

    def score_row(self, row: Any, low: float, high: float, clock: int) -> float:
        return row[LAST_SCORE]

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        return np.where(rows[:, COMPLETION_COUNT] > 0, rows[:, LAST_SCORE], np.nan)


def test_what_leaves_the_pool_is_below_a_share_of_what_an_unseen_task_is_worth() -> None:
    hypers = local(**{**QUICK, "num_active_tasks": 10, "eviction_threshold_percentile": 1.0})
    algorithm = hypers.create(10)
    for task_id in range(10):
        algorithm.update_task_performance(task_id, 0.0)
        algorithm.update_task_performance(task_id, float(task_id % 2))
    worth = dict(enumerate(algorithm.task_tracker.table.column("lp_score").tolist()))
    unseen = float(
        algorithm.scorer.score_rows(np.zeros((1, algorithm.table.layout.row_size)), 0.0, 1.0, 0)[0]
    )
    for ratio in (0.0, min(worth.values()) / unseen, 1e9):
        hypers = hypers.model_copy(update={"eviction_worth_ratio": ratio})
        algorithm = LearningProgressAlgorithm(10, hypers, task_tracker=algorithm.task_tracker)
        expected = {task_id for task_id, value in worth.items() if value <= ratio * unseen}
        with algorithm.task_tracker.table:
            assert set(algorithm.evictions(10)) == expected
        assert {task_id for task_id in worth if algorithm.should_evict_task(task_id)} == expected


def test_a_scorer_that_cannot_tell_of_unseen_tasks_evicts_by_percentile_alone() -> None:
    hypers = local(**{**QUICK, "num_active_tasks": 10, "eviction_threshold_percentile": 0.5})
    algorithm = LearningProgressAlgorithm(10, hypers, scorer=CertainScorer(hypers))
    for task_id in range(10):
        algorithm.update_task_performance(task_id, task_id / 10)
    with algorithm.task_tracker.table:
        assert algorithm.evictions(10) == [
            0,
            1,
            2,
            3,
            4,
        ]  # floor(0.5 · 9) = 4 are sorted before the threshold
    assert [task_id for task_id in range(10) if algorithm.should_evict_task(task_id)] == [
        0,
        1,
        2,
        3,
        4,
    ]
