"""What tasks are drawn by, and the draws: two trees of sums, refreshed block by block.

Draw ``k`` is a function of the seed and ``k``: ``mix64(key(seed) + k·2^64/φ)``. Which process draws
makes no difference, and a restored pool draws what the saved one would have drawn.
"""

from __future__ import annotations

import numpy as np

from metta.cogworks.curriculum.pool.changes import Changes
from metta.cogworks.curriculum.pool.journal import Journal
from metta.cogworks.curriculum.pool.layout import (
    BLOCK,
    BLOCK_AT_WORK,
    CLOCK,
    CURSOR,
    DRAWS,
    NUM_MOMENTS,
    PRIOR,
    REFRESHED,
    SEED,
    STALE,
    TableLayout,
)
from metta.cogworks.curriculum.pool.sum_tree import Remaining, SumTree
from metta.cogworks.curriculum.tasks.ids import GOLDEN, TO_UNIT, mix64

_MASK = 2**64 - 1
_SALT = 0xD1B54A32D192ED03  # separates the draws from the new ids; any odd constant does

Among = tuple[Remaining, Remaining]
"""Weights and priors of which some slots are left out."""


class Samples:
    """Weights of all slots, 0 for empty ones.

    ``weights`` are what the tasks are drawn by; ``priors`` what they would be drawn by if nothing
    were known of them, the sampling weights of their family. ``moments``, float64 of shape
    ``(num_blocks, NUM_MOMENTS)``, is what a sampling rule needs to know of other blocks.

    Args:
        memory: all of the pool's bytes.
        words: the same as int64.
        layout: where things lie.
        rows: all rows, shape ``(max_tasks, row_size)``.
        journal: for changes of single weights.
        changes: is told of all changes.
    """

    def __init__(
        self,
        memory: memoryview,
        words: memoryview[int],
        layout: TableLayout,
        rows: np.ndarray,
        journal: Journal,
        changes: Changes,
    ):
        at = layout.offsets
        self._words, self._journal, self._changes = words, journal, changes
        self._max_tasks, self._num_blocks = layout.max_tasks, layout.num_blocks
        self._priors_of_rows = rows[:, layout.offset(PRIOR)]
        self.weights = SumTree(memory, at["weights"], layout.tree_size)
        self.priors = SumTree(memory, at["priors"], layout.tree_size)
        count = layout.num_blocks * NUM_MOMENTS
        moments = np.frombuffer(memory, np.float64, count, at["moments"])
        self.moments = moments.reshape(layout.num_blocks, NUM_MOMENTS)
        self._key = (-1, 0)
        self.latest = (0, 0)
        """Number of the latest draw of this process, and its 64 random bits: the upper ones chose
        the slot. Lock held, just after :meth:`draw`."""

    def draw(self, uniform_share: float, among: Among | None = None) -> int:
        """Slot of the next sample: with probability ``uniform_share`` in proportion to the priors,
        else to the weights (to the priors, if all weights are 0). -1 if the pool is empty. Lock
        held.

        ``among``: what is left of weights and priors, as :meth:`remaining` gives them; None: all.
        """
        words, seed = self._words, self._words[SEED]
        if self._key[0] != seed:
            self._key = (seed, mix64(seed ^ _SALT))
        k = words[DRAWS]
        words[DRAWS] = k + 1
        bits = mix64((self._key[1] + k * GOLDEN) & _MASK)
        self.latest = (k, bits)
        x = (bits >> 11) * TO_UNIT
        slot = -1
        weights, priors = (self.weights, self.priors) if among is None else among
        if x >= uniform_share:
            x = (x - uniform_share) / (1.0 - uniform_share)
            slot = weights.find(x)
        else:
            x /= uniform_share
        return slot if slot >= 0 else priors.find(x)

    def remaining(self) -> Among:
        """Weights and priors to draw from without replacement. Lock held, as long as they are
        used."""
        return self.weights.remaining(), self.priors.remaining()

    def undo_draws(self, n: int) -> None:
        """The last ``n`` draws of the pool, of which nothing became, are drawn again next. Lock
        held since."""
        self._words[DRAWS] -= n

    def set_weight(self, slot: int, weight: float) -> None:
        """What the task in ``slot`` is drawn by from now on, before its prior. Lock held, inside a
        change."""
        self.weights.set(slot, weight * self.priors.weight(slot), self._journal)

    def scale_weight(self, slot: int, factor: float) -> None:
        """Multiply what the task in ``slot`` is drawn by. Lock held, inside a change."""
        self.weights.set(slot, self.weights.weight(slot) * factor, self._journal)

    def open(self, slot: int, prior: float) -> None:
        """A task with this prior has entered the slot; it keeps the slot's weight until it gets
        one. Lock held, inside a change."""
        self.priors.set(slot, prior, self._journal)

    def close(self, slot: int) -> None:
        """The slot is empty. Lock held, inside a change."""
        self.priors.set(slot, 0.0, self._journal)
        self.weights.set(slot, 0.0, self._journal)

    def probabilities(
        self, weights: np.ndarray, priors: np.ndarray, share: float = 0.0
    ) -> np.ndarray:
        """The distribution that :meth:`draw` draws from, given all weights and priors."""
        total = weights.sum()
        p = priors / max(float(priors.sum()), np.finfo(np.float64).tiny)
        return (1.0 - share) * (weights / total) + share * p if total > 0.0 else p

    # -- refreshing --------------------------------------------------------------------------------

    def mark_stale(self) -> None:
        """All weights are to be computed anew, block by block, before the next draws. Lock held."""
        self._words[STALE] = self._num_blocks

    def refresh_due(self, period: int) -> bool:
        """Whether a block is to be refreshed: one every ``period`` completions. Lock held."""
        words = self._words
        return words[STALE] > 0 or words[CLOCK] - words[REFRESHED] >= period

    def next_block(self) -> slice:
        """The slots of the block that is refreshed next. Lock held."""
        first = self._words[CURSOR] * BLOCK
        return slice(first, min(first + BLOCK, self._max_tasks))

    def publish(self, weights: np.ndarray) -> None:
        """Make these the weights of :meth:`next_block`, before their priors, and go on to the block
        after it. Lock held. Cost: linear in the block."""
        words, block = self._words, self.next_block()
        self._changes.note_block(words[CURSOR])
        words[BLOCK_AT_WORK] = words[CURSOR] + 1
        self.weights.set_range(block.start, weights * self.priors.leaves[block])
        words[REFRESHED] = words[CLOCK]
        words[STALE] = max(0, words[STALE] - 1)
        words[CURSOR] = (words[CURSOR] + 1) % self._num_blocks
        words[BLOCK_AT_WORK] = 0

    # -- as a whole --------------------------------------------------------------------------------

    def rebuild(self) -> None:
        """Derive the priors from the rows, and no weights. Lock held. Cost: linear, in numpy."""
        self.priors.set_range(0, self._priors_of_rows)
        self._words[CURSOR] = 0
        self.mark_stale()

    def load(self, weights: np.ndarray, moments: np.ndarray) -> None:
        """Take over saved weights and moments. Lock held. Cost: linear, in numpy."""
        self.weights.set_range(0, weights)
        self.moments[: len(moments)] = moments

    def recover_leaf(self, offset: int) -> None:
        """Something at ``offset`` in the memory was put back: if it is a weight, the sums above it
        are computed again. Lock held."""
        for tree in (self.weights, self.priors):
            slot = tree.slot_at(offset)
            if slot >= 0:
                tree.refresh_path(slot)

    def recover_block(self) -> None:
        """Finish what :meth:`publish` began in a process that is gone. Lock held."""
        first = (self._words[BLOCK_AT_WORK] - 1) * BLOCK
        self.weights.set_range(first, self.weights.leaves[first : first + BLOCK].copy())
        self.mark_stale()
