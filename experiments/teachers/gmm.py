"""Teachers that fit Gaussian mixtures to what was practised lately.

Both draw at random for the first window, and a fifth of the time afterwards. After every window of
250 episodes they fit mixtures of 2 to 10 Gaussians to it, keep the one of least AIC, choose a
Gaussian by its learning progress and draw from it. They differ in what learning progress is. The
constants are those of the authors' repository (flowersteam/teachDeepRL).
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from experiments.teachers.base import Point, proportional_choice

WINDOW = 250
"""Episodes between two fits, and in a fit."""
RANDOM_SHARE = 0.2
COMPONENTS = range(2, 11)
FEWEST_FOR_PROGRESS = 6
"""Episodes before the first whose progress is told."""
TREE_EVERY = 500
"""Episodes after which the tree of the nearest neighbours is built again; those since are
searched one by one."""


@dataclass(frozen=True)
class _Fit:
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]


class _MixtureTeacher(ABC):
    """What both have in common."""

    def __init__(self, dimensions: int, seed: int):
        self._dimensions = dimensions
        self._rng = np.random.default_rng(seed)
        self._rows: deque[NDArray[np.float64]] = deque(maxlen=WINDOW)
        self._reports = 0
        self._fit: _Fit | None = None
        self._worth = np.zeros(0)

    def draw(self) -> Point:
        """A random point, or one of a Gaussian with learning progress, clipped to the cube."""
        if self._fit is None or self._rng.random() < RANDOM_SHARE:
            return self._rng.random(self._dimensions)
        chosen = proportional_choice(self._worth, self._rng)
        drawn = self._rng.multivariate_normal(
            self._fit.means[chosen], self._fit.covariances[chosen]
        )
        return np.clip(drawn[: self._dimensions], 0.0, 1.0)

    def report(self, point: Point, score: float) -> None:
        """Notes the episode, and fits when a window is full."""
        self._rows.append(np.concatenate([point, self._columns(point, score)]))
        self._reports += 1
        if self._reports % WINDOW == 0:
            self._fit = self._fitted(np.array(self._rows))
            self._worth = self._worth_of(self._fit)

    def _fitted(self, rows: NDArray[np.float64]) -> _Fit:
        fits: list[GaussianMixture] = []
        for n in COMPONENTS:
            mixture = GaussianMixture(n, random_state=int(self._rng.integers(2**31)))
            # One thread: more gain nothing on 250 rows, and wait for each other. What did not
            # converge is good enough here.
            with threadpool_limits(1), warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                fits.append(mixture.fit(rows))
        best = min(fits, key=lambda mixture: mixture.aic(rows))
        return _Fit(np.asarray(best.means_), np.asarray(best.covariances_))

    @abstractmethod
    def _columns(self, point: Point, score: float) -> list[float]:
        """What a row holds after the parameters."""

    @abstractmethod
    def _worth_of(self, fit: _Fit) -> NDArray[np.float64]:
        """(components,) learning progress of each, ≥ 0."""


class AlpGmm(_MixtureTeacher):
    """Portelas et al., "Teacher algorithms for curriculum learning of Deep RL in continuously
    parameterized environments" (2019).

    The absolute learning progress of an episode is |score − score of the nearest earlier one|; a
    Gaussian of (parameters, progress) is chosen in proportion to its mean progress.
    """

    def __init__(self, dimensions: int, seed: int):
        super().__init__(dimensions, seed)
        self._history = _Nearest()

    def _columns(self, point: Point, score: float) -> list[float]:
        known = len(self._history) >= FEWEST_FOR_PROGRESS
        progress = abs(score - self._history.score_near(point)) if known else 0.0
        self._history.add(point, score)
        return [progress]

    def _worth_of(self, fit: _Fit) -> NDArray[np.float64]:
        return np.maximum(fit.means[:, -1], 0.0)


class CovarGmm(_MixtureTeacher):
    """Moulin-Frier et al., "Self-organization of early vocal development in infants and machines"
    (2014), as Portelas et al. have it.

    A Gaussian of (parameters, time, score) is chosen in proportion to its covariance of time and
    score, where that is positive. Time runs from 0 to 1 in a window.
    """

    def _columns(self, point: Point, score: float) -> list[float]:
        return [self._reports % WINDOW / (WINDOW - 1), score]

    def _worth_of(self, fit: _Fit) -> NDArray[np.float64]:
        return np.maximum(fit.covariances[:, -2, -1], 0.0)


class _Nearest:
    """Scores by point, and the one of the point nearest to another."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._scores: list[float] = []
        self._tree: cKDTree | None = None
        self._in_tree = 0

    def __len__(self) -> int:
        return len(self._points)

    def add(self, point: Point, score: float) -> None:
        """One more."""
        self._points.append(point)
        self._scores.append(score)
        if len(self._points) - self._in_tree >= TREE_EVERY:
            self._tree, self._in_tree = cKDTree(np.array(self._points)), len(self._points)

    def score_near(self, point: Point) -> float:
        """Score of the nearest one; there must be one."""
        best, at = np.inf, 0
        if self._tree is not None:
            distance, found = self._tree.query(point)
            best, at = float(distance), int(found)
        if self._in_tree < len(self._points):
            recent = np.array(self._points[self._in_tree :])
            distances = np.sqrt(((recent - point) ** 2).sum(axis=1))
            nearest = int(distances.argmin())
            if distances[nearest] < best:
                at = self._in_tree + nearest
        return self._scores[at]
