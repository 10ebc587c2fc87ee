"""POSIX record locks, and the mutex made of one.

A record lock belongs to a process, on bytes of a file. The kernel drops it when its holder dies,
however it dies, and when the holder closes *any* descriptor of the file. It does not exclude the
threads of a process, which a thread lock does, and a forked child does not inherit it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import lockf
from threading import get_ident
from typing import TypeVar

from metta.cogworks.curriculum.sessions.errors import SessionClosedError
from metta.cogworks.curriculum.sessions.waiting import LOCK_TIMEOUT_SECONDS, Blocker, Wait

MUTEX, PRESENCE = 0, 1  # bytes of the locked file
CLOSED = -1  # in place of the file descriptor of a lock that is closed, or has none
# how long leaving waits for another process's change, which takes microseconds
LEAVE_SECONDS = 0.25
# how long leaving waits for a change of another thread of this process
THREAD_SECONDS = 5.0
_LOOK_SECONDS = 0.25  # between two looks of a thread that waits for another one
_EXCLUSIVE_NOW = fcntl.LOCK_EX | fcntl.LOCK_NB
_UNLOCK = fcntl.LOCK_UN

# struct flock of fcntl(2): the names of its fields, in the order of the system
_FLOCK_FIELDS = ("type", "whence", "start", "length", "pid")
_FLOCK = struct.Struct("hhqqi4x")
if sys.platform == "darwin":
    _FLOCK_FIELDS = ("start", "length", "pid", "type", "whence")
    _FLOCK = struct.Struct("qqihh")

Result = TypeVar("Result")


def try_lock(fd: int, kind: int, byte: int) -> bool:
    """Take a record lock of ``kind`` (``fcntl.LOCK_EX`` or ``LOCK_SH``), or leave it at once.
    Returns whether it was taken."""
    try:
        lockf(fd, kind | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        if not _is_taken(error):
            raise
        return False
    return True


def poll_lock(fd: int, kind: int, byte: int, seconds: float) -> bool:
    """Take a record lock within ``seconds``. Returns whether it was taken."""
    wait = Wait("", seconds)
    while not try_lock(fd, kind, byte):
        if wait.is_over:
            return False
        wait.pause()
    return True


def holder(fd: int, byte: int) -> int | None:
    """The process that has a record lock on ``byte``, None if no *other* one has. Where the kernel
    cannot say which, as across containers, 0 or -1."""
    values = {"type": fcntl.F_WRLCK, "whence": os.SEEK_SET, "start": byte, "length": 1, "pid": 0}
    question = _FLOCK.pack(*(values[name] for name in _FLOCK_FIELDS))
    answer = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, question))
    found = dict(zip(_FLOCK_FIELDS, answer, strict=True))
    return None if found["type"] == fcntl.F_UNLCK else found["pid"]


def _is_taken(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EAGAIN)


def _never() -> bool:
    return False


class Lock:
    """Mutex between the threads of this process and, given a file descriptor, between processes.
    Re-entrant.

    A signal handler may raise wherever Python runs one: at the entry of a function, after a call of
    C, at a jump backwards. So whoever takes the lock gives it back twice, in two nested
    ``finally``; :meth:`run` does that. One exception can hit only one of them.

    State, in the order in which it is taken: the thread lock, ``_owner``, the record lock,
    ``depth``; it is given back in the opposite one. Between a store and the call of C after it no
    handler runs.

    ``depth`` is how often the current holder has taken it; only the holder may read it.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_closing",
        "_ending",
        "_fd",
        "_interrupted",
        "_limit",
        "_name",
        "_owner",
        "_thread",
        "depth",
    )

    def __init__(
        self,
        fd: int | None = None,
        name: str = "a pool of this process",
        timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
        ending: Callable[[], bool] = _never,
    ):
        """``name`` stands in messages. ``ending``: asked while waiting for another process; when it
        says True, the wait ends with SessionClosedError."""
        self._fd = fd
        self._name = name
        self._limit = timeout_seconds
        self._ending = ending
        self._closing = self._closed = False
        self.reset_after_fork()
        _LOCKS.add(self)

    def reset_after_fork(self) -> None:
        """In a forked child: free, whatever the parent's threads were doing."""
        self._thread = threading.RLock()
        self._owner: int | None = None
        self._interrupted = False  # an exception may have left the thread lock without an owner
        self.depth = 0

    @property
    def fd(self) -> int:
        """Descriptor of the locked file; -1 if there is none, or no longer."""
        return CLOSED if self._fd is None else self._fd

    @property
    def owned(self) -> bool:
        """Whether this thread has the lock."""
        return self.depth > 0 and self._owner == get_ident()

    @property
    def level(self) -> int:
        """How often this thread has taken it; unlike ``depth``, any thread may ask."""
        return self.depth if self.owned else 0

    def holder(self) -> int | None:
        """The other process that has the lock, None if none has."""
        return holder(self._fd, MUTEX) if self._fd is not None else None

    def acquire(self) -> None:
        """Wait for the lock. A holder that was killed has already lost it.

        Raises:
            LockTimeoutError: somebody kept it for ``timeout_seconds``.
            SessionClosedError: the lock was closed.
        """
        if self.depth and self._owner == get_ident():
            self.depth += 1
            return
        try:
            if not self._thread.acquire(False):
                self._wait_for_thread()
            self._owner = me = get_ident()
            if self._fd is not None:
                try:
                    lockf(self._fd, _EXCLUSIVE_NOW, 1, MUTEX)
                except (OSError, ValueError) as error:
                    self._wait_for_process(error)
                while self._owner is not me:  # a handler took it, and gave it back, after that call
                    self._owner = me
                    self._wait_for_process(BlockingIOError(errno.EAGAIN, "looked at again"))
            elif self._closed:
                raise self._closed_error()
            self.depth = 1
        except BaseException:
            self._give_up()
            raise

    def try_acquire(self) -> bool:
        """As :meth:`acquire`, but returns False at once if anybody else has it."""
        if self._owner == get_ident():
            self.depth += 1 if self.depth else 0
            return self.depth > 0  # not in the middle of taking or giving it back
        try:
            if not self._thread.acquire(False):
                return False
            self._owner = get_ident()
            if self._closed:
                raise self._closed_error()
            if self._fd is not None and not try_lock(self._fd, fcntl.LOCK_EX, MUTEX):
                self.release_all()
                return False
            self.depth = 1
            return True
        except BaseException:
            self._give_up()
            raise

    def release(self) -> None:
        """Give one level back."""
        if self._owner != get_ident():
            raise RuntimeError(f"{self._name}: this thread gives back a lock that it does not have")
        if self.depth > 1:
            self.depth -= 1
            return
        self.depth = 0
        try:  # as release_all: a call costs as much as a tenth of taking and giving back the lock
            if self._fd is not None:
                lockf(self._fd, _UNLOCK, 1, MUTEX)
        finally:
            self._owner = None
            self._thread.release()

    def release_all(self) -> None:
        """Give back all that this thread has of the lock; nothing if it has nothing. May be called
        again after an interrupt."""
        if self._owner == get_ident():
            self.depth = 0
            try:
                if self._fd is not None:
                    lockf(self._fd, _UNLOCK, 1, MUTEX)
            finally:
                self._owner = None
                self._thread.release()
        elif self._interrupted:
            try:
                self._thread.release()
            except RuntimeError:  # this thread does not have it
                self._interrupted = False

    def release_to(self, level: int) -> None:
        """As :meth:`release_all`, but keep what this thread had when it had taken the lock
        ``level`` times."""
        if level == 0:
            self.release_all()
        elif self._owner == get_ident():
            self.depth = min(self.depth, level)

    def run(self, function: Callable[[], Result]) -> Result:
        """Call ``function`` with the lock held. Whatever is raised, wherever: this thread has it
        afterwards as often as before."""
        level = self.level
        try:
            try:
                self.acquire()
                return function()
            finally:
                self.release_to(level)
        finally:
            self.release_to(level)

    @contextmanager
    def held(self) -> Iterator[Lock]:
        """The lock is held for a ``with`` block, and given back whatever is raised, wherever: where
        an exception keeps ``__exit__`` from its work, the end of the generator does it."""
        level = self.level
        try:
            try:
                self.acquire()
                yield self
            finally:
                self.release_to(level)
        finally:
            self.release_to(level)

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def close(self, last: Callable[[], object] | None = None, wait: bool = True) -> bool:
        """Close the descriptor, after ``last()``, if given, with the lock held. Returns whether it
        is closed.

        A thread of this process that has the lock ends its change first; one that waits for it gets
        SessionClosedError. Another process is waited for, for :data:`LEAVE_SECONDS`; if it keeps
        the lock longer, ``last`` is not called. ``wait=False``: closes only if nobody has the lock.
        After an interrupt it may be called again.
        """
        mine = self._owner == get_ident()
        if mine and not wait:
            return False
        try:
            try:
                self._closing = wait
                return self._close(last, wait, mine)
            finally:
                self._closing = False
                if not mine:
                    self._give_up()
        finally:
            if not mine:
                self._give_up()

    def _close(self, last: Callable[[], object] | None, wait: bool, mine: bool) -> bool:
        if not mine:
            taken = self._thread.acquire(timeout=THREAD_SECONDS if wait else 0.0)
            if taken:
                self._owner = get_ident()
            elif not wait:
                return False
        fd = self._fd
        if fd is None:
            return True
        if last is not None:
            if poll_lock(fd, fcntl.LOCK_EX, MUTEX, LEAVE_SECONDS if wait else 0.0):
                last()
            elif not wait:
                return False
        self._closed = True
        self._fd = None
        os.close(fd)
        return True

    def _give_up(self) -> None:
        self._interrupted = True
        self.release_all()
        self._interrupted = False

    def _wait_for_thread(self) -> None:
        wait = Wait(self._name, self._limit)
        while not self._thread.acquire(timeout=min(_LOOK_SECONDS, self._limit)):
            wait.look()
            if wait.is_due:
                wait.report(self._blocker())

    def _wait_for_process(self, error: Exception) -> None:
        wait = Wait(self._name, self._limit)
        while True:
            if self._closed or self._closing:
                raise self._closed_error() from None
            if self._ending():
                raise SessionClosedError(f"{self._name}: this process is ending") from None
            if not _is_taken(error):
                raise error
            if wait.is_due:
                wait.report(self._blocker())
            wait.pause()
            try:
                lockf(self.fd, _EXCLUSIVE_NOW, 1, MUTEX)
                return
            except (OSError, ValueError) as again:
                error = again

    def _closed_error(self) -> SessionClosedError:
        return SessionClosedError(
            f"{self._name} was closed in this process: open it again to use its pool"
        )

    def _blocker(self) -> Blocker:
        owner = self._owner
        if self.depth and owner is not None and owner != get_ident():
            names = [thread.name for thread in threading.enumerate() if thread.ident == owner]
            return Blocker(thread=names[0] if names else str(owner))
        return Blocker(process_id=self.holder())


_LOCKS: weakref.WeakSet[Lock] = weakref.WeakSet()


def reset_locks_after_fork() -> None:
    """In a forked child: all locks are free."""
    for lock in list(_LOCKS):
        lock.reset_after_fork()
