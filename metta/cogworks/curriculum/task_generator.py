"""Task generators: a task id becomes an environment configuration.

A task is a variant. Where a family can be counted (lists of values only), ids enumerate its
variants, each once: `num_variants` of them. With a `Span` or a custom generator, a task is drawn by
its id: a pure function of (generator configuration, task id). Either way what an id means is the
same in every process; what else varies in an environment, its map, is up to the episode's own seed.

`describe(task_id)` tells label and bucket values without building anything. `get_task(task_id)`
builds: a private copy of the base, the overrides, the bucket values, the label, and the check of
the invariants.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from metta.cogworks.curriculum.tasks.bucket_node import CHILD_SALT, BucketNode
from metta.cogworks.curriculum.tasks.choice_node import Child, ChoiceNode
from metta.cogworks.curriculum.tasks.class_paths import class_path, resolve_class, trusting
from metta.cogworks.curriculum.tasks.fields import AnyTaskConfig, AnyTaskGeneratorConfig
from metta.cogworks.curriculum.tasks.generator import TaskGenerator, TaskGeneratorConfig
from metta.cogworks.curriculum.tasks.ids import MAX_TASK_ID, mix64, validate_task_id
from metta.cogworks.curriculum.tasks.invariants import TaskInvariantError
from metta.cogworks.curriculum.tasks.items import ItemsGenerator
from metta.cogworks.curriculum.tasks.nodes import Inner, LeafNode, Node, TaskDescription
from metta.cogworks.curriculum.tasks.paths import refuse_overlaps, refuse_overlaps_among
from metta.cogworks.curriculum.tasks.random import TaskRandom
from metta.cogworks.curriculum.tasks.task_config import TaskConfig, TConfig
from metta.cogworks.curriculum.tasks.values import Span, normalise_bucket
from metta.cogworks.curriculum.tasks.weights import check_weight, check_weights, listed_weights

__all__ = [
    "MAX_TASK_ID",
    "AnyTaskConfig",
    "AnyTaskGeneratorConfig",
    "BucketedTaskGenerator",
    "ItemsGenerator",
    "SingleTaskGenerator",
    "Span",
    "TConfig",
    "TTaskGenerator",
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
    "trusting",
    "validate_task_id",
]


TTaskGenerator = TypeVar("TTaskGenerator", bound=TaskGenerator)
"""What a configuration makes: ``TaskGeneratorConfig[TTaskGenerator]``."""


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
        env = config.env.model_copy(deep=True)
        self._leaf = LeafNode(config.label, config.overrides, env)

    def _make_node(self) -> Node:
        if self._is_derived_from(SingleTaskGenerator):
            return self._custom_node(None, {}, Inner(self._leaf, 0))
        return self._leaf

    def _generate_task(self, task_id: int, rng: TaskRandom) -> Any:
        return self._leaf.build(())


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
            refuse_overlaps_among("bucket", list(self.buckets))
            for path in self.buckets:
                self._refuse_override_inside(path)
            return self

        def _refuse_override_inside(self, path: str) -> None:
            inside = [
                override
                for override in self.overrides
                if override == path or override.startswith(path + ".")
            ]
            refuse_overlaps("bucket", [path], "override", inside)

        def add_bucket(self, path: str, values: Any) -> Self:
            """Adds a bucket: a list of values, or a `Span`. Returns this configuration, so that
            calls can be chained.

            Raises:
                ValueError: the bucket is empty, or another sets the same place.
            """
            values = normalise_bucket(path, values)
            refuse_overlaps("bucket", [path], "bucket", self.buckets)
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
        self.check_config(config)
        child = config.child_generator_config.create()
        super().__init__(config, [child], config.buckets)
        self._inner = Inner(child.node, CHILD_SALT)

    def _make_node(self) -> Node:
        config, child = self.config, self._inner.node
        if self._is_derived_from(BucketedTaskGenerator):
            child = self._custom_node(None, {}, self._inner)
        return BucketNode(config.label, config.overrides, config.buckets, child)

    def _generate_task(self, task_id: int, rng: TaskRandom) -> Any:
        return self._inner.node.build(self._inner.key((task_id, rng.seed)))


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

        @field_validator("weights", mode="before")
        @classmethod
        def _are_numbers(cls, weights: Any) -> list[float]:
            return listed_weights(weights)

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
            check_weights(self.weights, len(self.task_generators))
            return self

        def add(self, generator: TaskGeneratorConfig, weight: float = 1.0) -> Self:
            """Adds a child. Returns this configuration, so that calls can be chained.

            Raises:
                TypeError: `generator` is no generator's configuration.
                ValueError: the weight is negative or not finite.
            """
            if not isinstance(generator, TaskGeneratorConfig):
                raise TypeError(
                    f"add: generator={generator!r} is a {type(generator).__name__}; give a "
                    "generator's configuration, such as single_task(env)"
                )
            check_weight(len(self.weights), weight)
            weights = [*self.weights, float(weight)]
            check_weights(weights, len(self.task_generators) + 1)
            self.task_generators.append(generator)
            self.weights = weights
            return self

    def __init__(self, config: Config) -> None:
        self.check_config(config)
        if not config.task_generators:
            raise ValueError(
                "task_generators is empty; give the TaskGeneratorSet at least one generator with "
                "add()"
            )
        check_weights(config.weights, len(config.task_generators))
        generators = [generator.create() for generator in config.task_generators]
        super().__init__(config, generators)
        children = [
            Child(generator.node, weight, generator.config.overrides)
            for generator, weight in zip(generators, config.weights, strict=True)
        ]
        self._choice = ChoiceNode(config.label, config.overrides, children)
        self.disagreement = self._choice.disagreement

    def _make_node(self) -> Node:
        if self._is_derived_from(TaskGeneratorSet):
            return self._custom_node(None, {}, Inner(self._choice, 0))
        return self._choice

    def _generate_task(self, task_id: int, rng: TaskRandom) -> Any:
        return self._choice.build(self._choice.draw(task_id, rng.seed))


# Short ways to make them
# --------------------------------------------------------------------------------------------------


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
        child_generator_config=_generator_config(config),
        buckets={} if buckets is None else buckets,  # type: ignore[arg-type]  (it is normalised)
    )


def merge(
    configs: Sequence[TaskConfig | TaskGeneratorConfig], weights: Sequence[float] | None = None
) -> TaskGeneratorSet.Config:
    """Generator configuration that draws from several generators or environments; equally often
    without `weights`."""
    if isinstance(configs, str | bytes | Mapping | TaskConfig) or not isinstance(configs, Iterable):
        raise TypeError(
            f"merge: configs is {configs!r}, a {type(configs).__name__}; give a list of "
            "environments and generator configurations"
        )
    generators = [_generator_config(config) for config in configs]
    if weights is None:
        return TaskGeneratorSet.Config(task_generators=generators)
    return TaskGeneratorSet.Config(task_generators=generators, weights=listed_weights(weights))


def env_curriculum(env_config: TaskConfig) -> Any:
    """Curriculum whose every task is `env_config`, a
    :class:`~metta.cogworks.curriculum.config.CurriculumConfig`."""
    return single_task(env_config).to_curriculum()
