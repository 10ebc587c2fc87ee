"""Deprecated: use :mod:`metta.cogworks.curriculum.task_generator`."""

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
