"""Sessions: named shared memory that several processes open, and that nobody has to remember to
remove.

A session is two files in the system's shared-memory directory. One is mapped by every process that
opens the session. Two bytes of the other are locked with POSIX record locks, which the kernel drops
the moment their holder dies, however it dies:

* byte 0, exclusive, is the mutex of the pool (:class:`Lock`);
* byte 1, shared, is held by every process that has the session open. Whoever can take it
  exclusively is alone: when leaving, it removes the files; when opening, they are the leftover of a
  crash and the memory is made anew.

Record locks belong to a process and vanish when it closes *any* descriptor of the file. So a
process opens the locked file of a session once (:data:`_SESSIONS`), and the mapping, which keeps a
descriptor for as long as anybody has a view of it, is of the other file. Record locks do not
exclude the threads of a process, which a thread lock does, and a forked child does not inherit
them: it takes its own share of byte 1 before ``fork`` returns in the parent.

Removal: by ``release``, at normal exit, after an exception, and on SIGTERM where the program has no
handler of its own. SIGKILL and ``os._exit`` leave removal to the processes that remain, and the end
of all of them at once to the next user of the name or to :func:`clean_sessions`.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import json
import mmap
import multiprocessing.util
import os
import re
import select
import signal
import struct
import sys
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

VERSION = 2
_MAGIC = b"mettacur"
_MUTEX, _PRESENCE = 0, 1
_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CLOSED = -1  # in place of a file descriptor
# how long an ending process waits for its other threads; a change of the pool takes microseconds
_PATIENCE_SECONDS = 5.0


class SessionMismatchError(ValueError):
    """The session exists with another layout, capacity or version."""


class SessionClosedError(RuntimeError):
    """The session was closed in this process and is used nevertheless."""


class Lock:
    """Mutex between the threads of this process and, given a file descriptor, between processes.
    Re-entrant.

    ``depth`` is how often the current holder has taken it; only the holder may read it.
    """

    __slots__ = ("__weakref__", "_fd", "_owner", "_thread", "depth")

    def __init__(self, fd: int | None = None):
        self._fd = fd
        self._thread = threading.RLock()
        self._owner = 0
        self.depth = 0
        _LOCKS.add(self)

    def acquire(self) -> None:
        """Wait for the lock. A holder that was killed has already lost it. SessionClosedError after
        :meth:`Session.leave`."""
        self._thread.acquire()
        if self.depth == 0 and self._fd is not None:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, _MUTEX)
            except BaseException as error:  # noqa: BLE001 - raised again there
                self._not_taken(error)
        self._owner = threading.get_ident()
        self.depth += 1

    def release(self) -> None:
        """Give the lock back."""
        self.depth -= 1
        if self.depth == 0:
            self._owner = 0
        try:
            if self.depth == 0 and self._fd is not None and self._fd != _CLOSED:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _MUTEX)
        finally:
            self._thread.release()

    @property
    def owned(self) -> bool:
        """Whether this thread holds it."""
        return self._owner == threading.get_ident()

    def release_all(self) -> None:
        """Give the lock back, however often it was taken. May be called twice."""
        if self._owner != threading.get_ident():
            return
        if self._fd is not None and self._fd != _CLOSED:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _MUTEX)
        depth, self.depth, self._owner = self.depth, 0, 0
        for _ in range(depth):
            self._thread.release()

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def _not_taken(self, error: BaseException) -> None:
        try:
            if self._fd == _CLOSED:
                raise SessionClosedError(
                    "this session was closed in this process: open it again to use its pool"
                ) from None
            if isinstance(error, OSError) and error.errno == errno.EDEADLK:
                _poll_lock(self._fd, fcntl.LOCK_EX, _MUTEX)
                return
            raise error
        except (
            BaseException
        ):  # a signal handler may have raised after the lock was taken: hand back all of it
            if self._fd is not None and self._fd != _CLOSED:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _MUTEX)
            self._thread.release()
            raise

    def _reset_after_fork(self) -> None:
        self._thread = threading.RLock()
        self.depth = 0


_LOCKS: weakref.WeakSet[Lock] = weakref.WeakSet()


class Session:
    """This process's hold on one session. ``memory`` is the shared bytes, zero when ``created``."""

    def __init__(
        self, session_id: str, fd: int, memory: memoryview, created: bool, layout: dict[str, Any]
    ):
        self.session_id = session_id
        self.layout = layout
        self.created = created
        self.memory = memory
        self.lock = Lock(fd)
        self._fd = fd
        self._references = [
            None
        ]  # as many as there are users; a list, because its methods cannot be interrupted

    @property
    def is_open(self) -> bool:
        """Whether this process has not left it."""
        return self._fd != _CLOSED

    def retain(self) -> bool:
        """Take one more reference; returns whether the session is still open."""
        self._references.append(None)
        self.created = False
        return self.is_open

    def release(self, wait: bool = True) -> None:
        """Drop one reference; without any, the session is left.

        ``wait=False`` is for finalizers: the garbage collector may run them inside a change of
        another session's pool, where waiting could block two processes for ever. What cannot be
        done at once is then done with the next session that is opened or released, or at exit.
        """
        self._references.pop()
        if not self._references and _REGISTRY.acquire(wait):
            try:
                with _registry():
                    _leave_unused(wait)
            finally:
                _REGISTRY.release()

    def unused(self) -> bool:
        """Whether all references were dropped."""
        return not self._references

    def leave(self, wait: bool = True) -> None:
        """Stop using the session, and remove it if no other process does. Views of the memory stay
        readable.

        A thread in the middle of a change finishes it first. ``wait=False``: does nothing if
        anybody is in the middle of one. A signal handler may interrupt this and call it again.
        """
        thread_lock = self.lock._thread
        taken = (
            thread_lock.acquire(timeout=_PATIENCE_SECONDS)
            if wait
            else thread_lock.acquire(blocking=False)
        )
        if not taken and not wait:
            return
        try:
            if not self.is_open:
                return
            if wait:
                _wait_lock(self._fd, fcntl.LOCK_EX, _MUTEX)
            elif not _try_lock(self._fd, fcntl.LOCK_EX, _MUTEX):
                return
            if _try_lock(self._fd, fcntl.LOCK_EX, _PRESENCE):
                _unlink_if_same(self.session_id, self._fd)
            if _SESSIONS.get(self.session_id) is self:
                del _SESSIONS[self.session_id]
            fd, self._fd, self.lock._fd = self._fd, _CLOSED, _CLOSED
            os.close(fd)
        finally:
            if taken:
                thread_lock.release()

    def rejoin_after_fork(self) -> None:
        """Take this process's own share of the presence byte."""
        _wait_lock(self._fd, fcntl.LOCK_SH, _PRESENCE)


