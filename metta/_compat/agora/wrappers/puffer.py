"""Deprecated: use :mod:`metta.cogworks.curriculum.curriculum_env`. Needs pufferlib."""

import warnings

from metta.cogworks.curriculum.curriculum_env import CurriculumEnv

__all__ = ["CurriculumEnv"]

warnings.warn(
    "agora.wrappers.puffer is now metta.cogworks.curriculum.curriculum_env",
    DeprecationWarning,
    stacklevel=2,
)
