"""The documents' quick starts as written, and the upgrade guide's extensions: in one process, and
in two."""

import json
import multiprocessing
import warnings
from pathlib import Path
from typing import Any

import pytest

from metta.cogworks.curriculum import (
    BasicLPScorer,
    BidirectionalLPScorer,
    BucketedTaskGenerator,
    Curriculum,
    CurriculumAlgorithmConfig,
    CurriculumConfig,
    LearningProgressAlgorithm,
    LearningProgressConfig,
    SingleTaskGenerator,
    TaskTracker,
)
from tests.cogworks.curriculum.curriculum_examples import (
    DictScorer,
    FileBackend,
    RareFirst,
    RareFirstConfig,
    SharedScorer,
    work,
    work_on_file,
)
from tests.cogworks.curriculum.generator_examples import Room, RoomGenerator

EXAMPLES = "tests.cogworks.curriculum.curriculum_examples"
DEADLINE_SECONDS = 60

QUICK_START = """
from metta.cogworks.curriculum import LearningProgressConfig, Curriculum

# Use preset configurations
config = LearningProgressConfig.default(num_active_tasks=256)
# Also available: .stable() for noisy environments, .fast_learning() for fast learners

# Multi-process: use shared memory with session_id
config = LearningProgressConfig.default(
    num_active_tasks=256,
    session_id="my_training_session",  # All workers must use same ID
)

# Single-process: use local memory for better performance
config = LearningProgressConfig.default(num_active_tasks=256, use_shared_memory=False)

# Initialize and use
curriculum = Curriculum(config)
task = curriculum.get_task()
curriculum.update_task_performance(task._task_id, score=0.75)
"""


def test_the_readmes_quick_start() -> None:
    names: dict[str, Any] = {}
    exec(QUICK_START, names)
    stats = names["curriculum"].stats()
    assert stats["num_completed"] == 1
    assert stats["num_active_tasks"] == 256
    assert names["task"].state.last_score == 0.75


@pytest.mark.parametrize(
    "preset", [LearningProgressConfig.stable, LearningProgressConfig.fast_learning]
)
def test_the_other_presets_start_as_quickly(preset: Any, session_id: str) -> None:
    with Curriculum(preset(session_id=session_id)) as curriculum:
        task = curriculum.get_task()
        curriculum.update_task_performance(task._task_id, score=0.75)
        assert curriculum.session_id == session_id
        assert curriculum.stats()["num_completed"] == 1


def test_the_guides_configuration() -> None:
    """With every parameter that the guide writes out."""
    config = CurriculumConfig(
        task_generator=BucketedTaskGenerator.Config(
            child_generator_config=SingleTaskGenerator.Config(env=Room()),
            buckets={"game.num_plants": [5, 10]},
        ),
        algorithm_config=LearningProgressConfig(
            num_active_tasks=1000,
            ema_timescale=0.1,
            rand_task_rate=0.01,
            slow_timescale_factor=0.2,
            eviction_threshold_percentile=0.4,
            task_tracker_ema_alpha=0.02,
            use_shared_memory=True,
            session_id=None,
            use_bidirectional=True,
            exploration_bonus=0.1,
            progress_smoothing=0.01,
            performance_bonus_weight=0.0,
            sample_threshold=10,
            memory=25,
            max_slice_axes=3,
            enable_detailed_slice_logging=False,
            basic_ema_initial_alpha=0.3,
            basic_ema_alpha_decay=0.2,
            exploration_blend_factor=0.5,
        ),
    )
    with Curriculum(config) as curriculum:
        task = curriculum.get_task()
        assert task.get_env_cfg().game.num_plants in (5, 10)
        task.complete(0.5)
        assert curriculum.stats()["num_completed"] == 1


