"""The functions that make configurations in one line."""

import pytest
from mettagrid.builder.envs import make_navigation

from metta.cogworks.curriculum import LearningProgressConfig
from metta.cogworks.curriculum.task_generator import (
    BucketedTaskGenerator,
    SingleTaskGenerator,
    TaskGeneratorSet,
    bucketed,
    env_curriculum,
    merge,
    single_task,
)
from tests.cogworks.curriculum.generator_examples import Room


def test_single_task():
    config = single_task(Room(label="mine"))
    assert type(config) is SingleTaskGenerator.Config
    assert config.create().get_task(0) == Room(label="mine")


def test_the_environment_is_copied():
    room = Room()
    config = single_task(room)
    room.game.num_plants = 77
    assert config.create().get_task(0).game.num_plants == 1


def test_bucketed_environment_and_generator():
    config = bucketed(Room(), {"game.num_plants": [1, 2]})
    assert type(config) is BucketedTaskGenerator.Config
    outer = bucketed(config).add_bucket("game.daytime", [True, False]).create()
    assert outer.axes == ("game.num_plants", "game.daytime")


def test_merge():
    config = merge([Room(label="a"), single_task(Room(label="b"))], weights=[1, 3])
    assert type(config) is TaskGeneratorSet.Config
    assert config.weights == [1.0, 3.0]
    generator = config.create()
    weights = {generator.get_label(i): generator.sampling_weight(i) for i in range(2)}
    assert weights == {"a": 0.5, "b": 1.5}


def test_merge_without_weights_is_uniform():
    assert merge([Room(), Room(), Room()]).weights == [1.0, 1.0, 1.0]


def test_from_mg_and_from_env():
    env = make_navigation(num_agents=4)
    for config_class in (SingleTaskGenerator.Config, BucketedTaskGenerator.Config):
        assert config_class.from_mg(env) == config_class.from_env(env)
        assert config_class.from_mg(env).create().get_task(0) == env


def test_env_curriculum():
    config = env_curriculum(make_navigation(num_agents=4))
    assert config.num_active_tasks == 1000
    assert config.task_generator == single_task(make_navigation(num_agents=4))


def test_to_curriculum_keeps_the_pool_size_of_the_algorithm():
    config = single_task(Room()).to_curriculum(
        algorithm_config=LearningProgressConfig.default(num_active_tasks=64)
    )
    with config.make() as curriculum:
        assert curriculum.config.num_active_tasks == 64
        assert curriculum.stats()["num_active_tasks"] == 1  # there is one task


@pytest.mark.parametrize("num_active_tasks", [None, 32])
def test_to_curriculum(num_active_tasks: int | None):
    config = bucketed(Room(), {"game.num_plants": [1, 2]}).to_curriculum(num_active_tasks)
    assert config.num_active_tasks == (num_active_tasks or 1000)
    assert type(config).model_validate_json(config.model_dump_json()) == config
