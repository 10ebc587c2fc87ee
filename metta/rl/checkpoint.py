"""Checkpoints: one file each, complete or absent, and read without executing code from it.

A file ``step_000000123456.pt`` holds everything a run needs to go on: network, optimiser, counters,
the curriculum's pool and torch's random state. It is written to a temporary name, flushed to the
disk and renamed, so a crash leaves the previous one. It is read with
``torch.load(weights_only=True)``. Format 1 is read by this version; another format is an error that
names both.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from metta.rl.files import FileError, write_whole

FORMAT = 1

_NAME = re.compile(r"step_(\d{12})\.pt")
_WAY_OUT = (
    "A run whose newest checkpoint is damaged goes on from the one before once that file is moved "
    "elsewhere"
)
_DEEPEST = 32
"""Levels of nesting; a checkpoint has 6."""
_COUNT_LIMIT = 2**63
_LONGEST = 60
_CPU = torch.device("cpu")
_DTYPES = {
    *(torch.float16, torch.float32, torch.float64),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
    *(torch.uint16, torch.uint32, torch.uint64),
}
"""Those that numpy has too."""
_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile and torch's reader of plain data raise depends on which byte is wrong."""

_T = TypeVar("_T")


class CheckpointError(FileError):
    """A checkpoint that is missing, unreadable, not of this format, or not of this run."""


@dataclass(frozen=True)
class SavedPolicy:
    """What a checkpoint says of its policy."""

    path: Path
    name: str
    """The run's ``policy.name``."""
    weights: dict[str, torch.Tensor]
    """The network's ``state_dict()``; every number is finite."""


@dataclass(frozen=True)
class SavedRun:
    """What a checkpoint holds of a run, each part of the kind that it should be. Whether network,
    optimiser and pool fit those of a configuration is not known yet."""

    path: Path
    agent_steps: int
    epoch: int
    policy: SavedPolicy
    optimizer: dict[str, Any]
    curriculum: dict[str, Any]
    torch_random_state: torch.Tensor

    def does_not_fit(self, part: str, reason: object) -> CheckpointError:
        """The error that ``part`` of this checkpoint cannot be taken over because of ``reason``."""
        said = " ".join(str(reason).split()) or type(reason).__name__
        return CheckpointError(
            f"{self.path} cannot be taken over: {part} ({said}). Use the configuration it was "
            "saved with (config.yaml) or another run name; if the file is damaged, move it "
            "elsewhere: the run then goes on from the one before"
        )


def save_checkpoint(folder: Path, agent_steps: int, content: dict[str, Any], keep: int) -> Path:
    """Write ``content`` (arrays, tensors, numbers, strings, lists, dicts), then remove all but the
    ``keep`` newest.

    Raises:
        FileError: it cannot be written; those before are untouched.
    """
    path = folder / f"step_{agent_steps:012d}.pt"
    # To memory first: torch would hide the reason for which a file cannot be written.
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **to_tensors(content)}, buffer)
    write_whole(path, buffer.getbuffer())
    for old in [*list_checkpoints(folder)[:-keep], *folder.glob("step_*.tmp")]:
        old.unlink()  # besides the older ones, what a killed process left half written
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What ``save_checkpoint`` was given, with tensors (on the CPU) where arrays were; see
    ``to_arrays``.

    Raises:
        CheckpointError: missing, damaged, holding anything but plain data, or of another format.
    """
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        _check_plain(content)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}") from error
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{path} cannot be read as plain data ({_first_line(error)}): it is not a checkpoint, "
            f"or it is damaged. {_WAY_OUT}"
        ) from error
    found = content.get("format") if isinstance(content, dict) else None
    if type(found) is not int or found != FORMAT:
        raise CheckpointError(
            f"the checkpoint {path} has format {_brief(found)}, this version reads format {FORMAT}."
            f" {_WAY_OUT}"
        )
    return content


def read_run(path: Path) -> SavedRun:
    """The run saved in ``path``.

    Raises:
        CheckpointError: see ``load_checkpoint``; or a part is missing or of the wrong kind.
    """
    content = load_checkpoint(path)
    return SavedRun(
        path,
        _count(content, "agent_steps", path),
        _count(content, "epoch", path),
        _policy(content, path),
        _part(content, "optimizer", dict, path),
        _part(content, "curriculum", dict, path),
        _part(content, "torch_random_state", torch.Tensor, path),
    )


def read_policy(path: Path) -> SavedPolicy:
    """The policy saved in ``path``.

    Raises:
        CheckpointError: see ``load_checkpoint``; or a part is missing or of the wrong kind.
    """
    return _policy(load_checkpoint(path), path)


def list_checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step_*.pt") if _NAME.fullmatch(path.name))


def latest_checkpoint(folder: Path) -> Path | None:
    """The one of the most agent steps; None where there is none."""
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


def _check_archive(path: Path) -> None:
    """Raise an error of _UNREADABLE unless ``path`` is a zip archive, as torch writes, whose
    checksums hold."""
    if not zipfile.is_zipfile(path):
        path.open("rb").close()  # a file that is missing or not to be read says so itself
        raise zipfile.BadZipFile("it is not an archive")
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged!r} is wrong")


def _check_plain(value: Any, depth: int = 0) -> None:
    """Raise a TypeError if ``value`` holds anything that ``save_checkpoint`` does not write."""
    if depth > _DEEPEST:
        raise TypeError(f"it is nested more than {_DEEPEST} levels deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int):
                raise TypeError(f"it holds the key {_brief(key)}")
            _check_plain(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_plain(item, depth + 1)
    elif isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.dtype not in _DTYPES or value.device != _CPU:
            raise TypeError(f"it holds a tensor of {value.dtype} on {value.device}")
    elif not isinstance(value, str | int | float | None):
        raise TypeError(f"it holds a {type(value).__name__}")


def _policy(content: dict[str, Any], path: Path) -> SavedPolicy:
    name = _part(content, "policy_name", str, path)
    weights = _part(content, "policy", dict, path)
    for key, value in weights.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise _damaged(path, f"policy[{_brief(key)}] is no tensor")
        if not bool(value.isfinite().all()):
            raise _damaged(path, f"policy[{_brief(key)}] holds numbers that are not finite")
    return SavedPolicy(path, name, weights)


def _count(content: dict[str, Any], key: str, path: Path) -> int:
    value = _part(content, key, int, path)
    if isinstance(value, bool) or not 0 <= value < _COUNT_LIMIT:
        raise _damaged(path, f"{key} is {_brief(value)}")
    return value


def _part(content: dict[str, Any], key: str, kind: type[_T], path: Path) -> _T:
    if key not in content:
        raise _damaged(path, f"{key} is missing")
    value = content[key]
    if not isinstance(value, kind):
        raise _damaged(path, f"{key} is a {type(value).__name__}, not a {kind.__name__}")
    return value


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is not a whole checkpoint of a run: {reason}. {_WAY_OUT}")


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _first_line(reason: object) -> str:
    return (str(reason).splitlines() or [type(reason).__name__])[0][:200]
