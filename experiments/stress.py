"""Kill processes that work on one pool, at random instants, and check after every kill that nothing
is broken."""

from __future__ import annotations

import contextlib
import functools
import json
import mmap
import os
import random
import select
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

import numpy as np

from metta.cogworks.curriculum import Curriculum, LearningProgressConfig
from metta.cogworks.curriculum.pool.checks import pool_faults
from metta.cogworks.curriculum.pool.table import TaskTable
from metta.cogworks.curriculum.sessions import Lock, new_session_id
from metta.tools.command import CommandTool

_HANG_SECONDS = 5.0
_MOST_WAIT_SECONDS = 0.003  # between two kills: some hundred operations


def kills(
    kills: int = 1000, seed: int = 0, processes: int = 4, out: Path | None = None
) -> CommandTool:
    """SIGKILL processes that share a pool, ``kills`` times, and report recovery times, hangs and
    torn rows.

    Args:
        kills: how many processes are killed; each is replaced.
        seed: of the instants.
        processes: how many work on the pool at a time.
        out: file for the report, the JSON object that is also the last line printed.
    """
    for name, value in (("kills", kills), ("processes", processes)):
        if value < 1:
            raise ValueError(f"{name}={value} is not allowed: give an integer of at least 1")
    return CommandTool(function=functools.partial(_kills, kills, seed, processes, out))


def _kills(kills: int, seed: int, processes: int, out: Path | None) -> int:
    report = run(kills, seed, processes, progress=True)
    for fault in report.faults[:20]:
        print(fault)
    text = json.dumps(report.summary())
    if out is not None:
        out.write_text(text + "\n")
    print(text)
    return 1 if report.hangs or report.torn_rows or report.faults else 0


@dataclass
class Report:
    """What a run found.

    ``faults`` says in words what was wrong. ``killed_holding_lock`` and ``killed_in_change`` are
    how often the victim held the lock, and had changed the pool in part (known on Linux only).
    Recovery is the time from the kill until this process, waiting in line with the others, has the
    lock.
    """

    kills: int = 0
    hangs: int = 0
    torn_rows: int = 0
    killed_holding_lock: int = 0
    killed_in_change: int = 0
    completions: int = 0
    recovery_ms: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def summary(self) -> dict[str, float]:
        """The figures, for JSON."""
        values = asdict(self)
        times, faults = values.pop("recovery_ms"), values.pop("faults")
        values["faults"] = len(faults)
        values["recovery_ms_median"] = round(float(np.median(times)), 4) if times else 0.0
        values["recovery_ms_max"] = round(max(times), 4) if times else 0.0
        values["seconds"] = round(self.seconds, 1)
        return values


def config(session_id: str | None = None) -> LearningProgressConfig:
    """A small pool in which tasks are evicted all the time."""
    return LearningProgressConfig(
        num_active_tasks=32,
        min_samples_for_lp=2,
        sample_threshold=2,
        min_presentations_for_eviction=2,
        session_id=session_id or new_session_id(),
    )


def run(kills: int, seed: int = 0, processes: int = 4, progress: bool = False) -> Report:
    """Kill ``kills`` processes, one after another, of ``processes`` that complete tasks with score
    1.

    Must be called from the main thread: a hang is noticed by an alarm.
    """
    rng, report, begin = random.Random(seed), Report(), time.monotonic()
    progress = progress and sys.stderr.isatty()
    # Per worker, what it began and what it finished: shared, and not lost with it.
    counts = np.frombuffer(mmap.mmap(-1, 16 * (kills + processes)), np.int64).reshape(-1, 2)
    with Curriculum(config()) as curriculum:
        workers = [_start(curriculum, counts[i], i) for i in range(processes)]
        try:
            for k in range(kills):
                select.select([], [], [], rng.uniform(0.0, _MOST_WAIT_SECONDS))
                victim = workers.pop(rng.randrange(processes))
                _look_at(victim, curriculum.algorithm.task_tracker.table, report)
                killed_at = time.perf_counter()
                _end(victim)
                _check(curriculum, counts, killed_at, report)
                workers.append(_start(curriculum, counts[processes + k], processes + k))
                if progress:
                    print(
                        f"\r{k + 1}/{kills} kills, {report.hangs} hangs, {report.torn_rows} torn",
                        end="",
                        file=sys.stderr,
                    )
        finally:
            for pid in workers:
                _end(pid)
            if progress:
                print(file=sys.stderr)
        if not report.hangs:
            _check(curriculum, counts, time.perf_counter(), report)
            report.completions = int(curriculum.stats()["num_completed"])
            report.recovery_ms.pop()  # nobody was killed in the middle of anything here
    report.kills, report.seconds = kills, time.monotonic() - begin
    return report


