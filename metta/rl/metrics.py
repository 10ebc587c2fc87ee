"""What a run reports: one JSON object per epoch in ``metrics.jsonl``, and sums over the whole
run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from metta.rl.files import FileError, cannot_write, write_whole

_COUNT_LIMIT = 2**63
_WAY_OUT = (
    "Mend the line, or move the file elsewhere: the run then goes on, and begins another file"
)
_BARS = "▁▂▃▄▅▆▇█"


class MetricsFile:
    """Appends epochs to ``metrics.jsonl``; each line is complete on the disk before the next epoch
    begins.

    A resumed run continues from its checkpoint, so lines of later steps, written before the run was
    cut off, are dropped: agent steps only ever rise within a file. Numbers that JSON has no name
    for (NaN, infinity) become null.

    Raises:
        FileError: ``path`` cannot be read or written.
    """

    def __init__(self, path: Path, resumed_at: int) -> None:
        self.history = [line for line in read_metrics(path) if line["agent_steps"] <= resumed_at]
        self._path = path
        write_whole(path, b"".join(_encoded(line) for line in self.history))
        self._file = path.open("ab", buffering=0)

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Append one epoch. Raises FileError, and leaves the lines before, if there is no room."""
        line = {key: _finite(value) for key, value in metrics.items()}
        left, size = memoryview(_encoded(line)), self._file.seek(0, os.SEEK_END)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._file.truncate(size)
            raise cannot_write(self._path, error) from error
        self.history.append(line)

    def close(self) -> None:
        """Write no more."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The epochs in ``path``, in order; none where there is no file. A last line cut off by a crash
    is left out.

    Raises:
        FileError: the file cannot be read, or another line is no epoch.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}). {_WAY_OUT}") from error
    *whole, cut_off = content.split(b"\n")
    epochs = []
    for number, text in enumerate(whole, start=1):
        epoch = _epoch(text)
        if epoch is None:
            raise FileError(f"line {number} of {path} is no epoch of a run. {_WAY_OUT}")
        epochs.append(epoch)
    last = _epoch(cut_off)
    return epochs if last is None else [*epochs, last]


def series(history: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """The values of ``key`` over the epochs that have one."""
    return [float(line[key]) for line in history if isinstance(line.get(key), (int, float))]


def first_and_last(values: Sequence[float]) -> tuple[float, float] | None:
    """Means of the first and the last tenth (at least one value each); None without values."""
    if not values:
        return None
    count = max(1, len(values) // 10)
    return sum(values[:count]) / count, sum(values[-count:]) / count


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """``values`` as one line of block characters, at most ``width``, each the mean of its share."""
    if not values:
        return ""
    width = min(width, len(values))
    edges = [round(i * len(values) / width) for i in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    if high == low:
        return _BARS[0] * width
    return "".join(
        _BARS[min(len(_BARS) - 1, int((mean - low) / (high - low) * len(_BARS)))] for mean in means
    )


def _epoch(text: bytes) -> dict[str, Any] | None:
    """The epoch that a line holds; None if it holds none."""
    try:
        line = json.loads(text)
    # ValueError: no UTF-8, no JSON, or a number of too many digits
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or type(line.get("agent_steps")) is not int:
        return None
    if not all(
        isinstance(value, str | float | None) or _is_count(value) for value in line.values()
    ):
        return None
    return {key: _finite(value) for key, value in line.items()}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < _COUNT_LIMIT


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, allow_nan=False).encode() + b"\n"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
