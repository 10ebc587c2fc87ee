"""Deprecated: use :mod:`metta.cogworks.curriculum.task_generator`."""

import warnings

from metta.cogworks.curriculum.task_generator import (
    BucketedTaskGenerator,
    SingleTaskGenerator,
    Span,
    TaskGenerator,
    TaskGeneratorConfig,
    TaskGeneratorSet,
)

__all__ = [
    "BucketedTaskGenerator",
    "SingleTaskGenerator",
    "Span",
    "TaskGenerator",
    "TaskGeneratorConfig",
    "TaskGeneratorSet",
]

warnings.warn(
    "agora.generators is now metta.cogworks.curriculum.task_generator",
    DeprecationWarning,
    stacklevel=2,
)
