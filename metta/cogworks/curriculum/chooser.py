"""What an environment needs of that which chooses its tasks."""

from __future__ import annotations

import logging
from typing import Any, Protocol, runtime_checkable

_LOG = logging.getLogger(__name__)


class PlayableTask(Protocol):
    """A task, as an environment plays it."""

    @property
    def task_id(self) -> int:
        """Identity of the task."""
        ...

    def get_env_cfg(self) -> Any:
        """The environment's configuration."""


@runtime_checkable
class TaskChooser(Protocol):
    """What chooses the tasks of an environment: a ``Curriculum``, or any object with these three
    methods."""

    def get_task(self) -> PlayableTask:
        """The task of the next episode."""
        ...

    def update_task_performance(self, task_id: int, score: float) -> None:
        """Take note of a completion."""

    def stats(self) -> dict[str, float]:
        """Statistics, by name."""
        ...


@runtime_checkable
class CarefulChooser(TaskChooser, Protocol):
    """A chooser that is also told of episodes and tasks that came to nothing, as a ``Curriculum``
    is."""

    def count_unscored(self, task_id: int, score: float) -> None:
        """An episode ended with a score that cannot be recorded."""

    def retire_task(self, task_id: int, reason: str) -> None:
        """A task cannot be played."""


@runtime_checkable
class KeepsConfigs(Protocol):
    """A chooser that keeps configurations to be used again, as a ``Curriculum`` does."""

    @property
    def configs(self) -> Any:
        """They, or None."""


@runtime_checkable
class GivesUp(Protocol):
    """A chooser that is told of episodes that were cut off, as a ``Curriculum`` is."""

    def give_up(self, task_id: int) -> None:
        """An episode comes to nothing."""


class Careful:
    """A chooser of three methods, with log messages for what it is not told of."""

    def __init__(self, chooser: TaskChooser) -> None:
        self.chooser = chooser
        self.get_task = chooser.get_task
        self.update_task_performance = chooser.update_task_performance
        self.stats = chooser.stats

    def count_unscored(self, task_id: int, score: float) -> None:
        """Log it."""
        _LOG.warning("an episode of task %s was not scored, its score is %r", task_id, score)

    def retire_task(self, task_id: int, reason: str) -> None:
        """Log it: the chooser may give the task again."""
        _LOG.warning(
            "task %s cannot be played, and %s has no retire_task to be told so: %s",
            task_id,
            type(self.chooser).__name__,
            reason,
        )


def careful(chooser: Any) -> Any:
    """The chooser itself, if it is a :class:`CarefulChooser`, otherwise around it one that is."""
    return chooser if isinstance(chooser, CarefulChooser) else Careful(chooser)


def give_up(chooser: Any, task: PlayableTask) -> None:
    """An episode of the task was cut off: tell the chooser, if it is a :class:`GivesUp`."""
    if isinstance(chooser, GivesUp):
        chooser.give_up(task.task_id)


def given(chooser: Any) -> Any:
    """What :func:`careful` was given."""
    return chooser.chooser if isinstance(chooser, Careful) else chooser
