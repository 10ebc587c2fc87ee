"""Errors that are the caller's to mend: the recipe runner prints them and exits with status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """A name, key or value on the command line that cannot be."""


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
