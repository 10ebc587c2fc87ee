"""Waiting for the lock of a pool: who has it is said, the wait ends, and signals end it at once."""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from processes import (
    DEADLINE,
    end_script,
    is_alive,
    is_ready,
    session_files,
    start_holder,
    start_script,
)

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    LocalMemoryBackend,
    LockTimeoutError,
    SessionClosedError,
    SharedMemoryBackend,
    TaskTracker,
)
from metta.cogworks.curriculum.sessions import (
    LOCK_TIMEOUT_SECONDS,
    Lock,
    Session,
    new_session_id,
    open_session,
)
from metta.cogworks.curriculum.sessions.waiting import Blocker, Wait, process_state

pytestmark = pytest.mark.timeout(120)

SOON = 5.0  # seconds; a waiter that is ended by its limit takes a hundred times as long


@pytest.fixture
def session_id() -> Iterator[str]:
    name = new_session_id()
    yield name
    assert session_files(name) == [], "left behind"


def open_it(name: str, limit: float = DEADLINE) -> Session:
    return open_session(name, 4096, {"max_tasks": 4}, limit)


@contextmanager
def stopped_holder(name: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock and is stopped, until the block ends."""
    holder = start_holder(name, lock=True)
    os.kill(holder.pid, signal.SIGSTOP)
    os.waitpid(holder.pid, os.WUNTRACED)
    try:
        yield holder
    finally:
        os.kill(holder.pid, signal.SIGCONT)
        assert end_script(holder) == (0, "", "")


# -- who has it ------------------------------------------------------------------------------------


def test_a_stopped_holder_is_named_once_and_then_given_up(
    session_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = open_it(session_id, limit=3.5)
    with stopped_holder(session_id) as holder, caplog.at_level(logging.WARNING):
        with pytest.raises(
            LockTimeoutError,
            match=f"session '{session_id}': its lock was not to be had within 3.5 seconds "
            rf"[(]lock_timeout_seconds[)]; process {holder.pid} [(]stopped[)] has it. Way out: let "
            f"it go on with `kill -CONT {holder.pid}`, or end it with `kill -KILL {holder.pid}`: "
            "the pool is undamaged",
        ) as caught:
            session.lock.acquire()
        assert caught.value.process_id == holder.pid
    (record,) = caplog.records
    assert f"session '{session_id}': waiting for its lock for 3." in record.getMessage()
    assert f"process {holder.pid} (stopped) has it" in record.getMessage()
    assert not session.lock.owned
    session.lock.acquire()  # the holder was let go on
    session.lock.release()
    session.release()


def test_opening_gives_up_too(session_id: str) -> None:
    with stopped_holder(session_id) as holder:
        with pytest.raises(LockTimeoutError, match=f"process {holder.pid} [(]stopped[)] has it"):
            SharedMemoryBackend(4, session_id, lock_timeout_seconds=0.05)
        assert is_alive(session_id)
    assert session_files(session_id) == []


def test_a_thread_of_this_process_is_named(session_id: str) -> None:
    session = open_it(session_id, 0.05)
    for lock in (Lock(timeout_seconds=0.05), session.lock):
        holding, done = threading.Event(), threading.Event()

        def hold(lock: Lock = lock, holding=holding, done=done) -> None:
            with lock:
                holding.set()
                done.wait(DEADLINE)

        thread = threading.Thread(target=hold, name="the-holder")
        thread.start()
        assert holding.wait(DEADLINE)
        with pytest.raises(LockTimeoutError, match="thread 'the-holder' of this process has it"):
            lock.acquire()
        assert not lock.owned
        done.set()
        thread.join(DEADLINE)
        lock.acquire()
        lock.release()
    session.release()


def test_a_thread_behind_a_waiting_thread_names_the_process(session_id: str) -> None:
    session = open_it(session_id, limit=0.3)
    errors: list[LockTimeoutError] = []

    def wait() -> None:
        try:
            session.lock.acquire()
        except LockTimeoutError as error:
            errors.append(error)

    with stopped_holder(session_id) as holder:
        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
    assert [error.process_id for error in errors] == [holder.pid] * 3
    session.release()


@pytest.mark.parametrize(
    ("blocker", "who", "way_out"),
    [
        (Blocker(), "nobody has it at this instant", "end the processes that use the pool"),
        (Blocker(process_id=0), "a process that this one cannot see", "end the processes"),
        (Blocker(thread="t"), "thread 't' of this process has it", "see what that thread does"),
        (Blocker(process_id=2**22 + 1), "process 4194305 has it", "kill -CONT 4194305"),
    ],
)
def test_blockers(blocker: Blocker, who: str, way_out: str) -> None:
    assert str(blocker).startswith(who)
    assert way_out in blocker.way_out


def test_states() -> None:
    assert process_state(os.getpid()) == "running"
    assert process_state(2**22 + 1) is None


def test_reports_are_a_minute_apart(caplog: pytest.LogCaptureFixture) -> None:
    wait = Wait("session 'x'", 600.0)
    said = []
    for second in range(600):
        wait.seconds = float(second)
        if wait.is_due:
            wait.report(Blocker())
            said.append(second)
    assert said == [3, 63, 123, 183, 243, 303, 363, 423, 483, 543]
    wait.seconds = 600.0
    with pytest.raises(LockTimeoutError, match="within 600 seconds"):
        wait.report(Blocker())


@pytest.mark.parametrize("seconds", [0, 0.0, -1, float("nan"), True, "5", None, 10**400])
def test_unfit_limits(seconds: object) -> None:
    for backend in (SharedMemoryBackend, LocalMemoryBackend):
        with pytest.raises(ValueError, match=r"lock_timeout_seconds=.* a number of seconds above"):
            backend(4, lock_timeout_seconds=seconds)  # type: ignore[arg-type]


# -- the limit is a setting ------------------------------------------------------------------------


def pool_config(session_id: str, **options: float) -> CurriculumConfig:
    algorithm = LearningProgressConfig(num_active_tasks=8, session_id=session_id, **options)
    return CurriculumConfig(algorithm_config=algorithm)


@contextmanager
def stopped_pool_holder(session_id: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock of a pool and is stopped, until the block ends. Its own limit is
    the default, so that it differs from others."""
    code = "import processes, sys; processes.hold_pool(sys.argv[1])"
    holder = start_script(code, pool_config(session_id).model_dump_json())
    assert is_ready(holder), holder.communicate()[1]
    os.kill(holder.pid, signal.SIGSTOP)
    os.waitpid(holder.pid, os.WUNTRACED)
    try:
        yield holder
    finally:
        os.kill(holder.pid, signal.SIGCONT)
        assert end_script(holder) == (0, "", "")


def test_the_limit_of_a_curriculum(session_id: str, caplog: pytest.LogCaptureFixture) -> None:
    with Curriculum(pool_config(session_id, lock_timeout_seconds=3.5)) as curriculum:
        task = curriculum.get_task()
        with stopped_pool_holder(session_id) as holder, caplog.at_level(logging.WARNING):
            named = f"process {holder.pid} [(]stopped[)] has it. Way out: .*{holder.pid}"
            with pytest.raises(LockTimeoutError, match=f"within 3.5 seconds .*{named}") as caught:
                curriculum.get_task()
            assert caught.value.process_id == holder.pid
            (record,) = caplog.records
            assert "waiting for its lock for 3." in record.getMessage()
            assert f"process {holder.pid} (stopped) has it" in record.getMessage()
        task.complete(1.0)
        assert curriculum.stats()["num_completed"] == 1


def test_the_limit_of_a_curriculum_that_is_opened(session_id: str) -> None:
    with stopped_pool_holder(session_id) as holder:
        with pytest.raises(LockTimeoutError, match=f"within 0.05 seconds .*process {holder.pid}"):
            Curriculum(pool_config(session_id, lock_timeout_seconds=0.05))
        assert is_alive(session_id)


@pytest.mark.parametrize("shared", [True, False])
def test_the_limit_of_a_tracker(shared: bool) -> None:
    """Here it is a thread of this process that is waited for."""
    tracker = TaskTracker(8, use_shared_memory=shared, lock_timeout_seconds=0.05)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with tracker.table:
            holding.set()
            done.wait(DEADLINE)

    thread = threading.Thread(target=hold, name="the-holder")
    thread.start()
    assert holding.wait(DEADLINE)
    with pytest.raises(LockTimeoutError, match=r"within 0.05 seconds .*thread 'the-holder' of"):
        tracker.track_task_creation(3)
    done.set()
    thread.join(DEADLINE)
    tracker.track_task_creation(3)
    tracker.cleanup_shared_memory()


def test_the_limit_is_generous_by_default() -> None:
    assert DiscreteRandomConfig().lock_timeout_seconds == LOCK_TIMEOUT_SECONDS == 600.0


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf"), "soon"])
def test_unfit_limits_of_a_configuration(seconds: object) -> None:
    with pytest.raises(ValueError, match=r"lock_timeout_seconds\n  Input should be"):
        LearningProgressConfig(lock_timeout_seconds=seconds)  # type: ignore[arg-type]


# -- nobody waits in the way of an end -------------------------------------------------------------

# What a process is doing while the lock is held by one that is stopped.
WAITERS = {
    "takes the lock": "session = open_it(); ready(); session.lock.acquire()",
    "opens": "ready(); open_it()",
    "has it open": "session = open_it(); ready(); threading.Event().wait(60)",
    "a thread takes the lock": (
        "session = open_it(); ready(); t = threading.Thread(target=session.lock.acquire); "
        "t.start(); t.join()"
    ),
    "a thread opens": "ready(); t = threading.Thread(target=open_it); t.start(); t.join()",
    "releases": "session = open_it(); ready(); session.release(); threading.Event().wait(60)",
}
WAITER = """
import signal, sys, threading
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
from metta.cogworks.curriculum.sessions import open_session
def open_it():
    return open_session(sys.argv[1], 4096, {"max_tasks": 4})
def ready():
    print("ready", flush=True)
    assert sys.stdin.readline() == "go\\n"
    print("ready", flush=True)
"""


def start_waiter(code: str, name: str) -> subprocess.Popen[str]:
    waiter = start_script(WAITER + code, name)
    assert is_ready(waiter), waiter.communicate()[1]
    return waiter


def go(waiter: subprocess.Popen[str]) -> None:
    assert waiter.stdin is not None
    waiter.stdin.write("go\n")
    waiter.stdin.flush()
    assert is_ready(waiter)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("doing", WAITERS)
def test_a_signal_ends_a_waiter_at_once(
    session_id: str, doing: str, number: signal.Signals
) -> None:
    if "thread" in doing and number == signal.SIGINT:
        pytest.skip("python waits for threads after a KeyboardInterrupt")
    waiter = start_waiter(WAITERS[doing], session_id)
    with stopped_holder(session_id):
        go(waiter)
        started = time.monotonic()
        os.kill(waiter.pid, number)
        status, _, errors = end_script(waiter)
        assert status == -number, errors
        assert time.monotonic() - started < SOON
        assert is_alive(session_id)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize(
    "doing", ["curriculum.get_task()", "curriculum.stats()", "task.complete(1.0)"]
)
def test_a_signal_ends_a_curriculum_that_waits(
    session_id: str, doing: str, number: signal.Signals
) -> None:
    waiter = start_script(
        f"""
        import signal, sys
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        from metta.cogworks.curriculum import Curriculum, CurriculumConfig
        curriculum = Curriculum(CurriculumConfig.model_validate_json(sys.argv[1]))
        task = curriculum.get_task()
        print("ready", flush=True)
        assert sys.stdin.readline() == "go\\n"
        print("ready", flush=True)
        {doing}
        """,
        pool_config(session_id).model_dump_json(),
    )
    assert is_ready(waiter), waiter.communicate()[1]
    with stopped_pool_holder(session_id):
        go(waiter)
        started = time.monotonic()
        os.kill(waiter.pid, number)
        status, _, errors = end_script(waiter)
        assert status == -number, errors
        assert time.monotonic() - started < SOON


@pytest.mark.parametrize("last", ["", "session.release()", "del session", "sys.exit(0)"])
def test_an_ordinary_end_does_not_wait(session_id: str, last: str) -> None:
    waiter = start_waiter(f"session = open_it(); ready(); {last}", session_id)
    with stopped_holder(session_id):
        started = time.monotonic()
        go(waiter)
        status, _, errors = end_script(waiter)
        assert (status, errors) == (0, "")
        assert time.monotonic() - started < SOON


def test_a_thread_that_waits_is_told_when_the_session_is_closed(session_id: str) -> None:
    session = open_it(session_id)
    errors: list[SessionClosedError] = []

    def wait() -> None:
        try:
            session.lock.acquire()
        except SessionClosedError as error:
            errors.append(error)

    with stopped_holder(session_id):
        thread = threading.Thread(target=wait)
        thread.start()
        while session.lock.try_acquire():  # the thread has not come so far
            session.lock.release_all()
        started = time.monotonic()
        session.release()
        thread.join(DEADLINE)
        assert time.monotonic() - started < SOON
    assert "was closed in this process" in str(errors[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_pool_opened_in_a_thread_is_left_on_a_signal(
    session_id: str, number: signal.Signals
) -> None:
    process = start_script(
        """
        import signal, sys, threading
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        from metta.cogworks.curriculum import Curriculum, LearningProgressConfig
        def work():
            config = LearningProgressConfig(num_active_tasks=8, session_id=sys.argv[1])
            with Curriculum(config) as curriculum:
                print("ready", flush=True)
                while True:
                    curriculum.get_task().complete(1.0)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join()
        """,
        session_id,
    )
    assert is_ready(process)
    os.kill(process.pid, number)
    assert end_script(process) == (-number, "", "")
    assert session_files(session_id) == []


def test_handlers_of_the_program_stay() -> None:
    process = start_script(
        """
        import signal
        def mine(signum, frame):
            pass
        signal.signal(signal.SIGTERM, mine)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        before = signal.getsignal(signal.SIGQUIT)
        import metta.cogworks.curriculum
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGQUIT) is before is signal.SIG_DFL
        """
    )
    assert end_script(process) == (0, "", "")
