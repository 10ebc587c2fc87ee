"""What a recipe returns: a tool, which the recipe runner configures further and then invokes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from metta.cogworks.curriculum import CurriculumConfig
from metta.rl.config import RunSettings
from metta.usage import UsageError


class Tool(RunSettings, ABC):
    """Settings that every tool has. ``invoke()`` does the work and returns the process's exit
    status."""

    starts_run: ClassVar[bool] = False
    """Whether each invocation is a new run, to be named where the caller names none."""

    @abstractmethod
    def invoke(self) -> int:
        """Do the work. Returns 0 for success."""

    @abstractmethod
    def dry_run(self) -> str:
        """Build what the tool would work on, without doing the work. Returns one line that says
        what was built."""


def check_tasks(curriculum: CurriculumConfig, key: str) -> None:
    """Make the task generator once, so that a bucket or override that cannot be is told before
    anything starts.

    Raises:
        UsageError: it cannot be made, or has fewer tasks than ``max_task_id`` says; the message
            begins with ``key``, where the curriculum stands.
    """
    if curriculum.task_generator is None:
        return
    try:
        generator = curriculum.task_generator.create()
    except (ValueError, TypeError) as error:
        raise UsageError(f"{key}.task_generator: {error}") from error
    try:
        curriculum.num_ids(generator)
    except ValueError as error:
        raise UsageError(f"{key}: {error}") from error
