#!/usr/bin/env -S python3
"""Run a recipe: ``uv run tools/run.py --help``."""

import signal
import sys
from pathlib import Path

# The clone itself, so that `experiments` can be imported from wherever this is started; not the
# folder of this file.
sys.path[0] = str(Path(__file__).resolve().parents[1])


_INTERRUPTED = 130
"""Exit status of a program that SIGINT ended: 128 + 2, as shells have it."""


def run() -> int:
    """Run what the command line asks for. Returns the exit status."""
    try:  # importing takes long enough to be interrupted
        from metta.cli.runner import main

        status = main(sys.argv[1:])
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        status = _INTERRUPTED
    if status == _INTERRUPTED:
        # A terminal, `timeout` and uv may each deliver the same Ctrl-C: a late one must not
        # interrupt the end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return status


if __name__ == "__main__":
    raise SystemExit(run())
