"""What all tests share."""

import signal
import threading
from pathlib import Path

import pytest

# Whole training runs take longest: files are handed to the processes in this order, so that none is
# left to run alone at the end.
_FIRST = ("tools", "rl", "experiments", "sim")


def pytest_configure() -> None:
    """Take signals as from a terminal: a test run in the background, or under nohup, finds them
    ignored, and so would every process that it starts."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of some folders first; the rest stays in its order."""
    ranks = {name: rank for rank, name in enumerate(_FIRST)}
    here = Path(__file__).parent
    items.sort(key=lambda item: ranks.get(item.path.relative_to(here).parts[0], len(_FIRST)))
