"""A custom scorer, algorithm and backend, as a user would write them, importable by class path from
any process."""

import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from metta.cogworks.curriculum import (
    Column,
    ColumnScorer,
    Curriculum,
    CurriculumAlgorithm,
    CurriculumAlgorithmConfig,
    CurriculumConfig,
    CurriculumTask,
    LPScorer,
    TaskMemoryBackend,
    TaskTracker,
)
from metta.cogworks.curriculum.pool.layout import COMPLETION_COUNT


class DictScorer(LPScorer):
    """The scorer of the upgrade guide: its state is a dictionary of this process. Progress is the
    distance to 1."""

    def __init__(self, config: Any):
        super().__init__(config)
        self._last: dict[int, float] = {}

    def score_task(self, task_id: int, tracker: TaskTracker) -> float:
        stats = tracker.get_task_stats(task_id)
        if not stats or task_id not in self._last:
            return 0.0
        return abs(1.0 - self._last[task_id])

    def update_with_score(self, task_id: int, score: float) -> None:
        if self.tracker.get_task_stats(task_id) is not None:
            self._last[task_id] = score

    def remove_task(self, task_id: int) -> None:
        self._last.pop(task_id, None)

    def get_stats(self) -> dict[str, float]:
        return {"num_known": float(len(self._last))}

    def get_state(self) -> dict[str, Any]:
        return {"ids": list(self._last), "last": list(self._last.values())}

    def load_state(self, state: dict[str, Any]) -> None:
        self._last = dict(zip(state["ids"], state["last"], strict=True))

    def invalidate_cache(self) -> None:
        pass


class SharedScorer(LPScorer):
    """Keeps its state in a declared column, by the tracker's methods alone: the number of
    completions and of good ones."""

    columns = (Column("seen", "completions"), Column("good", "completions of at least 0.5"))

    def score_task(self, task_id: int, tracker: TaskTracker) -> float:
        if tracker.get_task_state(task_id) is None:
            return 0.0
        seen = tracker.get_column(task_id, "seen")
        return tracker.get_column(task_id, "good") / seen if seen else 0.0

    def update_with_score(self, task_id: int, score: float) -> None:
        if self.tracker.get_task_state(task_id) is None:
            return
        self.tracker.set_column(task_id, "seen", self.tracker.get_column(task_id, "seen") + 1.0)
        self.tracker.set_column(
            task_id, "good", self.tracker.get_column(task_id, "good") + (score >= 0.5)
        )

    def remove_task(self, task_id: int) -> None:
        if self.tracker.get_task_state(task_id) is not None:
            self.tracker.set_column(task_id, "seen", 0.0)
            self.tracker.set_column(task_id, "good", 0.0)

    def get_stats(self) -> dict[str, float]:
        return {
            "seen": sum(
                self.tracker.get_column(i, "seen") for i in self.tracker.get_all_tracked_tasks()
            )
        }

    def get_state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        pass

    def invalidate_cache(self) -> None:
        pass


class StepScorer(ColumnScorer):
    """A custom column scorer: the size of the last step of the score."""

    columns = (Column("previous", "score before the last one"), Column("latest", "last score"))

    def bind_columns(self, at: dict[str, int]) -> None:
        self._previous, self._latest = at["previous"], at["latest"]

    def update_row(self, row: memoryview, x: float, low: float, high: float, clock: int) -> None:
        row[self._previous] = row[self._latest] if row[COMPLETION_COUNT] else x
        row[self._latest] = x

    def score_row(self, row: memoryview, low: float, high: float, clock: int) -> float:
        return abs(row[self._latest] - row[self._previous]) / (high - low)

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        return np.abs(rows[:, self._latest] - rows[:, self._previous]) / (high - low)


class Astray(StepScorer):
    """Reads or writes at a place that is not within its row."""

    at = 0
    where = ""  # the method that does
    writes = True

    def _go_astray(self, row: memoryview, where: str) -> None:
        if where == self.where and self.writes:
            row[self.at] = 1.0
        elif where == self.where:
            row[self.at]

    def update_row(self, row: memoryview, x: float, low: float, high: float, clock: int) -> None:
        super().update_row(row, x, low, high, clock)
        self._go_astray(row, "update_row")

    def score_row(self, row: memoryview, low: float, high: float, clock: int) -> float:
        self._go_astray(row, "score_row")
        return super().score_row(row, low, high, clock)


class BrokenScorer(StepScorer):
    """Scores NaN once a task has two completions."""

    def score_rows(self, rows: np.ndarray, low: float, high: float, clock: int) -> np.ndarray:
        return np.where(rows[:, COMPLETION_COUNT] > 1, np.nan, 1.0)


class RareFirstConfig(CurriculumAlgorithmConfig):
    """Of :class:`RareFirst`."""

    evict_after: int = 3

    def algorithm_type(self) -> str:
        return "rare_first"

    def create(self, num_tasks: int) -> "RareFirst":
        return RareFirst(num_tasks, self)


