"""Curricula over a list of anything: how one is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from metta.cogworks.curriculum.algorithm import CurriculumAlgorithmConfig
from metta.cogworks.curriculum.config import CurriculumConfig
from metta.cogworks.curriculum.learning_progress_algorithm import LearningProgressConfig
from metta.cogworks.curriculum.tasks.inputs import listed
from metta.cogworks.curriculum.tasks.item_keys import in_order
from metta.cogworks.curriculum.tasks.items import ItemsGenerator, item_list

MOST_IN_POOL = 2048
"""Items in the pool at a time, unless told otherwise: of a larger pool too few are met again in a
run of some ten thousand draws for it to be known which are being learned. The best of 1,000, 2,048,
4,096 and all, for 16,000 and for 64,000 draws from 100,000 simulated prompts: `python
experiments/examples/prompts.py pools`."""


def items_config(
    items: Any,
    key: Callable[[Any], Any] | Iterable[Any] | None,
    num_active_tasks: int | None,
    algorithm_config: CurriculumAlgorithmConfig | None,
    label: str | None,
    seed: int,
) -> CurriculumConfig:
    """The configuration of a curriculum over items: see
    :meth:`~metta.cogworks.curriculum.curriculum.Curriculum.from_items`."""
    found = item_list(items)
    keys = None
    if callable(key):
        keys = [key(item) for item in in_order(found)]
    elif key is not None:
        keys = listed("key", key, "keys, or a function from an item to its key")
    try:
        generator = ItemsGenerator.Config(items=found, keys=keys, label=label)
    except ValidationError as error:  # its own text would show the items
        told = [each["msg"].removeprefix("Value error, ") for each in error.errors()]
        raise ValueError("; ".join(told)) from None
    algorithm = LearningProgressConfig() if algorithm_config is None else algorithm_config
    given = "num_active_tasks" in algorithm.model_fields_set
    if num_active_tasks is None and not given:
        num_active_tasks = min(len(found), MOST_IN_POOL)
    return CurriculumConfig(
        task_generator=generator,
        algorithm_config=algorithm,
        num_active_tasks=num_active_tasks,
        seed=seed,
    )