_REGISTRY = threading.RLock()
_SESSIONS: dict[str, Session] = {}


def new_session_id() -> str:
    """A name that no other session has."""
    return uuid.uuid4().hex[:16]


def open_session(session_id: str, nbytes: int, layout: dict[str, Any]) -> Session:
    """Open the session, or create it with ``nbytes`` zero bytes.

    Raises:
        ValueError: the session id cannot be a name.
        SessionMismatchError: the session is alive with another layout, capacity or version.
        MemoryError: the machine has not that much shared memory left.
    """
    if not isinstance(session_id, str) or not _SESSION_ID.fullmatch(session_id):
        raise ValueError(
            f"session_id={session_id!r} cannot name a session: use 1 to 100 letters, digits, '.', "
            "'_' or '-', "
            "beginning with a letter or digit"
        )
    with _registry():
        session = _SESSIONS.get(session_id)
        if session is not None and session.retain():
            try:
                _check_layout(session_id, session.layout, layout)
            except SessionMismatchError:
                session.release()
                raise
        else:
            session = _open(session_id, nbytes, layout)
        _leave_unused(wait=False)
        _prepare_exit()
        return session


def _open(session_id: str, nbytes: int, layout: dict[str, Any]) -> Session:
    path = _path(session_id)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        alone = False
        try:
            _wait_lock(fd, fcntl.LOCK_EX, _MUTEX)
            if not _is_at(path, fd):  # removed by its last user between open and lock
                os.close(fd)
                continue
            alone = _try_lock(fd, fcntl.LOCK_EX, _PRESENCE)
            if alone:
                memory = _create_memory(session_id, nbytes)
                _write_layout(fd, layout)
            else:
                _check_layout(session_id, _read_layout(session_id, fd), layout)
                memory = _map(os.open(_memory_path(session_id), os.O_RDWR | os.O_CLOEXEC), nbytes)
            _wait_lock(fd, fcntl.LOCK_SH, _PRESENCE)
            session = Session(session_id, fd, memory, alone, layout)
            _SESSIONS[session_id] = session
            fcntl.lockf(fd, fcntl.LOCK_UN, 1, _MUTEX)
            return session
        except BaseException:
            _SESSIONS.pop(session_id, None)
            if alone:
                _unlink_if_same(session_id, fd)
            os.close(fd)
            raise


