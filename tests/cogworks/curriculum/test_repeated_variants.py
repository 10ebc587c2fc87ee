"""Families that are drawn at random, in which different ids can be the same variant: a pool holds
each variant once, and draws it as often as the family does."""

from collections import Counter
from pathlib import Path
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
    DiscreteRandomCurriculum,
    LearningProgressConfig,
    Span,
    TaskTracker,
    bucketed,
    merge,
)
from metta.cogworks.curriculum.pool.checks import pool_faults
from metta.cogworks.curriculum.pool.layout import VARIANT, VARIANT_COLUMN
from tests.cogworks.curriculum.curriculum_examples import FileBackend
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
    # Tasks, not regions of them: which families are cut is tested in test_regions.py.
    whole = {"max_regions": 0} if algorithm is LearningProgressConfig else {}
    hypers = algorithm(use_shared_memory=False, num_active_tasks=tasks, **whole)
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


# Tasks whose variant is not known
# --------------------------------------------------------------------------------------------------


def unknown(curriculum: Curriculum) -> int:
    """In how many of the pool's rows the variant is not known."""
    with curriculum.table as table:
        return int((table.column(VARIANT)[table.active()] == 0.0).sum())


def test_tasks_that_a_tracker_puts_in_have_no_known_variant() -> None:
    curriculum = config(FAMILIES["a few whole numbers"], 50).make()
    known = list(curriculum.probabilities())
    new = [task_id for task_id in range(20) if task_id not in known]
    for task_id in new:
        curriculum.tracker.track_task_creation(task_id)
    assert unknown(curriculum) == len(new)
    with curriculum.table as table:
        assert table.indexes[-1].find(0) == -1
        assert pool_faults(table) == []
    for task_id in new[1:]:
        curriculum.tracker.remove_task(task_id)
    curriculum.retire_task(new[0], "cannot be built")
    with curriculum.table as table:
        assert [fault for fault in pool_faults(table) if "created" not in fault] == []
        assert len(table.indexes[-1].slots()) == len(known)


