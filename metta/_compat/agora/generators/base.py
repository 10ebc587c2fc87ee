"""Deprecated: use :mod:`metta.cogworks.curriculum.task_generator`."""

import warnings

from metta.cogworks.curriculum.task_generator import (
    Span,
    TaskGenerator,
    TaskGeneratorConfig,
    TConfig,
    TTaskGenerator,
)

__all__ = ["Span", "TConfig", "TTaskGenerator", "TaskGenerator", "TaskGeneratorConfig"]

warnings.warn(
    "agora.generators.base is now metta.cogworks.curriculum.task_generator",
    DeprecationWarning,
    stacklevel=2,
)
