"""Deprecated: use :mod:`metta.cogworks.curriculum.task_generator`."""

from metta.cogworks.curriculum.task_generator import BucketedTaskGenerator

__all__ = ["BucketedTaskGenerator"]
