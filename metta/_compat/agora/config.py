"""Deprecated: use :mod:`metta.cogworks.curriculum.task_generator`."""

import warnings

from metta.cogworks.curriculum.task_generator import TaskConfig, TConfig

__all__ = ["TConfig", "TaskConfig"]

warnings.warn(
    "agora.config is now metta.cogworks.curriculum.task_generator",
    DeprecationWarning,
    stacklevel=2,
)
