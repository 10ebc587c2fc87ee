"""KeyboardInterrupts at random instants of everything that takes the lock of a pool.

Runs in a process of its own (:func:`main`), because the timer that interrupts is also that of
pytest-timeout. Beside the interrupted main thread, threads of the same process draw and complete;
another process draws; a third, the watcher, takes the lock after every interrupt and says what it
finds.
"""

import faulthandler
import json
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from curriculum_examples import FileBackend, RareFirst, RareFirstConfig
from processes import end_script, start_script
from pydantic import BaseModel

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    CurriculumTask,
    DiscreteRandomConfig,
    DiscreteRandomCurriculum,
    LearningProgressConfig,
    LockTimeoutError,
    SharedMemoryBackend,
    TaskTracker,
    bucketed,
)
from metta.cogworks.curriculum.learning_progress_algorithm import LearningProgressAlgorithm
from metta.cogworks.curriculum.pool.checks import pool_faults
from metta.cogworks.curriculum.pool.table import TaskTable
from metta.cogworks.curriculum.sessions import new_session_id

TASKS = 24
IDS = 200
HELD_SECONDS = 20.0  # of waiting, until the watcher says that the lock was not given back
THREADS = 2
EARLY: dict[str, Any] = {
    "min_samples_for_lp": 2,
    "sample_threshold": 2,
    "min_presentations_for_eviction": 2,
}
POOL: dict[str, Any] = {"num_active_tasks": TASKS, "completion_history_size": 8}


class FileConfig(DiscreteRandomConfig):
    """Uniform sampling, on a backend that shares rows alone. ``path``: the file that holds them."""

    path: str = ""

    def create(self, num_tasks: int) -> DiscreteRandomCurriculum:
        tracker = TaskTracker(backend=FileBackend(Path(self.path), num_tasks))
        return DiscreteRandomCurriculum(num_tasks, self, tracker)


ALGORITHMS = {
    "posterior": LearningProgressConfig(**POOL, **EARLY, enable_detailed_slice_logging=True),
    "discrete": DiscreteRandomConfig(**POOL),
    "custom": RareFirstConfig(**POOL),
    "rows": FileConfig(**POOL),
}
# Of a backend that shares rows alone: whatever leaves the pool is counted in one process only.
OF_ROWS = ("get_task", "get_tasks", "update_task_performance", "complete", "complete_and_draw")
OF_ROWS += ("state_of", "probabilities", "explain", "stats", "get_state", "tracker.update_lp_score")
OF_ROWS += ("tracker.get_task_stats", "tracker.get_all_tracked_tasks", "algorithm.distribution")


class Lesson(BaseModel):
    """A task of a family with buckets."""

    length: int = 1


@dataclass
class Report:
    """What was found. ``held``: the lock was not given back. ``torn``: the pool was inconsistent,
    or a change was left half done. ``lost``: a completion was not recorded, or twice."""

    interrupts: int = 0
    held: int = 0
    torn: int = 0
    lost: int = 0
    completions: int = 0
    completions_of_threads: int = 0
    seconds: float = 0.0
    longest_wait_ms: float = 0.0
    by_method: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    def say(self, method: str, what: str) -> None:
        """Note a fault, of which the first are kept in words."""
        if len(self.said) < 20:
            self.said.append(f"after {method}: {what}")


# -- other processes -------------------------------------------------------------------------------


def watch(config: str) -> None:
    """The watcher: for every line of standard input, take the lock and print what is found."""
    data = CurriculumConfig.model_validate_json(config)
    data.algorithm.lock_timeout_seconds = HELD_SECONDS
    with Curriculum(data) as curriculum:
        table = curriculum.table
        print(json.dumps({}), flush=True)
        for _ in sys.stdin:
            began, found = time.perf_counter(), {"faults": list[str](), "held": False}
            try:
                table.lock.acquire()
                found["ms"] = 1000.0 * (time.perf_counter() - began)
                if table.header.in_change():
                    found["faults"] = ["a change was left half done"]
                table.lock.release_all()
                with table:
                    found["faults"] += faults(table)
            except LockTimeoutError:
                found["held"] = True
            print(json.dumps(found), flush=True)


def draw(config: str) -> None:
    """Draw until standard input ends."""
    with Curriculum(CurriculumConfig.model_validate_json(config)) as curriculum:
        ended = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        print(json.dumps({}), flush=True)
        while not ended.wait(0.001):
            curriculum.get_tasks(3)
            curriculum.stats()


def faults(table: TaskTable) -> list[str]:
    """What is wrong with a pool from which a tracker also removes tasks, which counts nothing."""
    return [fault for fault in pool_faults(table) if not fault.startswith("created")]


