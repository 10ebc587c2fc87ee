"""Saved states of older versions: what is kept of them, and what is refused."""

import copy
import json
import logging
from typing import Any

import pytest
from pydantic import BaseModel

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumAlgorithmConfig,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    Span,
    TaskState,
    bucketed,
    merge,
)
from metta.cogworks.curriculum.older.states import OlderTask, is_older, read_older
from metta.cogworks.curriculum.task_generator import TaskGeneratorConfig
from tests.cogworks.curriculum.states import without_times


class Maze(BaseModel):
    width: int = 5
    lights: float = 1.0


def of_curriculum(**more: Any) -> dict[str, Any]:
    """What an older curriculum saved: task 3 was solved, task 7 not yet, task 8 never tried."""
    return {
        "config": {"num_active_tasks": 16},
        "seed": [3, [1, 2, 3], None],
        "num_created": 12,
        "num_evicted": 9,
        "tasks": {
            3: {"num_completions": 4, "total_score": 4.0, "mean_score": 1.0, "num_scheduled": 6},
            7: {"num_completions": 10, "total_score": 2.5, "mean_score": 0.25, "num_scheduled": 10},
            8: {"num_completions": 0, "total_score": 0.0, "mean_score": 0.0, "num_scheduled": 1},
        },
        **more,
    }


def of_algorithm(memory: dict[Any, Any], **more: Any) -> dict[str, Any]:
    """The same of its algorithm."""
    return {
        "type": "learning_progress",
        "hypers": {},
        "task_tracker": {"task_memory": memory, "max_memory_tasks": 1000},
        **more,
    }


def row(**values: float) -> list[float]:
    """A row of 13 numbers, in the documented order."""
    names = [name for name in TaskState.model_fields if name != "columns"]
    return [values.get(name, 0.0) for name in names]


ONE = OlderTask(31, 16.0, [0.5])

FORMS: list[tuple[str, dict[str, Any]]] = [
    ("a tracker's four numbers", {"task_memory": {5: (100.0, 31, 16.0, 0.5)}}),
    ("as JSON has them", {"task_memory": {"5": [100.0, 31.0, 16.0, 0.5]}}),
    (
        "rows of 13",
        {"task_memory": {5: row(task_id=5, completion_count=31, total_score=16, last_score=0.5)}},
    ),
    (
        "rows without ema_squared",
        {
            "task_memory": {
                5: [*row(task_id=5, completion_count=31, total_score=16, last_score=0.5)[:11], 1.0]
            }
        },
    ),
    (
        "by name",
        {"task_memory": {5: {"completion_count": 31, "total_score": 16.0, "last_score": 0.5}}},
    ),
    ("an algorithm's", of_algorithm({5: (100.0, 31, 16.0, 0.5)})),
    (
        "a curriculum's",
        {"tasks": {}, "algorithm_state": of_algorithm({5: (100.0, 31, 16.0, 0.5)})},
    ),
]


@pytest.mark.parametrize(("form", "state"), FORMS, ids=[form for form, _ in FORMS])
def test_every_form_is_read(form: str, state: dict[str, Any]) -> None:
    assert is_older(state)
    assert read_older(state) == {5: ONE}


def test_what_a_curriculum_and_its_algorithm_say_of_one_task() -> None:
    memory = {7: (0.0, 12, 3.0, 0.0), 3: (0.0, 1, 1.0, 1.0)}  # of task 3 the curriculum knows more
    algorithm = of_algorithm(memory, outcomes={"7": [0, 1, 0.5], 99: [1.0]})
    state = of_curriculum(algorithm_state=algorithm)
    state["tasks"][7]["slice_values"] = {"width": 5}
    found = read_older(state)
    assert found[7] == OlderTask(12, 3.0, [0.0, 1.0, 0.5], {"width": 5})
    assert found[3] == OlderTask(4, 4.0)
    assert set(found) == {3, 7, 8}


@pytest.mark.parametrize("place", ["scorer", "scorer_state"])
def test_outcomes_of_a_scorer(place: str) -> None:
    state = of_curriculum(algorithm_state=of_algorithm({}, **{place: {"outcomes": {3: [1, 0]}}}))
    assert read_older(state)[3].scores == [1.0, 0.0]


def test_the_latest_scores_of_a_task() -> None:
    # Of five completions two are known: the mean of the others is (2 - 1) / 3.
    task = OlderTask(5, 2.0, [1.0, 0.0])
    assert task.latest(25) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0, 0.0])
    assert task.latest(3) == pytest.approx([1 / 3, 1.0, 0.0])
    assert task.latest(1) == [0.0]
    assert OlderTask(0, 0.0).latest(25) == []


