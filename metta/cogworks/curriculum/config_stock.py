"""Environment configurations that are used again.

Few values vary in most generators, so thousands of tasks have a few dozen different configurations, and an environment
is done with one when its episode is over. `ConfigStock` keeps such configurations, a bounded number, for the next
task of the same `TaskGenerator.variant`. No two environments are ever lent the same object at once.

Between two episodes of mettagrid's small room, whose memory caches are cold then, building a configuration takes 40 µs
and mettagrid 30 µs more to take in one that it has not seen; a configuration from the stock costs 10 µs.
"""

import functools
import sys
import threading
from collections.abc import Hashable
from typing import Any, NamedTuple

from metta.cogworks.curriculum.task_generator import TaskGenerator

MAX_VARIANTS, MAX_EQUAL = 64, 4
"""Variants of which configurations are kept, and how many of each: together 10 MiB of mettagrid's 24-agent arena, which takes
40 KiB once it was played. With n kept of each, environments that share a stock find one n times in n + 1."""

MAX_REMEMBERED = 4096
"""Task ids whose variant is remembered: four times the default pool, in 1 to 3 MiB."""

_HELD_BY_LOAN = 2  # what sys.getrefcount counts of an object that only its loan refers to: that, and its own argument


class Loan(NamedTuple):
    """A configuration that one environment plays. Nobody else has it, until it is taken back."""

    config: Any
    variant: Hashable


class ConfigStock:
    """Lends the configurations of a generator's tasks, and takes them back for tasks of equal configuration.

    An environment may change what it is lent, as mettagrid does when it fills in the agents, as long as the changed
    configuration stands for the same environment. Whoever wants one to change freely builds it:
    `TaskGenerator.get_task`.

    It belongs to one process; a `Curriculum` has one as `configs`. Threads may share it.

    Args:
        generator: makes the configurations.
        max_variants: of how many variants configurations are kept; those that came back least recently go first.
        max_equal: how many are kept of each.
    """

    def __init__(self, generator: TaskGenerator[Any], max_variants: int = MAX_VARIANTS, max_equal: int = MAX_EQUAL) -> None:
        self._generator = generator
        self._max_variants, self._max_equal = max_variants, max_equal
        self._variant = functools.lru_cache(MAX_REMEMBERED)(generator.variant)
        self._kept: dict[Hashable, list[Any]] = {}  # variant -> configurations, in the order in which they came back
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many configurations are kept."""
        return sum(map(len, self._kept.values()))

    def lend(self, task_id: int) -> Loan:
        """The configuration of a task: one that was taken back, or a new one.

        Raises what `TaskGenerator.get_task` raises.
        """
        variant = self._variant(task_id)
        # A busy stock is passed by, here and in `take_back`: a thread may have been in it when this process was forked, and
        # an interrupt may have left it locked. Only time is lost then.
        if variant in self._kept and self._lock.acquire(blocking=False):
            try:
                configs = self._kept.get(variant)
                if configs:
                    return Loan(configs.pop(), variant)
            finally:
                self._lock.release()
        return Loan(self._generator.get_task(task_id), variant)

    def take_back(self, loan: Loan) -> None:
        """Keep the configuration for a later task, unless anybody else still refers to it (to it, not to a part of it).

        The loan, one of this stock's, is over: it must not be taken back twice.
        """
        if sys.getrefcount(loan.config) > _HELD_BY_LOAN or not self._lock.acquire(blocking=False):
            return
        try:
            configs = self._kept.pop(loan.variant, [])
            if len(configs) < self._max_equal:
                configs.append(loan.config)
            self._kept[loan.variant] = configs
            if len(self._kept) > self._max_variants:
                del self._kept[next(iter(self._kept))]
        finally:
            self._lock.release()
