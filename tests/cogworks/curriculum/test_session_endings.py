"""Every way of ending a process that has a session open, forks, and what is left then."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from processes import DEADLINE, end_script, session_files, start_script

from metta.cogworks.curriculum import Curriculum, LearningProgressConfig
from metta.cogworks.curriculum.sessions import (
    Session,
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


def in_other_process(name: str, leave: bool = True) -> int:
    """First byte of the memory as a process sees that attaches now. ``leave=False``: it dies
    without a word."""
    _, out, errors = end_script(
        start_script(f"import processes; processes.look_at({name!r}, {leave})")
    )
    assert out, errors
    return int(out)


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
    "SIGHUP": ("os.kill(os.getpid(), signal.SIGHUP)", -signal.SIGHUP, True),
    "SIGHUP in the middle of a change": (
        "table.acquire(); table.save_row(0); os.kill(os.getpid(), signal.SIGHUP); work()",
        -signal.SIGHUP,
        True,
    ),
    "SIGHUP ignored, as under nohup": (
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); os.kill(os.getpid(), signal.SIGHUP)",
        0,
        True,
    ),
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
        "files.create_memory = during(files.create_memory); "
        "Curriculum(config.model_copy(update={'session_id': other}))",
        -signal.SIGTERM,
        True,
    ),
    "SIGTERM while leaving": (
        "files.remove_files = during(files.remove_files)",
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
    "SIGQUIT": (
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.kill(os.getpid(), signal.SIGQUIT)",
        -signal.SIGQUIT,
        False,
    ),
    "abort": (
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()",
        -signal.SIGABRT,
        False,
    ),
}
PREAMBLE = """
import os, resource, signal, sys, threading
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from metta.cogworks.curriculum import Curriculum, LearningProgressConfig
from metta.cogworks.curriculum.sessions import files
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
    # a daemon thread that finds its pool closed says so, as far as it comes
    said = way == "daemon thread at work" and errors.startswith("Exception in thread")
    assert said or "as intended" in errors or "KeyboardInterrupt" in errors or errors == ""
    assert session_files(name + "-other") == []
    if gone:
        assert session_files(name) == []
    else:  # recognised as left over, unless swept by now; started anew by who uses the name next
        assert alive(name) in ([False], [])
        with Curriculum(LearningProgressConfig(num_active_tasks=8, session_id=name)) as curriculum:
            assert curriculum.stats()["num_completed"] == 0
            assert alive(name) == [True]
        assert session_files(name) == []


def test_left_over_of_another_layout_is_no_obstacle(session_id: str) -> None:
    assert in_other_process(session_id, leave=False) == 0
    assert alive(session_id) in ([False], [])  # or swept by now
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
                    linked = os.path.samestat(
                        os.fstat(session.lock.fd), os.stat(lock_path(session_id))
                    )
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
        def hold_registry() -> None:
            with (
                curriculum.algorithm.task_tracker.table,
                local.algorithm.task_tracker.table as table,
            ):
                # half a change, which the child's copy of local memory is to undo
                table.save_row(0)
                table.rows[0, 6] = 1e9
                holding.set()
                done.wait(DEADLINE)

        registry.exclusively(hold_registry)

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
