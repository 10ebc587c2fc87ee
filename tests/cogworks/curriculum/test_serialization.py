"""Configurations and curricula on their way through JSON, YAML and pickle; and what an import
needs."""

import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from metta.cogworks.curriculum import (
    BucketedTaskGenerator,
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressAlgorithm,
    LearningProgressConfig,
    SingleTaskGenerator,
    Span,
    TaskGeneratorSet,
)
from tests.cogworks.curriculum.curriculum_examples import RareFirstConfig, StepScorer
from tests.cogworks.curriculum.generator_examples import Room, RoomGenerator
from tests.cogworks.curriculum.states import without_times

SINGLE = SingleTaskGenerator.Config(env=Room())
BUCKETED = BucketedTaskGenerator.Config(
    child_generator_config=SINGLE, buckets={"game.num_plants": [1, Span(5, 9)]}
)
CONFIGS = {
    "empty": CurriculumConfig(),
    "single": CurriculumConfig(task_generator=SINGLE, seed=7, max_task_id=10),
    "bucketed": CurriculumConfig(
        task_generator=BUCKETED, algorithm_config=LearningProgressConfig.stable()
    ),
    "set": CurriculumConfig(
        task_generator=TaskGeneratorSet.Config(
            task_generators=[SINGLE, BUCKETED], weights=[1.0, 2.0]
        )
    ),
    "custom generator": CurriculumConfig(
        task_generator=RoomGenerator.Config(largest=9), num_active_tasks=12
    ),
    "custom algorithm": CurriculumConfig(algorithm_config=RareFirstConfig(evict_after=5)),
    "custom scorer": CurriculumConfig(algorithm_config=LearningProgressConfig(scorer=StepScorer)),
    "session": CurriculumConfig(algorithm_config=DiscreteRandomConfig(session_id="a.b-c")),
}


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> CurriculumConfig:
    return CONFIGS[request.param]


def test_json_round_trip(config: CurriculumConfig) -> None:
    text = config.model_dump_json()
    assert CurriculumConfig.model_validate_json(text) == config
    assert CurriculumConfig.model_validate(json.loads(text)).model_dump_json() == text


def test_yaml_round_trip(config: CurriculumConfig) -> None:
    text = yaml.safe_dump(config.model_dump(mode="json"))
    assert CurriculumConfig.model_validate(yaml.safe_load(text)) == config


def test_python_round_trips(config: CurriculumConfig) -> None:
    assert pickle.loads(pickle.dumps(config)) == config
    assert CurriculumConfig.model_validate(config.model_dump()) == config
    assert copy.deepcopy(config) == config


def test_classes_come_back(config: CurriculumConfig) -> None:
    again = CurriculumConfig.model_validate_json(config.model_dump_json())
    assert type(again.algorithm_config) is type(config.algorithm_config)
    assert type(again.task_generator) is type(config.task_generator)


def test_a_class_defined_in_a_function_cannot_be_named() -> None:
    class Local(StepScorer):
        pass

    with pytest.raises(ValidationError, match="defined inside a function"):
        LearningProgressConfig(scorer=Local)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("builtins.dict", "not a subclass of"),
        ("os.system", "is a builtin_function_or_method, not a class|is a .*, not a class"),
        ("metta.nowhere.Config", "does not exist"),
        ("1 + 1", "is not a class path"),
    ],
)
def test_only_algorithms_are_made_from_a_class_path(path: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CurriculumConfig.model_validate({"algorithm_config": {"type": path}})


def test_with_session_is_a_copy_on_that_pool() -> None:
    config = CurriculumConfig(algorithm_config=LearningProgressConfig(use_shared_memory=False))
    shared = config.with_session("one-name")
    assert shared.session_id == "one-name"
    assert shared.algorithm.use_shared_memory
    assert config.session_id is None
    assert not config.algorithm.use_shared_memory


def test_without_validation_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="made without validation"):
        _ = CurriculumConfig.model_construct(algorithm_config=None).algorithm


# -- curricula -------------------------------------------------------------------------------------


