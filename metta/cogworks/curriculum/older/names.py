"""Names of older versions, for the ``__getattr__`` of a module."""

from __future__ import annotations

from typing import Any

from metta.cogworks.curriculum.algorithm import DiscreteRandomConfig
from metta.cogworks.curriculum.older.told import deprecated

_RENAMED: dict[str, Any] = {"DiscreteRandomCurriculumConfig": DiscreteRandomConfig}


def renamed(module: str, name: str) -> Any:
    """What has this name in older versions, with a warning that says what it is called now.

    Raises:
        AttributeError: nothing has.
    """
    if name not in _RENAMED:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    found = _RENAMED[name]
    deprecated(f"{name} is deprecated: it is called {found.__name__} now")
    return found
