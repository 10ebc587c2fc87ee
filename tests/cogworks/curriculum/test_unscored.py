"""Curriculum.count_unscored: the counter, its warnings, and what it leaves alone."""

import logging

import pytest

from metta.cogworks.curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from tests.cogworks.curriculum.drills import pool
from tests.cogworks.curriculum.states import without_times

NAN = float("nan")


def shared() -> Curriculum:
    return Curriculum(
        CurriculumConfig(algorithm_config=LearningProgressConfig(num_active_tasks=8), seed=3)
    )


def test_every_process_of_a_session_sees_the_count():
    with shared() as one, Curriculum(one.config) as other:
        one.count_unscored(0, NAN)
        other.count_unscored(1, float("inf"))
        assert one.stats()["num_unscored"] == other.stats()["num_unscored"] == 2.0


def test_nothing_but_the_counter_changes():
    with pool() as curriculum:
        task = curriculum.get_task()
        curriculum.count_unscored(task.task_id, NAN)
        assert curriculum.stats()["num_in_flight"] == 0.0
        before = without_times(curriculum.get_state())
        curriculum.count_unscored(task.task_id, NAN)
        after = without_times(curriculum.get_state())
        assert after["algorithm"]["tracker"]["counters"].pop("unscored") == 2
        del before["algorithm"]["tracker"]["counters"]["unscored"]
        assert after == before


def test_the_warnings_are_the_first_second_fourth_and_so_on(caplog: pytest.LogCaptureFixture):
    with pool() as curriculum:
        for _ in range(100):
            curriculum.count_unscored(5, NAN)
    counts = [record.args[-1] for record in caplog.records if isinstance(record.args, tuple)]
    assert counts == [1, 2, 4, 8, 16, 32, 64]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "an episode of task 5 (Drill) was not scored, its score is nan" in caplog.text


def test_without_a_generator_there_is_no_label(caplog: pytest.LogCaptureFixture):
    with shared() as curriculum:
        curriculum.count_unscored(5, NAN)
    assert "an episode of task 5 was not scored" in caplog.text


def test_it_is_saved():
    with shared() as curriculum, shared() as other:
        curriculum.count_unscored(5, NAN)
        state = curriculum.get_state()
        other.load_state(state)
        assert other.stats()["num_unscored"] == 1.0


@pytest.mark.parametrize("score", [0.5, 0, True, -1e99, "nan", None, [NAN]])
def test_a_score_that_can_be_recorded_or_is_no_number_is_refused(score: object):
    with pool() as curriculum:
        with pytest.raises(ValueError, match=r"score .* of task 5 .*update_task_performance"):
            curriculum.count_unscored(5, score)  # type: ignore[arg-type]
        assert curriculum.stats()["num_unscored"] == 0.0


@pytest.mark.parametrize("task_id", [-1, 1.5, "5", None, NAN])
def test_an_id_that_cannot_be_one_is_refused(task_id: object):
    with pool() as curriculum:
        with pytest.raises((ValueError, TypeError), match="task id"):
            curriculum.count_unscored(task_id, NAN)  # type: ignore[arg-type]
        assert curriculum.stats()["num_unscored"] == 0.0


def test_a_task_that_is_never_scored_does_not_eat_the_budget():
    """It would stay what an untried task is worth, while the others become known."""
    config = LearningProgressConfig(num_active_tasks=8, use_shared_memory=False, rand_task_rate=0)
    with Curriculum(CurriculumConfig(algorithm_config=config, seed=3)) as curriculum:
        broken = set(list(curriculum.probabilities())[:2])
        spent = {True: 0, False: 0}
        for step in range(2000):
            task = curriculum.get_task()
            spent[task.task_id in broken] += 1
            if task.task_id in broken:
                curriculum.count_unscored(task.task_id, NAN)
            else:
                task.complete(float(step % 3 == 0))
        assert spent[True] < 0.1 * spent[False]
        one, other = broken
        weights = curriculum.probabilities()
        with curriculum.table as table:
            table.samples.mark_stale()
        assert curriculum.get_task().task_id not in broken
        anew = curriculum.probabilities()  # block by block as one by one
        odds = weights[one] / weights[other]
        assert anew[one] / anew[other] == pytest.approx(odds, rel=1e-6)


def test_a_few_lost_draws_of_a_task_do_not_matter():
    with shared() as curriculum:
        task_id = next(iter(curriculum.probabilities()))
        before = curriculum.probabilities()[task_id]
        for _ in range(4):
            curriculum.count_unscored(task_id, NAN)
        assert curriculum.probabilities()[task_id] == before
