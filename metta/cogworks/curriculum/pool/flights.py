"""Draws whose episodes have not ended.

A draw is *in flight* until its episode is completed, or given up: the process that played it may be
gone, or its environment was reset. Time goes in *terms* of a block, each at least :data:`TERM`
times as many completions of the pool as there are draws in flight; a draw is given up at the end of
the term after its own. A process cannot tell its draws of one task apart, so one that goes on
drawing the task must say what it lost (``Curriculum.give_up``): to it a lost draw looks like
episodes that take longer. An episode that takes longer than a term is credited all the same, it
only no longer counts as in flight.

Every process remembers when it has drawn what. What it completes without having drawn it is taken
to be the oldest draw of the task.

An episode can end without a score. A task most of whose draws came to nothing would stay what an
untried one is worth, and be drawn for ever: what they are more than its completions, and
:data:`PATIENCE`, is its *debt*, which counts as in flight where tasks are weighed.

All counts are changed by single stores. A process that is killed between two of them leaves a draw
more or less in flight, until the end of the next term.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metta.cogworks.curriculum.pool.header import Header
from metta.cogworks.curriculum.pool.layout import (
    BLOCK,
    BLOCK_IN_FLIGHT,
    COMPLETION_COUNT,
    EXPIRING,
    IN_FLIGHT,
    SCHEDULED,
    TASK_ID,
    TERM_BEGAN,
    TableLayout,
)

TERM = 8
"""So an episode may take 8 times as long as the mean one without being taken for lost. Longer terms
only keep the draws of a killed worker for longer."""
PATIENCE = 4
"""Draws that may come to nothing: a killed worker loses one or two of a task."""
_LONG_AGO = -1.0  # before any term
_LEAST_TERM = 256  # completions; with few draws in flight one slow episode is many of the others


class Flights:
    """The draws in flight of a pool's tasks. All methods expect the lock to be held.

    Args:
        rows: all rows, shape ``(max_tasks, row_size)``.
        moments: of all blocks, shape ``(num_blocks, NUM_MOMENTS)``.
        layout: where things lie.
        header: for the clock.
    """

    def __init__(self, rows: np.ndarray, moments: np.ndarray, layout: TableLayout, header: Header):
        self._rows, self._moments, self._header = rows, moments, header
        self._in_flight, self._expiring = layout.offset(IN_FLIGHT), layout.offset(EXPIRING)
        self._scheduled = layout.offset(SCHEDULED)
        self._terms: Any = moments.data  # float64, as a memoryview: faster one by one
        self._drawn_here: dict[float, list[int]] = {}  # when, by task id, the oldest first

    def of_row(self, row: memoryview[float]) -> int:
        """How many draws of the task with this row are in flight."""
        return int(row[self._in_flight])

    def of_block(self, slots: slice) -> np.ndarray:
        """How many draws of each task are in flight, float64 of shape ``(n,)``."""
        return self._rows[slots, self._in_flight]

    def load_of_block(self, slots: slice) -> np.ndarray:
        """The same with each task's debt."""
        rows = self._rows[slots]
        in_flight = rows[:, self._in_flight]
        lost = rows[:, self._scheduled] - in_flight - rows[:, COMPLETION_COUNT]
        return in_flight + np.maximum(lost - rows[:, COMPLETION_COUNT] - PATIENCE, 0.0)

    def _load(self, row: memoryview[float]) -> int:
        in_flight, completed = row[self._in_flight], row[COMPLETION_COUNT]
        debt = row[self._scheduled] - in_flight - 2.0 * completed - PATIENCE
        return int(in_flight + debt if debt > 0.0 else in_flight)

    def start(self, row: memoryview[float]) -> int:
        """The task with this row was drawn, and is counted as scheduled. Returns how many of its
        draws are in flight, with its debt."""
        self._drawn_here.setdefault(row[TASK_ID], []).append(self._header.clock)
        row[self._in_flight] += 1.0
        return self._load(row)

    def multiply(self, slot: int, row: memoryview[float], times: int) -> tuple[int, int]:
        """The oldest draw of the task in ``slot``, with this row, comes back with so many scores:
        it counts as so many draws, each of which ends with one. Returns how many draws were and are
        in flight, with the task's debt. The row is journaled."""
        more, load, mine = times - 1, self._load(row), self._drawn_here.get(row[TASK_ID])
        drawn_at: float = _LONG_AGO
        if mine:
            drawn_at = mine[0]
            mine[:0] = mine[:1] * more
        if row[self._expiring] and drawn_at < self._terms[slot // BLOCK, TERM_BEGAN]:
            row[self._expiring] += more
        row[self._scheduled] += more
        row[self._in_flight] += more
        return load, self._load(row)

    def end(self, slot: int, row: memoryview[float]) -> tuple[int, int]:
        """An episode of the task in ``slot``, with this row, has ended; one that nobody drew, or
        that was given up, was not in flight. Returns how many were and are, with the task's debt.
        The row is journaled."""
        drawn_at = self._forget_oldest(row[TASK_ID])
        before, expiring, load = row[self._in_flight], row[self._expiring], self._load(row)
        if before < 1.0:
            return load, load
        row[self._in_flight] = now = before - 1.0
        if expiring and drawn_at < self._terms[slot // BLOCK, TERM_BEGAN]:
            expiring -= 1.0
        row[self._expiring] = min(expiring, now)
        return load, self._load(row)

    def forget_all(self) -> None:
        """Nothing that this process has drawn is in flight."""
        self._drawn_here.clear()

    def _forget_oldest(self, task_id: float) -> float:
        """When this process has drawn the oldest of its draws of a task."""
        mine = self._drawn_here.get(task_id)
        if mine is None:
            return _LONG_AGO
        drawn_at = mine.pop(0)
        if not mine:
            del self._drawn_here[task_id]
        return drawn_at

    def _forget_before(self, clock: float) -> None:
        """Draws of this process that were made before, and given up."""
        for task_id, mine in list(self._drawn_here.items()):
            kept = [drawn_at for drawn_at in mine if drawn_at >= clock]
            if kept:
                self._drawn_here[task_id] = kept
            else:
                del self._drawn_here[task_id]

    def look(self, slots: slice) -> None:
        """Give up what is to be given up of a block, and begin its next term, if it is time."""
        known, rows = self._moments[slots.start // BLOCK], self._rows[slots]
        in_flight, clock = rows[:, self._in_flight], self._header.clock
        total = self._moments[:, BLOCK_IN_FLIGHT].sum()
        if clock - known[TERM_BEGAN] >= max(_LEAST_TERM, TERM * total):
            self._forget_before(known[TERM_BEGAN])
            in_flight -= np.minimum(rows[:, self._expiring], in_flight)
            rows[:, self._expiring] = in_flight
            known[TERM_BEGAN] = clock
        known[BLOCK_IN_FLIGHT] = in_flight.sum()