@pytest.mark.parametrize(
    ("shared", "backend"), [(True, "SharedMemoryBackend"), (False, "LocalMemoryBackend")]
)
@pytest.mark.parametrize(
    ("bidirectional", "scorer"), [(True, BidirectionalLPScorer), (False, BasicLPScorer)]
)
def test_the_guides_debug_tips(
    open_curriculum: Any, shared: bool, backend: str, bidirectional: bool, scorer: type
) -> None:
    algorithm = LearningProgressConfig(
        num_active_tasks=8, use_shared_memory=shared, use_bidirectional=bidirectional
    )
    curriculum = open_curriculum(
        CurriculumConfig(task_generator=RoomGenerator.Config(), algorithm_config=algorithm)
    )
    assert curriculum.algorithm.task_tracker._backend.__class__.__name__ == backend
    assert curriculum.algorithm.scorer.__class__ is scorer
    task = curriculum.get_task()
    task.complete(0.25)
    stats = curriculum.algorithm.stats_aggregator.get_all_stats(
        include_tracker=True, include_scorer=True, include_slice=True
    )
    assert json.loads(json.dumps(stats, indent=2)) == stats
    assert {
        "num_tasks",
        "tracker/mean_recent_score",
        "lp/mean_learning_progress",
        "lp/mean_sample_prob",
    } <= set(stats)
    assert "lp/mean_task_success_rate" in stats
    assert [
        value
        for name, value in stats.items()
        if name.startswith("slice/plants") and name.endswith("/mean")
    ] == [0.25]


# -- extensions, in one process --------------------------------------------------------------------


def test_the_guides_scorer(open_curriculum: Any) -> None:
    curriculum = open_curriculum(
        LearningProgressConfig(
            scorer=DictScorer, num_active_tasks=4, use_shared_memory=False, min_samples_for_lp=1
        )
    )
    ids = list(curriculum.probabilities())
    for _ in range(3):
        for i, task_id in enumerate(ids):
            curriculum.update_task_performance(task_id, i / 3)
    assert curriculum.stats()["algorithm/lp/num_known"] == 4
    assert curriculum.algorithm.score_tasks(ids) == pytest.approx(
        dict(zip(ids, [1.0, 2 / 3, 1 / 3, 0.0], strict=True))
    )
    probabilities = list(curriculum.probabilities().values())
    assert probabilities == sorted(probabilities, reverse=True)
    assert curriculum.algorithm.task_tracker.get_task_stats(ids[1])["lp_score"] == pytest.approx(
        2 / 3
    )


def test_the_guides_algorithm(open_curriculum: Any) -> None:
    curriculum = open_curriculum(
        CurriculumConfig(algorithm_config=RareFirstConfig(num_active_tasks=3), max_task_id=100)
    )
    assert isinstance(curriculum.algorithm, RareFirst)
    ids = list(curriculum.probabilities())
    curriculum.update_task_performance(ids[0], 1.0)
    for _ in range(7):
        curriculum.update_task_performance(
            99, 1.0
        )  # late: completes nothing, so the distribution stands
    curriculum.retire_task(ids[1], "to have the distribution refreshed")
    expected = {
        task_id: (0.5 if task_id == ids[0] else 1.0) / 2.5 for task_id in curriculum.probabilities()
    }
    assert curriculum.probabilities() == pytest.approx(expected)


