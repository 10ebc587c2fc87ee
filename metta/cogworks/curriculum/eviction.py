"""Which tasks may leave the pool: those that were measured and of which least is to be learned."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from metta.cogworks.curriculum.pool.exclusive import exclusive
from metta.cogworks.curriculum.pool.layout import (
    BLOCK,
    COLUMN_LIMIT,
    COMPLETION_COUNT,
    EVICTION_CLOCK,
    EVICTION_THRESHOLD,
    IS_ACTIVE,
    LP_SCORE,
    TASK_ID,
)
from metta.cogworks.curriculum.pool.table import TaskTable
from metta.cogworks.curriculum.scorer import MAX_FACTOR
from metta.cogworks.curriculum.tasks.ids import validate_task_ids
from metta.cogworks.curriculum.tasks.inputs import MAX_SIZE
from metta.cogworks.curriculum.weighing import SamplingConfig

THRESHOLD_LAG = 128
"""Completions for which the threshold of a block serves, in a pool with more tasks than that: found
anew with most of the evictions, it would be among the slowest hundredth of episodes."""


class EvictionConfig(SamplingConfig):
    """Which tasks leave."""

    eviction_threshold_percentile: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="share of the measured tasks that may leave; the guide's default. 0: none "
        "leaves",
    )
    eviction_worth_ratio: float = Field(
        default=0.5,
        ge=0,
        le=MAX_FACTOR,
        description="with a scorer that knows what an unseen task is worth, a task leaves only if "
        "it is worth at most this share of one; without it, tasks that are being learned leave too "
        "(docs/evidence.md)",
    )
    min_presentations_for_eviction: int = Field(
        default=5, ge=1, le=MAX_SIZE, description="completions before a task may leave"
    )
    sample_threshold: int = Field(
        default=10,
        ge=1,
        le=MAX_SIZE,
        description="completions before a task may leave; the guide's name",
    )

    def eviction_samples(self) -> int:
        """Completions before a task may leave the pool: it must have been measured by then."""
        return max(
            self.min_presentations_for_eviction, self.sample_threshold, self.min_samples_for_lp
        )


class Eviction:
    """A task may leave after enough completions, if its progress is at or below the threshold: the
    percentile of the measured tasks it is compared with (of its block, in a pool of several), and
    no more than the limit.

    Args:
        config: share, limit and completions.
        unseen_worth: what a task is worth that nobody has tried, where the scorer can tell.
    """

    def __init__(self, config: EvictionConfig, unseen_worth: float | None):
        self.samples = config.eviction_samples()
        # A task worth more stays, however it compares with the others.
        self._limit = math.inf
        if unseen_worth is not None:
            self._limit = config.eviction_worth_ratio * unseen_worth
        self._share = config.eviction_threshold_percentile

    def threshold(self, progress: np.ndarray) -> float:
        """The progress up to which a task may leave, given that of all measured ones."""
        if self._share == 0.0 or not progress.size:
            return -math.inf
        return min(percentile(progress, self._share), self._limit)

    def candidates(self, table: TaskTable, slots: slice, limit: int) -> list[int]:
        """Ids of the tasks in ``slots`` that may leave, lowest first, at most ``limit``. Lock
        held."""
        if limit < 1 or self._share == 0.0:
            return []
        rows = table.rows[slots]
        progress, is_measured = rows[:, LP_SCORE], rows[:, COMPLETION_COUNT] >= self.samples
        is_measured &= table.flights.of_block(slots) == 0.0  # whose episode would come late
        # most of the time none, and this saves a partial sort
        if not ((progress <= self._limit) & is_measured).any():
            return []
        (measured,) = (is_measured & (rows[:, IS_ACTIVE] != 0.0)).nonzero()
        scores = progress[measured]
        (low,) = (scores <= self.threshold(scores)).nonzero()
        if low.size > limit:
            low = low[scores[low].argpartition(limit - 1)[:limit]]
        order = low[scores[low].argsort(kind="stable")]
        return rows[measured[order], TASK_ID].astype(np.int64).tolist()

    def is_candidate(self, row: memoryview[float]) -> bool:
        """Whether the task with this row may leave, if its progress compares badly."""
        return row[LP_SCORE] <= self._limit and row[COMPLETION_COUNT] >= self.samples

    def may_leave(self, table: TaskTable, slot: int) -> bool:
        """Whether the task in ``slot`` may leave, compared with its block as it was at most
        :data:`THRESHOLD_LAG` completions ago, or one round of a small pool, or a quarter of one of
        a large pool. Lock held."""
        row = table.row(slot)
        if not self.is_candidate(row):
            return False
        block, clock = slot // BLOCK, table.header.clock
        known = table.samples.moments[block].data  # as a memoryview: faster one by one
        num_tasks = table.layout.max_tasks
        lag = max(min(num_tasks, THRESHOLD_LAG), num_tasks // 4)
        if not 0 <= clock - (known[EVICTION_CLOCK] - 1) < lag:
            rows = table.rows[block * BLOCK : (block + 1) * BLOCK]
            progress = rows[:, LP_SCORE][rows[:, COMPLETION_COUNT] >= self.samples]
            known[EVICTION_CLOCK] = 0.0  # in case that this process ends here
            known[EVICTION_THRESHOLD] = max(self.threshold(progress), -COLUMN_LIMIT)
            known[EVICTION_CLOCK] = 1 + clock
        return row[LP_SCORE] <= known[EVICTION_THRESHOLD]


def percentile(scores: np.ndarray, share: float) -> float:
    """The score that ``floor(share · (n − 1))`` of the ``n`` scores are sorted before; the lowest
    for share 0."""
    k = int(share * (scores.size - 1))
    ordered = scores.copy()
    ordered.partition(k)
    return float(ordered[k])


@exclusive
def measured_progress(
    table: TaskTable, task_ids: list[int] | None, samples: int
) -> dict[int, float]:
    """Progress of the tasks in the pool that were completed at least ``samples`` times, by id.

    ``task_ids``: which are asked for; None: all.
    """
    ids = table.task_ids().tolist() if task_ids is None else validate_task_ids(task_ids)
    slots = {task_id: slot for task_id in ids if (slot := table.find(task_id)) >= 0}
    rows = {task_id: table.row(slot) for task_id, slot in slots.items()}
    return {i: row[LP_SCORE] for i, row in rows.items() if row[COMPLETION_COUNT] >= samples}
