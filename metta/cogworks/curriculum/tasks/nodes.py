"""How the tasks of a generator are made: the interface, and the two kinds without children.

A task is a *key*: the choices that make it what it is, as nested tuples. Tasks of equal keys have
equal configurations. Where the keys of a family can be counted, they are numbered from 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from metta.cogworks.curriculum.tasks.copier import compile_copier
from metta.cogworks.curriculum.tasks.ids import mix64
from metta.cogworks.curriculum.tasks.invariants import read_invariants
from metta.cogworks.curriculum.tasks.masses import Masses
from metta.cogworks.curriculum.tasks.random import TaskRandom, task_seed
from metta.cogworks.curriculum.tasks.settings import Grid, prepare_overrides
from metta.cogworks.curriculum.tasks.task_config import TaskConfig, label_of, set_label

Key = tuple[Any, ...]


class TaskDescription(NamedTuple):
    """What is known of a task without building it."""

    label: str
    slice_values: dict[str, Any]  # bucket path -> the value of this task; a dict of its own


class Own:
    """What every generator does to a task besides making it: its overrides, and its label.

    Args:
        label: the generator's, or None.
        overrides: path -> value.
        bases: one configuration of each structure (leaf) that tasks can have; they are changed and
            kept.
    """

    def __init__(self, label: str | None, overrides: Mapping[str, Any], bases: list[Any]) -> None:
        self.label = label
        self.bases = bases
        self._overrides = [prepare_overrides(base, overrides) for base in bases]
        if label is not None:
            for base in bases:
                set_label(base, label)
        self.invariants = read_invariants(bases[0])
        self.base_label = label or label_of(bases[0])

    def apply(self, config: Any, leaf: int) -> Any:
        """Puts overrides and label into a new configuration, and returns it."""
        for setting in self._overrides[leaf]:
            setting.apply(config)
        if self.label is not None:
            set_label(config, self.label)
        return config

    def copies(self) -> list[Any]:
        """Copies of the bases, for a generator around this one."""
        return [base.model_copy(deep=True) for base in self.bases]

    def accepts(self, label: str | None) -> tuple[bool, str | None]:
        """Whether tasks can have this label, and the one that is to be looked for further inside.
        None is any."""
        if self.label is None:
            return True, label
        return label in (None, self.label), None


class Node(ABC):
    """One generator, and those inside it."""

    own: Own
    num_variants: int | None
    """How many keys there are; None if they cannot be counted, or one of them is no variant."""
    is_uniform: bool
    """Whether every key is drawn equally often."""
    masses: Masses
    """How likely the keys are that can be drawn twice, and that a draw is none of them."""
    num_axes: int
    """How many axes a task has, at most."""
    keeps_order: bool = False
    """Whether ids are the numbers of the keys; otherwise they are these in a shuffled order."""
    tells_all: bool
    """Whether label and values say all that distinguishes tasks, short of two equal children."""

    @abstractmethod
    def draw(self, task_id: int, seed: int) -> Key:
        """The key of a task of a family that is not counted."""

    @abstractmethod
    def nth(self, number: int) -> Key:
        """A key by its number, below `num_variants`."""

    @abstractmethod
    def share(self, key: Key) -> float:
        """How likely a key is by the weights, of a family that is counted."""

    @abstractmethod
    def mass(self, key: Key) -> float:
        """The chance that one draw is this key; 0 where a real number is part of it."""

    @abstractmethod
    def num_regions(self, grid: Grid) -> int | None:
        """How many regions a grid makes of the family; None if it knows nothing of some tasks."""

    @abstractmethod
    def region(self, key: Key, grid: Grid) -> Key:
        """The region of a task: equal for tasks that lie in the same part of every axis."""

    @abstractmethod
    def region_share(self, key: Key, grid: Grid) -> float:
        """The chance that one draw lies in the region of a task."""

    @abstractmethod
    def leaf(self, key: Key) -> int:
        """Which of the bases has the structure of the task."""

    @abstractmethod
    def label(self, key: Key) -> str:
        """The label of a task."""

    @abstractmethod
    def values(self, key: Key) -> dict[str, Any]:
        """The value of each axis of a task, in a dict of its own."""

    @abstractmethod
    def find(self, label: str | None, values: Mapping[str, Any]) -> Iterator[int]:
        """Numbers of the tasks with just these values, and this label unless it is None."""

    @abstractmethod
    def build(self, key: Key) -> Any:
        """The configuration of a task: a new object."""


class LeafNode(Node):
    """One configuration."""

    is_uniform = tells_all = True

    def __init__(self, label: str | None, overrides: Mapping[str, Any], base: Any) -> None:
        self.own = Own(label, overrides, [base])
        self.num_variants = 1
        self.num_axes = 0
        self.masses = {1.0: 1.0}
        self._copy = compile_copier(base)  # label and overrides are in it

    def draw(self, task_id: int, seed: int) -> Key:
        """Nothing is chosen."""
        return ()

    def nth(self, number: int) -> Key:
        """The only one."""
        return ()

    def share(self, key: Key) -> float:
        """All."""
        return 1.0

    mass = share

    def num_regions(self, grid: Grid) -> int:
        """One."""
        return 1

    def region(self, key: Key, grid: Grid) -> Key:
        """The only one."""
        return ()

    def region_share(self, key: Key, grid: Grid) -> float:
        """All."""
        return 1.0

    def leaf(self, key: Key) -> int:
        """The only one."""
        return 0

    def label(self, key: Key) -> str:
        """That of the configuration."""
        return self.own.base_label

    def values(self, key: Key) -> dict[str, Any]:
        """There is no axis."""
        return {}

    def find(self, label: str | None, values: Mapping[str, Any]) -> Iterator[int]:
        """The only one, if it has this label and no values are asked for."""
        if not values and label in (None, self.own.base_label):
            yield 0

    def build(self, key: Key) -> Any:
        """A copy."""
        return self._copy()


class Hooks(NamedTuple):
    """What a custom generator implements; each takes the task id and its random numbers."""

    name: str
    """Of the generator, for messages."""
    make: Callable[[int, TaskRandom], Any]
    values: Callable[[int, TaskRandom], dict[str, Any]]
    label: Callable[[int, TaskRandom], str | None]


class Inner(NamedTuple):
    """What a custom generator makes its tasks from, if it derives from one of the package's."""

    node: Node
    salt: int

    def key(self, key: Key) -> Key:
        """That of the task inside a task."""
        return self.node.draw(key[0], mix64(key[1] ^ self.salt) if self.salt else key[1])


