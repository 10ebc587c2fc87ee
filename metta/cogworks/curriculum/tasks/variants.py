"""Tasks that are the same: of one family that is drawn at random, and of two families."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterable
from typing import Any

from metta.cogworks.curriculum.tasks.generator import TaskGenerator
from metta.cogworks.curriculum.tasks.ids import MAX_TASK_ID
from metta.cogworks.curriculum.tasks.masses import draws_for, inclusion, num_variants
from metta.cogworks.curriculum.tasks.regions import Regions

TRIES = 512
"""Ids that are looked through for each place of a pool, to fill it."""
_MOST_TRIES = 2**17  # of all: one takes about 8 µs; but at least so many a place:
_LEAST_TRIES = 4
_SHIFT = 11  # of 64 bits, so that a float64 column holds the hash exactly


def may_repeat(generator: TaskGenerator[Any] | None) -> bool:
    """Whether two ids can be the same variant. Plain ids cannot.

    Not where ids are the variants, nor where every task is a user's, or has a real number out of a
    `Span`, of which there are too many to meet one twice.
    """
    if generator is None or generator.num_variants is not None:
        return False
    return max(generator.node.masses) > 0.0


def variant_hash(generator: TaskGenerator[Any], task_id: int) -> int:
    """53 bits of a task's variant, not all 0, the same in every process.

    Two variants of a pool of n tasks have the same by a chance of about n² / 2^54: one in 18,000
    for a million tasks. One of the two is then not let in.
    """
    text = repr(generator.variant(task_id)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> _SHIFT or 1


class Variants:
    """What a task brings into a pool: its variant, where two ids can be the same one, and its
    sampling weight.

    A variant that several of the family's ids are is in the pool once. The pool is filled as if D
    ids were drawn and those left out whose variant is there already, so that a variant is in it
    with probability 1 - (1 - m)^D, where m is the chance that an id is this variant. Its weight is
    D m / (1 - (1 - m)^D) (Horvitz and Thompson, JASA 1952), and 1 where m is 0: then every part of
    the family has the share of the draws that it has of the ids. D is where C different variants
    are expected in a pool of C tasks, or the number of ids that are looked through.

    Args:
        generator: of the family; None: tasks are plain ids.
        capacity: of the pool, in tasks.
        num_ids: how many ids there are.
        are_kept: whether the pool keeps the variants of its tasks.
        regions: where each task stands for one; its weight is the region's then.
    """

    def __init__(
        self,
        generator: TaskGenerator[Any] | None,
        capacity: int,
        num_ids: int,
        are_kept: bool,
        regions: Regions | None = None,
    ):
        self._generator, self._num_ids, self._regions = generator, num_ids, regions
        self._retired_ids: frozenset[int] = frozenset()
        self._variant_of: dict[int, int] = {}
        self._retired_variants: frozenset[int] = frozenset()
        self.may_repeat = are_kept and may_repeat(generator)
        self.is_uniform = generator is None or (
            generator.is_uniform and not self.may_repeat and regions is None
        )
        self.num_tries = min(num_ids, capacity)
        """How many ids are looked through to fill a pool."""
        self.num_places: float = capacity
        """How many tasks a pool can hold: no more than there are variants."""
        if generator is not None and self.may_repeat:
            masses = generator.node.masses
            most = max(_MOST_TRIES, _LEAST_TRIES * capacity)
            self.num_tries = min(num_ids, TRIES * capacity, most)
            self.num_places = min(capacity, num_variants(masses) - 0.5)  # a sum, and so rounded
            self._draws = draws_for(masses, capacity, self.num_tries)

    def variant(self, task_id: int) -> int:
        """See :func:`variant_hash`; 0 where none can repeat."""
        generator = self._generator
        if generator is None or not self.may_repeat:
            return 0
        return variant_hash(generator, task_id)

    def of_retired(self, task_ids: frozenset[int]) -> frozenset[int]:
        """The variants of these ids, none where variants cannot repeat. Cheap for the same object
        again; :data:`MAX_TASK_ID` stands for no id."""
        if self.may_repeat and task_ids is not self._retired_ids:
            known = self._variant_of
            ids = [i for i in task_ids if i < self._num_ids and i != MAX_TASK_ID]
            self._variant_of = {i: known.get(i) or self.variant(i) for i in ids}
            self._retired_variants = frozenset(self._variant_of.values())
            self._retired_ids = task_ids  # last: it says that the rest is done
        return self._retired_variants

    def one_of_each(self, task_ids: Iterable[int], most: float = math.inf) -> dict[int, int]:
        """Variant -> the first of the ids that is it, until there are `most`. In a family whose
        variants cannot repeat, id -> id."""
        found: dict[int, int] = {}
        for task_id in task_ids:
            if len(found) >= most:
                break
            found.setdefault(self.variant(task_id) if self.may_repeat else task_id, task_id)
        return found

    def weight(self, task_id: int) -> float:
        """The task's sampling weight."""
        generator = self._generator
        if generator is None or self.is_uniform:
            return 1.0
        if self._regions is not None:
            return self._regions.weight(task_id)
        if not self.may_repeat:
            return generator.sampling_weight(task_id)
        key: Any = generator.variant(task_id)
        mass = generator.node.mass(key)
        if mass <= sys.float_info.min:  # the quotient of denormal numbers has no digits
            return 1.0
        return self._draws * mass / inclusion(mass, self._draws)


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
