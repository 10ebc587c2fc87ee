"""What every scorer promises. A project's own scorer passes it too:

class TestMyScorer(ScorerContract):
    @pytest.fixture
    def config(self):
        return LearningProgressConfig(scorer="my_project.scorers.MyScorer", num_active_tasks=8,
        use_shared_memory=False)
"""

import math
from collections.abc import Iterable

import numpy as np
import pytest

from metta.cogworks.curriculum import (
    ColumnScorer,
    LearningProgressAlgorithm,
    LearningProgressConfig,
    TaskTracker,
)
from tests.cogworks.curriculum.states import as_json, only_plain

Completions = list[tuple[int, float]]


def completions(
    seed: int, n: int, tasks: int = 5, low: float = 0.0, high: float = 1.0
) -> Completions:
    """Random completions of tasks 0 to `tasks` - 1, the same for the same seed; every tenth score
    is exactly 0 or 1."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(low, high, n)
    scores[::10] = rng.integers(0, 2, len(scores[::10]))
    return [
        (int(task_id), float(score))
        for task_id, score in zip(rng.integers(0, tasks, n), scores, strict=True)
    ]


def record(algorithm: LearningProgressAlgorithm, items: Iterable[tuple[int, float]]) -> None:
    for task_id, score in items:
        algorithm.update_task_performance(task_id, score)


class ScorerContract:
    """Inherit, and give a fixture `config`: a configuration with the scorer, 8 tasks, in local
    memory."""

    @pytest.fixture
    def config(self) -> LearningProgressConfig:
        raise NotImplementedError("a contract test gives a fixture `config`")

    @pytest.fixture
    def algorithm(self, config: LearningProgressConfig) -> LearningProgressAlgorithm:
        algorithm = config.create(config.num_active_tasks)
        for task_id in range(8):
            algorithm.task_tracker.track_task_creation(task_id)
        return algorithm

    def test_an_unknown_task_scores_zero_and_its_completion_is_ignored(
        self, algorithm: LearningProgressAlgorithm
    ) -> None:
        scorer, tracker = algorithm.scorer, algorithm.task_tracker
        before = as_json(tracker.get_state())
        assert scorer.score_task(99, tracker) == 0.0
        scorer.update_with_score(99, 1.0)
        scorer.remove_task(99)
        assert scorer.score_task(99, tracker) == 0.0
        assert as_json(tracker.get_state()) == before

    @pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-30.0, 200.0), (0.0, 0.0), (1.0, 1.0)])
    def test_scores_are_finite_and_at_least_zero(
        self, algorithm: LearningProgressAlgorithm, low: float, high: float
    ) -> None:
        for task_id, score in completions(0, 200, low=low, high=high):
            algorithm.update_task_performance(task_id, score)
            value = algorithm.scorer.score_task(task_id, algorithm.task_tracker)
            assert math.isfinite(value)
            assert value >= 0.0
            assert algorithm.task_tracker.get_task_state(task_id).lp_score == pytest.approx(value)

    def test_a_completion_changes_no_other_task(self, algorithm: LearningProgressAlgorithm) -> None:
        record(algorithm, [(i, s) for i in range(5) for s in (0.0, 1.0, 0.5)])
        scorer, tracker = algorithm.scorer, algorithm.task_tracker
        others = [scorer.score_task(i, tracker) for i in (0, 1, 3, 4)]
        algorithm.update_task_performance(2, 1.0)
        assert [scorer.score_task(i, tracker) for i in (0, 1, 3, 4)] == pytest.approx(others)

    def test_the_same_completions_give_the_same_scores(
        self, config: LearningProgressConfig
    ) -> None:
        def scores() -> dict[int, float]:
            algorithm = config.create(8)
            record(algorithm, completions(1, 100))
            return algorithm.score_tasks(list(range(5)))

        assert scores() == scores()

    def test_a_removed_task_begins_anew(
        self, config: LearningProgressConfig, algorithm: LearningProgressAlgorithm
    ) -> None:
        other = config.create(8)
        for task_id in range(8):
            other.task_tracker.track_task_creation(task_id)
        for kind, task_id in ((algorithm, 0), (other, 1)):
            record(kind, [(task_id, s) for s in (0.0, 1.0, 0.3)])
            kind.on_task_evicted(task_id)
            kind.task_tracker.track_task_creation(task_id)
            record(kind, [(0, 0.25)])  # here the first completion since, there the first ever
        scores = [kind.scorer.score_task(0, kind.task_tracker) for kind in (algorithm, other)]
        assert scores[0] == pytest.approx(scores[1])

    def test_statistics_are_finite_numbers(self, algorithm: LearningProgressAlgorithm) -> None:
        for items in ([], completions(2, 50)):
            record(algorithm, items)
            stats = algorithm.scorer.get_stats()
            assert stats
            assert all(
                type(name) is str and type(value) is float and math.isfinite(value)
                for name, value in stats.items()
            )

    def test_saved_state_is_plain_and_gives_the_same_scores(
        self, config: LearningProgressConfig, algorithm: LearningProgressAlgorithm
    ) -> None:
        record(algorithm, completions(3, 60))
        state = algorithm.get_state()
        assert only_plain(state)
        other = config.create(8)
        other.load_state(as_json(state))
        for more in ([], completions(4, 60)):
            record(algorithm, more)
            record(other, more)
            assert other.score_tasks(list(range(8))) == algorithm.score_tasks(list(range(8)))

    def test_one_row_and_many_rows_score_the_same(
        self, algorithm: LearningProgressAlgorithm
    ) -> None:
        scorer = algorithm.scorer
        if not isinstance(scorer, ColumnScorer):
            pytest.skip("scores tasks one by one only")
        table = algorithm.task_tracker.table
        for low, high in ((0.0, 1.0), (-5.0, 20.0)):
            for task_id, score in completions(5, 40, low=low, high=high):
                algorithm.update_task_performance(task_id, score)
                with table:
                    bounds = table.header.score_range
                    rows = scorer.score_rows(table.rows, *bounds, table.header.clock)
                    singles = [
                        scorer.score_row(table.row(slot), *bounds, table.header.clock)
                        for slot in range(8)
                    ]
                assert rows.shape == (8,)
                assert rows == pytest.approx(np.array(singles), rel=1e-9, abs=1e-12)

    def test_columns_are_described(self, algorithm: LearningProgressAlgorithm) -> None:
        for column in algorithm.scorer.columns:
            assert column.description, f"say what {column.name} means"

    def test_unbound_scorers_say_so(self, config: LearningProgressConfig) -> None:
        with pytest.raises(RuntimeError, match="not bound to a tracker"):
            _ = config.make_scorer().tracker

    def test_the_tracker_must_have_the_columns(self, config: LearningProgressConfig) -> None:
        if not issubclass(type(config.make_scorer()), ColumnScorer):
            pytest.skip("binds no columns")
        with pytest.raises(KeyError, match="no column"):
            LearningProgressAlgorithm(8, config, task_tracker=TaskTracker(8))
