"""The mutex of a pool: what it excludes, and that no exception leaves it held."""

import fcntl
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from processes import DEADLINE, end_script, forked, interrupt_at, interruptible, start_script

from metta.cogworks.curriculum.sessions import Lock, SessionClosedError
from metta.cogworks.curriculum.sessions import record_lock as module
from metta.cogworks.curriculum.sessions.record_lock import MUTEX, holder, try_lock

pytestmark = [
    pytest.mark.timeout(120),
    # pytest-xdist has threads; what the children run here needs none of them.
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "locked"
    file.touch()
    return file


@pytest.fixture(params=["process", "thread"])
def lock(request: pytest.FixtureRequest, path: Path) -> Iterator[Lock]:
    """One that excludes processes and threads, and one that excludes threads alone."""
    lock = Lock(os.open(path, os.O_RDWR)) if request.param == "process" else Lock()
    yield lock
    lock.release_all()
    lock.close()


def is_free(lock: Lock) -> bool:
    """Whether another thread, and another process, could take the lock now."""
    taken: list[bool] = []

    def take() -> None:
        taken.append(lock.try_acquire())
        lock.release_all()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(DEADLINE)
    return taken == [True] and (lock.fd < 0 or forked(lambda: look_from_outside(lock.fd)) == 0)


def look_from_outside(fd: int) -> None:
    assert try_lock(fd, fcntl.LOCK_EX, MUTEX)


def in_thread(function: Callable[[], None]) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert failed == []


# -- what it does ----------------------------------------------------------------------------------


def test_levels(lock: Lock) -> None:
    assert (lock.owned, lock.level, lock.depth) == (False, 0, 0)
    lock.acquire()
    lock.acquire()
    assert lock.try_acquire()
    assert (lock.owned, lock.level, lock.depth) == (True, 3, 3)
    assert not is_free(lock)
    lock.release()
    assert lock.depth == 2
    lock.release_to(1)
    lock.release_to(1)
    lock.release_to(5)
    assert lock.depth == 1
    assert not is_free(lock)
    lock.release()
    assert not lock.owned
    assert is_free(lock)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_release_all_gives_everything_back_and_may_be_repeated(lock: Lock, times: int) -> None:
    for _ in range(times):
        lock.acquire()
    for _ in range(3):
        lock.release_all()
        assert (lock.owned, lock.depth) == (False, 0)
        assert is_free(lock)


def test_a_thread_gives_back_only_what_it_has(lock: Lock) -> None:
    lock.acquire()

    def other() -> None:
        assert not lock.owned
        assert lock.level == 0
        lock.release_all()
        lock.release_to(1)
        with pytest.raises(RuntimeError, match="gives back a lock that it does not have"):
            lock.release()
        assert not lock.try_acquire()

    in_thread(other)
    assert lock.owned
    assert not is_free(lock)
    lock.release()


def test_run_gives_back_what_it_took(lock: Lock) -> None:
    assert lock.run(lambda: lock.depth) == 1
    assert not lock.owned
    with lock:
        assert lock.run(lambda: lock.depth) == 2
        assert lock.depth == 1
        with pytest.raises(KeyError):
            lock.run(lambda: [lock.acquire(), {}["missing"]])
        assert lock.depth == 1
    assert is_free(lock)


def test_a_killed_holder_has_lost_it(path: Path) -> None:
    lock = Lock(os.open(path, os.O_RDWR))
    process = start_script(
        """
        import os, sys
        from metta.cogworks.curriculum.sessions import Lock
        lock = Lock(os.open(sys.argv[1], os.O_RDWR))
        lock.acquire()
        print("ready", flush=True)
        sys.stdin.read()
        """,
        str(path),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert lock.holder() == holder(lock.fd, MUTEX) == process.pid
    assert not lock.try_acquire()
    process.kill()
    lock.acquire()
    end_script(process)
    assert lock.holder() is None
    lock.release()
    lock.close()


def test_a_forked_child_has_a_free_lock_of_its_own(lock: Lock) -> None:
    lock.acquire()

    def child() -> None:
        lock.release_all()
        assert not lock.owned
        assert lock.try_acquire() == (lock.fd < 0)

    module.reset_locks_after_fork()  # registered by the package; here for what the fixture holds
    lock.acquire()
    assert forked(child) == 0
    assert lock.owned
    lock.release_all()


def test_closing(lock: Lock) -> None:
    called = []
    with lock:
        assert not lock.close(lambda: called.append("not now"), wait=False)
    assert lock.close(lambda: called.append(lock.fd), wait=False)
    assert lock.fd == -1
    assert lock.close(lambda: called.append("once"))
    assert len(called) <= 1


def test_a_closed_lock_is_told_as_such(path: Path) -> None:
    lock = Lock(os.open(path, os.O_RDWR), "session 'x'")
    lock.acquire()
    lock.close()
    lock.release()
    with pytest.raises(SessionClosedError, match="session 'x' was closed in this process: open it"):
        lock.acquire()
    assert not lock.owned
    with pytest.raises(SessionClosedError, match="session 'x' was closed in this process"):
        lock.try_acquire()
    lock.release_all()


# -- exceptions at every instruction ---------------------------------------------------------------


def nested_finally(lock: Lock) -> None:
    try:
        try:
            lock.acquire()
            lock.acquire()
            lock.release()
        finally:
            lock.release_all()
    finally:
        lock.release_all()


def with_statement_inside(lock: Lock) -> None:
    try:
        try:
            lock.acquire()
            with lock:
                assert lock.depth == 2
        finally:
            lock.release_all()
    finally:
        lock.release_all()


def runs(lock: Lock) -> None:
    lock.run(lambda: lock.run(lambda: None))


def tries(lock: Lock) -> None:
    try:
        try:
            lock.try_acquire()
        finally:
            lock.release_all()
    finally:
        lock.release_all()


@pytest.mark.parametrize("use", [nested_finally, with_statement_inside, runs, tries])
def test_interrupted_at_every_instruction(lock: Lock, use: Callable[[Lock], None]) -> None:
    point = 1
    while interrupt_at(point, lambda: use(lock)):
        assert not lock.owned
        assert is_free(lock), f"held after an interrupt at point {point}"
        lock.acquire()
        assert lock.depth == 1
        lock.release()
        point += 1
    assert point > 8


def test_acquire_interrupted_at_every_instruction_gives_back_by_itself(lock: Lock) -> None:
    point = 1
    while interrupt_at(point, lock.acquire):
        assert is_free(lock), f"held after an interrupt at point {point}"
        point += 1
    assert lock.depth == 1
    assert point > 2
    lock.release()


@pytest.mark.parametrize("level", [1, 2])
def test_an_inner_use_interrupted_at_every_instruction_keeps_the_outer(
    lock: Lock, level: int
) -> None:
    for _ in range(level):
        lock.acquire()
    point = 1
    while interrupt_at(point, lambda: runs(lock)):
        assert lock.depth == level
        assert not is_free(lock)
        point += 1
    assert point > 2
    lock.release_all()


def test_twice_interrupted(lock: Lock) -> None:
    """The second exception hits the acquire that gives back; the caller's ``finally`` finishes."""
    for first in range(1, 100):
        hit = []

        def acquire(point: int = first, hit: list[bool] = hit) -> None:
            try:
                hit.append(interrupt_at(point, lock.acquire))
            finally:
                interrupt_at(1, lock.release_all)

        acquire()
        lock.release_all()
        assert is_free(lock)
        if hit == [False]:
            break
    assert first > 2


def test_a_handler_that_uses_the_lock_itself(lock: Lock) -> None:
    """It may run wherever it could raise, and finds or leaves the lock as it was."""
    point, seen = 0, 1
    while seen > point:
        point += 1
        seen = 0

        def trace(frame: FrameType, event: str, arg: Any, point: int = point) -> Any:
            nonlocal seen
            if frame.f_code.co_filename != module.__file__:
                return None
            frame.f_trace = trace
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            if event == "opcode" and frame.f_lasti in interruptible(frame.f_code):
                seen += 1
                if seen == point:
                    sys.settrace(None)
                    lock.run(lambda: None)
            return trace

        sys.settrace(trace)
        try:
            lock.acquire()
        finally:
            sys.settrace(None)
        assert lock.depth == 1
        assert not is_free(lock), f"lost to a handler at point {point}"
        sys.settrace(trace)
        try:
            lock.release()
        finally:
            sys.settrace(None)
        assert is_free(lock), f"held after a handler at point {point}"
    assert point >= 4


# -- real signals ----------------------------------------------------------------------------------

INTERRUPTS = """
import os, random, signal, sys, threading, time
from metta.cogworks.curriculum.sessions import Lock
from metta.cogworks.curriculum.sessions.record_lock import holder
name, total, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]

class Interrupted(BaseException):
    pass

def ring(signum, frame):
    if signum == signal.SIGALRM and name == "SIGINT":
        os.kill(os.getpid(), signal.SIGINT)
        return
    raise Interrupted

signal.signal(signal.SIGALRM, ring)
signal.signal(signal.SIGINT, ring)
lock = Lock(os.open(path, os.O_RDWR))
done = threading.Event()
counts = [0, 0, 0]
rng = random.Random(5)

def use(k):
    try:
        try:
            lock.acquire()
            counts[k] += 1
            if k == 0:
                lock.acquire()
                lock.release()
        finally:
            lock.release_all()
    finally:
        lock.release_all()

def work(k):
    while not done.is_set():
        use(k)
        time.sleep(0.0002)

threads = [threading.Thread(target=work, args=(k,)) for k in (1, 2)]
for thread in threads:
    thread.start()
held = interrupts = 0
while interrupts < total:
    try:
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(2e-6, 150e-6))
        while True:
            use(0)
    except Interrupted:
        interrupts += 1
    held += lock.owned
done.set()
for thread in threads:
    thread.join(60)
held += any(thread.is_alive() for thread in threads)
pid = os.fork()
if pid == 0:
    os._exit(holder(lock.fd, 0) is not None)
held += os.waitpid(pid, 0)[1] != 0
print(interrupts, held, min(counts) > 100)
"""


@pytest.mark.parametrize("name", ["SIGALRM", "SIGINT"])
def test_interrupted_at_random_instants(path: Path, name: str) -> None:
    process = start_script(INTERRUPTS, name, "20000", str(path))
    status, out, errors = end_script(process)
    assert (status, out) == (0, "20000 0 True\n"), errors
