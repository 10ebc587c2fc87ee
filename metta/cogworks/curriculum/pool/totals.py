"""Sums over all tasks and per group of them, as of now."""

from __future__ import annotations

import numpy as np

from metta.cogworks.curriculum.pool.groups import totals_by_group
from metta.cogworks.curriculum.pool.layout import GROUP_FIELDS, IN_FLIGHT, LABEL, SCHEDULED
from metta.cogworks.curriculum.pool.snapshot import snapshot
from metta.cogworks.curriculum.pool.table import TaskTable


def group_totals(table: TaskTable, kind: str) -> dict[str, dict[str, float]]:
    """Sums per label or per bucket value, over all tasks that ever were in the pool: see
    :func:`~metta.cogworks.curriculum.pool.groups.totals_by_group`."""
    slices = tuple(f"slice_{i}" for i in range(table.layout.slice_axes))
    members = (LABEL,) if kind == "label" else slices
    copy = snapshot(table, ("is_active", *members, *GROUP_FIELDS[:-1]))
    rows = copy.rows[copy.active()]
    return totals_by_group(
        kind,
        copy.group_names,
        copy.groups,
        rows[:, 1 : 1 + len(members)].astype(np.int64),
        rows[:, 1 + len(members) :],
    )


def pool_counts(table: TaskTable) -> dict[str, float]:
    """How many tasks and episodes there were, and are."""
    copy = snapshot(table, ("completion_count", SCHEDULED, IN_FLIGHT))
    counters = copy.counters
    completed = counters["closed_completed"] + copy.column("completion_count").sum()
    scheduled = counters["closed_scheduled"] + copy.column(SCHEDULED).sum()
    return {
        "num_created": float(counters["created"]),
        "num_evicted": float(counters["evicted"]),
        "num_completed": float(completed),
        "num_scheduled": float(scheduled),
        "num_in_flight": float(copy.column(IN_FLIGHT).sum()),
        "num_active_tasks": float(counters["active"]),
        "num_invalid": float(counters["invalid"]),
        "num_unscored": float(counters["unscored"]),
        "late_completions": float(counters["late_completions"]),
    }
