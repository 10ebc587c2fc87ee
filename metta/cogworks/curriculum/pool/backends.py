"""Memory for the task pool: the documented row, and the backends that hold rows in this process or
share them between processes.

A backend owns bytes and a lock, nothing else. What the bytes mean is decided by :mod:`.pool`.
Sessions of shared memory (names, presence, removal) are in :mod:`.sessions`.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metta.cogworks.curriculum.sessions import (
    LOCK_TIMEOUT_SECONDS,
    Lock,
    checked_timeout,
    new_session_id,
    open_session,
)
from metta.cogworks.curriculum.tasks.inputs import checked_integer, instance, text


class TaskState(BaseModel):
    """One task's row: the 13 documented float64 columns, in storage order, and those that
    components declare beside them."""

    model_config = ConfigDict(extra="forbid")

    task_id: int = Field(description="identity of the task, 0 to 2^53 - 1")
    creation_time: float = Field(
        default=0.0, description="when the task entered the pool, seconds since the epoch"
    )
    completion_count: int = Field(default=0, description="completed episodes")
    reward_ema: float = Field(
        default=0.0, description="exponential average of the scores, as received"
    )
    lp_score: float = Field(default=0.0, description="learning progress, as the scorer measures it")
    success_rate_ema: float = Field(
        default=0.0, description="exponential average of (score >= success_threshold)"
    )
    total_score: float = Field(default=0.0, description="sum of all scores")
    last_score: float = Field(default=0.0, description="score of the latest completion")
    success_threshold: float = Field(
        default=0.5, description="score from which a completion counts as a success"
    )
    seed: float = Field(
        default=0.0, description="seed of the task's environment; the task id unless given"
    )
    generator_type: float = Field(
        default=0.0, description="a number that the creator of the task may use as it likes"
    )
    ema_squared: float = Field(default=0.0, description="exponential average of the squared scores")
    is_active: bool = Field(default=True, description="whether the slot holds a task")

    columns: dict[str, float] = Field(
        default_factory=dict, description="the columns declared by components, by name"
    )

    @property
    def num_completions(self) -> int:
        """Completed episodes (another name of ``completion_count``)."""
        return self.completion_count

    @property
    def fast_ema(self) -> float:
        """The scorer's fast average; ``reward_ema`` where the scorer keeps none."""
        return self.columns.get("fast_ema", self.reward_ema)

    @property
    def slow_ema(self) -> float:
        """The scorer's slow average; ``reward_ema`` where the scorer keeps none."""
        return self.columns.get("slow_ema", self.reward_ema)

    def summary(self, now: float) -> dict[str, float]:
        """Statistics of the task, ``now`` seconds after the epoch. ``mean_score`` is 0 before the
        first completion."""
        n = self.completion_count
        return {
            "completion_count": n,
            "mean_score": self.total_score / n if n else 0.0,
            "last_score": self.last_score,
            "age_seconds": now - self.creation_time,
            "reward_ema": self.reward_ema,
            "ema_squared": self.ema_squared,
            "lp_score": self.lp_score,
            "success_rate_ema": self.success_rate_ema,
            "success_threshold": self.success_threshold,
            "seed": self.seed,
            "generator_type": self.generator_type,
        }


BASE_COLUMNS: tuple[str, ...] = tuple(name for name in TaskState.model_fields if name != "columns")
TASK_STRUCT_SIZE = len(BASE_COLUMNS)
MAX_COLUMNS = 4096
"""Of a row, as the documented part and beside it: far more than what the journal has room for."""
_MAX_EXTRA_BYTES = 2**40


def task_state(names: Sequence[str], row: list[float]) -> TaskState:
    """A row as a record, given the names of its columns."""
    columns = dict(zip(names, row, strict=True))
    base: dict[str, Any] = {name: columns.pop(name) for name in BASE_COLUMNS}
    for name in ("task_id", "completion_count"):
        base[name] = int(base[name])
    return TaskState(**base, columns=columns)