class CustomNode(Node):
    """A user's generator. Key: task id and seed.

    Nothing is known of what its tasks have in common, so each is a variant of its own.
    """

    is_uniform = True
    tells_all = False

    def __init__(
        self,
        label: str | None,
        overrides: Mapping[str, Any],
        hooks: Hooks,
        inner: Inner | None = None,
    ) -> None:
        self._hooks, self._inner = hooks, inner
        bases = [self._base()] if inner is None else inner.node.own.copies()
        self.own = Own(label, overrides, bases)
        self.num_variants = None
        self.num_axes = 0
        self.masses = {0.0: 1.0}

    def _base(self) -> Any:
        base = self._hooks.make(0, TaskRandom(task_seed(0)))
        if isinstance(base, type) or not isinstance(base, TaskConfig):
            raise TypeError(
                f"_generate_task of {self._hooks.name} returned {base!r}, a {type(base).__name__}; "
                "a task is a pydantic model, or an object with model_copy, model_dump and "
                "model_validate"
            )
        return base

    def _arguments(self, key: Key) -> tuple[int, TaskRandom]:
        return key[0], TaskRandom(key[1])

    def draw(self, task_id: int, seed: int) -> Key:
        """Whatever the generator makes of them."""
        return task_id, seed

    def nth(self, number: int) -> Key:
        """Not to be called: the family is not counted."""
        raise _uncounted()

    def share(self, key: Key) -> float:
        """Not to be called: the family is not counted."""
        raise _uncounted()

    def mass(self, key: Key) -> float:
        """Nothing is known: as if no task came twice."""
        return 0.0

    def num_regions(self, grid: Grid) -> None:
        """Nothing is known of its tasks."""
        return

    def region(self, key: Key, grid: Grid) -> Key:
        """Not to be called: the family has none."""
        raise _uncounted()

    def region_share(self, key: Key, grid: Grid) -> float:
        """Not to be called: the family has no regions."""
        raise _uncounted()

    def find(self, label: str | None, values: Mapping[str, Any]) -> Iterator[int]:
        """Not to be called: the family is not counted."""
        raise _uncounted()

    def leaf(self, key: Key) -> int:
        """The only one, or that of the task inside."""
        return 0 if self._inner is None else self._inner.node.leaf(self._inner.key(key))

    def label(self, key: Key) -> str:
        """The generator's, or what it says of the task, or that of the task inside, or that of the
        base."""
        label = self.own.label or self._hooks.label(*self._arguments(key))
        if label is None and self._inner is not None:
            label = self._inner.node.label(self._inner.key(key))
        return label or self.own.base_label

    def values(self, key: Key) -> dict[str, Any]:
        """Those of the task inside, and what the generator says of it."""
        inner = {} if self._inner is None else self._inner.node.values(self._inner.key(key))
        return inner | self._hooks.values(*self._arguments(key))

    def build(self, key: Key) -> Any:
        """What the generator makes."""
        config = self.own.apply(self._hooks.make(*self._arguments(key)), self.leaf(key))
        label = None if self.own.label else self._hooks.label(*self._arguments(key))
        if label is not None:
            set_label(config, label)
        return config


def _uncounted() -> RuntimeError:
    return RuntimeError("the tasks of a custom generator are not counted: num_variants is None")
