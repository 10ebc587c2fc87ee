"""Deprecated: use :mod:`metta.cogworks.curriculum.curriculum`."""

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
