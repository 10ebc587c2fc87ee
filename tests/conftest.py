"""What all tests share."""

import signal
import threading


def pytest_configure() -> None:
    """Take signals as from a terminal: a test run in the background, or under nohup, finds them
    ignored, and so would every process that it starts."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
