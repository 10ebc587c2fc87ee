"""What the header of a pool says: counters, the clock, the range of scores."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from metta.cogworks.curriculum.pool.journal import Journal
from metta.cogworks.curriculum.pool.layout import (
    ACTIVE,
    BLOCK_AT_WORK,
    CANDIDATE,
    CHANGES,
    CLOCK,
    COUNTERS,
    CREATED,
    EPOCH,
    EVICTED,
    FILLED,
    FREE,
    HISTORY,
    INVALID,
    JOURNAL,
    LATE,
    LOADING,
    POOL_VALUES,
    REFRESHED,
    SCORE_HIGH,
    SCORE_LOW,
    SEED,
    STALE,
    UNSCORED,
    TableLayout,
)


def positive_range(low: float, high: float) -> tuple[float, float]:
    """A range of scores whose width is not 0: while every score was 0, that from 0 to 1, in which
    they are what they are in any other."""
    return (low, high) if low < high else (0.0, 1.0)


class Header:
    """The header's words by name. Reading needs no lock, and without it may be a moment old.

    Args:
        words: the pool's memory as int64.
        values: the same as float64.
        layout: of the pool.
        history_at: where the ring of recent scores begins, in bytes.
    """

    def __init__(
        self,
        words: memoryview[int],
        values: memoryview[float],
        layout: TableLayout,
        history_at: int,
    ):
        self._words, self._values = words, values
        self._history_base = history_at // 8
        self._history_size = layout.completion_history_size
        self._pool_names = [column.name for column in layout.pool_columns]
        self.pool_values = values[POOL_VALUES : POOL_VALUES + len(self._pool_names)]
        """The columns of the whole pool, in the order in which they were declared; to be changed
        after :meth:`save_pool_values` only."""

    @property
    def active_count(self) -> int:
        """Tasks in the pool."""
        return self._words[ACTIVE]

    @property
    def first_free(self) -> int:
        """The free slot that is used next; -1 if there is none."""
        return self._words[FREE] - 1

    @property
    def clock(self) -> int:
        """Completions recorded so far: the measure of ages and lags."""
        return self._words[CLOCK]

    @property
    def since_refresh(self) -> int:
        """Completions since a block of weights was refreshed."""
        return self._words[CLOCK] - self._words[REFRESHED]

    @property
    def score_range(self) -> tuple[float, float]:
        """The lowest and the highest score so far, and 0; see :func:`positive_range`."""
        return positive_range(*self.seen_range)

    @property
    def seen_range(self) -> tuple[float, float]:
        """The lowest and the highest score so far, and 0: equal while every score was 0."""
        return self._values[SCORE_LOW], self._values[SCORE_HIGH]

    def range_with(self, score: float) -> tuple[float, float]:
        """What :attr:`score_range` will be with one more score."""
        low, high = self._values[SCORE_LOW], self._values[SCORE_HIGH]
        if low <= score <= high:
            return positive_range(low, high)
        return min(low, score), max(high, score)

    @property
    def filled(self) -> bool:
        """Whether a curriculum has filled the pool."""
        return self._words[FILLED] != 0

    @property
    def recorded(self) -> int:
        """Scores ever written to the ring of recent ones."""
        return self._words[HISTORY]

    def in_change(self) -> bool:
        """Whether somebody is in the middle of a change, or was when killed."""
        words = self._words
        return bool(words[JOURNAL] or words[LOADING] or words[BLOCK_AT_WORK])

    def counters(self) -> dict[str, int]:
        """The counters that are saved, by name, and ``active``, the number of tasks."""
        counters = {name: self._words[word] for name, word in COUNTERS.items()}
        return {**counters, "active": self._words[ACTIVE]}

    def version(self) -> Hashable:
        """Changes with every change of the pool that statistics can see."""
        words = self._words
        seen = (EPOCH, CHANGES, CREATED, EVICTED, INVALID, LATE, UNSCORED, CLOCK)
        return tuple([words[word] for word in seen])

    def of_pool(self) -> dict[str, float]:
        """The columns of the whole pool, by name."""
        return dict(zip(self._pool_names, self.pool_values, strict=True))

    # -- changes: the lock is held -----------------------------------------------------------------

    def save_pool_values(self, journal: Journal) -> None:
        """Journal :attr:`pool_values` before changing them."""
        if self._pool_names:
            journal.save(8 * POOL_VALUES, 8 * len(self._pool_names))

    def load(self, state: dict[str, Any]) -> None:
        """Take over what was saved: counters, the range of scores, the columns of the pool."""
        self._values[SCORE_LOW], self._values[SCORE_HIGH] = state["score_range"]
        for name, word in COUNTERS.items():
            self._words[word] = state["counters"][name]
        for i, name in enumerate(self._pool_names):
            self.pool_values[i] = state["of_pool"][name]

    def widen_range(self, score: float) -> None:
        """Let a score into the range of all scores."""
        values = self._values
        if score < values[SCORE_LOW]:
            values[SCORE_LOW] = score
        elif score > values[SCORE_HIGH]:
            values[SCORE_HIGH] = score

    def log_score(self, score: float) -> None:
        """Write a score to the ring of recent ones, and let the clock tick."""
        words = self._words
        recorded = words[HISTORY]
        self._values[self._history_base + recorded % self._history_size] = score
        words[HISTORY] = recorded + 1
        words[CLOCK] += 1

    def is_due(self, period: int) -> bool:
        """Whether anything is to be done before the next draw: a task may have to leave, or a block
        of weights is to be refreshed, one every ``period`` completions."""
        words = self._words
        return words[CLOCK] - words[REFRESHED] >= period or words[CANDIDATE] > 0 or words[STALE] > 0

    def note_candidate(self, slot: int) -> None:
        """The task in this slot, which was completed just now, may have to leave."""
        self._words[CANDIDATE] = slot + 1

    def take_candidate(self) -> int:
        """The slot that was noted last, the first time this is asked; then -1."""
        slot = self._words[CANDIDATE] - 1
        if slot >= 0:
            self._words[CANDIDATE] = 0
        return slot

    def count_late(self) -> None:
        """Count a completion of a task that has left the pool."""
        self._words[LATE] += 1

    def count_unscored(self) -> int:
        """Count an episode without a usable score; returns how many there were."""
        self._words[UNSCORED] += 1
        return self._words[UNSCORED]

    def mark_filled(self) -> None:
        """The pool is filled."""
        self._words[FILLED] = 1

    def set_seed(self, seed: int) -> None:
        """What draws of tasks and ids begin with."""
        self._words[SEED] = seed
