"""A task is a variant: ids enumerate a family that can be counted, and weights are of sampling."""

import collections
import itertools
import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metta.cogworks.curriculum import (
    BucketedTaskGenerator,
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    SingleTaskGenerator,
    Span,
    TaskGenerator,
    TaskGeneratorConfig,
    bucketed,
    merge,
    single_task,
)
from metta.cogworks.curriculum.tasks.permutation import Permutation
from metta.cogworks.curriculum.tasks.variants import may_repeat, same_tasks, variant_hash
from tests.cogworks.curriculum.generator_examples import MinimalGenerator, Room, RoomGenerator

VALUES: dict[str, list[Any]] = {
    "game.num_plants": [1, 5, 9, 11],
    "game.density": [0.25, 0.5, 0.75],
    "game.colour": ["red", "blue"],
    "game.daytime": [True, False],
    "game.boss": [None, {"count": 1}, {"count": 2}],
    "game.objects.0.tags": [[], ["a"], ["a", "b"]],
}


@st.composite
def leaves(draw: st.DrawFn) -> TaskGeneratorConfig:
    return SingleTaskGenerator.Config(
        env=Room(label=draw(st.sampled_from("abc"))), label=draw(st.sampled_from([None, "x"]))
    )


@st.composite
def families(draw: st.DrawFn, depth: int = 2, free: tuple[str, ...] = tuple(VALUES)) -> Any:
    """Any tree of generators without a Span."""
    kind = draw(st.sampled_from(["leaf", "buckets", "choice"])) if depth else "leaf"
    if kind == "leaf":
        return draw(leaves())
    if kind == "choice":
        children = draw(st.lists(families(depth - 1, free), min_size=1, max_size=3))
        weight = st.sampled_from([0.0, 0.5, 1.0, 3.0])
        weights = draw(st.lists(weight, min_size=len(children), max_size=len(children)))
        return merge(children, weights if sum(weights) else None)
    axes = draw(st.lists(st.sampled_from(free), max_size=2, unique=True)) if free else []
    buckets = {
        axis: draw(st.lists(st.sampled_from(VALUES[axis]), min_size=1, unique_by=repr))
        for axis in axes
    }
    child = draw(families(depth - 1, tuple(axis for axis in free if axis not in axes)))
    return bucketed(child, buckets)


# Ids
# --------------------------------------------------------------------------------------------------


@given(n=st.integers(1, 2000))
def test_the_order_is_a_bijection_and_its_inverse(n: int):
    order = Permutation(n)
    images = [order.at(i) for i in range(n)]
    assert sorted(images) == list(range(n))
    assert [order.where(image) for image in images] == list(range(n))


@given(n=st.integers(1, 2**53), data=st.data())
def test_the_order_of_large_families_has_an_inverse(n: int, data: st.DataObject):
    i = data.draw(st.integers(0, n - 1))
    order = Permutation(n)
    assert 0 <= order.at(i) < n
    assert order.where(order.at(i)) == i


