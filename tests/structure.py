"""What the source tree must look like, as functions of a tree: each returns its faults, subject →
what is wrong."""

import ast
import graphlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

MOST_LINES = 400
MOST_FUNCTION_LINES = 60
FOLDERS = ("metta", "experiments", "tools")

LAYERS: tuple[tuple[str, ...], ...] = (
    ("tools",),
    ("experiments",),
    ("metta.cli",),
    ("metta.tools",),
    ("metta.report", "metta.rl"),
    ("metta.sim", "agora"),
    ("metta.cogworks.curriculum",),
    ("metta.cogworks.curriculum.pool", "metta.cogworks.curriculum.tasks"),
    ("metta.cogworks.curriculum.sessions",),
    ("metta.usage",),
)
"""Folders from top to bottom: each may import those below it. The longest prefix of a module's name
says where it lies."""

Faults = dict[str, str]
Trees = dict[str, ast.Module]
Edges = set[tuple[str, str]]


def python_files(root: Path, folders: Sequence[str] = FOLDERS) -> list[Path]:
    """All modules of these folders."""
    return sorted(path for folder in folders for path in (root / folder).rglob("*.py"))


def long_modules(root: Path, most: int = MOST_LINES) -> Faults:
    """Modules of more than ``most`` lines."""
    counts = {
        str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files(root)
    }
    return {path: f"{n} lines, at most {most}" for path, n in counts.items() if n > most}


def long_functions(root: Path, most: int = MOST_FUNCTION_LINES) -> Faults:
    """Functions of more than ``most`` lines, from ``def`` to the end.

    Without the lines of the docstring: a public function that says all that a reader needs is not
    to be made to say less.
    """
    faults = {}
    for path in python_files(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                n = _lines(node) - (_lines(node.body[0]) if ast.get_docstring(node) else 0)
                if n > most:
                    subject = f"{path.relative_to(root)}:{node.name}"
                    faults[subject] = f"{n} lines without its docstring, at most {most}"
    return faults


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def modules(root: Path) -> Trees:
    """The modules of the tree by the name they are imported under."""
    return {
        name_of(path.relative_to(root)): ast.parse(path.read_text(encoding="utf-8"))
        for path in python_files(root)
    }


def name_of(path: Path) -> str:
    """Name that a file is imported under. What lies in metta/_compat is top level in the wheel."""
    parts = path.with_suffix("").parts
    parts = parts[2:] if parts[:2] == ("metta", "_compat") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(root: Path) -> Edges:
    """(importer, imported) among the modules of the tree, type-only and function-level imports
    included.

    ``from package import name`` is an import of ``package.name`` where that is a module, and of the
    package otherwise.
    """
    trees = modules(root)
    packages = {name_of(p.relative_to(root)) for p in python_files(root) if p.stem == "__init__"}
    return {
        (importer, imported)
        for importer, tree in trees.items()
        for node in ast.walk(tree)
        for imported in _imported(node, importer, importer in packages, trees)
        if imported in trees and imported != importer
    }


def _imported(node: ast.AST, importer: str, is_package: bool, known: Trees) -> Iterable[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        above = importer.split(".")
        above = above[: len(above) - node.level + is_package]
        base = ".".join([*above, base] if base else above)
    names = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name in known else base for name in names]


def upward_imports(edges: Edges, layers: Sequence[Sequence[str]] = LAYERS) -> Faults:
    """Imports of a layer above the importer's."""
    return {
        f"{importer} -> {imported}": "is an import of a layer above"
        for importer, imported in edges
        if _layer(imported, layers) < _layer(importer, layers)
    }


def _folder(module: str, layers: Sequence[Sequence[str]]) -> str:
    """The longest entry of the layers that is the module or a folder around it."""
    return max(
        (e for layer in layers for e in layer if f"{module}.".startswith(f"{e}.")),
        key=len,
        default="",
    )


def _layer(module: str, layers: Sequence[Sequence[str]]) -> int:
    folder = _folder(module, layers)
    return next((i for i, layer in enumerate(layers) if folder in layer), 0)


def modules_without_layer(root: Path, layers: Sequence[Sequence[str]] = LAYERS) -> Faults:
    """Modules that the table of layers does not know, but for empty packages."""
    return {
        name: "lies in no layer: add its folder to LAYERS"
        for name, tree in modules(root).items()
        if tree.body and not _folder(name, layers)
    }


def cycles(edges: Edges) -> Faults:
    """Circles of imports: one per edge that must go for the rest to have none."""
    faults, edges = {}, set(edges)
    while True:
        graph: dict[str, set[str]] = {}
        for importer, imported in sorted(edges):
            graph.setdefault(importer, set()).add(imported)
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            circle = list(reversed(error.args[1]))  # graphlib's order is that of the imported
            last = (circle[0], circle[1])
            faults[" -> ".join(last)] = f"closes a circle: {' -> '.join(circle)}"
            edges.discard(last)
        else:
            return faults


def folder_edges(edges: Edges, layers: Sequence[Sequence[str]] = LAYERS) -> Edges:
    """The same imports, among the folders of the layers."""
    pairs = {(_folder(a, layers), _folder(b, layers)) for a, b in edges}
    return {(a, b) for a, b in pairs if a != b and a and b}


def import_faults(
    root: Path, exceptions: Iterable[str] = (), layers: Sequence[Sequence[str]] = LAYERS
) -> Faults:
    """What is wrong with the imports of a tree, given that some, ``importer -> imported``, are
    excepted. An excepted one is a fault too where it would be one beside the others."""

    def faults_of(edges: Edges) -> Faults:
        return upward_imports(edges, layers) | cycles(edges) | cycles(folder_edges(edges, layers))

    edges, excepted = imports(root), set(exceptions)
    rest = {edge for edge in edges if " -> ".join(edge) not in excepted}
    needed = {" -> ".join(edge): "excepted" for edge in edges - rest if faults_of(rest | {edge})}
    return faults_of(rest) | modules_without_layer(root, layers) | needed


def without_exceptions(faults: Mapping[str, str], exceptions: Mapping[str, str]) -> list[str]:
    """The faults that are not excepted, and the exceptions that nothing needs, in words."""
    return [
        *(
            f"{subject}: {fault}"
            for subject, fault in sorted(faults.items())
            if subject not in exceptions
        ),
        *(
            f"{subject}: excepted, but it is no fault any more: delete the exception"
            for subject in exceptions
            if subject not in faults
        ),
    ]
