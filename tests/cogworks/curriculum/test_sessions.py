"""Sessions of shared memory: names, one pool per name, every way of ending a process, and what is
left then."""

import errno
import fcntl
import gc
import multiprocessing
import os
import signal
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
from metta.cogworks.curriculum import session as module
from metta.cogworks.curriculum.session import (
    Session,
    SessionClosedError,
    _path,
    clean_sessions,
    list_sessions,
    new_session_id,
    open_session,
)

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
    assert second is first
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
        ({"x": 1}, {"x": 1, "y": 2}, "y: the session has None, this process wants 2"),
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
    path = _path(session_id)
    # From another process: closing a descriptor of this file here would drop the session's locks.
    change = """
        import pathlib, sys
        path = pathlib.Path(sys.argv[1])
        path.write_bytes(path.read_bytes().replace(b'"version": 2', b'"version": 9'))
    """
    assert end_script(start_script(change, str(path)))[0] == 0

    def child() -> None:
        session.leave()
        with pytest.raises(
            SessionMismatchError, match="version: the session has 9, this process wants 2"
        ):
            open_it(session_id)

    assert forked(child) == 0
    session.release()


def test_something_else_under_the_name() -> None:
    name = new_session_id()
    holder = start_script(
        """
        import fcntl, sys
        with open(sys.argv[1], "w+b") as file:
            file.write(b"something else, longer than a header")
            file.flush()
            fcntl.lockf(file, fcntl.LOCK_SH, 1, 1)
            print("ready", flush=True)
            sys.stdin.read()
        """,
        str(_path(name)),
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    with pytest.raises(
        SessionMismatchError,
        match="held by something that is not a curriculum: choose another session_id",
    ):
        open_it(name)
    assert end_script(holder)[0] == 0
    assert name in [info.session_id for info in clean_sessions()]


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
    algorithm = LearningProgressConfig(num_active_tasks=2**41, session_id=session_id)
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
    _path(session_id).symlink_to(target)
    try:
        with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
            open_it(session_id)
    finally:
        _path(session_id).unlink()
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
            assert os.path.samestat(os.fstat(session._fd), os.stat(_path(session_id)))
            session.release()
    finally:
        done.set()
        thread.join(DEADLINE)
    assert errors == []


def can_take(name: str, byte: int) -> bool:
    fd = os.open(_path(name), os.O_RDWR)
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
            for session in list(module._SESSIONS.values()):
                os.close(session._fd)
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
    session.release(wait=False)  # returns: nobody waits for the holder
    assert session.is_open
    assert end_script(holder)[0] == 0
    other = open_it(new_session_id())
    assert not session.is_open
    other.release()


def test_reopened_while_waiting_to_be_left(session_id: str) -> None:
    session = open_it(session_id)
    holder = start_script(f"import processes; processes.hold({session_id!r}, lock=True)")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    session.release(wait=False)
    again = open_it(session_id)
    assert again is session
    end_script(holder)
    again.release()


def test_left_inside_a_change_of_its_own(session_id: str) -> None:
    session = open_it(session_id)
    with session.lock:
        session.release()
    assert not session.is_open
    with pytest.raises(SessionClosedError):
        session.lock.acquire()


# -- ways of ending a process ----------------------------------------------------------------------

# What the process does after it opened the session and printed a line; whether the session is gone
# afterwards.
ENDINGS = {
    "normal exit": ("", 0, True),
    "close, then exit": ("curriculum.close()", 0, True),
    "exception": ("raise RuntimeError('as intended')", 1, True),
    "exception in the middle of a change": (
        "table.acquire(); table.save_row(0); raise RuntimeError('as intended')",
        1,
        True,
    ),
    "sys.exit": ("sys.exit(3)", 3, True),
    "sys.exit in a thread": ("t = threading.Thread(target=sys.exit); t.start(); t.join()", 0, True),
    "daemon thread at work": (
        "threading.Thread(target=work, daemon=True).start(); curriculum.get_task()",
        0,
        True,
    ),
    "keyboard interrupt": ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT, True),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, True),
    "SIGTERM in the middle of a change": (
        "table.acquire(); table.save_row(0); os.kill(os.getpid(), signal.SIGTERM); work()",
        -signal.SIGTERM,
        True,
    ),
    "SIGTERM to a user's handler that exits": (
        "signal.signal(signal.SIGTERM, lambda *a: sys.exit(4)); os.kill(os.getpid(), "
        "signal.SIGTERM); work()",
        4,
        True,
    ),
    "SIGTERM to a user's handler that goes on": (
        "signal.signal(signal.SIGTERM, lambda *a: None); os.kill(os.getpid(), signal.SIGTERM); "
        "curriculum.get_task()",
        0,
        True,
    ),
    "SIGTERM while opening another": (
        "session._open = during(session._open); "
        "Curriculum(config.model_copy(update={'session_id': other}))",
        -signal.SIGTERM,
        True,
    ),
    "SIGTERM while leaving": (
        "session._unlink_if_same = during(session._unlink_if_same)",
        -signal.SIGTERM,
        True,
    ),
    "forked child with os._exit": (
        "pid = os.fork()\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0)",
        0,
        True,
    ),
    "forked child with sys.exit": (
        "pid = os.fork()\nif pid == 0: curriculum.get_task(); sys.exit(0)\nos.waitpid(pid, 0)",
        0,
        True,
    ),
    "forked twice": (
        "pid = os.fork() or os.fork() or (curriculum.get_task(), os._exit(0))\nfor _ in range(2): "
        "wait()\nsys.exit(0)",
        0,
        True,
    ),
    "os._exit": ("os._exit(5)", 5, False),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, False),
    "abort": (
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()",
        -signal.SIGABRT,
        False,
    ),
}
PREAMBLE = """
import os, resource, signal, sys, threading
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from metta.cogworks.curriculum import Curriculum, LearningProgressConfig, session
config = LearningProgressConfig(num_active_tasks=8, session_id=sys.argv[1])
other = sys.argv[1] + "-other"
curriculum = Curriculum(config)
table = curriculum.algorithm.task_tracker.table
def work():
    while True:
        curriculum.get_task().complete(1.0)
def wait():
    try:
        os.wait()
    except ChildProcessError:
        pass
def during(function):
    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        result = function(*args)
        os.kill(os.getpid(), signal.SIGTERM)
        return result
    return interrupted
"""


