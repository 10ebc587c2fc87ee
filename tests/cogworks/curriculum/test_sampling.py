"""The sampling rules, against their closed forms."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metta.cogworks.curriculum import sampling

RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "uniform": lambda w: sampling.uniform(w.size),
    "zscore_softmax": lambda w: sampling.zscore_softmax(w, 2.0),
    "zscore_sigmoid": lambda w: sampling.zscore_sigmoid(w, 2.0),
    "quantile_sigmoid": lambda w: sampling.quantile_sigmoid(w, 2.0, 0.9),
    "temperature_softmax": lambda w: sampling.temperature_softmax(w, 0.1),
    "power": lambda w: sampling.power(w, 1.5),
}
WORTH = np.array([0.1, 0.4, 0.2, 0.0, 0.9])
Z = (WORTH - WORTH.mean()) / WORTH.std()


def normalised(weight: np.ndarray) -> np.ndarray:
    return weight / weight.sum()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        (sampling.uniform(4), np.full(4, 0.25)),
        (sampling.z_scores(WORTH), Z),
        (sampling.softmax(WORTH), normalised(np.exp(WORTH))),
        (sampling.zscore_softmax(WORTH, 3.0), normalised(np.exp(3.0 * Z))),
        (sampling.zscore_sigmoid(WORTH, 3.0), normalised(sigmoid(3.0 * Z))),
        (sampling.quantile_sigmoid(WORTH, 3.0, 0.5), normalised(sigmoid(3.0 * (Z - np.median(Z))))),
        (sampling.temperature_softmax(WORTH, 0.5), normalised(np.exp(WORTH / 0.5))),
        (sampling.power(WORTH, 2.0), normalised(WORTH**2)),
        (sampling.power(WORTH, 1.0), normalised(WORTH)),
        (
            sampling.power(WORTH, 0.0),
            np.array([0.25, 0.25, 0.25, 0.0, 0.25]),
        ),  # the one without worth stays out
        (
            sampling.power(np.array([-1.0, 2.0, 2.0]), 1.0),
            np.array([0.0, 0.5, 0.5]),
        ),  # below 0 is 0
        (sampling.mix_uniform(np.array([1.0, 0.0]), 0.2), np.array([0.9, 0.1])),
        (sampling.mix_uniform(np.array([1.0, 0.0]), 1.0), np.array([0.5, 0.5])),
    ],
)
def test_closed_forms(probabilities: np.ndarray, expected: np.ndarray) -> None:
    assert probabilities == pytest.approx(expected)


@pytest.mark.parametrize("rule", RULES)
@given(worth=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_a_distribution_whatever_the_worth(rule: str, worth: list[float]) -> None:
    w = np.array(worth)
    p = RULES[rule](w)
    assert p.shape == w.shape
    assert p.min() >= 0.0
    assert p.sum() == pytest.approx(1.0)
    order = np.argsort(w, kind="stable")
    assert (np.diff(p[order]) >= -1e-12).all()  # never less for what is worth more


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("worth", [[0.3] * 5, [0.0] * 5, [1e9] * 5, [7.0], [1e9, 1e9 + 1e-7]])
def test_nothing_to_tell_them_apart_is_uniform(rule: str, worth: list[float]) -> None:
    assert RULES[rule](np.array(worth)) == pytest.approx(np.full(len(worth), 1 / len(worth)))


@pytest.mark.parametrize("rule", ["zscore_softmax", "zscore_sigmoid", "quantile_sigmoid", "power"])
def test_the_scale_of_the_worth_does_not_matter(rule: str) -> None:
    assert RULES[rule](1000.0 * WORTH) == pytest.approx(RULES[rule](WORTH))


def test_what_ten_percent_that_progress_get() -> None:
    """The numbers in the documentation: a plain sigmoid gives them about 20 % of the samples."""
    worth = np.array([1.0] * 10 + [0.0] * 90)
    assert sampling.zscore_sigmoid(worth, 1.0)[:10].sum() == pytest.approx(0.2, abs=0.01)
    # z is 3 and −1/3; their 90 % quantile lies a tenth of the way from the 90th value, −1/3, to the
    # 91st, 3: at 0.
    high, low = 10 * sigmoid(np.array(30.0)), 90 * sigmoid(np.array(-10 / 3))
    assert sampling.quantile_sigmoid(worth, 10.0, 0.9)[:10].sum() == pytest.approx(
        high / (high + low)
    )
    assert sampling.zscore_softmax(worth, 1.0)[:10].sum() == pytest.approx(
        10 * np.exp(3.0) / (10 * np.exp(3.0) + 90 * np.exp(-1 / 3))
    )


def test_extreme_values_do_not_overflow() -> None:
    with np.errstate(all="raise", under="ignore"):
        for rule in RULES.values():
            assert np.isfinite(rule(np.array([0.0, 1e-300, 1e90]))).all()
        assert sampling.zscore_softmax(WORTH, 1e6)[4] == pytest.approx(1.0)
        assert sampling.zscore_sigmoid(WORTH, 1e6).sum() == pytest.approx(1.0)
