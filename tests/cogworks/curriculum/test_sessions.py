"""Sessions of shared memory: names, one pool per name, every way of ending a process, and what is
left then."""

import fcntl
import gc
import multiprocessing
import os
import threading
import weakref
from collections.abc import Iterator

import pytest
from processes import (
    DEADLINE,
    end_script,
    forked,
    run_all,
    session_files,
    start_script,
    stay_linked,
)

from experiments import sessions as commands
from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    LearningProgressConfig,
    SessionMismatchError,
)
from metta.cogworks.curriculum.sessions import (
    Session,
    SessionAccessError,
    SessionClosedError,
    SessionDamagedError,
    clean_sessions,
    list_sessions,
    new_session_id,
    open_session,
    registry,
)
from metta.cogworks.curriculum.sessions.files import lock_path

pytestmark = [
    pytest.mark.timeout(120),
    # pytest-xdist has threads; what the children run here needs none of them.
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]

LAYOUT = {"max_tasks": 4}
BYTES = 4096


@pytest.fixture
def session_id() -> Iterator[str]:
    name = new_session_id()
    yield name
    assert session_files(name) == [], "left behind"


def open_it(name: str) -> Session:
    return open_session(name, BYTES, LAYOUT)


def alive(name: str) -> list[bool]:
    return [info.alive for info in list_sessions() if info.session_id == name]


def in_use_here(name: str) -> bool:
    return registry.find(name) is not None


def in_other_process(name: str, leave: bool = True) -> int:
    """First byte of the memory as a process sees that attaches now. ``leave=False``: it dies
    without a word."""
    _, out, errors = end_script(
        start_script(f"import processes; processes.look_at({name!r}, {leave})")
    )
    assert out, errors
    return int(out)


# -- opening ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "a/b", "../x", ".hidden", "-x", "a" * 101, "a b", "ä", "a\n", "a\0", None, 7]
)
def test_unfit_names_are_refused(name: object) -> None:
    with pytest.raises(ValueError, match="cannot name a session: use 1 to 100 letters"):
        open_session(name, BYTES, LAYOUT)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "0", "x" * 100])
def test_fit_names(name: str) -> None:
    name = (name + new_session_id())[-100:]
    session = open_it(name)
    assert len(session_files(name)) == 2
    session.release()
    assert session_files(name) == []


def test_new_memory_is_zero_and_shared_within_a_process(session_id: str) -> None:
    first = open_it(session_id)
    assert first.created
    assert not any(first.memory)
    first.memory[0] = 1
    second = open_it(session_id)
    assert second.memory is first.memory
    assert second.lock is first.lock
    assert not second.created
    second.release()
    assert first.is_open
    first.release()
    assert not first.is_open


def test_unrelated_process_attaches(session_id: str) -> None:
    session = open_it(session_id)
    session.memory[0] = 5
    assert in_other_process(session_id) == 5
    assert session.memory[0] == 77
    session.release()


@pytest.mark.parametrize(
    ("theirs", "ours", "named"),
    [
        ({"max_tasks": 4}, {"max_tasks": 8}, "max_tasks: the session has 4, this process wants 8"),
        (
            {"layout": "a+b"},
            {"layout": "a"},
            "layout: the session has 'a[+]b', this process wants 'a'",
        ),
        ({"x": 1}, {"x": 1, "y": 2}, "y: the session has nothing, this process wants 2"),
    ],
)
@pytest.mark.parametrize("same_process", [True, False])
def test_mismatch_names_both_sides(
    session_id: str, theirs: dict, ours: dict, named: str, same_process: bool
) -> None:
    session = open_session(session_id, BYTES, theirs)

    def attach() -> None:
        with pytest.raises(SessionMismatchError, match=named):
            open_session(session_id, BYTES, ours)

    if same_process:
        attach()
    else:

        def child() -> None:
            session.leave()
            attach()

        assert forked(child) == 0
    assert alive(session_id) == [True]
    assert session.is_open
    session.release()


def test_other_versions_are_named(session_id: str) -> None:
    session = open_it(session_id)
    path = lock_path(session_id)
    # From another process: closing a descriptor of this file here would drop the session's locks.
    change = """
        import pathlib, sys
        path = pathlib.Path(sys.argv[1])
        path.write_bytes(path.read_bytes().replace(b'"version": 3', b'"version": 9'))
    """
    assert end_script(start_script(change, str(path)))[0] == 0

    def child() -> None:
        session.leave()
        with pytest.raises(
            SessionMismatchError, match="version: the session has 9, this process wants 3"
        ):
            open_it(session_id)

    assert forked(child) == 0
    session.release()


