"""Tasks that cannot be played: what says so, and what comes of it.

A generator or an environment refuses a task by raising one of :data:`REFUSALS`. The task is retired
from the curriculum, and another one is drawn.
"""

from __future__ import annotations

from metta.cogworks.curriculum.curriculum import Curriculum
from metta.cogworks.curriculum.sessions import LockTimeoutError, SessionClosedError

MAX_ATTEMPTS = 1000
"""Invalid tasks in a row before giving up: one full pool of the default size, a few seconds of
refused resets."""

REFUSALS = (ValueError, RuntimeError, AssertionError, LookupError)
"""What a generator (TaskInvariantError is a ValueError) or an environment raises for a
configuration that cannot be."""


class InvalidTasksError(RuntimeError):
    """Every task that the curriculum proposed was refused by its generator or by the
    environment."""


def retire(curriculum: Curriculum, task_id: int, error: Exception) -> None:
    """Retire a task that was refused. Raises InvalidTasksError when it was the last one."""
    try:
        curriculum.retire_task(task_id, f"{type(error).__name__}: {error}")
    except (SessionClosedError, LockTimeoutError):
        raise
    except RuntimeError as empty:  # that was the last task
        raise InvalidTasksError(str(empty)) from error


def all_refused(attempts: int, reason: Exception | None) -> InvalidTasksError:
    """The error that so many tasks in a row were refused, the last one for ``reason``."""
    error = InvalidTasksError(
        f"every task was invalid: {attempts} tasks in a row were refused, the last "
        f"one because of {type(reason).__name__}: {reason}. Check the buckets and overrides of "
        "the task generator"
    )
    error.__cause__ = reason
    return error
