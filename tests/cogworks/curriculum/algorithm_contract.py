"""What every algorithm promises. A project's own algorithm passes it too:

class TestMyAlgorithm(AlgorithmContract):
    @pytest.fixture
    def config(self):
        return MyConfig(num_active_tasks=6, use_shared_memory=False)
"""

import json
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats

from metta.cogworks.curriculum import Curriculum, CurriculumAlgorithmConfig, CurriculumConfig
from tests.cogworks.curriculum.states import as_json, only_plain, without_times

STEPS = 36


def score_of(task_id: int, step: int) -> float:
    """Some score in [0, 1] that depends on the task and on how far training has come; 0.0 and 1.0
    among them."""
    return min(1.0, max(0.0, ((task_id * 37 + step * 11) % 23) / 20.0 - 0.05))


def steps(curriculum: Curriculum, begin: int, end: int) -> list[int]:
    """Items `begin` to `end` of a run; returns the ids of their tasks."""
    drawn = []
    for step in range(begin, end):
        task_id = curriculum.get_task().task_id
        drawn.append(task_id)
        curriculum.update_task_performance(task_id, score_of(task_id, step))
    return drawn


class AlgorithmContract:
    """Inherit, and give a fixture `config`: a configuration of the algorithm with 6 tasks, in local
    memory."""

    @pytest.fixture
    def config(self) -> CurriculumAlgorithmConfig:
        raise NotImplementedError("a contract test gives a fixture `config`")

    @pytest.fixture
    def whole(self, config: CurriculumAlgorithmConfig) -> CurriculumConfig:
        return CurriculumConfig(algorithm_config=config, max_task_id=1000, seed=3)

    def test_probabilities_are_a_distribution_over_the_pool(
        self, whole: CurriculumConfig, open_curriculum: Any
    ) -> None:
        curriculum = open_curriculum(whole)
        for _ in range(12):
            steps(curriculum, 0, 7)
            probabilities = curriculum.probabilities()
            assert set(probabilities) == set(
                curriculum.algorithm.task_tracker.get_all_tracked_tasks()
            )
            assert min(probabilities.values()) >= 0.0
            assert sum(probabilities.values()) == pytest.approx(1.0)

    @pytest.mark.parametrize("shared", [False, True])
    def test_frequencies_agree_with_probabilities(
        self, whole: CurriculumConfig, open_curriculum: Any, shared: bool
    ) -> None:
        algorithm = whole.algorithm.model_copy(update={"use_shared_memory": shared})
        curriculum = open_curriculum(whole.model_copy(update={"algorithm_config": algorithm}))
        steps(curriculum, 0, 40)
        curriculum.get_task()  # who may leave after the last completion has left
        curriculum.forget_in_flight()
        expected = curriculum.probabilities()
        drawn = []
        for _ in range(4_000):  # the pool is frozen: nothing is completed, in flight or lost
            drawn.append(curriculum.get_task().task_id)
            curriculum.forget_in_flight()
        assert curriculum.probabilities() == pytest.approx(expected, rel=1e-9)
        observed = {task_id: drawn.count(task_id) for task_id in expected}
        assert sum(observed.values()) == len(drawn)
        possible = [task_id for task_id, p in expected.items() if p > 0.0]
        assert all(observed[task_id] == 0 for task_id in expected if task_id not in possible)
        result = stats.chisquare(
            [observed[i] for i in possible], [expected[i] * len(drawn) for i in possible]
        )
        assert result.pvalue > 1e-3

    def test_no_task_is_in_the_pool_twice_and_the_counters_add_up(
        self, whole: CurriculumConfig, open_curriculum: Any
    ) -> None:
        curriculum = open_curriculum(whole)
        tracker = curriculum.algorithm.task_tracker
        for step in range(300):
            steps(curriculum, step, step + 1)
            ids = tracker.get_all_tracked_tasks()
            assert len(ids) == len(set(ids)) == 6
        stats = curriculum.stats()
        assert stats["num_scheduled"] == stats["num_completed"] + stats["late_completions"] == 300
        assert (
            stats["num_created"] - stats["num_evicted"] - stats["num_invalid"]
            == stats["num_active_tasks"]
            == 6
        )

    @pytest.mark.parametrize("report", ["task", "curriculum", "many", "and draw"])
    def test_a_completion_is_counted_once(
        self, whole: CurriculumConfig, open_curriculum: Any, report: str
    ) -> None:
        curriculum = open_curriculum(whole)
        for step in range(10):
            task = curriculum.get_task()
            score = score_of(task.task_id, step)
            if report == "task":
                task.complete(score)
            elif report == "curriculum":
                curriculum.update_task_performance(task.task_id, score)
            elif report == "many":
                curriculum.update_tasks([task.task_id], [score])
            else:
                curriculum.complete_and_draw(task, score)
        tracker = curriculum.algorithm.task_tracker
        assert curriculum.stats()["num_completed"] == 10
        assert tracker.get_global_stats()["total_completions"] == 10
        assert tracker.get_state()["counters"]["clock"] == 10
        assert tracker.get_state()["counters"]["history"] == 10

    def test_an_algorithm_alone_counts_a_completion_once(
        self, config: CurriculumAlgorithmConfig
    ) -> None:
        algorithm = config.create(6)
        tracker = algorithm.task_tracker
        algorithm.update_task_performance(3, 0.5)
        state = tracker.get_task_state(3)
        assert state is None or state.completion_count == 1

    def test_eviction_is_recommended_among_the_given_tasks(
        self, whole: CurriculumConfig, open_curriculum: Any
    ) -> None:
        curriculum = open_curriculum(whole)
        steps(curriculum, 0, 200)
        algorithm, ids = (
            curriculum.algorithm,
            curriculum.algorithm.task_tracker.get_all_tracked_tasks(),
        )
        for some in (ids, ids[:1], []):
            assert algorithm.recommend_eviction(some) in [None, *some]
        for task_id in ids:  # both forms of the second argument
            assert algorithm.should_evict_task(task_id, ids) in (True, False)
            assert algorithm.should_evict_task(task_id, 10**9) is False

    def test_statistics_are_finite_numbers(
        self, whole: CurriculumConfig, open_curriculum: Any
    ) -> None:
        curriculum = open_curriculum(whole)
        for _ in range(2):
            values = curriculum.stats()
            assert "algorithm/num_tasks" in values
            assert all(type(value) is float and math.isfinite(value) for value in values.values())
            steps(curriculum, 0, 20)

    def test_explanations_agree_with_probabilities(
        self, whole: CurriculumConfig, open_curriculum: Any
    ) -> None:
        curriculum = open_curriculum(whole)
        steps(curriculum, 0, 30)
        for task_id, probability in curriculum.probabilities().items():
            explanation = curriculum.explain(task_id)
            assert explanation.probability == pytest.approx(probability)
            assert str(task_id) in str(explanation)

    @pytest.mark.parametrize("through", [lambda state: state, as_json], ids=["arrays", "json"])
    def test_resumed_from_every_step_the_rest_is_identical(
        self, whole: CurriculumConfig, open_curriculum: Any, through: Callable[[Any], Any]
    ) -> None:
        curriculum, snapshots, drawn = open_curriculum(whole), [], []
        for step in range(STEPS):
            snapshots.append(through(curriculum.get_state()))
            drawn += steps(curriculum, step, step + 1)
        final = without_times(curriculum.get_state())
        for step, snapshot in enumerate(snapshots):
            resumed = open_curriculum(
                whole.model_copy(update={"seed": 99})
            )  # the saved seed counts
            resumed.load_state(snapshot)
            assert steps(resumed, step, STEPS) == drawn[step:], f"resumed before item {step}"
            assert {**without_times(resumed.get_state()), "seed": 3} == final, (
                f"resumed before item {step}"
            )

    def test_state_is_plain(self, whole: CurriculumConfig, open_curriculum: Any) -> None:
        curriculum = open_curriculum(whole)
        steps(curriculum, 0, 20)
        assert only_plain(curriculum.get_state())

    def test_state_of_another_algorithm_is_refused(
        self, whole: CurriculumConfig, open_curriculum: Any
    ) -> None:
        curriculum = open_curriculum(whole)
        state = curriculum.get_state()
        before = without_times(state)
        state["algorithm"] = {**state["algorithm"], "type": "another"}
        with pytest.raises(ValueError, match="belongs to algorithm 'another'"):
            curriculum.load_state(state)
        assert without_times(curriculum.get_state()) == before

    def test_configuration_round_trips(
        self, config: CurriculumAlgorithmConfig, whole: CurriculumConfig
    ) -> None:
        assert type(config).model_validate(config.model_dump()) == config
        assert CurriculumConfig.model_validate(json.loads(whole.model_dump_json())) == whole
        assert pickle.loads(pickle.dumps(whole)) == whole

    def test_a_shared_pool_is_one_pool(
        self, whole: CurriculumConfig, open_curriculum: Any, session_id: str
    ) -> None:
        one, two = (
            open_curriculum(whole.with_session(session_id)),
            open_curriculum(whole.with_session(session_id)),
        )
        assert one.probabilities() == two.probabilities()
        steps(one, 0, 10)
        steps(two, 10, 20)
        assert one.probabilities() == two.probabilities()
        assert one.stats() == two.stats()
        assert without_times(one.get_state()) == without_times(two.get_state())
