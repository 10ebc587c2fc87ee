"""Leaving all sessions however this process ends, as far as a process can know of its end; and
what a fork means for them.

On import, SIGTERM and SIGHUP get a handler that leaves all sessions and then ends the process by
the same signal, where the program has left the system's default in place. On import, because Python
allows it in the main thread alone, and a pool may be opened in any; if another thread imports this
package, it is done when the main one opens a session. Whoever sets a handler later replaces this
one; one that was set before stays. SIGQUIT is left alone: a handler would run late, or never, in a
process that hangs, and would change its core dump.
"""

from __future__ import annotations

import atexit
import multiprocessing.util
import os
import select
import signal
import threading
from types import FrameType

from metta.cogworks.curriculum.sessions import registry
from metta.cogworks.curriculum.sessions.record_lock import (
    THREAD_SECONDS,
    Lock,
    reset_locks_after_fork,
)

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_MILLISECONDS = 1000.0


def install_handlers() -> None:
    """Handle the signals that end a process and are left to the system; in the main thread."""
    if threading.current_thread() is threading.main_thread():
        for signum in _SIGNALS:
            if signal.getsignal(signum) is signal.SIG_DFL:
                signal.signal(signum, _on_signal)


def _on_signal(signum: int, frame: FrameType | None) -> None:
    registry.end_by(signum)


def _register_finalizer(_: object = None) -> None:
    # Children of multiprocessing end with os._exit, after their finalizers and without atexit.
    multiprocessing.util.Finalize(None, registry.leave_all, exitpriority=-100)


# A parent that left between its child's birth and the child's rejoining would remove the session
# under it, so it waits.
class _Fork(threading.local):
    joined: tuple[int, int] | None = None  # pipe by which the child says that it has


_fork = _Fork()


def _before_fork() -> None:
    if registry.presences():
        _fork.joined = os.pipe()


def _after_fork_in_parent() -> None:
    joined, _fork.joined = _fork.joined, None
    if joined is not None:
        read, write = joined
        os.close(write)  # so that a child that dies, or was never born, ends the wait
        try:
            poll = select.poll()
            poll.register(read, select.POLLIN)
            poll.poll(_MILLISECONDS * THREAD_SECONDS)
        finally:
            os.close(read)


def _after_fork_in_child() -> None:
    joined, _fork.joined = _fork.joined, None
    reset_locks_after_fork()
    registry.reset_after_fork()
    try:
        for presence in registry.presences():
            presence.rejoin_after_fork()
    finally:
        if joined is not None:
            read, write = joined
            os.write(write, b"1")
            os.close(write)
            os.close(read)


atexit.register(registry.leave_all)
_register_finalizer()
multiprocessing.util.register_after_fork(Lock, _register_finalizer)
os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
install_handlers()