class _Other:
    """A process that runs a function of this module on the same pool."""

    def __init__(self, function: str, config: CurriculumConfig):
        code = f"import interrupts, sys; interrupts.{function}(sys.argv[1])"
        self._process: subprocess.Popen[str] = start_script(code, config.model_dump_json())
        self._answer()

    def ask(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answered, _, _ = select.select([self._process.stdout], [], [], 2 * HELD_SECONDS)
        return self._answer() if answered else {"faults": [], "held": True}

    def end(self) -> None:
        assert end_script(self._process)[0] == 0

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


# -- what is interrupted ---------------------------------------------------------------------------

Operation = Callable[[], object]


def operations(curriculum: Curriculum, rng: random.Random) -> dict[str, tuple[int, Operation]]:
    """Every public method that takes the lock, by name: how many completions it records, and the
    call."""
    c, tracker, algorithm = curriculum, curriculum.tracker, curriculum.algorithm

    def some() -> int:
        ids = c.table.task_ids()
        return int(rng.choice(ids)) if len(ids) else 0

    def known(call: Callable[[int], object]) -> Operation:
        return lambda: call(some())

    found: dict[str, tuple[int, Operation]] = {
        "get_task": (0, c.get_task),
        "get_tasks": (0, lambda: c.get_tasks(3)),
        "update_task_performance": (1, known(lambda i: c.update_task_performance(i, 0.5))),
        "a late completion": (1, lambda: c.update_task_performance(rng.randrange(IDS), 0.5)),
        "update_tasks": (3, lambda: c.update_tasks([some(), some(), 1], [0.1, 0.5, 1.0])),
        "complete_and_draw": (
            1,
            known(lambda i: c.complete_and_draw(CurriculumTask.of(c, i), 0.7)),
        ),
        "complete": (1, known(lambda i: CurriculumTask.of(c, i).complete(0.3))),
        "count_unscored": (0, known(lambda i: c.count_unscored(i, float("nan")))),
        "retire_task": (0, known(lambda i: c.retire_task(i, "retired by the test"))),
        "state_of": (0, known(c.state_of)),
        "probabilities": (0, c.probabilities),
        "explain": (0, known(c.explain)),
        "stats": (0, c.stats),
        "get_state": (0, c.get_state),
        "forget_in_flight": (0, c.forget_in_flight),
        "tracker.track_task_creation": (
            0,
            lambda: tracker.track_task_creation(rng.randrange(IDS)),
        ),
        "tracker.update_task_performance": (
            1,
            lambda: tracker.update_task_performance(rng.randrange(IDS), 0.5, 0.1),
        ),
        "tracker.update_lp_score": (0, known(lambda i: tracker.update_lp_score(i, 0.5))),
        "tracker.get_column": (0, known(lambda i: _if_known(tracker.get_column, i, "lp_score"))),
        "tracker.get_task_stats": (0, known(tracker.get_task_stats)),
        "tracker.get_all_tracked_tasks": (0, tracker.get_all_tracked_tasks),
        "tracker.remove_task": (0, known(tracker.remove_task)),
        "tracker.get_global_stats": (0, tracker.get_global_stats),
        "tracker.get_state": (0, tracker.get_state),
        "algorithm.score_tasks": (0, known(lambda i: algorithm.score_tasks([i]))),
        "algorithm.should_evict_task": (0, known(lambda i: algorithm.should_evict_task(i, [i]))),
        "algorithm.recommend_eviction": (0, known(lambda i: algorithm.recommend_eviction([i]))),
        "algorithm.distribution": (0, algorithm.distribution),
        "algorithm.stats": (0, lambda: (algorithm.invalidate_cache(), algorithm.stats())),
        "algorithm.get_state": (0, algorithm.get_state),
    }
    if not isinstance(algorithm, RareFirst):  # whose own method only takes note
        found["algorithm.update_task_performance"] = (
            1,
            known(lambda i: algorithm.update_task_performance(i, 0.5)),
        )
    if isinstance(algorithm, LearningProgressAlgorithm):
        scorer = algorithm.scorer
        found |= {
            "tracker.set_column": (
                0,
                known(lambda i: _if_known(tracker.set_column, i, "level", 0.5)),
            ),
            "scorer.score_task": (0, known(lambda i: scorer.score_task(i, tracker))),
            "scorer.update_with_score": (0, known(lambda i: scorer.update_with_score(i, 0.5))),
            "scorer.remove_task": (0, known(scorer.remove_task)),
            "scorer.get_stats": (0, scorer.get_stats),
        }
    return found


def loads(curriculum: Curriculum) -> dict[str, Operation]:
    """What replaces the whole pool."""
    state = curriculum.get_state()
    return {
        "load_state": lambda: curriculum.load_state(state),
        "algorithm.load_state": lambda: curriculum.algorithm.load_state(state["algorithm"]),
        "tracker.load_state": lambda: curriculum.tracker.load_state(state["algorithm"]["tracker"]),
    }


def _if_known(call: Callable[..., object], *args: Any) -> None:
    with suppress(KeyError):  # another thread has removed the task
        call(*args)


# -- the interrupts --------------------------------------------------------------------------------


class _Timer:
    """Interrupts calls at random instants."""

    def __init__(self, rng: random.Random):
        self._rng = rng
        self._seconds: dict[str, float] = {}
        self._armed = False
        signal.signal(signal.SIGALRM, self._interrupt)

    def _interrupt(self, signum: int, frame: FrameType | None) -> None:
        # A thread of a library may take the signal, and the main thread learn of it too late.
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt

    def run(self, name: str, operation: Operation) -> tuple[bool, bool]:
        """Call, perhaps with an interrupt; returns whether the call came to its end, and whether
        there was an interrupt."""
        typical = self._seconds.get(name, 0.0)
        done, began = False, time.perf_counter()
        try:
            if typical:
                self._armed = True
                signal.setitimer(signal.ITIMER_REAL, self._rng.uniform(1e-6, 1.5 * typical))
            operation()
            done = True
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            self._armed = False
        except KeyboardInterrupt:
            return done, True
        seconds = time.perf_counter() - began
        self._seconds[name] = 0.8 * typical + 0.2 * seconds if typical else seconds
        return True, False


def _start(threads: list[threading.Thread]) -> None:
    """Start threads that do not get the timer's signal: if they did, it could come to the main
    thread after the call that it was meant for."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    for thread in threads:
        thread.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})


class Drill:
    """The main thread of one pool, its other threads and processes."""

    def __init__(self, kind: str, seed: int, report: Report, path: Path):
        session_id = new_session_id()
        algorithm = ALGORITHMS[kind].model_copy(update={"session_id": session_id})
        if isinstance(algorithm, FileConfig):
            algorithm.path = str(path / session_id)
        self.kind = kind
        family = bucketed(Lesson(), {"length": [*range(IDS)]}) if kind == "posterior" else None
        self.config = CurriculumConfig(
            algorithm_config=algorithm, max_task_id=IDS, task_generator=family, seed=seed
        )
        self.report, self.rng = report, random.Random(seed)
        self.timer = _Timer(self.rng)
        self.curriculum = Curriculum(self.config)
        self.watcher = _Other("watch", self.config)
        self.drawer = _Other("draw", self.config)
        self.ended = threading.Event()
        self.counts = [0] * THREADS
        self.threads = [
            threading.Thread(target=self._work, args=(i,), daemon=True) for i in range(THREADS)
        ]

    def _work(self, me: int) -> None:
        """Draw and complete. What is completed is counted in the same hold of the lock, so that
        pool and count are compared exactly."""
        rng = random.Random(me)
        with Curriculum(self.config) as mine:
            while not self.ended.wait(rng.uniform(0.0, 0.0005)):
                with mine.table:
                    mine.get_task().complete(rng.random())
                    self.counts[me] += 1
                mine.get_task()

    def _recorded(self) -> tuple[int, int]:
        """Completions that the pool knows of, and how many of them the other threads made."""
        with self.curriculum.table as table:
            counters = table.header.counters()
            total = counters["closed_completed"] + counters["late_completions"]
            total = 0 if self.kind == "rows" else total
            return total + int(table.column("completion_count").sum()), sum(self.counts)

    def _check(self, name: str) -> None:
        found, report = self.watcher.ask(), self.report
        report.held += found["held"]
        report.torn += bool(found["faults"])
        report.longest_wait_ms = max(report.longest_wait_ms, found.get("ms", 0.0))
        if found["held"] or found["faults"]:
            report.say(name, json.dumps(found))
        if found["held"]:
            raise SystemExit(f"the lock is held after {name}: {json.dumps(report.said)}")

    def methods(self, interrupts: int) -> None:
        """Interrupt single calls of all methods while others use the pool."""
        calls = operations(self.curriculum, self.rng)
        for task in self.curriculum.get_tasks(50):
            task.complete(0.5)
        whole, saved = loads(self.curriculum), self._recorded()[0]
        _start(self.threads)
        names = [*OF_ROWS] if self.kind == "rows" else [*calls, *calls, *calls, *whole]
        goal = self.report.interrupts + interrupts
        own = saved
        try:
            while self.report.interrupts < goal:
                name = self.rng.choice(names)
                if self.report.interrupts % 2:  # what was interrupted is as good as ever
                    self.curriculum.complete_and_draw(self.curriculum.get_task(), 1.0)
                    self.report.completions += 1
                    own += 1
                before, theirs = self._recorded()
                if own != before - theirs:
                    self.report.lost += 1
                    self.report.say("a completion", f"{own} became {before - theirs}")
                most, call = calls[name] if name in calls else (0, whole[name])
                done, interrupted = self.timer.run(name, call)
                if interrupted:
                    self._check(name)
                    self.report.interrupts += not done
                    self.report.by_method[name] += not done
                after, now = self._recorded()
                own_before, own = before - theirs, after - now
                if name in whole:
                    # what others completed before the pool was replaced is not known
                    good = own + theirs <= saved <= own + now
                    good = good or (not done and own == own_before)
                else:
                    least = most if done else 0
                    good = least <= own - own_before <= most
                    self.report.completions += most * done
                if not good:
                    self.report.lost += 1
                    self.report.say(name, f"{own_before} completions became {own}, {done=}")
        finally:
            self.ended.set()
            for thread in self.threads:
                thread.join(HELD_SECONDS)
            if any(thread.is_alive() for thread in self.threads):
                faulthandler.dump_traceback()  # to standard error
                raise SystemExit(
                    f"threads wait for a lock for ever: {json.dumps(self.report.said)}"
                )
        self.report.completions_of_threads += sum(self.counts)

    def openings(self, interrupts: int) -> None:
        """Interrupt closing and opening the pool, which only other processes keep."""
        goal = self.report.interrupts + interrupts
        self.threads.clear()
        total = self._recorded()[0]
        while self.report.interrupts < goal:
            for name, call in (("close", self.curriculum.close), ("Curriculum()", self._reopen)):
                done, interrupted = self.timer.run(name, call)
                if interrupted:
                    self._check(name)
                    self.report.interrupts += not done
                    self.report.by_method[name] += not done
            self.curriculum.close()
            self.curriculum = Curriculum(self.config)
            if self._recorded()[0] != total:
                self.report.lost += 1
                self.report.say("closing and opening", f"{total} became {self._recorded()[0]}")
            self.curriculum.update_task_performance(0, 1.0)
            total += 1

    def _reopen(self) -> None:
        self.curriculum = Curriculum(self.config)

    def end(self) -> None:
        """Close everything."""
        self.drawer.end()
        self.watcher.end()
        self.curriculum.close()


def backends(interrupts: int, seed: int, report: Report) -> None:
    """The same for a memory without a table: its lock, clearing, letting go of it."""
    rng, session_id = random.Random(seed), new_session_id()
    timer, ended = _Timer(rng), threading.Event()
    keeper = SharedMemoryBackend(TASKS, session_id)

    def fill() -> None:
        while not ended.wait(0.0005):
            with keeper.acquire_lock():
                keeper.rows[:] = 1.0
                keeper.rows[:] = 0.0

    def use() -> None:
        with keeper.acquire_lock():
            pass

    def another() -> None:
        backend = SharedMemoryBackend(TASKS, session_id)
        backend.clear()
        backend.cleanup()

    calls: dict[str, Operation] = {
        "backend.acquire_lock": use,
        "backend.clear": keeper.clear,
        "backend.cleanup": another,
    }
    thread = threading.Thread(target=fill, daemon=True)
    _start([thread])
    goal, taken = report.interrupts + interrupts, threading.Event()
    while report.interrupts < goal:
        name = rng.choice(list(calls))
        done, interrupted = timer.run(name, calls[name])
        if interrupted:
            report.interrupts += not done
            report.by_method[name] += not done
            taken.clear()

            def take() -> None:
                with keeper.acquire_lock():
                    report.torn += bool(np.any(keeper.rows))
                taken.set()

            other = threading.Thread(target=take, daemon=True)
            _start([other])
            if not taken.wait(HELD_SECONDS):
                raise SystemExit(f"the lock is held after {name}")
            other.join()
    ended.set()
    thread.join()
    keeper.cleanup()


def main(interrupts: int, seed: int, folder: str, limit_seconds: float) -> None:
    """Interrupt so often, and print the report as JSON. ``folder``: for files. What takes longer
    than ``limit_seconds`` ends with the stacks of all threads in standard error."""
    faulthandler.dump_traceback_later(limit_seconds, exit=True)
    sys.setswitchinterval(0.0002)
    report, began = Report(), time.monotonic()
    share = interrupts // 6
    for kind in ALGORITHMS:
        drill = Drill(kind, seed, report, Path(folder))
        drill.methods(share)
        if kind == "posterior":
            drill.openings(share)
        drill.end()
    backends(interrupts - report.interrupts, seed, report)
    report.seconds = time.monotonic() - began
    print(json.dumps(vars(report)), flush=True)
