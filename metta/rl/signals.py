"""SIGINT, SIGTERM and SIGHUP as requests to save and stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INSIST_AFTER_SECONDS = 2.0


class StopRequestedError(Exception):
    """A signal asked the run to stop. ``exit_status`` is the shell's: 128 plus the signal's
    number."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum
        self.exit_status = 128 + signum


class StopSignals:
    """Context manager: notes the signals of STOPPING, for ``check()`` to raise where stopping is
    safe.

    A terminal, ``timeout`` and ``uv run`` may each deliver the same signal, so repeats are ignored;
    only a Ctrl-C more than two seconds after the first one ends the process at once. In a thread
    other than the main one, where Python allows no handlers, it notes nothing.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._first_at = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for signum in STOPPING:
                if signal.getsignal(signum) is signal.SIG_IGN:  # as under nohup
                    continue
                self._previous[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}

    def check(self) -> None:
        """Raise StopRequestedError if a signal has arrived."""
        if self._received is not None:
            raise StopRequestedError(self._received)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._received is None:
            self._received, self._first_at = signum, time.monotonic()
        elif signum == signal.SIGINT and time.monotonic() - self._first_at > _INSIST_AFTER_SECONDS:
            os._exit(128 + signum)
