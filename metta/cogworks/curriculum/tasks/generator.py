"""What all task generators have in common: the base class of their configurations, and their
interface."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from metta.cogworks.curriculum.tasks.class_paths import (
    class_path,
    refuse_untrusted_types,
    resolve_class,
)
from metta.cogworks.curriculum.tasks.family import Family
from metta.cogworks.curriculum.tasks.invariants import TaskInvariantError
from metta.cogworks.curriculum.tasks.nodes import CustomNode, Hooks, Inner, Node, TaskDescription
from metta.cogworks.curriculum.tasks.paths import refuse_overlaps, refuse_overlaps_among
from metta.cogworks.curriculum.tasks.random import TaskRandom
from metta.cogworks.curriculum.tasks.task_config import TConfig
from metta.cogworks.curriculum.tasks.values import BucketValue, NamesByAxis, plain

_HOOKS = ("_generate_task", "_slice_values", "_task_label")


class TaskGeneratorConfig(BaseModel):
    """Base of all generator configurations. A generator's own one is its nested class `Config`.

    Dumps (`model_dump`, `model_dump_json`) carry `"type"`, the class path of the concrete class,
    and `TaskGeneratorConfig.model_validate` makes that class again, one of a user's project
    included if the program has imported it, or trusts it (`trusting`).

    `TaskGeneratorConfig["MazeGenerator"]` is `TaskGeneratorConfig`: the generator may be named, as
    in Metta's own code.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    _generator_class: ClassVar["type[TaskGenerator] | None"] = None
    _curriculum_maker: ClassVar[Callable[..., Any] | None] = None

    label: str | None = Field(
        default=None,
        description="Name of the tasks in statistics; None keeps the label of the child or the "
        "environment.",
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict,
        description="Dotted path -> value, set in every task before the buckets; a new last key is "
        "allowed in a dict.",
    )

    def __class_getitem__(cls, generator: Any) -> Any:
        """The class itself."""
        if isinstance(generator, str | type | TypeVar):
            return cls
        name = cls.__name__
        raise TypeError(
            f'{name}[{generator!r}] names no generator; write {name}["MazeGenerator"] or the class'
        )

    @field_validator("overrides", mode="before")
    @classmethod
    def _plain_overrides(cls, overrides: Any) -> Any:
        if not isinstance(overrides, Mapping):
            raise ValueError(f"overrides are a dict of dotted path -> value, not {overrides!r}")
        for path in overrides:
            if not isinstance(path, str):
                raise ValueError(
                    f"overrides: the path {path!r} is a {type(path).__name__}; write names joined "
                    "by dots, for instance 'game.max_steps'"
                )
        found = {path: plain(value, f"override {path!r}") for path, value in overrides.items()}
        refuse_untrusted_types(found)
        return found

    @model_validator(mode="wrap")
    @classmethod
    def _load_by_type(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if cls is TaskGeneratorConfig and not isinstance(value, TaskGeneratorConfig | Mapping):
            raise ValueError(
                f"{value!r} is a {type(value).__name__}, not a task generator's configuration; "
                "give one such as bucketed(...), or its dump with 'type', its class path"
            )
        if not isinstance(value, Mapping) or "type" not in value:
            fields = cls.model_fields.keys()
            if cls is TaskGeneratorConfig and isinstance(value, Mapping) and value.keys() - fields:
                raise ValueError(
                    f"a task generator needs 'type', its class path; got only {sorted(value)}"
                )
            return handler(value)
        target = resolve_class(value["type"], cls)
        fields = {name: item for name, item in value.items() if name != "type"}
        return handler(fields) if target is cls else target.model_validate(fields)

    @model_serializer(mode="wrap")
    def _dump_with_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"type": class_path(self), **handler(self)}

    @classmethod
    def generator_class(cls) -> "type[TaskGenerator]":
        """The generator that this configuration makes.

        Raises:
            TypeError: the class is not nested in a generator.
        """
        if cls._generator_class is None:
            raise TypeError(
                f"{cls.__module__}.{cls.__qualname__} belongs to no generator; declare it as "
                "`class Config` inside one"
            )
        return cls._generator_class

    @classmethod
    def owned_by(cls, generator: "type[TaskGenerator]") -> "type[TaskGeneratorConfig]":
        """This class, as the configuration of a generator; a subclass of it where it is another
        generator's already. Called when a generator's class is made."""
        if "_generator_class" in cls.__dict__:
            name = f"{generator.__qualname__}.Config"
            namespace = {"__module__": generator.__module__, "__qualname__": name}
            return type("Config", (cls,), namespace).owned_by(generator)
        cls._generator_class = generator
        return cls

    def create(self) -> "TaskGenerator":
        """Makes the generator. Paths, values, weights and the consistency of the children are
        checked here.

        Raises:
            ValueError: one of them is wrong; the message names it and what is allowed.
            TypeError: a custom generator makes something that is no configuration.
        """
        generator = self.generator_class()(self)
        generator.reference_invariants()  # builds the base, so that what is wrong with it shows now
        if generator.disagreement:
            raise TaskInvariantError(generator.disagreement)
        return generator

    def to_curriculum(
        self, num_active_tasks: int | None = None, algorithm_config: Any = None
    ) -> Any:
        """A curriculum over these tasks, a
        :class:`~metta.cogworks.curriculum.config.CurriculumConfig`.

        Args:
            num_active_tasks: size of the pool. Default: that of `algorithm_config`, or 1000 (the
                guide's) without one. The pool has at most as many rows as the family has variants.
            algorithm_config: how tasks are chosen; None means uniformly.
        """
        if TaskGeneratorConfig._curriculum_maker is None:
            raise RuntimeError("import metta.cogworks.curriculum before calling to_curriculum()")
        return TaskGeneratorConfig._curriculum_maker(
            task_generator=self,
            num_active_tasks=num_active_tasks,
            algorithm_config=algorithm_config,
        )

    @classmethod
    def curriculum_made_by(cls, maker: Callable[..., Any]) -> None:
        """What :meth:`to_curriculum` calls. A generator does not import what is made of it: the
        module of the curriculum's configuration says so itself."""
        TaskGeneratorConfig._curriculum_maker = maker


