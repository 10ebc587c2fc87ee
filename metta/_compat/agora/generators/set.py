"""Deprecated: use :mod:`metta.cogworks.curriculum.task_generator`."""

import warnings

from metta.cogworks.curriculum.task_generator import TaskGeneratorSet

__all__ = ["TaskGeneratorSet"]

warnings.warn(
    "agora.generators.set is now metta.cogworks.curriculum.task_generator",
    DeprecationWarning,
    stacklevel=2,
)
