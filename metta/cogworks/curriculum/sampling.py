"""From what a task is worth to how often it is drawn: pure functions of one array.

Every function takes ``worth``, float64 of shape ``(n,)``, larger is better, and returns
probabilities of the same shape that are at least 0 and sum to 1. With nothing to tell the tasks
apart the result is uniform. ``n`` is at least 1. A ValueError names what is no finite number, or
none that is allowed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metta.cogworks.curriculum.tasks.inputs import checked_integer, finite, vector


class Moments(NamedTuple):
    """What a rule needs to know of the worth of all tasks: mean, standard deviation (0 where the
    tasks differ by rounding only), largest, and a quantile."""

    mean: float
    spread: float
    top: float
    quantile: float


def moments(worth: np.ndarray, quantile: float = 0.5) -> Moments:
    """Of ``worth``, whose ``quantile`` is the one that is taken."""
    mean = float(worth.mean())
    centred = worth - mean
    spread = float(np.sqrt(np.dot(centred, centred) / worth.size))
    flat = spread <= _FLAT * max(1.0, float(np.abs(worth).max()))
    top, at = float(worth.max()), float(np.quantile(worth, quantile))
    return Moments(mean, 0.0 if flat else spread, top, at)


def zscore_softmax_weights(worth: np.ndarray, m: Moments, amplification: float) -> np.ndarray:
    """exp(amplification · (w − top) / spread): in proportion to :func:`zscore_softmax`."""
    return _exp(amplification * (worth - m.top) / m.spread) if m.spread else np.ones_like(worth)


def zscore_sigmoid_weights(worth: np.ndarray, m: Moments, amplification: float) -> np.ndarray:
    """1 / (1 + exp(−amplification · z)): in proportion to :func:`zscore_sigmoid`."""
    z = (worth - m.mean) / m.spread if m.spread else np.zeros_like(worth)
    return _sigmoid(amplification * z)


def quantile_sigmoid_weights(worth: np.ndarray, m: Moments, amplification: float) -> np.ndarray:
    """1 / (1 + exp(−amplification · (w − quantile) / spread)): in proportion to
    :func:`quantile_sigmoid`."""
    z = (worth - m.quantile) / m.spread if m.spread else np.zeros_like(worth)
    return _sigmoid(amplification * z)


def temperature_softmax_weights(worth: np.ndarray, m: Moments, temperature: float) -> np.ndarray:
    """exp((w − top) / temperature): in proportion to :func:`temperature_softmax`."""
    return _exp((worth - m.top) / temperature)


def power_weights(worth: np.ndarray, scale: float, exponent: float) -> np.ndarray:
    """(max(w, 0) / scale)^exponent: in proportion to :func:`power`; for ``exponent`` 0, 1 where
    w > 0."""
    positive = np.maximum(worth, 0.0) / scale
    if exponent == 0.0:
        return (positive > 0.0).astype(np.float64)
    return np.minimum(raised(positive, exponent), _MOST_WEIGHT)


# Below this spread, relative to the magnitude, differences between tasks are rounding.
_FLAT = 1e-12
_MOST_EXPONENT = 500.0  # of e: far from overflow, also of a sum over all tasks
_MOST_WEIGHT = 1e280  # the same


def uniform(n: int) -> np.ndarray:
    """p_i = 1/n."""
    n = checked_integer("n", n, 1)
    return np.full(n, 1.0 / n)


def z_scores(worth: np.ndarray) -> np.ndarray:
    """z_i = (w_i − mean(w)) / std(w); zeros where the spread is about 0."""
    worth = _checked(worth)
    centred = worth - worth.mean()
    spread = np.sqrt(np.dot(centred, centred) / worth.size)
    if spread <= _FLAT * max(1.0, float(np.abs(worth).max())):
        return np.zeros_like(worth)
    return centred / spread


def softmax(x: np.ndarray) -> np.ndarray:
    """p_i = exp(x_i) / Σ_j exp(x_j), computed from x − max(x)."""
    x = _checked(x)
    e = np.exp(x - x.max())
    return e / e.sum()


def zscore_softmax(worth: np.ndarray, amplification: float) -> np.ndarray:
    """p = softmax(amplification · z(w)): the pipeline of the module's documentation."""
    return softmax(_at_least_0("amplification", amplification) * z_scores(worth))


