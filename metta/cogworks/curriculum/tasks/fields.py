"""Fields of configurations that hold any environment's, or any generator's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    PlainSerializer,
    PlainValidator,
    SerializeAsAny,
    WithJsonSchema,
)

from metta.cogworks.curriculum.tasks.class_paths import (
    class_path,
    refuse_untrusted_types,
    resolve_class,
)
from metta.cogworks.curriculum.tasks.generator import TaskGeneratorConfig
from metta.cogworks.curriculum.tasks.task_config import TaskConfig


def _load(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _load_dump(value)
    if isinstance(value, TaskGeneratorConfig):
        raise ValueError(
            f"{type(value).__qualname__} is a task generator, not an environment; give it as a "
            "child of another"
        )
    if isinstance(value, type) or not isinstance(value, TaskConfig):
        raise ValueError(
            f"{value!r} is a {type(value).__name__}, not an environment configuration; "
            "expected a pydantic model, or an object with model_copy, model_dump and model_validate"
        )
    # Later changes to the caller's object do not reach the generator.
    return value.model_copy(deep=True)


def _load_dump(value: Mapping[str, Any]) -> Any:
    if value.keys() != {"type", "config"}:
        raise ValueError(
            "an environment configuration is an object, or "
            f"{{'type': class path, 'config': fields}}; got the keys {list(value)}"
        )
    cls = resolve_class(value["type"])
    if not issubclass(cls, TaskConfig):
        raise ValueError(
            f"type {value['type']!r} is no configuration: it lacks model_copy, model_dump, "
            "model_validate"
        )
    refuse_untrusted_types(value["config"])  # which mettagrid's configurations would import
    return cls.model_validate(value["config"])


def _dump(env: TaskConfig) -> dict[str, Any]:
    return {"type": class_path(env), "config": env.model_dump(mode="json")}


AnyTaskConfig = Annotated[
    Any,
    PlainValidator(_load),
    PlainSerializer(_dump),
    WithJsonSchema({"type": "object", "required": ["type", "config"]}),
]
"""Annotation of a field for any `TaskConfig`. It is copied, and dumped as `{"type": class path,
"config": fields}`."""


def _of_a_generator(config: TaskGeneratorConfig) -> TaskGeneratorConfig:
    if type(config) is TaskGeneratorConfig:
        raise ValueError(
            "a task generator needs 'type', its class path; without it, this is the configuration "
            "of none"
        )
    return config


AnyTaskGeneratorConfig = Annotated[
    SerializeAsAny[TaskGeneratorConfig], AfterValidator(_of_a_generator)
]
"""Annotation of a field that holds the configuration of any generator, and keeps its class in JSON
and YAML."""
