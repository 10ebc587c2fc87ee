"""Families that are drawn at random, in which different ids can be the same variant: a pool holds
each variant once, and draws it as often as the family does."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metta.cogworks.curriculum import (
    Column,
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    Span,
    TaskTracker,
    bucketed,
    merge,
)
from metta.cogworks.curriculum.pool.checks import pool_faults
from tests.cogworks.curriculum.generator_examples import Room

WHOLE = {"game.num_plants": [Span(1, 6)]}  # six values, though not counted
REAL = {"game.density": [Span(0.25, 0.75)]}
FAMILIES: dict[str, Any] = {
    "a few whole numbers": bucketed(Room(), WHOLE),
    "two spans of whole numbers": bucketed(Room(), {**WHOLE, "game.low": [Span(0, 3)]}),
    "a list, and real numbers": bucketed(
        Room(), {"game.density": [0.25, 0.5, *REAL["game.density"]]}
    ),
    "one room, and real numbers": merge([Room(label="one"), bucketed(Room(), REAL)]),
    "one room seldom": merge([Room(label="one"), bucketed(Room(), REAL)], weights=[1, 3]),
    "whole numbers and a list": merge(
        [bucketed(Room(), {"game.num_plants": [1, 2, 3]}), bucketed(Room(), WHOLE)]
    ),
}


def config(family: Any, tasks: int, algorithm: Any = LearningProgressConfig) -> CurriculumConfig:
    hypers = algorithm(use_shared_memory=False, num_active_tasks=tasks)
    return CurriculumConfig(task_generator=family, algorithm_config=hypers)


def variants(curriculum: Curriculum) -> list[Any]:
    generator = curriculum.config.task_generator.create()
    return [generator.variant(task_id) for task_id in curriculum.probabilities()]


def check(curriculum: Curriculum) -> None:
    found = variants(curriculum)
    assert len(set(found)) == len(found)
    with curriculum.table as table:
        assert table.layout.has_variants
        assert pool_faults(table) == []


@pytest.mark.parametrize("name", FAMILIES)
@given(tasks=st.integers(1, 30), data=st.data())
@settings(max_examples=12, deadline=None)
def test_no_variant_is_in_the_pool_twice(name: str, tasks: int, data: st.DataObject) -> None:
    curriculum = config(FAMILIES[name], tasks).make()
    check(curriculum)
    for _ in range(data.draw(st.integers(0, 40))):
        task = curriculum.get_task()
        if data.draw(st.integers(0, 9)) == 0 and len(curriculum.probabilities()) > 1:
            curriculum.retire_task(task.task_id, "cannot be built")
        else:
            curriculum.update_tasks([task.task_id] * 12, [0.0] * 12)  # nothing to learn: it leaves
    check(curriculum)


def test_a_family_of_few_variants_has_a_small_pool() -> None:
    curriculum = config(FAMILIES["a few whole numbers"], 50).make()
    check(curriculum)
    assert len(variants(curriculum)) == 6


@pytest.mark.parametrize("name", FAMILIES)
def test_a_variant_is_drawn_as_often_as_in_its_family(name: str) -> None:
    """Of the labels and whole values, which the family has a known share of: within five standard
    errors, and a part in so many tasks for the tasks of which there are others."""
    family, draws, tasks = FAMILIES[name], 4000, 200
    generator = family.create()
    expected = Counter(group(generator, task_id) for task_id in range(draws))
    curriculum = config(family, tasks, DiscreteRandomConfig).make()
    found = Counter(group(generator, task.task_id) for task in curriculum.get_tasks(draws))
    for key in expected | found:
        p = expected[key] / draws
        error = 5 * (2 * max(p * (1 - p), 1e-3) / draws) ** 0.5 + 3 / tasks
        assert abs(found[key] / draws - p) <= error, (key, expected, found)


def group(generator: Any, task_id: int) -> Any:
    label, values = generator.describe(task_id)
    density = values.pop("game.density", None)
    return label, density if density in (0.25, 0.5) else "a real number", tuple(values.items())


def test_other_families_keep_no_variants() -> None:
    for family in (bucketed(Room(), REAL), bucketed(Room(), {"game.num_plants": [1, 2]}), None):
        curriculum = config(family, 8).make()
        assert not curriculum.table.layout.has_variants


def test_a_saved_pool_goes_on_as_it_would_have() -> None:
    family = FAMILIES["one room, and real numbers"]
    first, second = config(family, 10).make(), config(family, 10).make()
    for _ in range(200):
        first.get_task().complete(0.0)
    second.load_state(first.get_state())
    check(second)
    for curriculum in (first, second):
        curriculum.drawn = []  # type: ignore[attr-defined]
        for _ in range(200):
            task = curriculum.get_task()
            curriculum.drawn.append(task.task_id)  # type: ignore[attr-defined]
            task.complete(0.0)
    assert first.drawn == second.drawn  # type: ignore[attr-defined]


def test_tasks_of_a_changed_family_are_kept_apart_too() -> None:
    old = config(bucketed(Room(), {"game.num_plants": [1, 2, 3]}), 20).make()
    new = config(FAMILIES["whole numbers and a list"], 20).make()
    new.load_state(old.get_state(), changed_tasks=True)
    check(new)
    weights = new.table.column("sampling_weight")[new.table.active()]
    assert np.isfinite(weights).all()


def test_a_pool_that_another_scorer_saved_is_kept_apart_too() -> None:
    family = FAMILIES["two spans of whole numbers"]
    old, new = (
        CurriculumConfig(
            task_generator=family,
            algorithm_config=LearningProgressConfig(
                use_shared_memory=False, num_active_tasks=10, scorer=scorer
            ),
        ).make()
        for scorer in ("posterior", "bidirectional")
    )
    new.load_state(old.get_state())
    check(new)
    for _ in range(100):
        task = new.get_task()
        new.update_tasks([task.task_id] * 12, [0.0] * 12)
    check(new)


def test_the_variant_of_a_task_cannot_be_set() -> None:
    curriculum = config(FAMILIES["a few whole numbers"], 6).make()
    task_id = next(iter(curriculum.probabilities()))
    with pytest.raises(ValueError, match="'variant' is kept by the tracker"):
        curriculum.tracker.set_column(task_id, "variant", 7.0)
    curriculum.tracker.remove_task(task_id)


def test_a_column_of_that_name_is_its_owners() -> None:
    tracker = TaskTracker(4, columns=[Column("variant", "the user's")])
    tracker.track_task_creation(1)
    tracker.set_column(1, "variant", 7.0)
    tracker.remove_task(1)
    assert not tracker.table.layout.has_variants


def test_a_saved_variant_is_an_integer() -> None:
    curriculum = config(FAMILIES["a few whole numbers"], 6).make()
    state = curriculum.get_state()
    pool = state["algorithm"]["tracker"]
    pool["rows"][0, pool["columns"].index("variant")] = 0.5
    with pytest.raises(ValueError, match=r"column 'variant' holds 0\.5, not an integer"):
        curriculum.load_state(state)
    check(curriculum)
