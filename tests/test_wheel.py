"""The wheel: what is in it, and that it works with numpy and pydantic alone."""

import os
import re
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


def read(wheel: Path, end: str) -> str:
    """The text of the one file in the wheel whose name ends so."""
    archive = zipfile.ZipFile(wheel)
    (found,) = [name for name in archive.namelist() if name.endswith(end)]
    return archive.read(found).decode()


def test_it_has_its_license(wheel: Path) -> None:
    assert "License-Expression: MIT" in read(wheel, "METADATA")
    text = read(wheel, "licenses/LICENSE")
    assert text == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License")
    assert "The metta-curriculum authors" in text


def test_its_readme_names_only_what_it_has(wheel: Path) -> None:
    readme = read(wheel, "METADATA").partition("\n\n")[2]
    assert readme.startswith("# metta.cogworks.curriculum")
    names = zipfile.ZipFile(wheel).namelist()
    # A relative link leads nowhere on a package index.
    targets = re.findall(r"\]\(([^)\s]+)\)", readme)
    assert [t for t in targets if not t.startswith(("https://", "#"))] == []
    documents = re.findall(r"[\w/]+\.md", readme)
    assert documents
    assert all(f"metta/cogworks/curriculum/{document}" in names for document in documents)
    assert [
        w for w in ("tools/", "experiments", "tests/", "docs/", ".ci", "uv run") if w in readme
    ] == []
    modules = re.findall(r"^(?:from|import) (metta\.[\w.]+)", readme, re.MULTILINE)
    assert modules
    for module in modules:
        path = module.replace(".", "/")
        assert f"{path}.py" in names or f"{path}/__init__.py" in names, module


def test_it_depends_on_numpy_and_pydantic_and_has_an_extra_for_each_library(wheel: Path) -> None:
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
        "gymnasium",
        "mettagrid",
        "pettingzoo",
        "sb3",
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
