"""Deprecated: use :mod:`metta.cogworks.curriculum.task_config`."""

from typing import TypeVar

from metta.cogworks.curriculum.task_config import TaskConfig

TConfig = TypeVar("TConfig", bound=TaskConfig)

__all__ = ["TConfig", "TaskConfig"]
