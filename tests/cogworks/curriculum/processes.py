"""Processes for tests: started, killed at a chosen instruction, and waited for with a deadline.

What runs in a spawned child stands here and not in a test module, so that the child need not import
pytest.
"""

import dis
import glob
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Literal

import metta.cogworks.curriculum as package
from metta.cogworks.curriculum import Curriculum, CurriculumConfig
from metta.cogworks.curriculum.sessions import list_sessions, open_session
from metta.cogworks.curriculum.sessions.files import lock_path, memory_path

Method = Literal["fork", "spawn"]
DEADLINE = 60.0  # seconds; ten times what the slowest of these takes on a busy machine
_SOURCES = str(Path(package.__file__).parent)
_SESSIONS = str(Path(_SOURCES, "sessions"))


def session_files(session_id: str) -> list[str]:
    """Names of what is left of a session in the file system."""
    return sorted(glob.glob(str(lock_path(session_id))) + glob.glob(str(memory_path(session_id))))


def is_alive(session_id: str) -> bool | None:
    """Whether a process has the session open; None if there is none of that name."""
    found = [info.alive for info in list_sessions() if info.session_id == session_id]
    return found[0] if found else None


def is_ready(process: subprocess.Popen[str]) -> bool:
    """Whether a script has printed ``ready``; waits for its next line."""
    assert process.stdout is not None
    return process.stdout.readline() == "ready\n"


def start_holder(session_id: str, lock: bool = False) -> subprocess.Popen[str]:
    """A process that has a session open, and perhaps its lock, until its standard input ends."""
    process = start_script(f"import processes; processes.hold({session_id!r}, {lock})")
    assert is_ready(process), process.communicate()[1]
    return process


def run_all(
    method: Method, function: Callable[..., None], arguments: list[tuple[Any, ...]]
) -> None:
    """Run ``function`` in one process per tuple of arguments; all must end well, and before the
    deadline."""
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=function, args=args) for args in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(DEADLINE)
    late = [worker for worker in workers if worker.is_alive()]
    for worker in late:
        worker.kill()
    assert not late, f"{len(late)} of {len(workers)} processes did not end within {DEADLINE} s"
    assert [worker.exitcode for worker in workers] == [0] * len(workers)


def forked(function: Callable[[], object]) -> int:
    """Run ``function`` in a forked child. Returns its exit status: 0, 1 after an exception, -n
    after signal n."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def start_script(code: str, *args: str) -> subprocess.Popen[str]:
    """A python process that has nothing to do with this one, with its standard streams as text
    pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).parent), str(Path(__file__).parents[3])]
            )
        },
    )


def end_script(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, output and errors of a script, once it has ended."""
    out, errors = process.communicate(timeout=DEADLINE)
    return process.returncode, out, errors


def play_batches(curriculum: Curriculum, batches: int, size: int, rollouts: int) -> None:
    """Batches of different tasks, with so many scores each."""
    for _ in range(batches):
        tasks = curriculum.get_tasks(size, distinct=True)
        assert len({task.task_id for task in tasks}) == size
        scores = [[(task.task_id % 10) / 10] * rollouts for task in tasks]
        curriculum.update_tasks([task.task_id for task in tasks], scores)


# -- killing at a chosen instruction ---------------------------------------------------------------


def trace_opcodes(function: Callable[[], object], at_each: Callable[[FrameType], None]) -> None:
    """Run ``function``, calling ``at_each(frame)`` before every bytecode instruction of the
    curriculum's modules."""

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_SOURCES):
            return None
        frame.f_trace = trace  # before the next, for Python 3.13
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            at_each(frame)
        return trace

    sys._getframe().f_trace_opcodes = True  # without which Python 3.12 has no such events
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(None)


