"""Signals become requests, wherever they come from and however often."""

import os
import signal
import threading

import pytest

from metta.rl.signals import StopRequestedError, StopSignals


@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_is_raised_where_it_is_asked_for(signum: signal.Signals, status: int):
    with StopSignals() as stop:
        stop.check()
        os.kill(os.getpid(), signum)
        os.kill(os.getpid(), signum)
        with pytest.raises(StopRequestedError, match=f"stopped by {signum.name}") as caught:
            stop.check()
    assert caught.value.exit_status == status


def test_the_first_signal_decides():
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(StopRequestedError, match="SIGTERM"):
            stop.check()


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            stop.check()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_notes_nothing():
    problems = []

    def use() -> None:
        with StopSignals() as stop:
            problems.append(stop.check())

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(10)
    assert problems == [None]


def test_importing_the_learner_leaves_the_process_as_it_was():
    import subprocess
    import sys

    code = (
        "import signal, sys, warnings\n"
        "before = signal.getsignal(signal.SIGINT), sys.excepthook\n"
        "import metta.rl.pufferl\n"
        "assert before == (signal.getsignal(signal.SIGINT), sys.excepthook)\n"
        "assert ('error', None, RuntimeWarning, None, 0) not in warnings.filters\n"
        "print('unchanged')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stdout.strip() == "unchanged"
