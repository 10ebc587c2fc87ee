"""Recipes by name: functions in modules under ``experiments`` that return a tool.

``arena.train``, ``experiments.recipes.arena.train``, ``train arena``, ``arena`` and
``path/to/arena.py:train`` name the same function. A module named without a function means its
``train``.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from metta.cli.settings import told
from metta.usage import UsageError, nearest

DEFAULT_FUNCTION = "train"
_ROOT = "experiments"
_PREFIXES = ("experiments.recipes.", "experiments.", "")
"""Where names are looked up, first to last: recipes, other commands, whatever can be imported."""


@dataclass(frozen=True)
class Recipe:
    """``name`` is the short one, such as ``arena.train``."""

    name: str
    function: Callable[..., Any]


@dataclass(frozen=True)
class Listed:
    """A recipe found by reading its file; nothing was imported. ``summary`` is the docstring's
    first line."""

    name: str
    summary: str


def resolve(words: list[str]) -> Recipe:
    """The recipe named by one word, or by function and module (``train arena``).

    Raises:
        UsageError: there is none of that name; the message has the nearest one.
    """
    match words:
        case [name]:
            pass
        case [function, module]:
            name = f"{module}.{function}"
        case _:
            raise UsageError(
                f"one recipe at a time: got {' '.join(words)!r}; parameters are written key=value"
            )
    if name.endswith(".py") or ".py:" in name:
        return _from_file(name)
    if all(part.isidentifier() for part in name.split(".")):
        for prefix in _PREFIXES:
            found = _from_module(
                prefix, name, short=name.removeprefix("experiments.").removeprefix("recipes.")
            )
            if found is not None:
                return found
    raise UsageError(
        "there is no recipe "
        f"{name!r}{nearest(name, _known_names(), '; tools/run.py --list shows all')}"
    )


def list_recipes() -> list[Listed]:
    """Every recipe under ``experiments``: public functions whose return annotation is a tool, by
    short name."""
    spec = importlib.util.find_spec(_ROOT)
    if spec is None or not spec.submodule_search_locations:
        return []
    found = []
    for folder in spec.submodule_search_locations:
        for path in sorted(Path(folder).rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if any(part.startswith("_") for part in parts):
                continue
            module = ".".join(parts).removeprefix("recipes.")
            found.extend(
                Listed(f"{module}.{node.name}", _summary(node)) for node in _recipe_functions(path)
            )
    return sorted(found, key=lambda listed: listed.name)


def _recipe_functions(path: Path) -> Iterator[ast.FunctionDef]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        print(f"warning: {path} is not listed: line {error.lineno}: {error.msg}", file=sys.stderr)
        return
    for node in tree.body:
        if (
            isinstance(node, ast.FunctionDef)
            and not node.name.startswith("_")
            and node.returns is not None
        ):
            annotation = ast.unparse(node.returns).strip("'\"")
            if annotation.endswith("Tool"):
                yield node


def _summary(node: ast.FunctionDef) -> str:
    text = ast.get_docstring(node) or ""
    return text.splitlines()[0] if text else ""


def _known_names() -> set[str]:
    names = {listed.name for listed in list_recipes()}
    return names | {name.rpartition(".")[0] for name in names}


def _from_module(prefix: str, name: str, short: str) -> Recipe | None:
    if _exists(prefix + name):
        module, function, recipe = name, DEFAULT_FUNCTION, f"{short}.{DEFAULT_FUNCTION}"
    else:
        module, _, function = name.rpartition(".")
        recipe = short
        if not module or not _exists(prefix + module):
            return None
    imported = _import(prefix + module)
    if (prefix + module).split(".")[0] != _ROOT and not _returns_tool(vars(imported).get(function)):
        raise UsageError(
            f"{name!r} is not a recipe: its function does not return a tool; tools/run.py --list "
            "shows all"
        )
    return Recipe(recipe, _function(imported, function, recipe.rpartition(".")[0]))


def _returns_tool(candidate: Any) -> bool:
    if not inspect.isfunction(candidate):
        return False
    returned = candidate.__annotations__.get("return", "")
    name = returned.__name__ if isinstance(returned, type) else str(returned)
    return name.endswith("Tool")


def _import(module: str) -> ModuleType:
    """Import a recipe module. What fails there is the author's to mend, so it is told with its file
    and line."""
    try:
        return importlib.import_module(module)
    except SyntaxError as error:
        raise UsageError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:  # a recipe file may raise anything
        frames = traceback.extract_tb(error.__traceback__)
        spec = importlib.util.find_spec(module)
        own = [frame for frame in frames if spec is not None and frame.filename == spec.origin]
        at = (own or frames)[-1]
        reason = told(error) if isinstance(error, ValidationError) else str(error)
        raise UsageError(
            f"{at.filename}, line {at.lineno}: {type(error).__name__}: {reason}"
        ) from error


def _exists(path: str) -> bool:
    """Whether ``path`` is a module that holds code (a folder without code is a namespace, not a
    recipe)."""
    spec = _spec(path)
    return spec is not None and spec.origin is not None


def _spec(path: str) -> ModuleSpec | None:
    parent = path.rpartition(".")[0]
    if parent:
        if _spec(parent) is None:
            return None
        _import(parent)  # as find_spec would, but with what fails there told
    try:
        return importlib.util.find_spec(path)
    except (
        ModuleNotFoundError,
        ValueError,
    ):  # the parent is no package; a module without a spec, such as __main__
        return None


def _from_file(name: str) -> Recipe:
    file, _, function = name.partition(":")
    path = Path(file).resolve()
    if not path.is_file():
        raise UsageError(f"there is no recipe file {file}")
    # Imported under its own name with its folder on the path, so that spawned workers can import
    # what it defines.
    if _taken(
        path
    ):  # before its folder is on the path, where a later import of that name would find it
        raise UsageError(
            f"the recipe file {file} has the name of a module that is loaded already "
            f"({path.stem}): rename it"
        )
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = _import(path.stem)
    function = function or DEFAULT_FUNCTION
    return Recipe(f"{path.stem}.{function}", _function(module, function, file))


def _taken(path: Path) -> bool:
    """Whether another file is loaded under the name that this one would have."""
    loaded = sys.modules.get(path.stem)
    if loaded is None:
        return path.stem in sys.builtin_module_names
    file = vars(loaded).get("__file__")
    return file is None or Path(file).resolve() != path


def _function(module: ModuleType, name: str, where: str) -> Callable[..., Any]:
    candidate = vars(module).get(name)
    if callable(candidate):
        return candidate
    functions = [
        key
        for key, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not key.startswith("_")
    ]
    raise UsageError(f"{where} has no function {name!r}{nearest(name, functions)}")