def test_the_order_looks_random():
    n = 10_000
    images = np.array([Permutation(n).at(i) for i in range(n)])
    first = images[: n // 10]
    assert stats.kstest(first / n, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(images[:-1], images[1:])[0, 1]) < 0.05
    for radix in (2, 3, 5, 16):  # the digits of an axis in mixed radix
        assert stats.chisquare(np.bincount(first % radix, minlength=radix)).pvalue > 0.001


def test_the_meaning_of_ids_is_fixed():
    """Saved pools depend on it. A change needs an entry in docs/migration.md."""
    generator = bucketed(Room(), {"game.num_plants": [1, 2, 3], "game.even": [0, 2]}).create()
    plants = [generator.describe(i).slice_values["game.num_plants"] for i in range(6)]
    evens = [generator.describe(i).slice_values["game.even"] for i in range(6)]
    assert (plants, evens) == ([1, 2, 3, 1, 3, 2], [0, 0, 2, 2, 0, 2])
    assert [Permutation(1000).at(i) for i in range(4)] == [939, 71, 450, 393]


@settings(max_examples=60, deadline=None)
@given(config=families())
def test_ids_enumerate_the_variants(config: TaskGeneratorConfig):
    generator = config.create()
    count = generator.num_variants
    assert count is not None
    keys = [generator.variant(task_id) for task_id in range(count)]
    assert len(set(keys)) == count
    for task_id in range(count):
        description = generator.describe(task_id)
        found = generator.find(*description)
        assert found is not None
        assert generator.describe(found) == description
        assert generator.find(None, description.slice_values) is not None
    with pytest.raises(ValueError, match=f"num_variants = {count} tasks, so ids .* to {count - 1}"):
        generator.describe(count)
    assert sum(generator.sampling_weight(i) for i in range(count)) == pytest.approx(count)
    if generator.is_uniform:
        assert all(generator.sampling_weight(i) == pytest.approx(1.0) for i in range(count))


@settings(max_examples=30, deadline=None)
@given(config=families())
def test_ids_mean_the_same_after_json(config: TaskGeneratorConfig):
    generator = config.create()
    again = TaskGeneratorConfig.model_validate_json(config.model_dump_json()).create()
    for task_id in range(generator.num_variants or 0):
        assert again.describe(task_id) == generator.describe(task_id)
        assert again.get_task(task_id) == generator.get_task(task_id)


def test_ids_find_every_combination_of_values():
    buckets = {axis: values for axis, values in VALUES.items() if axis != "game.objects.0.tags"}
    generator = bucketed(Room(), buckets).create()
    combinations = list(itertools.product(*buckets.values()))
    assert generator.num_variants == len(combinations) == 4 * 3 * 2 * 2 * 3
    ids = [generator.find("room", dict(zip(buckets, c, strict=True))) for c in combinations]
    assert sorted(i for i in ids if i is not None) == list(range(len(combinations)))
    for task_id, combination in zip(ids, combinations, strict=True):
        assert task_id is not None
        assert tuple(generator.describe(task_id).slice_values.values()) == combination


@pytest.mark.parametrize(
    ("label", "values"),
    [
        ("other", {"game.num_plants": 1}),
        ("room", {"game.num_plants": 2}),
        ("room", {"game.num_plants": 1.0}),  # 1 it would be
        ("room", {"game.num_plants": [1]}),
        ("room", {"game.num_plants": object()}),
        ("room", {}),
        ("room", {"game.num_plants": 1, "game.even": 2}),
        ("room", {"game.even": 2}),
    ],
)
def test_what_is_no_task_is_not_found(label: str, values: dict[str, Any]):
    generator = bucketed(Room(), {"game.num_plants": [1, 5]}).create()
    assert generator.find(label, values) is None


def test_a_description_is_found_in_a_changed_family():
    """So that a run can be resumed with more, fewer or other tasks."""
    old = bucketed(Room(), {"game.num_plants": [1, 2, 3]}).create()
    new = merge([bucketed(Room(), {"game.num_plants": [2, 3, 4]}), Room(label="new")]).create()
    kept = {
        task_id: found
        for task_id in range(3)
        if (found := new.find(*old.describe(task_id))) is not None
    }
    assert len(kept) == 2
    for task_id, found in kept.items():
        assert new.describe(found) == old.describe(task_id)


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (single_task(Room()), 1),
        (bucketed(Room()), 1),
        (bucketed(Room(), {"game.num_plants": [1, 5, 9]}), 3),
        (bucketed(bucketed(Room(), {"game.even": [0, 2]}), {"game.num_plants": [1, 5, 9]}), 6),
        (merge([Room()] * 5), 5),
        (merge([Room(), bucketed(Room(), {"game.num_plants": [1, 5]})], weights=[1, 0]), 1),
        (merge([Room(), RoomGenerator.Config()], weights=[1, 0]), 1),  # of weight 0
        (bucketed(merge([Room(), Room(label="b")]), {"game.even": [0, 2]}), 4),
        (bucketed(Room(), {"game.num_plants": [5, "5", 7]}), 2),  # one value, listed twice
        (bucketed(Room(), {"game.density": [1, 1.0]}), 1),
        (bucketed(Room(), {"game.anything": [1, 1.0, True, "1", [1], [True]]}), 6),
        (bucketed(Room(), {"game.num_plants": Span(1, 4)}), None),
        (bucketed(Room(), {"game.num_plants": [1, Span(2, 4)]}), None),
        (merge([Room(), bucketed(Room(), {"game.density": Span(0.1, 0.2)})]), None),
        (MinimalGenerator.Config(), None),
        (bucketed(MinimalGenerator.Config(), {"game.even": [0, 2]}), None),
        (bucketed(Room(), {f"game.agent.rewards.r{i}": list(range(64)) for i in range(8)}), 2**48),
        (bucketed(Room(), {f"game.agent.rewards.r{i}": list(range(64)) for i in range(9)}), None),
    ],
)
def test_number_of_variants(config: TaskGeneratorConfig, count: int | None):
    generator = config.create()
    assert generator.num_variants == count
    last = 2**53 - 1 if count is None else count - 1
    assert generator.describe(last)
    if count is None:
        with pytest.raises(ValueError, match="num_variants is None"):
            generator.find(None, {})


