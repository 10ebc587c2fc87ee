"""Deprecated: use :mod:`metta.cogworks.curriculum.curriculum_env`. Needs pufferlib."""

from metta.cogworks.curriculum.curriculum_env import CurriculumEnv

__all__ = ["CurriculumEnv"]