def zscore_sigmoid(worth: np.ndarray, amplification: float) -> np.ndarray:
    """p_i ∝ 1 / (1 + exp(−amplification · z_i)).

    Bounded above: however much better a task is, it gets at most twice what an average one gets.
    With 10 % of the tasks at z = 3 and the rest at z = −1/3, amplification 1, the former get 20 %
    of the samples.
    """
    amplification = _at_least_0("amplification", amplification)
    return _normalised(_sigmoid(amplification * z_scores(worth)))


def quantile_sigmoid(worth: np.ndarray, amplification: float, quantile: float) -> np.ndarray:
    """p_i ∝ 1 / (1 + exp(−amplification · (z_i − Q_quantile(z)))).

    The sigmoid's centre follows the pool: about 1 − quantile of the tasks are on its upper half.
    Kanitscheider et al., "Multi-task curriculum learning in a complex, visual, hard-exploration
    domain: Minecraft", 2021, appendix.
    """
    amplification = _at_least_0("amplification", amplification)
    if not _at_least_0("quantile", quantile) <= 1.0:
        raise ValueError(f"quantile={quantile!r} is not allowed: give a number from 0 to 1")
    z = z_scores(worth)
    return _normalised(_sigmoid(amplification * (z - np.quantile(z, quantile))))


def temperature_softmax(worth: np.ndarray, temperature: float) -> np.ndarray:
    """p = softmax(w / temperature); the temperature is in units of the worth."""
    if not _at_least_0("temperature", temperature) > 0.0:
        raise ValueError(f"temperature={temperature!r} is not allowed: give a number above 0")
    worth = _checked(worth)
    return softmax((worth - worth.max()) / temperature)


def power(worth: np.ndarray, exponent: float) -> np.ndarray:
    """p_i ∝ max(w_i, 0)^exponent. Exponent 1 is proportional sampling, 0 uniform over the tasks of
    positive worth."""
    exponent = _at_least_0("exponent", exponent)
    positive = np.maximum(_checked(worth), 0.0)
    top = positive.max()
    if top <= 0.0:
        return uniform(worth.size)
    scaled = positive / top
    if exponent == 0.0:
        return _normalised((scaled > 0.0).astype(np.float64))
    return _normalised(raised(scaled, exponent))


_MOST_SQUARINGS = 64  # largest exponent that is raised so, by at most 12 products


def raised(x: np.ndarray, exponent: float) -> np.ndarray:
    """x^exponent of numbers of at least 0; by squaring where the exponent is a small whole number,
    which is several times faster than pow."""
    n = int(exponent)
    if n != exponent or not 1 <= n <= _MOST_SQUARINGS:
        with np.errstate(over="ignore"):  # an infinite weight is limited afterwards
            return x**exponent
    result, square = None, x
    while n:
        if n & 1:
            result = square if result is None else result * square
        n >>= 1
        if n:
            square = square * square
    return x if result is None else result


def mix_uniform(p: np.ndarray, rate: float) -> np.ndarray:
    """(1 − rate) · p_i + rate / n."""
    p = _checked(p, "p")
    if not _at_least_0("rate", rate) <= 1.0:
        raise ValueError(f"rate={rate!r} is not allowed: give a number from 0 to 1")
    return (1.0 - rate) * p + rate / p.size


def _checked(worth: np.ndarray, name: str = "worth") -> np.ndarray:
    worth = vector(name, worth)
    if not worth.size:
        raise ValueError(f"{name} is empty, which is not allowed: give at least one number")
    return worth


def _at_least_0(name: str, value: float) -> float:
    value = finite(name, value)
    if value < 0.0:
        raise ValueError(f"{name}={value!r} is not allowed: give a number of at least 0")
    return value


def _exp(x: np.ndarray) -> np.ndarray:
    return np.exp(np.minimum(x, _MOST_EXPONENT))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -_MOST_EXPONENT, _MOST_EXPONENT)))


def _normalised(weight: np.ndarray) -> np.ndarray:
    return weight / weight.sum()


LAG_LEAST, LAG_SHARE = 8, 32
"""A rule that compares tasks with each other is applied anew after max(LAG_LEAST, tasks /
LAG_SHARE) completions, so that its cost, which is linear in the number of tasks, is a constant per
completion. A 32nd costs no learning, a 16th begins to in one of two simulated worlds
(docs/evidence.md)."""


def lag_bound(num_tasks: int) -> int:
    """By how many completions, at most, the distribution is older than the scores."""
    return max(LAG_LEAST, checked_integer("num_tasks", num_tasks, 1) // LAG_SHARE)
