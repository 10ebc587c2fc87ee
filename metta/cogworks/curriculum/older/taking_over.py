"""From a saved state of an older version to one of this version: what can be kept."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from metta.cogworks.curriculum.algorithm import CurriculumAlgorithm
from metta.cogworks.curriculum.older.states import OlderTask, read_older
from metta.cogworks.curriculum.pool.layout import (
    COMPLETION_COUNT,
    PRIOR,
    SCHEDULED,
    TOTAL_SCORE,
    TOTAL_SQUARED,
    TableLayout,
)
from metta.cogworks.curriculum.pool.moved import moved
from metta.cogworks.curriculum.pool.table import TaskTable
from metta.cogworks.curriculum.tasks.generator import TaskGenerator
from metta.cogworks.curriculum.tasks.regions import Regions
from metta.cogworks.curriculum.tasks.variants import Variants

_LOG = logging.getLogger(__name__)


def in_present_form(
    state: Mapping[str, Any],
    algorithm: CurriculumAlgorithm,
    identity: dict[str, Any],
    generator: TaskGenerator[Any] | None,
    num_ids: int,
    layout: TableLayout,
    regions: Regions | None = None,
) -> dict[str, Any]:
    """A curriculum's state with the tasks of an older one that this family has too: with the number
    of their completions, the sum of their scores, and what the scorer makes of the latest
    ``memory`` scores, as far as they were saved, or of their mean. Logs how many are kept, and how
    many not.

    Ids of older versions mean other tasks, where there is a generator: a task is found by its
    bucket values, in a family that can be counted.

    Args:
        state: of an older version.
        algorithm: of the curriculum that will load it. It is left as it is.
        identity: of that curriculum.
        generator: of its family; None: tasks are plain ids.
        num_ids: of its family.
        layout: of its table.
        regions: of its family, if it has any.

    Raises:
        ValueError: it is none of the forms that older versions had.
    """
    older = read_older(state)
    known = {task_id: task for task_id, task in older.items() if task.completions}
    ids = {i: _same_task(i, task, generator, num_ids, regions) for i, task in known.items()}
    kept: dict[int, OlderTask] = {}
    for older_id, task_id in ids.items():
        if task_id is not None:
            task = known[older_id]
            kept[task_id] = kept[task_id] + task if task_id in kept else task
    most = sorted(kept, key=lambda task_id: -kept[task_id].completions)[: layout.max_tasks]
    kept = {task_id: kept[task_id] for task_id in most}
    saved = _saved(kept, algorithm, layout)
    variants = Variants(generator, layout.max_tasks, num_ids, layout.has_variants, regions)
    fields = {PRIOR: {task_id: variants.weight(task_id) for task_id in kept}}
    pool = moved(saved["tracker"], layout, {task_id: task_id for task_id in kept}, fields)
    completions = sum(task.completions for task in known.values())
    rest = completions - sum(task.completions for task in kept.values())
    for name in ("closed_completed", "closed_scheduled"):
        pool["counters"][name] += rest
    of_older = sum(task_id in kept for task_id in ids.values())
    _LOG.warning(
        "the state was saved by an older version: %d of its %d tasks, with %d of its %d "
        "completions, go on with their counts and scores, as %d tasks; the others are begun anew, "
        "because %s. Random numbers, sampling distribution and the scorer's averages are not kept",
        of_older,
        len(older),
        completions - rest,
        completions,
        len(kept),
        _why_not(generator),
    )
    seed = pool["counters"]["seed"]
    return {
        "seed": seed,
        "identity": json.dumps(identity),
        "algorithm": {**saved, "tracker": pool},
    }


def _same_task(
    older_id: int,
    task: OlderTask,
    generator: TaskGenerator[Any] | None,
    num_ids: int,
    regions: Regions | None,
) -> int | None:
    task_id = older_id if generator is None else _found(generator, task)
    if task_id is None or task_id >= num_ids:
        return None
    return task_id if regions is None else regions.representative(task_id)


def _found(generator: TaskGenerator[Any], task: OlderTask) -> int | None:
    """The one task that has these bucket values, and this label, where it was saved."""
    values = task.slice_values
    if generator.num_variants is None or values is None:
        return None
    found = generator.node.find(task.label, values)
    is_one = len(list(itertools.islice(found, 2))) == 1
    return generator.find(task.label, values) if is_one else None


def _saved(
    kept: Mapping[int, OlderTask], algorithm: CurriculumAlgorithm, layout: TableLayout
) -> dict[str, Any]:
    """The state of such an algorithm on a pool of its own, in which these tasks were completed."""
    capacity = max(1, layout.max_tasks)
    local = {"use_shared_memory": False, "session_id": None, "num_active_tasks": capacity}
    scratch = algorithm.hypers.model_copy(update=local).create(capacity)
    table = scratch.open().table
    scores = {i: task.latest(algorithm.hypers.memory) for i, task in kept.items()}
    with table:
        for task_id in kept:
            scratch.task_tracker.track_task_creation(task_id)
        for turn in range(max((len(each) for each in scores.values()), default=0)):
            for task_id, each in scores.items():
                if turn < len(each):
                    scratch.complete(table.find(task_id), task_id, each[turn])
        for task_id, task in kept.items():
            _count(table, task_id, task, scores[task_id])
    saved = scratch.get_state()
    scratch.task_tracker.cleanup_shared_memory()
    return saved


def _count(table: TaskTable, task_id: int, task: OlderTask, scores: list[float]) -> None:
    """Set the counts of a task to what they were: not all of its scores were known. Of those that
    were not, the mean of all stands for each."""
    slot, more = table.find(task_id), task.completions - len(scores)
    mean = task.total_score / task.completions
    begun = table.begin()
    row = table.save_row(slot)
    row[COMPLETION_COUNT] = row[table.offset(SCHEDULED)] = float(task.completions)
    row[TOTAL_SCORE] = task.total_score
    row[table.offset(TOTAL_SQUARED)] = float(np.square(scores).sum()) + more * mean * mean
    table.commit(begun)


def _why_not(generator: TaskGenerator[Any] | None) -> str:
    if generator is None:
        return "they were not completed, or their ids are none of this curriculum's"
    if generator.num_variants is None:
        return (
            "ids mean other tasks now, and with a Span or a custom generator none can be found by "
            "its bucket values"
        )
    return (
        "they were not completed, or no single task has their bucket values, and ids mean other "
        "tasks now"
    )