def count_changes(function: Callable[[], object], memory: Callable[[], bytes]) -> int:
    """How many different states ``function``, run in a child, takes the memory through, as seen
    between instructions."""
    read, write = os.pipe()

    def child() -> None:
        count, last = 0, memory()

        def look(frame: FrameType) -> None:
            nonlocal count, last
            now = memory()
            if now != last:
                count, last = count + 1, now

        trace_opcodes(function, look)
        os.write(write, str(count).encode())

    status = forked(child)
    os.close(write)
    with os.fdopen(read) as result:
        assert status == 0
        return int(result.read())


def kill_after_changes(
    function: Callable[[], object], memory: Callable[[], bytes], changes: int
) -> int:
    """Run ``function`` in a child that is killed as soon as the memory has changed so often.
    Returns its exit status."""

    def child() -> None:
        count, last = 0, memory()

        def look(frame: FrameType) -> None:
            nonlocal count, last
            now = memory()
            if now != last:
                count, last = count + 1, now
                if count == changes:
                    os.kill(os.getpid(), signal.SIGKILL)

        trace_opcodes(function, look)

    return forked(child)


# -- exceptions at a chosen instruction ------------------------------------------------------------


class Interrupted(BaseException):
    """As a KeyboardInterrupt: raised by a signal handler, between any two instructions."""


def interruptible(code: CodeType) -> set[int]:
    """Offsets before which CPython may run a signal handler: after a call, at a function's entry,
    after a jump backwards."""
    found, before = set(), ""
    for instruction in dis.get_instructions(code):
        if before.startswith(("CALL", "RESUME", "JUMP_BACKWARD")):
            found.add(instruction.offset)
        before = instruction.opname
    return found


def _raise() -> None:
    raise Interrupted


def interrupt_at(
    point: int, function: Callable[[], object], handler: Callable[[], object] = _raise
) -> bool:
    """Call ``function``, and ``handler``, which raises, at the ``point``-th instruction of the
    sessions' modules at which a signal handler could run; returns whether there was one."""
    seen = 0
    places: dict[CodeType, set[int]] = {}

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal seen
        code = frame.f_code
        if not code.co_filename.startswith(_SESSIONS):
            return None
        frame.f_trace = trace
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            if code not in places:
                places[code] = interruptible(code)
            if frame.f_lasti in places[code]:
                seen += 1
                if seen == point:
                    sys.settrace(None)
                    handler()
        return trace

    sys._getframe().f_trace_opcodes = True  # without which Python 3.12 has no such events
    sys.settrace(trace)
    try:
        function()
    except Interrupted:
        return True
    finally:
        sys.settrace(None)
    return seen >= point


# -- what children do ------------------------------------------------------------------------------


