"""Saved pools: plain arrays, numbers and strings; and what is checked before one is believed."""

from __future__ import annotations

from typing import Any

import numpy as np

from metta.cogworks.curriculum.pool.backends import BASE_COLUMNS
from metta.cogworks.curriculum.pool.layout import (
    BLOCK,
    COLUMN_LIMIT,
    COUNTERS,
    EXPIRING,
    FORMAT,
    GROUP_FIELDS,
    GROUP_WORDS,
    IN_FLIGHT,
    IS_ACTIVE,
    LABEL,
    MAX_GROUPS,
    MAX_RETIRED,
    NUM_MOMENTS,
    PRIOR,
    RULE_MOMENTS,
    SCHEDULED,
    TASK_ID,
    VARIANT,
    TableLayout,
)
from metta.cogworks.curriculum.pool.snapshot import Snapshot
from metta.cogworks.curriculum.tasks.ids import MAX_TASK_ID
from metta.cogworks.curriculum.tasks.inputs import MAX_ABS_SCORE

_ARRAYS: dict[str, Any] = {
    "rows": np.float64,
    "score_range": np.float64,
    "groups": np.float64,
    "weights": np.float64,
    "moments": np.float64,
    "history": np.float64,
    "retired": np.int64,
}
_LISTS = (("columns", list), ("group_names", list), ("counters", dict))
_SINCE_FORMAT = (("of_pool", dict),)  # what the first states of this format lack
_BOUNDS = {
    "score_range": (-MAX_ABS_SCORE, MAX_ABS_SCORE),
    "history": (-MAX_ABS_SCORE, MAX_ABS_SCORE),
    "groups": (-COLUMN_LIMIT, COLUMN_LIMIT),
    "weights": (0.0, 1e292),  # the largest weight and the largest prior: sums are finite
    "moments": (-1e300, 1e300),
}
_GROUP_COUNTS = ("completion_count", "total_squared", "scheduled_count", "tasks")
_COUNTER_LIMIT = 2**53  # no run counts further, and float64 columns hold every number below it
_COUNTS = ("completion_count", SCHEDULED, IN_FLIGHT, EXPIRING)
_INTEGERS = ("task_id", *_COUNTS, "is_active", LABEL)


def to_state(copy: Snapshot) -> dict[str, Any]:
    """A copy of the pool, all of its columns, as plain arrays, numbers and strings.

    Read by every version whose ``FORMAT`` is the same; others refuse it with a message. Columns are
    matched by name.
    """
    return {
        "format": FORMAT,
        "max_tasks": len(copy.rows),
        "columns": list(copy.names),
        "rows": copy.rows,
        "counters": {name: copy.counters[name] for name in COUNTERS},
        "score_range": list(copy.score_range),
        "of_pool": dict(copy.of_pool),
        "groups": copy.groups,
        "group_names": copy.group_names,
        "weights": copy.weights,
        "moments": copy.moments,
        "history": copy.history,
        "retired": copy.retired,
    }


def fitted(state: Any, layout: TableLayout) -> dict[str, Any]:
    """A saved pool in the form in which a table with this layout takes it over.

    A larger pool takes the tasks of a smaller one and has room for more; a column that was not
    saved begins at zero.

    Raises:
        ValueError: it is not the state of a pool, is inconsistent, holds a number that its column
            cannot, or holds more tasks than there is room for.
    """
    saved = checked(state, layout)
    names, rows = list(state["columns"]), saved["rows"]
    active = rows[:, names.index("is_active")] != 0.0
    same = len(rows) == layout.max_tasks
    if active.sum() > layout.max_tasks:
        raise ValueError(
            f"saved pool holds {active.sum()} tasks, this one has room for {layout.max_tasks}: use "
            f"num_active_tasks of at least {active.sum()}"
        )
    source, weights = (rows, saved["weights"]) if same else (rows[active], saved["weights"][active])
    fitting = np.zeros((len(source), layout.row_size))
    for name in set(names) & set(layout.names):
        fitting[:, layout.offset(name)] = source[:, names.index(name)]
    counters = {name: int(state["counters"][name]) for name in COUNTERS}
    history, counters["history"] = _fitting_history(
        saved["history"], counters["history"], layout.completion_history_size
    )
    if not same or len(saved["moments"]) != layout.num_blocks:
        counters["cursor"], counters["stale"] = 0, layout.num_blocks
    if not same:
        counters["candidate"] = 0
    return {
        **saved,
        "rows": fitting,
        "weights": weights,
        "counters": counters,
        "history": history,
        "group_names": list(state["group_names"]),
        "score_range": saved["score_range"].tolist(),
        "of_pool": _of_pool(state, layout),
        "moments": saved["moments"][: layout.num_blocks],
    }


