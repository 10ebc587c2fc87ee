"""Deprecated: use :mod:`metta.cogworks.curriculum.lp_scorers`."""

from metta.cogworks.curriculum.lp_scorers import BasicLPScorer, BidirectionalLPScorer, LPScorer

__all__ = ["BasicLPScorer", "BidirectionalLPScorer", "LPScorer"]
