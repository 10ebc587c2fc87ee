"""Building the wheel, and environments to install it into."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class NotToBeHad(Exception):
    """An interpreter that uv neither finds nor can install."""


def uv(*arguments: object) -> str:
    """What ``uv`` prints. The README's commands install it, so a machine without it is a
    failure."""
    done = _uv(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _uv(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = os.environ.get("UV") or shutil.which("uv")
    assert program is not None, "uv is not installed: pip install uv"
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    return subprocess.run(
        [program, *map(str, arguments)],
        cwd=ROOT,  # whose constraints hold
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=environment | _all_of_pyenv(),
    )


def _all_of_pyenv() -> dict[str, str]:
    """By default pyenv shows one of the versions that it has installed."""
    program = shutil.which("pyenv")
    if program is None:
        return {}
    found = subprocess.run(
        [program, "versions", "--bare"], capture_output=True, text=True, timeout=60, check=True
    )
    return {"PYENV_VERSION": ":".join(found.stdout.split())}


def build_wheel(out: Path) -> Path:
    """The wheel of this tree, in a new folder."""
    uv("build", "--wheel", "--out-dir", out, ROOT)
    (built,) = out.glob("metta_curriculum-*.whl")
    return built


def environment(folder: Path, python: str, *packages: object) -> Path:
    """The interpreter of a new environment with these packages.

    Raises:
        NotToBeHad: there is no such Python.
    """
    done = _uv("venv", "--python", python, folder)
    if done.returncode:
        raise NotToBeHad(f"Python {python}: {' '.join(done.stderr.split())[-300:]}")
    interpreter = folder / "bin" / "python"
    uv("pip", "install", "--python", interpreter, *packages)
    return interpreter
