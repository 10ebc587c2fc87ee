"""A fixed shuffle of the integers below n, in both directions at constant cost."""

from __future__ import annotations

from metta.cogworks.curriculum.tasks.ids import GOLDEN, mix64

_ROUNDS = 3
_MASK = 2**64 - 1


class Permutation:
    """A bijection of 0, …, n − 1 that looks random: what an id means must not follow the order of
    a family's axes, so that the first ids are a fair choice among all of its variants.

    On b bits, with 2^(b−1) < n <= 2^b, three rounds of  x ← (x xor x >> s) · m mod 2^b  with odd m
    are a bijection. What leaves the integers below n is sent through it again until it is back
    (cycle walking: Black and Rogaway, CT-RSA 2002), fewer than two times on average.

    The multipliers are constants, so that an id's meaning is the same for all seeds of all
    curricula.

    Args:
        n: at least 1.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        bits = max(1, (n - 1).bit_length())
        self._mask = (1 << bits) - 1
        self._shift = (bits + 1) // 2  # at least half of the bits: then the step undoes itself
        factors = [mix64(i * GOLDEN & _MASK) & self._mask | 1 for i in range(1, _ROUNDS + 1)]
        self._steps = [(factor, mix64(factor) & self._mask) for factor in factors]
        self._back = [(pow(f, -1, 1 << bits), added) for f, added in reversed(self._steps)]

    def at(self, i: int) -> int:
        """The image of `i`, from 0 to n − 1."""
        mask, shift = self._mask, self._shift
        while True:
            for factor, added in self._steps:
                i = ((i ^ (i >> shift)) * factor + added) & mask
            if i < self._n:
                return i

    def where(self, image: int) -> int:
        """The integer whose image this is."""
        mask, shift = self._mask, self._shift
        while True:
            for inverse, added in self._back:
                image = (image - added) * inverse & mask
                image ^= image >> shift
            if image < self._n:
                return image


class InOrder:
    """The integers as they are: for a family whose ids mean something already."""

    def at(self, i: int) -> int:
        """`i`."""
        return i

    where = at
