"""Task generators: a task id becomes an environment configuration.

A task is a pure function of (generator configuration, task id); how its values are drawn stands in
`task_values`.

`describe(task_id)` tells label and bucket values without building anything. `get_task(task_id)`
builds: a private copy of the base (`compile_copier`), the overrides, the bucket values, the label,
and the check of the invariants.
"""

import bisect
import functools
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, NamedTuple, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from metta.cogworks.curriculum.task_config import (
    INVARIANT_PATHS,
    TaskConfig,
    class_path,
    compile_copier,
    locate,
    overlap,
    plain,
    read_invariants,
    read_label,
    resolve_class,
)
from metta.cogworks.curriculum.task_values import (
    Axis,
    BucketValue,
    Setting,
    Span,
    TaskRandom,
    normalise_bucket,
    salt_of,
    task_seed,
)
from metta.cogworks.curriculum.tasks.ids import MAX_TASK_ID, TO_UNIT, mix64, validate_task_id

if TYPE_CHECKING:
    from metta.cogworks.curriculum.curriculum import CurriculumAlgorithmConfig, CurriculumConfig

__all__ = [
    "MAX_TASK_ID",
    "AnyTaskConfig",
    "AnyTaskGeneratorConfig",
    "BucketedTaskGenerator",
    "SingleTaskGenerator",
    "Span",
    "TaskConfig",
    "TaskDescription",
    "TaskGenerator",
    "TaskGeneratorConfig",
    "TaskGeneratorSet",
    "TaskInvariantError",
    "TaskRandom",
    "bucketed",
    "class_path",
    "env_curriculum",
    "merge",
    "mix64",
    "resolve_class",
    "single_task",
    "validate_task_id",
]

TConfig = TypeVar("TConfig", bound=TaskConfig)


class TaskInvariantError(ValueError):
    """A task differs from its generator's base in what must be the same for all: agents, actions,
    resources."""


class TaskDescription(NamedTuple):
    """What is known of a task without building it."""

    label: str
    slice_values: dict[str, Any]  # bucket path -> the value of this task; a dict of its own


# ---------------------------------------------------------------------------------------------- con