class TaskGenerator(ABC, Generic[TConfig]):
    """Makes environment configurations from task ids.

    A custom generator implements `_generate_task`, and nests its configuration:

        class MazeGenerator(TaskGenerator):
            class Config(TaskGeneratorConfig):
                largest: int = 20

            def _generate_task(self, task_id, rng):
                return MazeConfig(size=rng.randint(3, self.config.largest))

    `MazeGenerator.Config(largest=9).create()` makes it, and so does the JSON of that configuration.
    Let its tests inherit the project's `GeneratorContract`.
    """

    Config: ClassVar[type[TaskGeneratorConfig]] = TaskGeneratorConfig
    disagreement: str = ""  # of the children in what all tasks must have, which create() refuses

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.Config = cls.Config.owned_by(cls)

    def __init__(
        self,
        config: TaskGeneratorConfig,
        children: "Sequence[TaskGenerator]" = (),
        axis_values: Mapping[str, list[BucketValue]] | None = None,
    ) -> None:
        """What a generator's own `__init__` calls.

        Args:
            config: the configuration that made it.
            children: the generators that it wraps.
            axis_values: the values and `Span`s of each axis that `_slice_values` tells of, for
                `axes` and `slice_key`.

        Raises:
            TypeError: `config` is not the generator's own configuration.
        """
        self.check_config(config)
        self.config: Any = config
        buckets = axis_values or {}
        inner = {axis for child in children for axis in child.axes}
        refuse_overlaps("bucket", buckets, "bucket of a child", sorted(inner))
        refuse_overlaps("override", config.overrides, "bucket of a child", sorted(inner))
        refuse_overlaps_among("override", list(config.overrides))
        self.axis_values: dict[str, list[BucketValue]] = {}
        """The values and `Span`s of each axis, those of nested generators too."""
        for child in children:
            for axis, values in child.axis_values.items():
                self.axis_values.setdefault(axis, []).extend(values)
        self.axis_values.update(buckets)
        self._slice_names = NamesByAxis(self.axis_values)

    @classmethod
    def check_config(cls, config: Any) -> None:
        """Raises TypeError if `config` is not one of this generator."""
        if not isinstance(config, cls.Config):
            raise TypeError(
                f"config={config!r} is a {type(config).__name__}, not a {cls.__name__}.Config; "
                f"make it with {cls.__name__}.Config(...)"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.config,)  # a generator is its configuration

    # -- what a generator implements

    @abstractmethod
    def _generate_task(self, task_id: int, rng: TaskRandom) -> TConfig:
        """A new configuration for the task, sharing no mutable object with any other.

        Args:
            task_id: from 0 to 2^53 − 1.
            rng: random numbers of this task and this generator. Draw from nothing else.
        """

    def _slice_values(self, task_id: int, rng: TaskRandom) -> dict[str, Any]:
        """What distinguishes the task, axis -> value, without building it. Optional; by default
        nothing.

        Its axes are those that `__init__` got as `axis_values`.
        """
        return {}

    def _task_label(self, task_id: int, rng: TaskRandom) -> str | None:
        """The label of the task, without building it. Optional; None, the default, is the label of
        task 0."""
        return None

    def _make_node(self) -> Node:
        """How tasks are made: by the three methods above."""
        return self._custom_node(self.config.label, self.config.overrides)

    # -- for the generators of this package

    def _custom_node(
        self, label: str | None, overrides: Mapping[str, Any], inner: Inner | None = None
    ) -> Node:
        hooks = Hooks(
            type(self).__name__, self._generate_task, self._slice_values, self._task_label
        )
        return CustomNode(label, overrides, hooks, inner)

    def _is_derived_from(self, builtin: "type[TaskGenerator]") -> bool:
        """Whether one of the three methods is not that of `builtin`."""
        return any(getattr(type(self), name) is not getattr(builtin, name) for name in _HOOKS)

    @functools.cached_property
    def node(self) -> Node:
        """How tasks are made, for the generators around this one. Made on first use, because a
        custom generator's `_generate_task` may need what its `__init__` sets up."""
        return self._make_node()

    @functools.cached_property
    def _family(self) -> Family:
        return Family(self.node)

    # -- the interface

    @property
    def axes(self) -> tuple[str, ...]:
        """The bucket paths, those of nested generators too."""
        return tuple(self.axis_values)

    @property
    def num_variants(self) -> int | None:
        """How many tasks there are: ids from 0 to `num_variants` − 1 are one each.

        None where they cannot be counted, because of a `Span` or a custom generator, or are more
        than 2^53: then an id's values are drawn at random, and may be those of another id.
        """
        return self._family.num_variants

    @property
    def is_uniform(self) -> bool:
        """Whether `sampling_weight` is 1 for every task."""
        return self.num_variants is None or self.node.is_uniform

    def sampling_weight(self, task_id: int) -> float:
        """How much more often than the mean task the task is meant to be drawn: by the weights of
        the sets, and by values that a bucket lists more than once. The mean over all tasks is 1.

        1 where `num_variants` is None: there the weights decide how many ids a task has.

        Raises:
            ValueError: `task_id` cannot be one.
        """
        return self._family.sampling_weight(task_id)

    def find(self, label: str | None, slice_values: Mapping[str, Any]) -> int | None:
        """The id of a task by what `describe` tells of it, or None if there is none: the inverse,
        also for descriptions by another generator. Of several, any.

        Args:
            label: None is any.
            slice_values: the value of every axis of the task, and nothing else.

        Raises:
            ValueError: the tasks of this generator cannot be counted.
        """
        return self._family.find(label, slice_values)

    def reference_invariants(self) -> dict[str, Any]:
        """The quantities that every task must have (`read_invariants`): those of the base with the
        overrides.

        The base of a custom generator is its task 0.
        """
        return dict(self.node.own.invariants)

    def get_task(self, task_id: int) -> TConfig:
        """Builds the configuration of a task. Each call returns a new object that shares no mutable
        state with another.

        Raises:
            ValueError: `task_id` cannot be one.
            TaskInvariantError: the task differs from the reference in agents, resources or actions.
        """
        return self._family.build(task_id)

    def describe(self, task_id: int) -> TaskDescription:
        """Label and slice values of a task, without building its configuration.

        Raises:
            ValueError: `task_id` cannot be one.
        """
        key = self._family.key(task_id)
        return TaskDescription(self.node.label(key), self.node.values(key))

    def get_label(self, task_id: int) -> str:
        """The label of a task."""
        return self.node.label(self._family.key(task_id))

    def get_bucket_values(self, task_id: int) -> dict[str, Any]:
        """The value of each axis for a task: a dict of its own."""
        return self.node.values(self._family.key(task_id))

    def variant(self, task_id: int) -> Hashable:
        """Tasks of one generator with equal variants have equal configurations, label included.
        Costs no building.

        Of a custom generator, each task is a variant of its own.

        Raises:
            ValueError: `task_id` cannot be one.
        """
        return self._family.key(task_id)

    def slice_key(self, axis: str, value: Any) -> str:
        """The name of a slice in statistics: `"game.num_plants_5"`; for a `Span` an interval:
        `"game.x=[0, 2.5)"`.

        A span has four intervals; an integer span of at most four values counts as a list of them.
        """
        return self._slice_names[axis].of(value)

    def slice_keys(self, task_id: int) -> tuple[tuple[str, str], ...]:
        """`(axis, slice_key)` of a task, for each axis that it has."""
        values = self.get_bucket_values(task_id)
        return tuple((axis, self.slice_key(axis, value)) for axis, value in values.items())
