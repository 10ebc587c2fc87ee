"""Each teacher on a trivial problem, where practice pays off in one place only; and the parts that
follow a formula."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from experiments.teachers import riac
from experiments.teachers.base import BoxTeacher, Teacher, UniformInBox, proportional_choice
from experiments.teachers.discrete import (
    SyllabusLearningProgress,
    SyllabusLevelReplay,
    SyllabusOnlineLearningProgress,
)
from experiments.teachers.gmm import WINDOW, AlpGmm, CovarGmm
from experiments.teachers.riac import Riac, absolute_progress

GAIN = 0.002
"""Of an episode in the place where practice pays off: it is still learned at the end."""


def practised_box(teacher: BoxTeacher, episodes: int, last: int) -> float:
    """Share of the last episodes in the half of the square where the score rises."""
    competence, inside = 0.0, []
    for _ in range(episodes):
        point = teacher.draw()
        assert point.shape == (2,)
        assert ((point >= 0) & (point <= 1)).all()
        rises = bool(point[0] > 0.5)
        competence += GAIN * rises
        teacher.report(point, min(competence, 1.0) if rises else 0.0)
        inside.append(rises)
    return float(np.mean(inside[-last:]))


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        # A fifth is random, so 0.9 is the most; the neighbour of a point beside the border is
        # in the other half.
        (AlpGmm, 0.65),
        (CovarGmm, 0.7),
        (Riac, 0.65),
    ],
)
def test_it_finds_the_half_that_progresses(kind: type[BoxTeacher], least: float) -> None:
    episodes = 2 * WINDOW
    share = practised_box(kind(dimensions=2, seed=0), episodes, last=WINDOW)  # type: ignore[call-arg]
    assert share > least
    uniform = practised_box(UniformInBox(dimensions=2, seed=0), episodes, last=WINDOW)
    assert uniform == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / WINDOW))


@pytest.mark.parametrize("kind", [AlpGmm, CovarGmm, Riac])
def test_without_progress_it_keeps_drawing_everywhere(kind: type[BoxTeacher]) -> None:
    teacher = kind(dimensions=1, seed=1)  # type: ignore[call-arg]
    points = []
    for _ in range(300):
        points.append(teacher.draw())
        teacher.report(points[-1], 0.5)
    counts, _ = np.histogram(points, bins=4, range=(0, 1))
    assert (counts > 300 / 4 / 3).all()


@pytest.mark.parametrize("dimensions", [1, 3])
def test_the_nearest_score_is_that_of_a_search_of_all(dimensions: int) -> None:
    """Over the size at which the tree is built: points in the tree, points since."""
    rng = np.random.default_rng(0)
    points, scores = rng.random((700, dimensions)), rng.random(700)
    teacher = AlpGmm(dimensions, seed=0)
    for point, score in zip(points, scores, strict=True):
        teacher._history.add(point, score)
    for wanted in rng.random((50, dimensions)):
        nearest = int(np.linalg.norm(points - wanted, axis=1).argmin())
        assert teacher._history.score_near(wanted) == scores[nearest]


def test_a_mixture_is_the_one_of_least_aic() -> None:
    """Three clusters far apart: three Gaussians, as scikit-learn's own criterion says."""
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 0.01, (WINDOW, 3)) + np.repeat(np.eye(3), [80, 80, 90], axis=0)
    fit = AlpGmm(2, seed=0)._fitted(rows)
    three = GaussianMixture(3, random_state=0).fit(rows)
    found = {tuple(np.round(mean, 2)) for mean in three.means_}
    near = [min(np.linalg.norm(mean - np.array(c)) for c in found) for mean in fit.means]
    assert max(near) < 0.1
    assert len(fit.means) >= 3


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], 0.0),
        ([0.0, 1.0], 0.0),  # too few
        ([0.0, 0.0, 1.0, 1.0], 1.0),
        ([1.0, 1.0, 0.0, 0.0], 1.0),
        ([0.0, 0.0, 1.0], 1.0),  # an odd one goes to the earlier half
        ([9.0] + [0.5] * 200, 0.0),  # what is older than the window does not count
    ],
)
def test_absolute_progress_compares_halves(scores: list[float], expected: float) -> None:
    assert absolute_progress(np.array(scores)) == pytest.approx(expected)


