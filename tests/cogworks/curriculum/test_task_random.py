"""The random numbers of a custom generator: the names of ``random.Random``, and a function of the
seed."""

import collections
import itertools
import random
from typing import Any

import pytest
from scipy import stats

from metta.cogworks.curriculum.task_generator import TaskRandom

NAMES = ["random", "uniform", "randint", "choice", "choices", "sample", "shuffle"]


@pytest.mark.parametrize("name", NAMES)
def test_methods_have_the_names_of_the_standard_library(name: str):
    assert callable(getattr(random.Random, name))
    assert name in (TaskRandom.__doc__ or "")
    assert callable(getattr(TaskRandom, name))


def everything(seed: int) -> list[Any]:
    rng = TaskRandom(seed)
    cards = list(range(20))
    rng.shuffle(cards)
    return [
        rng.random(),
        rng.uniform(2, 3),
        rng.randint(1, 6),
        rng.choice("abc"),
        rng.choices("abc", k=5),
        rng.choices("abc", [1, 0, 3], k=5),
        rng.choices("abc", cum_weights=[1, 1, 4], k=5),
        rng.sample(range(10**15), 3),
        rng.sample("abc", 4, counts=[1, 2, 3]),
        cards,
    ]


def test_numbers_are_a_function_of_the_seed():
    assert everything(7) == everything(7)
    assert everything(7) != everything(8)


def test_the_stream_is_fixed():
    """Tasks of users' projects depend on it."""
    rng = TaskRandom(1)
    assert rng.choices("abcdef", k=6) == list("defcce")
    assert rng.sample(range(100), 5) == [87, 51, 27, 77, 38]
    cards = list("abcdef")
    rng.shuffle(cards)
    assert "".join(cards) == "dcebaf"


@pytest.mark.parametrize("options", [{"weights": [1, 0, 3]}, {"cum_weights": [1, 1, 4]}])
def test_choices_follow_the_weights(options: dict[str, Any]):
    found = collections.Counter(TaskRandom(3).choices("abc", k=8000, **options))
    assert set(found) == {"a", "c"}
    assert stats.chisquare([found["a"], found["c"]], [2000, 6000]).pvalue > 0.001


def test_an_item_of_no_weight_at_the_end_is_never_chosen():
    class Always(TaskRandom):
        def random(self) -> float:
            return 1.0  # which rounding can make of a number below 1 times the sum

    assert Always(0).choices("ab", [1, 0]) == ["a"]


def test_samples_and_orders_are_equally_likely():
    samples = collections.Counter(tuple(TaskRandom(s).sample("abcd", 2)) for s in range(6000))
    assert set(samples) == set(itertools.permutations("abcd", 2))
    assert stats.chisquare(list(samples.values())).pvalue > 0.001
    orders: collections.Counter[str] = collections.Counter()
    for seed in range(6000):
        letters = list("abc")
        TaskRandom(seed).shuffle(letters)
        orders["".join(letters)] += 1
    assert len(orders) == 6
    assert stats.chisquare(list(orders.values())).pvalue > 0.001


def test_samples_with_counts_take_items_as_often_as_they_are_there():
    assert sorted(TaskRandom(1).sample("abc", 6, counts=[1, 2, 3])) == list("abbccc")
    assert TaskRandom(1).sample([], 0, counts=[]) == []


def test_a_sample_of_all_is_a_permutation():
    assert sorted(TaskRandom(1).sample(range(50), 50)) == list(range(50))
