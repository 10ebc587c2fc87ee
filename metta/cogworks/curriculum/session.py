"""Sessions: named shared memory that several processes open, and that nobody has to remember to remove.

A session is one file in the system's shared-memory directory, mapped by every process that opens it. Two bytes of that file
are locked with POSIX record locks, which the kernel drops the moment their holder dies, however it dies:

* byte 0, exclusive, is the mutex of the pool (:class:`Lock`);
* byte 1, shared, is held by every process that has the session open. Whoever can take it exclusively is alone: when leaving,
  it removes the file; when opening, the contents are the leftover of a crash and are started anew.

Record locks belong to a process and vanish when it closes *any* descriptor of the file, so a process opens each session once
(:data:`_SESSIONS`) and excludes its own threads with a thread lock. They are not inherited by a forked child, which takes its
own share of byte 1 at once.

Removal: by ``release``, at normal exit, after an exception, and on SIGTERM where the program has no handler of its own.
SIGKILL leaves removal to the processes that remain, and the end of all of them at once to the next user of the name or to
:func:`clean_sessions`.
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
import signal
import struct
import tempfile
import threading
import time
import uuid
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

VERSION = 1
_MAGIC = b"mettacur"
_PREFIX = "metta-curriculum-"
_HEADER = 4096  # magic, version and the layout, as JSON; the rest of the page is empty
_MUTEX, _PRESENCE = 0, 1
_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class SessionMismatchError(ValueError):
    """The session exists with another layout, capacity or version."""


class Lock:
    """Mutex between the threads of this process and, given a file descriptor, between processes. Re-entrant.

    ``depth`` is how often the current holder has taken it; only the holder may read it.
    """

    __slots__ = ("__weakref__", "_fd", "_thread", "depth")

    def __init__(self, fd: int | None = None):
        self._fd = fd
        self._thread = threading.RLock()
        self.depth = 0
        _LOCKS.add(self)

    def acquire(self) -> None:
        """Wait for the lock. A holder that was killed has already lost it."""
        self._thread.acquire()
        if self.depth == 0 and self._fd is not None:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, _MUTEX)
            except OSError as error:
                if error.errno != errno.EDEADLK:
                    self._thread.release()
                    raise
                self._wait_out_false_deadlock()
            except BaseException:  # a signal handler raised while waiting: hand the thread lock back
                self._thread.release()
                raise
        self.depth += 1

    def release(self) -> None:
        """Give the lock back."""
        self.depth -= 1
        if self.depth == 0 and self._fd is not None:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _MUTEX)
        self._thread.release()

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def _wait_out_false_deadlock(self) -> None:
        # The kernel looks for cycles between processes, not threads: two threads of two processes that use two sessions can
        # look like one. Nobody waits while holding two of our locks, so waiting without sleeping in the kernel always ends.
        while not _try_lock(self._fd, fcntl.LOCK_EX, _MUTEX):
            time.sleep(0.0002)

    def _reset_after_fork(self) -> None:
        self._thread = threading.RLock()
        self.depth = 0


_LOCKS: weakref.WeakSet[Lock] = weakref.WeakSet()


class Session:
    """This process's hold on one session. ``memory`` is the shared bytes after the header, zero when ``created``."""

    def __init__(self, session_id: str, fd: int, mapping: mmap.mmap, created: bool, layout: dict[str, Any]):
        self.session_id = session_id
        self.layout = layout
        self.created = created
        self.memory = memoryview(mapping)[_HEADER:]
        self.lock = Lock(fd)
        self._fd = fd
        self._references = 1
        self._open = True

    def retain(self) -> Session:
        self._references += 1
        self.created = False
        return self

    def release(self) -> None:
        """Drop one reference; the last one leaves the session."""
        with _REGISTRY:
            self._references -= 1
            if self._references <= 0:
                self.leave()

    def leave(self) -> None:
        """Stop using the session, and remove it if no other process does. Views of the memory stay readable."""
        if not self._open:
            return
        self._open = False
        _SESSIONS.pop(self.session_id, None)
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, _MUTEX)
        if _try_lock(self._fd, fcntl.LOCK_EX, _PRESENCE):
            _unlink_if_same(_path(self.session_id), self._fd)
        os.close(self._fd)

    def rejoin_after_fork(self) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_SH, 1, _PRESENCE)


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
            f"session_id={session_id!r} cannot name a session: use 1 to 100 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    with _REGISTRY:
        if session_id in _SESSIONS:
            session = _SESSIONS[session_id]
            _check_layout(session_id, session.layout, layout)
            return session.retain()
        session = _open(session_id, nbytes, layout)
        _SESSIONS[session_id] = session
        _prepare_exit()
        return session


