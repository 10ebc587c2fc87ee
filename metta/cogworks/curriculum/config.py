"""A curriculum as plain data."""

from __future__ import annotations

import json
import logging
import multiprocessing
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Generic, Self

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, model_validator

from metta.cogworks.curriculum.algorithm import (
    CurriculumAlgorithm,
    CurriculumAlgorithmConfig,
    DiscreteRandomConfig,
)
from metta.cogworks.curriculum.older.fields import curriculum_fields
from metta.cogworks.curriculum.strict_config import StrictConfig
from metta.cogworks.curriculum.tasks.class_paths import class_path, resolve_class
from metta.cogworks.curriculum.tasks.fields import AnyTaskGeneratorConfig
from metta.cogworks.curriculum.tasks.generator import TaskGenerator, TaskGeneratorConfig
from metta.cogworks.curriculum.tasks.inputs import MAX_SIZE, instance, text
from metta.cogworks.curriculum.tasks.items import FOR_IDENTITY
from metta.cogworks.curriculum.tasks.task_config import TConfig

_LOG = logging.getLogger(__name__)

DEFAULT_NUM_IDS = 1_000_000
"""Of a family of tasks that cannot be counted: the guide's."""


def _load_algorithm(value: Any) -> Any:
    if isinstance(value, dict):
        if not isinstance(value.get("type"), str):
            raise ValueError(
                f"algorithm_config={value!r:.60} does not say what it configures: give its class "
                "path as 'type', or an object such as LearningProgressConfig()"
            )
        data = dict(value)
        return resolve_class(data.pop("type"), CurriculumAlgorithmConfig).model_validate(data)
    return value


def _dump_algorithm(config: CurriculumAlgorithmConfig | None) -> Any:
    return (
        None if config is None else {"type": class_path(config), **config.model_dump(mode="json")}
    )


AnyAlgorithmConfig = Annotated[
    CurriculumAlgorithmConfig, BeforeValidator(_load_algorithm), PlainSerializer(_dump_algorithm)
]


class CurriculumConfig(StrictConfig, Generic[TConfig]):
    """A curriculum as plain data: what tasks there are, and how they are chosen.

    Round trips through JSON and YAML; algorithm and generator are written with their class paths.
    """

    @classmethod
    def __class_getitem__(cls, config: Any) -> Any:
        """The class itself: for type checkers, ``CurriculumConfig[Maze]`` says what tasks
        configure."""
        return cls

    _maker: ClassVar[Callable[[CurriculumConfig], Any] | None] = None

    task_generator: AnyTaskGeneratorConfig | None = Field(
        default=None,
        description="makes the environment of a task id; None: the environment is the id itself",
    )
    max_task_id: int | None = Field(
        default=None,
        ge=1,
        le=2**53,
        description="task ids are drawn from 0 to max_task_id - 1; None: as many as the family of "
        "tasks has variants, or 1,000,000 where they cannot be counted",
    )
    num_active_tasks: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SIZE,
        exclude=True,  # it is written once, in the algorithm's configuration
        description="capacity of the pool; None: the algorithm's. The pool has at most as many "
        "rows as there are task ids",
    )
    algorithm_config: AnyAlgorithmConfig | None = Field(
        default=None, description="None: uniform sampling"
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="of the draws of tasks; what a task id means does not depend on it",
    )

    @model_validator(mode="before")
    @classmethod
    def _older_fields(cls, data: Any) -> Any:
        return curriculum_fields(cls.__name__, cls.model_fields, data)

    @model_validator(mode="after")
    def _one_capacity(self) -> Self:
        algorithm, own = self.algorithm_config, self.num_active_tasks
        if algorithm is None:
            algorithm = DiscreteRandomConfig()
        if own is None:
            self.model_fields_set.discard("num_active_tasks")  # None is as good as nothing
        if own is not None and own != algorithm.num_active_tasks:
            if "num_active_tasks" in algorithm.model_fields_set:
                raise ValueError(
                    f"num_active_tasks={own} here and {algorithm.num_active_tasks} in "
                    "algorithm_config: give it once"
                )
            algorithm = algorithm.model_copy(update={"num_active_tasks": own})
            algorithm.model_fields_set.discard(
                "num_active_tasks"
            )  # it is given here, and may be given anew
        # Past validate_assignment, which would call this again.
        object.__setattr__(self, "algorithm_config", algorithm)
        object.__setattr__(self, "num_active_tasks", algorithm.num_active_tasks)
        return self

    @property
    def has_given_capacity(self) -> bool:
        """Whether ``num_active_tasks`` was given, here or in the algorithm's configuration."""
        given = self.model_fields_set | self.algorithm.model_fields_set
        return "num_active_tasks" in given

    def num_ids(self, generator: TaskGenerator[Any] | None) -> int:
        """How many task ids there are.

        Args:
            generator: what ``task_generator`` makes.

        Raises:
            ValueError: ``max_task_id`` is more than the generator has tasks.
        """
        variants = None if generator is None else generator.num_variants
        if self.max_task_id is None:
            return DEFAULT_NUM_IDS if variants is None else variants
        if variants is not None and self.max_task_id > variants:
            raise ValueError(
                f"max_task_id={self.max_task_id} is more than the task generator has tasks: its "
                f"num_variants is {variants}. Leave max_task_id out, or give at most {variants}"
            )
        return self.max_task_id

    def capacity(self, num_ids: int) -> int:
        """How many tasks the pool holds at most, of so many ids. Logs a warning, once for all
        processes of a run, where that is less than what was given."""
        given = self.algorithm.num_active_tasks
        capacity = min(given, num_ids)
        is_worker = multiprocessing.parent_process() is not None
        if capacity < given and self.has_given_capacity and not is_worker:
            _LOG.warning(
                "num_active_tasks=%d is more than there are tasks: the pool holds all %d",
                given,
                capacity,
            )
        return capacity

    @property
    def algorithm(self) -> CurriculumAlgorithmConfig:
        """The algorithm's configuration; uniform sampling if none was given."""
        if self.algorithm_config is None:
            raise RuntimeError(
                "this configuration was made without validation: use "
                "CurriculumConfig.model_validate"
            )
        return self.algorithm_config

    @property
    def session_id(self) -> str | None:
        """Name of the shared pool, or None if a new one is made or the pool is not shared."""
        return self.algorithm.session_id if self.algorithm.use_shared_memory else None

    def with_session(self, session_id: str) -> CurriculumConfig:
        """The same curriculum on the pool shared under that name."""
        text("session_id", session_id)
        algorithm = self.algorithm.model_copy(
            update={"session_id": session_id, "use_shared_memory": True}
        )
        return self.model_copy(update={"algorithm_config": algorithm})

    def identity(self) -> dict[str, Any]:
        """What must be equal in all processes that share a pool, and in one that is saved and
        loaded: what gives its numbers their meaning. Plain data."""
        algorithm = self.algorithm
        return {
            "algorithm": {
                "type": f"{type(algorithm).__module__}.{type(algorithm).__qualname__}",
                **_plain(algorithm, exclude=_WITHOUT_MEANING),
            },
            "max_task_id": self.max_task_id,
            "task_generator": None if self.task_generator is None else _plain(self.task_generator),
        }

    def make(self) -> Any:
        """The curriculum, a :class:`~metta.cogworks.curriculum.curriculum.Curriculum`."""
        if CurriculumConfig._maker is None:
            raise RuntimeError("import metta.cogworks.curriculum before calling make()")
        return CurriculumConfig._maker(self)

    @classmethod
    def made_by(cls, maker: Callable[[CurriculumConfig], Any]) -> None:
        """What :meth:`make` calls. A configuration does not import what it configures: the
        curriculum's module says so itself."""
        cls._maker = maker


