"""Deprecated: use :mod:`metta.cogworks.curriculum.task_generator`."""

from metta.cogworks.curriculum.task_generator import TaskGeneratorSet

__all__ = ["TaskGeneratorSet"]
