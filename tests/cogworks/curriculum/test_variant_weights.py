"""How often a pool draws the variants of a family in which different ids can be the same one: as
often as the family has them."""

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from metta.cogworks.curriculum import (
    CurriculumConfig,
    DiscreteRandomConfig,
    Span,
    TaskGenerator,
    bucketed,
    merge,
)
from metta.cogworks.curriculum.tasks import masses as m
from metta.cogworks.curriculum.tasks.variants import Variants
from tests.cogworks.curriculum.generator_examples import MinimalGenerator, Room

CAPACITY = 50
SEEDS = 30
ONE = Room(label="one")


def whole(label: str, count: int) -> Any:
    """So many whole numbers, though not counted."""
    return bucketed(Room(label=label), {"game.high": Span(10, 9 + count)})


REAL = bucketed(Room(label="real"), {"game.density": Span(0.25, 0.75)})
OVERLAPPING = [
    bucketed(Room(label="a"), {"game.num_plants": [1, 2, 3]}),
    bucketed(Room(label="b"), {"game.num_plants": [2, 3, 4, 5, 6]}),
]
HALVES = {"one": 1 / 2, "other": 1 / 2}
SHARES: dict[str, tuple[Any, dict[str, float]]] = {
    "101 whole numbers": (merge([ONE, whole("other", 101)]), HALVES),
    "a million whole numbers": (merge([ONE, whole("other", 10**6)]), HALVES),
    "more whole numbers than ids": (merge([ONE, whole("other", 2**60)]), HALVES),
    "real numbers": (merge([ONE, REAL]), {"one": 1 / 2, "real": 1 / 2}),
    "few of them": (merge([ONE, REAL], weights=[98, 2]), {"one": 0.98, "real": 0.02}),
    "custom tasks": (merge([ONE, MinimalGenerator.Config()]), {"one": 1 / 2, "room": 1 / 2}),
    "three families": (
        merge([ONE, whole("few", 20), whole("many", 1000)], weights=[1, 2, 1]),
        {"one": 1 / 4, "few": 2 / 4, "many": 1 / 4},
    ),
    "lists that overlap": (
        bucketed(merge(OVERLAPPING), {"game.high": Span(10, 40)}),
        {"a": 1 / 2, "b": 1 / 2},
    ),
    "values and lists": (
        bucketed(Room(label="all"), {"game.density": [0.25, 0.5, Span(0.6, 0.9)]}),
        {"all": 1.0, "0.25": 1 / 3, "0.5": 1 / 3},
    ),
}


def shares(family: Any, seed: int) -> Counter[str]:
    """What a new pool draws, by label, and by the values of a list."""
    hypers = DiscreteRandomConfig(use_shared_memory=False, num_active_tasks=CAPACITY)
    config = CurriculumConfig(task_generator=family, algorithm_config=hypers, seed=seed)
    found: Counter[str] = Counter()
    with config.make() as curriculum:
        for task_id, p in curriculum.probabilities().items():
            found[curriculum.label_of(task_id)] += p
            density = curriculum.bucket_values_of(task_id).get("game.density")
            found[str(density)] += p if density in (0.25, 0.5) else 0.0
    return found


@pytest.mark.parametrize("name", SHARES)
def test_every_part_of_a_family_has_its_share(name: str) -> None:
    """On average over the pools that different seeds fill, within five standard errors."""
    family, expected = SHARES[name]
    pools = [shares(family, seed) for seed in range(SEEDS)]
    for group, share in expected.items():
        found = np.array([pool[group] for pool in pools])
        error = 5.0 * found.std(ddof=1) / SEEDS**0.5
        assert found.mean() == pytest.approx(share, abs=error + 1e-9), (group, error)
        assert error < 0.1


# Masses
# --------------------------------------------------------------------------------------------------

COUNTED: list[Any] = [
    ONE,
    merge(OVERLAPPING, weights=[1, 3]),
    merge([ONE, *OVERLAPPING], weights=[0, 1, 1]),
    bucketed(merge(OVERLAPPING), {"game.even": [0, 2], "game.high": [10, "10", 20]}),
]


