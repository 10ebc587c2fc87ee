"""Waiting for a lock without sleeping in the kernel, so that signal handlers run at once.

Between two looks a waiter first yields the processor, a few times, because a change of the pool
takes microseconds, and then sleeps for quickly growing pauses: where there are more processes than
cores, every look takes the processor from the holder. On two cores with nothing but changes of one
pool, 8 processes do 0.85 of the episodes per second that 2 do, and the longest wait is 290 ms; with
pauses that grow by 1.5 up to 1 ms it is 0.7 and 140 ms, with 20 yields 0.66. Two
processes do as many either way.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from metta.cogworks.curriculum.sessions.errors import LockTimeoutError

REPORT_AFTER_SECONDS = 3.0
REPORT_EVERY_SECONDS = 60.0
LOCK_TIMEOUT_SECONDS = 600.0  # what holds a pool for minutes is stopped, not slow
_YIELDS = 5
_FIRST_PAUSE_SECONDS = 20e-6
_PAUSE_GROWTH = 4.0
_SHORT_PAUSE_SECONDS = 4e-3  # the longest pause at first: longer ones starve
_LONG_PAUSE_SECONDS = 20e-3
_SHORT_PAUSES_FOR_SECONDS = 30.0
_COUNTED_AT_MOST_SECONDS = 1.0  # between two looks; if it was longer, this process was stopped

_STATES = {"T": "stopped", "t": "stopped by a debugger", "Z": "dead, but not waited for"}
_STATES |= {"R": "running", "S": "sleeping", "D": "waiting for a device"}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Blocker:
    """Who has the lock: a process, or a thread of this one; neither if it changes hands."""

    process_id: int | None = None
    thread: str | None = None

    def __str__(self) -> str:
        if self.thread is not None:
            return f"thread {self.thread!r} of this process has it"
        if self.process_id is None:
            return "nobody has it at this instant: it changes hands, but never to this process"
        if self.process_id <= 0:
            return "a process that this one cannot see, in another container, has it"
        state = process_state(self.process_id)
        return f"process {self.process_id}{f' ({state})' if state else ''} has it"

    @property
    def way_out(self) -> str:
        """What can be done about it."""
        if self.thread is not None:
            return "see what that thread does while it has the lock, and let it end"
        if self.process_id is None or self.process_id <= 0:
            return "end the processes that use the pool, or use another session_id"
        return (
            f"let it go on with `kill -CONT {self.process_id}`, or end it with "
            f"`kill -KILL {self.process_id}`: the pool is undamaged, and the others go on"
        )


def checked_timeout(value: float) -> float:
    """``lock_timeout_seconds`` as a float. ValueError if it is not a number above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (0 < value <= sys.float_info.max or value == math.inf):
        raise ValueError(
            f"lock_timeout_seconds={value!r:.60} is not allowed: give a number of seconds above 0"
        )
    return float(value)


def process_state(process_id: int) -> str | None:
    """What a process is doing, in words; None where the system does not say."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(errors="replace")
    except OSError:  # it has ended, or the system has no /proc
        return None
    letter = stat.rpartition(")")[2].split()[:1]  # its name stands in brackets, and may hold any
    return _STATES.get(letter[0]) if letter else None


class Wait:
    """One wait for the lock of the pool ``name``: its pauses, its reports, its end.

    Time in which this process was itself stopped does not count.
    """

    def __init__(self, name: str, limit_seconds: float):
        self._name = name
        self._limit = limit_seconds
        self._looks = 0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._next_report = REPORT_AFTER_SECONDS
        self._seen = time.monotonic()
        self.seconds = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the limit has passed."""
        return self.seconds >= self._limit

    @property
    def is_due(self) -> bool:
        """Whether :meth:`report` has something to say."""
        return self.is_over or self.seconds >= self._next_report

    def look(self) -> None:
        """Count the time since the last look."""
        now = time.monotonic()
        self.seconds += min(now - self._seen, _COUNTED_AT_MOST_SECONDS)
        self._seen = now

    def pause(self) -> None:
        """Let others run until the next look, and count the time."""
        self._looks += 1
        if self._looks <= _YIELDS and sys.platform == "linux":
            os.sched_yield()
        else:
            time.sleep(min(self._pause_seconds, max(0.0, self._limit - self.seconds)))
            longest = (
                _SHORT_PAUSE_SECONDS
                if self.seconds < _SHORT_PAUSES_FOR_SECONDS
                else _LONG_PAUSE_SECONDS
            )
            self._pause_seconds = min(self._pause_seconds * _PAUSE_GROWTH, longest)
        self.look()

    def report(self, blocker: Blocker) -> None:
        """Warn of a long wait; LockTimeoutError at its end."""
        if self.is_over:
            raise LockTimeoutError(
                f"{self._name}: its lock was not to be had within {self._limit:g} seconds "
                f"(lock_timeout_seconds); {blocker}. Way out: {blocker.way_out}",
                blocker.process_id,
            )
        self._next_report = self.seconds + REPORT_EVERY_SECONDS
        _logger.warning(
            "%s: waiting for its lock for %.1f seconds; %s. Way out: %s",
            self._name,
            self.seconds,
            str(blocker),  # now: its state changes
            blocker.way_out,
        )
