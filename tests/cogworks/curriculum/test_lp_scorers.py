"""The scorers: each equation against its closed form, and the contract of every scorer."""

import math

import numpy as np
import pytest

from metta.cogworks.curriculum import (
    BasicLPScorer,
    BidirectionalLPScorer,
    ColumnScorer,
    Curriculum,
    LearnabilityScorer,
    LearningProgressAlgorithm,
    LearningProgressConfig,
    LPScorer,
    PosteriorLPScorer,
    SignedLPScorer,
    TaskTracker,
)
from metta.cogworks.curriculum.learning_progress_algorithm import SCORERS
from metta.cogworks.curriculum.lp_scorers import (
    basic_alpha,
    bidirectional_progress,
    reweight,
)
from metta.cogworks.curriculum.pool.checks import pool_faults
from metta.cogworks.curriculum.pool.layout import TableLayout
from metta.cogworks.curriculum.posterior_scorer import expected_positive
from tests.cogworks.curriculum.curriculum_examples import Astray
from tests.cogworks.curriculum.scorer_contract import ScorerContract, record
from tests.cogworks.curriculum.states import as_json


def make(scorer: str, **fields) -> LearningProgressAlgorithm:
    config = LearningProgressConfig(
        scorer=scorer, num_active_tasks=8, use_shared_memory=False, **fields
    )
    return config.create(8)


def score(algorithm: LearningProgressAlgorithm, scores: list[float], task_id: int = 0) -> float:
    record(algorithm, [(task_id, value) for value in scores])
    return algorithm.scorer.score_task(task_id, algorithm.task_tracker)


EXAMPLES = "tests.cogworks.curriculum.curriculum_examples"


class TestEveryScorer(ScorerContract):
    @pytest.fixture(
        params=[
            *SCORERS,
            f"{EXAMPLES}.DictScorer",
            f"{EXAMPLES}.SharedScorer",
            f"{EXAMPLES}.StepScorer",
        ]
    )
    def config(self, request: pytest.FixtureRequest) -> LearningProgressConfig:
        return LearningProgressConfig(
            scorer=request.param, num_active_tasks=8, use_shared_memory=False
        )


@pytest.mark.parametrize("theta", [0.01, 0.1, 0.5, 0.9])
def test_reweight_is_the_closed_form(theta: float) -> None:
    for p in np.linspace(0.0, 1.0, 11):
        # odds form of R(p) = p(1-θ) / (p + θ(1-2p)):  R/(1-R) = p/(1-p) · (1-θ)/θ
        r = reweight(p, theta)
        assert r * (1 - p) * theta == pytest.approx((1 - r) * p * (1 - theta))
    assert reweight(0.0, theta) == 0.0
    assert reweight(1.0, theta) == pytest.approx(1.0)
    assert reweight(np.array([0.25, 0.5]), 0.5) == pytest.approx(
        np.array([0.25, 0.5])
    )  # θ = 1/2 is the identity


def test_progress_counts_in_both_directions() -> None:
    assert bidirectional_progress(0.8, 0.3, 0.5) == pytest.approx(0.5)
    assert bidirectional_progress(0.3, 0.8, 0.5) == pytest.approx(0.5)
    assert bidirectional_progress(0.4, 0.4, 0.01) == 0.0


@pytest.mark.parametrize("baseline", [True, False])
@pytest.mark.parametrize("theta", [0.01, 0.5])
@pytest.mark.parametrize(
    "scores", [[0.0], [0.0, 1.0, 1.0], [0.9, 1.0, 0.8], [0.5, 0.1, 0.7, 0.7], [1.0, 0.0, 1.0]]
)
def test_bidirectional_is_the_closed_form(
    baseline: bool, theta: float, scores: list[float]
) -> None:
    alpha, k = 0.3, 0.25
    fields = {"ema_timescale": alpha, "slow_timescale_factor": k, "progress_smoothing": theta}
    algorithm = make("bidirectional", use_baseline_normalization=baseline, **fields)
    record(algorithm, [(7, 1.0)])  # the range of all scores is that from 0 to 1
    b = min(scores[0], 0.75) if baseline else 0.0
    x = [min(1.0, max(0.0, (s - b) / (1.0 - b))) for s in scores]
    f = g = x[0]
    for value in x[1:]:
        f, g = f + alpha * (value - f), g + alpha * k * (value - g)

    def r(p: float) -> float:
        return p * (1 - theta) / (p + theta * (1 - 2 * p))

    assert score(algorithm, scores) == pytest.approx(abs(r(f) - r(g)), abs=1e-12)
    state = algorithm.task_tracker.get_task_state(0)
    assert (state.fast_ema, state.slow_ema) == pytest.approx((b + (1 - b) * f, b + (1 - b) * g))


