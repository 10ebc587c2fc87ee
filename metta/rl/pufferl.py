"""PufferLib's trainer, imported without its side effects and without its printing, logging and
saving.

Importing ``pufferlib.pufferl`` installs a SIGINT handler that exits at once, replaces the traceback
hook, and makes every RuntimeWarning of the process an error; all three are undone here.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    hook = sys.excepthook
    # A CPU-only machine with a CUDA toolkit gets a warning that concerns nobody here.
    extension_log = logging.getLogger("torch.utils.cpp_extension")
    level = extension_log.level
    extension_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        extension_log.setLevel(level)
        sys.excepthook = hook
        if in_main_thread and handler is not None:
            signal.signal(signal.SIGINT, handler)


with _undisturbed():
    import pufferlib.pufferl


class QuietPuffeRL(pufferlib.pufferl.PuffeRL):
    """PuffeRL as a learner only. What it would print, log and save is the run's business.

    The three methods after ``__init__`` are the hooks that PuffeRL calls for this; there is no way
    to pass them in.
    """

    def __init__(self, config: dict[str, Any], vecenv: Any, network: torch.nn.Module) -> None:
        with warnings.catch_warnings():
            # PuffeRL asks for autocast even where precision is float32, which needs none.
            warnings.filterwarnings(
                "ignore", message="In (CPU|CUDA) autocast", category=UserWarning
            )
            super().__init__(config, vecenv, network)

    def print_dashboard(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: it would clear the screen."""

    def save_checkpoint(self) -> str:
        """Nothing: its checkpoint lacks the curriculum."""
        return ""

    def mean_and_log(self) -> dict[str, float]:
        """The means of what the environments reported since the last epoch, under
        ``environment/``."""
        return {
            f"environment/{key}": float(np.mean(values))
            for key, values in self.stats.items()
            if all(isinstance(value, (int, float, np.number)) for value in values)
        }

    def learn(self) -> dict[str, float]:
        """One epoch's gradient steps. Returns the environments' means and the losses, every
        epoch."""
        self.last_log_time = (
            0.0  # PuffeRL would skip the report of an epoch shorter than a quarter of a second
        )
        reported = self.train()
        return {
            **(reported or {}),
            **{f"losses/{key}": float(value) for key, value in self.losses.items()},
        }