def test_ids_of_every_size_cost_the_same():
    large = {f"game.agent.rewards.r{i}": list(range(64)) for i in range(8)}
    generator = bucketed(Room(), large).create()
    assert generator.num_variants == 2**48
    for task_id in (0, 1, 2**47, 2**48 - 1):
        assert generator.find(*generator.describe(task_id)) == task_id


# Weights
# --------------------------------------------------------------------------------------------------


def test_weights_are_of_sampling_and_not_of_ids():
    first = bucketed(Room(label="a"), {"game.num_plants": [1, 2, 3]})
    generator = merge([first, Room(label="b"), Room(label="c")], weights=[3, 1, 0]).create()
    assert generator.num_variants == 4
    weights = {generator.get_label(i): generator.sampling_weight(i) for i in range(4)}
    assert weights == {"a": pytest.approx(3 / 4 / 3 * 4), "b": pytest.approx(1 / 4 * 4)}
    assert generator.is_uniform


def test_a_value_that_is_listed_twice_has_twice_the_weight():
    generator = bucketed(Room(), {"game.num_plants": [5, "5", 7]}).create()
    weights = {
        generator.describe(i).slice_values["game.num_plants"]: generator.sampling_weight(i)
        for i in range(2)
    }
    assert weights == {5: pytest.approx(4 / 3), 7: pytest.approx(2 / 3)}
    assert not generator.is_uniform


@settings(max_examples=20, deadline=None)
@given(config=families())
def test_a_drawn_family_has_the_weights_as_frequencies(config: TaskGeneratorConfig):
    """The same family, once it cannot be counted, is drawn as its sampling weights say."""
    counted = config.create()
    never = bucketed(Room(), {"game.low": Span(0, 1)})
    drawn = merge([config, never], weights=[1, 1e-12]).create()
    assert drawn.num_variants is None
    n, count = 3000, counted.num_variants or 0
    seen = collections.Counter(drawn.variant(task_id)[1] for task_id in range(n))  # type: ignore[index]
    expected = {counted.variant(i): counted.sampling_weight(i) / count * n for i in range(count)}
    assert set(seen) <= set(expected)
    observed = [seen[key] for key in expected]
    if len(observed) > 1:
        chi = sum((o - e) ** 2 / e for o, e in zip(observed, expected.values(), strict=True))
        assert chi < stats.chi2.ppf(1 - 1e-7, len(observed) - 1)


def open_pool(config: TaskGeneratorConfig, **fields: Any) -> Curriculum:
    algorithm = DiscreteRandomConfig(num_active_tasks=64, use_shared_memory=False)
    return CurriculumConfig(task_generator=config, algorithm_config=algorithm, **fields).make()


def test_a_pool_draws_by_the_weights():
    rooms = bucketed(Room(label="a"), {"game.num_plants": [1, 2, 3]})
    with open_pool(merge([rooms, Room(label="b")], weights=[1, 3])) as curriculum:
        labels = collections.Counter(curriculum.get_task().get_label() for _ in range(8000))
        assert stats.chisquare([labels["a"], labels["b"]], [2000, 6000]).pvalue > 0.001
        chances: collections.Counter[str] = collections.Counter()
        for task_id, p in curriculum.probabilities().items():
            chances[curriculum.label_of(task_id)] += p  # type: ignore[assignment]
        assert chances["b"] == pytest.approx(0.75, abs=0.01)


# Pools
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (bucketed(Room(), {"game.num_plants": list(range(16))}), 16),  # levels nobody could reach
        (merge([single_task(Room(label=str(i))) for i in range(5)]), 5),
        (single_task(Room()), 1),
    ],
)
@pytest.mark.parametrize("algorithm", [DiscreteRandomConfig, LearningProgressConfig])
def test_a_pool_holds_every_variant(config: TaskGeneratorConfig, count: int, algorithm: Any):
    hypers = algorithm(use_shared_memory=False)
    with config.to_curriculum(algorithm_config=hypers).make() as curriculum:
        assert sorted(curriculum.probabilities()) == list(range(count))
        assert curriculum.table.layout.max_tasks == count
        assert curriculum.config.max_task_id == count
        for _ in range(20):
            curriculum.get_task().complete(0.5)
        assert sorted(curriculum.probabilities()) == list(range(count))


