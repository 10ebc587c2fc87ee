"""The sessions that this process has open, used by one thread at a time, and how it ends.

A signal that ends the process arrives between any two instructions. While the main thread changes
files or the registry, it is answered when that is done, so that no file is left half made.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from metta.cogworks.curriculum.sessions.presence import Presence, attach
from metta.cogworks.curriculum.sessions.record_lock import Lock

Result = TypeVar("Result")

_LOCK = Lock(name="the sessions of this process")
_PRESENCES: dict[str, Presence] = {}


class _Ending:
    """The signal that is to end this process as soon as the main thread leaves the registry."""

    signum: int | None = None


def exclusively(function: Callable[[], Result]) -> Result:
    """Call ``function`` while no other thread uses the registry or the files of sessions."""
    try:
        return _LOCK.run(function)
    finally:
        _end_if_asked()


def presences() -> list[Presence]:
    """The sessions that this process has open."""
    return [presence for presence in list(_PRESENCES.values()) if presence.is_open]


def find(session_id: str) -> Presence | None:
    """The presence in a session, None if this process has it not open."""
    presence = _PRESENCES.get(session_id)
    return presence if presence is not None and presence.is_open else None


def join(
    session_id: str, nbytes: int, fields: dict[str, Any], lock_timeout_seconds: float
) -> Presence:
    """Open a session that this process has not open. To be called :func:`exclusively`."""

    def register(presence: Presence) -> None:
        _PRESENCES[session_id] = presence

    attach(session_id, nbytes, fields, lock_timeout_seconds, register, is_ending)
    return _PRESENCES[session_id]


def leave_unused(wait: bool = True) -> None:
    """Leave the sessions that nobody in this process uses any more.

    ``wait=False`` is for finalizers, which may run inside a change of another pool, where waiting
    could block two processes for ever: what cannot be done at once is done with the next session
    that is opened or released, or at exit.
    """
    if wait:
        exclusively(lambda: _leave_unused(True))
        return
    level = _LOCK.level
    try:
        try:
            if _LOCK.try_acquire():
                _leave_unused(False)
        finally:
            _LOCK.release_to(level)
    finally:
        _LOCK.release_to(level)
        _end_if_asked()


def leave_all() -> None:
    """Leave all sessions, whoever uses them."""
    for presence in list(_PRESENCES.values()):
        presence.leave()


def is_ending() -> bool:
    """Whether a signal waits to end this process."""
    return _Ending.signum is not None


def end_by(signum: int) -> None:
    """Leave all sessions and end this process by a signal, as without a handler; in the main
    thread."""
    if _LOCK.owned:
        _Ending.signum = signum
        return
    leave_all()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def reset_after_fork() -> None:
    """In a forked child: what the parent was asked to do is not the child's."""
    _Ending.signum = None


def _end_if_asked() -> None:
    main = threading.current_thread() is threading.main_thread()
    if _Ending.signum is not None and main and not _LOCK.owned:
        end_by(_Ending.signum)


def _leave_unused(wait: bool) -> None:
    for session_id, presence in list(_PRESENCES.items()):
        if not presence.users and presence.leave(wait) and _PRESENCES.get(session_id) is presence:
            del _PRESENCES[session_id]