def test_regions_tile_the_cube_and_hold_their_episodes() -> None:
    teacher, rng = Riac(2, seed=0), np.random.default_rng(0)
    points = rng.random((1_500, 2))
    for point in points:
        teacher.report(point, float(point[0] > 0.5) * rng.random())
    leaves = [region for region in teacher._regions if not region.children]
    assert len(leaves) > 2
    assert sum(np.prod(leaf.high - leaf.low) for leaf in leaves) == pytest.approx(1.0)
    assert all(len(leaf.scores) <= riac.MOST_IN_REGION for leaf in leaves)
    assert all((leaf.high - leaf.low >= riac.NARROWEST - 1e-9).all() for leaf in leaves)
    for leaf in leaves:
        assert all(leaf.holds(point) for point in leaf.points)


def test_episodes_in_one_spot_split_nothing_and_end() -> None:
    teacher = Riac(2, seed=0)
    for _ in range(600):
        teacher.report(np.array([0.5, 0.5]), 1.0)
    assert len(teacher._regions) == 1


def test_proportional_choice_has_these_frequencies() -> None:
    rng, worth, n = np.random.default_rng(0), np.array([0.0, 3.0, 1.0]), 4_000
    counts = np.bincount([proportional_choice(worth, rng) for _ in range(n)], minlength=3)
    assert counts[0] == 0
    assert counts[1] / n == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / n))
    none = [proportional_choice(np.zeros(3), rng) for _ in range(n)]
    assert np.bincount(none) / n == pytest.approx([1 / 3] * 3, abs=4 * np.sqrt(2 / 9 / n))


# -- of Syllabus -----------------------------------------------------------------------------------
# Slow: the package imports torch and ray, for about ten seconds.

TASKS, RISING = 8, 5


def practised_tasks(teacher: Teacher, rates: np.ndarray, episodes: int) -> list[int]:
    """Tasks drawn; every episode of one of them raises its rate, the others stay at 0."""
    drawn = []
    for _ in range(episodes):
        task = teacher.draw()
        rates[task] += GAIN * (task == RISING)
        teacher.report(task, float(rates[task]))
        drawn.append(task)
    return drawn


def syllabus_teacher(name: str, seed: int = 0) -> tuple[Teacher, np.ndarray]:
    rates = np.zeros(TASKS)
    if name == "lp":
        return SyllabusLearningProgress(TASKS, seed, lambda: rates, interval=20), rates
    if name == "online":
        return SyllabusOnlineLearningProgress(TASKS, seed, interval=50), rates
    return SyllabusLevelReplay(TASKS, seed), rates


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lp", "online", "plr"])
def test_a_teacher_of_syllabus_finds_the_task_that_progresses(name: str) -> None:
    drawn = practised_tasks(*syllabus_teacher(name), 400)
    share = np.mean(np.array(drawn[-100:]) == RISING)
    assert share > 3 / TASKS
    assert {type(task) for task in drawn} == {int}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lp", "online", "plr"])
def test_a_teacher_of_syllabus_draws_by_its_seed_and_leaves_numpy_as_it_was(name: str) -> None:
    errors, state = np.geterr(), np.random.get_state()[1].copy()  # type: ignore[union-attr]
    one = practised_tasks(*syllabus_teacher(name, seed=7), 60)
    assert np.geterr() == errors
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    np.random.seed(99)  # whatever others draw
    assert practised_tasks(*syllabus_teacher(name, seed=7), 60) == one
    assert practised_tasks(*syllabus_teacher(name, seed=8), 60) != one