def test_a_pool_may_be_smaller_than_the_family():
    config = bucketed(Room(), {"game.num_plants": list(range(50))})
    with config.to_curriculum(num_active_tasks=8).make() as curriculum:
        assert len(curriculum.probabilities()) == 8
        variants = {curriculum.bucket_values_of(i)["game.num_plants"] for i in range(50)}
        assert len(variants) == 50


def test_fewer_ids_than_variants_are_a_fair_choice_of_them():
    config = bucketed(Room(), {"game.num_plants": list(range(64)), "game.even": [0, 2, 4, 6]})
    with open_pool(config, max_task_id=64) as curriculum:
        evens = collections.Counter(curriculum.bucket_values_of(i)["game.even"] for i in range(64))
        assert stats.chisquare([evens[v] for v in (0, 2, 4, 6)]).pvalue > 0.001


def test_more_ids_than_variants_are_refused():
    config = bucketed(Room(), {"game.num_plants": [1, 5]})
    with pytest.raises(ValueError, match=r"max_task_id=3 is more .* num_variants is 2\. Leave"):
        open_pool(config, max_task_id=3)
    with open_pool(config, max_task_id=2) as curriculum:
        assert len(curriculum.probabilities()) == 2


def test_families_that_cannot_be_counted_have_a_million_ids():
    config = bucketed(Room(), {"game.density": Span(0.1, 0.9)}).to_curriculum()
    assert config.max_task_id is None
    with config.make() as curriculum:
        assert curriculum.config.max_task_id == 1_000_000
        assert len(curriculum.probabilities()) == 1000


def test_a_pool_that_was_asked_to_be_larger_than_the_family_says_so(
    caplog: pytest.LogCaptureFixture,
):
    config = bucketed(Room(), {"game.num_plants": [1, 5]})
    caplog.set_level(logging.WARNING)
    for fits in (
        config.to_curriculum(),
        config.to_curriculum(2),
        config.to_curriculum(algorithm_config=LearningProgressConfig.default()),
    ):
        fits.make().close()
    assert not caplog.records
    for too_large in (
        config.to_curriculum(5),
        config.to_curriculum(algorithm_config=LearningProgressConfig(num_active_tasks=5)),
        config.to_curriculum(algorithm_config=LearningProgressConfig.default(num_active_tasks=5)),
    ):
        caplog.clear()
        too_large.make().close()
        (record,) = caplog.records
        assert record.message == (
            "num_active_tasks=5 is more than there are tasks: the pool holds all 2"
        )


def test_the_capacity_is_written_once():
    config = bucketed(Room(), {"game.num_plants": [1, 5]}).to_curriculum(7)
    dump = config.model_dump(mode="json")
    assert "num_active_tasks" not in dump
    assert dump["algorithm_config"]["num_active_tasks"] == 7
    again = CurriculumConfig.model_validate(dump)
    assert again == config
    assert again.num_active_tasks == 7


# The same tasks
# --------------------------------------------------------------------------------------------------


SPAN = {"game.density": Span(0.1, 0.9)}
WHOLE = {"game.num_plants": Span(1, 4)}


@pytest.mark.parametrize(
    ("config", "repeats"),
    [
        (bucketed(Room(), {"game.num_plants": [1, 5]}), False),  # ids are the variants
        (bucketed(Room(), WHOLE), True),
        (bucketed(Room(), SPAN), False),
        (bucketed(Room(), SPAN | WHOLE), False),
        (bucketed(Room(), {"game.density": [0.5, Span(0.6, 0.9)]}), True),
        (merge([Room(), bucketed(Room(), SPAN)]), True),
        (merge([bucketed(Room(), SPAN), MinimalGenerator.Config()]), False),
        (bucketed(merge([Room(), bucketed(Room(), SPAN)]), WHOLE), True),
        (MinimalGenerator.Config(), False),
        (bucketed(MinimalGenerator.Config(), WHOLE), False),
    ],
)
def test_whether_variants_can_repeat(config: TaskGeneratorConfig, repeats: bool):
    generator = config.create()
    assert may_repeat(generator) == repeats
    ids = range(generator.num_variants or 300)
    variants = {generator.variant(task_id) for task_id in ids}
    hashes = {variant_hash(generator, task_id) for task_id in ids}
    assert (len(variants) < len(ids)) == repeats
    assert len(hashes) == len(variants)
    assert all(0 <= value < 2**53 for value in hashes)


def test_hashes_of_variants_are_fixed():
    generator = bucketed(Room(), WHOLE).create()
    assert [variant_hash(generator, i) for i in (0, 1)] == [3945198249042408, 7110745049670749]


