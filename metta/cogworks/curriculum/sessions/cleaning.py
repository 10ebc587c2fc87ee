"""Listing the sessions of this user, and removing those that no process has open."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from dataclasses import dataclass

from metta.cogworks.curriculum.sessions import files, registry
from metta.cogworks.curriculum.sessions.errors import SessionAccessError
from metta.cogworks.curriculum.sessions.record_lock import MUTEX, PRESENCE, holder, try_lock

_SWEEP_EVERY_SECONDS = 60.0
_SWEEP_SECONDS = 0.02  # time for a thousand sessions


class _Sweep:
    """When this process swept last, by :func:`time.monotonic`."""

    at = -_SWEEP_EVERY_SECONDS


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
    return registry.exclusively(_list)


def clean_sessions() -> list[SessionInfo]:
    """Remove the sessions that no process has open, and return them. Live sessions are not
    touched."""
    return registry.exclusively(
        lambda: [info for info in _list() if not info.alive and _remove_if_dead(info.session_id)]
    )


def sweep() -> int:
    """Remove dead sessions, at most once a minute and for a bounded time, beginning anywhere.
    Returns how many sessions were looked at. To be called with exclusive use of the registry."""
    now = time.monotonic()
    if now - _Sweep.at < _SWEEP_EVERY_SECONDS:
        return 0
    _Sweep.at = now
    names = files.session_names()
    start = secrets.randbelow(len(names) + 1)
    for count, name in enumerate(names[start:] + names[:start]):
        if time.monotonic() - now > _SWEEP_SECONDS:
            return count
        _remove_if_dead(name)
    return len(names)


def _remove_if_dead(session_id: str) -> bool:
    """Remove a session that no process has open; returns whether this process did."""
    if registry.find(session_id) is not None:
        return False
    try:
        fd = files.open_private(files.lock_path(session_id))
    except (FileNotFoundError, SessionAccessError):  # somebody else removed it; it is no session
        return False
    try:
        # Whoever opens a session takes the mutex first, so that nobody comes in meanwhile.
        dead = try_lock(fd, fcntl.LOCK_EX, MUTEX) and holder(fd, PRESENCE) is None
        return dead and files.remove_files(session_id, fd)
    finally:
        os.close(fd)


def _list() -> list[SessionInfo]:
    found = []
    for name in files.session_names():
        try:
            made = files.lock_path(name).lstat().st_mtime
            alive = _is_alive(name)
        except (FileNotFoundError, SessionAccessError):  # its last user left; it is no session
            continue
        try:
            nbytes = files.memory_path(name).lstat().st_size
        except FileNotFoundError:  # whoever was making or removing it died
            nbytes = 0
        found.append(SessionInfo(name, nbytes, time.time() - made, alive))
    return found


def _is_alive(session_id: str) -> bool:
    """Whether a process has the session open.

    Looking takes no lock, so that a session does not look alive to others because it is being
    looked at. A session of this process is not looked at: closing the descriptor would drop its
    locks.
    """
    if registry.find(session_id) is not None:
        return True
    fd = files.open_private(files.lock_path(session_id))
    try:
        return holder(fd, PRESENCE) is not None
    finally:
        os.close(fd)
