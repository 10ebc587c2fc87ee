"""Episodes in flight: what they make their tasks worth, and that lost ones are given up."""

import math
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from metta.cogworks.curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from metta.cogworks.curriculum.in_flight import InFlightDiscount
from metta.cogworks.curriculum.pool.flights import TERM
from metta.cogworks.curriculum.weighing import Rule

RULES = {
    "power": 6.0,
    "proportional": 1.0,
    "uniform": 0.0,
    "zscore_softmax": 6.0,
    "zscore_sigmoid": 6.0,
    "quantile_sigmoid": 6.0,
    "temperature_softmax": 6.0,
}
"""Rule -> by which power of its worth a task is drawn, as far as episodes in flight go."""


def config(**fields: Any) -> CurriculumConfig:
    values: dict[str, Any] = {"num_active_tasks": 4, "use_shared_memory": False, **fields}
    return CurriculumConfig(
        max_task_id=values.pop("max_task_id", 4),
        algorithm_config=LearningProgressConfig(rand_task_rate=0.0, **values),
    )


def in_flight(curriculum: Curriculum, task_id: int) -> int:
    return curriculum.explain(task_id).in_flight


def test_every_rule_is_covered() -> None:
    assert set(RULES) == set(Rule.__args__)


@pytest.mark.parametrize("scorer", ["posterior", "bidirectional", "basic", "learnability"])
@pytest.mark.parametrize("rule", RULES)
def test_odds_fall_by_one_plus_a_tenth_per_episode_to_the_power(
    open_curriculum, rule: str, scorer: str
) -> None:
    curriculum = open_curriculum(config(sampling=rule, scorer=scorer))
    for score in (0.1, 0.6, 0.3, 0.9):
        for task_id in range(4):
            curriculum.update_task_performance(task_id, score * (task_id + 1) / 4)
    free = curriculum.algorithm.distribution()  # nothing was drawn, and all is fresh
    curriculum.table.samples.mark_stale()
    drawn = [curriculum.get_task().task_id for _ in range(20)]
    m = np.array([drawn.count(i) for i in curriculum.table.task_ids().tolist()])
    expected = free * (1.0 + 0.1 * m) ** -RULES[rule]
    expected /= expected.sum()
    found = curriculum.probabilities()
    for slot, task_id in enumerate(curriculum.table.task_ids().tolist()):
        assert found[task_id] == pytest.approx(expected[slot])
        assert in_flight(curriculum, task_id) == m[slot]
    assert curriculum.algorithm.distribution() == pytest.approx(expected)
    assert curriculum.stats()["num_in_flight"] == 20.0


@pytest.mark.parametrize("rule", RULES)
def test_an_episode_that_ends_is_in_flight_no_more(open_curriculum, rule: str) -> None:
    curriculum = open_curriculum(config(sampling=rule))
    before = curriculum.probabilities()
    for task in curriculum.get_tasks(4):  # more of one task would tell that it pays nothing
        curriculum.count_unscored(task.task_id, math.nan)
    assert curriculum.probabilities() == pytest.approx(before)
    assert curriculum.stats()["num_in_flight"] == 0.0
    task = curriculum.get_task()
    assert in_flight(curriculum, task.task_id) == 1
    task.complete(0.5)
    assert in_flight(curriculum, task.task_id) == 0


def test_no_discount(open_curriculum) -> None:
    curriculum = open_curriculum(config(in_flight_discount=0.0))
    before = curriculum.probabilities()
    curriculum.get_tasks(50)
    assert curriculum.probabilities() == before
    assert curriculum.stats()["num_in_flight"] == 50.0


def test_a_completion_that_nobody_drew_leaves_nothing_in_flight(open_curriculum) -> None:
    curriculum = open_curriculum(config())
    for _ in range(3):
        curriculum.update_task_performance(2, 0.5)
    assert in_flight(curriculum, 2) == 0
    assert curriculum.stats()["num_in_flight"] == 0.0


def test_forgetting_what_is_in_flight_gives_the_odds_back(open_curriculum) -> None:
    curriculum = open_curriculum(config())
    before = curriculum.probabilities()
    curriculum.get_tasks(50)
    curriculum.forget_in_flight()
    assert curriculum.probabilities() == pytest.approx(before)
    assert curriculum.stats()["num_in_flight"] == 0.0