def test_tasks_of_a_changed_family_are_kept():
    old = bucketed(Room(), {"game.num_plants": [1, 2, 3]}).create()
    new = bucketed(Room(), {"game.num_plants": [2, 3, 4, 5]}).create()
    kept = same_tasks(old, new, range(3))
    assert len(kept) == 2
    for old_id, new_id in kept.items():
        assert old.describe(old_id) == new.describe(new_id)
    assert same_tasks(new, old, kept.values()) == {b: a for a, b in kept.items()}
    assert same_tasks(old, old, range(3)) == {0: 0, 1: 1, 2: 2}


def test_no_two_tasks_become_one():
    old = merge([Room(), Room()]).create()
    assert same_tasks(old, single_task(Room()).create(), range(2)) == {0: 0}


def test_tasks_of_a_drawn_family_are_kept_where_they_are_drawn_as_they_were():
    old = bucketed(Room(), {"game.num_plants": [1, 2], **SPAN}).create()
    new = bucketed(Room(), {"game.num_plants": [1, 3], **SPAN}).create()
    kept = same_tasks(old, new, range(100))
    assert 20 < len(kept) < 80
    assert all(a == b and old.describe(a) == new.describe(b) for a, b in kept.items())
    longer = bucketed(Room(), {"game.even": [0, 2], "game.num_plants": [1, 2], **SPAN}).create()
    assert same_tasks(old, longer, range(100)) == {}


def test_tasks_of_a_custom_generator_are_kept_only_with_its_configuration():
    old, new = RoomGenerator.Config(largest=8).create(), RoomGenerator.Config(largest=9).create()
    assert same_tasks(old, new, range(5)) == {}
    again = RoomGenerator.Config(largest=8).create()
    assert same_tasks(old, again, range(5)) == {i: i for i in range(5)}


# Subclasses
# --------------------------------------------------------------------------------------------------


class Renamed(BucketedTaskGenerator[Any]):
    """A subclass that changes nothing about its tasks."""


class Labelled(BucketedTaskGenerator[Any]):
    """A subclass that says what a task is called."""

    def _task_label(self, task_id: int, rng: Any) -> str:
        return f"task {task_id}"


class Changed(SingleTaskGenerator[Any]):
    """A subclass that makes more of the id."""

    def _generate_task(self, task_id: int, rng: Any) -> Any:
        task = super()._generate_task(task_id, rng)
        task.game.num_plants = task_id % 10
        return task


def test_a_subclass_that_changes_no_task_is_counted():
    config = Renamed.Config(child_generator_config=single_task(Room()), buckets={"game.even": [0]})
    assert config.create().num_variants == 1


def test_a_subclass_that_changes_tasks_is_not():
    buckets = {"game.even": [0, 2]}
    labelled = Labelled.Config(child_generator_config=single_task(Room()), buckets=buckets).create()
    assert labelled.num_variants is None
    assert labelled.describe(7).label == labelled.get_task(7).label == "task 7"
    assert labelled.describe(7).slice_values["game.even"] == labelled.get_task(7).game.even
    changed = Changed.Config(env=Room(label="mine"), overrides={"game.even": 4}).create()
    assert changed.num_variants is None
    task = changed.get_task(17)
    assert (task.game.num_plants, task.game.even, task.label) == (7, 4, "mine")


class Named(TaskGenerator[Room]):
    """Upstream's idiom."""

    class Config(TaskGeneratorConfig["Named"]):
        largest: int = 3

    def _generate_task(self, task_id: int, rng: Any) -> Room:
        return Room(label=f"{self.config.largest}")


class NamedByClass(TaskGenerator[Room]):
    class Config(TaskGeneratorConfig[Named]):
        """Named after another class: what counts is where it is nested."""

    def _generate_task(self, task_id: int, rng: Any) -> Room:
        return Room()


def test_a_configuration_may_name_its_generator():
    assert Named.Config.__mro__[1] is TaskGeneratorConfig
    assert Named.Config(largest=9).create().get_label(0) == "9"
    assert type(NamedByClass.Config().create()) is NamedByClass
    loaded = TaskGeneratorConfig.model_validate_json(Named.Config(largest=4).model_dump_json())
    assert loaded == Named.Config(largest=4)
    assert TaskGeneratorConfig["Whatever"] is TaskGeneratorConfig
    with pytest.raises(TypeError, match=r"TaskGeneratorConfig\[5\] names no generator"):
        TaskGeneratorConfig[5]