def checked_config(
    config: Any, seed: int | None, algorithm: CurriculumAlgorithm | None
) -> CurriculumConfig:
    """What a curriculum is made of: the configuration, also where it is given as its algorithm's
    alone, with the seed where one is given.

    Raises:
        TypeError: one of them is of the wrong kind.
        ValueError: the seed cannot be one.
    """
    if isinstance(config, CurriculumAlgorithmConfig):
        config = CurriculumConfig(algorithm_config=config)
    way_out = "give one, or an algorithm's configuration such as LearningProgressConfig"
    instance("config", config, CurriculumConfig, way_out)
    if algorithm is not None:
        way_out = "give one, or None for the configured one"
        instance("algorithm", algorithm, CurriculumAlgorithm, way_out)
    if seed is None:
        return config
    return CurriculumConfig.model_validate({**dict(config), "seed": seed})


def _to_curriculum(
    task_generator: TaskGeneratorConfig,
    num_active_tasks: int | None,
    algorithm_config: CurriculumAlgorithmConfig | None,
) -> CurriculumConfig:
    return CurriculumConfig(
        task_generator=task_generator,
        num_active_tasks=num_active_tasks,
        algorithm_config=algorithm_config,
    )


TaskGeneratorConfig.curriculum_made_by(_to_curriculum)

_WITHOUT_MEANING = {
    "num_active_tasks",
    "max_regions",  # the regions that follow from it are part of the identity
    "use_shared_memory",
    "session_id",
    "enable_detailed_slice_logging",
    "completion_history_size",
    "max_slice_axes",
    "task_struct_size",
    "lock_timeout_seconds",
}
"""Fields of an algorithm that another process of the session may set as it likes, or that the
layout of the pool says already."""


def _plain(config: BaseModel, exclude: set[str] | None = None) -> dict[str, Any]:
    try:
        return json.loads(config.model_dump_json(exclude=exclude, context=FOR_IDENTITY))
    except (ValueError, TypeError) as error:
        first = error
    try:
        config.model_dump_json(exclude=exclude, context=FOR_IDENTITY)
    except (ValueError, TypeError):
        # something in it has no form in JSON, such as a local class
        return {"type": type(config).__qualname__, "fields": repr(config)}
    # It has, and was interrupted: pydantic makes a ValueError of whatever a serializer raises.
    raise KeyboardInterrupt from first
