"""Deprecated: use :mod:`metta.cogworks.curriculum.task_generator`."""

import warnings

from metta.cogworks.curriculum.task_generator import SingleTaskGenerator

__all__ = ["SingleTaskGenerator"]

warnings.warn(
    "agora.generators.single is now metta.cogworks.curriculum.task_generator",
    DeprecationWarning,
    stacklevel=2,
)