def _load_task_config(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.keys() != {"type", "config"}:
            raise ValueError(
                "an environment configuration is an object, or "
                "{'type': class path, 'config': fields}; "
                f"got the keys {list(value)}"
            )
        cls = resolve_class(value["type"])
        if not issubclass(cls, TaskConfig):
            raise ValueError(
                f"type {value['type']!r} is no configuration: it lacks model_copy, model_dump, "
                "model_validate"
            )
        return cls.model_validate(value["config"])
    if isinstance(value, TaskGeneratorConfig):
        raise ValueError(
            f"{class_path(value)} is a task generator, not an environment; give it as a child of "
            "another"
        )
    if isinstance(value, type) or not isinstance(value, TaskConfig):
        raise ValueError(
            f"{value!r} is a {type(value).__name__}, not an environment configuration; "
            "expected a pydantic model, or an object with model_copy, model_dump and model_validate"
        )
    return value.model_copy(
        deep=True
    )  # later changes to the caller's object do not reach the generator


def _dump_task_config(env: TaskConfig) -> dict[str, Any]:
    return {"type": class_path(env), "config": env.model_dump(mode="json")}


AnyTaskConfig = Annotated[
    Any,
    PlainValidator(_load_task_config),
    PlainSerializer(_dump_task_config),
    WithJsonSchema({"type": "object", "required": ["type", "config"]}),
]
"""Annotation of a field for any `TaskConfig`. It is copied, and dumped as `{"type": class path,
"config": fields}`."""


class TaskGeneratorConfig(BaseModel):
    """Base of all generator configurations. A generator's own one is its nested class `Config`.

    Dumps (`model_dump`, `model_dump_json`) carry `"type"`, the class path of the concrete class,
    and `TaskGeneratorConfig.model_validate` makes that class again, one of a user's project
    included.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    _generator_class: ClassVar["type[TaskGenerator] | None"] = None

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

    @field_validator("overrides", mode="before")
    @classmethod
    def _plain_overrides(cls, overrides: Any) -> Any:
        if not isinstance(overrides, Mapping):
            raise ValueError(f"overrides are a dict of dotted path -> value, not {overrides!r}")
        return {path: plain(value, f"override {path!r}") for path, value in overrides.items()}

    @model_validator(mode="wrap")
    @classmethod
    def _load_by_type(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(value, Mapping) or "type" not in value:
            if (
                cls is TaskGeneratorConfig
                and isinstance(value, Mapping)
                and value.keys() - cls.model_fields.keys()
            ):
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

    def create(self) -> "TaskGenerator":
        """Makes the generator. Paths, values, weights and the consistency of the children are
        checked here.

        Raises:
            ValueError: one of them is wrong; the message names it and what is allowed.
        """
        generator = self.generator_class()(self)
        generator.reference_invariants()  # builds the base, so that what is wrong with it shows now
        return generator

    def to_curriculum(
        self,
        num_active_tasks: int | None = None,
        algorithm_config: "CurriculumAlgorithmConfig | None" = None,
    ) -> "CurriculumConfig":
        """A curriculum over these tasks.

        Args:
            num_active_tasks: size of the pool. Default: that of `algorithm_config`, or 1000 (the
                guide's) without one.
            algorithm_config: how tasks are chosen; None means uniformly.
        """
        from metta.cogworks.curriculum.curriculum import CurriculumConfig

        if num_active_tasks is None and algorithm_config is None:
            num_active_tasks = 1000
        return CurriculumConfig(
            task_generator=self,
            num_active_tasks=num_active_tasks,
            algorithm_config=algorithm_config,
        )


AnyTaskGeneratorConfig = SerializeAsAny[TaskGeneratorConfig]
"""Annotation of a field that holds the configuration of any generator, and keeps its class in JSON
and YAML."""


# ---------------------------------------------------------------------------------------------- gen


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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("Config")
        if (
            own is None or own._generator_class is not None
        ):  # inherited or borrowed: a class of its own
            namespace = {"__module__": cls.__module__, "__qualname__": f"{cls.__qualname__}.Config"}
            own = type("Config", (cls.Config,), namespace)
            cls.Config = own
        own._generator_class = cls

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
        """
        self.config: Any = config
        buckets = axis_values or {}
        inner = {axis for child in children for axis in child.axes}
        _refuse_overlaps("bucket", buckets, "bucket of a child", sorted(inner))
        _refuse_overlaps("override", config.overrides, "bucket of a child", sorted(inner))
        _refuse_overlaps_among("override", list(config.overrides))
        self._axis_values: dict[str, list[BucketValue]] = {}
        for child in children:
            for axis, values in child._axis_values.items():
                self._axis_values.setdefault(axis, []).extend(values)
        self._axis_values.update(buckets)

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

    # -- what the generators of this module implement besides, because they have children

    def _variant(self, task_id: int, seed: int) -> Hashable:
        """See `variant`; of a custom generator nothing is known."""
        return task_id

    def _bases(self) -> list[Any]:
        """One configuration of each structure (leaf) that tasks can have, private to the caller."""
        return [self._generate_task(0, TaskRandom(task_seed(0)))]

    def _leaf(self, seed: int) -> int:
        """Which of the bases' structures the task with this seed has."""
        return 0

    def _draw(self, task_id: int, seed: int) -> tuple[str, dict[str, Any]]:
        """Label and slice values of a task."""
        label = (
            self.config.label or self._task_label(task_id, TaskRandom(seed)) or self._prepared.label
        )
        return label, self._slice_values(task_id, TaskRandom(seed))

    # -- the interface

    @property
    def axes(self) -> tuple[str, ...]:
        """The bucket paths, those of nested generators too."""
        return tuple(self._axis_values)

    def reference_invariants(self) -> dict[str, Any]:
        """The quantities that every task must have (`read_invariants`): those of the base with the
        overrides.

        The base of a custom generator is its task 0.
        """
        return dict(self._prepared.invariants)

    def get_task(self, task_id: int) -> TConfig:
        """Builds the configuration of a task. Each call returns a new object that shares no mutable
        state with another.

        Raises:
            ValueError: `task_id` cannot be one.
            TaskInvariantError: the task differs from the reference in agents, resources or actions.
        """
        task_id = validate_task_id(task_id)
        config = self._build(task_id, task_seed(task_id))
        invariants = read_invariants(config)
        if invariants != self._prepared.invariants:
            self._refuse_task(task_id, invariants)
        return config

    def describe(self, task_id: int) -> TaskDescription:
        """Label and slice values of a task, without building its configuration.

        Raises:
            ValueError: `task_id` cannot be one.
        """
        task_id = validate_task_id(task_id)
        return TaskDescription(*self._draw(task_id, task_seed(task_id)))

    def get_label(self, task_id: int) -> str:
        """The label of a task."""
        return self.describe(task_id).label

    def get_bucket_values(self, task_id: int) -> dict[str, Any]:
        """The value of each axis for a task: a dict of its own."""
        return self.describe(task_id).slice_values

    def variant(self, task_id: int) -> Hashable:
        """Tasks of one generator with equal variants have equal configurations, label included.
        Costs no building.

        Of a custom generator, or a subclass of one of this module's, each task is a variant of its
        own.

        Raises:
            ValueError: `task_id` cannot be one.
        """
        task_id = validate_task_id(task_id)
        return self._variant(task_id, task_seed(task_id))

    def slice_key(self, axis: str, value: Any) -> str:
        """The name of a slice in statistics: `"game.num_plants_5"`; for a `Span` an interval:
        `"game.x=[0, 2.5)"`.

        A span has four intervals; an integer span of at most four values counts as a list of them.
        """
        choices = self._axis_values.get(axis, [])
        if isinstance(value, int | float) and not isinstance(value, bool) and value not in choices:
            for span in choices:
                if isinstance(span, Span) and span.has_bins and span.min <= value <= span.max:
                    return f"{axis}={span.bin_name(value)}"
        return f"{axis}_{value}"

    def slice_keys(self, task_id: int) -> tuple[tuple[str, str], ...]:
        """`(axis, slice_key)` of a task, for each axis that it has."""
        return tuple(
            (axis, self.slice_key(axis, value))
            for axis, value in self.describe(task_id).slice_values.items()
        )

    # -- shared by all

    @functools.cached_property
    def _prepared(self) -> "_Prepared":
        """Made on first use, because a custom generator's `_generate_task` may need what its
        `__init__` sets up."""
        bases = self._bases()
        overrides = [_prepare_overrides(base, self.config.overrides) for base in bases]
        if self.config.label is not None:
            for base in bases:
                _set_label(base, self.config.label)
        return _Prepared(
            bases, overrides, read_invariants(bases[0]), self.config.label or _label_of(bases[0])
        )

    def _build(self, task_id: int, seed: int) -> Any:
        config = self._generate_task(task_id, TaskRandom(seed))
        overrides = self._prepared.overrides[self._leaf(seed)]
        for setting in overrides:
            setting.apply(config)
        label = self.config.label or self._task_label(task_id, TaskRandom(seed))
        if label is not None:
            _set_label(config, label)
        return config

    def _refuse_task(self, task_id: int, invariants: dict[str, Any]) -> None:
        label, values = self.describe(task_id)
        expected = self._prepared.invariants
        for quantity in _differences(expected, invariants):
            path = INVARIANT_PATHS[quantity]
            causes = [
                f"bucket {axis}={value!r}" for axis, value in values.items() if overlap(axis, path)
            ]
            raise TaskInvariantError(
                f"task {task_id} ({label}): {quantity} is {_told(invariants, quantity)}, but in "
                "the generator's base "
                f"it is {_told(expected, quantity)}; set by "
                f"{' and '.join(causes) or 'the generator itself'}. "
                f"All tasks of a curriculum need the same {quantity}: leave {path} as it is, or "
                "set it in the overrides"
            )


class _Prepared(NamedTuple):
    bases: list[Any]  # with the overrides; one per leaf
    overrides: list[list[Setting]]  # per leaf
    invariants: dict[str, Any]
    label: str


def _prepare_overrides(base: Any, overrides: Mapping[str, Any]) -> list[Setting]:
    """The overrides, checked against `base` and applied to it."""
    settings = []
    for path, value in overrides.items():
        setting = Setting(locate(base, path, "override"), value, "override")
        setting.apply(base)
        settings.append(setting)
    return settings


def _differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    return [
        quantity for quantity in INVARIANT_PATHS if expected.get(quantity) != found.get(quantity)
    ]


def _told(invariants: dict[str, Any], quantity: str) -> str:
    value = invariants.get(quantity)
    return repr(list(value) if isinstance(value, tuple) else value)


def _label_of(config: Any) -> str:
    """The label of a configuration; the name of its class where it has none."""
    return read_label(config) or type(config).__name__


def _set_label(config: Any, label: str) -> None:
    """Sets the label of a private configuration that has one."""
    if isinstance(config, BaseModel) and "label" in type(config).model_fields:
        vars(config)["label"] = label  # also where the model is frozen
        config.model_fields_set.add("label")
    elif not isinstance(config, BaseModel) and "label" in vars(config):
        config.label = label


def _refuse_overlaps_among(kind: str, paths: list[str]) -> None:
    for index, path in enumerate(paths):
        _refuse_overlaps(kind, [path], kind, paths[index + 1 :])


def _refuse_overlaps(
    kind: str, paths: Iterable[str], other_kind: str, others: Iterable[str]
) -> None:
    for path, other in itertools.product(paths, list(others)):
        if overlap(path, other):
            raise ValueError(
                f"{kind} {path!r} and {other_kind} {other!r} set the same place; remove one of them"
            )


class SingleTaskGenerator(TaskGenerator[TConfig]):
    """Every task is the same configuration."""

    class Config(TaskGeneratorConfig):
        """`env`: the configuration, any `TaskConfig`. It is copied."""

        env: AnyTaskConfig

        @classmethod
        def from_env(cls, env: TaskConfig) -> Self:
            """Configuration for one environment."""
            return cls(env=env)

        @classmethod
        def from_mg(cls, mg_config: TaskConfig) -> Self:
            """`from_env` under the name that mettagrid's users know."""
            return cls(env=mg_config)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._copy = compile_copier(self._prepared.bases[0])  # label and overrides are in it

    def _bases(self) -> list[Any]:
        return [self.config.env.model_copy(deep=True)]

    def _variant(self, task_id: int, seed: int) -> Hashable:
        return 0 if type(self) is SingleTaskGenerator else task_id

    def _build(self, task_id: int, seed: int) -> Any:
        return self._copy()

    def _generate_task(self, task_id: int, rng: TaskRandom) -> TConfig:
        return self._copy()


class BucketedTaskGenerator(TaskGenerator[TConfig]):
    """Varies a child's tasks: each bucket sets one field to one of its values, chosen by the task
    id."""

    class Config(TaskGeneratorConfig):
        """Configuration of a `BucketedTaskGenerator`.

        Buckets are set after the overrides, in their order, so an override may set a whole dict and
        a bucket one of its keys.
        """

        child_generator_config: AnyTaskGeneratorConfig
        buckets: dict[str, list[Any]] = Field(
            default_factory=dict,
            description=(
                "Dotted path -> values: numbers, strings, booleans, None, lists, dicts, or "
                "`Span`s. Each value is "
                "equally likely, a Span in the list counting as one."
            ),
        )

        @field_validator("buckets", mode="before")
        @classmethod
        def _normalise(cls, buckets: Any) -> Any:
            if not isinstance(buckets, Mapping):
                raise ValueError(f"buckets are a dict of dotted path -> values, not {buckets!r}")
            return {path: normalise_bucket(path, values) for path, values in buckets.items()}

        @model_validator(mode="after")
        def _one_setting_per_place(self) -> Self:
            _refuse_overlaps_among("bucket", list(self.buckets))
            for path in self.buckets:
                self._refuse_override_inside(path)
            return self

        def _refuse_override_inside(self, path: str) -> None:
            inside = [
                override
                for override in self.overrides
                if override == path or override.startswith(path + ".")
            ]
            _refuse_overlaps("bucket", [path], "override", inside)

        def add_bucket(self, path: str, values: Any) -> Self:
            """Adds a bucket: a list of values, or a `Span`. Returns this configuration, so that
            calls can be chained.

            Raises:
                ValueError: the bucket is empty, or another sets the same place.
            """
            values = normalise_bucket(path, values)
            _refuse_overlaps("bucket", [path], "bucket", self.buckets)
            self._refuse_override_inside(path)
            self.buckets[path] = values
            return self

        @classmethod
        def from_env(cls, env: TaskConfig) -> Self:
            """Configuration that varies one environment; buckets are added with `add_bucket`."""
            return cls(child_generator_config=SingleTaskGenerator.Config(env=env))

        @classmethod
        def from_mg(cls, mg_config: TaskConfig) -> Self:
            """`from_env` under the name that mettagrid's users know."""
            return cls.from_env(mg_config)

    def __init__(self, config: Config) -> None:
        self._child = config.child_generator_config.create()
        self._child_salt = salt_of("child/0")
        super().__init__(config, [self._child], config.buckets)
        bases = self._prepared.bases
        self._has_one_leaf = len(bases) == 1
        self._axes = [Axis(path, values, bases) for path, values in config.buckets.items()]

    def _bases(self) -> list[Any]:
        return [base.model_copy(deep=True) for base in self._child._prepared.bases]

    def _leaf(self, seed: int) -> int:
        return 0 if self._has_one_leaf else self._child._leaf(mix64(seed ^ self._child_salt))

    def _draw(self, task_id: int, seed: int) -> tuple[str, dict[str, Any]]:
        label, values = self._child._draw(task_id, mix64(seed ^ self._child_salt))
        leaf = self._leaf(seed)
        for axis in self._axes:
            if axis.is_simple:  # axis.tell(seed, leaf) without the call
                values[axis.path] = axis.told[leaf][mix64(seed ^ axis.salt) * axis.size >> 64]
            else:
                values[axis.path] = axis.tell(seed, leaf)
        return self.config.label or label, values

    def _variant(self, task_id: int, seed: int) -> Hashable:
        if type(self) is not BucketedTaskGenerator:
            return task_id
        leaf = self._leaf(seed)
        child = self._child._variant(task_id, mix64(seed ^ self._child_salt))
        return child, *[axis.variant(seed, leaf) for axis in self._axes]

    def _build(self, task_id: int, seed: int) -> Any:
        config = super()._build(task_id, seed)
        leaf = self._leaf(seed)
        for axis in self._axes:
            axis.apply(config, seed, leaf)
        return config

    def _generate_task(self, task_id: int, rng: TaskRandom) -> TConfig:
        return self._child._build(task_id, mix64(rng.seed ^ self._child_salt))


class TaskGeneratorSet(TaskGenerator[TConfig]):
    """Each task is one of the children's, chosen by the task id in proportion to the weights."""

    class Config(TaskGeneratorConfig):
        """Configuration of a `TaskGeneratorSet`. Children are listed here or added one by one with
        `add`."""

        task_generators: list[AnyTaskGeneratorConfig] = Field(default_factory=list)
        weights: list[float] = Field(
            default_factory=list,
            description="One number >= 0 per generator, in their order; they need not sum to 1. "
            "Default: all 1.",
        )

        @field_validator("task_generators")
        @classmethod
        def _some_generator(
            cls, generators: list[TaskGeneratorConfig]
        ) -> list[TaskGeneratorConfig]:
            if not generators:
                raise ValueError(
                    "task_generators is empty; list at least one generator, or leave it out and "
                    "call add()"
                )
            return generators

        @model_validator(mode="after")
        def _weights_match(self) -> Self:
            if "weights" not in self.model_fields_set:
                self.weights = [1.0] * len(self.task_generators)
            _check_weights(self.weights, len(self.task_generators))
            return self

        def add(self, generator: TaskGeneratorConfig, weight: float = 1.0) -> Self:
            """Adds a child. Returns this configuration, so that calls can be chained.

            Raises:
                ValueError: the weight is negative or not finite.
            """
            weights = [*self.weights, float(weight)]
            _check_weights(weights, len(self.task_generators) + 1)
            self.task_generators.append(generator)
            self.weights = weights
            return self

    def __init__(self, config: Config) -> None:
        if not config.task_generators:
            raise ValueError(
                "task_generators is empty; give the TaskGeneratorSet at least one generator with "
                "add()"
            )
        _check_weights(config.weights, len(config.task_generators))
        self._children = [generator.create() for generator in config.task_generators]
        self._child_salts = [salt_of(f"child/{index}") for index in range(len(self._children))]
        self._choice_salt = salt_of("choice")
        self._cumulative = list(itertools.accumulate(config.weights))
        super().__init__(config, self._children)
        self._check_children()
        leaves = [len(child._prepared.bases) for child in self._children]
        self._first_leaf = [0, *itertools.accumulate(leaves)]

    def _check_children(self) -> None:
        expected = (
            self._prepared.invariants
        )  # this set's overrides are in it, so compare with the bases
        bases = iter(self._prepared.bases)
        for index, child in enumerate(self._children):
            for base in itertools.islice(bases, len(child._prepared.bases)):
                found = read_invariants(base)
                for quantity in _differences(expected, found):
                    path = INVARIANT_PATHS[quantity]
                    causes = [
                        f"override {o}={v!r}"
                        for o, v in child.config.overrides.items()
                        if overlap(o, path)
                    ]
                    cause = f", set by {' and '.join(causes)}" if causes else ""
                    raise TaskInvariantError(
                        f"the children of a TaskGeneratorSet disagree on {quantity}: child 0 "
                        f"({self._children[0]._prepared.label}) has {_told(expected, quantity)}, "
                        f"child {index} "
                        f"({child._prepared.label}) has {_told(found, quantity)}{cause}; all tasks "
                        "of a curriculum "
                        f"need the same {quantity}: make {path} equal"
                    )

    def _bases(self) -> list[Any]:
        return [
            base.model_copy(deep=True) for child in self._children for base in child._prepared.bases
        ]

    def _choose(self, seed: int) -> int:
        point = (mix64(seed ^ self._choice_salt) >> 11) * TO_UNIT * self._cumulative[-1]
        return bisect.bisect_right(self._cumulative, point)

    def _leaf(self, seed: int) -> int:
        index = self._choose(seed)
        return self._first_leaf[index] + self._children[index]._leaf(
            mix64(seed ^ self._child_salts[index])
        )

    def _draw(self, task_id: int, seed: int) -> tuple[str, dict[str, Any]]:
        index = self._choose(seed)
        label, values = self._children[index]._draw(task_id, mix64(seed ^ self._child_salts[index]))
        return self.config.label or label, values

    def _variant(self, task_id: int, seed: int) -> Hashable:
        if type(self) is not TaskGeneratorSet:
            return task_id
        index = self._choose(seed)
        return index, self._children[index]._variant(
            task_id, mix64(seed ^ self._child_salts[index])
        )

    def _generate_task(self, task_id: int, rng: TaskRandom) -> TConfig:
        index = self._choose(rng.seed)
        return self._children[index]._build(task_id, mix64(rng.seed ^ self._child_salts[index]))


def _check_weights(weights: Sequence[float], count: int) -> None:
    if len(weights) != count:
        raise ValueError(
            f"weights has {len(weights)} entries for {count} task generators; give one weight per "
            "generator"
        )
    for index, weight in enumerate(weights):
        if not math.isfinite(weight) or weight < 0:
            raise ValueError(
                f"weights[{index}] is {weight!r}; weights are finite numbers above or equal to 0"
            )
    if weights and not sum(weights) > 0:
        raise ValueError(f"weights {list(weights)!r} are all 0; at least one must be above 0")


# ---------------------------------------------------------------------------------------------- hel


def _generator_config(config: Any) -> TaskGeneratorConfig:
    return (
        config
        if isinstance(config, TaskGeneratorConfig)
        else SingleTaskGenerator.Config(env=config)
    )


def single_task(env_config: TaskConfig) -> SingleTaskGenerator.Config:
    """Generator configuration whose every task is `env_config`."""
    return SingleTaskGenerator.Config(env=env_config)


def bucketed(
    config: TaskConfig | TaskGeneratorConfig, buckets: Mapping[str, Any] | None = None
) -> BucketedTaskGenerator.Config:
    """Generator configuration that varies an environment, or the tasks of another generator.

    bucketed(arena).add_bucket("game.max_steps", [100, 1000]).add_bucket("game.agent.rewards.heart",
    Span(0.1, 1.0))
    """
    return BucketedTaskGenerator.Config(
        child_generator_config=_generator_config(config), buckets=dict(buckets or {})
    )


def merge(
    configs: Sequence[TaskConfig | TaskGeneratorConfig], weights: Sequence[float] | None = None
) -> TaskGeneratorSet.Config:
    """Generator configuration that draws from several generators or environments; equally often
    without `weights`."""
    generators = [_generator_config(config) for config in configs]
    if weights is None:
        return TaskGeneratorSet.Config(task_generators=generators)
    return TaskGeneratorSet.Config(task_generators=generators, weights=list(weights))


def env_curriculum(env_config: TaskConfig) -> "CurriculumConfig":
    """Curriculum whose every task is `env_config`."""
    return single_task(env_config).to_curriculum()