def without_variants(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a curriculum as a pool without that column would have saved it."""
    pool = state["algorithm"]["tracker"]
    at = pool["columns"].index(VARIANT)
    return changed(
        state,
        columns=[name for name in pool["columns"] if name != VARIANT],
        rows=np.delete(pool["rows"], at, axis=1),
    )


def changed(state: dict[str, Any], **fields: Any) -> dict[str, Any]:
    algorithm = state["algorithm"]
    return {**state, "algorithm": {**algorithm, "tracker": {**algorithm["tracker"], **fields}}}


@pytest.mark.parametrize("algorithm", [LearningProgressConfig, DiscreteRandomConfig])
def test_variants_that_were_not_saved_are_found_when_they_are_loaded(algorithm: Any) -> None:
    family = FAMILIES["one room, and real numbers"]
    old, new = config(family, 10, algorithm).make(), config(family, 10, algorithm).make()
    tasks = old.get_tasks(30)
    old.update_tasks([task.task_id for task in tasks], [0.5] * 30)
    state = without_variants(old.get_state())
    pool = state["algorithm"]["tracker"]
    pool["rows"][:, pool["columns"].index("sampling_weight")] = 1.0
    new.load_state(state)
    assert unknown(new) == 0
    assert np.array_equal(new.tracker.get_state()["rows"], old.tracker.get_state()["rows"])
    check(new)


def test_a_pool_without_variants_loses_tasks_that_are_the_same_when_it_is_loaded() -> None:
    """What they completed still counts."""
    family = FAMILIES["a few whole numbers"]
    old, new = config(family, 50).make(), config(family, 50).make()
    for task_id in range(20):
        old.tracker.track_task_creation(task_id)
        old.update_task_performance(task_id, 1.0)
    old.retire_task(0, "cannot be built")
    state = without_variants(old.get_state())
    new.load_state(state)
    check(new)
    assert unknown(new) == 0
    assert new.get_base_stats()["num_completed"] == 20
    assert new.table.new_ids.retired() == {0}


def test_a_pool_of_another_size_has_its_own_weights() -> None:
    family = FAMILIES["one room, and real numbers"]
    old, new = (config(family, n, DiscreteRandomConfig).make() for n in (10, 100))
    new.load_state(old.get_state())
    check(new)
    labels = [new.label_of(task_id) for task_id in new.probabilities()]
    one = sum(p for i, p in new.probabilities().items() if new.label_of(i) == "one")
    assert (len(labels), labels.count("one"), round(one, 3)) == (100, 1, 0.5)


def test_a_saved_pool_with_a_variant_twice_is_refused() -> None:
    curriculum = config(FAMILIES["a few whole numbers"], 6).make()
    state = curriculum.get_state()
    pool = state["algorithm"]["tracker"]
    at = pool["columns"].index(VARIANT)
    pool["rows"][1, at] = pool["rows"][4, at]
    ids = pool["rows"][[1, 4], 0].astype(int)
    before = curriculum.tracker.get_state()["rows"].copy()
    message = f"tasks {ids[0]} and {ids[1]} are the same variant, {int(pool['rows'][4, at])}"
    with pytest.raises(ValueError, match=message):
        curriculum.load_state(state)
    with pytest.raises(ValueError, match=message):
        curriculum.tracker.load_state(pool)
    assert np.array_equal(curriculum.tracker.get_state()["rows"], before)
    check(curriculum)


def test_a_saved_column_of_that_name_is_its_owners() -> None:
    columns = [Column("variant", "the user's", -9.0, 9.0)]
    first, second = TaskTracker(4, columns=columns), TaskTracker(4, columns=columns)
    for task_id in (1, 2):
        first.track_task_creation(task_id)
        first.set_column(task_id, "variant", 0.5)
    second.load_state(first.get_state())
    assert second.get_column(2, "variant") == 0.5


def test_a_backend_of_rows_alone_brings_tasks_of_unknown_variants(tmp_path: Path) -> None:
    family, hypers = FAMILIES["a few whole numbers"], DiscreteRandomConfig(num_active_tasks=6)
    pools = []
    for _ in range(2):
        backend = FileBackend(tmp_path / "pool", 6)
        tracker = TaskTracker(backend=backend, columns=[VARIANT_COLUMN])
        algorithm = DiscreteRandomCurriculum(6, hypers, tracker)
        pools.append(Curriculum(CurriculumConfig(task_generator=family), algorithm=algorithm))
    first, second = pools
    check(first)
    assert list(first.probabilities()) == list(second.probabilities())
    assert unknown(second) == 6
    with second.table as table:
        assert [fault for fault in pool_faults(table) if "created" not in fault] == []


# Filling and leaving
# --------------------------------------------------------------------------------------------------


def test_a_pool_is_full_where_new_variants_are_rare() -> None:
    """One id in fifty is a task of its own."""
    family = merge([Room(label="one"), bucketed(Room(), REAL)], weights=[49, 1])
    curriculum = config(family, 20).make()
    check(curriculum)
    assert len(variants(curriculum)) == 20


@pytest.mark.parametrize("name", ["a few whole numbers", "whole numbers and a list"])
def test_a_retired_variant_does_not_come_back_under_another_id(name: str) -> None:
    curriculum = config(FAMILIES[name], 50).make()
    generator = curriculum.config.task_generator.create()  # type: ignore[union-attr]
    gone = set()
    while len(left := list(curriculum.probabilities())) > 1:
        gone.add(generator.variant(left[0]))
        curriculum.retire_task(left[0], "cannot be built")
        assert gone.isdisjoint(variants(curriculum))
    again = config(FAMILIES[name], 50).make()
    again.load_state(curriculum.get_state())
    assert gone.isdisjoint(variants(again))
    assert len(variants(again)) == 1


def test_variants_are_retired_in_their_family_only() -> None:
    """A state of another family forgets which ids were retired: they are other tasks now."""
    old = config(bucketed(Room(), {"game.num_plants": [1, 2, 3]}), 20).make()
    old.retire_task(0, "cannot be built")
    new = config(FAMILIES["a few whole numbers"], 20).make()
    new.load_state(old.get_state(), changed_tasks=True)
    check(new)
    assert len(variants(new)) == 6


def test_an_algorithm_that_was_given_opens_a_pool_that_keeps_variants() -> None:
    hypers = DiscreteRandomConfig(num_active_tasks=50, use_shared_memory=False)
    for_algorithm = CurriculumConfig(task_generator=FAMILIES["a few whole numbers"])
    curriculum = Curriculum(for_algorithm, algorithm=hypers.create(50))
    check(curriculum)
    assert len(variants(curriculum)) == 6
    assert curriculum.table.layout.max_tasks == 50