@pytest.fixture(scope="module")
def endings() -> dict[str, tuple[str, int, str]]:
    """Session id, exit status and errors of a process per way of ending; two at a time."""
    ended, running = {}, []
    for way, (code, _, _) in ENDINGS.items():
        name = new_session_id()
        running.append((way, name, start_script(PREAMBLE + code, name)))
        if len(running) == 2:
            way, name, process = running.pop(0)
            ended[way] = (name, *end_script(process)[::2])
    for way, name, process in running:
        ended[way] = (name, *end_script(process)[::2])
    return ended


@pytest.mark.parametrize("way", ENDINGS)
def test_end_of_a_process(endings: dict[str, tuple[str, int, str]], way: str) -> None:
    _, status, gone = ENDINGS[way]
    name, found, errors = endings[way]
    assert found == status, errors
    assert "as intended" in errors or "KeyboardInterrupt" in errors or errors == ""
    assert session_files(name + "-other") == []
    if gone:
        assert session_files(name) == []
    else:  # recognised as left over, and started anew by the next who uses the name
        assert alive(name) == [False]
        with Curriculum(LearningProgressConfig(num_active_tasks=8, session_id=name)) as curriculum:
            assert curriculum.stats()["num_completed"] == 0
            assert alive(name) == [True]
        assert session_files(name) == []


def test_left_over_of_another_layout_is_no_obstacle(session_id: str) -> None:
    assert in_other_process(session_id, leave=False) == 0
    assert alive(session_id) == [False]
    with Curriculum(
        LearningProgressConfig(num_active_tasks=8, session_id=session_id)
    ) as curriculum:
        curriculum.get_task()