class RareFirst(CurriculumAlgorithm):
    """A custom algorithm as in the upgrade guide: tasks in proportion to 1 / (1 + completions),
    gone after a few."""

    hypers: RareFirstConfig

    def __init__(self, num_tasks: int, hypers: RareFirstConfig):
        super().__init__(num_tasks, hypers)
        self.noted: list[tuple[int, float]] = []
        self.created: list[int] = []
        self.evicted: list[int] = []

    def _completions(self, task_id: int) -> int:
        state = self.task_tracker.get_task_state(task_id)
        return 0 if state is None else state.completion_count

    def score_tasks(self, task_ids: list[int]) -> dict[int, float]:
        return {task_id: 1.0 / (1.0 + self._completions(task_id)) for task_id in task_ids}

    def recommend_eviction(self, task_ids: list[int]) -> int | None:
        return max(task_ids, key=self._completions) if task_ids else None

    def should_evict_task(self, task_id: int, criterion: Sequence[int] | int | None = None) -> bool:
        least = criterion if isinstance(criterion, int) else self.hypers.evict_after
        return self._completions(task_id) >= least

    def update_task_performance(self, task_id: int, score: float) -> None:
        self.noted.append((task_id, score))

    def on_task_created(self, task: CurriculumTask) -> None:
        self.created.append(task.task_id)

    def on_task_evicted(self, task_id: int) -> None:
        self.task_tracker.remove_task(task_id)  # as the guide's algorithm does
        self.evicted.append(task_id)


class CopyConfig(CurriculumAlgorithmConfig):
    """Of :class:`Copy`."""

    def algorithm_type(self) -> str:
        return "copy"

    def create(self, num_tasks: int) -> "Copy":
        return Copy(num_tasks, self)


class Copy(CurriculumAlgorithm):
    """A minimal algorithm whose public methods are copies of the shipped one's, which record what
    they are told."""

    def score_tasks(self, task_ids: list[int]) -> dict[int, float]:
        stats = {i: self.task_tracker.get_task_stats(i) for i in task_ids}
        return {i: 1.0 + row["lp_score"] if row else 0.0 for i, row in stats.items()}

    def recommend_eviction(self, task_ids: list[int]) -> int | None:
        return None

    def should_evict_task(self, task_id: int, criterion: Sequence[int] | int | None = None) -> bool:
        return False

    def update_task_performance(self, task_id: int, score: float) -> None:
        self.task_tracker.track_task_creation(task_id)
        slot = self.table.find(task_id)
        if slot >= 0:
            self.complete(slot, task_id, score)
        self.task_tracker.update_task_performance(task_id, score, lp_score=abs(score))
        self.invalidate_cache()

    def on_task_created(self, task: CurriculumTask) -> None:
        self.task_tracker.track_task_creation(task.task_id)

    def on_task_evicted(self, task_id: int) -> None:
        self.task_tracker.remove_task(task_id)


class FileBackend(TaskMemoryBackend):
    """The five methods and no more, on a file that any process can open. Its lock is not
    re-entrant."""

    def __init__(
        self,
        path: Path,
        max_tasks: int,
        task_struct_size: int = 13,
        completion_history_size: int = 50,
    ):
        self.max_tasks, self.task_struct_size = max_tasks, task_struct_size
        self.completion_history_size = completion_history_size
        count = max_tasks * task_struct_size + completion_history_size
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(self._fd, 8 * count)
        values = np.frombuffer(mmap.mmap(self._fd, 8 * count), np.float64)
        self._rows = values[: max_tasks * task_struct_size].reshape(max_tasks, task_struct_size)
        self._history = values[max_tasks * task_struct_size :]
        self._closed = False

    def get_task_data(self, index: int) -> np.ndarray:
        return self._rows[index]

    def get_completion_history(self) -> np.ndarray:
        return self._history

    @contextmanager
    def acquire_lock(self) -> Iterator[None]:
        fd = (
            os.open(f"/proc/self/fd/{self._fd}", os.O_RDWR)
            if os.path.exists("/proc/self/fd")
            else os.dup(self._fd)
        )
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def clear(self) -> None:
        self._rows[:] = 0.0
        self._history[:] = 0.0

    def cleanup(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self._fd)


def score_range(tracker: TaskTracker) -> tuple[float, float]:
    """The range of scores that a tracker's pool has seen."""
    return tracker.table.header.score_range


def work(config: CurriculumConfig, episodes: int) -> None:
    """What a worker does: episodes whose score is 1."""
    with Curriculum(config) as curriculum:
        for _ in range(episodes):
            curriculum.update_task_performance(curriculum.get_task().task_id, 1.0)


def work_on_file(path: Path, task_ids: list[int], episodes: int) -> None:
    """The same on a tracker over a :class:`FileBackend`."""
    tracker = TaskTracker(backend=FileBackend(path, max_tasks=8))
    for i in range(episodes):
        tracker.update_task_performance(task_ids[i % len(task_ids)], 1.0)
    tracker.cleanup_shared_memory()
