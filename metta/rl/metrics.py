"""What a run reports: one JSON object per epoch in ``metrics.jsonl``, and sums over the whole
run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

_BARS = "▁▂▃▄▅▆▇█"


class MetricsFile:
    """Appends epochs to ``metrics.jsonl``; each line is complete on the disk before the next epoch
    begins.

    A resumed run continues from its checkpoint, so lines of later steps, written before the run was
    cut off, are dropped: agent steps only ever rise within a file. Numbers that JSON has no name
    for (NaN, infinity) become null.
    """

    def __init__(self, path: Path, resumed_at: int) -> None:
        self.history = [line for line in read_metrics(path) if line["agent_steps"] <= resumed_at]
        temporary = path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            for line in self.history:
                _write_line(file, line)
        temporary.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, metrics: Mapping[str, Any]) -> None:
        line = {key: _finite(value) for key, value in metrics.items()}
        self.history.append(line)
        _write_line(self._file, line)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The epochs in ``path``, in order; none where there is no file. A last line cut off by a crash
    is left out."""
    if not path.exists():
        return []
    epochs = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and isinstance(line.get("agent_steps"), int):
            epochs.append(line)
    return epochs


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


def _write_line(file: TextIO, line: Mapping[str, Any]) -> None:
    file.write(json.dumps(line, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