def test_killed_creator_leaves_removal_to_the_last(session_id: str) -> None:
    creator = start_script(f"import processes; processes.hold({session_id!r})")
    assert creator.stdout is not None
    assert creator.stdout.readline() == "ready\n"
    session = open_it(session_id)
    assert not session.created
    creator.kill()
    end_script(creator)
    assert alive(session_id) == [True]
    assert in_other_process(session_id) == 0
    assert session.memory[0] == 77
    session.release()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_child_outlives_its_parent(session_id: str, method: str) -> None:
    """The parent ends first, by SIGKILL, so that it does not wait for its child; the pool is the
    child's, and goes with it."""
    parent = start_script(
        """
        import processes, sys
        processes.start_heir(sys.argv[1], sys.argv[2])
        """,
        session_id,
        method,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    parent.wait(DEADLINE)
    assert alive(session_id) == [True]
    session = open_it(session_id)
    assert session.memory[0] == 9
    parent.stdin.close()  # tells the child to go
    assert (
        parent.stdout.read() == "left\n"
    )  # until the child has closed its end, which is after its finalizers
    parent.stdout.close()
    assert parent.stderr is not None
    parent.stderr.close()
    assert alive(session_id) == [True]
    session.release()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_child_is_the_last(session_id: str, method: str) -> None:
    process = start_script(
        """
        import processes, sys
        processes.last_is_a_child(sys.argv[1], sys.argv[2])
        """,
        session_id,
        method,
    )
    status, out, errors = end_script(process)
    assert (status, out, errors) == (0, "True\n", "")


def test_terminated_multiprocessing_child(session_id: str) -> None:
    process = start_script(
        "import processes, sys; processes.terminate_child(sys.argv[1])", session_id
    )
    status, out, errors = end_script(process)
    assert (status, out, errors) == (0, "-15 True\n", "")


def test_parent_that_ends_right_after_forking(session_id: str) -> None:
    """The child has its share of the session before ``fork`` returns in the parent."""
    for _ in range(20):
        session = open_it(session_id)
        session.memory[0] = 3
        middle = os.fork()
        if middle == 0:
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    os.read(0, 0)
                    linked = os.path.samestat(os.fstat(session._fd), os.stat(_path(session_id)))
                    status = 0 if linked and session.memory[0] == 3 else 1
                finally:
                    session.leave()
                    os._exit(status)
            session.leave()
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        session.release()
        assert os.waitstatus_to_exitcode(os.waitpid(middle, 0)[1]) == 0


def test_fork_while_another_thread_holds_everything(session_id: str) -> None:
    """The child begins with free thread locks, whatever the threads that it does not have were
    doing."""
    curriculum = Curriculum(LearningProgressConfig(num_active_tasks=8, session_id=session_id))
    local = Curriculum(LearningProgressConfig(num_active_tasks=8, use_shared_memory=False))
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with (
            module._registry(),
            curriculum.algorithm.task_tracker.table,
            local.algorithm.task_tracker.table as table,
        ):
            table.save_row(0)  # half a change, which the child's copy of local memory is to undo
            table.rows[0, 6] = 1e9
            holding.set()
            done.wait(DEADLINE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(DEADLINE)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            local.get_task().complete(1.0)
            assert local.algorithm.task_tracker.table.rows[0, 6] < 1e9
            os.write(write, b"1")
            open_it(new_session_id()).release()
            curriculum.get_task().complete(1.0)  # waits for the parent's thread, as it must
            curriculum.close()
            status = 0
        finally:
            os._exit(status)
    assert os.read(read, 1) == b"1"
    done.set()
    thread.join(DEADLINE)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(read)
    os.close(write)
    assert curriculum.stats()["num_completed"] == 1
    curriculum.close()


def test_two_sessions_two_threads_two_processes() -> None:
    """The kernel sees a deadlock where there is none: it knows processes, not threads."""
    names = [new_session_id(), new_session_id()]
    sessions = [open_it(name) for name in names]

    def swap() -> None:
        def use(session: Session) -> None:
            for _ in range(2000):
                with session.lock:
                    session.memory[0] = (session.memory[0] + 1) % 256

        threads = [threading.Thread(target=use, args=(session,)) for session in sessions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert not any(thread.is_alive() for thread in threads)

    pids = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                swap()
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    swap()
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for session in sessions:
        assert session.memory[0] == 4 * 2000 % 256
        session.release()
    assert [session_files(name) for name in names] == [[], []]


# -- commands --------------------------------------------------------------------------------------


def test_clean_command(session_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    dead = new_session_id()
    in_other_process(dead, leave=False)
    session = open_it(session_id)
    assert commands.clean(dry_run=True).invoke() == 0
    listed = capsys.readouterr().out
    assert "nothing was removed" in listed
    lines = {line.split()[0]: line for line in listed.splitlines()}
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
    _path(name).touch()
    assert [(info.nbytes, info.alive) for info in list_sessions() if info.session_id == name] == [
        (0, False)
    ]
    assert name in [info.session_id for info in clean_sessions()]
    assert session_files(name) == []