class TaskMemoryBackend(ABC):
    """What a tracker needs of a memory: rows of float64, a ring of recent scores, and a lock.

    A backend written against these five methods alone shares the rows: the tracker copies them in
    and out around every operation, which costs time proportional to ``max_tasks``.
    :class:`TableBackend` shares everything at constant cost.
    """

    max_tasks: int
    task_struct_size: int
    completion_history_size: int

    @abstractmethod
    def get_task_data(self, index: int) -> np.ndarray:
        """Writable float64 view of row ``index``, shape ``(task_struct_size,)``."""

    @abstractmethod
    def get_completion_history(self) -> np.ndarray:
        """Writable float64 view of the ring of recent scores, shape
        ``(completion_history_size,)``."""

    @abstractmethod
    def acquire_lock(self) -> AbstractContextManager[Any]:
        """Context manager that excludes every other user of this memory, threads included. A
        tracker enters it once at a time in a process, so that it need not be re-entrant; those of
        this module are."""

    @abstractmethod
    def clear(self) -> None:
        """Set all memory to zero."""

    @abstractmethod
    def cleanup(self) -> None:
        """Let go of the memory. Idempotent. The last user of shared memory removes it."""


class TableBackend(TaskMemoryBackend, ABC):
    """A backend whose memory is one flat buffer, so that a whole table fits in it.

    Layout, every part aligned to 64 bytes: ``extra_bytes`` for the table, the history,
    ``max_tasks`` rows of ``task_struct_size + extra_columns`` float64.
    """

    lock: Lock
    memory: memoryview
    created: bool

    def __init__(
        self,
        max_tasks: int,
        task_struct_size: int,
        completion_history_size: int,
        extra_columns: int,
        extra_bytes: int,
    ):
        self.max_tasks = checked_integer("max_tasks", max_tasks, 1)
        self.task_struct_size = checked_integer(
            "task_struct_size", task_struct_size, TASK_STRUCT_SIZE, MAX_COLUMNS
        )
        self.completion_history_size = checked_integer(
            "completion_history_size", completion_history_size, 1
        )
        extra_columns = checked_integer("extra_columns", extra_columns, 0, MAX_COLUMNS)
        extra_bytes = checked_integer("extra_bytes", extra_bytes, 0, _MAX_EXTRA_BYTES)
        self.row_size = self.task_struct_size + extra_columns
        self.history_offset = aligned(extra_bytes)
        self.rows_offset = self.history_offset + aligned(8 * self.completion_history_size)
        self.nbytes = self.rows_offset + 8 * self.row_size * self.max_tasks

    def _attach(self, memory: memoryview, lock: Lock, created: bool) -> None:
        self.memory, self.lock, self.created = memory, lock, created
        flat = np.frombuffer(
            memory, np.float64, offset=self.rows_offset, count=self.max_tasks * self.row_size
        )
        self.rows = flat.reshape(self.max_tasks, self.row_size)
        self._history = np.frombuffer(
            memory, np.float64, offset=self.history_offset, count=self.completion_history_size
        )

    def get_task_data(self, index: int) -> np.ndarray:
        """See :class:`TaskMemoryBackend`."""
        if not isinstance(index, int | np.integer) or isinstance(index, bool):
            raise TypeError(f"index={index!r:.60} is not allowed: give the number of a row")
        if not 0 <= index < self.max_tasks:
            raise IndexError(
                f"index={index} is not allowed: rows are numbered from 0 to {self.max_tasks - 1}"
            )
        return self.rows[index, : self.task_struct_size]

    def get_completion_history(self) -> np.ndarray:
        """See :class:`TaskMemoryBackend`."""
        return self._history

    def acquire_lock(self) -> AbstractContextManager[Lock]:
        """See :class:`TaskMemoryBackend`. An exception of a signal handler, at any instruction,
        leaves the lock free once it is handled."""
        return self.lock.held()

    def clear(self) -> None:
        """Set all memory to zero."""
        self.lock.run(lambda: np.frombuffer(self.memory, np.uint8).fill(0))