DRAWS_AND_DIES = """
import os, signal, sys
from metta.cogworks.curriculum import Curriculum, CurriculumConfig
config = CurriculumConfig.model_validate_json(sys.stdin.read())
Curriculum(config).get_tasks({lost})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("lost", [1, 40])
@pytest.mark.parametrize("in_flight_now", [0, 30])
def test_draws_of_a_killed_worker_are_given_up(
    open_curriculum, lost: int, in_flight_now: int
) -> None:
    """After two terms, however often their tasks are drawn again; draws of others are not."""
    curriculum = open_curriculum(config(use_shared_memory=True))
    worker = subprocess.run(
        [sys.executable, "-c", DRAWS_AND_DIES.format(lost=lost)],
        input=curriculum.config.model_dump_json(),
        text=True,
        check=False,
    )
    assert worker.returncode == -signal.SIGKILL
    assert curriculum.stats()["num_in_flight"] == lost
    playing = curriculum.get_tasks(in_flight_now)
    total = lost + in_flight_now
    refresh = curriculum.algorithm.refresh_period
    for _ in range(2 * (max(256, TERM * (total + 1)) + refresh) + refresh):
        playing.append(curriculum.get_task())
        playing.pop(0).complete(0.5)
    assert curriculum.stats()["num_in_flight"] == in_flight_now


def test_draws_are_not_given_up_before_the_term_is_over(open_curriculum) -> None:
    curriculum = open_curriculum(config())
    curriculum.get_tasks(100)
    for _ in range(TERM * 100 - 1):
        curriculum.get_task().complete(0.5)
    assert curriculum.stats()["num_in_flight"] == 100.0


def test_a_task_in_flight_does_not_leave(open_curriculum) -> None:
    fields = {"min_samples_for_lp": 2, "sample_threshold": 2, "eviction_threshold_percentile": 1.0}
    curriculum = open_curriculum(
        config(**fields, num_active_tasks=8, max_task_id=10_000, eviction_worth_ratio=1e9)
    )
    playing = curriculum.get_tasks(16)
    for _ in range(3000):
        playing.pop(0).complete(0.0)
        playing.append(curriculum.get_task())
    stats = curriculum.stats()
    assert stats["num_evicted"] > 100  # the test can see it
    assert stats["late_completions"] == 0.0


def test_a_saved_pool_remembers_what_is_in_flight(open_curriculum) -> None:
    curriculum = open_curriculum(config())
    curriculum.get_tasks(9)
    state = curriculum.get_state()
    other = open_curriculum(config())
    other.load_state(state)
    assert other.probabilities() == curriculum.probabilities()
    assert other.stats()["num_in_flight"] == 9.0
    drawn = [[c.get_task().task_id for _ in range(30)] for c in (curriculum, other)]
    assert drawn[0] == drawn[1]


def test_a_pool_saved_before_it_was_known_has_nothing_in_flight(open_curriculum) -> None:
    curriculum = open_curriculum(config())
    curriculum.get_tasks(9)
    state = curriculum.get_state()
    pool = state["algorithm"]["tracker"]
    names = pool["columns"]
    keep = [i for i, n in enumerate(names) if n not in ("in_flight_count", "expiring_count")]
    pool["columns"] = [names[i] for i in keep]
    pool["rows"] = np.asarray(pool["rows"])[:, keep]
    pool["moments"] = np.asarray(pool["moments"])[:, :10]
    other = open_curriculum(config())
    other.load_state(state)
    assert other.stats()["num_in_flight"] == 0.0
    assert other.stats()["num_scheduled"] == 9.0


def test_an_episode_that_was_given_up_is_credited(open_curriculum) -> None:
    curriculum = open_curriculum(config())
    late = curriculum.get_task()
    others = [i for i in range(4) if i != late.task_id]
    for step in range(2000):
        curriculum.update_task_performance(others[step % 3], 0.5)
        curriculum.probabilities()  # which refreshes what is due, as a draw does
    assert curriculum.stats()["num_in_flight"] == 0.0
    late.complete(0.5)
    assert curriculum.stats()["num_in_flight"] == 0.0
    assert curriculum.stats()["num_completed"] == 2001.0


@pytest.mark.parametrize("exponent", [0.5, 1.0, 6.0, 70.0])
@pytest.mark.parametrize("discount", [0.0, 0.1, 3.0])
def test_factors(discount: float, exponent: float) -> None:
    factors = InFlightDiscount(discount, exponent)
    m = np.array([0, 1, 7, 1023, 1024, 5000])
    expected = [(1.0 + discount * k) ** -exponent for k in m.tolist()]
    assert [factors.factor(k) for k in m.tolist()] == pytest.approx(expected)
    assert factors.of_block(m.astype(float)) == pytest.approx(np.array(expected))
    assert factors.ratio(3, 8) == pytest.approx(factors.factor(8) / factors.factor(3))
    assert factors.is_none == (discount == 0.0)


def test_an_episode_that_is_given_up_is_no_longer_in_flight(open_curriculum) -> None:
    curriculum = open_curriculum(config())
    before = curriculum.probabilities()
    task = curriculum.get_task()
    assert curriculum.probabilities() != before
    curriculum.give_up(task.task_id)
    assert in_flight(curriculum, task.task_id) == 0
    assert curriculum.probabilities() == pytest.approx(before)
    stats = curriculum.stats()
    assert (stats["num_scheduled"], stats["num_completed"], stats["num_unscored"]) == (1, 0, 0)
    curriculum.give_up(task.task_id)  # nothing of it is in flight
    assert curriculum.stats()["num_in_flight"] == 0


@pytest.mark.parametrize("task_id", [4, -1, "0", None])
def test_what_cannot_be_given_up(open_curriculum, task_id: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="task id"):
        open_curriculum(config()).give_up(task_id)