BAD: list[tuple[dict[str, Any], str]] = [
    ({"tasks": {3: 5}}, "task 3: it is a int, not a dictionary"),
    ({"tasks": {-1: {}}}, "task id -1 is not valid"),
    ({"tasks": {"three": {}}}, "task id 'three' is not valid"),
    ({"tasks": {3: {"num_completions": -1}}}, "task 3: completions=-1 is not allowed"),
    ({"tasks": {3: {"num_completions": 1.5}}}, r"task 3: completions=1.5 is not allowed"),
    ({"tasks": {3: {"num_completions": float("nan")}}}, r"task 3: "),
    ({"tasks": {3: {"num_completions": "4"}}}, "task 3: completions='4' is not allowed"),
    ({"tasks": {3: {"total_score": float("inf")}}}, "task 3: total_score=inf is not allowed"),
    ({"tasks": {3: {"slice_values": [1]}}}, "task 3: its slice_values are a list, no dictionary"),
    ({"task_memory": {3: (1.0, 2.0)}}, "task 3: it has 2 numbers, neither 4 nor 13"),
    ({"task_memory": {3: 7}}, "task 3: task_memory: 'int' object is not iterable"),
    ({"task_memory": {3: (1.0, "2", 1.0, 1.0)}}, "task 3: task_memory: task_memory='2'"),
    (of_curriculum(outcomes={3: [float("nan")]}), "task 3: outcomes: outcomes=nan"),
]


@pytest.mark.parametrize(("state", "message"), BAD)
def test_what_cannot_be_is_refused_and_changes_nothing(state: dict[str, Any], message: str) -> None:
    with Curriculum(local()) as curriculum:
        curriculum.get_task().complete(0.5)
        before = without_times(curriculum.get_state())
        with pytest.raises(ValueError, match=message):
            curriculum.load_state(state)
        assert without_times(curriculum.get_state()) == before


@pytest.mark.parametrize("state", [{}, {"tasks": 5}, {"seed": 3}, {"num_created": 3}])
def test_what_is_no_state_of_an_older_version(state: dict[str, Any]) -> None:
    assert not is_older(state)
    with (
        Curriculum(local()) as curriculum,
        pytest.raises(ValueError, match="not the state of a curriculum"),
    ):
        curriculum.load_state(state)


# -- loading ---------------------------------------------------------------------------------------


def local(**fields: Any) -> LearningProgressConfig:
    return LearningProgressConfig(**{"num_active_tasks": 8, "use_shared_memory": False, **fields})


def of(generator: TaskGeneratorConfig, **fields: Any) -> CurriculumConfig:
    return CurriculumConfig(task_generator=generator, algorithm_config=local(**fields))


ALGORITHMS: list[CurriculumAlgorithmConfig] = [
    local(),
    local(scorer="bidirectional"),
    local(scorer="basic"),
    local(scorer="learnability"),
    DiscreteRandomConfig(num_active_tasks=8, use_shared_memory=False),
]


@pytest.mark.parametrize("config", ALGORITHMS, ids=lambda c: getattr(c, "scorer", "uniform"))
def test_counts_and_scores_of_plain_ids_are_kept(
    config: CurriculumAlgorithmConfig, caplog: pytest.LogCaptureFixture
) -> None:
    state = of_curriculum(algorithm_state=of_algorithm({}, outcomes={7: [0.0, 1.0]}))
    before = copy.deepcopy(state)
    with Curriculum(config) as curriculum:
        with caplog.at_level(logging.WARNING):
            curriculum.load_state(state)
        assert state == before
        assert caplog.messages == [
            "the state was saved by an older version: 2 of its 3 tasks, with 14 of its 14 "
            "completions, go on with their counts and scores, as 2 tasks; the others are begun "
            "anew, because they were not completed, or their ids are none of this curriculum's. "
            "Random numbers, sampling distribution and the scorer's averages are not kept"
        ]
        solved, other = curriculum.state_of(3), curriculum.state_of(7)
        assert solved is not None
        assert other is not None
        assert (solved.completion_count, solved.total_score, solved.last_score) == (4, 4.0, 1.0)
        assert (other.completion_count, other.total_score, other.last_score) == (10, 2.5, 1.0)
        # Eight times the mean of those that are not known, then 0 and 1.
        assert other.reward_ema == pytest.approx(averaged([1.5 / 8] * 8 + [0.0, 1.0], 0.02))
        stats = curriculum.stats()
        assert (stats["num_completed"], stats["num_scheduled"], stats["num_in_flight"]) == (
            14,
            14,
            0,
        )
        assert stats["num_active_tasks"] == 8
        for _ in range(50):  # and it goes on
            curriculum.get_task().complete(0.5)
        again = curriculum.get_state()
        curriculum.load_state(again)
        assert curriculum.stats()["num_completed"] == 64


def averaged(scores: list[float], alpha: float) -> float:
    """Exponential average that begins at the first score."""
    average = scores[0]
    for score in scores[1:]:
        average += alpha * (score - average)
    return average


def test_what_is_known_is_what_is_drawn_by() -> None:
    """A task that gets better is drawn more often than one that was solved long ago."""
    better = [0.0] * 8 + [k / 8 for k in range(8)]
    memory = {1: (0.0, 16, 16.0, 1.0), 2: (0.0, 16, sum(better), better[-1])}
    state = of_algorithm(memory, outcomes={1: [1.0] * 16, 2: better})
    config = CurriculumConfig(
        algorithm_config=local(num_active_tasks=2, eviction_threshold_percentile=0)
    )
    with Curriculum(config) as curriculum:
        curriculum.load_state(state)
        probabilities = curriculum.probabilities()
        assert set(probabilities) == {1, 2}
        assert probabilities[2] > 10 * probabilities[1]