def _start(curriculum: Curriculum, count: np.ndarray, seed: int) -> int:
    pid = os.fork()
    if pid == 0:
        _work(curriculum, count, seed)
    return pid


def _work(curriculum: Curriculum, count: np.ndarray, seed: int) -> NoReturn:
    """Use the pool until killed. Only a bug ends it in another way, and then with a traceback."""
    try:
        rng = random.Random(seed)
        while True:
            first, second = curriculum.get_tasks(2)
            count[0] += 1
            curriculum.update_task_performance(first.task_id, 1.0)
            count[1] += 1
            count[0] += 1
            curriculum.update_task_performance(second.task_id, 1.0)
            count[1] += 1
            chance = rng.random()
            if chance < 0.02:
                curriculum.retire_task(curriculum.get_task().task_id, "retired by the stress test")
            elif chance < 0.03:
                curriculum.stats()
            elif chance < 0.04:
                curriculum.algorithm.task_tracker.get_state()
    finally:
        os.write(2, b"a worker of the stress test ended by itself\n")
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        os._exit(1)


def _look_at(pid: int, table: TaskTable, report: Report) -> None:
    """Stop a process, which does not let go of its locks, and see what it is in the middle of."""
    if sys.platform != "linux":
        return
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    if _lock_holder(table) == pid:
        report.killed_holding_lock += 1
        report.killed_in_change += table.header.in_change()


def _lock_holder(table: TaskTable) -> int:
    """Process that holds the lock of the pool, 0 if none does."""
    holder = table.lock.holder() if isinstance(table.lock, Lock) else None
    return holder or 0


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError(
            f"a worker ended by itself, status {os.waitstatus_to_exitcode(status)}: see its "
            "traceback above"
        )


def _check(curriculum: Curriculum, counts: np.ndarray, killed_at: float, report: Report) -> None:
    table = curriculum.algorithm.task_tracker.table
    try:
        with _alarm(_HANG_SECONDS):
            table.acquire()
    except TimeoutError:
        report.hangs += 1
        return
    report.recovery_ms.append(1e3 * (time.perf_counter() - killed_at))
    try:
        torn = torn_rows(table)
        report.torn_rows += torn
        report.faults += [f"{torn} torn rows"] * bool(torn) + pool_faults(table)
        begun, finished = (int(total) for total in counts.sum(axis=0))
        counters = table.header.counters()
        seen = counters["closed_completed"] + int(table.column("completion_count").sum())
        seen += counters["late_completions"]
        if not finished <= seen <= begun:
            report.faults.append(f"{seen} completions counted, {begun} begun, {finished} finished")
    finally:
        table.release()


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    handler = signal.signal(signal.SIGALRM, ring)
    before = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
        signal.signal(signal.SIGALRM, handler)


def torn_rows(table: TaskTable) -> int:
    """How many rows contradict themselves, given that every score was 1. Lock held."""
    rows = table.rows[table.active()]
    n = rows[:, table.offset("completion_count")]
    torn = rows[:, table.offset("seed")] != rows[:, table.offset("task_id")]
    for name in ("total_score", "total_squared"):
        torn |= rows[:, table.offset(name)] != n
    for name in ("last_score", "reward_ema", "ema_squared", "success_rate_ema"):
        torn |= rows[:, table.offset(name)] != (n > 0)
    return int(torn.sum())
