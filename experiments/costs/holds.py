"""For how long the lock of a pool is held at a time: that long, everybody else waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from experiments.costs.pools import LARGE, Costs, noisy_scores, play, pool
from metta.cogworks.curriculum import Curriculum

EPISODES = 20_000


class HoldTimer:
    """In place of a pool's lock: notes the longest hold, in this thread's processor time, so that
    what other programs take from the machine does not count."""

    def __init__(self, lock: Any):
        self._lock = lock
        self._begin = 0
        self.longest_ns = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)

    def acquire(self) -> None:
        """Take the lock."""
        self._lock.acquire()
        self._begin = time.thread_time_ns()

    def release_all(self) -> None:
        """Give it back."""
        if self._lock.owned:
            self.longest_ns = max(self.longest_ns, time.thread_time_ns() - self._begin)
        self._lock.release_all()


def longest_hold(curriculum: Curriculum, work: Callable[[], object]) -> float:
    """The longest hold of the pool's lock while ``work()`` runs, in milliseconds."""
    table = curriculum.table
    lock = table.lock
    timer = HoldTimer(lock)
    table.lock = timer  # type: ignore[assignment]
    try:
        work()
    finally:
        table.lock = lock
    return timer.longest_ns / 1e6


def hold_cost(tasks: int) -> Costs:
    """The longest holds in the large pool, by what is done."""
    with pool(LARGE * tasks) as large:
        play(large, noisy_scores(2000))  # its memory is touched once
        works: dict[str, Callable[[], object]] = {
            "episodes": lambda: play(large, noisy_scores(EPISODES)),
            "stats": large.stats,
            "probabilities": large.probabilities,
            "get_state": large.get_state,
        }
        times = {
            f"longest_hold_{name}_ms": longest_hold(large, work) for name, work in works.items()
        }
    return Costs({"longest_hold_1m_ms": max(times.values())}, times)