def test_a_shared_pool_takes_it_over(session_id: str) -> None:
    config = local(use_shared_memory=True, session_id=session_id)
    with Curriculum(config) as curriculum, Curriculum(config) as other:
        curriculum.load_state(json.loads(json.dumps(of_curriculum())))
        state = other.state_of(7)
        assert state is not None
        assert state.completion_count == 10


def test_a_task_of_a_family_is_found_by_its_values(caplog: pytest.LogCaptureFixture) -> None:
    """Ids meant others: sixteen of them were one of three variants each."""
    state = {
        "tasks": {
            i: {"num_completions": i, "total_score": 0.5 * i, "slice_values": {"width": width}}
            for i, width in enumerate((5, 10, 20, 5, 10, 99))
        }
    }
    with Curriculum(of(bucketed(Maze(), {"width": [5, 10, 20]}))) as curriculum:
        with caplog.at_level(logging.WARNING):
            curriculum.load_state(state)
        counts = {
            curriculum.bucket_values_of(task_id)["width"]: curriculum.state_of(task_id)
            for task_id in curriculum.probabilities()
        }
        found = {width: s.completion_count for width, s in counts.items() if s is not None}
        assert found == {5: 0 + 3, 10: 1 + 4, 20: 2}
        assert "4 of its 6 tasks, with 10 of its 15 completions" in caplog.text
        assert "no single task has their bucket values, and ids mean other tasks now" in caplog.text
        assert curriculum.stats()["num_completed"] == 15  # the others stay in the totals


def test_of_two_tasks_with_the_same_values_none_is_credited() -> None:
    easy, hard = bucketed(Maze(), {"width": [5, 6]}), bucketed(Maze(lights=0), {"width": [6, 7]})
    state = {
        "tasks": {
            i: {"num_completions": 1, "total_score": 1.0, "slice_values": {"width": 5 + i}}
            for i in range(3)
        }
    }
    with Curriculum(of(merge([easy, hard]))) as curriculum:
        curriculum.load_state(state)
        known = {
            curriculum.bucket_values_of(task_id)["width"]
            for task_id in curriculum.probabilities()
            if (found := curriculum.state_of(task_id)) is not None and found.completion_count
        }
        assert known == {5, 7}


def test_sampling_weights_are_those_of_the_family() -> None:
    family = merge(
        [bucketed(Maze(), {"width": [1, 2, 3]}), bucketed(Maze(), {"width": [9]})], [1, 3]
    )
    algorithm = DiscreteRandomConfig(num_active_tasks=8, use_shared_memory=False)
    config = CurriculumConfig(task_generator=family, algorithm_config=algorithm)
    state = {
        "tasks": {
            0: {"num_completions": 1, "total_score": 1.0, "slice_values": {"width": 9}},
        }
    }
    with Curriculum(config) as curriculum:
        curriculum.load_state(state)
        by_width = {
            curriculum.bucket_values_of(task_id)["width"]: p
            for task_id, p in curriculum.probabilities().items()
        }
    assert by_width == pytest.approx({1: 1 / 12, 2: 1 / 12, 3: 1 / 12, 9: 3 / 4})


def test_regions_of_a_family_are_credited_with_their_tasks() -> None:
    values = list(range(40))
    config = of(bucketed(Maze(), {"width": values}), num_active_tasks=20)
    state = {
        "tasks": {
            i: {"num_completions": 1, "total_score": 1.0, "slice_values": {"width": i}}
            for i in values
        }
    }
    with Curriculum(config) as curriculum:
        assert len(curriculum.probabilities()) == 20
        curriculum.load_state(state)
        counts = [curriculum.state_of(task_id) for task_id in curriculum.probabilities()]
        assert [s.completion_count for s in counts if s is not None] == [2] * 20


def test_of_a_family_that_cannot_be_counted_nothing_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = of(bucketed(Maze(), {"lights": Span(0.0, 1.0)}))
    with Curriculum(config) as curriculum:
        with caplog.at_level(logging.WARNING):
            curriculum.load_state(of_curriculum())
        assert "0 of its 3 tasks, with 0 of its 14 completions" in caplog.text
        assert "with a Span or a custom generator none can be found" in caplog.text
        assert curriculum.stats()["num_active_tasks"] == 8
        curriculum.get_task().complete(0.5)


def test_a_pool_that_is_too_small_keeps_those_that_were_completed_most() -> None:
    config = CurriculumConfig(algorithm_config=local(num_active_tasks=2))
    state = {"tasks": {i: {"num_completions": i, "total_score": 0.0} for i in range(5)}}
    with Curriculum(config) as curriculum:
        curriculum.load_state(state)
        assert set(curriculum.probabilities()) == {3, 4}
