"""Where everything lies in a pool's memory, as a function of its capacity and columns.

Two processes share a pool if their layouts are equal. The header's words are private to this
folder; everybody else uses the verbs of :class:`~metta.cogworks.curriculum.pool.table.TaskTable`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from metta.cogworks.curriculum.pool.backends import (
    BASE_COLUMNS,
    TASK_STRUCT_SIZE,
    aligned,
)
from metta.cogworks.curriculum.tasks.ids import MAX_TASK_ID
from metta.cogworks.curriculum.tasks.inputs import finite, text

FORMAT = 2

COLUMN_LIMIT = 1e220
"""Magnitude that no column exceeds: the sum of 2^53 squares of the largest allowed score."""


@dataclass(frozen=True)
class Column:
    """A float64 per task that a component declares: shared, saved and cleared with the row.

    Zero for a new task. A saved pool whose values are not finite, or outside ``low`` to ``high``,
    is refused; ``is_clock`` says that they are times on the pool's clock, and none is later than
    now; ``of_pool`` that there is one of it for all tasks of the pool, zero in a new one.

    Raises:
        TypeError, ValueError: a name that cannot be one, or bounds that leave out zero.
    """

    name: str
    description: str = ""
    low: float = -COLUMN_LIMIT
    high: float = COLUMN_LIMIT
    is_clock: bool = False
    of_pool: bool = False

    def __post_init__(self) -> None:
        if not text("name", self.name):
            raise ValueError("name='' is not allowed: a column has a name")
        text("description", self.description)
        bounds = {"low": self.low, "high": self.high}
        for name, bound in bounds.items():
            finite(f"{name} of column {self.name!r}", bound, 2.0 * COLUMN_LIMIT)
        if not self.low <= 0.0 <= self.high:
            raise ValueError(
                f"column {self.name!r} is declared from {self.low:g} to {self.high:g}, which is "
                "not allowed: it is 0 for a new task"
            )


# Positions of the documented columns within a row.
(
    TASK_ID,
    CREATION_TIME,
    COMPLETION_COUNT,
    REWARD_EMA,
    LP_SCORE,
    SUCCESS_RATE_EMA,
    TOTAL_SCORE,
    LAST_SCORE,
    SUCCESS_THRESHOLD,
    ROW_SEED,
    GENERATOR_TYPE,
    EMA_SQUARED,
    IS_ACTIVE,
) = range(TASK_STRUCT_SIZE)

# Declared by the table itself. total_squared and scheduled_count are sums over a task's life; label
# and slice_k are indices into the groups, 0 until the task is first drawn.
SCHEDULED, IN_FLIGHT, EXPIRING, TOTAL_SQUARED, LABEL, PRIOR = (
    "scheduled_count",
    "in_flight_count",
    "expiring_count",
    "total_squared",
    "label",
    "sampling_weight",
)
_COUNT = 2.0**53
_OWN_COLUMNS = (
    Column(SCHEDULED, "how often the task was handed out", 0.0, _COUNT),
    Column(IN_FLIGHT, "draws of the task whose episodes have not ended", 0.0, _COUNT),
    Column(EXPIRING, "those of them that are given up when the block's term ends", 0.0, _COUNT),
    Column(TOTAL_SQUARED, "sum of all squared scores", 0.0),
    Column(LABEL, "group of the task's label", 0.0),
    Column(PRIOR, "factor on the task's probability, from the weights of its family", 0.0, 1e12),
)
_BASE_BOUNDS: dict[str, tuple[float, float]] = {
    "task_id": (0.0, float(MAX_TASK_ID)),
    "creation_time": (0.0, 1e12),
    "completion_count": (0.0, _COUNT),
    "success_rate_ema": (0.0, 1.0),
    "ema_squared": (0.0, COLUMN_LIMIT),
    "is_active": (0.0, 1.0),
}

# Header words, int64.
(
    JOURNAL,  # bytes of the journal in use
    LOADING,  # nonzero: all of the memory is being replaced
    BLOCK_AT_WORK,  # 1 + the block whose weights are being replaced, 0 if none is
    SEED,
    NEW_IDS,  # draws of new task ids so far
    DRAWS,  # samples so far
    ACTIVE,  # tasks in the pool
    FREE,  # 1 + first free slot, 0 if none is free
    CREATED,
    EVICTED,
    INVALID,
    LATE,
    UNSCORED,
    CLOSED_COMPLETED,  # completions of tasks that have left the pool
    CLOSED_SCHEDULED,
    CLOCK,  # completions, counted for pace: lags and ages are measured on it
    REFRESHED,  # CLOCK at the last refresh of a block
    STALE,  # blocks that are to be refreshed before anything else
    CURSOR,  # the block that is refreshed next
    GROUPS,
    EPOCH,  # changes when all of the memory is replaced
    HISTORY,  # scores ever written to the ring
    FILLED,  # nonzero: the pool was filled
    CHANGES,  # entries ever written to the ring of changed slots
    CANDIDATE,  # 1 + the slot whose task may have to leave, 0 once the next draw has seen it
) = range(25)
COUNTERS = {
    "seed": SEED,
    "new_ids": NEW_IDS,
    "draws": DRAWS,
    "created": CREATED,
    "evicted": EVICTED,
    "invalid": INVALID,
    "late_completions": LATE,
    "unscored": UNSCORED,
    "closed_completed": CLOSED_COMPLETED,
    "closed_scheduled": CLOSED_SCHEDULED,
    "clock": CLOCK,
    "refreshed": REFRESHED,
    "stale": STALE,
    "cursor": CURSOR,
    "history": HISTORY,
    "filled": FILLED,
    "candidate": CANDIDATE,
}
"""Header words that are saved, by the names under which they are."""

# Header words, float64: the range of scores seen, and the columns that are of the whole pool.
SCORE_LOW, SCORE_HIGH = 32, 33
POOL_VALUES, MAX_POOL_VALUES = 40, 16

# Of each block: what a sampling rule tells other blocks; and the progress up to which its tasks
# may leave, with 1 + the clock at which that was found out (0: never).
RULE_MOMENTS = 8
EVICTION_THRESHOLD, EVICTION_CLOCK = RULE_MOMENTS, RULE_MOMENTS + 1
# And how many of its draws are in flight, with the clock at which their present term began.
BLOCK_IN_FLIGHT, TERM_BEGAN = RULE_MOMENTS + 2, RULE_MOMENTS + 3
NUM_MOMENTS = RULE_MOMENTS + 4

HEADER_BYTES = 512
JOURNAL_BYTES = 16 * 1024
MAX_RETIRED = 1024
"""Ids of invalid tasks that are remembered, so that they are not drawn again."""
MAX_GROUPS = 512
MAX_SLICE_AXES = 16
GROUP_NAME_BYTES = 128  # 8 for the length
GROUP_WORDS = 8
GROUP_FIELDS = ("completion_count", "total_score", "total_squared", "scheduled_count", "tasks")
"""What a group keeps of tasks that have left the pool; the rest is summed over the rows."""

BLOCK = 1024
"""Slots that are refreshed or copied in one hold of the lock: 0.1 to 0.2 ms of scoring."""
_ENTRY = 16  # bytes that an entry of the journal takes beside what it saves
VARIANT = "variant"
"""The column that :data:`VARIANT_COLUMN` declares."""

_INDEX_MOVES = 96  # entries of the index that one change may move; at most half full, it is a few


VARIANT_COLUMN = Column(
    VARIANT, "hash of the task's variant, which no two share; 0: not known", 0.0, MAX_TASK_ID
)
"""Declared by whoever keeps tasks of equal configurations apart: rows are found by it, too."""


class TableLayout:
    """Names, sizes and places.

    Args:
        max_tasks: capacity, in tasks.
        columns: what components declare beside the documented row.
        slice_axes: how many slice values are kept per task.
        task_struct_size: float64 per row that a backend shows, at least 13.
        completion_history_size: length of the ring of recent scores.

    Raises:
        ValueError: a column is declared twice, or rows are too wide for the journal.
    """

    def __init__(
        self,
        max_tasks: int,
        columns: Sequence[Column] = (),
        slice_axes: int = 0,
        task_struct_size: int = TASK_STRUCT_SIZE,
        completion_history_size: int = 1000,
    ):
        spare = tuple(Column(f"spare_{i}") for i in range(TASK_STRUCT_SIZE, task_struct_size))
        slices = tuple(
            Column(f"slice_{i}", f"group of the task's value on axis {i}", 0.0)
            for i in range(slice_axes)
        )
        self.pool_columns = tuple(column for column in columns if column.of_pool)
        declared = (*_OWN_COLUMNS, *slices, *(each for each in columns if not each.of_pool))
        base = tuple(
            Column(name, "", *_BASE_BOUNDS.get(name, (-COLUMN_LIMIT, COLUMN_LIMIT)))
            for name in BASE_COLUMNS
        )
        self.columns = (*base, *spare, *declared)
        self.names = tuple(column.name for column in self.columns)
        self._offset_of = {name: offset for offset, name in enumerate(self.names)}
        self.settable = frozenset(
            column.name
            for column in (*spare, *columns)
            if column != VARIANT_COLUMN and not column.of_pool
        )
        self.has_variants = VARIANT_COLUMN in columns
        self.max_tasks = max_tasks
        self.task_struct_size = task_struct_size
        self.completion_history_size = completion_history_size
        self.slice_axes = slice_axes
        self.extra_columns = len(declared)
        self.row_size = task_struct_size + len(declared)
        self._check_columns()
        self.num_blocks = -(-max_tasks // BLOCK)
        self.tree_size = 1 << max(1, (max_tasks - 1).bit_length())
        self.index_size = 1 << max(4, (2 * max_tasks - 1).bit_length())  # at most half full
        self.changes_size = 1 << max(10, (max_tasks // 16).bit_length())
        offset = 0
        self.offsets: dict[str, int] = {}
        for name, nbytes in (
            ("header", HEADER_BYTES),
            ("journal", JOURNAL_BYTES),
            ("groups", 8 * GROUP_WORDS * MAX_GROUPS),
            ("group_names", GROUP_NAME_BYTES * MAX_GROUPS),
            ("retired", 8 * MAX_RETIRED),
            ("moments", 8 * NUM_MOMENTS * self.num_blocks),
            ("weights", 16 * self.tree_size),
            ("priors", 16 * self.tree_size),
            ("index", 4 * self.index_size),
            ("variants", 4 * self.index_size * self.has_variants),
            ("changes", 4 * self.changes_size),
        ):
            self.offsets[name] = offset
            offset += aligned(nbytes)
        self.extra_bytes = offset

    def _check_columns(self) -> None:
        names = [*self.names, *(column.name for column in self.pool_columns)]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(
                f"columns declared twice: {duplicates}; give each column of a component a name of "
                "its own"
            )
        if len(self.pool_columns) > MAX_POOL_VALUES:
            raise ValueError(
                f"{len(self.pool_columns)} columns of the pool are not allowed: declare at most "
                f"{MAX_POOL_VALUES} with of_pool=True"
            )
        # The largest change, an exchange of tasks, journals the header, the row, a group for the
        # label and for each slice, two leaves, the moved entries of the indexes and a retired id.
        small = 3 + _INDEX_MOVES * (1 + self.has_variants)
        groups = (1 + self.slice_axes) * (8 * GROUP_WORDS + _ENTRY)
        room = JOURNAL_BYTES - (HEADER_BYTES + 2 * _ENTRY + groups + small * (8 + _ENTRY))
        if 8 * self.row_size > room:
            raise ValueError(
                f"rows of {self.row_size} columns are not allowed: with {self.slice_axes} slice "
                f"axes they have at most {room // 8}, so that a crash in the middle of a change "
                "can be undone; use a smaller task_struct_size, or fewer columns"
            )

    def column(self, name: str) -> Column:
        """The declaration of a column. Raises KeyError for one that does not exist."""
        return self.columns[self.offset(name)]

    def position(self, column: Column) -> int:
        """Position of a declared column, within a row or among those of the whole pool. Raises
        KeyError for one that does not exist."""
        if not column.of_pool:
            return self.offset(column.name)
        names = [each.name for each in self.pool_columns]
        if column.name not in names:
            raise KeyError(f"no column {column.name!r} of the pool; there are {', '.join(names)}")
        return names.index(column.name)

    def offset(self, name: str) -> int:
        """Position of a column within a row. Raises KeyError for one that does not exist."""
        try:
            return self._offset_of[name]
        except (KeyError, TypeError):  # what cannot be hashed is no name either
            raise KeyError(f"no column {name!r}; there are {', '.join(self.names)}") from None

    def describe(self) -> str:
        """What two processes compare, short enough for a header."""
        of_pool = [column.name for column in self.pool_columns]
        text = json.dumps([FORMAT, self.names, of_pool, self.extra_bytes, MAX_GROUPS])
        names = "+".join(self.names[self.task_struct_size :])
        return f"columns {names} #{hashlib.sha256(text.encode()).hexdigest()[:12]}"
