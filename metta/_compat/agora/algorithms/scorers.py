"""Deprecated: use :mod:`metta.cogworks.curriculum.lp_scorers`."""

import warnings

from metta.cogworks.curriculum.lp_scorers import BasicLPScorer, BidirectionalLPScorer, LPScorer

__all__ = ["BasicLPScorer", "BidirectionalLPScorer", "LPScorer"]

warnings.warn(
    "agora.algorithms.scorers is now metta.cogworks.curriculum.lp_scorers",
    DeprecationWarning,
    stacklevel=2,
)
