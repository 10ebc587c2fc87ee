"""In what two trees of plain data differ, for messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_LONGEST = 60  # characters of a value that are shown
_MOST = 10  # differences that are told
_TYPE = "type"


def differences(theirs: Any, ours: Any, theirs_name: str, ours_name: str) -> list[str]:
    """A line per place at which they differ, ``path: NAME has X, NAME has Y``; at most ten, and one
    that says how many more there are."""
    found = list(_walk(theirs, ours, ""))
    lines = [
        f"{path}: {theirs_name} has {_short(a)}, {ours_name} has {_short(b)}"
        for path, a, b in found[:_MOST]
    ]
    if len(found) > _MOST:
        lines.append(f"and {len(found) - _MOST} more")
    return lines


def _walk(theirs: Any, ours: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = theirs.keys() | ours.keys()
        if theirs.get(_TYPE) != ours.get(_TYPE):
            keys = {_TYPE}  # the fields of one type mean nothing in another
        for key in sorted(keys, key=str):
            at = f"{path}.{key}" if path else str(key)
            yield from _walk(theirs.get(key), ours.get(key), at)
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (their, our) in enumerate(zip(theirs, ours, strict=True)):
            yield from _walk(their, our, f"{path}[{index}]")
    elif theirs != ours:
        yield path, theirs, ours


def _short(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
