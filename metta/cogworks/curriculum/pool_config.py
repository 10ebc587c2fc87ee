"""The settings of a pool, whatever the algorithm that chooses its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from metta.cogworks.curriculum.older.fields import algorithm_fields
from metta.cogworks.curriculum.pool.backends import MAX_COLUMNS, TASK_STRUCT_SIZE
from metta.cogworks.curriculum.pool.layout import MAX_SLICE_AXES, Column
from metta.cogworks.curriculum.sessions import LOCK_TIMEOUT_SECONDS, checked_session_id
from metta.cogworks.curriculum.strict_config import StrictConfig
from metta.cogworks.curriculum.task_tracker import TaskTracker
from metta.cogworks.curriculum.tasks.inputs import MAX_ABS_SCORE, MAX_SIZE


class PoolConfig(StrictConfig):
    """How large a pool is, who shares it, and what is kept of its tasks."""

    num_active_tasks: int = Field(
        default=1000,
        ge=1,
        le=MAX_SIZE,
        description="capacity of the pool, in tasks; the guide's default",
    )
    use_shared_memory: bool = Field(
        default=True, description="share the pool with every process of the session"
    )
    session_id: Annotated[str, AfterValidator(checked_session_id)] | None = Field(
        default=None, description="name of the shared pool; None: a new one"
    )
    task_struct_size: int = Field(
        default=TASK_STRUCT_SIZE,
        ge=TASK_STRUCT_SIZE,
        le=MAX_COLUMNS,
        description="float64 a row shows; those beyond 13 are the user's",
    )
    completion_history_size: int = Field(
        default=1000, ge=1, le=MAX_SIZE, description="scores that mean_recent_score averages"
    )
    task_tracker_ema_alpha: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="weight of the latest score in reward_ema and ema_squared; the guide's default",
    )
    task_default_success_threshold: float = Field(
        default=0.5,
        gt=-MAX_ABS_SCORE,
        lt=MAX_ABS_SCORE,
        description="score from which a completion is a success",
    )
    task_default_generator_type: float = Field(
        default=0.0,
        gt=-MAX_ABS_SCORE,
        lt=MAX_ABS_SCORE,
        description="number stored with every task",
    )
    memory: int = Field(
        default=25,
        ge=1,
        le=MAX_SIZE,
        description="completions that the success rate looks back on, as the exponential average "
        "with α = 2/(memory + 1), whose centre of mass is that of the window; the guide's default",
    )
    max_slice_axes: int = Field(
        default=3,
        ge=0,
        le=MAX_SLICE_AXES,
        description="buckets whose values are followed; the guide's default",
    )
    enable_detailed_slice_logging: bool = Field(
        default=False, description="report statistics per bucket value"
    )
    lock_timeout_seconds: float = Field(
        default=LOCK_TIMEOUT_SECONDS,
        gt=0,
        description="of waiting for the pool's lock, until LockTimeoutError names who keeps it",
    )

    @model_validator(mode="before")
    @classmethod
    def _older_fields(cls, data: Any) -> Any:
        return algorithm_fields(cls.__name__, cls.model_fields, data)

    def make_tracker(
        self,
        columns: Sequence[Column] = (),
        max_tasks: int | None = None,
        identity: Mapping[str, Any] | None = None,
        num_ids: int | None = None,
    ) -> TaskTracker:
        """The pool as configured, with these columns beside the documented ones.

        Args:
            columns: what the algorithm and its parts declare.
            max_tasks: capacity where it is less than ``num_active_tasks``.
            identity, num_ids: see :class:`~metta.cogworks.curriculum.task_tracker.TaskTracker`.
        """
        return TaskTracker(
            max_memory_tasks=self.num_active_tasks if max_tasks is None else max_tasks,
            ema_alpha=self.task_tracker_ema_alpha,
            session_id=self.session_id if self.use_shared_memory else None,
            use_shared_memory=self.use_shared_memory,
            task_struct_size=self.task_struct_size,
            completion_history_size=self.completion_history_size,
            default_success_threshold=self.task_default_success_threshold,
            default_generator_type=self.task_default_generator_type,
            columns=columns,
            slice_axes=self.max_slice_axes,
            success_alpha=2.0 / (self.memory + 1.0),
            identity=identity,
            num_ids=num_ids,
            lock_timeout_seconds=self.lock_timeout_seconds,
        )
