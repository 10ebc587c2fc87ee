"""Environment configurations that are used again.

Few values vary in most generators, so thousands of tasks have a few dozen different configurations, and an environment
is done with one when its episode is over. `ConfigStock` keeps such configurations, a bounded number, for the next
task of the same `TaskGenerator.variant`. No two environments ever hold the same object at once.

Between two episodes of mettagrid's small room, whose memory caches are cold then, building a configuration takes 40 µs
and mettagrid 30 µs more to take in one that it has not seen; a configuration from the stock costs 10 µs.
"""

import functools
import sys
import threading
from collections.abc import Hashable
from typing import Any, NamedTuple

from metta.cogworks.curriculum.task_generator import TaskGenerator

MAX_CONFIGS = 128
"""Configurations that a curriculum keeps: 5 MiB of mettagrid's 24-agent arena, which takes 40 KiB once it was played."""

MAX_VARIANTS = 4096
"""Task ids whose variant is remembered, in 1 MiB: four times the default pool."""

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
        size: how many are kept at most; then those go first whose variant has been there for longest.
    """

    def __init__(self, generator: TaskGenerator[Any], size: int = MAX_CONFIGS) -> None:
        self._generator = generator
        self._size = size
        self._variant = functools.lru_cache(MAX_VARIANTS)(generator.variant)
        self._kept: dict[Hashable, list[Any]] = {}  # variant -> configurations
        self._count = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many configurations are kept."""
        return self._count

    def lend(self, task_id: int) -> Loan:
        """The configuration of a task: one that was taken back, or a new one.

        Raises what `TaskGenerator.get_task` raises.
        """
        variant = self._variant(task_id)
        # A busy stock is passed by, here and in `take_back`: a thread may have been in it when this process was forked.
        if variant in self._kept and self._lock.acquire(blocking=False):
            try:
                configs = self._kept.get(variant)
                if configs:
                    return Loan(self._pop(variant, configs), variant)
            finally:
                self._lock.release()
        return Loan(self._generator.get_task(task_id), variant)

    def take_back(self, loan: Loan) -> None:
        """Keep the configuration for a later task, unless anybody else still holds it. The loan is over."""
        if sys.getrefcount(loan.config) > _HELD_BY_LOAN or not self._lock.acquire(blocking=False):
            return
        try:
            self._kept.setdefault(loan.variant, []).append(loan.config)
            self._count += 1
            if self._count > self._size:
                self._pop(*next(iter(self._kept.items())))
        finally:
            self._lock.release()

    def _pop(self, variant: Hashable, configs: list[Any]) -> Any:
        self._count -= 1
        config = configs.pop()
        if not configs:
            del self._kept[variant]
        return config
