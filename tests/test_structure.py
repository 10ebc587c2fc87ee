"""The gates on the source tree, and for each of them a made-up tree that it refuses.

What ruff can say is said by ruff (`pyproject.toml`): private access, magic numbers, complexity,
docstrings, long lines. That each of those rules is on is tested here.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import structure

ROOT = Path(__file__).resolve().parents[1]

MODULE_EXCEPTIONS: dict[str, str] = {}
FUNCTION_EXCEPTIONS: dict[str, str] = {}
IMPORT_EXCEPTIONS: dict[str, str] = {}


# The tree
# --------------------------------------------------------------------------------------------------


def test_no_module_is_longer_than_400_lines() -> None:
    faults = structure.long_modules(ROOT)
    assert structure.without_exceptions(faults, MODULE_EXCEPTIONS) == []


def test_no_function_is_longer_than_60_lines() -> None:
    faults = structure.long_functions(ROOT)
    assert structure.without_exceptions(faults, FUNCTION_EXCEPTIONS) == []


def test_imports_point_one_way() -> None:
    faults = structure.import_faults(ROOT, IMPORT_EXCEPTIONS)
    assert structure.without_exceptions(faults, IMPORT_EXCEPTIONS) == []


# The gates, on trees that they must refuse
# --------------------------------------------------------------------------------------------------


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("folder", structure.FOLDERS)
def test_a_module_of_401_lines_is_refused(tmp_path: Path, folder: str) -> None:
    tree(tmp_path, {f"{folder}/long.py": "x = 1\n" * 401, f"{folder}/short.py": "x = 1\n" * 400})
    assert structure.long_modules(tmp_path) == {f"{folder}/long.py": "401 lines, at most 400"}


def function(lines: int, docstring: int = 0, indent: str = "", decorators: int = 0) -> str:
    """The text of a function of so many lines, without its docstring."""
    body = ['"""Says'] + ["    what it does."] * (docstring - 2) + ['    """'] if docstring else []
    body += ["x = 1"] * (lines - 1)
    return "\n".join(
        [f"{indent}@deco"] * decorators
        + [f"{indent}def f():"]
        + [f"{indent}    {line}" for line in body]
    )


@pytest.mark.parametrize(
    "text",
    [
        function(61),
        function(61, docstring=20),
        "class C:\n" + function(61, indent="    "),  # a method
        "def outer():\n" + function(61, indent="    "),  # which makes the outer one long too
        function(61).replace("def f", "async def f"),
        function(62, decorators=5),
    ],
)
def test_a_function_of_61_lines_is_refused(tmp_path: Path, text: str) -> None:
    tree(tmp_path, {"metta/a.py": text + "\n"})
    assert "metta/a.py:f" in structure.long_functions(tmp_path)


@pytest.mark.parametrize("text", [function(60), function(60, docstring=40), function(60, 0, "", 9)])
def test_a_function_of_60_lines_passes(tmp_path: Path, text: str) -> None:
    tree(tmp_path, {"metta/a.py": text + "\n"})
    assert structure.long_functions(tmp_path) == {}


A, B, C = "metta.sim.a", "metta.sim.b", "metta.sim.c"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("from metta.sim import b", "from metta.sim import a"),
        ("from metta.sim.b import x", "import metta.sim.a"),
        ("import metta.sim.b as other", "from . import a"),
        ("from .b import x", "from ..sim.a import y"),
        (
            "from metta.sim.b import x",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from metta.sim.a import y",
        ),
        ("from metta.sim.b import x", "def f():\n    from metta.sim.a import y"),
        ("from metta.sim.b import x", "class K:\n    import metta.sim.a"),
    ],
)
def test_a_circle_of_imports_is_refused(tmp_path: Path, a: str, b: str) -> None:
    tree(tmp_path, {"metta/sim/__init__.py": "", "metta/sim/a.py": a, "metta/sim/b.py": b})
    (fault,) = structure.import_faults(tmp_path).values()
    assert fault in (f"closes a circle: {A} -> {B} -> {A}", f"closes a circle: {B} -> {A} -> {B}")


def test_a_circle_through_three_modules_and_one_through_a_package_are_refused(
    tmp_path: Path,
) -> None:
    three = {
        "metta/sim/a.py": f"import {B}",
        "metta/sim/b.py": f"import {C}",
        "metta/sim/c.py": f"import {A}",
        "metta/rl/__init__.py": "from metta.rl.d import x",
        "metta/rl/d.py": "from metta.rl import x",
    }
    faults = structure.import_faults(tree(tmp_path, three)).values()
    assert len(faults) == 2
    assert any(all(name in fault for name in (A, B, C)) for fault in faults)
    assert any(
        "metta.rl -> metta.rl.d -> metta.rl" in f or "d -> metta.rl -> " in f for f in faults
    )


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("experiments/a.py", "tools.b"),
        ("metta/cli/a.py", "experiments.b"),
        ("metta/tools/a.py", "metta.cli.b"),
        ("metta/report/a.py", "metta.tools.b"),
        ("metta/rl/a.py", "metta.tools.b"),
        ("metta/sim/a.py", "metta.rl.b"),
        ("metta/sim/a.py", "metta.report.b"),
        ("metta/cogworks/curriculum/a.py", "metta.sim.b"),
        ("metta/_compat/agora/a.py", "metta.rl.b"),
        ("metta/cogworks/curriculum/pool/a.py", "metta.cogworks.curriculum.b"),
        ("metta/cogworks/curriculum/tasks/a.py", "metta.cogworks.curriculum.b"),
        ("metta/cogworks/curriculum/sessions/a.py", "metta.cogworks.curriculum.pool.b"),
        ("metta/cogworks/curriculum/sessions/a.py", "metta.cogworks.curriculum"),
        ("metta/usage.py", "metta.cogworks.curriculum.sessions.b"),
    ],
)
def test_an_import_of_a_layer_above_is_refused(
    tmp_path: Path, importer: str, imported: str
) -> None:
    above = imported.replace(".", "/")
    above = f"{above}/__init__.py" if imported.endswith("curriculum") else f"{above}.py"
    tree(tmp_path, {importer: f"from {imported} import x", above: "x = 1"})
    name = structure.name_of(Path(importer))
    assert structure.import_faults(tmp_path) == {
        f"{name} -> {imported}": "is an import of a layer above"
    }
    # The other way round it is as it should be.
    down = {importer: "x = 1", above: f"from {name} import x"}
    assert structure.import_faults(tree(tmp_path, down)) == {}


def test_two_folders_of_one_layer_that_import_each_other_are_refused(tmp_path: Path) -> None:
    files = {
        "metta/rl/a.py": "import metta.report.b",
        "metta/rl/c.py": "",
        "metta/report/b.py": "",
        "metta/report/d.py": "import metta.rl.c",
    }
    (fault,) = structure.import_faults(tree(tmp_path, files)).values()
    assert fault.startswith("closes a circle: metta.r")


def test_a_module_that_lies_in_no_layer_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, {"metta/new/a.py": "x = 1", "metta/new/__init__.py": ""})
    assert structure.import_faults(tmp_path) == {
        "metta.new.a": "lies in no layer: add its folder to LAYERS"
    }


def test_an_exception_excepts_one_import_and_is_refused_where_nothing_needs_it(
    tmp_path: Path,
) -> None:
    files = {
        "metta/sim/a.py": "import metta.rl.b, metta.rl.c",
        "metta/rl/b.py": "",
        "metta/rl/c.py": "",
    }
    tree(tmp_path, files)
    excepted = {"metta.sim.a -> metta.rl.b": "for the test"}
    faults = structure.import_faults(tmp_path, excepted)
    assert structure.without_exceptions(faults, excepted) == [
        "metta.sim.a -> metta.rl.c: is an import of a layer above"
    ]
    tree(tmp_path, {"metta/sim/a.py": ""})
    faults = structure.import_faults(tmp_path, excepted)
    assert structure.without_exceptions(faults, excepted) == [
        "metta.sim.a -> metta.rl.b: excepted, but it is no fault any more: delete the exception"
    ]


BAD = '''
import json


def public(a, b):
    return json._default_decoder, a == 17


class Public:
    def method(self):
        return "{long}"


def complex_one(a):
    """Eleven ways."""
{ifs}
    return None
'''


def test_ruff_refuses_what_the_rules_say(tmp_path: Path) -> None:
    ifs = "\n".join(f"    if a.x{i}:\n        return {i}" for i in range(10))
    text = BAD.replace("{long}", "x" * 100).replace("{ifs}", ifs)
    tree(tmp_path, {"metta/bad.py": text})
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--config",
            str(ROOT / "pyproject.toml"),
            "--no-cache",
            "--output-format",
            "concise",
            "metta/bad.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for rule in ("SLF001", "PLR2004", "C901", "D100", "D101", "D102", "D103", "E501"):
        assert f" {rule} " in done.stdout, (rule, done.stdout, done.stderr)