def test_averages_converge_at_their_rates() -> None:
    """From 0, after n scores of 1: 1 − (1 − α)^n and 1 − (1 − αk)^n."""
    algorithm = make(
        "bidirectional", ema_timescale=0.2, slow_timescale_factor=0.1, progress_smoothing=0.5
    )
    score(algorithm, [0.0] + [1.0] * 30)
    state = algorithm.task_tracker.get_task_state(0)
    assert state.fast_ema == pytest.approx(1 - 0.8**30)
    assert state.slow_ema == pytest.approx(1 - 0.98**30)


@pytest.mark.parametrize("scorer", ["bidirectional", "basic", "learnability"])
def test_progress_does_not_depend_on_the_unit_of_the_reward(scorer: str) -> None:
    """Scores in [0, 100] measure what the same scores in [0, 1] do, once the range has been
    seen."""
    small, large = make(scorer), make(scorer)
    record(small, [(7, 0.0), (7, 1.0)])
    record(large, [(7, 0.0), (7, 100.0)])
    scores = [0.1, 0.9, 0.4, 0.6]
    assert score(large, [100.0 * s for s in scores]) == pytest.approx(score(small, scores))


def test_clipping_loses_progress_above_one_and_the_running_range_does_not() -> None:
    rising = [float(s) for s in range(1, 20)]
    assert score(make("bidirectional", score_normalization="clip"), rising) == 0.0
    assert score(make("bidirectional", score_normalization="running_range"), rising) > 0.01


@pytest.mark.parametrize("scores", [[0.0], [0.0, 1.0, 0.5], [0.2] * 4])
def test_signed_is_the_closed_form(scores: list[float]) -> None:
    algorithm = make(
        "signed", ema_timescale=0.3, slow_timescale_factor=0.5, progress_smoothing=0.02
    )
    f = g = scores[0]
    for value in scores[1:]:
        f, g = f + 0.3 * (value - f), g + 0.15 * (value - g)
    assert score(algorithm, scores) == pytest.approx(1 / (1 + math.exp(-(f - g))) + 0.02)


@pytest.mark.parametrize("n", [1, 3, 12])  # fewer than, and more than min_samples_for_lp
def test_basic_is_the_closed_form(n: int) -> None:
    algorithm = make(
        "basic",
        basic_ema_initial_alpha=0.4,
        basic_ema_alpha_decay=0.1,
        exploration_blend_factor=0.25,
    )
    scores = [((i * 7) % 5) / 4 for i in range(n)]
    mean, square = scores[0], scores[0] ** 2
    for i, value in enumerate(scores[1:], start=1):
        alpha = 0.4 / (1 + 0.1 * i)
        mean, square = mean + alpha * (value - mean), square + alpha * (value**2 - square)
    deviation = math.sqrt(max(0.0, square - mean**2))
    expected = deviation if n >= 10 else 0.75 * deviation + 0.25 * 0.5
    assert score(algorithm, scores) == pytest.approx(expected)


def test_basic_weight_falls_with_the_completions() -> None:
    assert [basic_alpha(n, 0.3, 0.2) for n in (0, 5)] == pytest.approx([0.3, 0.15])
    assert basic_alpha(7, 0.3, 0.0) == 0.3


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, 0.0, 1.0]])
def test_learnability_is_the_closed_form(scores: list[float]) -> None:
    algorithm = make("learnability", ema_timescale=0.2)
    algorithm.task_tracker.track_task_creation(0)
    p = 0.5
    for value in scores:
        p += 0.2 * (value - p)
    assert score(algorithm, scores) == pytest.approx(p * (1 - p))


def test_zero_is_a_score_like_another() -> None:
    """A first score of 0.0 is a baseline of 0, and a second one no progress."""
    algorithm = make("bidirectional")
    assert score(algorithm, [0.0, 0.0]) == 0.0
    assert algorithm.task_tracker.get_task_state(0).completion_count == 2
    assert score(algorithm, [1.0]) > 0.0


