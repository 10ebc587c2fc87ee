"""Deprecated: use :mod:`metta.cogworks.curriculum.curriculum_env`. Its ``CurriculumEnv`` needs
pufferlib."""

import warnings
from typing import Any

__all__: list[str] = []

warnings.warn(
    "agora.wrappers is now metta.cogworks.curriculum.curriculum_env",
    DeprecationWarning,
    stacklevel=2,
)


def __getattr__(name: str) -> Any:
    if name == "CurriculumEnv":  # needs pufferlib: imported when asked for
        from metta.cogworks.curriculum.curriculum_env import CurriculumEnv

        return CurriculumEnv
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
