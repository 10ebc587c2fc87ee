"""What is inconsistent in a pool: for tests, and for whoever looks for the cause of a fault."""

from __future__ import annotations

import numpy as np

from metta.cogworks.curriculum.pool.layout import PRIOR, TASK_ID, VARIANT
from metta.cogworks.curriculum.pool.table import TaskTable


def pool_faults(table: TaskTable) -> list[str]:
    """Contradictions between the parts of a pool, in words; empty for a sound one. Lock held.

    Cost: linear in the capacity, in Python.
    """
    faults: list[str] = []

    def expect(what: str, found: object, expected: object) -> None:
        if found != expected:
            faults.append(f"{what}: found {found}, expected {expected}")

    active, counters = table.active(), table.header.counters()
    ids = table.task_ids()
    slots = np.flatnonzero(active).tolist()
    expect("distinct ids", len(set(ids.tolist())), len(slots))
    expect("slots by id", [table.find(task_id) for task_id in ids.tolist()], slots)
    expect("slots in the index", table.index.slots().tolist(), slots)
    if table.layout.has_variants:
        variants = table.column(VARIANT)
        known = np.flatnonzero(active & (variants != 0.0)).tolist()
        expect("slots in the index of variants", table.indexes[-1].slots().tolist(), known)
        expect("tasks without an equal one", len(set(variants[known].tolist())), len(known))
    expect("number of tasks", counters["active"], len(slots))
    gone = counters["evicted"] + counters["invalid"]
    expect("created - evicted - invalid", counters["created"] - gone, len(slots))
    expect("free slots", sorted(_free_slots(table)), np.flatnonzero(~active).tolist())
    expect("unfinished change", table.header.in_change(), False)
    expect("blocks to refresh", counters["stale"] <= table.layout.num_blocks, True)
    n, samples = table.layout.max_tasks, table.samples
    priors = np.where(active, table.column(PRIOR), 0.0)
    expect("priors", samples.priors.leaves[:n].tolist(), priors.tolist())
    for name, tree in (("weights", samples.weights), ("priors", samples.priors)):
        good = np.isfinite(tree.leaves) & (tree.leaves >= 0.0)
        expect(f"{name} that cannot be", int((~good).sum()), 0)
        expect(f"{name} of empty slots", float(tree.leaves[:n][~active].sum()), 0.0)
        expect(f"sums of {name}", tree.faults(), 0)
    return faults


def _free_slots(table: TaskTable) -> list[int]:
    """The list of free slots, which their ids link, as far as it can be followed."""
    found, slot = [], table.header.first_free
    while slot >= 0 and len(found) <= table.layout.max_tasks:
        found.append(slot)
        slot = int(table.row(slot)[TASK_ID]) - 1
    return found
