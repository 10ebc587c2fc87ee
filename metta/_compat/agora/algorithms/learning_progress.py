"""Deprecated: use :mod:`metta.cogworks.curriculum.learning_progress_algorithm`."""

from metta.cogworks.curriculum.learning_progress_algorithm import (
    LearningProgressAlgorithm,
    LearningProgressConfig,
)

__all__ = ["LearningProgressAlgorithm", "LearningProgressConfig"]
