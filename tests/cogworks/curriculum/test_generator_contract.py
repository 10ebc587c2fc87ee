"""Every generator of the project passes the contract, on configurations with and without
mettagrid."""

import pytest
from mettagrid.builder.envs import make_arena, make_navigation

from metta.cogworks.curriculum.task_generator import (
    BucketedTaskGenerator,
    SingleTaskGenerator,
    Span,
    TaskGeneratorConfig,
    bucketed,
    merge,
    single_task,
)
from tests.cogworks.curriculum.generator_contract import GeneratorContract
from tests.cogworks.curriculum.generator_examples import (
    FrozenRoom,
    MinimalGenerator,
    PlainConfig,
    Room,
    RoomGenerator,
    Unlabelled,
)


def room_buckets() -> BucketedTaskGenerator.Config:
    return (
        bucketed(Room())
        .add_bucket("game.num_plants", [1, 5, 9])
        .add_bucket("game.density", Span(0.25, 0.75))
        .add_bucket("game.colour", ["red", "blue"])
        .add_bucket("game.objects.0.tags", [["a"], ["b", "c"], []])
        .add_bucket("game.agent.limits.bag", [{"count": 1}, {"count": 2, "tags": ["x"]}])
        .add_bucket("game.daytime", [True, False])
        .add_bucket("game.high", [10, Span(20, 90)])
    )


class TestSingle(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        return SingleTaskGenerator.Config(
            env=Room(), label="only", overrides={"game.agent.rewards.gold": 2}
        )


class TestBucketed(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        return room_buckets()


class TestNestedSet(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        inner = merge(
            [room_buckets(), Room(label="other"), RoomGenerator.Config(largest=8)],
            weights=[2, 0.5, 1],
        )
        inner.overrides["game.anything"] = {"note": ["shared?"]}
        return bucketed(inner, {"game.even": [0, 2, 4], "game.low": Span(0, 3)})


class TestCustom(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        return RoomGenerator.Config(largest=50)


class TestMinimal(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        return MinimalGenerator.Config(label="mine", overrides={"game.num_plants": 4})


class TestFrozenModel(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        return bucketed(FrozenRoom(), {"size": Span(1, 1000)})


class TestExtraFields(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        return bucketed(
            Unlabelled.model_validate({"depth": {"a": 1}}),
            {"depth": [{"a": 2}, {"b": 3}], "size": [1, 2]},
        )


class TestNotPydantic(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        return bucketed(PlainConfig(), {"size": [1, 2, 3], "walls.1": [5, 6]})


class TestArena(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        return (
            BucketedTaskGenerator.Config.from_mg(make_arena(num_agents=24))
            .add_bucket("game.max_steps", [100, 500, 1000])
            .add_bucket("game.map_builder.width", Span(20, 40))
            .add_bucket("game.map_builder.instance.objects.wall", [5, 10, 20])
            .add_bucket("game.agent.inventory.limits.heart.base", [1, 255])
        )


class TestMettagridSet(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        navigation = make_navigation(num_agents=4)
        sparse = single_task(navigation)
        sparse.label = "sparse"
        return merge([bucketed(navigation, {"game.map_builder.width": [8, 16]}), sparse])
