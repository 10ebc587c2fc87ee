"""Batches of a curriculum's tasks for ``torch.utils.data.DataLoader``. Needs torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

try:
    from torch.utils.data import Sampler
except ImportError as error:
    raise ImportError(
        "CurriculumBatchSampler needs torch, which metta-curriculum does not install by itself: "
        "pip install torch"
    ) from error

from metta.cogworks.curriculum.batches import MOST_TASKS_AT_ONCE
from metta.cogworks.curriculum.curriculum import Curriculum
from metta.cogworks.curriculum.tasks.inputs import checked_integer, flag, instance

_BATCHES = "batches"  # key of the state


class CurriculumBatchSampler(Sampler[list[int]]):
    """Draws the batches of a data set: lists of task ids, which are the positions of the items of
    :meth:`~metta.cogworks.curriculum.curriculum.Curriculum.from_items`.

        DataLoader(dataset, batch_sampler=CurriculumBatchSampler(curriculum, 64), num_workers=2)

    The batches are drawn in the process of the loader. One with workers draws ahead, by
    ``num_workers * prefetch_factor`` batches: those are in flight until they are scored.

    Args:
        curriculum: over the items of the data set, in its order.
        batch_size: tasks in a batch.
        num_batches: batches of a pass over the loader. Default: as many draws as there are items.
        distinct: whether no two tasks of a batch are the same; then the pool must hold
            ``batch_size`` tasks.

    Raises:
        TypeError, ValueError: one of them cannot be; the message says what is allowed.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        batch_size: int,
        num_batches: int | None = None,
        distinct: bool = True,
    ) -> None:
        self.curriculum = instance(
            "curriculum", curriculum, Curriculum, "give one, such as Curriculum.from_items(items)"
        )
        self.batch_size = checked_integer("batch_size", batch_size, 1, MOST_TASKS_AT_ONCE)
        self.distinct = flag("distinct", distinct)
        if num_batches is None:
            num_items = curriculum.config.num_ids(None)  # a made curriculum's says it
            num_batches = -(-num_items // self.batch_size)
        self.num_batches = checked_integer("num_batches", num_batches, 1)
        self._drawn = 0  # batches of this pass
        self._resumed_at = 0

    def __len__(self) -> int:
        """Batches of a pass."""
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        """One pass: what is left of it, where a state was loaded."""
        self._drawn, self._resumed_at = self._resumed_at, 0
        while self._drawn < self.num_batches:
            tasks = self.curriculum.get_tasks(self.batch_size, self.distinct)
            self._drawn += 1
            yield [task.task_id for task in tasks]
        self._drawn = 0

    def state_dict(self) -> dict[str, Any]:
        """How many batches of this pass were drawn. What is known of the tasks, and what is drawn
        next, is the curriculum's: save its ``get_state()`` too."""
        return {_BATCHES: self._drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next pass goes on after the batches that were drawn; batches that a loader had drawn
        ahead are not drawn again. Load the curriculum's state, too, and have it
        ``forget_in_flight()``.

        Raises:
            ValueError: it is no such state, or one of a longer pass.
        """
        if not isinstance(state, dict) or state.keys() != {_BATCHES}:
            raise ValueError(
                f"{state!r:.60} is not the state of a batch sampler: give what state_dict() "
                "returned"
            )
        self._resumed_at = checked_integer(_BATCHES, state[_BATCHES], 0, self.num_batches)
