"""Tasks that are the same: of one family that is drawn at random, and of two families."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from metta.cogworks.curriculum.tasks.generator import TaskGenerator

_ROUNDING = 1e-9  # of sums of chances
_SHIFT = 11  # of 64 bits, so that a float64 column holds the hash exactly


def may_repeat(generator: TaskGenerator[Any] | None) -> bool:
    """Whether two ids can be the same variant. Plain ids cannot.

    Not where ids are the variants, nor where every task is a user's, or has a real number out of a
    `Span`, of which there are too many to meet one twice.
    """
    return generator is not None and generator.num_variants is None and generator.node.may_repeat


def variant_hash(generator: TaskGenerator[Any], task_id: int) -> int:
    """53 bits of a task's variant, the same in every process.

    Two variants of a pool of n tasks have the same by a chance of about n² / 2^54: one in 18,000
    for a million tasks. One of the two is then not let in.
    """
    text = repr(generator.variant(task_id)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> _SHIFT


class Variants:
    """What a task brings into a pool: its variant, where two ids can be the same one, and its
    sampling weight.

    A variant that n of the family's ids are is in the pool once, so it is drawn as often as n tasks
    would be. With m the chance that an id is this variant, R the chance that it is one of those
    that no other id is, and a pool of C tasks, nearly all of which are of the latter kind and have
    weight 1, that is the weight C m / R (C m, where R is 0).

    Args:
        generator: of the family; None: tasks are plain ids.
        capacity: of the pool, in tasks.
        are_kept: whether the pool keeps the variants of its tasks.
    """

    def __init__(self, generator: TaskGenerator[Any] | None, capacity: int, are_kept: bool):
        self._generator = generator
        self._capacity = capacity
        self.may_repeat = are_kept and may_repeat(generator)
        self.is_uniform = generator is None or (generator.is_uniform and not self.may_repeat)
        self._rest = 1.0
        if generator is not None and self.may_repeat:
            rest = 1.0 - generator.node.total_mass
            self._rest = rest if rest > _ROUNDING else 1.0

    def variant(self, task_id: int) -> int:
        """See :func:`variant_hash`; 0 where none can repeat."""
        generator = self._generator
        if generator is None or not self.may_repeat:
            return 0
        return variant_hash(generator, task_id)

    def weight(self, task_id: int) -> float:
        """The task's sampling weight."""
        generator = self._generator
        if generator is None or self.is_uniform:
            return 1.0
        if not self.may_repeat:
            return generator.sampling_weight(task_id)
        key: Any = generator.variant(task_id)
        mass = generator.node.mass(key)
        return mass * self._capacity / self._rest if mass else 1.0


def same_tasks(
    old: TaskGenerator[Any], new: TaskGenerator[Any], task_ids: Iterable[int]
) -> dict[int, int]:
    """Where the tasks of one family are in another, by label and bucket values: for what is known
    of tasks, when a run is resumed with a changed family.

    Args:
        task_ids: of the old family.

    Returns:
        Old id -> new id, of the tasks that the new family has too. No two have the same new one. Of
        a family with a custom generator, which does not tell all that its tasks are, none is kept,
        unless the two have equal configurations.
    """
    if old.config == new.config:
        return {task_id: task_id for task_id in task_ids}
    if not (old.node.tells_all and new.node.tells_all):
        return {}
    kept: dict[int, int] = {}
    taken: set[int] = set()
    for task_id in task_ids:
        found = _same_task(old, new, task_id)
        if found is not None and found not in taken:
            kept[task_id] = found
            taken.add(found)
    return kept


def _same_task(old: TaskGenerator[Any], new: TaskGenerator[Any], task_id: int) -> int | None:
    description = old.describe(task_id)
    if new.num_variants is not None:
        return new.find(*description)
    # Both are drawn by the id: what has not changed about the family is drawn as it was.
    return task_id if new.describe(task_id) == description else None