class LocalMemoryBackend(TableBackend):
    """Memory of this process. Threads share it; a forked child gets a copy of its own.

    ``lock_timeout_seconds``: how long a thread waits for the lock while another one has it, until
    :class:`~metta.cogworks.curriculum.sessions.LockTimeoutError`.
    """

    def __init__(
        self,
        max_tasks: int,
        task_struct_size: int = TASK_STRUCT_SIZE,
        completion_history_size: int = 1000,
        *,
        extra_columns: int = 0,
        extra_bytes: int = 0,
        lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    ):
        super().__init__(
            max_tasks, task_struct_size, completion_history_size, extra_columns, extra_bytes
        )
        lock = Lock(timeout_seconds=checked_timeout(lock_timeout_seconds))
        # float64, so that the buffer is aligned; numpy takes zeroed pages from the system as they
        # are touched.
        self._attach(_zeroed(self.nbytes).data.cast("B"), lock, True)
        self.process_id = os.getpid()  # a forked child has a copy

    def cleanup(self) -> None:
        """Nothing to remove: the memory goes with the object."""


class SharedMemoryBackend(TableBackend):
    """Memory shared by every process that opens the same ``session_id``.

    ``session_id=None`` makes a new name. ``layout`` describes what the bytes mean; opening a live
    session with another layout, capacity or version raises
    :class:`~metta.cogworks.curriculum.sessions.SessionMismatchError`, which names both. Who removes
    the memory: the last process to leave the session (:mod:`metta.cogworks.curriculum.sessions`).

    ``identity``: what else must be equal in all processes of the session, plain data.
    ``lock_timeout_seconds``: how long this process waits for the lock while others have it, until
    :class:`~metta.cogworks.curriculum.sessions.LockTimeoutError`; of several backends of a session
    in one process, the first decides.
    """

    def __init__(
        self,
        max_tasks: int,
        session_id: str | None = None,
        task_struct_size: int = TASK_STRUCT_SIZE,
        completion_history_size: int = 1000,
        *,
        extra_columns: int = 0,
        extra_bytes: int = 0,
        layout: str = "",
        identity: Mapping[str, Any] | None = None,
        lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    ):
        super().__init__(
            max_tasks, task_struct_size, completion_history_size, extra_columns, extra_bytes
        )
        self.session_id = new_session_id() if session_id is None else session_id
        text("layout", layout)
        identity = checked_identity(identity)
        self._session = open_session(
            self.session_id,
            self.nbytes,
            {
                "max_tasks": self.max_tasks,
                "task_struct_size": self.task_struct_size,
                "completion_history_size": self.completion_history_size,
                "row_size": self.row_size,
                "layout": layout,
                "identity": identity,
            },
            lock_timeout_seconds,
        )
        self._attach(self._session.memory, self._session.lock, self._session.created)

    def cleanup(self) -> None:
        """Leave the session; the last process to leave removes it. Idempotent."""
        self._session.release()


def checked_identity(identity: Any) -> dict[str, Any]:
    """An identity as a dict; None is an empty one. Raises TypeError if it is no mapping, or not
    plain data."""
    found = {} if identity is None else identity
    instance("identity", found, Mapping, "give a mapping of names to plain data, or None")
    try:
        json.dumps(dict(found))
    except (TypeError, ValueError) as error:
        raise TypeError(f"identity={identity!r:.60} is not plain data: {error}") from None
    return dict(found)


def _zeroed(nbytes: int) -> np.ndarray:
    try:
        return np.zeros(-(-nbytes // 8))
    except MemoryError:
        raise MemoryError(
            f"no memory for a pool of {nbytes:,} bytes: use fewer tasks (num_active_tasks, "
            "max_memory_tasks) or fewer columns"
        ) from None


def aligned(nbytes: int) -> int:
    """The next multiple of 64."""
    return (nbytes + 63) // 64 * 64
