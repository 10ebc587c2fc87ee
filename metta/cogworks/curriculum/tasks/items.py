"""A family that is a list of anything: the task with id i is item i."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Protocol, final, runtime_checkable

import numpy as np
from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    SerializationInfo,
    TypeAdapter,
    field_serializer,
)

from metta.cogworks.curriculum.tasks.fields import AnyTaskConfig
from metta.cogworks.curriculum.tasks.generator import TaskGenerator, TaskGeneratorConfig
from metta.cogworks.curriculum.tasks.ids import MAX_TASK_ID
from metta.cogworks.curriculum.tasks.inputs import checked_integer, listed
from metta.cogworks.curriculum.tasks.item_keys import ItemKeys, in_order
from metta.cogworks.curriculum.tasks.nodes import Key, Node, Own
from metta.cogworks.curriculum.tasks.random import TaskRandom
from metta.cogworks.curriculum.tasks.settings import Grid
from metta.cogworks.curriculum.tasks.task_config import TaskConfig, read_label
from metta.cogworks.curriculum.tasks.values import plain

FOR_IDENTITY = {"for_identity": True}
"""Context of a dump that is to say which items there are, and not what they are."""

_CONFIGS, _DIGEST, _COUNT = "configs", "digest", "count"  # keys of items that are no plain list
_any_config: TypeAdapter[Any] = TypeAdapter(AnyTaskConfig)


@runtime_checkable
class _Indexed(Protocol):
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


class UnknownItems:
    """Items of which a saved state says only how many they were, and the digest of their keys."""

    def __init__(self, count: int, digest: str) -> None:
        self.count, self.digest = count, digest

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        raise LookupError(
            f"item {index} is not known: this configuration is that of a saved state, which keeps "
            "no items"
        )


def item_list(items: Any) -> Any:
    """Items as the configuration keeps them: a list of its own, or what has a length and gives item
    i at i, such as a data set, as it is.

    Raises:
        ValueError: there are none, or what is given is no list.
    """
    if isinstance(items, Mapping):
        return _loaded(items)
    if isinstance(items, str | bytes | bytearray | type):
        raise ValueError(f"items={items!r:.60} is a {type(items).__name__}: give a list of items")
    if getattr(items, "iloc", None) is not None:  # pandas: [i] is the item with the label i
        raise ValueError(
            f"items={type(items).__name__} of pandas is no list: give series.tolist() or "
            'frame.to_dict("records")'
        )
    is_kept = isinstance(items, _Indexed) and not isinstance(items, list | np.ndarray)
    found = items if is_kept else listed("items", items, "items")
    if not len(found):
        raise ValueError("items is empty: give at least one")
    return found


def _loaded(dump: Mapping[str, Any]) -> Any:
    if dump.keys() == {_CONFIGS}:
        return [_any_config.validate_python(config) for config in dump[_CONFIGS]]
    if dump.keys() == {_DIGEST, _COUNT}:
        count, digest = checked_integer(_COUNT, dump[_COUNT], 1, MAX_TASK_ID), dump[_DIGEST]
        if not isinstance(digest, str):
            raise ValueError(f"{_DIGEST}={digest!r:.60} is not allowed: give a string")
        return UnknownItems(count, digest)
    raise ValueError(f"items={dump!r:.60} is a {type(dump).__name__}: give a list of items")


def _dumped(items: Any) -> Any:
    """Items as plain data. Raises ValueError for those that have no such form."""
    first = items[0]
    if isinstance(first, TaskConfig):
        for place, item in enumerate(in_order(items)):
            if not isinstance(item, TaskConfig):
                raise ValueError(_no_data(place, item, "item 0 is a configuration, and it is none"))
        return {_CONFIGS: [_any_config.dump_python(item) for item in items]}
    return [_plain_item(place, item) for place, item in enumerate(in_order(items))]


def _plain_item(place: int, item: Any) -> Any:
    if isinstance(item, TaskConfig):
        raise ValueError(_no_data(place, item, "it is a configuration, and item 0 is none"))
    try:
        return plain(item, "it")
    except ValueError as error:
        raise ValueError(_no_data(place, item, str(error))) from None


def _no_data(place: int, item: Any, why: str) -> str:
    return (
        f"items cannot be written as data: item {place}, a {type(item).__name__}, has no form in "
        f"JSON beside the others ({why}). Pickle the configuration, as worker processes get it, or "
        "make the curriculum over numbers or names of the items, and look them up by task.item"
    )


class _Stand:
    """Stands for all items where the package asks for a configuration of a family."""

    def __init__(self, items: Any) -> None:
        first = None if isinstance(items, UnknownItems) else items[0]
        self.game = getattr(first, "game", None)  # what the policy's shape follows from

    def model_copy(self, *, deep: bool = False) -> _Stand:
        """Itself: it never changes."""
        return self


class ItemsNode(Node):
    """Key: the number of the item, which is the task's id, too."""

    is_uniform = keeps_order = True
    tells_all = False

    def __init__(self, label: str | None, items: Any) -> None:
        self._items = items
        self._count = self.num_variants = len(items)
        self.num_axes = 0
        self.masses = {1.0 / self._count: 1.0}
        self.own = Own(label, {}, [_Stand(items)])

    def draw(self, task_id: int, seed: int) -> Key:
        """Any item."""
        return (seed * self._count >> 64,)

    def nth(self, number: int) -> Key:
        """The item of that number."""
        return (number,)

    def share(self, key: Key) -> float:
        """All are equally likely."""
        return 1.0 / self._count

    mass = share

    def num_regions(self, grid: Grid) -> None:
        """Items have nothing to be cut by."""

    def region(self, key: Key, grid: Grid) -> Key:
        """Itself."""
        return key

    def region_share(self, key: Key, grid: Grid) -> float:
        """That of the item."""
        return self.share(key)

    def leaf(self, key: Key) -> int:
        """The only one."""
        return 0

    def label(self, key: Key) -> str:
        """The generator's, or that of an item that has one, such as a configuration. A data set is
        not read for it: the pool is locked meanwhile."""
        if self.own.label or not isinstance(self._items, list | tuple):
            return self.own.label or ""
        return read_label(self._items[key[0]]) or ""

    def values(self, key: Key) -> dict[str, Any]:
        """There is no axis."""
        return {}

    def find(self, label: str | None, values: Mapping[str, Any]) -> Iterator[int]:
        """The items of that label."""
        for number in range(0 if values else self._count):
            if label in (None, self.label((number,))):
                yield number

    def build(self, key: Key) -> Any:
        """The item itself; a copy where it is a configuration, which an environment may change."""
        item = self._items[key[0]]
        return (
            self.own.apply(item.model_copy(deep=True), 0) if isinstance(item, TaskConfig) else item
        )


