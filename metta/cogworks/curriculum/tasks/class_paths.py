"""A class as text, for JSON and YAML, and which of such texts may be followed.

A name in data (JSON, YAML, a saved state) is somebody else's word, and importing a module runs it.
So a name is looked up in the modules that the running program has loaded. Only modules of this
package, of mettagrid, and of packages that the caller trusts are imported for it:

    with trusting("my_project"):
        config = CurriculumConfig.model_validate_json(text)

A class given as a class, and what pickle brings to a worker process, need no trust.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_OWN = ("metta", "agora")
_MINE = Path(__file__).resolve().parents[3]  # the folder `metta`
_HOMES = {"metta": (_MINE,), "agora": (_MINE.parent / "agora", _MINE / "_compat" / "agora")}
_ENVIRONMENTS = "mettagrid"

_WAY_OUT = (
    "trust=({0!r},) where a call takes it, or `with metta.cogworks.curriculum.trusting({0!r}):` "
    "around it"
)

_trusted: ContextVar[tuple[str, ...]] = ContextVar("trusted", default=())


def class_path(obj_or_cls: object) -> str:
    """`"package.module.Outer.Inner"` of a class, or of the class of an object.

    Raises:
        ValueError: the class was made inside a function, where no other process can find it.
    """
    cls = obj_or_cls if isinstance(obj_or_cls, type) else type(obj_or_cls)
    if "<locals>" in cls.__qualname__:
        raise ValueError(
            f"{cls.__module__}.{cls.__qualname__} is defined inside a function, so it has no path "
            "by which "
            "it can be loaded again; move the class to the top level of its module"
        )
    return f"{cls.__module__}.{cls.__qualname__}"


@contextmanager
def trusting(*modules: str) -> Iterator[None]:
    """Within the block, names in data may import these modules, and those inside them.

    Trust holds for the thread or the asyncio task that entered the block, and adds to that of the
    blocks around it.

    Raises:
        ValueError: one of them is no module name.
    """
    for module in modules:
        _parts_of(module, "trust", "a module name, for instance 'my_project'")
    token = _trusted.set((*_trusted.get(), *modules))
    try:
        yield
    finally:
        _trusted.reset(token)


def resolve_class(path: str, expected: type[Any] = object, trust: Iterable[str] = ()) -> type[Any]:
    """The class that `class_path` named.

    It is looked up in the modules that are loaded. A module that is not is imported only if it
    belongs to this package or to mettagrid, or lies in a module that `trust` or `trusting` names.

    Args:
        path: `"package.module.Outer.Inner"`.
        expected: the result must be this class or a subclass of it.
        trust: names of modules that may be imported for this, with all that lies in them.

    Raises:
        ValueError: `path` is no class path; its module may not be imported, or fails to be; there
            is no such name in it; or it is not a subclass of `expected`.
    """
    if not isinstance(expected, type):
        raise TypeError(f"expected={expected!r} is no class; give the class that is wanted")
    trusted = _all_trusted(trust)
    parts = _parts_of(path, "type", "a class path: package.module.Class", at_least=2)
    found, rest = _loaded(parts)
    if rest:
        module = _import_longest(parts, trusted)
        if module is None and found is None:
            allowed = _is_trusted(path, trusted)
            raise ValueError(_not_there(path, parts) if allowed else _refusal(path, parts))
        if module is not None:
            found, rest = module
        if rest:
            raise ValueError(_missing(path, parts, rest))
    if not isinstance(found, type):
        raise ValueError(f"type {path!r} is a {type(found).__name__}, not a class")
    if not issubclass(found, expected):
        raise ValueError(f"type {path!r} is not a subclass of {class_path(expected)}")
    return found


def refuse_untrusted_types(data: Any) -> None:
    """Checks every `"type": "package.module.Class"` inside plain data that others will follow.

    mettagrid's configurations import what such an entry names, whatever stands before its last dot.
    Entries without a dot are theirs to understand.

    Raises:
        ValueError: one of them names what `resolve_class` would not resolve.
    """
    if isinstance(data, Mapping):
        for key in ("type", "scorer"):
            name = data.get(key)
            if isinstance(name, str) and "." in name and not _is_trusted(name, _trusted.get()):
                resolve_class(name)
        data = data.values()
    elif not isinstance(data, list | tuple):
        return
    for item in data:
        refuse_untrusted_types(item)


def _parts_of(path: Any, what: str, expected: str, at_least: int = 1) -> list[str]:
    parts = path.split(".") if isinstance(path, str) else []
    if len(parts) < at_least or not all(part.isidentifier() for part in parts):
        raise ValueError(f"{what} {path!r} is not {expected}")
    return parts


def _all_trusted(trust: Any) -> tuple[str, ...]:
    one = isinstance(trust, str) or not isinstance(trust, Iterable)
    given: tuple[Any, ...] = (trust,) if one else tuple(trust)
    for module in given:
        _parts_of(module, "trust", "a module name, for instance 'my_project'")
    return (*_trusted.get(), *given)


def _is_trusted(name: str, trusted: Iterable[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in trusted)


def _loaded(parts: list[str]) -> tuple[Any, list[str]]:
    """The object as far as loaded modules have it, and what is left of the path."""
    for length in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:length]))
        if module is not None:
            return _descend(module, parts[length:])
    return None, parts


def _descend(found: Any, rest: list[str]) -> tuple[Any, list[str]]:
    # Statically, because a module's __getattr__ may import.
    while rest:
        inner = inspect.getattr_static(found, rest[0], None)
        if inner is None:
            break
        found, rest = inner, rest[1:]
    return found, rest


def _import_longest(parts: list[str], trusted: tuple[str, ...]) -> tuple[Any, list[str]] | None:
    """What `_loaded` says after importing the modules of the path; None if there is none that may
    be imported."""
    found = False
    for length in range(1, len(parts)):
        name = ".".join(parts[:length])
        if _is_trusted(name, trusted) or _is_ours(name):
            if not _import(name):
                break
            found = True
    return _loaded(parts) if found else None


def _import(name: str) -> bool:
    """Imports a module; False if there is none of that name."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise ValueError(f"module {name!r} cannot be imported: {error}") from error
        return False
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return True


