"""What a session's memory means, as its locked file says: written by whoever makes the session,
compared by whoever opens it.

The file is the magic number, the length of what follows as 8 bytes, and a JSON object: the version,
the number of bytes of the memory, and the layout. A process of another version reads no more than
the version, and refuses the session.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from typing import Any

from metta.cogworks.curriculum.sessions.errors import SessionDamagedError, SessionMismatchError

VERSION = 3  # 3: files in a folder of the user's own; 2: in /dev/shm itself
_MAGIC = b"mettacur"
_LENGTH = struct.Struct("<Q")
_START = len(_MAGIC) + _LENGTH.size
_MAX_BYTES = 2**24
_MAX_DIFFERENCES = 10
_MAX_VALUE_LENGTH = 80
_HEAD_LENGTH = 20  # of a longer value: its beginning, and what lies around the first difference
_ABSENT = object()
_TYPE = "type"


def as_json(layout: dict[str, Any]) -> dict[str, Any]:
    """The layout as it comes back from a file."""
    return json.loads(json.dumps(layout))


def write_layout(fd: int, nbytes: int, layout: dict[str, Any]) -> None:
    """Write what the session is into its locked file."""
    text = json.dumps({"version": VERSION, "nbytes": nbytes, "layout": layout}).encode()
    if len(text) > _MAX_BYTES:
        raise ValueError(f"a layout of {len(text):,} bytes: at most {_MAX_BYTES:,} are allowed")
    os.ftruncate(fd, 0)
    os.pwrite(fd, _MAGIC + _LENGTH.pack(len(text)) + text, 0)


def read_layout(session_id: str, fd: int, way_out: str) -> tuple[int, dict[str, Any]]:
    """Bytes of the memory, and layout. ``way_out`` ends the messages.

    Raises:
        SessionDamagedError: the file does not say.
        SessionMismatchError: another version wrote it.
    """
    size = os.fstat(fd).st_size
    data = os.pread(fd, min(size, _START + _MAX_BYTES), 0)
    fault = _fault(data, size)
    if fault:
        raise _damaged(session_id, fault, way_out)
    try:
        header = json.loads(data[_START:])
    except (ValueError, RecursionError) as error:
        raise _damaged(session_id, f"its description is no JSON ({error})", way_out) from None
    if not isinstance(header, dict):
        raise _damaged(session_id, f"its description is a {type(header).__name__}", way_out)
    version = header.get("version")
    if isinstance(version, int) and version != VERSION:
        raise SessionMismatchError(
            f"session {session_id!r} is in use by another version of this package (version: the "
            f"session has {version}, this process wants {VERSION}). {way_out}"
        )
    nbytes, layout = header.get("nbytes"), header.get("layout")
    if version != VERSION or not isinstance(nbytes, int) or not isinstance(layout, dict):
        raise _damaged(
            session_id, f"its description lacks a field: {_short(repr(header))}", way_out
        )
    return nbytes, layout


def check_layout(session_id: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """SessionMismatchError, which names the fields that differ, unless both are the same."""
    found = list(_differences(theirs, ours, ""))
    if not found:
        return
    more = len(found) - _MAX_DIFFERENCES
    if more > 0:
        found[_MAX_DIFFERENCES:] = [f"and {more} more"]
    raise SessionMismatchError(
        f"session {session_id!r} is in use with another layout ({'; '.join(found)}). Give every "
        "process the same configuration, or this one another session_id"
    )


def _differences(theirs: Any, ours: Any, path: str) -> Iterator[str]:
    """Fields in which two JSON values differ, by dotted path. Of objects of another ``type``, that
    alone: the fields of one mean nothing in the other."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = theirs.keys() | ours.keys()
        if theirs.get(_TYPE) != ours.get(_TYPE):
            keys = {_TYPE}
        for key in sorted(keys):
            inner = f"{path}.{key}" if path else key
            yield from _differences(theirs.get(key, _ABSENT), ours.get(key, _ABSENT), inner)
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (their, our) in enumerate(zip(theirs, ours, strict=True)):
            yield from _differences(their, our, f"{path}[{index}]")
    elif not _same(theirs, ours):
        first, second = _text(theirs), _text(ours)
        pairs = enumerate(zip(first, second, strict=False))
        at = next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
        first, second = _short(first, at), _short(second, at)
        yield f"{path}: the session has {first}, this process wants {second}"


def _same(theirs: Any, ours: Any) -> bool:
    if isinstance(theirs, bool) or isinstance(ours, bool):
        return theirs is ours
    return theirs == ours or (theirs != theirs and ours != ours)


def _text(value: Any) -> str:
    return "nothing" if value is _ABSENT else repr(value)


def _short(text: str, at: int = 0) -> str:
    """A text, or of a longer one the beginning and what lies around position ``at``."""
    if len(text) <= _MAX_VALUE_LENGTH:
        return text
    start = max(at - _HEAD_LENGTH, _HEAD_LENGTH)
    end = start + _MAX_VALUE_LENGTH - _HEAD_LENGTH
    gap = "…" if start > _HEAD_LENGTH else ""
    return f"{text[:_HEAD_LENGTH]}{gap}{text[start:end]}{'…' if end < len(text) else ''}"


def _fault(data: bytes, size: int) -> str | None:
    """What is wrong with a file of ``size`` bytes that begins with ``data``."""
    if size == 0:
        return "its lock file is empty"
    if data[: len(_MAGIC)] != _MAGIC:
        return f"its lock file begins with {data[: len(_MAGIC)]!r} and not with {_MAGIC!r}"
    if len(data) < _START:
        return f"its lock file ends after {len(data)} bytes"
    (length,) = _LENGTH.unpack_from(data, len(_MAGIC))
    if length != size - _START or length > _MAX_BYTES:
        return f"its lock file announces {length:,} bytes and holds {size - _START:,}"
    return None


def _damaged(session_id: str, fault: str, way_out: str) -> SessionDamagedError:
    return SessionDamagedError(f"session {session_id!r} is damaged: {fault}. {way_out}")
