"""This process's presence in one session, and how it comes about.

Two bytes of the session's locked file count:

* byte 0, exclusive, is the mutex of the pool (:class:`~.record_lock.Lock`);
* byte 1, shared, is held by every process that has the session open. Whoever can take it
  exclusively is alone: when leaving, it removes the files; when opening, they are the leftover of a
  crash and the memory is made anew.

Closing any descriptor of a file drops the process's record locks on it. So a process opens the
locked file of a session once, and the mapping, which keeps a descriptor for as long as anybody has
a view of it, is of the other file.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from typing import Any

from metta.cogworks.curriculum.sessions import files, layout
from metta.cogworks.curriculum.sessions.errors import LockTimeoutError
from metta.cogworks.curriculum.sessions.record_lock import (
    CLOSED,
    PRESENCE,
    THREAD_SECONDS,
    Lock,
    holder,
    poll_lock,
    try_lock,
)


class Presence:
    """What all users of a session in this process share. ``users`` holds one token of each."""

    def __init__(
        self,
        session_id: str,
        lock: Lock,
        memory: memoryview,
        created: bool,
        fields: dict[str, Any],
    ):
        self.session_id = session_id
        self.lock = lock
        self.memory = memory
        self.created = created
        self.fields = fields
        self.users: set[int] = set()

    @property
    def is_open(self) -> bool:
        """Whether this process has not left the session."""
        return self.lock.fd != CLOSED

    def leave(self, wait: bool = True) -> bool:
        """Leave the session, and remove it if no other process has it open. Returns whether it was
        left.

        Another process that keeps the mutex is not waited for: it lives, so this one is not the
        last. ``wait=False``: does nothing if anybody has the mutex. After an interrupt it may be
        called again.
        """
        return self.lock.close(lambda: remove_if_alone(self.session_id, self.lock.fd), wait)

    def rejoin_after_fork(self) -> None:
        """Take this process's own share of the presence byte, or leave if it is not to be had."""
        if self.is_open and not poll_lock(self.lock.fd, fcntl.LOCK_SH, PRESENCE, THREAD_SECONDS):
            self.lock.close()


def attach(
    session_id: str,
    nbytes: int,
    fields: dict[str, Any],
    lock_timeout_seconds: float,
    register: Callable[[Presence], None],
    ending: Callable[[], bool],
) -> None:
    """Open a session that this process has not open, or make it, and ``register`` the presence.

    ``ending``: whether to stop waiting for its mutex.
    """
    files.make_folder()
    registered = False

    def enter(lock: Lock) -> bool:
        if not files.is_at(files.lock_path(session_id), lock.fd):
            return False  # removed by its last user between open and lock
        register(_enter(session_id, nbytes, fields, lock))
        return True

    while not registered:
        fd = files.open_lock_file(session_id)
        lock = Lock(fd, f"session {session_id!r}", lock_timeout_seconds, ending)
        try:
            try:
                registered = lock.run(lambda lock=lock: enter(lock))
            finally:
                if not registered:
                    lock.close()
        finally:
            if not registered:
                lock.close()


def remove_if_alone(session_id: str, fd: int) -> bool:
    """Remove the files if no process but this one has the session open; returns whether it did.
    Mutex held."""
    try:
        alone = try_lock(fd, fcntl.LOCK_EX, PRESENCE)
        if alone:
            files.remove_files(session_id, fd)
        return alone
    except BaseException:  # an interrupt: others must not take this process for one that removes it
        try_lock(fd, fcntl.LOCK_SH, PRESENCE)
        raise


def _enter(session_id: str, nbytes: int, fields: dict[str, Any], lock: Lock) -> Presence:
    """Make the session or check it. Mutex held, so that nobody sees it half made."""
    try:
        alone = try_lock(lock.fd, fcntl.LOCK_EX, PRESENCE)
        if alone:
            memory = files.create_memory(session_id, nbytes)
            layout.write_layout(lock.fd, nbytes, fields)
        else:
            memory = _check(session_id, nbytes, fields, lock)
        if not poll_lock(lock.fd, fcntl.LOCK_SH, PRESENCE, THREAD_SECONDS):
            raise LockTimeoutError(
                f"session {session_id!r}: process {holder(lock.fd, PRESENCE)} has had it for "
                f"itself for {THREAD_SECONDS:g} seconds: end that process",
                holder(lock.fd, PRESENCE),
            )
        return Presence(session_id, lock, memory, alone, fields)
    except BaseException:
        remove_if_alone(session_id, lock.fd)
        raise


def _check(session_id: str, nbytes: int, fields: dict[str, Any], lock: Lock) -> memoryview:
    """The memory of a session that others have open."""
    user = holder(lock.fd, PRESENCE)
    way_out = (
        f"End the processes that have it open ({f'one is {user}' if user else 'see `ps`'}), or "
        "use another session_id"
    )
    their_bytes, theirs = layout.read_layout(session_id, lock.fd, way_out)
    layout.check_layout(session_id, theirs, fields)
    layout.check_layout(session_id, {"nbytes": their_bytes}, {"nbytes": nbytes})
    return files.open_memory(session_id, nbytes, way_out)
