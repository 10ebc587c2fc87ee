"""Environment configurations that are used again.

Few values vary in most generators, so thousands of tasks have a few dozen different configurations,
and an environment is done with one when its episode is over. `ConfigCache` keeps such
configurations, a bounded number, for the next task of the same `TaskGenerator.variant`. No two
environments ever have the same object at once.

Between two episodes of mettagrid's small room, whose memory caches are cold then, building a
configuration takes 40 µs and mettagrid 30 µs more to take in one that it has not seen.
"""

import sys
from collections import deque
from collections.abc import Hashable
from typing import Any

from metta.cogworks.curriculum.tasks.generator import TaskGenerator

MAX_VARIANTS, MAX_EQUAL = 64, 4
"""Variants of which configurations are kept, and how many of each: together 10 MiB of mettagrid's
24-agent arena, which takes 40 KiB once it was played."""

MAX_REMEMBERED = 4096
"""Task ids whose variant is remembered: four times the default pool, in half a MiB."""

# what sys.getrefcount counts of an object that only its lease refers to: that, and its own argument
_HELD_BY_LEASE = 2

Lease = tuple[Any, deque[Any]]
"""A configuration that one environment plays, and the free ones of its variant, where it goes when
it is done."""


class ConfigCache:
    """Hands out the configurations of a generator's tasks, and keeps those that are released for
    tasks of equal configuration.

    An environment may change what it acquires, as mettagrid does when it fills in the agents, as
    long as the changed configuration stands for the same environment. Whoever wants one to change
    freely builds it: `TaskGenerator.get_task`.

    It belongs to one process; a `Curriculum` has one as `configs`. Threads may share it: each step
    on the way is one operation on a deque or a dict, so that neither another thread nor an
    interrupt nor a fork can find it half done.

    Args:
        generator: makes the configurations.
        max_variants: of how many variants configurations are kept. When there is one more, all are
            let go of.
        max_equal: how many are kept of each.
    """

    def __init__(
        self,
        generator: TaskGenerator[Any],
        max_variants: int = MAX_VARIANTS,
        max_equal: int = MAX_EQUAL,
    ) -> None:
        self._generator = generator
        self._max_variants, self._max_equal = max_variants, max_equal
        self._forget()

    def _forget(self) -> None:
        # Deques, because a list of one gives its memory back whenever it is emptied.
        self._free_of_variant: dict[Hashable, deque[Any]] = {}
        self._free_of_task: dict[int, deque[Any]] = {}  # the same deques

    def __len__(self) -> int:
        """How many configurations are kept."""
        return sum(map(len, list(self._free_of_variant.values())))

    def acquire(self, task_id: int) -> Lease:
        """The configuration of a task: one that was released, or a new one.

        Raises what `TaskGenerator.get_task` raises.
        """
        free = self._free_of_task.get(task_id)
        if free is None:
            free = self._find(task_id)
        if free:
            try:
                return free.pop(), free
            except IndexError:  # another thread was faster
                pass
        return self._generator.get_task(task_id), free

    def release(self, lease: Lease) -> None:
        """Keep the configuration for a later task, unless anybody else still refers to it (to it,
        not to a part of it).

        The lease is over: it must not be released twice.
        """
        if sys.getrefcount(lease[0]) == _HELD_BY_LEASE and len(lease[1]) < self._max_equal:
            lease[1].append(lease[0])

    def _find(self, task_id: int) -> deque[Any]:
        variant = self._generator.variant(task_id)
        if len(self._free_of_task) >= MAX_REMEMBERED or (
            len(self._free_of_variant) >= self._max_variants
            and variant not in self._free_of_variant
        ):
            self._forget()
        free = self._free_of_variant.setdefault(variant, deque())
        self._free_of_task[task_id] = free
        return free