@pytest.mark.parametrize(
    "scorer",
    ["bidirectional", "basic", "posterior", f"{EXAMPLES}.SharedScorer", f"{EXAMPLES}.DictScorer"],
)
def test_the_guides_backend(open_curriculum: Any, tmp_path: Path, scorer: str) -> None:
    """A curriculum on the five methods draws what one on the local backend draws."""
    hypers = LearningProgressConfig(
        scorer=scorer, num_active_tasks=6, use_shared_memory=False, sample_threshold=1
    )
    config = CurriculumConfig(algorithm_config=hypers, max_task_id=100)

    def algorithm() -> LearningProgressAlgorithm:
        backend = FileBackend(
            tmp_path / "pool", 6, completion_history_size=hypers.completion_history_size
        )
        made = hypers.make_scorer()
        tracker = TaskTracker(
            backend=backend,
            ema_alpha=0.02,
            columns=made.columns,
            slice_axes=hypers.max_slice_axes,
            success_alpha=2 / 26,
        )
        return LearningProgressAlgorithm(6, hypers, scorer=made, task_tracker=tracker)

    custom, local = open_curriculum(config, algorithm=algorithm()), open_curriculum(config)
    assert custom.session_id is None
    for step in range(120):
        drawn = [curriculum.get_task().task_id for curriculum in (custom, local)]
        assert drawn[0] == drawn[1]
        for curriculum in (custom, local):
            curriculum.update_task_performance(drawn[0], (step % 7) / 6)
    assert custom.stats() == local.stats()
    # A second view, as another process would open it: it finds the pool and fills none of its own.
    rows = {
        i: custom.algorithm.task_tracker.get_task_state(i).completion_count
        for i in custom.probabilities()
    }
    other = open_curriculum(config, algorithm=algorithm())
    assert {
        i: other.algorithm.task_tracker.get_task_state(i).completion_count
        for i in other.probabilities()
    } == rows
    other.get_task().complete(0.5)
    assert (
        sum(custom.algorithm.task_tracker.get_task_state(i).completion_count for i in rows)
        == sum(rows.values()) + 1
    )


# -- extensions, in two processes ------------------------------------------------------------------


def run_beside(method: str, target: Any, arguments: tuple, here: Any) -> None:
    """Run `target(*arguments)` in another process, `here()` in this one meanwhile."""
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings():
        # From Python 3.12, fork warns in a process with threads, such as those of a test runner.
        warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
        process = context.Process(target=target, args=arguments)
        process.start()
    here()
    process.join(DEADLINE_SECONDS)
    alive = process.is_alive()
    if alive:
        process.kill()
    assert not alive, "the other process did not end"
    assert process.exitcode == 0


CUSTOM: list[CurriculumAlgorithmConfig] = [
    LearningProgressConfig(
        scorer=f"{EXAMPLES}.SharedScorer", num_active_tasks=8, eviction_threshold_percentile=0.0
    ),
    LearningProgressConfig(
        scorer=f"{EXAMPLES}.DictScorer", num_active_tasks=8, eviction_threshold_percentile=0.0
    ),
    LearningProgressConfig(scorer=f"{EXAMPLES}.StepScorer", num_active_tasks=8),
    RareFirstConfig(num_active_tasks=8),
]


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(
    "algorithm", CUSTOM, ids=["columns", "dictionary", "column scorer", "algorithm"]
)
def test_two_processes_work_on_one_pool(
    open_curriculum: Any, session_id: str, method: str, algorithm: CurriculumAlgorithmConfig
) -> None:
    config = CurriculumConfig(
        algorithm_config=algorithm, task_generator=RoomGenerator.Config()
    ).with_session(session_id)
    curriculum = open_curriculum(config)
    run_beside(method, work, (config, 300), lambda: work(config, 300))
    stats = curriculum.stats()
    assert stats["num_scheduled"] == 600
    assert stats["num_completed"] + stats["late_completions"] == 600
    assert stats["num_created"] - stats["num_evicted"] == 8
    ids = curriculum.algorithm.task_tracker.get_all_tracked_tasks()
    assert len(set(ids)) == 8
    scorer = getattr(curriculum.algorithm, "scorer", None)
    if isinstance(scorer, SharedScorer):  # what both processes have counted in the declared column
        assert scorer.get_stats() == {"seen": 600.0}
        assert set(curriculum.algorithm.score_tasks(ids).values()) == {1.0}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_two_processes_on_a_backend_of_ones_own(tmp_path: Path, method: str) -> None:
    path, ids = tmp_path / "pool", [0, 3, 5]
    run_beside(method, work_on_file, (path, ids, 150), lambda: work_on_file(path, ids, 150))
    tracker = TaskTracker(backend=FileBackend(path, max_tasks=8))
    assert sorted(tracker.get_all_tracked_tasks()) == ids
    assert [tracker.get_task_stats(i)["completion_count"] for i in ids] == [100, 100, 100]
    assert [tracker.get_task_state(i).total_score for i in ids] == [100.0] * 3
    tracker.cleanup_shared_memory()
