"""A saved curriculum whose family of tasks has changed meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from metta.cogworks.curriculum.algorithm import CurriculumAlgorithm
from metta.cogworks.curriculum.identity import (
    check_family,
    check_identity,
    check_representatives,
    same_family,
    saved_identity,
)
from metta.cogworks.curriculum.older.states import is_older
from metta.cogworks.curriculum.older.taking_over import in_present_form
from metta.cogworks.curriculum.pool.layout import (
    IS_ACTIVE,
    PRIOR,
    TASK_ID,
    VARIANT,
    TableLayout,
)
from metta.cogworks.curriculum.pool.moved import active_ids, active_values, moved
from metta.cogworks.curriculum.pool.saved import check_ids
from metta.cogworks.curriculum.tasks.generator import TaskGenerator, TaskGeneratorConfig
from metta.cogworks.curriculum.tasks.inputs import flag
from metta.cogworks.curriculum.tasks.items import ItemsGenerator
from metta.cogworks.curriculum.tasks.regions import Regions
from metta.cogworks.curriculum.tasks.variants import Variants, same_tasks

ITEM_KEYS = "item_keys"
"""Entry of a curriculum's state: see :func:`with_item_keys`."""

_LOG = logging.getLogger(__name__)


def loadable(
    state: Any,
    changed_tasks: bool,
    algorithm: CurriculumAlgorithm,
    identity: dict[str, Any],
    generator: TaskGenerator[Any] | None,
    num_ids: int,
    layout: TableLayout,
    regions: Regions | None = None,
) -> dict[str, Any]:
    """A saved curriculum's state, checked, in the form in which the algorithm loads it; also one of
    an older version.

    Args:
        state: of a curriculum.
        changed_tasks: whether its family may be another one.
        algorithm: that will load it.
        identity: of the curriculum that will load it.
        generator: of its family; None: tasks are plain ids.
        num_ids: of its family.
        layout: of its table.
        regions: of its family, if it has any.

    Raises:
        ValueError: the state does not fit, or is that of another curriculum.
    """
    family = (generator, num_ids, layout, regions)
    if is_older(state):
        state = in_present_form(state, algorithm, identity, *family)
    if not isinstance(state, dict) or "algorithm" not in state:
        found = sorted(state) if isinstance(state, dict) else type(state).__name__
        raise ValueError(f"not the state of a curriculum: it has no 'algorithm', only {found}")
    if flag("changed_tasks", changed_tasks):
        state = for_changed_tasks(state, identity, *family)
    else:
        check_family(state, identity)
    pool = algorithm.check_state(state["algorithm"])
    check_ids(pool, num_ids)
    check_identity(saved_identity(state), identity, of_family=not changed_tasks)
    if regions is not None:
        check_representatives(pool, regions)
    return with_variants(state, *family)


def for_changed_tasks(
    state: dict[str, Any],
    identity: dict[str, Any],
    generator: TaskGenerator[Any] | None,
    num_ids: int,
    layout: TableLayout,
    regions: Regions | None = None,
) -> dict[str, Any]:
    """A saved curriculum's state with the tasks that the new family has too, under their ids there.
    Logs how many are kept, and how many not; the state itself, where the family is the same.

    A task is the same if it has the same label and bucket values; a plain id, if it is the same id;
    an item, if it has the same key.
    What is known of a region goes to that in which its representative lies now; of several, that of
    the first.

    Args:
        state: of the curriculum.
        identity: of the one that will load it.
        generator: of the new family; None: tasks are plain ids.
        num_ids: of the new family.
        layout: of the table that will take the pool over.
        regions: of the new family, if it has any.

    Raises:
        ValueError: the state is not one of a pool, is that of a curriculum that differs in other
            things too, or its family cannot be made.
    """
    saved, algorithm = saved_identity(state), state["algorithm"]
    if same_family(saved, identity):
        return state
    check_identity(saved, identity, of_family=False)
    pool: Any = algorithm.get("tracker") if isinstance(algorithm, dict) else None
    ids = active_ids(pool, layout)
    same = _same_tasks(saved, generator, ids, state.get(ITEM_KEYS))
    kept = {a: b for a, b in same.items() if b < num_ids}
    if regions is not None:
        kept = _of_regions(kept, regions)
    variants = Variants(generator, layout.max_tasks, num_ids, layout.has_variants, regions)
    found = variants.one_of_each(kept.values())
    stay = set(found.values())
    kept = {a: b for a, b in kept.items() if b in stay}
    fields = _fields(variants, found, layout)
    _LOG.warning(
        "the task family has changed since the pool was saved: %d of its %d tasks go on as the "
        "same, what was known of the other %d is dropped",
        len(kept),
        len(ids),
        len(ids) - len(kept),
    )
    return {**state, "algorithm": {**algorithm, "tracker": moved(pool, layout, kept, fields)}}


