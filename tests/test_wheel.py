"""The wheel: what is in it, and that it works with numpy and pydantic alone."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def uv(*arguments: object) -> str:
    """What ``uv`` prints. The README's commands install it, so a machine without it is a
    failure."""
    program = os.environ.get("UV") or shutil.which("uv")
    assert program is not None, "uv is not installed: pip install uv"
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    done = subprocess.run(
        [program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    uv("build", "--wheel", "--out-dir", out, ROOT)
    (built,) = out.glob("metta_curriculum-*.whl")
    return built


def test_it_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "metta",
        "agora",
        "metta_curriculum",
    }
    assert {
        "metta/py.typed",
        "agora/py.typed",
        "agora/__init__.py",
        "metta/cogworks/curriculum/curriculum.py",
    } <= set(names)
    assert not [name for name in names if "_compat" in name or "__pycache__" in name]


def test_it_depends_on_numpy_and_pydantic_and_has_two_extras(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith("METADATA")]
    lines = archive.read(metadata).decode().splitlines()
    required = [
        line.split()[1]
        for line in lines
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert sorted(name.partition(">")[0] for name in required) == ["numpy", "pydantic"]
    assert [line.split()[1] for line in lines if line.startswith("Provides-Extra:")] == [
        "mettagrid",
        "train",
    ]


def test_it_works_with_numpy_and_pydantic_alone(wheel: Path, tmp_path: Path) -> None:
    uv("venv", "--python", "3.11", tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    uv("pip", "install", "--python", python, wheel)
    code = (
        "import importlib.util as u, metta.cogworks.curriculum as m, agora\n"
        "assert not any(u.find_spec(n) for n in ('mettagrid', 'pufferlib', 'torch')), 'not a bare "
        "environment'\n"
        "with m.Curriculum(m.LearningProgressConfig.default()) as c:\n"
        "    t = c.get_task(); c.update_task_performance(t.task_id, 0.5); "
        "print(c.stats()['num_completed'])\n"
        "from metta.cogworks.curriculum import CurriculumEnv"
    )
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert done.stdout.strip() == "1.0"
    assert "pip install 'metta-curriculum[train]'" in done.stderr