def _open(session_id: str, nbytes: int, layout: dict[str, Any]) -> Session:
    path = _path(session_id)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX, 1, _MUTEX)
            if not _is_at(path, fd):  # removed by its last user between open and lock
                os.close(fd)
                continue
            alone = _try_lock(fd, fcntl.LOCK_EX, _PRESENCE)
            if alone:
                _initialise(path, fd, nbytes, layout)
            else:
                _check_layout(session_id, _read_layout(session_id, fd), layout)
            mapping = mmap.mmap(fd, _HEADER + nbytes)
            fcntl.lockf(fd, fcntl.LOCK_SH, 1, _PRESENCE)
            fcntl.lockf(fd, fcntl.LOCK_UN, 1, _MUTEX)
        except BaseException:
            os.close(fd)
            raise
        return Session(session_id, fd, mapping, alone, layout)


def _initialise(path: Path, fd: int, nbytes: int, layout: dict[str, Any]) -> None:
    os.ftruncate(fd, 0)
    try:
        _allocate(fd, _HEADER + nbytes)
    except OSError as error:
        _unlink_if_same(path, fd)
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.ENOMEM, errno.EINVAL):
            raise
        raise MemoryError(
            f"no shared memory for session {path.name.removeprefix(_prefix())!r}: asked for {nbytes:,} bytes in {path.parent} "
            f"({os.strerror(error.errno)}). Use fewer tasks (num_active_tasks), enlarge the file system, remove leftovers "
            "with `tools/run.py sessions.clean`, or use_shared_memory=False in a single process"
        ) from error
    text = json.dumps({"version": VERSION, **layout}).encode()
    if len(text) > _HEADER - 16:
        raise ValueError(f"the layout takes {len(text)} bytes, at most {_HEADER - 16} fit: declare fewer columns")
    os.pwrite(fd, _MAGIC + struct.pack("<Q", len(text)) + text, 0)


def _allocate(fd: int, nbytes: int) -> None:
    # posix_fallocate reports a full file system here and now; a hole in the file would kill the process at first touch.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, nbytes)
    else:  # macOS
        os.ftruncate(fd, nbytes)


def _read_layout(session_id: str, fd: int) -> dict[str, Any]:
    header = os.pread(fd, _HEADER, 0)
    if header[:8] != _MAGIC:
        raise SessionMismatchError(
            f"session {session_id!r} is held by something that is not a curriculum: choose another session_id"
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
            f"session {session_id!r} is in use with another layout ({'; '.join(differences)}). Give every process the same "
            "configuration, or this one another session_id"
        )


# ---------------------------------------------------------------------------------------------------------------------------
# Exit


def _leave_all() -> None:
    for session in list(_SESSIONS.values()):
        session.leave()


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    _leave_all()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def _prepare_exit() -> None:
    """Leave all sessions however this process ends, as far as a process can know of its end."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _register_finalizer(_: object = None) -> None:
    # Children of multiprocessing end with os._exit, after their finalizers and without atexit.
    multiprocessing.util.Finalize(None, _leave_all, exitpriority=-100)


def _after_fork_in_child() -> None:
    global _REGISTRY
    _REGISTRY = threading.RLock()
    for lock in list(_LOCKS):
        lock._reset_after_fork()
    for session in list(_SESSIONS.values()):
        session.rejoin_after_fork()


atexit.register(_leave_all)
_register_finalizer()
multiprocessing.util.register_after_fork(Lock, _register_finalizer)
os.register_at_fork(after_in_child=_after_fork_in_child)

# ---------------------------------------------------------------------------------------------------------------------------
# Listing and cleaning


@dataclass(frozen=True)
class SessionInfo:
    """A session on this machine: its name, bytes, age of its last change, and whether any process has it open."""

    session_id: str
    nbytes: int
    age_seconds: float
    alive: bool


def list_sessions() -> list[SessionInfo]:
    """The sessions of this user on this machine, by name."""
    found = []
    for path in sorted(_directory().glob(_prefix() + "*")):
        session_id = path.name.removeprefix(_prefix())
        try:
            stat = path.stat()
            alive = session_id in _SESSIONS or not _with_file(path, lambda fd: True)
        except FileNotFoundError:  # its last user left in between
            continue
        found.append(SessionInfo(session_id, stat.st_size, time.time() - stat.st_mtime, alive))
    return found


def clean_sessions() -> list[SessionInfo]:
    """Remove the sessions that no process has open, and return them. Live sessions are not touched."""
    removed = []
    for info in list_sessions():
        path = _path(info.session_id)
        if not info.alive and _with_file(path, lambda fd, path=path: _unlink_if_same(path, fd)):
            removed.append(info)
    return removed


def _with_file(path: Path, action: Any) -> bool:
    """Run ``action(fd)`` if no process has the session open; returns whether it ran.

    Must not be called for a session of this process: closing the descriptor would drop its locks.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # The mutex first, as whoever opens the session: a session must not look alive because it is being looked at.
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
    return f"{_PREFIX}{os.getuid()}-"


def _path(session_id: str) -> Path:
    return _directory() / (_prefix() + session_id)


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _unlink_if_same(path: Path, fd: int) -> None:
    if _is_at(path, fd):
        path.unlink()


def _try_lock(fd: int | None, kind: int, byte: int) -> bool:
    try:
        fcntl.lockf(fd, kind | fcntl.LOCK_NB, 1, byte)  # type: ignore[arg-type]
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        return False
    return True
