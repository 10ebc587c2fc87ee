"""Who has the bytes of a shared pool: named shared memory that several processes open.

From below: :mod:`.errors`, :mod:`.waiting` and :mod:`.record_lock` are the mutex, :mod:`.files` and
:mod:`.layout` what lies in the file system, :mod:`.presence` this process's part in one session,
:mod:`.registry` in all of them, :mod:`.leaving` how that ends, :mod:`.cleaning` what others left,
:mod:`.session` how a session is opened.
"""

from metta.cogworks.curriculum.sessions.cleaning import SessionInfo, clean_sessions, list_sessions
from metta.cogworks.curriculum.sessions.errors import (
    LockTimeoutError,
    SessionAccessError,
    SessionClosedError,
    SessionDamagedError,
    SessionMismatchError,
)
from metta.cogworks.curriculum.sessions.record_lock import Lock
from metta.cogworks.curriculum.sessions.session import (
    Session,
    checked_session_id,
    new_session_id,
    open_session,
)
from metta.cogworks.curriculum.sessions.waiting import LOCK_TIMEOUT_SECONDS, checked_timeout

__all__ = [
    "LOCK_TIMEOUT_SECONDS",
    "Lock",
    "LockTimeoutError",
    "Session",
    "SessionAccessError",
    "SessionClosedError",
    "SessionDamagedError",
    "SessionInfo",
    "SessionMismatchError",
    "checked_session_id",
    "checked_timeout",
    "clean_sessions",
    "list_sessions",
    "new_session_id",
    "open_session",
]
