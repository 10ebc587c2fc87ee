"""Methods that hold the pool's lock, and give it back whatever happens."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class _Lock(Protocol):
    @property
    def depth(self) -> int: ...
    @property
    def owned(self) -> bool: ...


class _Table(Protocol):
    @property
    def lock(self) -> _Lock: ...
    def acquire(self) -> None: ...
    def release(self) -> None: ...


class HasTable(Protocol):
    """An object whose methods work on a pool."""

    @property
    def table(self) -> Any:
        """The pool."""


S = TypeVar("S", bound=HasTable)


def exclusive(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """The method runs with the lock of ``self.table`` held, and may call others that do.

    An exception gives the lock back and undoes what was not committed. That holds for exceptions of
    signal handlers too, which come at any instruction: one of them can keep at most one of two
    nested ``finally`` from its work, and giving back twice does no harm.
    """

    @functools.wraps(method)
    def run(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        table: _Table = self.table
        lock = table.lock
        if lock.depth and lock.owned:  # who took it gives it back
            return method(self, *args, **kwargs)
        try:
            try:
                table.acquire()
                return method(self, *args, **kwargs)
            finally:
                table.release()
        finally:
            if lock.depth:
                table.release()

    return run
