"""Deprecated: use :mod:`metta.cogworks.curriculum.task_generator`."""

from metta.cogworks.curriculum.task_generator import SingleTaskGenerator

__all__ = ["SingleTaskGenerator"]