@final
class ItemsGenerator(TaskGenerator[Any]):
    """The task with id i is item i of a list."""

    class Config(TaskGeneratorConfig):
        """A list of items.

        Worker processes get it by pickle, with the items; what is a data set of its own, with a
        length and an item at each index, goes as its own pickle has it. As JSON it has all of the
        items, where these are plain data (a tuple comes back as a list) or all of them pydantic
        models; else dumping it is a `PydanticSerializationError`, a ValueError that names the item.
        Saved states and shared sessions know items by their keys alone.

        Raises:
            ValueError: there is no item, or two have the same key, or one has none.
        """

        model_config = ConfigDict(frozen=True)

        items: Annotated[Any, PlainValidator(item_list)] = Field(
            repr=False, description="anything, by position; they are not copied"
        )
        keys: list[Any] | None = Field(
            default=None,
            repr=False,
            description="what each item is known by, in another run too; None: the item itself",
        )

        _item_keys: ItemKeys | None = PrivateAttr(default=None)

        def model_post_init(self, context: Any, /) -> None:
            """Look at the keys."""
            if self.overrides:
                raise ValueError("overrides are not allowed: items are played as they are")
            if isinstance(self.items, UnknownItems):
                return
            if self.keys is not None and len(self.keys) != len(self.items):
                raise ValueError(
                    f"{len(self.items)} items and {len(self.keys)} keys: give one key per item"
                )
            self._item_keys = ItemKeys(self.items if self.keys is None else self.keys)

        @property
        def digest(self) -> str:
            """Of the keys of all items, in their order."""
            return self.items.digest if self._item_keys is None else self._item_keys.digest

        def key_hashes(self) -> np.ndarray:
            """Of each item, int64 of shape ``(n,)``: see
            :class:`~metta.cogworks.curriculum.tasks.item_keys.ItemKeys`."""
            return np.empty(0, np.int64) if self._item_keys is None else self._item_keys.hashes

        def __eq__(self, other: object) -> bool:
            if not isinstance(other, ItemsGenerator.Config):
                return NotImplemented
            ours, theirs = (self.label, len(self.items)), (other.label, len(other.items))
            return ours == theirs and self.digest == other.digest

        __hash__ = None  # type: ignore[assignment]  (as of every generator's configuration)

        @field_serializer("items")
        def _dump_items(self, items: Any, info: SerializationInfo) -> Any:
            if info.context == FOR_IDENTITY or isinstance(items, UnknownItems):
                return {_COUNT: len(items), _DIGEST: self.digest}
            return _dumped(items)

        @field_serializer("keys")
        def _dump_keys(self, keys: list[Any] | None, info: SerializationInfo) -> Any:
            if keys is None or info.context == FOR_IDENTITY:
                return None
            return [plain(key, "key") for key in keys]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._items = config.items

    def _make_node(self) -> Node:
        return ItemsNode(self.config.label, self._items)

    def _generate_task(self, task_id: int, rng: TaskRandom) -> Any:
        return self.node.build((task_id,))

    def hashes_of(self, task_ids: Sequence[int]) -> np.ndarray:
        """The hashes of the items' keys, int64 of the same shape."""
        return self.config.key_hashes()[np.asarray(task_ids, np.int64)]

    def found(self, hashes: np.ndarray) -> np.ndarray:
        """The ids of the items whose keys have these hashes, int64 of the same shape; -1 where
        there is none."""
        order, ordered = self._by_hash
        at = np.minimum(np.searchsorted(ordered, hashes), len(ordered) - 1)
        return np.where(ordered[at] == hashes, order[at], -1)

    @functools.cached_property
    def _by_hash(self) -> tuple[np.ndarray, np.ndarray]:
        hashes = self.config.key_hashes()
        order = np.argsort(hashes)
        return order, hashes[order]
