"""Deprecated: use :mod:`metta.cogworks.curriculum.curriculum`."""

import warnings

from metta.cogworks.curriculum.curriculum import (
    Curriculum,
    CurriculumAlgorithm,
    CurriculumAlgorithmConfig,
    CurriculumConfig,
    CurriculumTask,
    DiscreteRandomConfig,
    DiscreteRandomCurriculum,
)

__all__ = [
    "Curriculum",
    "CurriculumAlgorithm",
    "CurriculumAlgorithmConfig",
    "CurriculumConfig",
    "CurriculumTask",
    "DiscreteRandomConfig",
    "DiscreteRandomCurriculum",
]

warnings.warn(
    "agora.curriculum is now metta.cogworks.curriculum.curriculum",
    DeprecationWarning,
    stacklevel=2,
)
