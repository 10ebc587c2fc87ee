"""Deprecated: use :mod:`metta.cogworks.curriculum`."""

from metta.cogworks.curriculum.task_generator import TaskConfig, TConfig

__all__ = ["TConfig", "TaskConfig"]
