"""What code for older versions does, and what it is told: tasks made by hand, algorithms without a
curriculum, fields and names that are others now, generators."""

import json
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import metta.cogworks.curriculum as package
from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumAlgorithm,
    CurriculumAlgorithmConfig,
    CurriculumConfig,
    CurriculumTask,
    DiscreteRandomConfig,
    LearningProgressConfig,
    NullStatsLogger,
    TaskGenerator,
    TaskGeneratorConfig,
    TaskRandom,
    list_sessions,
)
from metta.cogworks.curriculum import curriculum as curriculum_module


@contextmanager
def told(*messages: str) -> Iterator[None]:
    """One DeprecationWarning, at the line within the block, whose text has each of these."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    (warning,) = caught
    assert (warning.category, warning.filename) == (DeprecationWarning, __file__)
    for message in messages:
        assert message in str(warning.message)


class Maze(BaseModel):
    label: str = "maze"
    width: int = 5


def by_hand(task_id: int, slice_values: dict[str, Any] | None = None) -> CurriculumTask[Maze]:
    with told("CurriculumTask(task_id, env_cfg) is deprecated", "get_task()"):
        return CurriculumTask(task_id, Maze(), slice_values)


# -- a task that is made by hand -------------------------------------------------------------------


def test_a_task_made_by_hand_gives_back_what_it_was_given() -> None:
    maze = Maze(width=7)
    with told("CurriculumTask(task_id, env_cfg) is deprecated"):
        task = CurriculumTask(task_id=3, env_cfg=maze, slice_values={"width": 7})
    assert (task.task_id, task._task_id) == (3, 3)
    assert task.get_env_cfg() is maze
    assert task.get_label() == "maze"
    assert task.get_slice_values() == task.get_bucket_values() == {"width": 7}
    task.get_slice_values()["width"] = 8  # a dictionary of its own
    assert task.get_slice_values() == {"width": 7}
    assert by_hand(4).get_slice_values() == {}


@pytest.mark.parametrize(
    ("env_cfg", "label"),
    [
        (Maze(label="hard"), "hard"),
        (TaskGeneratorConfig(label=None), "TaskGeneratorConfig"),  # a model without a label
        ({"width": 5}, ""),
        (None, ""),
    ],
)
def test_the_label_of_a_task_made_by_hand(env_cfg: Any, label: str) -> None:
    with told():
        task: CurriculumTask[Any] = CurriculumTask(0, env_cfg)
    assert task.get_label() == label
    assert task.get_env_cfg() is env_cfg


def test_a_task_made_by_hand_keeps_its_scores() -> None:
    task = by_hand(3)
    assert task.state is not None
    assert (task.state.completion_count, task.state.total_score) == (0, 0.0)
    scores = [0.25, 1.0, 0.25]
    for score in scores:
        task.complete(score)
    state = task.state
    assert (state.completion_count, state.total_score, state.last_score) == (3, 1.5, 0.25)
    assert state.reward_ema == pytest.approx(0.5)  # plain means
    assert state.ema_squared == pytest.approx(sum(s * s for s in scores) / 3)
    assert state.success_rate_ema == pytest.approx(1 / 3)  # of at least 0.5


@pytest.mark.parametrize("task_id", [-1, 2.5, "3", None, True, 2**53])
def test_a_task_made_by_hand_has_an_id(task_id: Any) -> None:
    with pytest.raises(ValueError, match=r"task id .* is not valid"):
        CurriculumTask(task_id, Maze())


def test_what_a_task_made_by_hand_refuses() -> None:
    with pytest.raises(TypeError, match=r"slice_values=\[1\] is a list, not a Mapping"):
        CurriculumTask(3, Maze(), [1])  # type: ignore[arg-type]
    task = by_hand(3)
    with pytest.raises(ValueError, match="score nan of task 3 is not allowed"):
        task.complete(float("nan"))
    assert task.state is not None
    assert task.state.completion_count == 0


# -- an algorithm without a curriculum, on such tasks ----------------------------------------------

ALGORITHMS: list[CurriculumAlgorithmConfig] = [
    DiscreteRandomConfig(
        num_active_tasks=4, use_shared_memory=False, enable_detailed_slice_logging=True
    ),
    *(
        LearningProgressConfig(
            num_active_tasks=4,
            use_shared_memory=False,
            enable_detailed_slice_logging=True,
            min_samples_for_lp=1,
            sample_threshold=2,
            min_presentations_for_eviction=2,
            scorer=scorer,
        )
        for scorer in ("posterior", "bidirectional", "basic")
    ),
]


def on_hand_made_tasks(config: CurriculumAlgorithmConfig) -> CurriculumAlgorithm:
    """The algorithm with tasks 1 to 3, of which 1 and 3 are wide: 1 is solved, 2 gets better, 3 was
    never tried."""
    algorithm = config.create(3)
    for task_id, width in ((1, 9), (2, 5), (3, 9)):
        algorithm.on_task_created(by_hand(task_id, {"width": width}))
    for k in range(6):
        algorithm.update_task_performance(1, 1.0)
        algorithm.update_task_performance(2, k / 5)
    return algorithm


@pytest.mark.parametrize("config", ALGORITHMS, ids=lambda c: getattr(c, "scorer", "uniform"))
def test_statistics_of_an_algorithm_on_tasks_made_by_hand(
    config: CurriculumAlgorithmConfig,
) -> None:
    algorithm = on_hand_made_tasks(config)
    stats = algorithm.stats()
    assert stats["num_tasks"] == 3
    assert stats["tracker/total_completions"] == 12
    assert stats["label/maze/completions"] == 12
    assert stats["label/maze/mean_score"] == pytest.approx((6 + 3) / 12)
    assert (stats["slice/width_9/count"], stats["slice/width_5/count"]) == (6, 6)
    assert stats["slice/width_5/mean"] == pytest.approx(0.5)
    assert algorithm.stats("older") == {f"older/{name}": x for name, x in stats.items()}
    algorithm.on_task_evicted(1)
    assert algorithm.task_tracker.get_all_tracked_tasks() == [2, 3]
    assert algorithm.stats()["tracker/total_completions"] == 12  # what left stays in the totals
    algorithm.on_task_evicted(1)  # which is gone already


def test_uniform_sampling_on_tasks_made_by_hand() -> None:
    algorithm = on_hand_made_tasks(ALGORITHMS[0])
    assert algorithm.score_tasks([1, 2, 3]) == {1: 1.0, 2: 1.0, 3: 1.0}
    assert algorithm.recommend_eviction([1, 2, 3]) is None
    assert not algorithm.should_evict_task(1, [1, 2, 3])


@pytest.mark.parametrize("config", ALGORITHMS[1:], ids=lambda c: c.scorer)
def test_learning_progress_on_tasks_made_by_hand(config: LearningProgressConfig) -> None:
    algorithm = on_hand_made_tasks(config)
    scores = algorithm.score_tasks([1, 2, 3, 99])
    assert list(scores) == [1, 2, 3, 99]
    assert scores[2] > scores[1]
    assert scores[99] == 0.0
    assert algorithm.recommend_eviction([1, 2, 3]) == 1  # 3 was never measured
    assert algorithm.should_evict_task(1, [1, 2, 3])
    assert not algorithm.should_evict_task(2, [1, 2, 3])
    assert algorithm.recommend_eviction([3]) is None


def test_a_task_that_is_tracked_already_is_left_as_it_is() -> None:
    algorithm = on_hand_made_tasks(ALGORITHMS[1])
    algorithm.on_task_created(by_hand(2, {"width": 1}))
    stats = algorithm.task_tracker.get_task_stats(2)
    assert stats is not None
    assert stats["completion_count"] == 6
    assert "slice/width_1/count" not in algorithm.stats()


@pytest.mark.parametrize("config", ALGORITHMS[:2])
def test_what_is_no_task_is_refused(config: CurriculumAlgorithmConfig) -> None:
    with pytest.raises(TypeError, match="task=3 is a int, not a CurriculumTask"):
        config.create(3).on_task_created(3)


@pytest.mark.parametrize("kind", [DiscreteRandomConfig, LearningProgressConfig])
def test_an_algorithm_lets_go_of_its_pool(kind: Any, session_id: str) -> None:
    algorithm = kind(num_active_tasks=4, session_id=session_id).create(4)
    with told("algorithm.cleanup_shared_memory() is deprecated", "close() the curriculum"):
        algorithm.cleanup_shared_memory()  # it has opened none
    algorithm.on_task_created(by_hand(1))
    assert session_id in {session.session_id for session in list_sessions()}
    with told("task_tracker.cleanup_shared_memory()"):
        algorithm.cleanup_shared_memory()
    assert session_id not in {session.session_id for session in list_sessions()}


# -- fields of configurations ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DiscreteRandomConfig, LearningProgressConfig])
def test_max_memory_tasks_is_explained(kind: Any) -> None:
    with told(
        f"{kind.__name__} was given fields of an older version",
        "max_memory_tasks=1000",
        "num_active_tasks, which is 16 here",
    ):
        config = kind(num_active_tasks=16, max_memory_tasks=1000)
    assert config.num_active_tasks == 16
    assert config == kind(num_active_tasks=16)
    assert "max_memory_tasks" not in config.model_dump()


def test_max_memory_tasks_alone_is_the_capacity() -> None:
    with told("max_memory_tasks=50", "num_active_tasks, which is 50 now, since none was given"):
        config = LearningProgressConfig(max_memory_tasks=50)
    assert config.num_active_tasks == 50
    with told("which is 256 here"):
        assert LearningProgressConfig.default(max_memory_tasks=50).num_active_tasks == 256
    with told(), pytest.raises(ValidationError, match="num_active_tasks"):
        LearningProgressConfig(max_memory_tasks=0)


def test_a_field_of_its_own_is_its_own() -> None:
    class Own(DiscreteRandomConfig):
        max_memory_tasks: int = 3
        lp_gain: float = 1.0

    config = Own(max_memory_tasks=7, lp_gain=2.0)
    assert (config.max_memory_tasks, config.lp_gain, config.num_active_tasks) == (7, 2.0, 1000)


@pytest.mark.parametrize(
    "algorithm",
    [
        LearningProgressConfig(num_active_tasks=8),
        {"type": "learning_progress", "num_active_tasks": 8},
        {
            "type": "metta.cogworks.curriculum.learning_progress_algorithm.LearningProgressConfig",
            "num_active_tasks": 8,
        },
        LearningProgressConfig(num_active_tasks=8, min_presentations_for_eviction=7),  # the same
    ],
)
def test_presentations_are_handed_on_to_the_algorithm(algorithm: Any) -> None:
    with told("min_presentations_for_eviction=7", "it is the algorithm's"):
        config = CurriculumConfig(algorithm_config=algorithm, min_presentations_for_eviction=7)  # type: ignore[call-arg]
    expected = LearningProgressConfig(num_active_tasks=8, min_presentations_for_eviction=7)
    assert config == CurriculumConfig(algorithm_config=expected)
    assert config.algorithm.model_fields_set >= {"min_presentations_for_eviction"}
    if algorithm == LearningProgressConfig(num_active_tasks=8):
        assert algorithm.min_presentations_for_eviction == 5  # the caller's object is not changed


@pytest.mark.parametrize("algorithm", [None, DiscreteRandomConfig(), {"type": "discrete_random"}])
def test_presentations_mean_nothing_where_no_task_leaves(algorithm: Any) -> None:
    with told("min_presentations_for_eviction=7", "by uniform sampling no task leaves"):
        config = CurriculumConfig(algorithm_config=algorithm, min_presentations_for_eviction=7)  # type: ignore[call-arg]
    assert config == CurriculumConfig(algorithm_config=DiscreteRandomConfig())


@pytest.mark.parametrize(
    ("value", "message"), [(4, "=4 here and 3 in algorithm_config: give it once"), (0, "=0 here")]
)
def test_presentations_that_contradict_are_refused(value: int, message: str) -> None:
    algorithm = LearningProgressConfig(min_presentations_for_eviction=3)
    for given in (algorithm, algorithm.model_dump(exclude_unset=True) | {"type": "x.Y"}):
        with pytest.raises(ValidationError, match=message):
            CurriculumConfig(algorithm_config=given, min_presentations_for_eviction=value)  # type: ignore[call-arg]


OLDER = {
    "num_active_tasks": 100,
    "max_task_id": 5000,
    "new_task_rate": 0.01,
    "defer_init": True,
    "min_presentations_for_eviction": 7,
    "algorithm_config": {
        "type": "learning_progress",
        "num_active_tasks": 16,
        "max_memory_tasks": 1000,
        "ema_timescale": 0.001,
        "rand_task_rate": 0.25,
        "use_bidirectional": True,
        "early_progress_amplification": 0.5,
        "lp_gain": 0.1,
        "lp_score_temperature": 0.0,
        "show_curriculum_troubleshooting_logging": False,
        "maintain_z_score_distribution": True,
    },
}


def test_an_older_configuration_loads_from_json_with_one_warning() -> None:
    algorithm: Any = OLDER["algorithm_config"]
    with told(
        *(f"{name}" for name in OLDER if name not in ("max_task_id", "algorithm_config")),
        *(name for name in algorithm if name.startswith(("lp_", "max_", "early", "show", "main"))),
        "the pool is one, of 100 tasks",
    ):
        config = CurriculumConfig.model_validate_json(json.dumps(OLDER))
    assert config == CurriculumConfig(
        max_task_id=5000,
        algorithm_config=LearningProgressConfig(
            num_active_tasks=100,
            ema_timescale=0.001,
            rand_task_rate=0.25,
            use_bidirectional=True,
            min_presentations_for_eviction=7,
        ),
    )
    assert CurriculumConfig.model_validate_json(config.model_dump_json()) == config  # no warning
    with Curriculum(config) as curriculum:
        assert curriculum.stats()["num_active_tasks"] == 100


def test_an_algorithms_own_older_fields_load_with_one_warning() -> None:
    with told("LearningProgressConfig", "lp_gain (the sampling rule", "max_memory_tasks=9"):
        config = LearningProgressConfig.model_validate_json(
            '{"lp_gain": 0.1, "max_memory_tasks": 9, "num_active_tasks": 8}'
        )
    assert config == LearningProgressConfig(num_active_tasks=8)


def test_the_capacity_of_an_older_algorithm_alone_holds() -> None:
    data = {"algorithm_config": {"type": "learning_progress", "num_active_tasks": 16}}
    assert CurriculumConfig.model_validate(data).num_active_tasks == 16
    assert CurriculumConfig.model_validate({**data, "num_active_tasks": 16}).num_active_tasks == 16


def test_a_typo_is_still_one() -> None:
    with pytest.raises(ValidationError, match="did you mean 'ema_timescale'"):
        LearningProgressConfig.model_validate({"ema_timscale": 0.1})


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [package, curriculum_module])
def test_a_name_that_is_another_now(module: Any) -> None:
    with told("DiscreteRandomCurriculumConfig is deprecated", "called DiscreteRandomConfig now"):
        found = module.DiscreteRandomCurriculumConfig
    assert found is DiscreteRandomConfig
    with pytest.raises(AttributeError, match=f"'{module.__name__}' has no attribute 'Curiculum'"):
        module.Curiculum  # noqa: B018  (the access is the test)


def test_a_logger_of_nothing() -> None:
    with told("NullStatsLogger() is deprecated"):
        logger = NullStatsLogger()
    assert logger.stats() == logger.stats("prefix") == {}


# -- generators ------------------------------------------------------------------------------------


class MazeGenerator(TaskGenerator[Maze]):
    """As generators of older versions are written."""

    class Config(TaskGeneratorConfig["MazeGenerator"]):
        largest: int = 9

    def _generate_task(self, task_id: int, rng: TaskRandom) -> Maze:
        return Maze(width=rng.randrange(3, self.config.largest, 2))


def test_a_configuration_that_names_its_generator() -> None:
    config = MazeGenerator.Config(largest=6)
    assert MazeGenerator.Config.generator_class() is MazeGenerator
    generator = config.create()
    assert isinstance(generator, MazeGenerator)
    assert {generator.get_task(task_id).width for task_id in range(40)} == {3, 5}
    assert TaskGeneratorConfig.model_validate(config.model_dump()) == config
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize("name", [3, None, ["MazeGenerator"]])
def test_what_names_no_generator_is_refused(name: Any) -> None:
    with pytest.raises(TypeError, match="names no generator; write"):
        TaskGeneratorConfig[name]


class GaussGenerator(TaskGenerator[Maze]):
    """Draws by a method that only random.Random had."""

    def _generate_task(self, task_id: int, rng: TaskRandom) -> Maze:
        return Maze(width=10 + round(rng.gauss(0.0, 3.0)))


def test_a_generator_draws_by_whatever_method() -> None:
    one, other = GaussGenerator.Config().create(), GaussGenerator.Config().create()
    widths = [one.get_task(task_id).width for task_id in range(50)]
    assert widths == [other.get_task(task_id).width for task_id in range(50)]
    assert len(set(widths)) > 5