def _create_memory(session_id: str, nbytes: int) -> memoryview:
    path = _memory_path(session_id)
    path.unlink(
        missing_ok=True
    )  # a leftover; not to be written to, because somebody may still have it mapped
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _allocate(fd, nbytes)
    except (OSError, OverflowError) as error:
        os.close(fd)
        if isinstance(error, OSError) and error.errno not in (
            errno.ENOSPC,
            errno.EFBIG,
            errno.ENOMEM,
            errno.EINVAL,
        ):
            raise
        raise MemoryError(
            f"no shared memory for session {session_id!r}: asked for {nbytes:,} bytes in "
            f"{path.parent} ({error}). "
            "Use fewer tasks (num_active_tasks), enlarge the file system, remove leftovers with "
            "`tools/run.py sessions.clean`, or use_shared_memory=False in a single process"
        ) from error
    return _map(fd, nbytes)


def _allocate(fd: int, nbytes: int) -> None:
    # posix_fallocate reports a full file system here and now; a hole in the file would kill the
    # process at first touch.
    if sys.platform == "linux":
        os.posix_fallocate(fd, 0, nbytes)
    else:
        os.ftruncate(fd, nbytes)


def _map(fd: int, nbytes: int) -> memoryview:
    try:
        return memoryview(mmap.mmap(fd, nbytes))
    finally:
        os.close(fd)


def _write_layout(fd: int, layout: dict[str, Any]) -> None:
    text = json.dumps({"version": VERSION, **layout}).encode()
    os.ftruncate(fd, 0)
    os.pwrite(fd, _MAGIC + struct.pack("<Q", len(text)) + text, 0)


def _read_layout(session_id: str, fd: int) -> dict[str, Any]:
    header = os.pread(fd, os.fstat(fd).st_size, 0)
    if header[:8] != _MAGIC:
        raise SessionMismatchError(
            f"session {session_id!r} is held by something that is not a curriculum: choose another "
            "session_id"
        )
    (length,) = struct.unpack("<Q", header[8:16])
    return json.loads(header[16 : 16 + length])


