"""Shared pools on this machine: ``tools/run.py sessions.show`` lists them, ``sessions.clean``
removes what a crash left.

A pool is removed by the last process that leaves it. What remains after the death of all its
processes at once takes memory until any pool is opened on this machine, or until it is cleaned
here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from metta.cogworks.curriculum.sessions import SessionInfo, clean_sessions, list_sessions
from metta.tools.command import CommandTool


def clean(dry_run: bool = False) -> CommandTool:
    """List the pools of this user, and remove those that no process has open. ``dry_run``: only
    list them."""
    return CommandTool(function=functools.partial(_clean, dry_run))


def show() -> CommandTool:
    """List the pools of this user, those in use and those that a crash left."""
    return CommandTool(function=_show)


def _show() -> int:
    _print(list_sessions())
    return 0


def _clean(dry_run: bool) -> int:
    _print(list_sessions())
    if dry_run:
        print("dry run: nothing was removed")
    else:
        removed = clean_sessions()
        print(f"removed {len(removed)}, {sum(info.nbytes for info in removed):,} bytes")
    return 0


def _print(sessions: Iterable[SessionInfo]) -> None:
    lines = [
        f"{info.session_id:40} {info.nbytes:>16,} bytes  {info.age_seconds:>9.0f} s old  "
        + ("in use" if info.alive else "left over")
        for info in sessions
    ]
    print("\n".join(lines) if lines else "no shared pools")
