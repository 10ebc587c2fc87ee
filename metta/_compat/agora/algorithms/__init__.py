"""Deprecated: use :mod:`metta.cogworks.curriculum`."""

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
