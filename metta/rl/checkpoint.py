"""Checkpoints: one file each, complete or absent, and read without executing code from it.

A file ``step_000000123456.pt`` holds everything a run needs to go on: network, optimiser, counters,
the curriculum's pool and torch's random state. It is written to a temporary name, flushed to the
disk and renamed, so a crash leaves the previous one. It is read with
``torch.load(weights_only=True)``. Format 1 is read by this version; another format is an error that
names both.
"""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

FORMAT = 1
_NAME = re.compile(r"step_(\d{12})\.pt")


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, unreadable or not of this format."""


def save_checkpoint(folder: Path, agent_steps: int, content: dict[str, Any], keep: int) -> Path:
    """Write ``content`` (arrays, tensors, numbers, strings, lists, dicts), then remove all but the
    ``keep`` newest."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{agent_steps:012d}.pt"
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save({"format": FORMAT, **to_tensors(content)}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(folder)
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What ``save_checkpoint`` was given, with tensors (on the CPU) where arrays were; see
    ``to_arrays``.

    Raises:
        CheckpointError: missing, damaged, holding anything but plain data, or of another format.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}") from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} cannot be read as plain data ({_first_line(error)}): it is not a checkpoint, "
            "or it is damaged. A run whose "
            "newest checkpoint is damaged goes on from the one before once that file is moved "
            "elsewhere"
        ) from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise CheckpointError(
            f"the checkpoint {path} has format {found}, this version reads format {FORMAT}"
        )
    return content


def list_checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step_*.pt") if _NAME.fullmatch(path.name))


def latest_checkpoint(folder: Path) -> Path | None:
    found = list_checkpoints(folder)
    return found[-1] if found else None


def to_tensors(value: Any) -> Any:
    """``value`` with every numpy array, at any depth, as a tensor of its type and every numpy
    number as Python's."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: to_tensors(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_tensors(item) for item in value]
    return value


def to_arrays(value: Any) -> Any:
    """The reverse: every tensor as a numpy array."""
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {key: to_arrays(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_arrays(item) for item in value]
    return value


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _sync_folder(folder: Path) -> None:
    # The renaming itself must reach the disk too.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
