"""Tasks that are made by hand, as older algorithms and their tests do, and belong to no
curriculum."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from metta.cogworks.curriculum.older.told import deprecated
from metta.cogworks.curriculum.pool.backends import TaskState
from metta.cogworks.curriculum.scores import validate_score
from metta.cogworks.curriculum.tasks.ids import validate_task_id
from metta.cogworks.curriculum.tasks.inputs import instance
from metta.cogworks.curriculum.tasks.task_config import TaskConfig, label_of, read_label

SUCCESS_THRESHOLD = 0.5
"""The guide's default."""


class HandMade:
    """What a task that was made by hand has in place of a curriculum: it keeps the scores itself.

    Args:
        task_id: of the task.
        env_cfg: its configuration.
        slice_values: value of each bucket, by path; None: it has none.

    Raises:
        ValueError: an id that cannot be one.
        TypeError: slice values that are no mapping.
    """

    def __init__(self, task_id: Any, env_cfg: Any, slice_values: Mapping[str, Any] | None):
        task_id = validate_task_id(task_id)
        values = {} if slice_values is None else slice_values
        instance("slice_values", values, Mapping, "give a mapping of bucket paths to values")
        self._config, self._slice_values = env_cfg, dict(values)
        self._state = TaskState(
            task_id=task_id,
            creation_time=time.time(),
            success_threshold=SUCCESS_THRESHOLD,
            seed=task_id,
            is_active=True,
        )

    @property
    def task_id(self) -> int:
        """Of the task."""
        return self._state.task_id

    def build(self, task_id: int) -> Any:
        """The configuration as it was given."""
        return self._config

    def label_of(self, task_id: int) -> str:
        """Label of the configuration; "" where it cannot have one."""
        if isinstance(self._config, TaskConfig):
            return label_of(self._config)
        return read_label(self._config) or ""

    def bucket_values_of(self, task_id: int) -> dict[str, Any]:
        """Bucket values as they were given."""
        return dict(self._slice_values)

    def update_task_performance(self, task_id: int, score: float) -> None:
        """Record a completion; the averages are plain means of all scores."""
        score, state = validate_score(task_id, score), self._state
        n = state.completion_count + 1
        success = float(score >= state.success_threshold)
        self._state = state.model_copy(
            update={
                "completion_count": n,
                "reward_ema": state.reward_ema + (score - state.reward_ema) / n,
                "success_rate_ema": state.success_rate_ema + (success - state.success_rate_ema) / n,
                "ema_squared": state.ema_squared + (score * score - state.ema_squared) / n,
                "total_score": state.total_score + score,
                "last_score": score,
            }
        )

    def state_of(self, task_id: int) -> TaskState:
        """What was recorded."""
        return self._state


def made_by_hand(task_id: Any, env_cfg: Any, slice_values: Mapping[str, Any] | None) -> HandMade:
    """:class:`HandMade`, with a warning that names the new way."""
    source = HandMade(task_id, env_cfg, slice_values)
    deprecated(
        "CurriculumTask(task_id, env_cfg) is deprecated: a curriculum's get_task() makes tasks, "
        "and an algorithm without a curriculum takes ids: "
        "algorithm.task_tracker.track_task_creation(task_id)"
    )
    return source
