"""Opening sessions: named shared memory that several processes use, and that nobody has to remember
to remove.

Removal: by :meth:`Session.release`, by the garbage collector, at normal exit, after an exception,
and on SIGTERM and SIGHUP (:mod:`.leaving`); the last process to leave removes the files. SIGKILL,
SIGQUIT and ``os._exit`` leave removal to the processes that remain, and the end of all of them at
once to whoever opens any session next, or to :func:`~.cleaning.clean_sessions`.
"""

from __future__ import annotations

import itertools
import re
import uuid
import weakref
from typing import Any

from metta.cogworks.curriculum.sessions import cleaning, leaving, registry
from metta.cogworks.curriculum.sessions.layout import as_json, check_layout
from metta.cogworks.curriculum.sessions.presence import Presence
from metta.cogworks.curriculum.sessions.waiting import LOCK_TIMEOUT_SECONDS, checked_timeout

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_tokens = itertools.count()


class Session:
    """One use of a session by this process; what all uses share is in its presence.

    ``memory`` is the shared bytes, zero when ``created``; views of it stay readable after the end.
    ``lock`` is the mutex of the pool. A session that is garbage collected is released.
    """

    def __init__(self, presence: Presence, created: bool):
        self.session_id = presence.session_id
        self.created = created
        self.memory = presence.memory
        self.lock = presence.lock
        self._presence = presence
        self._token = next(_tokens)
        self._finalizer = weakref.finalize(self, _release, presence, self._token, wait=False)
        presence.users.add(self._token)

    @property
    def is_open(self) -> bool:
        """Whether this process has not left the session."""
        return self._presence.is_open

    def release(self) -> None:
        """End this use; without any, this process leaves the session. Idempotent. After an
        interrupt it may be called again."""
        _release(self._presence, self._token, wait=True)
        self._finalizer.detach()

    def leave(self) -> None:
        """Leave the session, whoever else in this process uses it."""
        self._presence.users.clear()
        registry.leave_unused()


def new_session_id() -> str:
    """A name that no other session has."""
    return uuid.uuid4().hex[:16]


def checked_session_id(value: str) -> str:
    """``session_id`` itself. ValueError if it cannot name a session."""
    if not isinstance(value, str) or not _SESSION_ID.fullmatch(value):
        raise ValueError(
            f"session_id={value!r} cannot name a session: use 1 to 100 letters, digits, '.', "
            "'_' or '-', beginning with a letter or digit"
        )
    return value


def open_session(
    session_id: str,
    nbytes: int,
    layout: dict[str, Any],
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
) -> Session:
    """Open the session, or create it with ``nbytes`` zero bytes.

    ``layout`` is JSON that says what the bytes mean. ``lock_timeout_seconds`` is how long this
    process waits for the mutex, here and later; that of its first use counts.

    Raises:
        ValueError: the session id cannot be a name, or the time is not above 0.
        SessionMismatchError: the session is alive with another layout, capacity or version.
        SessionDamagedError: the session is alive, and its files are not what they should be.
        SessionAccessError: its files, or their folder, are not this user's alone.
        LockTimeoutError: its mutex was not to be had.
        MemoryError: the machine has not that much shared memory left.
    """
    session_id = checked_session_id(session_id)
    seconds = checked_timeout(lock_timeout_seconds)
    fields = as_json(layout)
    session = registry.exclusively(lambda: _open(session_id, nbytes, fields, seconds))
    leaving.install_handlers()
    return session


def _open(session_id: str, nbytes: int, fields: dict[str, Any], seconds: float) -> Session:
    try:
        presence = registry.find(session_id)
        if presence is not None:
            check_layout(session_id, presence.fields, fields)
            session = Session(presence, created=False)
            if session.is_open:  # or a finalizer left it just now
                return session
        presence = registry.join(session_id, nbytes, fields, seconds)
        session = Session(presence, presence.created)
        cleaning.sweep()
        return session
    finally:
        registry.leave_unused(wait=False)


def _release(presence: Presence, token: int, wait: bool) -> None:
    presence.users.discard(token)
    if not presence.users and presence.is_open:
        registry.leave_unused(wait)