def test_a_shared_curriculum_travels_as_configuration_and_session(open_curriculum) -> None:
    curriculum = open_curriculum(
        CurriculumConfig(task_generator=RoomGenerator.Config(), num_active_tasks=8)
    )
    assert curriculum.session_id
    data = pickle.dumps(curriculum)
    assert len(data) < 4000
    with pickle.loads(data) as other:
        assert other.session_id == curriculum.session_id
        task = other.get_task()
        task.complete(0.5)
        assert curriculum.stats()["num_completed"] == 1
        assert without_times(other.get_state()) == without_times(curriculum.get_state())
        again = pickle.loads(pickle.dumps(task))
        assert again.task_id == task.task_id
        again.complete(1.0)
        assert curriculum.stats()["num_completed"] == 2


def test_a_local_curriculum_does_not_travel(open_curriculum) -> None:
    curriculum = open_curriculum(DiscreteRandomConfig(use_shared_memory=False))
    with pytest.raises(
        TypeError, match="local memory cannot be sent to another process: use_shared_memory=True"
    ):
        pickle.dumps(curriculum)


def test_nor_does_one_with_an_algorithm_object(open_curriculum, session_id: str) -> None:
    hypers = LearningProgressConfig(num_active_tasks=4, session_id=session_id)
    algorithm = LearningProgressAlgorithm(4, hypers, scorer=StepScorer(hypers))
    curriculum = open_curriculum(hypers, algorithm=algorithm)
    assert curriculum.session_id == session_id == algorithm.task_tracker.session_id
    with pytest.raises(TypeError, match="give its configuration an algorithm_config"):
        pickle.dumps(curriculum)


def test_two_curricula_without_a_name_have_pools_of_their_own(open_curriculum) -> None:
    one, two = (open_curriculum(DiscreteRandomConfig(num_active_tasks=2)) for _ in range(2))
    assert one.session_id != two.session_id
    one.get_task().complete(1.0)
    assert two.stats()["num_completed"] == 0


@pytest.mark.parametrize("shared", [False, True])
def test_a_copy_of_a_curriculum_is_the_curriculum(open_curriculum, shared: bool) -> None:
    """What copies environments, and their specifications, must not open the pool again."""
    hypers = DiscreteRandomConfig(num_active_tasks=2, use_shared_memory=shared)
    curriculum = open_curriculum(hypers)
    assert copy.deepcopy({"curriculum": curriculum}) == {"curriculum": curriculum}


# -- imports ---------------------------------------------------------------------------------------

WITHOUT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {
"mettagrid", "pufferlib", "torch", "scipy", "pandas", "yaml", "rich", "gymnasium", "pettingzoo",
"stable_baselines3",}:
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

sys.meta_path.insert(0, Blocker())
"""
USE = """
import metta.cogworks.curriculum as module
from metta.cogworks.curriculum import *
config = LearningProgressConfig.default(num_active_tasks=16)
with Curriculum(config) as curriculum:
    for _ in range(50):
        task = curriculum.get_task()
        curriculum.update_task_performance(task._task_id, score=0.75)
    curriculum.stats(), curriculum.explain(task.task_id)
    assert curriculum.stats()["num_completed"] == 50
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_numpy_and_pydantic_are_enough() -> None:
    code = "".join(
        f"\nfrom metta.cogworks.curriculum import {name}"
        for name in sorted(
            set(__import__("metta.cogworks.curriculum", fromlist=["x"]).__all__) - {"CurriculumEnv"}
        )
    )
    star = USE.replace("from metta.cogworks.curriculum import *", code)
    result = run(WITHOUT + star)
    assert result.returncode == 0, result.stderr


def test_importing_does_not_load_what_is_not_needed() -> None:
    result = run(
        "import sys, metta.cogworks.curriculum;"
        "print(sorted({'torch', 'pufferlib', 'mettagrid', 'scipy', 'pandas', 'yaml'} & "
        "set(sys.modules)))"
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_every_name_exists() -> None:
    import metta.cogworks.curriculum as module

    missing: list[Any] = [name for name in module.__all__ if getattr(module, name, None) is None]
    assert missing == []
    assert list(module.__all__) == sorted(module.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Curiculum'"):
        _ = module.Curiculum
    assert isinstance(Curriculum, type)