def _of_regions(kept: Mapping[int, int], regions: Regions) -> dict[int, int]:
    """Of each region the first task, as its representative."""
    first: dict[int, int] = {}
    for before, now in kept.items():
        first.setdefault(regions.representative(now), before)
    known = set(regions.representatives)
    return {before: region for region, before in first.items() if region in known}


def with_variants(
    state: dict[str, Any],
    generator: TaskGenerator[Any] | None,
    num_ids: int,
    layout: TableLayout,
    regions: Regions | None = None,
) -> dict[str, Any]:
    """A saved curriculum's state with the variants and sampling weights of its tasks as they are in
    this pool: the saved one may have kept none, or have had another size. Of tasks that are the
    same variant only the first stays. The state itself, where neither is so.

    Args:
        state: of the curriculum, which was checked.
        generator: of the family; None: tasks are plain ids.
        num_ids: of the family.
        layout: of the table that will take the pool over.
        regions: of the family, if it has any: they are no variants.
    """
    algorithm: Any = state["algorithm"]
    pool = algorithm.get("tracker") if isinstance(algorithm, dict) else None
    variants = Variants(generator, layout.max_tasks, num_ids, layout.has_variants, regions)
    if not variants.may_repeat or not isinstance(pool, dict):
        return state
    if pool["max_tasks"] == layout.max_tasks and all(active_values(pool, layout, VARIANT)):
        return state
    found = variants.one_of_each(active_ids(pool, layout))
    fields = _fields(variants, found, layout)
    kept = {task_id: task_id for task_id in found.values()}
    retired = pool["retired"]  # the family is the same
    pool = {**moved(pool, layout, kept, fields), "retired": retired}
    return {**state, "algorithm": {**algorithm, "tracker": pool}}


def _fields(
    variants: Variants, found: dict[int, int], layout: TableLayout
) -> dict[str, dict[int, float]]:
    """What new rows say of tasks, which were found by their variants: by column and by id."""
    fields = {PRIOR: {task_id: variants.weight(task_id) for task_id in found.values()}}
    if layout.has_variants:
        known = variants.may_repeat
        fields[VARIANT] = {i: float(variant) if known else 0.0 for variant, i in found.items()}
    return fields


def _same_tasks(
    saved: Mapping[str, Any],
    generator: TaskGenerator[Any] | None,
    ids: list[int],
    item_keys: Any,
) -> dict[int, int]:
    told = saved.get("task_generator")
    if told is None and generator is None:
        return {task_id: task_id for task_id in ids}
    if told is None or generator is None:
        return {}
    before = TaskGeneratorConfig.model_validate(told).create()
    if isinstance(before, ItemsGenerator) and isinstance(generator, ItemsGenerator):
        found = generator.found(_checked_keys(item_keys, len(ids))).tolist()
        # Of two with the same key, which no saved state has, the first.
        first = {now: before for before, now in zip(reversed(ids), reversed(found), strict=True)}
        return {before: now for now, before in first.items() if now >= 0}
    return same_tasks(before, generator, ids)


def with_item_keys(state: dict[str, Any], generator: TaskGenerator[Any] | None) -> dict[str, Any]:
    """A curriculum's state with what its items are known by in another list: a hash of the key of
    each that is in the pool, int64, in the order of the rows. The state itself, where tasks are no
    items, or the algorithm saves no pool."""
    algorithm: Any = state["algorithm"]
    pool = algorithm.get("tracker") if isinstance(algorithm, dict) else None
    if not isinstance(generator, ItemsGenerator) or pool is None:
        return state
    ids = pool["rows"][pool["rows"][:, IS_ACTIVE] != 0.0, TASK_ID]
    return {**state, ITEM_KEYS: generator.hashes_of(ids)}


def _checked_keys(keys: Any, count: int) -> np.ndarray:
    found = np.asarray(keys)
    if found.shape != (count,) or found.dtype.kind not in "iu":
        raise ValueError(
            f"saved state is inconsistent: {ITEM_KEYS} is {keys!r:.60}, not one integer for each "
            f"of the {count} items in its pool"
        )
    return found
