"""Random variates of the usual distributions, from uniform ones: the same on every platform and
Python version, because they are made by :mod:`.elementary`.

``random`` is a function that gives uniform numbers in [0, 1). Arguments are taken as they are:
`TaskRandom` checks them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from metta.cogworks.curriculum.tasks.elementary import acos, cos_of_turn, exp, log

Uniform = Callable[[], float]

_FEW = 16
"""Trials that are made one by one, rather than split: two beta variates cost as much."""
_NEARLY_FLAT, _NEARLY_NORMAL = 1e-6, 1e8
"""Concentrations beyond which rounding shows rather than the difference to the limit."""


def triangular(random: Uniform, low: float, high: float, mode: float) -> float:
    """The inverse of the distribution function, a square root on each side of the mode."""
    u, width = random(), high - low
    if width == 0.0:
        return low
    left = (mode - low) / width
    if u < left:
        return low + math.sqrt(u * width * (mode - low))
    return high - math.sqrt((1.0 - u) * width * (high - mode))


def normal(random: Uniform) -> float:
    """Of mean 0 and variance 1: one coordinate by the polar method (Marsaglia and Bray, SIAM Review
    1964)."""
    while True:
        x, y = 2.0 * random() - 1.0, 2.0 * random() - 1.0
        s = x * x + y * y
        if 0.0 < s < 1.0:
            return x * math.sqrt(-2.0 * log(s) / s)


def exponential(random: Uniform) -> float:
    """Of mean 1: −ln(1 − u)."""
    return -log(1.0 - random())


def log_gamma(random: Uniform, shape: float) -> float:
    """Logarithm of a gamma variate of scale 1, which for small shapes would be 0 as a float.

    Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 2000; for shapes
    below 1, G(a) = G(a + 1) · u^(1/a).
    """
    if shape < 1.0:
        return log_gamma(random, shape + 1.0) - exponential(random) / shape
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal(random)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        if log(1.0 - random()) < 0.5 * x * x + d * (1.0 - v + log(v)):
            return log(d) + log(v)


def beta(random: Uniform, a: float, b: float) -> float:
    """X / (X + Y), of two gamma variates with these shapes."""
    x, y = log_gamma(random, a), log_gamma(random, b)
    return 1.0 / (1.0 + exp(y - x)) if y - x < 0.0 else 1.0 - 1.0 / (1.0 + exp(x - y))


def von_mises(random: Uniform, mu: float, kappa: float) -> float:
    """An angle from 0 to 2π, around mu with concentration kappa: rejection from a wrapped Cauchy
    distribution (Best and Fisher, Applied Statistics 1979)."""
    turn = 2.0 * math.pi
    if kappa <= _NEARLY_FLAT:
        return turn * random()
    if kappa >= _NEARLY_NORMAL:
        return (mu + normal(random) / math.sqrt(kappa)) % turn
    tau = 1.0 + math.sqrt(1.0 + 4.0 * kappa * kappa)
    rho = (tau - math.sqrt(2.0 * tau)) / (2.0 * kappa)
    r = (1.0 + rho * rho) / (2.0 * rho)
    while True:
        z = cos_of_turn(0.5 * random())
        f = (1.0 + r * z) / (r + z)
        c = kappa * (r - f)
        u = 1.0 - random()
        if c * (2.0 - c) > u or log(c / u) + 1.0 - c >= 0.0:
            break
    angle = acos(max(-1.0, min(1.0, f)))
    return (mu + angle if random() < 0.5 else mu - angle) % turn  # noqa: PLR2004 - an even chance


def binomial(random: Uniform, n: int, p: float) -> int:
    """Successes in n trials. Of many, the i-th smallest of their uniform numbers is a beta variate,
    which tells how the others lie (Devroye, Non-Uniform Random Variate Generation, 1986, X.4): log
    n steps."""
    successes = 0
    while n > _FEW:
        i = (n + 1) // 2
        y = beta(random, float(i), float(n + 1 - i))
        if y <= p:  # i of the numbers are at most p
            successes += i
            n -= i
            p = (p - y) / (1.0 - y) if y < 1.0 else 0.0
        else:  # the numbers above y are above p
            n = i - 1
            p = p / y
    return successes + sum(random() < p for _ in range(n))
