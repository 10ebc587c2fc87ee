"""Logarithm, exponential and a few more by additions, multiplications and divisions alone, which
IEEE 754 defines to the last bit: the functions of ``math`` are those of the platform's library, and
differ between platforms.

Accurate to a few units in the last place, which is far less than what random numbers show.
"""

from __future__ import annotations

import math

_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # of ln 2; Cody and Waite 1980
_ROOT_HALF = math.sqrt(0.5)
_LARGEST, _SMALLEST = 709.0, -745.0  # of arguments of exp, beyond which floats end
_ATANH_TERMS = tuple(1.0 / (2 * k + 1) for k in range(11, -1, -1))  # s² < 0.03: 0.03^12 < 1e-18
_EXP_TERMS = tuple(1.0 / math.factorial(k) for k in range(14, -1, -1))  # |r| < 0.35
_SIN_TERMS = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(9, -1, -1))
_COS_TERMS = tuple((-1) ** k / math.factorial(2 * k) for k in range(9, -1, -1))
_ATAN_TERMS = tuple((-1) ** k / (2 * k + 1) for k in range(12, -1, -1))  # x² < 0.04
_HALVINGS = 2


def _polynomial(terms: tuple[float, ...], x: float) -> float:
    total = 0.0
    for term in terms:
        total = total * x + term
    return total


def log(x: float) -> float:
    """Natural logarithm of x > 0: with x = m · 2^e and m near 1, e ln 2 + 2 artanh((m − 1) / (m +
    1))."""
    m, e = math.frexp(x)
    if m < _ROOT_HALF:
        m, e = 2.0 * m, e - 1
    s = (m - 1.0) / (m + 1.0)
    return e * _LN2_HIGH + (2.0 * s * _polynomial(_ATANH_TERMS, s * s) + e * _LN2_LOW)


def exp(x: float) -> float:
    """e^x, with x = k ln 2 + r: 2^k times the series of e^r. 0 below −745; OverflowError above
    709."""
    if x < _SMALLEST:
        return 0.0
    if x > _LARGEST:
        raise OverflowError(f"exp({x!r}) is more than the largest float")
    k = round(x / (_LN2_HIGH + _LN2_LOW))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    return math.ldexp(_polynomial(_EXP_TERMS, r), k)


def cos_of_turn(u: float) -> float:
    """cos(2π u), for u from 0 to 1."""
    quarter = math.floor(4.0 * u + 0.5)
    x = (4.0 * u - quarter) * (0.5 * math.pi)  # of magnitude at most π/4; the difference is exact
    square = x * x
    sine = quarter % 2 == 1
    value = x * _polynomial(_SIN_TERMS, square) if sine else _polynomial(_COS_TERMS, square)
    return -value if quarter % 4 in (1, 2) else value


def acos(x: float) -> float:
    """The angle from 0 to π whose cosine is x: 2 atan(sqrt((1 − x) / (1 + x))), by halving."""
    if x <= -1.0:
        return math.pi
    t = math.sqrt((1.0 - x) / (1.0 + x))
    inverse = t > 1.0
    if inverse:
        t = 1.0 / t
    for _ in range(_HALVINGS):
        t = t / (1.0 + math.sqrt(1.0 + t * t))
    angle = 2.0 * 2.0**_HALVINGS * t * _polynomial(_ATAN_TERMS, t * t)
    return math.pi - angle if inverse else angle
