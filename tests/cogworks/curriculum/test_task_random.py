"""The random numbers of a custom generator: the names of ``random.Random``, and a function of the
seed."""

import collections
import hashlib
import inspect
import itertools
import math
import random
from typing import Any

import pytest
from scipy import stats

from metta.cogworks.curriculum.task_generator import TaskRandom
from metta.cogworks.curriculum.tasks import elementary

DRAWS = 1500  # enough to tell a wrong distribution by: see the last test
NOT_DRAWING = {"seed", "getstate", "setstate", "VERSION"}
NAMES = sorted(
    {name for name in dir(random.Random) if not name.startswith("_")} - NOT_DRAWING
    | {"binomialvariate"}  # since Python 3.12
)


@pytest.mark.parametrize("name", NAMES)
def test_methods_have_the_names_of_the_standard_library(name: str):
    assert f"`{name}`" in (TaskRandom.__doc__ or "")
    ours = inspect.signature(getattr(TaskRandom, name)).parameters
    if hasattr(random.Random, name):
        theirs = list(inspect.signature(getattr(random.Random, name)).parameters)
        names = {"a": "low", "b": "high", "seq": "items", "x": "items"}  # positional by custom
        assert len(ours) == len(theirs)
        assert [names.get(n, n) for n in theirs] == list(ours)


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
        rng.randrange(10),
        rng.randrange(3, 100, 7),
        rng.getrandbits(5),
        rng.getrandbits(200),
        rng.randbytes(11),
        rng.triangular(1.0, 5.0, 2.0),
        rng.gauss(1.0, 2.0),
        rng.normalvariate(1.0, 2.0),
        rng.lognormvariate(0.0, 0.5),
        rng.expovariate(2.0),
        rng.gammavariate(2.5, 3.0),
        rng.gammavariate(0.3, 1.0),
        rng.betavariate(2.0, 0.7),
        rng.paretovariate(3.0),
        rng.weibullvariate(2.0, 1.5),
        rng.vonmisesvariate(1.0, 4.0),
        rng.binomialvariate(1000, 0.3),
        rng.binomialvariate(5, 0.3),
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
    # To the last bit, on every platform and Python version.
    digest = hashlib.sha256(repr([everything(seed) for seed in range(200)]).encode())
    assert digest.hexdigest()[:16] == "f1583a79f56cf6c7"


@pytest.mark.parametrize(
    ("ours", "theirs", "points", "tolerance"),
    [
        (elementary.log, math.log, [5e-324, 1e-300, 0.1, 0.7, 1.0, 3.0, 1e300], 4e-16),
        (elementary.exp, math.exp, [-744.9, -100.0, -1e-9, 0.0, 0.3, 1.0, 700.0], 4e-16),
        (
            elementary.cos_of_turn,
            lambda u: math.cos(2 * math.pi * u),
            [0.0, 0.1, 0.3, 0.5, 0.6, 0.9, 1.0],
            1e-15,
        ),
        (elementary.acos, math.acos, [-1.0, -0.99, -0.2, 0.0, 0.2, 0.999, 1.0], 1e-15),
    ],
)
def test_functions_without_a_library(
    ours: Any, theirs: Any, points: list[float], tolerance: float
) -> None:
    near = [x * 0.999 for x in points]
    assert [ours(x) for x in points + near] == pytest.approx(
        [theirs(x) for x in points + near], rel=tolerance, abs=tolerance
    )


def test_the_ends_of_floats():
    assert elementary.exp(-800.0) == 0.0
    with pytest.raises(OverflowError, match="more than the largest float"):
        elementary.exp(710.0)
    with pytest.raises(OverflowError, match="more than the largest float"):
        TaskRandom(1).paretovariate(1e-4)


CONTINUOUS: list[tuple[str, tuple[float, ...], Any]] = [
    ("random", (), stats.uniform()),
    ("uniform", (2.0, 5.0), stats.uniform(2, 3)),
    ("triangular", (), stats.triang(0.5)),
    ("triangular", (1.0, 5.0, 2.0), stats.triang(0.25, 1, 4)),
    ("triangular", (1.0, 5.0, 5.0), stats.triang(1.0, 1, 4)),
    ("gauss", (), stats.norm()),
    ("normalvariate", (2.0, 3.0), stats.norm(2, 3)),
    ("lognormvariate", (1.0, 0.5), stats.lognorm(0.5, scale=math.e)),
    ("expovariate", (), stats.expon()),
    ("expovariate", (4.0,), stats.expon(scale=0.25)),
    ("gammavariate", (0.2, 2.0), stats.gamma(0.2, scale=2)),
    ("gammavariate", (1.0, 1.0), stats.gamma(1)),
    ("gammavariate", (30.0, 0.5), stats.gamma(30, scale=0.5)),
    ("betavariate", (0.5, 0.4), stats.beta(0.5, 0.4)),
    ("betavariate", (2.0, 5.0), stats.beta(2, 5)),
    ("betavariate", (300.0, 100.0), stats.beta(300, 100)),
    ("paretovariate", (3.0,), stats.pareto(3)),
    ("weibullvariate", (2.0, 1.5), stats.weibull_min(1.5, scale=2)),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), CONTINUOUS)