def _is_ours(name: str) -> bool:
    """Whether a module is one of this package or of mettagrid, and not another's of that name."""
    top = name.partition(".")[0]
    if top == _ENVIRONMENTS:
        return top in sys.modules or not _lies_in_working_folder(top)
    return top in _OWN and _origin(top) in _HOMES[top]


def _origin(top: str) -> Path | None:
    """The folder of a top-level package, found without running anything."""
    module = sys.modules.get(top)
    spec = module.__spec__ if module is not None else importlib.util.find_spec(top)
    origin = None if spec is None else spec.origin
    return None if origin is None else Path(origin).resolve().parent


def _lies_in_working_folder(top: str) -> bool:
    folder = _origin(top)
    here = Path.cwd()
    return folder is not None and here in (folder, folder.parent)


def _missing(path: str, parts: list[str], rest: list[str]) -> str:
    place = ".".join(parts[: len(parts) - len(rest)])
    text = f"type {path!r} does not exist: there is no {rest[0]!r} in {place}"
    if parts[0] in (*_OWN, _ENVIRONMENTS):
        return text
    return (
        f"{text}, as far as this program has imported it; if it is a module, import it first, or "
        f"allow it: {_WAY_OUT.format(parts[0])}"
    )


def _not_there(path: str, parts: list[str]) -> str:
    return (
        f"type {path!r} does not exist: no module {parts[0]!r} can be imported; give a class path "
        "package.module.Class, of a package that is installed or on the path"
    )


def _refusal(path: str, parts: list[str]) -> str:
    if parts[0] in (*_OWN, _ENVIRONMENTS):
        return (
            f"type {path!r} does not exist: no module {parts[0]!r} is installed (one in the "
            "working folder does not count, unless the program imports it)"
        )
    return (
        f"type {path!r} names a module that this program has not imported, {parts[0]!r}. "
        "Importing it would run it because data said so. If you trust it, import it first, or "
        f"allow it: {_WAY_OUT.format(parts[0])}"
    )