def test_a_column_scorer_can_be_told_apart_from_the_tracker() -> None:
    """The guide's order: the scorer first, then the tracker."""
    together, apart = make("bidirectional"), make("bidirectional")
    apart.task_tracker.track_task_creation(0)
    for value in (0.2, 0.8, 0.5):
        apart.scorer.update_with_score(0, value)
        apart.task_tracker.update_task_performance(0, value)
    assert apart.scorer.score_task(0, apart.task_tracker) == pytest.approx(
        score(together, [0.2, 0.8, 0.5])
    )


def test_averages_follow_the_task_whatever_slot_it_has() -> None:
    """The same completions of task 5 give the same score with other tasks before it, or removed and
    replaced around it."""
    alone, crowded = make("bidirectional"), make("bidirectional")
    for algorithm in (alone, crowded):
        record(algorithm, [(7, 1.0)])  # the range of all scores is that from 0 to 1
    record(crowded, [(i, 0.3) for i in range(4)])
    expected = score(alone, [0.1, 0.9, 0.4], task_id=5)
    record(crowded, [(5, 0.1)])
    crowded.on_task_evicted(0)
    record(crowded, [(6, 1.0), (5, 0.9)])
    crowded.on_task_evicted(2)
    assert score(crowded, [0.4], task_id=5) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, PosteriorLPScorer),
        ({"use_bidirectional": True}, BidirectionalLPScorer),
        ({"use_bidirectional": False}, BasicLPScorer),
        ({"use_bidirectional": False, "scorer": "signed"}, SignedLPScorer),
        ({"scorer": LearnabilityScorer}, LearnabilityScorer),
        ({"scorer": "metta.cogworks.curriculum.lp_scorers.BasicLPScorer"}, BasicLPScorer),
    ],
)
def test_which_scorer_a_configuration_means(given: dict, kind: type[LPScorer]) -> None:
    config = LearningProgressConfig(num_active_tasks=4, use_shared_memory=False, **given)
    algorithm = config.create(4)
    assert type(algorithm.scorer) is kind
    assert algorithm.lp_scorer is algorithm.scorer
    assert isinstance(algorithm.scorer, ColumnScorer)


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        ("bidirectonal", "does not exist: use posterior, bidirectional"),
        ("nowhere.Scorer", "has not imported, 'nowhere'"),
        ("metta.cogworks.curriculum.Curriculum", "not a subclass of"),
    ],
)
def test_a_scorer_that_does_not_exist(scorer: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LearningProgressConfig(scorer=scorer)


def test_a_scorer_object_can_be_passed_in() -> None:
    hypers = LearningProgressConfig(num_active_tasks=4, use_shared_memory=False)
    algorithm = LearningProgressAlgorithm(4, hypers, scorer=BasicLPScorer(hypers))
    record(algorithm, [(0, 1.0)])
    assert algorithm.get_state()["scorer"] == "basic"  # what it is, not what the configuration says
    other = hypers.create(4)
    other.load_state(algorithm.get_state())  # another scorer: the task begins anew
    assert other.task_tracker.get_task_state(0).completion_count == 0
    assert other.task_tracker.get_global_stats()["total_completions"] == 1


def test_a_tracker_with_the_columns_can_be_passed_in() -> None:
    hypers = LearningProgressConfig(num_active_tasks=4, scorer="basic")
    tracker = TaskTracker(4, columns=BasicLPScorer.columns)
    algorithm = LearningProgressAlgorithm(4, hypers, task_tracker=tracker)
    record(algorithm, [(3, 0.5)])
    assert tracker.get_column(3, "basic_mean") == 0.5


ASTRAY = LearningProgressConfig(scorer=Astray, num_active_tasks=6, max_slice_axes=3)
ROW_SIZE = TableLayout(6, Astray.columns, ASTRAY.max_slice_axes).row_size


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("where", ["update_row", "score_row"])
@pytest.mark.parametrize(
    "at", [ROW_SIZE, ROW_SIZE + 1, 10**6, 2**62, -ROW_SIZE - 1, -100, -(10**6)]
)
def test_a_scorer_that_leaves_its_row_is_an_error_and_the_pool_is_whole(
    open_curriculum, monkeypatch, at: int, where: str, writes: bool, shared: bool
) -> None:
    curriculum = open_curriculum(ASTRAY.model_copy(update={"use_shared_memory": shared}))
    assert curriculum.table.layout.row_size == ROW_SIZE
    other = open_curriculum(curriculum.config) if shared else curriculum
    task = other.get_task()
    task.complete(0.5)
    before = curriculum.get_state()
    for name, value in (("at", at), ("where", where), ("writes", writes)):
        monkeypatch.setattr(Astray, name, value)
    with pytest.raises(IndexError, match="out of bounds"):
        task.complete(1.0)
    monkeypatch.undo()
    assert as_json(curriculum.get_state()) == as_json(before)
    with curriculum.table as table:
        assert pool_faults(table) == []
    for each in (curriculum, other):
        each.get_task().complete(0.5)
    assert curriculum.stats()["num_completed"] == 3


def test_a_task_that_the_scorer_gives_no_number_is_retired(open_curriculum, caplog) -> None:
    curriculum = open_curriculum(
        LearningProgressConfig(
            scorer=f"{EXAMPLES}.BrokenScorer", num_active_tasks=2, use_shared_memory=False
        )
    )
    task_id = curriculum.get_task().task_id
    for _ in range(8):  # the distribution is computed anew after so many
        curriculum.update_task_performance(task_id, 1.0)
    curriculum.get_task()
    assert task_id not in curriculum.probabilities()
    assert curriculum.stats()["num_invalid"] == 1
    assert f"task {task_id} is invalid" in caplog.text
    assert "weighs it as nan" in caplog.text


@pytest.mark.parametrize("ratio", [-40.0, -20.0, -8.0, -5.0, -3.0, 5.0, 40.0])
def test_the_expected_positive_part_is_never_negative(ratio: float) -> None:
    assert expected_positive(0.01 * ratio, 0.01, math.exp) >= max(0.0, 0.01 * ratio)


@pytest.mark.parametrize("many", [50, 5000])
def test_a_task_that_paid_nothing_for_long_is_noticed_when_it_is_learned(many: int) -> None:
    """At the limit of the level the slope must not grow with every completion that says nothing
    new."""
    random = np.random.default_rng(0)
    config = LearningProgressConfig(
        num_active_tasks=20,
        use_shared_memory=False,
        scorer="posterior",
        eviction_threshold_percentile=0,
    )
    with Curriculum(config) as curriculum:
        task, unseen = list(curriculum.probabilities())[:2]
        for _ in range(many):
            curriculum.update_task_performance(task, 0.0)
        scores = curriculum.algorithm.score_tasks([task, unseen])
        assert scores[task] < 0.5 * scores[unseen]
        best = 0.0
        for n in range(60):  # a learner that goes from 5 % to 86 % in these completions
            success = 1.0 / (1.0 + math.exp(3.0 - 0.08 * n))
            curriculum.update_task_performance(task, float(random.random() < success))
            best = max(best, curriculum.algorithm.score_tasks([task])[task])
        assert best > 0.5 * scores[unseen]


@pytest.mark.parametrize("many", [50, 5000])
def test_a_task_that_was_mastered_for_long_is_noticed_when_it_is_forgotten(many: int) -> None:
    config = LearningProgressConfig(
        num_active_tasks=20,
        use_shared_memory=False,
        scorer="posterior",
        eviction_threshold_percentile=0,
    )
    with Curriculum(config) as curriculum:
        task = next(iter(curriculum.probabilities()))
        for _ in range(many):
            curriculum.update_task_performance(task, 1.0)
        for _ in range(10):
            curriculum.update_task_performance(task, 0.0)
        assert curriculum.algorithm.task_tracker.get_column(task, "level") < 0.0


@pytest.mark.parametrize("score", [0.0, 1.0, 20.0, -5.0])
def test_one_or_two_completions_make_no_task_worth_less_than_a_new_one(score: float) -> None:
    """A lucky success, or a first return with which nothing can be compared yet."""
    config = LearningProgressConfig(num_active_tasks=4, use_shared_memory=False)
    algorithm = config.create(4)
    algorithm.task_tracker.track_task_creation(1)
    unseen = algorithm.score_tasks([1])[1]
    for _ in range(2):
        algorithm.update_task_performance(0, score)
        assert algorithm.score_tasks([0])[0] >= unseen
    for _ in range(10):
        algorithm.update_task_performance(0, score)
    assert algorithm.score_tasks([0])[0] < 0.6 * unseen