def _check_layout(session_id: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    ours = {"version": VERSION, **ours}
    theirs = {"version": VERSION, **theirs}
    differences = [
        f"{key}: the session has {theirs.get(key)!r}, this process wants {ours.get(key)!r}"
        for key in sorted(set(ours) | set(theirs))
        if ours.get(key) != theirs.get(key)
    ]
    if differences:
        raise SessionMismatchError(
            f"session {session_id!r} is in use with another layout ({'; '.join(differences)}). "
            "Give every process the same "
            "configuration, or this one another session_id"
        )


# --------------------------------------------------------------------------------------------------
# Exit


class _Pending:
    """What the main thread is in the middle of: a SIGTERM is answered when it is done, so that no
    file is left half made."""

    depth = 0
    sigterm = False


@contextmanager
def _registry() -> Iterator[None]:
    """Exclusive use of :data:`_SESSIONS` and of the files."""
    main = threading.current_thread() is threading.main_thread()
    with _REGISTRY:
        _Pending.depth += main
        try:
            yield
        finally:
            _Pending.depth -= main
    if main and _Pending.sigterm and not _Pending.depth:
        _terminate()


def _leave_unused(wait: bool) -> None:
    for session in list(_SESSIONS.values()):
        if session.unused():
            session.leave(wait)


def _leave_all() -> None:
    for session in list(_SESSIONS.values()):
        session.leave()


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    if _Pending.depth:
        _Pending.sigterm = True
    else:
        _terminate()


def _terminate() -> None:
    _leave_all()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _prepare_exit() -> None:
    """Leave all sessions however this process ends, as far as a process can know of its end."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _on_sigterm)


def _register_finalizer(_: object = None) -> None:
    # Children of multiprocessing end with os._exit, after their finalizers and without atexit.
    multiprocessing.util.Finalize(None, _leave_all, exitpriority=-100)


# --------------------------------------------------------------------------------------------------
# Fork


# A parent that left between its child's birth and the child's rejoining would remove the session
# under it, so it waits.
class _Fork(threading.local):
    joined: tuple[int, int] | None = None  # pipe by which the child says that it has


_fork = _Fork()


def _before_fork() -> None:
    if _SESSIONS:
        _fork.joined = os.pipe()


def _after_fork_in_parent() -> None:
    joined, _fork.joined = _fork.joined, None
    if joined is not None:
        read, write = joined
        os.close(write)  # so that a child that dies, or was never born, ends the wait
        try:
            poll = select.poll()
            poll.register(read, select.POLLIN)
            poll.poll(1000.0 * _PATIENCE_SECONDS)
        finally:
            os.close(read)


def _after_fork_in_child() -> None:
    global _REGISTRY
    joined, _fork.joined = _fork.joined, None
    _REGISTRY = threading.RLock()
    _Pending.depth, _Pending.sigterm = 0, False
    for lock in list(_LOCKS):
        lock._reset_after_fork()
    try:
        for session in list(_SESSIONS.values()):
            session.rejoin_after_fork()
    finally:
        if joined is not None:
            read, write = joined
            os.write(write, b"1")
            os.close(write)
            os.close(read)


atexit.register(_leave_all)
_register_finalizer()
multiprocessing.util.register_after_fork(Lock, _register_finalizer)
os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)

# --------------------------------------------------------------------------------------------------
# Listing and cleaning


@dataclass(frozen=True)
class SessionInfo:
    """A session on this machine: its name, bytes, time since it was made, and whether any process
    has it open."""

    session_id: str
    nbytes: int
    age_seconds: float
    alive: bool


def list_sessions() -> list[SessionInfo]:
    """The sessions of this user on this machine, by name."""
    found = []
    with _registry():
        for path in sorted(_directory().glob(_prefix() + "*")):
            session_id = path.name.removeprefix(_prefix())
            try:
                made = path.stat().st_mtime
                alive = session_id in _SESSIONS or not _if_dead(path, lambda fd: True)
            except FileNotFoundError:  # its last user left in between
                continue
            try:
                nbytes = _memory_path(session_id).stat().st_size
            except FileNotFoundError:  # whoever was making or removing it died
                nbytes = 0
            found.append(SessionInfo(session_id, nbytes, time.time() - made, alive))
    return found


def clean_sessions() -> list[SessionInfo]:
    """Remove the sessions that no process has open, and return them. Live sessions are not
    touched."""
    removed = []
    with _registry():
        for info in list_sessions():
            if info.alive:
                continue
            name = info.session_id
            try:
                if _if_dead(_path(name), lambda fd, name=name: _unlink_if_same(name, fd)):
                    removed.append(info)
            except FileNotFoundError:  # somebody else cleaned it
                continue
    return removed


def _if_dead(path: Path, action: Callable[[int], object]) -> bool:
    """Run ``action(fd)`` if no process has the session open; returns whether it ran.

    Must not be called for a session of this process: closing the descriptor would drop its locks.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        # The mutex first, as whoever opens the session: a session must not look alive because it is
        # being looked at.
        if not (_try_lock(fd, fcntl.LOCK_EX, _MUTEX) and _try_lock(fd, fcntl.LOCK_EX, _PRESENCE)):
            return False
        action(fd)
        return True
    finally:
        os.close(fd)


def _directory() -> Path:
    shm = Path("/dev/shm")  # Linux; memory-backed
    return shm if os.access(shm, os.W_OK) else Path(tempfile.gettempdir())


def _prefix() -> str:
    return f"metta-curriculum-{os.getuid()}-"


def _path(session_id: str) -> Path:
    return _directory() / (_prefix() + session_id)


def _memory_path(session_id: str) -> Path:
    return _directory() / f"metta-curriculum-memory-{os.getuid()}-{session_id}"


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _unlink_if_same(session_id: str, fd: int) -> None:
    path = _path(session_id)
    if _is_at(path, fd):
        # The memory first: if this process dies in between, what is left is found by its other
        # file.
        _memory_path(session_id).unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _try_lock(fd: int, kind: int, byte: int) -> bool:
    try:
        fcntl.lockf(fd, kind | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        return False
    return True


def _wait_lock(fd: int, kind: int, byte: int) -> None:
    try:
        fcntl.lockf(fd, kind, 1, byte)
    except OSError as error:
        if error.errno != errno.EDEADLK:
            raise
        _poll_lock(fd, kind, byte)


def _poll_lock(fd: int | None, kind: int, byte: int) -> None:
    # The kernel looks for cycles between processes, not threads: two threads of two processes that
    # use two sessions can look like one. Nobody waits while holding two of our locks, so waiting
    # without sleeping in the kernel always ends.
    while fd is not None and not _try_lock(fd, kind, byte):
        time.sleep(0.0002)