def test_something_else_under_the_name() -> None:
    name = new_session_id()
    holder = start_script(
        """
        import fcntl, os, sys
        with open(sys.argv[1], "w+b") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(b"something else, longer than a header")
            file.flush()
            fcntl.lockf(file, fcntl.LOCK_SH, 1, 1)
            print("ready", flush=True)
            sys.stdin.read()
        """,
        str(lock_path(name)),
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    with pytest.raises(
        SessionDamagedError,
        match="its lock file begins with b'somethin' and not with b'mettacur'. End the processes "
        f"that have it open [(]one is {holder.pid}[)], or use another session_id",
    ):
        open_it(name)
    assert end_script(holder)[0] == 0
    clean_sessions()
    assert session_files(name) == []


@pytest.mark.parametrize("nbytes", [2**50, 2**62, 2**70])
def test_no_shared_memory_left(session_id: str, nbytes: int) -> None:
    with pytest.raises(
        MemoryError,
        match=rf"asked for {nbytes:,} bytes in "
        r".*num_active_tasks.*sessions.clean.*use_shared_memory",
    ):
        open_session(session_id, nbytes, LAYOUT)
    assert session_files(session_id) == []
    open_it(session_id).release()  # the name is free


def test_no_shared_memory_left_for_a_curriculum(session_id: str) -> None:
    algorithm = LearningProgressConfig(num_active_tasks=2**30, session_id=session_id)
    config = CurriculumConfig(algorithm_config=algorithm, max_task_id=2**42)
    with pytest.raises(
        MemoryError, match=f"no shared memory for session '{session_id}': asked for"
    ):
        Curriculum(config)


def test_memory_is_private_to_the_user(session_id: str) -> None:
    before = os.umask(0)
    try:
        session = open_it(session_id)
    finally:
        os.umask(before)
    for path in session_files(session_id):
        assert os.stat(path).st_mode & 0o777 == 0o600
    session.release()


def test_a_link_under_the_name_is_not_followed(session_id: str, tmp_path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    lock_path(session_id).symlink_to(target)
    try:
        with pytest.raises(SessionAccessError, match="it is a link of user"):
            open_it(session_id)
    finally:
        lock_path(session_id).unlink()
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize(("processes", "repetitions"), [(2, 100), (4, 50)])
def test_processes_that_open_and_leave_at_the_same_instant(
    session_id: str, processes: int, repetitions: int
) -> None:
    """Whoever has the session open has the one that the name leads to, whoever else comes and
    goes."""
    barrier = multiprocessing.get_context("fork").Barrier(processes)
    run_all("fork", stay_linked, [(session_id, repetitions, barrier)] * processes)


# -- this process's locks are never dropped by accident --------------------------------------------


def test_a_view_that_outlives_its_session_drops_no_lock_when_it_goes(session_id: str) -> None:
    """Closing any descriptor of a file drops the process's record locks on it, and a mapping has a
    descriptor."""
    other = start_script(f"import processes; processes.hold({session_id!r})")
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    first = open_it(session_id)
    view = first.memory[:8]
    first.release()
    del first
    second = open_it(session_id)
    second.lock.acquire()
    del view
    gc.collect()
    assert in_child(lambda: not can_take(session_id, 0)), "the lock is gone"
    second.lock.release()
    end_script(other)
    assert in_child(lambda: not can_take(session_id, 1)), "the session looks dead"
    second.release()


def test_listing_and_cleaning_drop_no_lock(session_id: str) -> None:
    session = open_it(session_id)
    session.lock.acquire()
    threads = [threading.Thread(target=clean_sessions) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert alive(session_id) == [True]
    assert in_child(lambda: not can_take(session_id, 0) and not can_take(session_id, 1))
    session.lock.release()
    session.release()


def test_cleaning_while_other_threads_open_and_leave(session_id: str) -> None:
    errors: list[BaseException] = []
    done = threading.Event()

    def clean() -> None:
        try:
            while not done.is_set():
                assert session_id not in [info.session_id for info in clean_sessions()]
        except BaseException as error:
            errors.append(error)
            raise

    thread = threading.Thread(target=clean)
    thread.start()
    try:
        for _ in range(300):
            session = open_it(session_id)
            assert os.path.samestat(os.fstat(session.lock.fd), os.stat(lock_path(session_id)))
            session.release()
    finally:
        done.set()
        thread.join(DEADLINE)
    assert errors == []


def can_take(name: str, byte: int) -> bool:
    fd = os.open(lock_path(name), os.O_RDWR)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def in_child(check) -> bool:
    """``check()`` in a process that has no session open."""
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            for presence in registry.presences():
                os.close(presence.lock.fd)
            status = 0 if check() else 1
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 1)
    return status == 0


# -- after the end ---------------------------------------------------------------------------------


def test_use_after_close_is_an_error_and_views_stay_readable(session_id: str) -> None:
    curriculum = Curriculum(LearningProgressConfig(num_active_tasks=8, session_id=session_id))
    task = curriculum.get_task()
    rows = curriculum.algorithm.task_tracker.table.rows
    curriculum.close()
    curriculum.close()
    assert session_files(session_id) == []
    with open(os.devnull) as file:  # may get the number of the descriptor that was closed
        assert file.fileno() >= 0
        for use in (
            curriculum.get_task,
            curriculum.stats,
            lambda: task.complete(1.0),
            curriculum.probabilities,
        ):
            with pytest.raises(SessionClosedError, match="closed in this process: open it again"):
                use()
    assert task.task_id in rows[:, 0]
    gc.collect()
    assert task.task_id in rows[:, 0]


def test_a_name_can_be_used_again_after_the_end(session_id: str) -> None:
    for _ in range(3):
        with Curriculum(
            LearningProgressConfig(num_active_tasks=8, session_id=session_id)
        ) as curriculum:
            curriculum.get_task().complete(1.0)
            assert curriculum.stats()["num_completed"] == 1


def test_closed_by_the_garbage_collector(session_id: str) -> None:
    curriculum = Curriculum(LearningProgressConfig(num_active_tasks=8, session_id=session_id))
    cycle = [curriculum]
    cycle.append(cycle)  # type: ignore[arg-type]
    gone = weakref.ref(curriculum)
    del curriculum, cycle
    gc.collect()
    assert gone() is None
    assert session_files(session_id) == []


def test_a_collected_session_is_left_later_if_its_pool_is_in_use(session_id: str) -> None:
    """A finalizer may run inside a change of another pool: it must not wait for this one's lock."""
    session = open_it(session_id)
    holder = start_script(f"import processes; processes.hold({session_id!r}, lock=True)")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    del session  # returns: nobody waits for the holder
    assert in_use_here(session_id)
    assert end_script(holder)[0] == 0
    other = open_it(new_session_id())
    assert not in_use_here(session_id)
    other.release()


def test_reopened_while_waiting_to_be_left(session_id: str) -> None:
    session = open_it(session_id)
    holder = start_script(f"import processes; processes.hold({session_id!r}, lock=True)")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    memory = session.memory
    del session
    again = open_it(session_id)
    assert again.memory is memory
    end_script(holder)
    again.release()


def test_left_inside_a_change_of_its_own(session_id: str) -> None:
    session = open_it(session_id)
    with session.lock:
        session.release()
    assert not session.is_open
    with pytest.raises(SessionClosedError):
        session.lock.acquire()


# -- commands --------------------------------------------------------------------------------------


def test_clean_command(session_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    session = open_it(session_id)
    dead, lines = "", {}
    for _ in range(10):  # another test's process may sweep it before it is listed
        dead = new_session_id()
        in_other_process(dead, leave=False)
        assert commands.clean(dry_run=True).invoke() == 0
        listed = capsys.readouterr().out
        assert "nothing was removed" in listed
        lines = {line.split()[0]: line for line in listed.splitlines()}
        if dead in lines:
            break
    assert lines[dead].endswith("left over")
    assert lines[session_id].endswith("in use")
    assert f"{BYTES:,} bytes" in lines[session_id]
    assert commands.clean().invoke() == 0
    assert "removed " in capsys.readouterr().out
    assert session_files(dead) == []
    assert alive(session_id) == [True]
    session.release()
    assert commands.show().invoke() == 0
    assert session_id not in capsys.readouterr().out


def test_cleaning_spares_what_another_process_has_open(session_id: str) -> None:
    holder = start_script(f"import processes; processes.hold({session_id!r}, lock=True)")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    assert session_id not in [info.session_id for info in clean_sessions()]
    assert alive(session_id) == [True]
    assert end_script(holder)[0] == 0


def test_a_session_whose_memory_was_never_made_is_cleaned() -> None:
    """A process died between the two files."""
    name = new_session_id()
    lock_path(name).touch(0o600)
    found = [(info.nbytes, info.alive) for info in list_sessions() if info.session_id == name]
    assert found in ([(0, False)], [])  # or another process swept it by now
    clean_sessions()
    assert session_files(name) == []
