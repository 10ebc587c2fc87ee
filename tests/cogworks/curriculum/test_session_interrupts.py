"""Exceptions out of signal handlers while sessions are opened, released and swept."""

import fcntl
import gc
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from processes import (
    DEADLINE,
    end_script,
    forked,
    interrupt_at,
    is_alive,
    is_ready,
    run_all,
    session_files,
    start_holder,
    start_script,
)

from metta.cogworks.curriculum import SharedMemoryBackend
from metta.cogworks.curriculum.sessions import (
    Session,
    clean_sessions,
    new_session_id,
    open_session,
    registry,
)
from metta.cogworks.curriculum.sessions.files import lock_path
from metta.cogworks.curriculum.sessions.record_lock import MUTEX, PRESENCE, try_lock

pytestmark = [
    pytest.mark.timeout(300),
    # pytest-xdist has threads; what the children run here needs none of them.
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]


@pytest.fixture(params=["alone", "with another process"])
def session_id(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that no process, or one other process, has open."""
    name = new_session_id()
    holder = start_holder(name) if request.param != "alone" else None
    yield name
    if holder is not None:
        assert end_script(holder) == (0, "", "")
    assert session_files(name) == [], "left behind"


# Of the instants at which a handler may run, every so many-th: neighbours lie in the same loops.
STRIDE = 4


def open_it(name: str) -> Session:
    return open_session(name, 4096, {"max_tasks": 4})


def mutex_is_free(name: str) -> bool:
    """As another process sees it; also true if the session is gone."""

    def look() -> None:
        try:
            fd = os.open(lock_path(name), os.O_RDWR)
        except FileNotFoundError:
            return
        for kind, byte in ((fcntl.LOCK_EX, MUTEX), (fcntl.LOCK_SH, PRESENCE)):
            until = time.monotonic() + DEADLINE / 2
            while not try_lock(
                fd, kind, byte
            ):  # a process that looks for dead sessions, or for ever
                assert time.monotonic() < until
                time.sleep(0.01)

    return forked(look) == 0


def test_opening_interrupted_at_every_few_instructions(session_id: str) -> None:
    """What is not returned to the caller is left, and the lock of the pool is free."""
    point, with_holder = 1, bool(session_files(session_id))
    while interrupt_at(point, lambda: open_it(session_id).release()):
        gc.collect()
        assert mutex_is_free(session_id), f"held after an interrupt at point {point}"
        registry.leave_unused()
        assert registry.find(session_id) is None, f"open after an interrupt at point {point}"
        if with_holder:
            assert is_alive(session_id)
        else:  # perhaps made, but nobody has it open
            assert not is_alive(session_id)
        session = open_it(session_id)
        assert session.created != with_holder
        session.release()
        point += STRIDE
    assert point > 50


def test_releasing_interrupted_at_every_few_instructions(session_id: str) -> None:
    """A second call completes what the first began."""
    point, interrupted, with_holder = 1, True, bool(session_files(session_id))
    while interrupted:
        session = open_it(session_id)
        interrupted = interrupt_at(point, session.release)
        assert mutex_is_free(session_id), f"held after an interrupt at point {point}"
        session.release()
        assert not session.is_open
        assert bool(session_files(session_id)) == with_holder
        point += STRIDE
    assert point > 20


def test_a_handler_that_drops_a_session_leaves_the_registry_to_who_uses_it() -> None:
    """What a finalizer calls, at any instant of a use, by the thread that uses it."""

    def use() -> None:
        entered = threading.Event()
        other = threading.Thread(target=lambda: registry.exclusively(entered.set))
        other.start()
        seen.append(entered.wait(0.02))
        others.append(other)

    seen: list[bool] = []
    others: list[threading.Thread] = []
    point = 0
    hit = True
    while hit:
        point += 1
        hit = interrupt_at(
            point,
            lambda: registry.exclusively(use),
            lambda: registry.leave_unused(wait=False),
        )
        others[-1].join(DEADLINE)
        assert not others[-1].is_alive()
    assert not any(seen)
    assert point > 5


def test_cleaning_up_a_backend_interrupted_at_every_instruction(session_id: str) -> None:
    if session_files(session_id):
        pytest.skip("the holder has a session of another layout")
    point, interrupted = 1, True
    while interrupted:
        backend = SharedMemoryBackend(4, session_id)
        interrupted = interrupt_at(point, backend.cleanup)
        backend.cleanup()
        assert session_files(session_id) == []
        point += 1
    assert point > 20


def test_cleaning_interrupted_at_every_instruction(session_id: str) -> None:
    session = open_it(session_id)
    point = 1
    while interrupt_at(point, clean_sessions):
        point += 1
        if point % 10 == 0:
            assert mutex_is_free(session_id)
            assert is_alive(session_id)
    assert point > 20
    session.release()


# -- at random instants ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interrupts", "seed", "limit_seconds"),
    [
        (1500, 1, 240.0),
        pytest.param(20_000, 2, 840.0, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_everything_that_takes_the_lock_interrupted_at_random_instants(
    interrupts: int, seed: int, limit_seconds: float, tmp_path: Path
) -> None:
    """A KeyboardInterrupt at any instant leaves the lock free and the pool whole, and a completion
    recorded at most once; exactly once if the call returned."""
    arguments = f"{interrupts}, {seed}, {str(tmp_path)!r}, {limit_seconds}"
    code = f"import interrupts; interrupts.main({arguments})"
    out, errors = start_script(code).communicate(timeout=900)
    assert out, errors
    report = json.loads(out)
    print(f"\n{report}")  # with `-s`: the figures
    assert report["said"] == []
    assert (report["held"], report["torn"], report["lost"]) == (0, 0, 0)
    assert report["interrupts"] >= interrupts
    assert len(report["by_method"]) > 40


# -- sweeping --------------------------------------------------------------------------------------


def test_dead_sessions_are_swept_by_whoever_opens_another() -> None:
    dead = [new_session_id() for _ in range(5)]
    for name in dead:
        end_script(start_script(f"import processes; processes.look_at({name!r}, False)"))
    live = new_session_id()
    holder = start_holder(live)
    code = """
        import sys
        from metta.cogworks.curriculum import SharedMemoryBackend
        SharedMemoryBackend(4).cleanup()
    """
    assert end_script(start_script(code)) == (0, "", "")
    assert [session_files(name) for name in dead] == [[]] * 5
    assert len(session_files(live)) == 2
    assert is_alive(live)
    assert end_script(holder) == (0, "", "")


def test_a_process_sweeps_once_a_minute_at_most() -> None:
    name = new_session_id()
    holder = start_holder(name)
    code = """
        from metta.cogworks.curriculum import SharedMemoryBackend
        from metta.cogworks.curriculum.sessions import cleaning, registry
        print(registry.exclusively(cleaning.sweep) >= 1, registry.exclusively(cleaning.sweep))
        SharedMemoryBackend(4).cleanup()
        print(registry.exclusively(cleaning.sweep))
    """
    assert end_script(start_script(code)) == (0, "True 0\n0\n", "")
    assert end_script(holder) == (0, "", "")


# -- looking at the same instant -------------------------------------------------------------------


def see(name: str, looks: int, barrier: Barrier) -> None:
    """Look at a dead session, over and over, while others do."""
    barrier.wait(DEADLINE)
    seen = [is_alive(name) for _ in range(looks)]
    assert set(seen) == {False}, f"{sum(map(bool, seen))} of {looks} times it looked alive"


def clean(names: list[str], barrier: Barrier, found: Path) -> None:
    """Clean at the same instant as others; write what was removed."""
    barrier.wait(DEADLINE)
    removed = {info.session_id for info in clean_sessions()} & set(names)
    found.write_text(json.dumps(sorted(removed)))


def die_with(names: list[str]) -> None:
    """Leave dead sessions behind, which nobody sweeps meanwhile."""
    sessions = [open_it(name) for name in names]
    assert all(session.is_open for session in sessions)
    os.kill(os.getpid(), signal.SIGKILL)


def test_looking_at_a_dead_session_does_not_make_it_look_alive() -> None:
    name = new_session_id()
    assert forked(lambda: die_with([name])) == -signal.SIGKILL
    barrier = multiprocessing.get_context("fork").Barrier(3)
    run_all("fork", see, [(name, 500, barrier)] * 3)
    clean_sessions()
    assert session_files(name) == []


def test_a_dead_session_that_is_being_removed_is_dead() -> None:
    """Whoever removes a session has its mutex, as has somebody who opens it."""
    name = new_session_id()
    assert forked(lambda: die_with([name])) == -signal.SIGKILL
    remover = start_script(
        """
        import fcntl, sys
        with open(sys.argv[1], "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX, 1, 0)
            print("ready", flush=True)
            sys.stdin.read()
        """,
        str(lock_path(name)),
    )
    assert is_ready(remover), remover.communicate()[1]
    assert is_alive(name) is False
    clean_sessions()
    assert is_alive(name) is False  # it is left to the one that has begun
    assert end_script(remover) == (0, "", "")
    clean_sessions()
    assert session_files(name) == []


def test_two_sweepers_at_once_remove_each_dead_session_once(tmp_path: Path) -> None:
    for turn in range(5):
        live = new_session_id()
        holder = start_holder(live)
        names = [new_session_id() for _ in range(40)]
        assert forked(lambda names=names: die_with(names)) == -signal.SIGKILL
        barrier = multiprocessing.get_context("fork").Barrier(2)
        files = [tmp_path / f"{turn}.{me}" for me in range(2)]
        run_all("fork", clean, [(names, barrier, file) for file in files])
        removed = [name for file in files for name in json.loads(file.read_text())]
        assert len(removed) == len(set(removed))
        assert set(removed) <= set(names)  # another test's process may have swept some
        assert [session_files(name) for name in names] == [[]] * len(names)
        assert is_alive(live)
        assert end_script(holder) == (0, "", "")
