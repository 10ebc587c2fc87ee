"""Warnings about what only older code does."""

from __future__ import annotations

import inspect
import warnings

_INSIDE = ("metta.cogworks.curriculum", "pydantic")


def deprecated(message: str) -> None:
    """A DeprecationWarning at the line that called this package, through however many functions."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, DeprecationWarning, stacklevel=level)
