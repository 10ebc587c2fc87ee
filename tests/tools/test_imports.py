"""Imports point one way: no folder imports one above it, and no modules import each other in a
circle; imports for types only and those inside functions count too."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("experiments", "metta.cli", "metta.tools", "metta.rl", "metta.sim")
"""Highest first; below all of them, metta.usage and metta.cogworks.curriculum."""


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in (ROOT / package.replace(".", "/")).rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = {name: path for layer in LAYERS for name, path in modules(layer).items()}


def imports(path: Path) -> set[str]:
    """The names that a module imports from, wherever in it the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is a relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_imports_one_above_it(layer: str) -> None:
    above = LAYERS[: LAYERS.index(layer)]
    upward = [
        f"{name} imports {imported}"
        for name, path in modules(layer).items()
        for imported in imports(path)
        if any(within(imported, package) for package in above)
    ]
    assert upward == []


def test_the_lowest_import_none_of_the_layers() -> None:
    lowest = {**modules("metta.cogworks"), "metta.usage": ROOT / "metta/usage.py"}
    upward = [
        f"{name} imports {imported}"
        for name, path in lowest.items()
        for imported in imports(path)
        if any(within(imported, package) for package in LAYERS)
    ]
    assert upward == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: imports(path) & (MODULES.keys() - {name}) for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