def test_a_continuous_distribution(name: str, arguments: tuple[float, ...], expected: Any) -> None:
    rng = TaskRandom(5)
    drawn = [getattr(rng, name)(*arguments) for _ in range(DRAWS)]
    assert stats.kstest(drawn, expected.cdf).pvalue > 0.001


@pytest.mark.parametrize("kappa", [0.0, 1e-5, 0.5, 20.0, 1e7, 1e10])
def test_angles(kappa: float) -> None:
    rng = TaskRandom(5)
    drawn = [rng.vonmisesvariate(1.0, kappa) for _ in range(DRAWS)]
    assert all(0.0 <= angle < 2 * math.pi for angle in drawn)
    around = [(angle - 1.0 + math.pi) % (2 * math.pi) - math.pi for angle in drawn]
    expected: Any = stats.uniform(-math.pi, 2 * math.pi)
    if kappa > 1e6:
        expected = stats.norm(scale=kappa**-0.5)
    elif kappa > 0.0:
        expected = stats.vonmises(kappa)
    assert stats.kstest(around, expected.cdf).pvalue > 0.001


@pytest.mark.parametrize(
    ("n", "p"), [(1, 0.5), (16, 0.3), (17, 0.3), (300, 0.02), (300, 0.97), (10**6, 0.4)]
)
def test_numbers_of_successes(n: int, p: float) -> None:
    rng = TaskRandom(5)
    expected = stats.binom(n, p)
    drawn = [rng.binomialvariate(n, p) for _ in range(DRAWS)]
    edges = sorted({-1, *(int(expected.ppf(k / 10)) for k in range(1, 10)), n})
    probabilities = [float(expected.cdf(b) - expected.cdf(a)) for a, b in itertools.pairwise(edges)]
    counts = [sum(a < x <= b for x in drawn) for a, b in itertools.pairwise(edges)]
    expected_counts = [DRAWS * q for q in probabilities]
    assert stats.chisquare(counts, expected_counts).pvalue > 0.001


def test_numbers_of_successes_at_the_ends():
    rng = TaskRandom(1)
    assert [rng.binomialvariate(n, p) for n in (0, 1, 100) for p in (0.0, 1.0)] == [
        0,
        0,
        0,
        1,
        0,
        100,
    ]


def test_ranges_and_bits_are_uniform():
    rng = TaskRandom(3)
    found = collections.Counter(rng.randrange(10, 0, -3) for _ in range(4000))
    assert set(found) == {10, 7, 4, 1}
    assert stats.chisquare(list(found.values())).pvalue > 0.001
    bits = [rng.getrandbits(70) for _ in range(2000)]
    assert max(bits) >= 2**69
    counts = [sum(value >> bit & 1 for value in bits) for bit in range(70)]
    assert stats.chisquare(counts).pvalue > 0.001
    assert (rng.getrandbits(0), rng.randbytes(0)) == (0, b"")
    assert len(rng.randbytes(9)) == 9
    assert rng.randrange(2**63, 2**63 + 1) == 2**63


BAD: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    ("randrange", (0,), ValueError, r"range\(0, 0\) is empty"),
    ("randrange", (5, 2), ValueError, r"range\(5, 2\) is empty"),
    ("randrange", (1, 5, 0), ValueError, "step is 0"),
    ("randrange", (5, None, 2), TypeError, "step is 2, without a stop"),
    ("randrange", (0, 2**65), ValueError, "more than 2"),
    ("randrange", (1.5,), TypeError, "start is 1.5, a float"),
    ("getrandbits", (-1,), ValueError, "k is -1"),
    ("randbytes", ("3",), TypeError, "n is '3', a str"),
    ("triangular", (0.0, 1.0, 2.0), ValueError, "mode is 2.0; give one from 0.0 to 1.0"),
    ("triangular", (0.0, math.inf), ValueError, "high is inf"),
    ("gauss", (0.0, -1.0), ValueError, "sigma is -1.0; give a number of at least 0"),
    ("gauss", ("a",), TypeError, "mu is 'a', a str"),
    ("lognormvariate", (True, 1.0), TypeError, "mu is True, a bool"),
    ("expovariate", (0.0,), ValueError, "lambd is 0; give"),
    ("gammavariate", (0.0, 1.0), ValueError, "alpha is 0.0; give a number above 0"),
    ("betavariate", (1.0, -1.0), ValueError, "beta is -1.0; give a number above 0"),
    ("paretovariate", (math.nan,), ValueError, "alpha is nan"),
    ("weibullvariate", (1.0, 0), ValueError, "beta is 0; give a number above 0"),
    ("vonmisesvariate", (0.0, -1.0), ValueError, "kappa is -1.0"),
    ("binomialvariate", (-1, 0.5), ValueError, "n is -1"),
    ("binomialvariate", (3, 1.5), ValueError, "p is 1.5; give a number from 0 to 1"),
]


@pytest.mark.parametrize(("name", "arguments", "error", "message"), BAD)
def test_what_is_refused(
    name: str, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    rng = TaskRandom(1)
    with pytest.raises(error, match=message):
        getattr(rng, name)(*arguments)
    assert rng.random() == TaskRandom(1).random()  # nothing was drawn


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


def test_a_wrong_distribution_is_told():
    rng = TaskRandom(5)
    drawn = [rng.gammavariate(2.0, 1.0) for _ in range(DRAWS)]
    assert stats.kstest(drawn, stats.gamma(2.2).cdf).pvalue < 1e-4
