"""What is known of each task: creation, completions, averages. One tracker for every backend.

The tracker records into the rows of a :class:`~metta.cogworks.curriculum.pool.table.TaskTable`; it
keeps no state of its own.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from metta.cogworks.curriculum.pool.backends import (
    TASK_STRUCT_SIZE,
    SharedMemoryBackend,
    TaskMemoryBackend,
    TaskState,
    task_state,
)
from metta.cogworks.curriculum.pool.exclusive import exclusive
from metta.cogworks.curriculum.pool.layout import (
    COMPLETION_COUNT,
    EMA_SQUARED,
    LAST_SCORE,
    LP_SCORE,
    REWARD_EMA,
    SUCCESS_RATE_EMA,
    SUCCESS_THRESHOLD,
    TOTAL_SCORE,
    TOTAL_SQUARED,
    Column,
)
from metta.cogworks.curriculum.pool.opening import make_backend, make_layout
from metta.cogworks.curriculum.pool.saved import check_ids, fitted, to_state
from metta.cogworks.curriculum.pool.snapshot import snapshot
from metta.cogworks.curriculum.pool.table import TaskTable
from metta.cogworks.curriculum.scores import validate_completion, validate_score
from metta.cogworks.curriculum.sessions import LOCK_TIMEOUT_SECONDS
from metta.cogworks.curriculum.tasks.ids import (
    MAX_TASK_ID,
    validate_family_id,
    validate_task_id,
)
from metta.cogworks.curriculum.tasks.inputs import checked_integer, finite, instance, share


class TaskTracker:
    """Tracks performance per task, in this process or shared between processes.

    Args:
        max_memory_tasks: capacity, in tasks.
        ema_alpha: weight of the latest score in ``reward_ema``, ``ema_squared``,
            ``success_rate_ema``. 0.1 forgets after about ten completions (the guide's default for
            trackers).
        backend: memory to use; otherwise one is made from the remaining arguments.
        use_shared_memory: share by ``session_id`` with every process that opens the same one.
        session_id: name of the shared memory; None makes a new one.
        task_struct_size: float64 per row that :meth:`TaskMemoryBackend.get_task_data` shows; 13 are
            documented.
        completion_history_size: length of the ring of recent scores.
        default_success_threshold: score from which a completion counts as a success.
        default_generator_type: number stored with each task.
        columns: columns that other components need beside these.
        slice_axes: how many slice values are kept per task.
        success_alpha: weight of the latest completion in ``success_rate_ema``; None means
            ``ema_alpha``.
        identity: what else must be equal in all processes that share the memory, by name: what its
            numbers mean.
        num_ids: how many tasks there are, with ids from 0 on; None: any id can be tracked.
        lock_timeout_seconds: how long an operation waits while somebody else keeps the memory's
            lock; LockTimeoutError then, which names who has it.

    Raises:
        TypeError, ValueError: an argument that cannot be; the message names it and what is allowed.
    """

    def __init__(
        self,
        max_memory_tasks: int = 1000,
        ema_alpha: float = 0.1,
        backend: TaskMemoryBackend | None = None,
        use_shared_memory: bool = False,
        session_id: str | None = None,
        task_struct_size: int = TASK_STRUCT_SIZE,
        completion_history_size: int = 1000,
        default_success_threshold: float = 0.5,
        default_generator_type: float = 0.0,
        *,
        columns: Sequence[Column] = (),
        slice_axes: int = 0,
        success_alpha: float | None = None,
        identity: Mapping[str, Any] | None = None,
        num_ids: int | None = None,
        lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    ):
        most = MAX_TASK_ID + 1
        self.num_ids = most if num_ids is None else checked_integer("num_ids", num_ids, 1, most)
        self.ema_alpha = share("ema_alpha", ema_alpha)
        self.success_alpha = share(
            "success_alpha", ema_alpha if success_alpha is None else success_alpha
        )
        self.default_success_threshold = finite(
            "default_success_threshold", default_success_threshold
        )
        self.default_generator_type = finite("default_generator_type", default_generator_type)
        if backend is not None:
            instance("backend", backend, TaskMemoryBackend, "give one, or None to have one made")
            layout = make_layout(
                backend.max_tasks,
                columns,
                slice_axes,
                backend.task_struct_size,
                backend.completion_history_size,
            )
        else:
            layout = make_layout(
                max_memory_tasks, columns, slice_axes, task_struct_size, completion_history_size
            )
            sharing = (use_shared_memory, session_id, identity)
            backend = make_backend(layout, *sharing, lock_timeout_seconds)
        self._backend = backend
        self.table = TaskTable(layout, backend)
        self._total_squared = self.table.offset(TOTAL_SQUARED)
        self._completing = -1

    @property
    def backend(self) -> TaskMemoryBackend:
        """The memory this tracker records into."""
        return self._backend

    @property
    def session_id(self) -> str | None:
        """Name under which other processes open the same memory; None if they cannot."""
        return self._backend.session_id if isinstance(self._backend, SharedMemoryBackend) else None

    @exclusive
    def track_task_creation(
        self,
        task_id: int,
        success_threshold: float | None = None,
        seed: float | None = None,
        generator_type: float | None = None,
    ) -> None:
        """Begin to track a task; one that is tracked already is left as it is. A full tracker
        forgets its oldest task.

        Raises:
            ValueError: an id that cannot be one, or a value that is not a finite number.
        """
        task_id = validate_task_id(task_id)
        given = {
            "success_threshold": (success_threshold, self.default_success_threshold),
            "seed": (seed, float(task_id)),
            "generator_type": (generator_type, self.default_generator_type),
        }
        self._ensure(
            task_id,
            {n: d if value is None else finite(n, value) for n, (value, d) in given.items()},
        )

    def _ensure(self, task_id: int, fields: dict[str, float]) -> int:
        table = self.table
        slot = table.find(task_id)
        if slot < 0:
            validate_family_id(task_id, self.num_ids)
            if table.header.active_count == table.layout.max_tasks:
                table.remove(int(np.argmin(table.column("creation_time"))))
            slot = table.insert(task_id, fields)
        return slot

    @exclusive
    def update_task_performance(
        self,
        task_id: int,
        score: float,
        lp_score: float | None = None,
        success_threshold: float | None = None,
    ) -> None:
        """Record a completion. A task that is not tracked yet is tracked from now on.

        From within an algorithm that is being told of this completion by its curriculum, which has
        recorded it already, the completion is not counted again.

        Raises:
            ValueError: a score that is not finite or an id that cannot be one; nothing changes.
        """
        task_id, score = validate_completion(task_id, score)
        lp_score = None if lp_score is None else validate_score(task_id, lp_score)
        if success_threshold is not None:
            success_threshold = finite("success_threshold", success_threshold)
        table = self.table
        slot = table.find(task_id)
        if slot < 0:
            threshold = success_threshold
            if threshold is None:
                threshold = self.default_success_threshold
            slot = self._ensure(task_id, {"success_threshold": threshold})
        begun = table.begin()
        row = table.save_row(slot)
        if success_threshold is not None:
            row[SUCCESS_THRESHOLD] = success_threshold
        if lp_score is not None:
            row[LP_SCORE] = lp_score
        if not self.is_completing(task_id):
            self.record(row, score)
            table.header.log_score(score)
        table.commit(begun)

    def record(self, row: memoryview[float], score: float) -> None:
        """Add one completion to a journaled row; the header's ``log_score`` is to follow. Lock
        held. The averages begin at the first score."""
        alpha, n, squared = self.ema_alpha, row[COMPLETION_COUNT], score * score
        success = 1.0 if score >= row[SUCCESS_THRESHOLD] else 0.0
        if n == 0.0:
            row[REWARD_EMA], row[SUCCESS_RATE_EMA], row[EMA_SQUARED] = score, success, squared
        else:
            row[REWARD_EMA] += alpha * (score - row[REWARD_EMA])
            row[SUCCESS_RATE_EMA] += self.success_alpha * (success - row[SUCCESS_RATE_EMA])
            row[EMA_SQUARED] += alpha * (squared - row[EMA_SQUARED])
        row[COMPLETION_COUNT] = n + 1.0
        row[TOTAL_SCORE] += score
        row[LAST_SCORE] = score
        row[self._total_squared] += squared

    def is_completing(self, task_id: int) -> bool:
        """Whether an algorithm is just being told of a completion of this task, which was recorded
        already. Lock held."""
        return self._completing == task_id

    def completing(self, task_id: int, tell: Callable[[], object]) -> None:
        """Call ``tell``, which tells an algorithm of a completion that was recorded already. Lock
        held."""
        before = self._completing
        try:
            self._completing = task_id
            tell()
        finally:
            self._completing = before

    @exclusive
    def update_lp_score(self, task_id: int, lp_score: float) -> None:
        """Set a task's learning progress; a task that is not tracked is ignored."""
        task_id, lp_score = validate_task_id(task_id), validate_score(task_id, lp_score)
        slot = self.table.find(task_id)
        if slot >= 0:
            self._set(slot, LP_SCORE, lp_score)

    @exclusive
    def get_column(self, task_id: int, name: str) -> float:
        """A column of a task. Raises KeyError for a task or column that does not exist."""
        return self.table.row(self._slot(task_id))[self.table.offset(name)]

    @exclusive
    def set_column(self, task_id: int, name: str, value: float) -> None:
        """Set a column that a component declared.

        Raises:
            KeyError: the task is not tracked, or there is no such column.
            ValueError: the column is the table's own, or cannot hold the value.
        """
        slot, layout = self._slot(task_id), self.table.layout
        column = layout.column(name)
        if name not in layout.settable:
            allowed = ", ".join(sorted(layout.settable)) or "none here"
            raise ValueError(
                f"column {name!r} is kept by the tracker and cannot be set: declared columns can "
                f"({allowed})"
            )
        value = finite(f"column {name!r}", value)
        if not column.low <= value <= column.high:
            raise ValueError(
                f"column {name!r} cannot hold {value}: it is declared from {column.low:g} to "
                f"{column.high:g}"
            )
        self._set(slot, layout.offset(name), value)

    def _set(self, slot: int, column: int, value: float) -> None:
        begun = self.table.begin()
        self.table.save_row(slot)[column] = value
        self.table.commit(begun)

    def _slot(self, task_id: int) -> int:
        slot = self.table.find(validate_task_id(task_id))
        if slot < 0:
            raise KeyError(f"task {task_id} is not tracked: track_task_creation({task_id}) first")
        return slot

    @exclusive
    def get_task_state(self, task_id: int) -> TaskState | None:
        """The task's row, or None if it is not tracked."""
        slot = self.table.find(validate_task_id(task_id))
        return (
            None
            if slot < 0
            else task_state(self.table.layout.names, self.table.rows[slot].tolist())
        )

    def get_task_stats(self, task_id: int) -> dict[str, float] | None:
        """Statistics of a task, or None if it is not tracked. ``mean_score`` is 0 before the first
        completion."""
        state = self.get_task_state(task_id)
        return None if state is None else state.summary(time.time())

    def get_all_tracked_tasks(self) -> list[int]:
        """Ids of the tracked tasks, in the order of their slots."""
        copy = snapshot(self.table, ("task_id", "is_active"))
        return copy.column("task_id")[copy.active()].astype(np.int64).tolist()

    @exclusive
    def remove_task(self, task_id: int) -> None:
        """Stop tracking a task; one that is not tracked is ignored. Its completions still count in
        the totals."""
        slot = self.table.find(validate_task_id(task_id))
        if slot >= 0:
            self.table.remove(slot)

    def get_global_stats(self) -> dict[str, float]:
        """Totals over all tasks. ``mean_recent_score`` is over the last ``completion_history_size``
        completions."""
        copy = snapshot(self.table, ("completion_count",))
        recent, counters = copy.recent_scores(), copy.counters
        completed = counters["closed_completed"] + copy.column("completion_count").sum()
        return {
            "mean_recent_score": float(recent.mean()) if recent.size else 0.0,
            "total_tracked_tasks": float(counters["active"]),
            "total_completions": float(completed),
        }

    def get_state(self) -> dict[str, Any]:
        """Everything in the table, as plain arrays, numbers and strings."""
        return to_state(snapshot(self.table))

    @exclusive
    def load_state(self, state: dict[str, Any]) -> None:
        """Replace the table by a saved one; ValueError, and no change, if it does not fit."""
        self.table.replace(self.fitting(state))

    def fitting(self, state: Any) -> dict[str, Any]:
        """A saved table in the form in which this one takes it over; ValueError if it does not
        fit, or holds ids that cannot be tracked."""
        pool = fitted(state, self.table.layout)
        check_ids(pool, self.num_ids)
        return pool

    def cleanup_shared_memory(self) -> None:
        """Let go of the memory; the last process out removes it. Idempotent."""
        self._backend.cleanup()


