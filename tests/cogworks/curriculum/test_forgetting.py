"""What the posterior scorer knows of forgetting, which is of the whole pool."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metta.cogworks.curriculum import (
    BasicLPScorer,
    Column,
    ColumnScorer,
    Curriculum,
    LearningProgressAlgorithm,
    LearningProgressConfig,
    PosteriorLPScorer,
    create_task_tracker,
)

TASKS = 20


def algorithm() -> LearningProgressAlgorithm:
    config = LearningProgressConfig(num_active_tasks=TASKS, use_shared_memory=False)
    return config.create(TASKS)


def practised(loss_per_round: float, seed: int = 0, episodes: int = 8000) -> Any:
    """Tasks with a success of 0.88 just after practice, chosen at random, that lose so many
    log-odds per round without."""
    played, rng = algorithm(), np.random.default_rng(seed)
    last = np.zeros(TASKS)
    for episode in range(episodes):
        task = int(rng.integers(TASKS))
        level = max(2.0 - loss_per_round * (episode - last[task]) / TASKS, -2.0)
        last[task] = episode
        played.update_task_performance(task, float(rng.random() < 1 / (1 + math.exp(-level))))
    return played


def of_pool(played: LearningProgressAlgorithm) -> dict[str, float]:
    return played.table.header.of_pool()


def rate(played: LearningProgressAlgorithm) -> float:
    """Log-odds per round that are taken to be lost: two deviations below the estimate."""
    values = of_pool(played)
    return max(values["forgetting"] - 2.0 * math.sqrt(values["var_forgetting"]), 0.0)


@pytest.mark.parametrize("loss", [0.3, 0.6])
def test_the_rate_of_forgetting_is_found(loss: float) -> None:
    found = of_pool(practised(loss))
    assert found["forgetting"] == pytest.approx(loss, abs=0.4 * loss)
    assert rate(practised(loss)) > 0.25 * loss


def test_where_nothing_is_forgotten_none_is_found() -> None:
    assert all(rate(practised(0.0, seed)) < 0.02 for seed in range(5))


def test_a_mastered_task_is_worth_more_the_longer_it_was_not_practised() -> None:
    """Where things are forgotten; where they are not, no more than its growing variance says."""

    def worth(loss: float, ages: tuple[float, ...]) -> list[float]:
        played = practised(loss)
        clock = played.table.header.clock
        row = played.table.row(played.table.find(0))
        scorer = played.scorer
        assert isinstance(scorer, ColumnScorer)
        level, slope = (played.table.offset(name) for name in ("level", "slope"))
        row[level], row[slope] = 3.0, 0.0
        return [scorer.score_row(row, 0.0, 1.0, clock + int(age * TASKS)) for age in ages]

    ages = (0.0, 5.0, 20.0)
    kept, lost = worth(0.0, ages), worth(0.6, ages)
    assert lost[2] > 4.0 * lost[0]
    assert lost[2] / lost[0] > 2.0 * kept[2] / kept[0]


def test_rows_are_scored_alike_alone_and_together() -> None:
    played = practised(0.6)
    scorer, table = played.scorer, played.table
    assert isinstance(scorer, ColumnScorer)
    assert rate(played) > 0.0
    clock = table.header.clock + 500
    together = scorer.score_rows(table.rows, 0.0, 1.0, clock)
    alone = [scorer.score_row(table.row(slot), 0.0, 1.0, clock) for slot in range(TASKS)]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_the_level_never_falls_below_even_odds() -> None:
    """So nothing is ever expected to be worse than unknown, at whatever age."""
    played = practised(0.6)
    scorer, row = played.scorer, played.table.row(played.table.find(0))
    assert isinstance(scorer, ColumnScorer)
    row[played.table.offset("level")] = 3.0
    at_some_age = scorer.score_row(row, 0.0, 1.0, played.table.header.clock + 100 * TASKS)
    row[played.table.offset("level")] = 0.0
    assert scorer.score_row(row, 0.0, 1.0, played.table.header.clock + 100 * TASKS) == at_some_age


# -- columns of the whole pool, in general -----------------------------------------------------


class Counting(BasicLPScorer):
    """As `basic`, and counts in a column of the pool."""

    columns = (*BasicLPScorer.columns, Column("seen", "completions", 0.0, 1e9, of_pool=True))

    def bind_columns(self, at: dict[str, int]) -> None:
        super().bind_columns(at)
        self._seen = at["seen"]

    def update_row(
        self, row: memoryview[float], x: float, low: float, high: float, clock: int
    ) -> None:
        super().update_row(row, x, low, high, clock)
        self.pool_values[self._seen] += 1.0
        if x == 13.0:
            raise ArithmeticError("unlucky")


def counting(**options: Any) -> Curriculum:
    return Curriculum(LearningProgressConfig(num_active_tasks=8, scorer=Counting, **options))


def seen(curriculum: Curriculum) -> float:
    return curriculum.table.header.of_pool()["seen"]


def test_all_processes_share_a_column_of_the_pool(session_id: str) -> None:
    with counting(session_id=session_id) as one, counting(session_id=session_id) as other:
        one.get_task().complete(0.5)
        other.get_task().complete(0.5)
        assert seen(one) == seen(other) == 2.0


def test_a_completion_that_fails_leaves_the_columns_of_the_pool_as_they_were() -> None:
    with counting(use_shared_memory=False) as curriculum:
        curriculum.get_task().complete(0.5)
        task = curriculum.get_task()
        with pytest.raises(ArithmeticError, match="unlucky"):
            task.complete(13.0)
        assert seen(curriculum) == 1.0


def saved(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    with counting(use_shared_memory=False) as curriculum:
        for _ in range(3):
            curriculum.get_task().complete(0.5)
        state = curriculum.get_state()
    change(state["algorithm"]["tracker"])
    return state


def test_columns_of_the_pool_are_saved() -> None:
    with counting(use_shared_memory=False) as curriculum:
        curriculum.load_state(saved(lambda pool: None))
        assert seen(curriculum) == 3.0
        curriculum.load_state(saved(lambda pool: pool.pop("of_pool")))  # of an earlier version
        assert seen(curriculum) == 0.0


@pytest.mark.parametrize(
    "value", [-1.0, 2e9, float("nan"), float("inf"), None, "3", True, [3.0], np.float64(-1.0)]
)
def test_a_saved_column_of_the_pool_that_cannot_be(value: Any) -> None:
    with counting(use_shared_memory=False) as curriculum:
        state = saved(lambda pool: pool.update(of_pool={"seen": value}))
        with pytest.raises(ValueError, match=r"column 'seen' of the pool holds .*, not a number"):
            curriculum.load_state(state)
        assert seen(curriculum) == 0.0


def test_with_another_scorer_the_columns_of_the_pool_begin_anew() -> None:
    with counting(use_shared_memory=False) as curriculum:
        curriculum.load_state(saved(lambda pool: None))
        state = curriculum.get_state()
    state["algorithm"]["scorer"] = "other"
    with counting(use_shared_memory=False) as curriculum:
        curriculum.load_state(state)
        assert seen(curriculum) == 0.0


def test_a_column_of_the_pool_is_none_of_a_task() -> None:
    tracker = create_task_tracker(4, columns=[Column("shared", of_pool=True), Column("own")])
    tracker.track_task_creation(1)
    with pytest.raises(KeyError, match="no column 'shared'"):
        tracker.get_column(1, "shared")
    state = tracker.get_task_state(1)
    assert state is not None
    assert "shared" not in state.columns
    assert "own" in state.columns


def test_a_pool_has_room_for_sixteen_columns_of_its_own() -> None:
    def columns(n: int) -> list[Column]:
        return [Column(f"shared_{i}", of_pool=True) for i in range(n)]

    tracker = create_task_tracker(4, columns=columns(16))
    assert len(tracker.table.header.pool_values) == 16
    with pytest.raises(ValueError, match=r"17 columns of the pool are not allowed: .* at most 16"):
        create_task_tracker(4, columns=columns(17))
    with pytest.raises(ValueError, match=r"columns declared twice: \['own'\]"):
        create_task_tracker(4, columns=[Column("own", of_pool=True), Column("own")])


def test_a_scorer_needs_its_columns_of_the_pool() -> None:
    rows_only = [column for column in PosteriorLPScorer.columns if not column.of_pool]
    tracker = create_task_tracker(4, columns=rows_only)
    with pytest.raises(KeyError, match="no column 'shortfall' of the pool"):
        LearningProgressAlgorithm(4, LearningProgressConfig(num_active_tasks=4), None, tracker)
