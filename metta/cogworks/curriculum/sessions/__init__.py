"""Who has the bytes of a shared pool: named shared memory that several processes open."""

from metta.cogworks.curriculum.sessions.session import (
    Lock,
    Session,
    SessionClosedError,
    SessionInfo,
    SessionMismatchError,
    clean_sessions,
    list_sessions,
    new_session_id,
    open_session,
)

__all__ = [
    "Lock",
    "Session",
    "SessionClosedError",
    "SessionInfo",
    "SessionMismatchError",
    "clean_sessions",
    "list_sessions",
    "new_session_id",
    "open_session",
]