def create_task_tracker(
    max_memory_tasks: int = 1000,
    use_shared_memory: bool = False,
    session_id: str | None = None,
    **options: Any,
) -> TaskTracker:
    """A tracker in local memory, or shared under ``session_id``. ``options`` as for
    :class:`TaskTracker`."""
    return TaskTracker(
        max_memory_tasks=max_memory_tasks,
        use_shared_memory=use_shared_memory,
        session_id=session_id,
        **options,
    )


def LocalTaskTracker(max_memory_tasks: int = 1000, ema_alpha: float = 0.1) -> TaskTracker:
    """Old name of a tracker in local memory."""
    warnings.warn(
        "LocalTaskTracker() is deprecated: use create_task_tracker()",
        DeprecationWarning,
        stacklevel=2,
    )
    return TaskTracker(max_memory_tasks=max_memory_tasks, ema_alpha=ema_alpha)


def CentralizedTaskTracker(
    max_memory_tasks: int = 1000, session_id: str | None = None, ema_alpha: float = 0.1
) -> TaskTracker:
    """Old name of a tracker in shared memory."""
    warnings.warn(
        "CentralizedTaskTracker() is deprecated: use create_task_tracker(use_shared_memory=True, "
        "session_id=...)",
        DeprecationWarning,
        stacklevel=2,
    )
    return TaskTracker(
        max_memory_tasks=max_memory_tasks,
        ema_alpha=ema_alpha,
        session_id=session_id,
        use_shared_memory=True,
    )
