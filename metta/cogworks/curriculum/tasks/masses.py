"""How likely the variants of a family are: what is needed to know how many of them turn up in so
many draws.

`Masses` maps the chance m that one draw is a certain variant to the chance that it is any of the
variants of that m, of which there are p / m. m is 0 for those that never come twice: with a real
number, or of a custom generator.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

Masses = dict[float, float]

_BISECTIONS = 60  # of an interval of at most 2^53, to less than a hundredth of a draw
_MOST = 64  # different masses that are told apart
_PER_OCTAVE = 4  # those beyond that, within 19 % of each other, count as equal
_LEAST_OCTAVE = -64  # below 2^-64: ids are fewer, and no variant comes twice


def union(parts: Iterable[tuple[float, Masses]]) -> Masses:
    """Of a choice between families: each one's share, and its masses."""
    return _summed((s * m, s * p) for s, masses in parts for m, p in masses.items())


def product(parts: Sequence[Masses]) -> Masses:
    """Of independent draws from each of several families."""
    found: Masses = {1.0: 1.0}
    for masses in parts:
        pairs = itertools.product(found.items(), masses.items())
        found = _summed((m * n, p * q) for (m, p), (n, q) in pairs)
    return found


def _summed(pairs: Iterable[tuple[float, float]]) -> Masses:
    found: Masses = defaultdict(float)
    for mass, p in pairs:
        if p > 0.0:
            found[mass] += p
    return dict(found) if len(found) <= _MOST else _rounded(found)


def _rounded(masses: Masses) -> Masses:
    """With similar masses as one, so that there are as many variants as before."""
    totals: dict[float, float] = defaultdict(float)
    counts: dict[float, float] = defaultdict(float)
    for mass, p in masses.items():
        octave = math.log2(mass) if mass > 0.0 else -math.inf
        step = round(octave * _PER_OCTAVE) if octave >= _LEAST_OCTAVE else -math.inf
        totals[step] += p
        counts[step] += p / mass if mass > 0.0 else math.inf
    found: Masses = defaultdict(float)
    for step, p in totals.items():
        found[0.0 if math.isinf(step) else p / counts[step]] += p
    return dict(found)


def num_variants(masses: Masses) -> float:
    """How many variants there are; infinite if some never come twice."""
    return sum(p / mass if mass > 0.0 else math.inf for mass, p in masses.items())


def expected_variants(masses: Masses, draws: float) -> float:
    """How many different variants turn up in so many draws: Σ p/m (1 - (1 - m)^D)."""
    found = 0.0
    for mass, p in masses.items():
        found += p * draws if mass == 0.0 else p / mass * inclusion(mass, draws)
    return found


def inclusion(mass: float, draws: float) -> float:
    """The chance that a variant turns up in so many draws: 1 - (1 - m)^D."""
    return 1.0 if mass >= 1.0 else -math.expm1(draws * math.log1p(-mass))


def draws_for(masses: Masses, count: int, most: int) -> float:
    """In how many draws so many different variants turn up, on average; `most`, if not in as
    many."""
    low, high = 0.0, float(most)
    if expected_variants(masses, high) <= count:
        return high
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if expected_variants(masses, middle) < count:
            low = middle
        else:
            high = middle
    return high
