"""The pool of a curriculum: whose it is, and how it is opened."""

from __future__ import annotations

from typing import Any

from metta.cogworks.curriculum.algorithm import CurriculumAlgorithm
from metta.cogworks.curriculum.config import CurriculumConfig
from metta.cogworks.curriculum.pool.layout import Column
from metta.cogworks.curriculum.tasks.regions import Regions


def pool_identity(config: CurriculumConfig, regions: Regions | None) -> dict[str, Any]:
    """See :meth:`CurriculumConfig.identity`; with how the family is cut, if it is."""
    cut = {} if regions is None else {"regions": regions.grid._asdict()}
    return {**config.identity(), **cut}


def opened(
    config: CurriculumConfig, num_ids: int, regions: Regions | None, own: tuple[Column, ...]
) -> CurriculumAlgorithm:
    """The configured algorithm, on the pool that this opens.

    Args:
        config: of the curriculum.
        num_ids: of its family of tasks.
        regions: of its family, if it has any.
        own: columns of the pool beside the algorithm's.
    """
    hypers = config.algorithm
    algorithm = hypers.create(hypers.num_active_tasks)
    if not algorithm.is_bound:
        identity = {**pool_identity(config, regions), "seed": config.seed}
        capacity = config.capacity(num_ids) if regions is None else len(regions)
        columns = (*algorithm.columns, *own)
        algorithm.bind(hypers.make_tracker(columns, capacity, identity, num_ids))
    return algorithm


def check_sendable(session_id: str | None, own_algorithm: bool) -> None:
    """Whether another process can open the same pool.

    Raises:
        TypeError: it is in local memory, or the algorithm is not the configured one.
    """
    if session_id is None:
        raise TypeError(
            "a curriculum in local memory cannot be sent to another process: "
            "use_shared_memory=True, or send its configuration to make another pool"
        )
    if not own_algorithm:
        raise TypeError(
            "a curriculum that was given an algorithm object cannot be sent to another "
            "process: give its configuration an algorithm_config that creates it there"
        )
