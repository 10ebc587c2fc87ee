"""Configuration: defaults, presets, errors, and that every field acts."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from metta.cogworks.curriculum import (
    BucketedTaskGenerator,
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    LockTimeoutError,
    SingleTaskGenerator,
    Span,
    bucketed,
)
from tests.cogworks.curriculum.generator_examples import Room

GUIDE_DEFAULTS = {
    "num_active_tasks": 1000,
    "ema_timescale": 0.1,
    "slow_timescale_factor": 0.2,
    "rand_task_rate": 0.01,
    "eviction_threshold_percentile": 0.4,
    "task_tracker_ema_alpha": 0.02,
    "task_struct_size": 13,
    "completion_history_size": 1000,
    "task_default_success_threshold": 0.5,
    "task_default_generator_type": 0.0,
    "use_shared_memory": True,
    "session_id": None,
    "basic_ema_initial_alpha": 0.3,
    "basic_ema_alpha_decay": 0.2,
    "exploration_blend_factor": 0.5,
    "use_bidirectional": False,  # the guide says True, of a default scorer that is no longer
    "exploration_bonus": 0.1,
    "progress_smoothing": 0.01,
    "performance_bonus_weight": 0.0,
    "sample_threshold": 10,
    "memory": 25,
    "max_slice_axes": 3,
    "enable_detailed_slice_logging": False,
}


@pytest.mark.parametrize(("field", "value"), GUIDE_DEFAULTS.items())
def test_the_guides_defaults(field: str, value: Any) -> None:
    assert getattr(LearningProgressConfig(), field) == value


@pytest.mark.parametrize("field", LearningProgressConfig.model_fields)
def test_every_field_is_described(field: str) -> None:
    assert LearningProgressConfig.model_fields[field].description


@pytest.mark.parametrize(
    ("preset", "timescale", "bonus"),
    [("default", 0.1, 0.1), ("stable", 0.01, 0.15), ("fast_learning", 0.2, 0.05)],
)
def test_presets(preset: str, timescale: float, bonus: float) -> None:
    make = getattr(LearningProgressConfig, preset)
    config = make()
    assert (config.num_active_tasks, config.ema_timescale, config.exploration_bonus) == (
        256,
        timescale,
        bonus,
    )
    other = make(num_active_tasks=512, ema_timescale=0.05, session_id="name")
    assert (other.num_active_tasks, other.ema_timescale, other.session_id) == (512, 0.05, "name")
    assert other.exploration_bonus == bonus


@pytest.mark.parametrize(
    ("make", "field", "message"),
    [
        (
            LearningProgressConfig.default,
            "ema_timscale",
            "has no field 'ema_timscale'; did you mean 'ema_timescale'?",
        ),
        (LearningProgressConfig, "num_active_task", "did you mean 'num_active_tasks'?"),
        (DiscreteRandomConfig, "sesion_id", "did you mean 'session_id'?"),
        (
            DiscreteRandomConfig,
            "rand_task_rate",
            "DiscreteRandomConfig has no field 'rand_task_rate'",
        ),
        (CurriculumConfig, "algorithm", "did you mean 'algorithm_config'?"),
        (CurriculumConfig, "zzz", "fields: task_generator, max_task_id"),
    ],
)
def test_a_typo_names_the_nearest_field(make: Callable[..., Any], field: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("?", r"\?")):
        make(**{field: 5})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ema_timescale", 0.0),
        ("ema_timescale", 1.1),
        ("slow_timescale_factor", 0.0),
        ("progress_smoothing", 1.0),
        ("rand_task_rate", -0.1),
        ("rand_task_rate", 1.1),
        ("eviction_threshold_percentile", 1.5),
        ("sampling", "softmax"),
        ("score_normalization", "none"),
        ("sampling_temperature", 0.0),
        ("sampling_quantile", 1.0),
        ("task_struct_size", 12),
        ("completion_history_size", 0),
        ("memory", 0),
        ("ema_timescale", "fast"),
        ("ema_timescale", float("nan")),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        LearningProgressConfig(**{field: value})
    config = LearningProgressConfig()
    with pytest.raises(ValidationError, match=field):
        setattr(config, field, value)


def test_assignment_is_validated_and_acts() -> None:
    config = LearningProgressConfig()
    assert (config.scorer, config.sampling) == ("posterior", "power")
    config.use_bidirectional = False
    assert (config.scorer, config.sampling) == ("basic", "zscore_softmax")
    config.scorer = "learnability"
    config.use_bidirectional = True
    assert config.scorer == "learnability"


# -- every field acts ------------------------------------------------------------------------------

BASE = {"num_active_tasks": 8, "use_shared_memory": False}
BIDIRECTIONAL = {**BASE, "scorer": "bidirectional"}
BASIC = {**BASE, "scorer": "basic"}
AT_ONCE = {"min_presentations_for_eviction": 1, "sample_threshold": 1, "min_samples_for_lp": 1}


def played(fields: dict[str, Any], scale: float = 1.0, generator: bool = False) -> Curriculum:
    """A pool of 8 in which the first five tasks have 6, 5, 4, 3 and 2 completions."""
    buckets = {"game.num_plants": [5, 10], "game.density": [0.25, 0.75]}
    generator_config = BucketedTaskGenerator.Config(
        child_generator_config=SingleTaskGenerator.Config(env=Room()), buckets=buckets
    )
    curriculum = Curriculum(
        CurriculumConfig(
            algorithm_config=LearningProgressConfig(**fields),
            task_generator=generator_config if generator else None,
        )
    )
    curriculum.get_tasks(64)
    curriculum.forget_in_flight()
    for i, task_id in enumerate(curriculum.algorithm.task_tracker.get_all_tracked_tasks()[:5]):
        for step in range(6 - i):
            curriculum.update_task_performance(
                task_id, scale * ((step * (i + 3) * 7 + 3) % 10) / 10
            )
    return curriculum


def probabilities(curriculum: Curriculum) -> Any:
    return np.round(curriculum.algorithm.distribution(), 9).tolist()


def in_flight(curriculum: Curriculum) -> Any:
    """Probabilities while three draws of the likeliest tasks have not ended."""
    curriculum.get_tasks(3)
    return probabilities(curriculum)


def rows(name: str) -> Callable[[Curriculum], Any]:
    return lambda curriculum: np.round(
        curriculum.algorithm.task_tracker.table.column(name), 9
    ).tolist()


def statistic(name: str) -> Callable[[Curriculum], Any]:
    return lambda curriculum: curriculum.stats()[name]


def slices(curriculum: Curriculum) -> Any:
    return sum("/slice/" in name for name in curriculum.stats())


def slice_axes(curriculum: Curriculum) -> Any:
    return len(
        {
            name.rpartition("_")[0]
            for name in curriculum.algorithm.slice_analyzer.get_detailed_stats()
        }
    )


def evictions(curriculum: Curriculum) -> Any:
    return len(curriculum.algorithm.evictions(8)), curriculum.stats()["num_evicted"]


def regions(curriculum: Curriculum) -> Any:
    """How many a family with a real number is cut into."""
    family = bucketed(Room(), {"game.density": Span(0.25, 0.75)})
    hypers = curriculum.algorithm.hypers
    with family.to_curriculum(algorithm_config=hypers).make() as cut:
        return len(cut.probabilities())


def limit_of_a_wait(curriculum: Curriculum) -> Any:
    """What is said while another thread has the lock."""
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with curriculum.table:
            holding.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(60)
    with pytest.raises(LockTimeoutError) as caught:
        curriculum.get_task()
    done.set()
    thread.join()
    return str(caught.value).partition("within ")[2].partition(";")[0]


# field, two values, the fields beside it, what changes
ACTS: list[tuple[str, Any, Any, dict[str, Any], Callable[[Curriculum], Any]]] = [
    ("num_active_tasks", 8, 9, BASE, statistic("num_active_tasks")),
    ("use_shared_memory", False, True, BASE, lambda c: c.session_id is None),
    (
        "session_id",
        "test-acts-a",
        "test-acts-b",
        {**BASE, "use_shared_memory": True},
        lambda c: c.session_id,
    ),
    (
        "task_struct_size",
        13,
        15,
        BASE,
        lambda c: c.algorithm.task_tracker.backend.get_task_data(0).shape,
    ),
    ("completion_history_size", 1, 100, BASE, statistic("algorithm/tracker/mean_recent_score")),
    ("task_tracker_ema_alpha", 0.02, 0.5, BASE, rows("reward_ema")),
    ("task_default_success_threshold", 0.5, 0.8, BASE, rows("success_rate_ema")),
    ("task_default_generator_type", 0.0, 3.0, BASE, rows("generator_type")),
    ("memory", 25, 2, BASE, rows("success_rate_ema")),
    ("max_slice_axes", 2, 1, BASE, slice_axes),
    ("lock_timeout_seconds", 0.05, 0.1, BASE, limit_of_a_wait),
    ("max_regions", 16, 20, {**BASE, "num_active_tasks": 24}, regions),
    ("max_regions", 0, 16, {**BASE, "num_active_tasks": 24}, regions),
    ("enable_detailed_slice_logging", False, True, BASE, slices),
    ("scorer", "bidirectional", "basic", BASE, rows("lp_score")),
    ("use_bidirectional", True, False, BASE, rows("lp_score")),
    (
        "score_normalization",
        "running_range",
        "clip",
        BIDIRECTIONAL,
        rows("lp_score"),
    ),  # scores up to 9 here
    ("ema_timescale", 0.1, 0.3, BIDIRECTIONAL, rows("lp_score")),
    ("ema_timescale", 0.1, 0.3, {**BASE, "scorer": "learnability"}, rows("lp_score")),
    ("ema_timescale", 0.1, 0.3, {**BASE, "scorer": "signed"}, rows("lp_score")),
    ("slow_timescale_factor", 0.2, 0.4, BIDIRECTIONAL, rows("lp_score")),
    ("slow_timescale_factor", 0.2, 0.4, {**BASE, "scorer": "signed"}, rows("lp_score")),
    ("use_baseline_normalization", True, False, BIDIRECTIONAL, rows("lp_score")),
    ("progress_smoothing", 0.01, 0.5, BIDIRECTIONAL, rows("lp_score")),
    ("progress_smoothing", 0.01, 0.5, {**BASE, "scorer": "signed"}, rows("lp_score")),
    ("basic_ema_initial_alpha", 0.3, 0.5, BASIC, rows("lp_score")),
    ("basic_ema_alpha_decay", 0.2, 0.0, BASIC, rows("lp_score")),
    ("exploration_blend_factor", 0.5, 0.0, BASIC, rows("lp_score")),
    ("exploration_bonus", 0.1, 0.9, {**BIDIRECTIONAL, "min_samples_for_lp": 4}, probabilities),
    ("min_samples_for_lp", 3, 5, BIDIRECTIONAL, probabilities),
    ("min_samples_for_lp", 3, 5, BASIC, rows("lp_score")),
    ("performance_bonus_weight", 0.0, 1.0, BASE, probabilities),
    ("sampling", "power", "uniform", BASIC, probabilities),
    ("sampling", "zscore_softmax", "zscore_sigmoid", BASIC, probabilities),
    ("sampling", "quantile_sigmoid", "temperature_softmax", BASIC, probabilities),
    ("sampling_power", 1.0, 3.0, {**BASIC, "sampling": "power"}, probabilities),
    ("z_score_amplification", 1.0, 3.0, {**BASIC, "sampling": "zscore_softmax"}, probabilities),
    ("z_score_amplification", 1.0, 3.0, {**BASIC, "sampling": "zscore_sigmoid"}, probabilities),
    ("z_score_amplification", 1.0, 3.0, {**BASIC, "sampling": "quantile_sigmoid"}, probabilities),
    ("sampling_quantile", 0.9, 0.5, {**BASIC, "sampling": "quantile_sigmoid"}, probabilities),
    ("sampling_temperature", 0.1, 1.0, {**BASIC, "sampling": "temperature_softmax"}, probabilities),
    ("rand_task_rate", 0.01, 0.5, BASIC, probabilities),
    ("in_flight_discount", 0.0, 0.5, {**BASIC, "sampling": "power"}, in_flight),
    ("eviction_threshold_percentile", 0.2, 0.9, {**BIDIRECTIONAL, **AT_ONCE}, evictions),
    (
        "eviction_worth_ratio",
        0.01,
        100.0,
        {**BASIC, **AT_ONCE, "eviction_threshold_percentile": 1.0},
        evictions,
    ),
    (
        "min_presentations_for_eviction",
        2,
        5,
        {**BIDIRECTIONAL, **AT_ONCE, "eviction_threshold_percentile": 1.0},
        evictions,
    ),
    (
        "sample_threshold",
        2,
        5,
        {**BIDIRECTIONAL, **AT_ONCE, "eviction_threshold_percentile": 1.0},
        evictions,
    ),
]


@pytest.mark.parametrize(
    ("field", "one", "two", "beside", "observe"),
    ACTS,
    ids=[f"{row[0]}-{i}" for i, row in enumerate(ACTS)],
)
def test_every_field_acts(
    field: str, one: Any, two: Any, beside: dict[str, Any], observe: Callable[[Curriculum], Any]
) -> None:
    seen = []
    for value in (one, one, two):
        scale = 10.0 if field == "score_normalization" else 1.0
        with played({**beside, field: value}, scale, generator="slice" in field) as curriculum:
            seen.append(observe(curriculum))
    assert seen[0] == seen[1], "the same configuration gives the same"
    assert seen[0] != seen[2], f"{field} has no effect"


def test_no_field_is_left_out() -> None:
    missing = set(LearningProgressConfig.model_fields) - {row[0] for row in ACTS}
    assert not missing, f"add a row to ACTS that shows what these do: {sorted(missing)}"


@pytest.mark.parametrize(
    ("one", "two", "observe"),
    [
        ({"seed": 0}, {"seed": 1}, lambda c: [task.task_id for task in c.get_tasks(20)]),
        ({"max_task_id": 5}, {"max_task_id": 50}, lambda c: max(c.probabilities())),
        ({"num_active_tasks": 4}, {"num_active_tasks": 6}, lambda c: len(c.probabilities())),
        (
            {"task_generator": None},
            {"task_generator": SingleTaskGenerator.Config(env=Room())},
            lambda c: type(c.get_task().get_env_cfg()),
        ),
        (
            {"algorithm_config": DiscreteRandomConfig(use_shared_memory=False)},
            {"algorithm_config": LearningProgressConfig(use_shared_memory=False)},
            lambda c: type(c.algorithm),
        ),
    ],
)
def test_every_field_of_the_curriculum_acts(
    one: dict, two: dict, observe: Callable[[Curriculum], Any]
) -> None:
    def seen(fields: dict[str, Any]) -> Any:
        fields = {"algorithm_config": DiscreteRandomConfig(use_shared_memory=False), **fields}
        with Curriculum(CurriculumConfig(**fields)) as curriculum:
            return observe(curriculum)

    assert seen(one) == seen(one)
    assert seen(one) != seen(two)


@pytest.mark.parametrize(
    "name",
    ["exploration_bonus", "sampling_power", "z_score_amplification", "performance_bonus_weight"],
)
def test_an_infinite_number_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}\n.*finite number"):
        LearningProgressConfig(**{name: float("inf")})
