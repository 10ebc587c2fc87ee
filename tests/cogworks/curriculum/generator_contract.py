"""What every task generator promises. A project's own generator passes it too:

class TestMazeGenerator(GeneratorContract):
    @pytest.fixture
    def config(self):
        return MazeGenerator.Config(largest=9)
"""

import dataclasses
import json
from typing import Any

import pytest
from pydantic import BaseModel

from metta.cogworks.curriculum.task_generator import TaskGeneratorConfig, TaskInvariantError

TASK_IDS = [0, 1, 2, 7, 99, 12345, 2**31, 2**53 - 1]


def mutable_parts(value: Any) -> dict[int, Any]:
    """Every mutable object inside `value`, by identity."""
    found: dict[int, Any] = {}

    def visit(item: Any) -> None:
        frozen = dataclasses.is_dataclass(item) and type(item).__dataclass_params__.frozen
        if isinstance(item, BaseModel | dict | list | set):
            found[id(item)] = item
        if isinstance(item, dict):
            children = list(item.values())
        elif isinstance(item, list | tuple | set):
            children = list(item)
        else:
            children = (
                []
                if frozen or isinstance(item, type)
                else list(getattr(item, "__dict__", {}).values())
            )
        for child in children:
            visit(child)

    visit(value)
    return found


class GeneratorContract:
    """Inherit, and give a fixture `config`: a generator configuration of which the tasks in
    `TASK_IDS` are valid."""

    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        raise NotImplementedError("a contract test gives a fixture `config`")

    def test_same_task_id_gives_equal_tasks(self, config: TaskGeneratorConfig) -> None:
        forward, backward = config.create(), config.create()
        built = [forward.get_task(task_id).model_dump(mode="json") for task_id in TASK_IDS]
        again = [
            backward.get_task(task_id).model_dump(mode="json") for task_id in reversed(TASK_IDS)
        ]
        assert built == again[::-1]  # in another generator, in another order

    def test_tasks_share_no_mutable_state(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        tasks = [generator.get_task(task_id) for task_id in (3, 3, 4)]
        seen = mutable_parts(config)
        for task in tasks:
            parts = mutable_parts(task)
            assert not parts.keys() & seen.keys()
            seen |= parts

    def test_changing_a_task_changes_no_other(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        before = generator.get_task(5).model_dump(mode="json")
        for container in mutable_parts(generator.get_task(5)).values():
            if isinstance(container, dict | list | set):
                container.clear()
        assert generator.get_task(5).model_dump(mode="json") == before

    def test_describe_agrees_with_the_task(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        for task_id in TASK_IDS:
            label, values = generator.describe(task_id)
            assert label == generator.get_label(task_id)
            assert isinstance(label, str)
            assert values == generator.get_bucket_values(task_id)
            assert set(values) <= set(generator.axes)
            task = generator.get_task(task_id)
            assert getattr(task, "label", label) == label

    def test_tasks_of_equal_variant_have_equal_configurations(
        self, config: TaskGeneratorConfig
    ) -> None:
        generator = config.create()
        seen: dict[Any, Any] = {}
        for task_id in [*TASK_IDS, *range(3, 60)]:
            task = generator.get_task(task_id).model_dump(mode="json")
            assert seen.setdefault(generator.variant(task_id), task) == task
            assert generator.variant(task_id) == generator.variant(task_id)

    def test_slice_values_are_the_callers_own(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        before = json.dumps(generator.describe(1).slice_values)
        values = generator.describe(1).slice_values
        for container in mutable_parts(values).values():
            container.clear()
        assert json.dumps(generator.describe(1).slice_values) == before

    def test_slice_keys_name_each_axis(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        for task_id in TASK_IDS:
            values = generator.describe(task_id).slice_values
            assert generator.slice_keys(task_id) == tuple(
                (axis, generator.slice_key(axis, value)) for axis, value in values.items()
            )
            assert all(key.startswith(axis) for axis, key in generator.slice_keys(task_id))

    def test_configuration_survives_json(self, config: TaskGeneratorConfig) -> None:
        text = config.model_dump_json()
        loaded = TaskGeneratorConfig.model_validate_json(text)
        assert type(loaded) is type(config)
        assert loaded == config
        assert loaded.model_dump_json() == text
        expected = [
            config.create().get_task(task_id).model_dump(mode="json") for task_id in TASK_IDS
        ]
        assert [
            loaded.create().get_task(task_id).model_dump(mode="json") for task_id in TASK_IDS
        ] == expected

    def test_invalid_task_ids_are_refused(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        for task_id in (-1, 0.5, 2**53, True, float("nan")):
            with pytest.raises(ValueError, match=r"task id .* is not valid: .* from 0 to 2\^53"):
                generator.get_task(task_id)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="task id"):
                generator.describe(task_id)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="task id"):
                generator.variant(task_id)  # type: ignore[arg-type]

    def test_all_tasks_keep_the_invariants(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        try:
            for task_id in TASK_IDS:
                generator.get_task(task_id)
        except TaskInvariantError as error:
            pytest.fail(f"the configuration makes an inconsistent task: {error}")
