"""RIAC: regions of the cube, split where their learning progress differs most.

Baranes and Oudeyer, "R-IAC: robust intrinsically motivated exploration and active learning" (2009),
with the constants of Portelas et al.'s repository (flowersteam/teachDeepRL).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from experiments.teachers.base import Point, proportional_choice

MOST_IN_REGION = 200
"""Episodes that a region holds before it is split, and those that its progress looks back on."""
SPLIT_ATTEMPTS = 50
DRAWS_PER_ATTEMPT = 20
"""Random splits tried for one that leaves enough on both sides. The repository tries for ever."""
FEWEST_IN_REGION = MOST_IN_REGION // 20
NARROWEST = 1 / 6
"""Least width of a region, in widths of the cube."""
DISCARDED = MOST_IN_REGION // 4
"""Oldest episodes that a region forgets where no split is possible."""
MUTATION_SHARE, RANDOM_SHARE = 0.1, 0.2
MUTATION = 0.1
"""Standard deviation of the mutation of a region's worst task."""
FEWEST_FOR_PROGRESS = 3


@dataclass
class _Region:
    low: Point
    high: Point
    points: deque[Point]
    scores: deque[float]
    children: list[_Region] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.progress = absolute_progress(np.array(self.scores))

    def holds(self, point: Point) -> bool:
        return bool((point >= self.low).all() and (point <= self.high).all())


def absolute_progress(scores: NDArray[np.float64]) -> float:
    """|mean of the later half − mean of the earlier half| of the latest ``MOST_IN_REGION`` scores,
    the oldest first; 0.0 for fewer than three."""
    if len(scores) < FEWEST_FOR_PROGRESS:
        return 0.0
    latest = scores[-MOST_IN_REGION:]
    half = len(latest) // 2
    return abs(float(latest[-half:].mean()) - float(latest[:-half].mean()))


class Riac:
    """Chooses a region in proportion to its absolute learning progress, parents among them.

    Seven times of ten it draws a point in the region; once, a point near the region's worst;
    twice, any point of the cube.
    """

    def __init__(self, dimensions: int, seed: int):
        self._rng = np.random.default_rng(seed)
        self._dimensions = dimensions
        self._root = self._region(np.zeros(dimensions), np.ones(dimensions), [], [])
        self._regions = [self._root]

    def draw(self) -> Point:
        """A point."""
        mode = self._rng.random()
        if mode < MUTATION_SHARE and self._root.scores:
            region = self._by_progress()
            worst = region.points[int(np.argmin(np.array(region.scores)))]
            return np.clip(self._rng.normal(worst, MUTATION), 0.0, 1.0)
        region = self._root if mode < MUTATION_SHARE + RANDOM_SHARE else self._by_progress()
        return self._rng.uniform(region.low, region.high)

    def _by_progress(self) -> _Region:
        progress = np.array([region.progress for region in self._regions])
        return self._regions[proportional_choice(progress, self._rng)]

    def report(self, point: Point, score: float) -> None:
        """Notes the episode in every region that holds the point, and splits the smallest when it
        is full."""
        region: _Region | None = self._root
        leaf = self._root
        while region is not None:
            leaf = region
            region.points.append(point)
            region.scores.append(score)
            region.progress = absolute_progress(np.array(region.scores))
            region = next((child for child in region.children if child.holds(point)), None)
        if not leaf.children and len(leaf.scores) > MOST_IN_REGION:
            self._split(leaf)

    def _split(self, region: _Region) -> None:
        points, scores = np.array(region.points), np.array(region.scores)
        best, best_score = None, 0.0
        for _ in range(SPLIT_ATTEMPTS):
            cut = self._cut(region, points)
            if cut is None:
                break
            axis, at = cut
            below = points[:, axis] <= at
            apart = abs(absolute_progress(scores[below]) - absolute_progress(scores[~below]))
            score = float(below.sum() * (~below).sum()) * apart
            wide = min(at - region.low[axis], region.high[axis] - at) >= NARROWEST
            if wide and score >= best_score:
                best, best_score = (axis, at), score
        if best is None:
            for _ in range(DISCARDED):
                region.points.popleft()
                region.scores.popleft()
        else:
            region.children = self._halves(region, *best)
            self._regions += region.children

    def _cut(self, region: _Region, points: NDArray[np.float64]) -> tuple[int, float] | None:
        """A random axis and place with enough episodes on both sides."""
        for _ in range(DRAWS_PER_ATTEMPT):
            axis = int(self._rng.integers(self._dimensions))
            at = float(self._rng.uniform(region.low[axis], region.high[axis]))
            below = int((points[:, axis] <= at).sum())
            if min(below, len(points) - below) >= FEWEST_IN_REGION:
                return axis, at
        return None

    def _halves(self, region: _Region, axis: int, at: float) -> list[_Region]:
        high, low = region.high.copy(), region.low.copy()
        high[axis] = low[axis] = at
        pairs = list(zip(region.points, region.scores, strict=True))
        below = [pair for pair in pairs if pair[0][axis] <= at]
        above = [pair for pair in pairs if pair[0][axis] > at]
        return [
            self._region(low_, high_, [p for p, _ in part], [s for _, s in part])
            for low_, high_, part in ((region.low, high, below), (low, region.high, above))
        ]

    @staticmethod
    def _region(low: Point, high: Point, points: list[Point], scores: list[float]) -> _Region:
        most = MOST_IN_REGION + 1
        return _Region(low, high, deque(points, maxlen=most), deque(scores, maxlen=most))
