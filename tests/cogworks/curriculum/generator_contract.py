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

from metta.cogworks.curriculum.task_generator import (
    TaskGenerator,
    TaskGeneratorConfig,
    TaskInvariantError,
)

TASK_IDS = [0, 1, 2, 7, 99, 12345, 2**31, 2**53 - 1]
SOME = range(3, 60)


def ids_of(generator: TaskGenerator[Any]) -> list[int]:
    """Ids among which an implementation has to prove itself: `TASK_IDS`, as far as there are so
    many tasks."""
    count = generator.num_variants
    return TASK_IDS if count is None else sorted({task_id % count for task_id in TASK_IDS})


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
        ids = ids_of(forward)
        built = [forward.get_task(task_id).model_dump(mode="json") for task_id in ids]
        again = [backward.get_task(task_id).model_dump(mode="json") for task_id in reversed(ids)]
        assert built == again[::-1]  # in another generator, in another order

    def test_tasks_share_no_mutable_state(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        ids = ids_of(generator)
        tasks = [generator.get_task(task_id) for task_id in (ids[-1], ids[-1], ids[0])]
        seen = mutable_parts(config)
        for task in tasks:
            parts = mutable_parts(task)
            assert not parts.keys() & seen.keys()
            seen |= parts

    def test_changing_a_task_changes_no_other(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        task_id = ids_of(generator)[-1]
        before = generator.get_task(task_id).model_dump(mode="json")
        for container in mutable_parts(generator.get_task(task_id)).values():
            if isinstance(container, dict | list | set):
                container.clear()
        assert generator.get_task(task_id).model_dump(mode="json") == before

    def test_describe_agrees_with_the_task(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        for task_id in ids_of(generator):
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
        count = generator.num_variants
        for task_id in [*ids_of(generator), *(SOME if count is None else range(min(60, count)))]:
            task = generator.get_task(task_id).model_dump(mode="json")
            assert seen.setdefault(generator.variant(task_id), task) == task
            assert generator.variant(task_id) == generator.variant(task_id)

    def test_slice_values_are_the_callers_own(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        task_id = ids_of(generator)[-1]
        before = json.dumps(generator.describe(task_id).slice_values)
        values = generator.describe(task_id).slice_values
        for container in mutable_parts(values).values():
            container.clear()
        assert json.dumps(generator.describe(task_id).slice_values) == before

    def test_slice_keys_name_each_axis(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        for task_id in ids_of(generator):
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
        one, other = config.create(), loaded.create()
        assert other.num_variants == one.num_variants
        for task_id in ids_of(one):
            task = other.get_task(task_id).model_dump(mode="json")
            assert task == one.get_task(task_id).model_dump(mode="json")
            assert other.describe(task_id) == one.describe(task_id)
            assert other.sampling_weight(task_id) == one.sampling_weight(task_id)

    def test_ids_are_the_variants_where_they_can_be_counted(
        self, config: TaskGeneratorConfig
    ) -> None:
        generator = config.create()
        count = generator.num_variants
        if count is None:
            assert generator.sampling_weight(2**53 - 1) == 1.0
            return
        ids = range(min(count, 300))
        assert len({generator.variant(task_id) for task_id in ids}) == len(ids)
        for task_id in ids:
            found = generator.find(*generator.describe(task_id))
            assert found is not None
            assert generator.describe(found) == generator.describe(task_id)
        with pytest.raises(ValueError, match=f"num_variants = {count} tasks"):
            generator.get_task(count)

    def test_the_mean_sampling_weight_is_one(self, config: TaskGeneratorConfig) -> None:
        generator = config.create()
        count = generator.num_variants or 1
        if count <= 1000:
            total = sum(generator.sampling_weight(task_id) for task_id in range(count))
            assert total == pytest.approx(count)

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
            for task_id in ids_of(generator):
                generator.get_task(task_id)
        except TaskInvariantError as error:
            pytest.fail(f"the configuration makes an inconsistent task: {error}")
