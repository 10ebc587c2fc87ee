"""A curriculum's state in a file beside a model: numbers and text, read without executing code.

The file is numpy's ``.npz``: the arrays of :meth:`Curriculum.get_state`, numbered, and ``state``,
the rest as JSON with their numbers in it. It is written to a temporary name and renamed, so a crash
leaves the one before. What of it can be loaded is said at :meth:`Curriculum.load_state`.
"""

from __future__ import annotations

import io
import json
import os
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from metta.cogworks.curriculum.curriculum import Curriculum

_STATE = "state"
_ARRAY = "array:"
_SUFFIX = ".curriculum.npz"
_UNREADABLE = (
    *(ValueError, TypeError, LookupError, ArithmeticError, EOFError, OSError, MemoryError),
    *(NotImplementedError, RecursionError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
"""What numpy's reader, zipfile and JSON raise depends on which byte is wrong."""


def curriculum_path(model_path: str | os.PathLike[str]) -> Path:
    """Where the curriculum lies that belongs to a model: ``models/ppo.curriculum.npz`` for
    ``models/ppo`` or ``models/ppo.zip``."""
    path = Path(model_path)
    if path.name.endswith(_SUFFIX):  # its own path
        return path
    if path.suffix == ".zip":  # which Stable-Baselines3 adds
        path = path.with_suffix("")
    return path.with_name(f"{path.name}{_SUFFIX}")


def save_curriculum(curriculum: Curriculum, model_path: str | os.PathLike[str]) -> Path:
    """Write the curriculum's state beside a model. Returns the file's path.

    Args:
        model_path: the model's, with or without ``.zip``; it need not exist, its folder is made.
    """
    path = curriculum_path(model_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: list[np.ndarray] = []
    text = json.dumps(_without_arrays(curriculum.get_state(), arrays))
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            named = {str(number): array for number, array in enumerate(arrays)}
            np.savez(file, allow_pickle=False, **{_STATE: np.array(text)}, **named)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def load_curriculum(
    curriculum: Curriculum, model_path: str | os.PathLike[str], changed_tasks: bool = False
) -> None:
    """Load what :func:`save_curriculum` has written beside a model. Nothing is in flight then: the
    episodes that ran are lost.

    Args:
        curriculum: whose pool is replaced, for every process that shares it.
        changed_tasks: see :meth:`Curriculum.load_state`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file cannot be read, or the state does not fit: the message names each field
            that differs. Nothing changes.
    """
    path = curriculum_path(model_path)
    raw = path.read_bytes()
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            state = _with_arrays(json.loads(str(file[_STATE])), file)
    except _UNREADABLE as error:
        raise ValueError(
            f"{path} cannot be read as a curriculum's state ({error}): give the path of a model "
            "that save_curriculum or CurriculumCallback has saved one beside"
        ) from error
    curriculum.load_state(state, changed_tasks)
    curriculum.forget_in_flight()


def _without_arrays(value: Any, arrays: list[np.ndarray]) -> Any:
    """The value with a number in place of each array, which is appended to ``arrays``."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return f"{_ARRAY}{len(arrays) - 1}"
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _without_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(item, arrays) for item in value]
    if isinstance(value, str):
        return f":{value}"  # so that no text is taken for an array
    return value


def _with_arrays(value: Any, arrays: Any) -> Any:
    """The reverse."""
    if isinstance(value, dict):
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    if isinstance(value, str):
        return value[1:] if value.startswith(":") else arrays[value.removeprefix(_ARRAY)]
    return value
