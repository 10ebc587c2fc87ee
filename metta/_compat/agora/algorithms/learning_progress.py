"""Deprecated: use :mod:`metta.cogworks.curriculum.learning_progress_algorithm`."""

import warnings

from metta.cogworks.curriculum.learning_progress_algorithm import (
    LearningProgressAlgorithm,
    LearningProgressConfig,
)

__all__ = ["LearningProgressAlgorithm", "LearningProgressConfig"]

warnings.warn(
    "agora.algorithms.learning_progress is now "
    "metta.cogworks.curriculum.learning_progress_algorithm",
    DeprecationWarning,
    stacklevel=2,
)
