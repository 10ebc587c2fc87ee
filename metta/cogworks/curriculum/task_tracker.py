"""What is known of each task: creation, completions, averages. One tracker for every backend.

The tracker records into the rows of a :class:`~metta.cogworks.curriculum.task_table.TaskTable`; it
keeps no state of its own.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from metta.cogworks.curriculum.shared_memory_backend import (
    TASK_STRUCT_SIZE,
    LocalMemoryBackend,
    SharedMemoryBackend,
    TaskMemoryBackend,
    TaskState,
)
from metta.cogworks.curriculum.task_table import (
    CLOCK,
    HISTORY,
    TOTAL_SQUARED,
    Column,
    TableLayout,
    TaskTable,
)
from metta.cogworks.curriculum.task_values import MAX_TASK_ID, validate_task_id

# Larger scores would overflow when squared and summed; no reward is near it.
MAX_ABS_SCORE = 1e100


def validate_score(task_id: object, score: object) -> float:
    """The score as a float. Raises ValueError, naming the task, for what is not a finite number."""
    value = score if type(score) is float else _as_float(task_id, score)
    if not -MAX_ABS_SCORE < value < MAX_ABS_SCORE:  # false for NaN
        raise ValueError(
            f"score {value} of task {task_id} is not allowed: scores are finite, of magnitude "
            f"below {MAX_ABS_SCORE:g}; "
            "check the environment's reward"
        )
    return value


def validate_completion(task_id: Any, score: Any) -> tuple[int, float]:
    """Id and score as int and float. Raises ValueError for an id that cannot be one, and for a
    score that is not finite."""
    if (
        type(task_id) is int
        and 0 <= task_id <= MAX_TASK_ID
        and type(score) is float
        and abs(score) < MAX_ABS_SCORE
    ):
        return (
            task_id,
            score,
        )  # on the path of every episode: at once, for what comes from an environment
    task_id = validate_task_id(task_id)
    return task_id, validate_score(task_id, score)


def _as_float(task_id: object, score: Any) -> float:
    if not isinstance(score, str | bytes | bytearray):  # which float() would parse
        try:
            return float(score)
        except OverflowError:  # an integer beyond all floats
            return math.inf
        except (TypeError, ValueError):
            pass
    raise ValueError(f"score {score!r} of task {task_id} is not a number: send a finite float")


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
    ):
        if not 0.0 < ema_alpha <= 1.0:
            raise ValueError(
                f"ema_alpha={ema_alpha!r} is not allowed: give a number above 0, at most 1"
            )
        if backend is not None:
            max_memory_tasks, task_struct_size = backend.max_tasks, backend.task_struct_size
            completion_history_size = backend.completion_history_size
        layout = TableLayout(
            max_memory_tasks, columns, slice_axes, task_struct_size, completion_history_size
        )
        if backend is None:
            extra = {"extra_columns": layout.extra_columns, "extra_bytes": layout.extra_bytes}
            if use_shared_memory:
                backend = SharedMemoryBackend(
                    max_memory_tasks,
                    session_id,
                    task_struct_size,
                    completion_history_size,
                    layout=layout.describe(),
                    **extra,
                )
            else:
                backend = LocalMemoryBackend(
                    max_memory_tasks, task_struct_size, completion_history_size, **extra
                )
        self._backend = backend
        self.table = TaskTable(layout, backend)
        self.ema_alpha = ema_alpha
        self.success_alpha = ema_alpha if success_alpha is None else success_alpha
        self.default_success_threshold = default_success_threshold
        self.default_generator_type = default_generator_type
        self._total_squared = self.table.offset(TOTAL_SQUARED)

    @property
    def backend(self) -> TaskMemoryBackend:
        """The memory this tracker records into."""
        return self._backend

    @property
    def session_id(self) -> str | None:
        """Name under which other processes open the same memory; None if they cannot."""
        return self._backend.session_id if isinstance(self._backend, SharedMemoryBackend) else None

    def track_task_creation(
        self,
        task_id: int,
        success_threshold: float | None = None,
        seed: float | None = None,
        generator_type: float | None = None,
    ) -> None:
        """Begin to track a task; one that is tracked already is left as it is. A full tracker
        forgets its oldest task."""
        task_id = validate_task_id(task_id)
        fields = {
            "success_threshold": self.default_success_threshold
            if success_threshold is None
            else success_threshold,
            "seed": float(task_id) if seed is None else seed,
            "generator_type": self.default_generator_type
            if generator_type is None
            else generator_type,
        }
        with self.table:
            self._ensure(task_id, fields)

    def _ensure(self, task_id: int, fields: dict[str, float]) -> int:
        table = self.table
        slot = table.find(task_id)
        if slot < 0:
            active = table.active()
            if active.all():
                table.remove(int(np.argmin(table.column("creation_time"))))
            slot = table.insert(task_id, fields)
        return slot

    def update_task_performance(
        self,
        task_id: int,
        score: float,
        lp_score: float | None = None,
        success_threshold: float | None = None,
    ) -> None:
        """Record a completion. A task that is not tracked yet is tracked from now on.

        Raises ValueError for a score that is not finite or an id that cannot be one; nothing
        changes then.
        """
        task_id, score = validate_completion(task_id, score)
        lp_score = None if lp_score is None else validate_score(task_id, lp_score)
        with self.table as table:
            slot = table.find(task_id)
            if slot < 0:
                threshold = (
                    self.default_success_threshold
                    if success_threshold is None
                    else success_threshold
                )
                slot = self._ensure(task_id, {"success_threshold": threshold})
            b = table.save_row(slot)
            if success_threshold is not None:
                table.values[b + 8] = success_threshold
            self.record_at(b, score)
            if lp_score is not None:
                table.values[b + 4] = lp_score
            table.commit()

    def record_at(self, base: int, score: float) -> None:
        """Add one completion to the row at ``base``, which is journaled. Lock held. The averages
        begin at the first score."""
        table, alpha = self.table, self.ema_alpha
        v, b, header = table.values, base, table.header
        n, squared = v[b + 2], score * score
        success = 1.0 if score >= v[b + 8] else 0.0
        if n == 0.0:
            v[b + 3], v[b + 5], v[b + 11] = score, success, squared
        else:
            v[b + 3] += alpha * (score - v[b + 3])
            v[b + 5] += self.success_alpha * (success - v[b + 5])
            v[b + 11] += alpha * (squared - v[b + 11])
        v[b + 2] = n + 1.0
        v[b + 6] += score
        v[b + 7] = score
        v[b + self._total_squared] += squared
        recorded = header[HISTORY]
        v[table.history_base + recorded % table.history_size] = score
        header[HISTORY] = recorded + 1
        header[CLOCK] += 1

    def update_lp_score(self, task_id: int, lp_score: float) -> None:
        """Set a task's learning progress; a task that is not tracked is ignored."""
        task_id, lp_score = validate_task_id(task_id), validate_score(task_id, lp_score)
        with self.table as table:
            slot = table.find(task_id)
            if slot >= 0:
                table.values[table.base(slot) + 4] = lp_score

    def get_column(self, task_id: int, name: str) -> float:
        """A declared column of a task. Raises KeyError for a task or column that does not exist."""
        with self.table as table:
            return table.values[table.base(self._slot(task_id)) + table.offset(name)]

    def set_column(self, task_id: int, name: str, value: float) -> None:
        """Set a declared column of a task. Raises KeyError for a task or column that does not
        exist."""
        with self.table as table:
            table.values[table.base(self._slot(task_id)) + table.offset(name)] = float(value)

    def _slot(self, task_id: int) -> int:
        slot = self.table.find(validate_task_id(task_id))
        if slot < 0:
            raise KeyError(f"task {task_id} is not tracked: track_task_creation({task_id}) first")
        return slot

    def get_task_state(self, task_id: int) -> TaskState | None:
        """The task's row, or None if it is not tracked."""
        with self.table as table:
            slot = table.find(validate_task_id(task_id))
            return None if slot < 0 else table.state(slot)

    def get_task_stats(self, task_id: int) -> dict[str, float] | None:
        """Statistics of a task, or None if it is not tracked. ``mean_score`` is 0 before the first
        completion."""
        state = self.get_task_state(task_id)
        if state is None:
            return None
        n = state.completion_count
        return {
            "completion_count": n,
            "mean_score": state.total_score / n if n else 0.0,
            "last_score": state.last_score,
            "age_seconds": time.time() - state.creation_time,
            "reward_ema": state.reward_ema,
            "ema_squared": state.ema_squared,
            "lp_score": state.lp_score,
            "success_rate_ema": state.success_rate_ema,
            "success_threshold": state.success_threshold,
            "seed": state.seed,
            "generator_type": state.generator_type,
        }

    def get_all_tracked_tasks(self) -> list[int]:
        """Ids of the tracked tasks, in the order of their slots."""
        with self.table as table:
            return table.task_ids().tolist()

    def remove_task(self, task_id: int) -> None:
        """Stop tracking a task; one that is not tracked is ignored. Its completions still count in
        the totals."""
        with self.table as table:
            slot = table.find(validate_task_id(task_id))
            if slot >= 0:
                table.remove(slot)

    def get_global_stats(self) -> dict[str, float]:
        """Totals over all tasks. ``mean_recent_score`` is over the last ``completion_history_size``
        completions."""
        with self.table as table:
            recent = table.recent_scores()
            tracked, completed = table.task_ids().size, table.completed()
        return {
            "mean_recent_score": float(recent.mean()) if recent.size else 0.0,
            "total_tracked_tasks": float(tracked),
            "total_completions": float(completed),
        }

    def get_state(self) -> dict[str, Any]:
        """Everything in the table, as plain arrays, numbers and strings."""
        with self.table as table:
            return table.get_state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Replace the table by a saved one; ValueError, and no change, if it does not fit."""
        with self.table as table:
            table.load_state(state)

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
