"""What can be wrong with a session: each error names the session, what was found and the way
out."""

from __future__ import annotations


class SessionMismatchError(ValueError):
    """The session exists with another layout, capacity or version."""


class SessionDamagedError(SessionMismatchError):
    """The session is in use, but its files are not what a curriculum writes."""


class SessionAccessError(PermissionError):
    """A file or folder of the session is not this user's own, not private, or of another type."""


class SessionClosedError(RuntimeError):
    """The session was closed in this process and is used nevertheless."""


class LockTimeoutError(RuntimeError):
    """The lock of a pool was not to be had within ``lock_timeout_seconds``.

    ``process_id`` is the process that has it, None if that is unknown or a thread of this process.
    """

    def __init__(self, message: str, process_id: int | None = None):
        super().__init__(message)
        self.process_id = process_id
