"""Which tasks are in the pool: how it is filled and drawn from, which tasks leave, and what comes
in their place.

A :class:`Population` is a view, as everything here: of the pool's table, by the rules of an
algorithm. All of its methods expect the pool's lock to be held.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from metta.cogworks.curriculum.algorithm import CurriculumAlgorithm
from metta.cogworks.curriculum.pool.layout import (
    COMPLETION_COUNT,
    EXPIRING,
    IN_FLIGHT,
    PRIOR,
    SCHEDULED,
    TASK_ID,
    VARIANT,
)
from metta.cogworks.curriculum.pool.new_ids import distinct
from metta.cogworks.curriculum.pool.table import EVICTION, RETIREMENT, TaskTable
from metta.cogworks.curriculum.task import CurriculumTask, TaskSource
from metta.cogworks.curriculum.task_generator import TaskGenerator
from metta.cogworks.curriculum.tasks.regions import MEMBERS, Regions
from metta.cogworks.curriculum.tasks.variants import TRIES, Variants

_LOG = logging.getLogger(__name__)

MOST_EVICTIONS = 4
"""Tasks exchanged in one refresh of a block: each takes about 15 µs, in which others wait."""

_EXCHANGE_TRIES = 64  # of new ids, 10 µs each: in a family of few variants most are in the pool
_FILL_STREAM = 2**64 - 1  # of the Philox generator that chooses the first tasks


class Population:
    """The tasks of a pool.

    Args:
        algorithm: says what is drawn and what leaves; it is bound to the pool.
        generator: describes the tasks; None: they are plain ids.
        num_ids: ids are drawn from 0 to ``num_ids - 1``.
        regions: where a task of the pool stands for a region of the family; None: for itself.
        seed: of the draws, where the pool is new.
        tasks: what the tasks belong to that algorithms are told of. It owns this object, which
            keeps no reference to it.
    """

    def __init__(
        self,
        algorithm: CurriculumAlgorithm,
        generator: TaskGenerator[Any] | None,
        num_ids: int,
        regions: Regions | None,
        seed: int,
        tasks: TaskSource,
    ):
        self._algorithm, self._generator = algorithm, generator
        self._table: TaskTable = algorithm.table
        self._num_ids, self._seed, self._regions = num_ids, seed, regions
        self._uniform_share, self._period = algorithm.uniform_share, algorithm.refresh_period
        layout = algorithm.table.layout
        self._variants = Variants(
            generator, layout.max_tasks, num_ids, layout.has_variants, regions
        )
        self._tells = algorithm.needs_task_events
        self._tasks = weakref.ref(tasks)
        hypers = algorithm.hypers
        self._new = {
            "success_threshold": hypers.task_default_success_threshold,
            "generator_type": hypers.task_default_generator_type,
        }

    # -- filling -----------------------------------------------------------------------------------

    def fill_if_new(self) -> None:
        """Fill the pool, if no curriculum has. Tasks that a tracker has put there, or that a
        backend kept, stay."""
        table = self._table
        if table.header.filled:
            return
        if table.header.active_count:
            self.top_up()
            table.header.mark_filled()
            table.samples.mark_stale()
        else:
            self._fill()

    def _fill(self) -> None:
        table = self._table
        table.header.set_seed(self._seed)
        key = np.array([self._seed, _FILL_STREAM], np.uint64)
        rng = np.random.Generator(np.random.Philox(key=key))
        if self._regions is not None:
            ids = np.array(self._regions.representatives)
        else:
            ids = distinct(rng, self._variants.num_tries, self._num_ids)
        fields: dict[str, Any] = dict(self._new)
        if self._variants.may_repeat:
            found = self._variants.one_of_each(ids.tolist(), self._variants.num_places)
            ids = np.array(list(found.values()))
            fields[VARIANT] = np.array(list(found), np.float64)
        table.fill(ids, self._weights_of(ids), fields)  # in one change, which a kill undoes
        for task_id in ids.tolist() if self._tells else ():
            self._tell_created(task_id)

    def top_up(self) -> None:
        """Fill what is free, as long as there are other ids."""
        table, newcomers = self._table, self._newcomers()
        while table.header.active_count < table.layout.max_tasks:
            task_id = next(newcomers, None)
            if task_id is None:
                return
            self._entered(table.insert(task_id, self._fields_of(task_id)), task_id)

    def _newcomers(self) -> Iterator[int]:
        """Ids that are to enter a pool with room, each asked for when the one before has entered;
        of regions, and of a family that has room as a whole, those that are missing and were not
        taken out."""
        holds_all = self._num_ids <= self._table.layout.max_tasks and not self._variants.may_repeat
        if self._regions is None and holds_all:
            yield from self._table.new_ids.missing(self._num_ids)
        elif self._regions is None:
            yield from iter(functools.partial(self._new_id, tries=TRIES), None)
        else:
            table, retired = self._table, self._table.new_ids.retired()
            for task_id in self._regions.representatives:
                if task_id not in retired and table.find(task_id) < 0:
                    yield task_id

    def _entered(self, slot: int, task_id: int) -> None:
        weight = self._algorithm.new_weight()
        if weight is None:
            self._table.samples.mark_stale()
        else:
            begun = self._table.begin()
            self._table.samples.set_weight(slot, weight)
            self._table.commit(begun)
        if self._tells:
            self._tell_created(task_id)

    def _tell_created(self, task_id: int) -> None:
        tasks = self._tasks()
        if tasks is not None:
            self._algorithm.on_task_created(CurriculumTask.of(tasks, task_id))

    def _new_id(self, other_than: int = -1, tries: int = _EXCHANGE_TRIES) -> int | None:
        """An id that is not in the pool, of a variant that is not and was not retired; None if none
        is found."""
        draw, variants = self._table.new_ids.draw, self._variants
        retired = variants.of_retired(self._table.new_ids.retired())
        for _ in range(tries):
            task_id = draw(self._num_ids, other_than)
            if task_id is None or not variants.may_repeat:
                return task_id
            variant = variants.variant(task_id)
            if self._table.indexes[-1].find(variant) < 0 and variant not in retired:
                return task_id
        return None

    def _fields_of(self, task_id: int) -> dict[str, float]:
        fields = {**self._new, PRIOR: self._variants.weight(task_id)}
        if self._variants.may_repeat:
            fields[VARIANT] = self._variants.variant(task_id)
        return fields

    def _weights_of(self, ids: np.ndarray) -> np.ndarray:
        if self._variants.is_uniform:
            return np.ones(len(ids))
        return np.array([self._variants.weight(task_id) for task_id in ids.tolist()])

    # -- an episode --------------------------------------------------------------------------------

    def draw(self) -> int:
        """The next task's id, drawn with replacement; it counts as scheduled.

        Raises:
            RuntimeError: every task was retired.
        """
        table = self._table
        if table.header.is_due(self._period):
            self.prepare()
        slot = table.samples.draw(self._uniform_share)
        if slot < 0:
            if not table.header.filled:  # whoever was loading a state died
                self._fill()
                return self.draw()
            raise RuntimeError(
                "the pool is empty: every task was retired as invalid "
                f"({table.header.counters()['invalid']} so far). Check the task generator's "
                "overrides and buckets"
            )
        return self.hand_out(slot, table.samples.latest)

    def hand_out(self, slot: int, drawn: tuple[int, int]) -> int:
        """The task's id, of a slot that was drawn; it counts as scheduled. ``drawn``: number and
        random bits of the draw."""
        table = self._table
        task_id, is_described = table.hand_out(slot)
        in_flight = table.flights.start(table.row(slot))
        self._algorithm.in_flight_changed(slot, in_flight - 1, in_flight)
        if not is_described:
            self._describe(slot, task_id)
        if self._regions is None:
            return task_id
        return self._regions.member(task_id, *drawn, table.new_ids.retired())

    def _describe(self, slot: int, task_id: int) -> None:
        generator = self._generator
        if generator is None:
            self._table.describe(slot, "", ())
            return
        label, values = generator.describe(task_id)
        keys = [generator.slice_key(axis, value) for axis, value in values.items()]
        self._table.describe(slot, label, keys)

    def row_id(self, task_id: int) -> int:
        """The id of the row, if there is one, that tells of a task: its own, or that of its
        region. Cheap for a task that is played."""
        if self._regions is None or task_id >= self._num_ids:
            return task_id
        return self._regions.representative(task_id)

    def complete(self, task_id: int, score: float) -> None:
        """Record a completion, of a task that is in the pool or has left it."""
        table = self._table
        if self._regions is not None:
            task_id = self._regions.representative(task_id)
        slot = table.find(task_id)
        if slot < 0:
            table.header.count_late()
            return
        reason = self._algorithm.complete(slot, task_id, score)
        if reason is not None:
            self._retire_row(task_id, reason)

    def end_unscored(self, task_id: int) -> None:
        """An episode of a task has ended, and nothing is learned from it."""
        table = self._table
        slot = table.find(self.row_id(task_id))
        if slot >= 0:
            begun = table.begin()
            self._end_flight(slot)
            table.commit(begun)

    def _end_flight(self, slot: int) -> None:
        before, now = self._table.flights.end(slot, self._table.save_row(slot))
        self._algorithm.in_flight_changed(slot, before, now)

    def forget_in_flight(self) -> None:
        """Count each task as scheduled as often as it was completed."""
        table = self._table
        scheduled, completed = table.column(SCHEDULED), table.column("completion_count")
        lost = np.flatnonzero(scheduled != completed)
        for slot in lost.tolist():
            table.changes.note(slot)
        scheduled[lost] = completed[lost]
        table.column(IN_FLIGHT)[:] = table.column(EXPIRING)[:] = 0.0
        table.flights.forget_all()
        table.samples.mark_stale()

    # -- refreshing --------------------------------------------------------------------------------

    def prepare(self) -> None:
        """What is to be done before the next draw."""
        table = self._table
        candidate = table.header.take_candidate()
        if candidate >= 0 and self._algorithm.may_leave(candidate):
            self._replace(int(table.row(candidate)[TASK_ID]), EVICTION)
        if table.samples.refresh_due(self._period):
            self._refresh()

    @property
    def until_refresh(self) -> int:
        """Completions until a block of weights is refreshed."""
        return max(0, self._period - self._table.header.since_refresh)

    def _refresh(self) -> None:
        """Exchange tasks of the next block that are done with, and weigh the rest."""
        table, algorithm = self._table, self._algorithm
        block = table.samples.next_block()
        table.flights.look(block)
        limit = min(MOST_EVICTIONS, table.header.since_refresh)
        for task_id in algorithm.evictions(limit, block):
            if not self._replace(task_id, EVICTION):
                break
        weights = algorithm.weigh(block)
        bad = ~np.isfinite(weights) | (weights < 0.0)
        if bad.any():
            self._retire_unscorable(block, weights, bad)
            weights = np.where(bad, 0.0, weights)
        table.samples.publish(weights)

    def _retire_unscorable(self, block: slice, weights: np.ndarray, bad: np.ndarray) -> None:
        ids = self._table.rows[block, TASK_ID][bad].tolist()
        found = list(zip(ids, weights[bad].tolist(), strict=True))
        for task_id, weight in found[:MOST_EVICTIONS]:  # the others with the next refresh
            self._retire_row(
                int(task_id), f"{type(self._algorithm).__name__} weighs it as {weight}"
            )

    # -- leaving -----------------------------------------------------------------------------------

    def _replace(self, task_id: int, counted_as: int, keep_if_no_other: bool = True) -> bool:
        """Exchange a task for a new one. Returns whether it left the pool."""
        table = self._table
        slot = table.find(task_id)
        if slot < 0:
            return False
        # All regions are in the pool, but for those that were taken out.
        successor = None if self._regions is not None else self._new_id(other_than=task_id)
        if successor is None and keep_if_no_other:
            return False
        if successor is None:
            table.remove(slot, counted_as)
        else:
            table.exchange(slot, successor, self._fields_of(successor), counted_as)
        if self._tells:
            self._algorithm.on_task_evicted(task_id)
        if successor is not None:
            self._entered(slot, successor)
        return True

    def retire(self, task_id: int, reason: str) -> int:
        """Take a task out that cannot be played. A region leaves with the last of its tasks. Logs a
        warning at the first, second, fourth, ... Returns how many were retired so far, 0 if this
        one is not played."""
        if self._regions is None:
            return self._retire_row(task_id, reason)
        return self._warned(task_id, reason) if self._retire_member(task_id) else 0

    def _retire_row(self, task_id: int, reason: str) -> int:
        """As :meth:`retire`, of a row: a task that cannot be scored, and whatever it stands for."""
        left = self._replace(task_id, RETIREMENT, keep_if_no_other=False)
        return self._warned(task_id, reason) if left else 0

    def _retire_member(self, task_id: int) -> bool:
        """Play a task of a region no more. Returns whether it was before. The episode that found
        out has ended."""
        table, regions, row_id = self._table, self._regions, self.row_id(task_id)
        slot, retired = table.find(row_id), table.new_ids.retired()
        if slot < 0 or regions is None:
            return False
        draws = table.header.counters()["draws"]
        played = set(regions.members(row_id, draws)) - retired
        if played <= {task_id} or self._is_unplayable(slot):
            return self._replace(row_id, RETIREMENT, keep_if_no_other=False)
        was_played = task_id not in retired
        begun = table.begin()
        if was_played:
            table.new_ids.retire_member(task_id, table.journal)
        self._end_flight(slot)
        table.commit(begun)
        return was_played

    def _is_unplayable(self, slot: int) -> bool:
        """Whether enough draws of a region came to nothing, and none was completed. The table
        remembers too few retired ids to tell by them where many regions are so."""
        row, table = self._table.row(slot), self._table
        in_vain = row[table.offset(SCHEDULED)] - table.flights.of_row(row)
        return row[COMPLETION_COUNT] == 0.0 and in_vain >= MEMBERS

    def _warned(self, task_id: int, reason: str) -> int:
        retired = self._table.header.counters()["invalid"]
        if not retired & (retired - 1):  # 1, 2, 4, 8, ...: neither silent nor a flood
            _LOG.warning(
                "task %d is invalid and was replaced (invalid so far: %d): %s",
                task_id,
                retired,
                reason,
            )
        return retired
