"""Deprecated: use :mod:`metta.cogworks.curriculum`."""

import warnings

from metta.cogworks.curriculum.learning_progress_algorithm import (
    LearningProgressAlgorithm,
    LearningProgressConfig,
)
from metta.cogworks.curriculum.lp_scorers import BasicLPScorer, BidirectionalLPScorer, LPScorer

__all__ = [
    "BasicLPScorer",
    "BidirectionalLPScorer",
    "LPScorer",
    "LearningProgressAlgorithm",
    "LearningProgressConfig",
]

warnings.warn(
    "agora.algorithms is now metta.cogworks.curriculum",
    DeprecationWarning,
    stacklevel=2,
)
