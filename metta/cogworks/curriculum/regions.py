"""Which families of tasks a pool keeps in regions (:mod:`.tasks.regions`), and in how many."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from metta.cogworks.curriculum.strict_config import StrictConfig
from metta.cogworks.curriculum.task_generator import TaskGenerator
from metta.cogworks.curriculum.tasks.inputs import MAX_SIZE
from metta.cogworks.curriculum.tasks.regions import Regions, grid_of


class RegionsConfig(StrictConfig):
    """Part of the configuration of an algorithm that works on regions of large families."""

    max_regions: int = Field(
        default=256,
        ge=0,
        le=MAX_SIZE,
        description="a family with a Span, or with more variants than num_active_tasks, is cut "
        "into at most so many regions (and at most num_active_tasks), each of which is one task to "
        "the pool; 0: it is not cut. 256 of 64 to 1,000 was best over the toy environment in 2, 3 "
        "and 5 dimensions and the worlds line, continuum and kinds (the module's README)",
    )


def regions_of(
    hypers: Any, generator: TaskGenerator[Any] | None, num_ids: int, capacity: int
) -> Regions | None:
    """The regions in which a pool keeps a family; None where each of its rows is a single task.

    Args:
        hypers: configuration of the algorithm. One that is no :class:`RegionsConfig` wants none.
        generator: of the family; None: tasks are plain ids.
        num_ids: of the family.
        capacity: of the pool, in tasks.
    """
    if generator is None or not isinstance(hypers, RegionsConfig):
        return None
    limit = min(capacity, hypers.max_regions)
    grid = grid_of(generator, num_ids, capacity, limit)
    return None if grid is None else Regions(generator, num_ids, grid)