def _of_pool(state: dict[str, Any], layout: TableLayout) -> dict[str, float]:
    """The columns of the whole pool; one that was not saved begins at zero."""
    found = {}
    for column in layout.pool_columns:
        value = state.get("of_pool", {}).get(column.name, 0.0)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not column.low <= value <= column.high:
            raise _wrong(
                f"column {column.name!r} of the pool holds {value!r:.60}, not a number from "
                f"{column.low:g} to {column.high:g}"
            )
        found[column.name] = float(value)
    return found


def check_ids(pool: dict[str, Any], num_ids: int) -> None:
    """Whether the tasks of a saved pool, as :func:`fitted` returns it, are those of a family of so
    many ids.

    Raises:
        ValueError: one is not.
    """
    ids = pool["rows"][pool["rows"][:, IS_ACTIVE] != 0.0, TASK_ID]
    if ids.size and ids.max() >= num_ids:
        raise ValueError(
            f"saved pool is inconsistent: its task {int(ids.max())} is not one of this "
            f"curriculum's, whose ids are integers from 0 to max_task_id - 1 = {num_ids - 1}"
        )


def _fitting_history(saved: np.ndarray, count: int, size: int) -> tuple[np.ndarray, int]:
    """A ring of scores and how many were written to it; of a ring of another size, the latest."""
    if len(saved) == size:
        return saved, count
    saved = saved[:count] if count <= len(saved) else np.roll(saved, -(count % len(saved)))
    saved = saved[-size:]
    return saved, len(saved)


