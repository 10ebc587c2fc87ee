#!/usr/bin/env -S python3
"""Run a recipe: ``uv run tools/run.py --help``."""

import sys
from pathlib import Path

# The clone itself, so that `experiments` can be imported from wherever this is started; not the folder of this file.
sys.path[0] = str(Path(__file__).resolve().parents[1])


def run() -> int:
    try:  # importing takes long enough to be interrupted
        from metta.common.recipe_runner import main

        return main(sys.argv[1:])
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(run())