def complete_tasks(config: CurriculumConfig, episodes: int, barrier: Barrier) -> None:
    """Complete ``episodes`` tasks with score 1, some of them as batches."""
    with Curriculum(config) as curriculum:
        barrier.wait(DEADLINE)
        for _ in range(episodes // 4):
            curriculum.get_task().complete(1.0)
            task_ids = [task.task_id for task in curriculum.get_tasks(3)]
            curriculum.update_tasks(task_ids, [1.0] * 3)
        barrier.wait(
            DEADLINE
        )  # the last one out removes the pool: nobody may go before everybody has come


def open_together(session_ids: list[str], processes: int, barrier: Barrier) -> None:
    """Open each session at the same instant as others do; each completes one task and must see
    everybody's."""
    for session_id in session_ids:
        config = package.LearningProgressConfig(num_active_tasks=8, session_id=session_id)
        barrier.wait(DEADLINE)
        with Curriculum(config) as curriculum:
            curriculum.get_task().complete(1.0)
            barrier.wait(DEADLINE)
            completed = curriculum.stats()["num_completed"]
            assert completed == processes, f"{completed} completions of {processes} processes"
            assert sorted(curriculum.probabilities()) == sorted(set(curriculum.probabilities()))
            barrier.wait(DEADLINE)


def stay_linked(session_id: str, repetitions: int, barrier: Barrier) -> None:
    """Open and leave a session, over and over, at the same instants as others."""
    for k in range(repetitions):
        barrier.wait(DEADLINE)
        for _ in range(1 + k % 3):
            session = open_session(session_id, 4096, {"max_tasks": 4})
            with session.lock:
                # Were there two sessions of one name, one of them would have lost its name to the
                # other.
                assert os.path.samestat(os.fstat(session.lock.fd), os.stat(lock_path(session_id)))
                assert os.path.getsize(memory_path(session_id)) == 4096
                session.memory[0] = (session.memory[0] + 1) % 256
            session.release()


def look_at(session_id: str, leave: bool) -> None:
    """Print the first byte of a session's memory and set it to 77; then leave, or die."""
    session = open_session(session_id, 4096, {"max_tasks": 4})
    print(session.memory[0], flush=True)
    session.memory[0] = 77
    if not leave:
        os.kill(os.getpid(), signal.SIGKILL)


def hold(session_id: str, lock: bool = False) -> None:
    """Have a session open, and perhaps its lock, until standard input ends."""
    session = open_session(session_id, 4096, {"max_tasks": 4})
    if lock:
        session.lock.acquire()
    print("ready", flush=True)
    sys.stdin.read()
    if lock:
        session.lock.release()


def keep_pool(config: str) -> None:
    """Have the pool of a configuration, given as JSON, open until standard input ends."""
    with Curriculum(CurriculumConfig.model_validate_json(config)):
        print("ready", flush=True)
        sys.stdin.read()


def hold_pool(config: str) -> None:
    """Have the pool of a configuration, given as JSON, open and locked until standard input
    ends."""
    with Curriculum(CurriculumConfig.model_validate_json(config)) as curriculum, curriculum.table:
        print("ready", flush=True)
        sys.stdin.read()


def start_heir(session_id: str, method: Method) -> None:
    """Start a child that opens the session, and wait to be killed."""
    session = open_session(session_id, 4096, {"max_tasks": 4})
    session.memory[0] = 9
    child = multiprocessing.get_context(method).Process(
        target=inherit, args=(session_id, os.dup(0), os.dup(1))
    )
    if method == "fork":
        child.start()
    else:
        subprocess.Popen(
            [sys.executable, "-c", f"import processes; processes.inherit({session_id!r}, 0, 1)"]
        )
    signal.pause()


def inherit(session_id: str, stdin: int, stdout: int) -> None:
    """Use the session until ``stdin`` ends."""
    session = open_session(session_id, 4096, {"max_tasks": 4})
    assert session.memory[0] == 9
    os.write(stdout, b"ready\n")
    while os.read(stdin, 1):
        pass
    session.leave()
    os.write(stdout, b"left\n")


def last_is_a_child(session_id: str, method: Method) -> None:
    """The parent leaves, then the child ends in the ordinary way; print whether nothing is left."""
    session = open_session(session_id, 4096, {"max_tasks": 4})
    context = multiprocessing.get_context(method)
    opened, left = context.Event(), context.Event()
    child = context.Process(target=stay_until, args=(session_id, opened, left))
    child.start()
    assert opened.wait(DEADLINE)
    session.leave()
    left.set()
    child.join(DEADLINE)
    assert child.exitcode == 0
    print(session_files(session_id) == [], flush=True)


def stay_until(session_id: str, opened: Any, left: Any) -> None:
    """Have a session open until told, and never leave it by oneself."""
    session = open_session(session_id, 4096, {"max_tasks": 4})
    opened.set()
    assert left.wait(DEADLINE)
    assert len(session_files(session_id)) == 2
    assert session.is_open


def terminate_child(session_id: str) -> None:
    """SIGTERM the child of multiprocessing that is the last one to use a session; print its end,
    and whether all is gone."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    session = open_session(session_id, 4096, {"max_tasks": 4})
    context = multiprocessing.get_context("fork")
    opened, never = context.Event(), context.Event()
    child = context.Process(target=stay_until, args=(session_id, opened, never))
    child.start()
    assert opened.wait(DEADLINE)
    session.leave()
    child.terminate()
    child.join(DEADLINE)
    print(child.exitcode, session_files(session_id) == [], flush=True)
