"""Fields that configurations of older versions have: each is handed on, or left out, and one
warning says so of all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel

from metta.cogworks.curriculum.older.told import deprecated

MAX_MEMORY_TASKS, NUM_ACTIVE_TASKS = "max_memory_tasks", "num_active_tasks"
MIN_PRESENTATIONS = "min_presentations_for_eviction"

_OF_ALGORITHMS = {
    "early_progress_amplification": "the sampling rule is `sampling`",
    "lp_gain": "the sampling rule is `sampling`",
    "lp_score_temperature": "see `sampling` and `sampling_temperature`",
    "maintain_z_score_distribution": "the sampling rule is `sampling`",
    "show_curriculum_troubleshooting_logging": "see Curriculum.explain(task_id)",
}
"""Older fields of an algorithm's configuration that have no meaning any more, and what to look
at."""

_OF_CURRICULA = {
    "defer_init": "a pool is filled when it is first opened",
    "new_task_rate": "tasks are exchanged once they are measured: eviction_threshold_percentile",
}

_SHORT_TYPES = {
    "discrete_random": "metta.cogworks.curriculum.algorithm.DiscreteRandomConfig",
    "learning_progress": (
        "metta.cogworks.curriculum.learning_progress_algorithm.LearningProgressConfig"
    ),
}
"""How older versions named an algorithm in JSON."""


def algorithm_fields(owner: str, known: Collection[str], data: Any) -> Any:
    """What an algorithm's configuration is made of, without the fields of older versions, of which
    a warning tells.

    Args:
        owner: name of the configuration, for the warning.
        known: its fields.
        data: what it is made of.
    """
    if not isinstance(data, dict):
        return data
    found, notes = _of_algorithm(known, data)
    _warn(owner, notes)
    return found


def curriculum_fields(owner: str, known: Collection[str], data: Any) -> Any:
    """What a curriculum's configuration is made of, as for :func:`algorithm_fields`, with what
    belongs to the algorithm handed on to it.

    Raises:
        ValueError: a field is given here and for the algorithm, with two values.
    """
    if not isinstance(data, dict):
        return data
    found, notes = _without(known, data, _OF_CURRICULA)
    algorithm = found.get("algorithm_config")
    if isinstance(algorithm, Mapping):
        algorithm, more = _dumped_algorithm(dict(algorithm), found.get(NUM_ACTIVE_TASKS))
        found["algorithm_config"] = algorithm
        notes += more
    if MIN_PRESENTATIONS in found:
        value = found.pop(MIN_PRESENTATIONS)
        found["algorithm_config"], note = _with_presentations(algorithm, value)
        notes.append(f"{MIN_PRESENTATIONS}={value!r:.60} ({note})")
    _warn(owner, notes)
    return found


def _of_algorithm(known: Collection[str], data: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    found, notes = _without(known, data, _OF_ALGORITHMS)
    if MAX_MEMORY_TASKS in found and MAX_MEMORY_TASKS not in known:
        value = found.pop(MAX_MEMORY_TASKS)
        is_given = NUM_ACTIVE_TASKS in found
        found.setdefault(NUM_ACTIVE_TASKS, value)
        held = f"{found[NUM_ACTIVE_TASKS]!r:.60}"
        why = f"which is {held} here" if is_given else f"which is {held} now, since none was given"
        notes.append(
            f"{MAX_MEMORY_TASKS}={value!r:.60} (the pool holds all that is known, and its "
            f"capacity is {NUM_ACTIVE_TASKS}, {why})"
        )
    return found, notes


def _without(
    known: Collection[str], data: dict[str, Any], older: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    gone = [name for name in data if name in older and name not in known]
    notes = [f"{name} ({older[name]})" for name in gone]
    return {name: value for name, value in data.items() if name not in gone}, notes


def _dumped_algorithm(
    data: dict[str, Any], num_active_tasks: Any
) -> tuple[dict[str, Any], list[str]]:
    """An algorithm's configuration as an older version wrote it, with the capacity that stands
    beside it; any other as it is."""
    short = data.get("type")
    if not isinstance(short, str) or short not in _SHORT_TYPES:
        return data, []
    own, notes = data.get(NUM_ACTIVE_TASKS), []
    if None not in (own, num_active_tasks) and own != num_active_tasks:
        data[NUM_ACTIVE_TASKS] = num_active_tasks  # older curricula kept the pool themselves
        notes.append(
            f"algorithm_config.{NUM_ACTIVE_TASKS}={own!r:.60} (the pool is one, of "
            f"{num_active_tasks!r:.60} tasks)"
        )
    found, more = _of_algorithm((), data)
    notes += more
    return {**found, "type": _SHORT_TYPES[short]}, notes


def _with_presentations(algorithm: Any, value: Any) -> tuple[Any, str]:
    """The algorithm's configuration with this :data:`MIN_PRESENTATIONS`, and what to say."""
    none_leaves = "by uniform sampling no task leaves the pool"
    if algorithm is None or _is_uniform(algorithm):
        return algorithm, none_leaves
    is_dump = isinstance(algorithm, Mapping)
    given = algorithm if is_dump else algorithm.model_dump(exclude_unset=True)
    if given.get(MIN_PRESENTATIONS, value) != value:
        raise ValueError(
            f"{MIN_PRESENTATIONS}={value!r:.60} here and {given[MIN_PRESENTATIONS]!r:.60} in "
            "algorithm_config: give it once, there"
        )
    note = "it is the algorithm's: give it in algorithm_config"
    if is_dump:
        return {**algorithm, MIN_PRESENTATIONS: value}, note
    changed = algorithm.model_copy()
    setattr(changed, MIN_PRESENTATIONS, value)  # which is checked
    return changed, note


def _is_uniform(algorithm: Any) -> bool:
    if isinstance(algorithm, Mapping):
        return algorithm.get("type") == _SHORT_TYPES["discrete_random"]
    return not (
        isinstance(algorithm, BaseModel) and MIN_PRESENTATIONS in type(algorithm).model_fields
    )


def _warn(owner: str, notes: list[str]) -> None:
    if notes:
        deprecated(
            f"{owner} was given fields of an older version; leave them out, or see "
            f"docs/migration.md: {'; '.join(notes)}"
        )
