"""Saved states of older versions: what they tell of tasks.

Older versions saved a dictionary in one of three forms, or one inside the other, with task ids as
keys (as text, where it went through JSON):

* of a curriculum: ``tasks``, id to ``num_completions``, ``total_score`` and ``slice_values``; and
  ``algorithm_state``;
* of an algorithm: ``task_tracker``; and ``outcomes``, id to the latest scores, here or in
  ``scorer`` or ``scorer_state``;
* of a tracker: ``task_memory``, id to a dictionary of named numbers, to the 13 of the documented
  row, or to four: creation time, completions, sum of the scores, last score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metta.cogworks.curriculum.pool.backends import BASE_COLUMNS
from metta.cogworks.curriculum.tasks.ids import validate_task_id
from metta.cogworks.curriculum.tasks.inputs import checked_integer, finite

_SIGNS = ("tasks", "algorithm_state", "task_tracker", "task_memory")
_TRACKERS = ((), ("task_tracker",), ("algorithm_state", "task_tracker"))
_SCORERS = tuple(
    (*outer, *inner)
    for outer in ((), ("algorithm_state",))
    for inner in ((), ("scorer",), ("scorer_state",))
)
_FOUR = ("creation_time", "completion_count", "total_score", "last_score")
_SHORTEST_ROW = BASE_COLUMNS.index("ema_squared")  # rows had one column less before


@dataclass
class OlderTask:
    """What is known of a task: completions, the sum of their scores, the latest of them in order,
    and its bucket values, where they were saved."""

    completions: int
    total_score: float
    scores: list[float] = field(default_factory=list)
    slice_values: Mapping[str, Any] | None = None
    label: str | None = None

    def __add__(self, other: OlderTask) -> OlderTask:
        """Both, of one task."""
        return OlderTask(
            self.completions + other.completions,
            self.total_score + other.total_score,
            self.scores + other.scores,
            self.slice_values,
            self.label,
        )

    def latest(self, most: int) -> list[float]:
        """As many scores as there were completions, but at most ``most``: the latest that are
        known, before them the mean of the others."""
        known = self.scores[-min(most, self.completions) :] if self.completions else []
        others = self.completions - len(known)
        mean = (self.total_score - sum(known)) / others if others else 0.0
        return [mean] * (min(most, self.completions) - len(known)) + known


def is_older(state: Any) -> bool:
    """Whether this is a saved state of an older version."""
    return (
        isinstance(state, dict)
        and "algorithm" not in state
        and any(isinstance(state.get(name), Mapping) for name in _SIGNS)
    )


def read_older(state: Mapping[str, Any]) -> dict[int, OlderTask]:
    """What a state of an older version tells of its tasks, by their ids there.

    Raises:
        ValueError: it is not in one of the forms that older versions had.
    """
    told = _part(state, ((),), "tasks")
    memory, outcomes = _part(state, _TRACKERS, "task_memory"), _part(state, _SCORERS, "outcomes")
    found = {task_id: _from_curriculum(task_id, entry) for task_id, entry in told.items()}
    for task_id, entry in memory.items():
        task, before = _from_tracker(task_id, entry), found.get(task_id)
        if before is not None:
            task.slice_values, task.label = before.slice_values, before.label
        if before is None or task.completions >= before.completions:
            found[task_id] = task
    for task_id in found.keys() & outcomes.keys():
        scores = _numbers(task_id, "outcomes", outcomes[task_id])
        found[task_id].scores = scores[-found[task_id].completions or len(scores) :]
    return found


def _part(state: Mapping[str, Any], places: Iterable[Sequence[str]], name: str) -> dict[int, Any]:
    """The first mapping of this name in one of the places, by task id; nothing, if there is
    none."""
    for place in places:
        inner: Any = state
        for step in place:
            inner = inner.get(step) if isinstance(inner, Mapping) else None
        found = inner.get(name) if isinstance(inner, Mapping) else None
        if isinstance(found, Mapping):
            return {_task_id(key): entry for key, entry in found.items()}
    return {}


def _task_id(key: Any) -> int:
    return validate_task_id(int(key) if isinstance(key, str) and key.isdecimal() else key)


def _from_curriculum(task_id: int, entry: Any) -> OlderTask:
    if not isinstance(entry, Mapping):
        raise _wrong(task_id, f"it is a {type(entry).__name__}, not a dictionary")
    values, label = entry.get("slice_values"), entry.get("label")
    if values is not None and not isinstance(values, Mapping):
        raise _wrong(task_id, f"its slice_values are a {type(values).__name__}, no dictionary")
    task = _task(task_id, entry.get("num_completions", 0), entry.get("total_score", 0.0))
    task.slice_values, task.label = values, label if isinstance(label, str) else None
    return task


def _from_tracker(task_id: int, entry: Any) -> OlderTask:
    if not isinstance(entry, Mapping):
        numbers = _numbers(task_id, "task_memory", entry)
        names = _FOUR if len(numbers) == len(_FOUR) else BASE_COLUMNS
        if len(numbers) != len(_FOUR) and len(numbers) < _SHORTEST_ROW:
            raise _wrong(task_id, f"it has {len(numbers)} numbers, neither 4 nor 13")
        entry = dict(zip(names, numbers, strict=False))
    task = _task(task_id, entry.get("completion_count", 0), entry.get("total_score", 0.0))
    if task.completions and "last_score" in entry:
        task.scores = _numbers(task_id, "last_score", [entry["last_score"]])
    return task


def _task(task_id: int, completions: Any, total: Any) -> OlderTask:
    try:
        whole = int(completions) if isinstance(completions, float) else completions
        if whole != completions:
            raise ValueError(f"completions={completions!r:.60} is not allowed: give an integer")
        return OlderTask(checked_integer("completions", whole, 0), finite("total_score", total))
    except (ValueError, OverflowError) as error:
        raise _wrong(task_id, str(error)) from error


def _numbers(task_id: int, name: str, values: Any) -> list[float]:
    try:
        return [finite(name, value) for value in values]
    except (TypeError, ValueError) as error:
        raise _wrong(task_id, f"{name}: {error}") from error


def _wrong(task_id: int, what: str) -> ValueError:
    return ValueError(f"saved state of an older version: task {task_id}: {what}")
