"""Files that are complete or absent, and errors that name them."""

from __future__ import annotations

import os
from pathlib import Path

from metta.usage import ReportedError


class FileError(ReportedError):
    """A file of a run that cannot be written, or cannot be read as what it should be."""


RESUME = (
    "or give data_dir=FOLDER on another disk and move the run's folder to it; what was saved "
    "before is whole, and the same command then goes on from the newest checkpoint"
)
"""The way out where a file of a run cannot be written."""


def write_whole(path: Path, content: bytes | memoryview, way_out: str = RESUME) -> None:
    """Write ``content`` to a temporary name, flush it to the disk and rename it: after a crash or
    on a full disk ``path`` is what it was before, and nothing else is left.

    Args:
        way_out: what else the user can do than make room.

    Raises:
        FileError: it cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error, way_out) from error


def cannot_write(path: Path, error: OSError, way_out: str = RESUME) -> FileError:
    """What to say where ``path`` could not be written."""
    return FileError(
        f"{path} cannot be written ({error.strerror or error}): make room there, {way_out}"
    )


def _sync_folder(folder: Path) -> None:
    # The renaming itself must reach the disk too.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