def checked(state: Any, layout: TableLayout) -> dict[str, Any]:
    """The arrays of a saved pool. Raises ValueError as :func:`fitted` does, but for want of
    room."""
    _check_form(state)
    arrays = {name: _array(name, state[name], dtype) for name, dtype in _ARRAYS.items()}
    arrays["moments"] = _with_all_moments(arrays["moments"])
    _check_counters(state["counters"], state["max_tasks"], len(arrays["moments"]))
    names, n = list(state["columns"]), int(state["max_tasks"])
    retired = min(state["counters"]["invalid"], MAX_RETIRED)
    for name, shape in (
        ("rows", (n, len(names))),
        ("groups", (len(state["group_names"]), GROUP_WORDS)),
        ("weights", (n,)),
        ("moments", (-(-n // BLOCK), NUM_MOMENTS)),
        ("history", (max(1, arrays["history"].size),)),
        ("retired", (retired,)),
        ("score_range", (2,)),
    ):
        if arrays[name].shape != shape:
            raise _wrong(f"{name} has shape {arrays[name].shape}, expected {shape}")
    _check_numbers(arrays)
    _check_columns(arrays["rows"], names, layout, state)
    return arrays


def _with_all_moments(moments: np.ndarray) -> np.ndarray:
    """What was saved by a version that kept fewer of them begins at zero."""
    if moments.ndim != 2 or not RULE_MOMENTS <= moments.shape[1] < NUM_MOMENTS:  # noqa: PLR2004
        return moments
    return np.pad(moments, ((0, 0), (0, NUM_MOMENTS - moments.shape[1])))


def _array(name: str, value: Any, dtype: Any) -> np.ndarray:
    """The value as an array of this dtype, if all of its numbers are the same in it."""
    try:
        found = np.asarray(value)
    except ValueError:  # lists of unequal lengths
        raise _wrong(f"{name} is no array") from None
    if not found.ndim or (found.size and found.dtype.kind not in "iuf"):
        raise _wrong(f"{name} is no array of numbers: {value!r:.60}")
    if dtype is np.int64 and found.size:
        good = (found >= 0) & (found <= MAX_TASK_ID)
        good &= np.floor(np.where(good, found, 0)) == np.where(good, found, 0)
        if not good.all():
            raise _wrong(f"{name} holds {found[~good][0]}, not an integer from 0 to {MAX_TASK_ID}")
    return found.astype(dtype)


def _check_form(state: Any) -> None:
    if not isinstance(state, dict):
        raise ValueError(f"not the state of a pool: a {type(state).__name__}, not a dict")
    if state.get("format") != FORMAT:
        raise ValueError(
            f"saved pool has format {state.get('format')!r}, this version reads {FORMAT}; one "
            "saved by another version cannot be taken over: begin a new run"
        )
    for name, kind in (*_LISTS, *_SINCE_FORMAT):
        if not isinstance(state.get(name, kind()), kind):
            raise _wrong(f"{name} is a {type(state[name]).__name__}, not a {kind.__name__}")
    groups, columns = state.get("group_names", []), state.get("columns", [])
    if not all(isinstance(name, str) for name in groups) or len(groups) > MAX_GROUPS:
        raise _wrong(f"group_names are at most {MAX_GROUPS} strings")
    bad = [name for name in groups if name != name.encode(errors="replace").decode()]
    bad += [name for name in groups if groups.count(name) > 1]
    if bad:
        raise _wrong(f"group_names holds {bad[0]!r:.60} twice, or it is no text")
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) < len(columns):
        raise _wrong("columns are distinct strings")
    lacks = {"max_tasks", *dict(_LISTS), *_ARRAYS} - set(state)
    lacks |= {
        f"counters[{name!r}]" for name in set(COUNTERS) - set(state.get("counters", COUNTERS))
    }
    lacks |= {f"column {name!r}" for name in set(BASE_COLUMNS) - set(columns or BASE_COLUMNS)}
    if lacks:
        raise ValueError(
            f"saved pool lacks {', '.join(sorted(lacks))}: is it the state of a curriculum's pool?"
        )


def _check_counters(counters: dict[str, Any], max_tasks: Any, blocks: int) -> None:
    for name, value in {**counters, "max_tasks": max_tasks}.items():
        limit = 2**63 if name == "seed" else _COUNTER_LIMIT
        is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not is_integer or not 0 <= value < limit:
            raise _wrong(f"{name} is {value!r:.60}, not an integer from 0 to {limit - 1}")
    if counters["refreshed"] > counters["clock"]:
        raise _wrong(f"refreshed is {counters['refreshed']}, later than clock, {counters['clock']}")
    if counters["candidate"] > max_tasks:
        raise _wrong(f"candidate is {counters['candidate']}, outside the pool")
    if not (counters["cursor"] < max(1, blocks) and counters["stale"] <= blocks):
        raise _wrong(f"cursor or stale point outside its {blocks} blocks")


def _check_numbers(arrays: dict[str, Any]) -> None:
    for name, (least, most) in _BOUNDS.items():
        values = arrays[name]
        good = (values >= least) & (values <= most)  # false for NaN
        if not good.all():
            raise _wrong(
                f"{name} holds {values[~good].flat[0]}, not a number from {least:g} to {most:g}"
            )
    counts = arrays["groups"][:, [GROUP_FIELDS.index(name) for name in _GROUP_COUNTS]]
    if (counts < 0.0).any():
        raise _wrong(f"groups holds {counts.min()}, below 0")
    low, high = arrays["score_range"].tolist()
    if low > 0.0 or high < 0.0:
        raise _wrong(f"its range of scores, {low} to {high}, does not hold 0")


def _check_columns(
    rows: np.ndarray, names: list[str], layout: TableLayout, state: dict[str, Any]
) -> None:
    counters = state["counters"]
    active = rows[:, names.index("is_active")] != 0.0
    integers = (*_INTEGERS, VARIANT) if layout.has_variants else _INTEGERS
    for name in [name for name in layout.names if name in names]:
        column, values = layout.column(name), rows[active, names.index(name)]
        of_group = is_group(name)
        high = column.high
        if of_group:
            high = len(state["group_names"]) - 1
        elif column.is_clock:
            high = counters["clock"]
        good = np.isfinite(values) & (values >= column.low) & (values <= high)
        if of_group or name in integers:
            good &= values == np.floor(np.where(np.isfinite(values), values, 0.0))
        if not good.all():
            bad = values[~good][0]
            kind = "an integer" if of_group or name in integers else "a number"
            raise _wrong(f"column {name!r} holds {bad}, not {kind} from {column.low:g} to {high:g}")
    ids = np.sort(rows[active, names.index("task_id")])
    if (ids[1:] == ids[:-1]).any():
        raise _wrong("its task ids are not distinct")
    if layout.has_variants and VARIANT in names:
        _check_variants(rows[active, names.index(VARIANT)], rows[active, names.index("task_id")])
    left = counters["evicted"] + counters["invalid"]
    if counters["created"] < left + len(ids):
        raise _wrong(
            f"created is {counters['created']}, fewer than its {len(ids)} tasks and the {left} "
            "that were evicted or invalid"
        )


def _check_variants(variants: np.ndarray, ids: np.ndarray) -> None:
    order = np.argsort(variants, kind="stable")
    variants, ids = variants[order], ids[order]
    equal = np.flatnonzero((variants[1:] == variants[:-1]) & (variants[1:] != 0.0))
    if equal.size:
        one, other = ids[equal[0]], ids[equal[0] + 1]
        raise _wrong(
            f"its tasks {int(one)} and {int(other)} are the same variant, {int(variants[equal[0]])}"
        )


def _wrong(what: str) -> ValueError:
    return ValueError(f"saved pool is inconsistent: {what}")


_KEPT = ("task_id", "creation_time", "success_threshold", "seed", "generator_type", "is_active")


def begun_anew(state: dict[str, Any], layout: TableLayout) -> dict[str, Any]:
    """What :func:`fitted` returned, with nothing known of any task; what they completed stays in
    the totals."""
    rows, groups, counters = state["rows"].copy(), state["groups"].copy(), dict(state["counters"])
    active = rows[:, layout.offset("is_active")] != 0.0
    totals = rows[active][:, [layout.offset(name) for name in GROUP_FIELDS[:-1]]]
    names = (LABEL, *(f"slice_{i}" for i in range(layout.slice_axes)))
    members = rows[active][:, [layout.offset(name) for name in names]].astype(np.int64)
    close_groups(groups, members, totals)
    counters["closed_completed"] += int(totals[:, GROUP_FIELDS.index("completion_count")].sum())
    counters["closed_scheduled"] += int(totals[:, GROUP_FIELDS.index("scheduled_count")].sum())
    counters["stale"], counters["cursor"] = layout.num_blocks, 0
    keep = [layout.offset(name) for name in (*_KEPT, PRIOR)]
    keep += [layout.offset(VARIANT)] if layout.has_variants else []
    cleared = np.zeros_like(rows)
    cleared[:, keep] = rows[:, keep]
    of_pool = dict.fromkeys(state["of_pool"], 0.0)
    return {**state, "rows": cleared, "groups": groups, "counters": counters, "of_pool": of_pool}


def is_group(name: str) -> bool:
    """Whether a column holds a group's index."""
    return name == LABEL or name.removeprefix("slice_").isdigit()


def close_groups(groups: np.ndarray, members: np.ndarray, totals: np.ndarray) -> None:
    """Add tasks that leave to their groups, each group once a task."""
    members = members.astype(np.int64)
    for axis, column in enumerate(members.T):
        counted = (column[:, None] != members[:, :axis]).all(axis=1)
        added = np.column_stack([totals[counted], np.ones(counted.sum())])
        np.add.at(groups[:, : added.shape[1]], column[counted], added)
