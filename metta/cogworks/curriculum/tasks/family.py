"""The tasks of one generator by their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metta.cogworks.curriculum.tasks.ids import MAX_TASK_ID, validate_task_id
from metta.cogworks.curriculum.tasks.invariants import (
    TaskInvariantError,
    causes,
    differences,
    inconsistent,
    path_of,
    read_invariants,
    told,
)
from metta.cogworks.curriculum.tasks.nodes import Key, Node
from metta.cogworks.curriculum.tasks.permutation import InOrder, Permutation
from metta.cogworks.curriculum.tasks.random import task_seed


class Family:
    """What an id means.

    Where the keys of the node can be counted, ids are the keys in a fixed, shuffled order, or in
    their own, if the node keeps it. Where they cannot, an id is the seed of a key.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        count = node.num_variants
        self.num_variants = None if count is None or count > MAX_TASK_ID + 1 else count
        self._order: Permutation | InOrder | None = None
        if self.num_variants is not None:
            self._order = InOrder() if node.keeps_order else Permutation(self.num_variants)

    def key(self, task_id: Any) -> Key:
        """The key of a task. Raises ValueError if there is no task of this id."""
        task_id = validate_task_id(task_id)
        if self._order is None or self.num_variants is None:
            return self.node.draw(task_id, task_seed(task_id))
        if task_id >= self.num_variants:
            raise ValueError(
                f"task id {task_id} is not one of this generator's: its family has num_variants = "
                f"{self.num_variants} tasks, so ids are integers from 0 to {self.num_variants - 1}"
            )
        return self.node.nth(self._order.at(task_id))

    def sampling_weight(self, task_id: Any) -> float:
        """See `TaskGenerator.sampling_weight`."""
        key = self.key(task_id)
        return 1.0 if self.num_variants is None else self.node.share(key) * self.num_variants

    def find(self, label: str | None, values: Any) -> int | None:
        """See `TaskGenerator.find`."""
        if self._order is None:
            raise ValueError(
                "the tasks of this generator cannot be found by their values: num_variants is "
                "None, because of a Span, a custom generator, or too many values"
            )
        if label is not None and not isinstance(label, str):
            raise TypeError(
                f"label={label!r} is a {type(label).__name__}; give text, or None for any"
            )
        if not isinstance(values, Mapping):
            raise TypeError(
                f"slice_values={values!r} is a {type(values).__name__}; give a dict of bucket path "
                "-> value, as describe() does"
            )
        number = next(self.node.find(label, values), None)
        return None if number is None else self._order.where(number)

    def build(self, task_id: Any) -> Any:
        """The configuration of a task. Raises TaskInvariantError if it is not like the base."""
        key = self.key(task_id)
        config = self.node.build(key)
        invariants = read_invariants(config)
        expected = self.node.own.invariants
        if invariants == expected:
            return config
        label, values = self.node.label(key), self.node.values(key)
        quantity = differences(expected, invariants)[0]
        why = causes(quantity, "bucket", values) or "the generator itself"
        what = inconsistent(quantity, expected, invariants)
        raise TaskInvariantError(
            f"inconsistent {what} for task {task_id} ({label}): {quantity} is "
            f"{told(invariants, quantity)}, but in the generator's base it is "
            f"{told(expected, quantity)}; set by {why}. All tasks of a curriculum need the same "
            f"{quantity}: leave {path_of(quantity)} as it is, or set it in the overrides"
        )
