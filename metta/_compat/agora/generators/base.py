"""Deprecated: use :mod:`metta.cogworks.curriculum.task_generator`."""

from metta.cogworks.curriculum.task_generator import Span, TaskGenerator, TaskGeneratorConfig

__all__ = ["Span", "TaskGenerator", "TaskGeneratorConfig"]