@pytest.mark.parametrize("config", COUNTED)
def test_masses_are_those_of_all_variants(config: Any) -> None:
    generator: TaskGenerator[Any] = merge([config]).create()
    count, node = generator.num_variants or 0, generator.node
    each = [node.mass(node.nth(number)) for number in range(count)]
    assert sum(each) == pytest.approx(1.0)
    assert m.num_variants(node.masses) == pytest.approx(count)
    assert sum(node.masses.values()) == pytest.approx(1.0)
    for draws in (1, 7, 100):
        expected = sum(1 - (1 - mass) ** draws for mass in each)
        assert m.expected_variants(node.masses, draws) == pytest.approx(expected)


def test_masses_of_spans() -> None:
    both = bucketed(
        Room(), {"game.num_plants": [7, Span(1, 4)], "game.density": [0.5, Span(0.0, 1.0)]}
    )
    assert both.create().node.masses == {1 / 4: 1 / 4, 1 / 16: 1 / 4, 0.0: 1 / 2}
    assert m.num_variants(both.create().node.masses) == math.inf


@pytest.mark.parametrize("kinds", [65, 1000])
def test_masses_of_many_weights_are_few(kinds: int) -> None:
    """As many variants as there are, and as many different ones in so many draws."""
    weights = [1.0 + i for i in range(kinds)]
    each = {w / sum(weights): w / sum(weights) for w in weights}
    found = m.union((share, {1.0: 1.0}) for share in each)
    assert len(found) < 64
    assert sum(found.values()) == pytest.approx(1.0)
    assert m.num_variants(found) == pytest.approx(kinds)
    for draws in (kinds / 10, kinds, 10 * kinds):
        exact = m.expected_variants(each, draws)
        assert m.expected_variants(found, draws) == pytest.approx(exact, rel=0.01)


def test_masses_too_small_for_a_float_are_of_variants_that_never_come_twice() -> None:
    tiny = {1e-200: 1.0}
    assert m.product([tiny, tiny]) == {0.0: 1.0}
    rare = {2.0 ** -(100 + i): 0.5 / 100 for i in range(100)}
    found = m.union([(1.0, {**rare, 0.5: 0.5})])
    assert found == {0.0: pytest.approx(0.5), 0.5: pytest.approx(0.5)}


@pytest.mark.parametrize(("variants", "places"), [(101, 50), (101, 100), (10**6, 50)])
def test_draws_for_so_many_equal_variants(variants: int, places: int) -> None:
    """From 1 - (1 - 1/K)^D = C/K."""
    exact = math.log1p(-places / variants) / math.log1p(-1 / variants)
    assert m.draws_for({1 / variants: 1.0}, places, 10**6) == pytest.approx(exact)
    assert m.draws_for({1 / variants: 1.0}, places, 60) == pytest.approx(min(60, exact))


def test_draws_are_bounded() -> None:
    assert m.draws_for({1 / 6: 1.0}, 50, 1000) == 1000.0  # there are six
    assert m.draws_for({1.0: 1.0}, 1, 1000) == 1000.0
    assert m.draws_for({0.0: 1.0}, 50, 1000) == pytest.approx(50.0)
    assert m.draws_for({0.0: 1.0}, 50, 20) == 20.0  # ids


@pytest.mark.parametrize("capacity", [1, 50, 10**6])
@pytest.mark.parametrize("num_ids", [1, 100, 2**53])
def test_weights_are_finite(capacity: int, num_ids: int) -> None:
    sizes = [1, 2, 2**30, 2**52, 2**63]
    family = merge(
        [bucketed(whole("x", size), {"game.anything": Span(1, size)}) for size in sizes[1:]]
    )
    generator = family.create()
    variants = Variants(generator, capacity, num_ids, are_kept=True)
    assert 1 <= variants.num_tries <= num_ids
    weights = [variants.weight(task_id) for task_id in range(50)]
    assert all(0.999 < weight <= 1e12 for weight in weights)


def test_ids_are_looked_through_until_every_variant_is_found() -> None:
    variants = Variants(whole("x", 6).create(), 50, 10**6, are_kept=True)
    ids = itertools.count()
    found = variants.one_of_each(ids, variants.num_places)
    assert len(found) == 6
    assert next(ids) < 1000
