"""A saved pool that is loaded into a curriculum whose family of tasks has changed."""

import logging
from typing import Any

import numpy as np
import pytest

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    LearningProgressConfig,
    Span,
    bucketed,
)
from metta.cogworks.curriculum.pool.checks import pool_faults
from tests.cogworks.curriculum.generator_examples import Room, RoomGenerator

PLANTS = "game.num_plants"


def config(generator: Any, **fields: Any) -> CurriculumConfig:
    algorithm = LearningProgressConfig(use_shared_memory=False, **fields)
    return CurriculumConfig(task_generator=generator, algorithm_config=algorithm, seed=3)


def rooms(*plants: Any) -> Any:
    return bucketed(Room(), {PLANTS: list(plants)})


def played(curriculum: Curriculum) -> Curriculum:
    """Each of its tasks is completed as often as its number of plants says."""
    for task_id in sorted(curriculum.probabilities()):
        plants = curriculum.bucket_values_of(task_id).get(PLANTS, 1)
        curriculum.update_tasks([task_id] * int(plants), [0.5] * int(plants))
    return curriculum


def completions(curriculum: Curriculum) -> dict[Any, int]:
    """By number of plants."""
    counts = {}
    for task_id in curriculum.probabilities():
        state = curriculum.state_of(task_id)
        assert state is not None
        counts[curriculum.bucket_values_of(task_id)[PLANTS]] = state.completion_count
    return counts


def check_whole(curriculum: Curriculum) -> None:
    with curriculum.table as table:
        assert pool_faults(table) == []
    for _ in range(50):
        curriculum.get_task().complete(0.5)


def test_what_is_known_of_the_same_variants_is_kept(caplog) -> None:
    state = played(config(rooms(1, 2, 3)).make()).get_state()
    curriculum = config(rooms(2, 3, 4, 5)).make()
    with caplog.at_level(logging.WARNING):
        curriculum.load_state(state, changed_tasks=True)
    assert (
        "2 of its 3 tasks go on as the same, what was known of the other 1 is dropped"
        in caplog.text
    )
    assert completions(curriculum) == {2: 2, 3: 3, 4: 0, 5: 0}
    stats = curriculum.stats()
    assert stats["num_completed"] == 1 + 2 + 3  # of the task that is gone too
    assert stats["num_active_tasks"] == 4
    assert (stats["num_created"], stats["num_evicted"]) == (3 + 2, 1)
    check_whole(curriculum)


def test_the_numbers_of_a_kept_task_are_those_that_were_saved() -> None:
    old = played(config(rooms(1, 2, 3)).make())
    curriculum = config(rooms(3, 9)).make()
    curriculum.load_state(old.get_state(), changed_tasks=True)
    (before,) = [i for i in old.probabilities() if old.bucket_values_of(i)[PLANTS] == 3]
    (after,) = [i for i in (0, 1) if curriculum.bucket_values_of(i)[PLANTS] == 3]
    was, now = old.state_of(before), curriculum.state_of(after)
    assert was is not None
    assert now is not None
    assert now == was.model_copy(update={"task_id": after, "seed": float(after)})


def test_without_being_asked_for_it_is_refused_and_the_way_out_is_told() -> None:
    state = played(config(rooms(1, 2, 3)).make()).get_state()
    curriculum = config(rooms(2, 3, 4, 5)).make()
    before = curriculum.get_state()
    with pytest.raises(ValueError, match=r"(?s)buckets.*changed_tasks=True"):
        curriculum.load_state(state)
    after = curriculum.get_state()
    assert np.array_equal(
        after["algorithm"]["tracker"]["rows"], before["algorithm"]["tracker"]["rows"]
    )


def test_another_hyperparameter_is_refused_all_the_same() -> None:
    state = played(config(rooms(1, 2, 3)).make()).get_state()
    curriculum = config(rooms(2, 3), ema_timescale=0.5).make()
    with pytest.raises(ValueError, match="ema_timescale"):
        curriculum.load_state(state, changed_tasks=True)
    assert completions(curriculum) == {2: 0, 3: 0}


def test_the_same_family_is_loaded_as_without(caplog) -> None:
    state = played(config(rooms(1, 2, 3)).make()).get_state()
    curriculum = config(rooms(1, 2, 3)).make()
    with caplog.at_level(logging.WARNING):
        curriculum.load_state(state, changed_tasks=True)
    assert caplog.text == ""
    assert completions(curriculum) == {1: 1, 2: 2, 3: 3}


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (rooms(1, 2), RoomGenerator.Config(), 0),
        (RoomGenerator.Config(), rooms(1, 2), 0),
        (rooms(1, 2), None, 0),
        (None, rooms(1, 2), 0),
        (rooms(1, 2), rooms(1, 2, Span(3, 9)), None),
        (rooms(1, 2, Span(3, 9)), rooms(1, 2), None),
    ],
)
def test_families_of_other_kinds(old: Any, new: Any, kept: int | None, caplog) -> None:
    state = played(config(old, num_active_tasks=8).make()).get_state()
    curriculum = config(new, num_active_tasks=8).make()
    with caplog.at_level(logging.WARNING):
        curriculum.load_state(state, changed_tasks=True)
    if kept is not None:
        assert f"{kept} of its" in caplog.text
    check_whole(curriculum)


def test_fewer_plain_ids_than_before() -> None:
    algorithm = LearningProgressConfig(use_shared_memory=False, num_active_tasks=10)
    old = CurriculumConfig(max_task_id=10, algorithm_config=algorithm).make()
    for task_id in range(10):
        old.update_task_performance(task_id, 0.5)
    curriculum = CurriculumConfig(max_task_id=6, algorithm_config=algorithm).make()
    curriculum.load_state(old.get_state(), changed_tasks=True)
    assert sorted(curriculum.probabilities()) == list(range(6))
    assert curriculum.stats()["num_completed"] == 10
    check_whole(curriculum)


def test_a_refused_id_of_the_old_family_does_not_forbid_one_of_the_new() -> None:
    old = played(config(rooms(1, 2, 3)).make())
    gone = next(iter(old.probabilities()))
    old.retire_task(gone, "cannot be built")
    curriculum = config(rooms(1, 2, 3, 4)).make()
    curriculum.load_state(old.get_state(), changed_tasks=True)
    assert sorted(curriculum.probabilities()) == [0, 1, 2, 3]
    check_whole(curriculum)


@pytest.mark.parametrize("damage", [None, 5, {}, {"type": "learning_progress"}, []])
def test_a_damaged_state_is_refused(damage: Any) -> None:
    state = played(config(rooms(1, 2, 3)).make()).get_state()
    curriculum = config(rooms(2, 3)).make()
    with pytest.raises(ValueError, match=r"not the state of|saved pool"):
        curriculum.load_state({**state, "algorithm": damage}, changed_tasks=True)
    assert completions(curriculum) == {2: 0, 3: 0}
    check_whole(curriculum)
