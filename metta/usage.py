"""Errors whose message says all that there is to say: the recipe runner prints it alone.

This module imports nothing of the package, so that every other one may import it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """A name, key or value on the command line that cannot be: exit status 2."""


class ReportedError(RuntimeError):
    """A failure of files or processes; the message names what failed and the way out: exit status
    1."""


def nearest(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """``"; did you mean 'x'?"`` for the closest of ``known``; where nothing is close ``otherwise``,
    or all of them."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    if otherwise is not None:
        return otherwise
    return f"; there are: {', '.join(names)}" if names else ""
