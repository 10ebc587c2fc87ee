"""The wheel: what is in it. That it works with numpy and pydantic alone: test_pythons.py."""

import re
import zipfile
from pathlib import Path

import pytest

from tests.test_pythons import VERSIONS
from tests.wheels import ROOT, build_wheel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


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


def test_it_says_which_pythons_it_is_for(wheel: Path) -> None:
    """Those that tests/test_pythons.py tries."""
    lines = read(wheel, "METADATA").splitlines()
    said = [line.rpartition(" :: ")[2] for line in lines if ":: Python ::" in line]
    assert tuple(said) == VERSIONS
    assert f"Requires-Python: >={VERSIONS[0]}" in lines
