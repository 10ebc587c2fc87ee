"""Deprecated: use :mod:`metta.cogworks.curriculum.task_generator`."""

import warnings

from metta.cogworks.curriculum.task_generator import BucketedTaskGenerator

__all__ = ["BucketedTaskGenerator"]

warnings.warn(
    "agora.generators.bucketed is now metta.cogworks.curriculum.task_generator",
    DeprecationWarning,
    stacklevel=2,
)
