"""What is seen of a competence: the score of an episode."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Noise = Literal["bernoulli", "gaussian", "student_t", "lognormal"]


@dataclass(frozen=True)
class Observation:
    """How the score of an episode comes about, with p the success probability of its task::

    outcome   x = 1 with probability p, else 0       bernoulli
              x = p + s · z,  z ~ N(0, 1)            gaussian
              x = p + s · u,  u ~ Student t of ν     student_t: infinite variance for ν <= 2
              x = p · exp(s z − s² / 2)              lognormal: its mean is p
    score     e^(g t) · (unit · mean over the agents of x + offset),  t the episode
    """

    noise: Noise = "bernoulli"
    scale: float = 0.0
    """s; without meaning for Bernoulli outcomes."""
    freedom: float = 2.0
    """ν, degrees of freedom of Student's t."""
    unit: float = 1.0
    """Reward of a success."""
    offset: float = 0.0
    """What is paid for nothing."""
    growth: float = 0.0
    """g, by which the logarithm of all rewards grows per episode."""

    def score(self, outcome: float, episode: int) -> float:
        """The score of a mean ``outcome`` in that ``episode``."""
        score = self.unit * outcome + self.offset
        return score * math.exp(self.growth * episode) if self.growth else score


class Luck:
    """The random numbers of a learner: the same for the same seed, whatever is done with them."""

    def __init__(self, seed: int | np.random.SeedSequence) -> None:
        self._generator = np.random.default_rng(seed)
        # Of its own, so that Bernoulli outcomes are the same whatever else is drawn.
        self._other = self._generator.spawn(1)[0]
        self._block: list[float] = []

    def uniform(self) -> float:
        """A uniform number in [0, 1). Drawn in blocks: a tenth of the cost of one call each."""
        if not self._block:
            self._block = self._generator.random(4096).tolist()
        return self._block.pop()

    def outcome(self, p: float, of: Observation) -> float:
        """One agent's outcome where success has probability ``p``."""
        if of.noise == "bernoulli":
            return float(self.uniform() < p)
        if of.noise == "student_t":
            return p + of.scale * float(self._other.standard_t(of.freedom))
        z = float(self._other.standard_normal())
        if of.noise == "gaussian":
            return p + of.scale * z
        return p * math.exp(of.scale * z - of.scale**2 / 2)
