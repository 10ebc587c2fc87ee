"""A saved pool for other tasks: some of its rows go on under new ids, the others have left."""

from __future__ import annotations

from typing import Any

import numpy as np

from metta.cogworks.curriculum.pool.layout import (
    GROUP_FIELDS,
    TableLayout,
)
from metta.cogworks.curriculum.pool.saved import checked, close_groups, is_group
from metta.cogworks.curriculum.tasks.ids import MAX_TASK_ID


def active_ids(state: Any, layout: TableLayout) -> list[int]:
    """Ids of the tasks in a saved pool. Raises ValueError for what is not one."""
    return [int(task_id) for task_id in active_values(state, layout, "task_id")]


def active_values(state: Any, layout: TableLayout, name: str) -> list[float]:
    """What a column says of the tasks in a saved pool, in the order of :func:`active_ids`; zeros
    where it was not saved. Raises ValueError as that does."""
    rows, at = _columns(state, layout)
    rows = rows[rows[:, at["is_active"]] != 0.0]
    return rows[:, at[name]].tolist() if name in at else [0.0] * len(rows)


def moved(
    state: dict[str, Any],
    layout: TableLayout,
    new_ids: dict[int, int],
    fields: dict[str, dict[int, float]],
) -> dict[str, Any]:
    """The saved pool with only some of its tasks, under other ids.

    What the others completed stays in the totals and in their groups, as if they had been evicted.

    Args:
        state: a saved pool, in the form in which it was saved. It is left as it is.
        layout: of the table that will take it over.
        new_ids: of the tasks that go on, by their id in the state.
        fields: of their new rows, by column and by the new id.

    Raises:
        ValueError: it is not a saved pool, or is inconsistent.
    """
    rows, at = _columns(state, layout)
    rows, groups = rows.copy(), np.array(state["groups"], np.float64)
    weights, counters = np.array(state["weights"], np.float64), dict(state["counters"])
    active = rows[:, at["is_active"]] != 0.0
    ids = rows[:, at["task_id"]]
    goes_on = active & np.isin(ids, list(new_ids))
    leaves = active & ~goes_on

    totals = rows[leaves][:, [at[name] for name in GROUP_FIELDS[:-1]]]
    close_groups(groups, rows[leaves][:, [at[name] for name in at if is_group(name)]], totals)
    closed = dict(zip(GROUP_FIELDS, totals.sum(axis=0).tolist(), strict=False))
    counters["closed_completed"] += int(closed["completion_count"])
    counters["closed_scheduled"] += int(closed["scheduled_count"])
    counters["evicted"] += int(leaves.sum())
    counters["stale"], counters["cursor"], counters["candidate"] = len(state["moments"]), 0, 0
    rows[leaves], weights[leaves] = 0.0, 0.0

    old = ids[goes_on].astype(np.int64).tolist()
    new = np.array([new_ids[task_id] for task_id in old], np.float64)
    own_seed = rows[goes_on, at["seed"]] == ids[goes_on]  # else it was given to the task
    rows[goes_on, at["seed"]] = np.where(own_seed, new, rows[goes_on, at["seed"]])
    rows[goes_on, at["task_id"]] = new
    names = list(state["columns"])
    for name, values in fields.items():
        if name not in at:
            at[name], rows = len(names), np.column_stack([rows, np.zeros(len(rows))])
            names.append(name)
        rows[goes_on, at[name]] = [values[int(task_id)] for task_id in new]
    # A retired task's id may be that of another variant now.
    retired = np.full(len(state["retired"]), MAX_TASK_ID, np.int64)
    return {
        **state,
        "columns": names,
        "rows": rows,
        "groups": groups,
        "weights": weights,
        "counters": counters,
        "retired": retired,
    }


def _columns(state: Any, layout: TableLayout) -> tuple[np.ndarray, dict[str, int]]:
    """The rows of a saved pool, and the position of each column in them."""
    rows = checked(state, layout)["rows"]
    return rows, {name: position for position, name in enumerate(state["columns"])}
