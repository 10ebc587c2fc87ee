"""``key=value`` on the command line: a recipe function's parameters, then fields of the tool it
returned."""

from __future__ import annotations

import ast
import inspect
import json
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from metta.usage import UsageError, nearest

_LISTS_OF_TEXT = (list[str], tuple[str, ...])


@dataclass(frozen=True)
class Setting:
    """One key with its type, its default (as text; None for none) and what it means."""

    key: str
    type: str
    default: str | None
    meaning: str


def split_arguments(arguments: list[str]) -> dict[str, str]:
    """``["a=1", "b.c=2"]`` as a dictionary.

    Raises:
        UsageError: an argument without ``=``, or a key given twice.
    """
    result: dict[str, str] = {}
    for argument in arguments:
        key, sign, value = argument.partition("=")
        if not sign or not key:
            raise UsageError(f"{argument!r} is not a parameter: write key=value")
        if key in result:
            raise UsageError(f"{key} is given twice: {result[key]!r} and {value!r}")
        result[key] = value
    return result


def call_with(function: Callable[..., Any], settings: dict[str, str]) -> tuple[Any, dict[str, str]]:
    """Call ``function`` with those settings that are its parameters; returns its result and the
    settings left over.

    Raises:
        UsageError: a value of the wrong type, or a parameter without default that is not given.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    rest = dict(settings)
    arguments = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name in rest:
            arguments[name] = parse_value(name, rest.pop(name), hints.get(name, Any))
        elif parameter.default is parameter.empty:
            raise UsageError(
                f"the parameter {name} has no default: give {name}=VALUE "
                f"({type_name(hints.get(name, Any))})"
            )
    return function(**arguments), rest


def apply(model: BaseModel, settings: dict[str, str], also_known: list[str]) -> Any:
    """A copy of ``model`` with nested fields set (``trainer.total_timesteps``), validated as a
    whole.

    ``also_known``: names besides the fields that a misspelt key may have meant.

    Raises:
        UsageError: an unknown key, or a value of the wrong type or out of range.
    """
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        node = tree
        *heads, last = key.split(".")
        for head in heads:
            node = node.setdefault(head, {})
            if not isinstance(node, dict):
                raise UsageError(f"{key} lies inside {head}, which is given a value of its own")
        if isinstance(node.get(last), dict):
            raise UsageError(f"{key} is given a value, and so is a key inside it")
        node[last] = value
    return _apply_tree(model, tree, "", also_known)


def _apply_tree(
    model: BaseModel, tree: dict[str, Any], prefix: str, also_known: list[str]
) -> BaseModel:
    fields = type(model).model_fields
    values = {name: getattr(model, name) for name in model.model_fields_set}
    for name, change in tree.items():
        key = prefix + name
        if name not in fields:
            raise UsageError(
                f"there is no key {key!r}{_nearest_key(key, model, prefix, also_known)}"
            )
        if not isinstance(change, dict):
            values[name] = parse_value(key, change, fields[name].annotation)
            continue
        child = getattr(model, name)
        if isinstance(child, BaseModel):
            values[name] = _apply_tree(child, change, key + ".", also_known)
        elif isinstance(child, dict):
            values[name] = {
                **child,
                **{item: parse_value(f"{key}.{item}", text, Any) for item, text in _flat(change)},
            }
        else:
            inside = ", ".join(f"{key}.{item}" for item, _ in _flat(change))
            raise UsageError(
                f"there is no key {inside!r}: {key} is {_shown(child)}, which has no keys inside"
            )
    try:
        return type(model).model_validate(values)
    except ValidationError as error:
        raise UsageError(told(error, prefix)) from error


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    # Keys of a dictionary field may contain dots themselves (buckets, overrides).
    for name, change in tree.items():
        if isinstance(change, dict):
            yield from _flat(change, f"{prefix}{name}.")
        else:
            yield prefix + name, change


def _nearest_key(key: str, model: BaseModel, prefix: str, also_known: list[str]) -> str:
    known = [prefix + name for name in type(model).model_fields]
    return nearest(key, known if prefix else known + also_known)


def parse_value(key: str, text: str, annotation: Any) -> Any:
    """``text`` as a value of ``annotation``: JSON or a Python literal if it is one, else the text
    itself; ``a,b`` is a list of texts.

    Raises:
        UsageError: it is not of that type.
    """
    adapter = TypeAdapter(annotation)
    parsed = text if annotation is str else _literal(text)
    if annotation in _LISTS_OF_TEXT and isinstance(parsed, str):
        parsed = parsed.split(",") if parsed else []
    try:
        return _unless_bool_for_number(key, parsed, adapter.validate_python(parsed), annotation)
    except ValidationError as error:
        if not isinstance(parsed, str):
            try:
                return adapter.validate_python(text)
            except ValidationError:
                pass  # what the literal lacks says more
        reasons = "; ".join(
            dict.fromkeys(_reason(detail) for detail in error.errors() if not _wants_empty(detail))
        )
        raise UsageError(f"{key}={text}: {reasons} (type: {type_name(annotation)})") from error


def _unless_bool_for_number(key: str, parsed: Any, value: Any, annotation: Any) -> Any:
    # pydantic takes True for 1
    if isinstance(parsed, bool) and type(value) in (int, float):
        raise UsageError(
            f"{key}={str(parsed).lower()}: Input should be a number (type: {type_name(annotation)})"
        )
    return value


def _literal(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text


def named_modules(settings: dict[str, str]) -> set[str]:
    """The top-level modules of the class paths among ``settings``: the user named them."""
    names = {text for value in settings.values() for text in _texts(_literal(value))}
    return {name.partition(".")[0] for name in names if _is_class_path(name)}


def _is_class_path(text: str) -> bool:
    return "." in text and all(part.isidentifier() for part in text.split("."))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def told(error: ValidationError, prefix: str = "") -> str:
    """A validation error in one line per problem: key, reason, value."""
    lines = []
    for detail in error.errors():
        key = prefix + ".".join(str(part) for part in detail["loc"])
        given = (
            "" if isinstance(detail["input"], (dict, BaseModel)) else f" (got {detail['input']!r})"
        )
        lines.append(
            f"{key.rstrip('.')}: {_reason(detail)}{given}" if key else f"{_reason(detail)}{given}"
        )
    return "\n".join(lines)


def _wants_empty(detail: Any) -> bool:
    """Whether all it says is that "" would do: the value that stands for a choice made
    elsewhere."""
    return detail["type"] == "literal_error" and detail["ctx"]["expected"] == "''"


def _reason(detail: Any) -> str:
    return detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")


def function_settings(function: Callable[..., Any]) -> list[Setting]:
    """The parameters of a recipe function."""
    hints = typing.get_type_hints(function, include_extras=True)
    return [
        Setting(
            name,
            type_name(hints.get(name, Any)),
            None if parameter.default is parameter.empty else _shown(parameter.default),
            "",
        )
        for name, parameter in inspect.signature(function).parameters.items()
    ]


def model_settings(model: BaseModel, prefix: str = "") -> list[Setting]:
    """The fields of a tool, nested ones of this package by their dotted key."""
    settings = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel) and type(value).__module__.startswith("metta."):
            settings.extend(model_settings(value, f"{prefix}{name}."))
        else:
            meaning = field.description or ""
            settings.append(
                Setting(prefix + name, type_name(field.annotation), _shown(value), meaning)
            )
    return settings


def type_name(annotation: Any) -> str:
    """A type as a reader writes it: ``int``, ``int | None``, ``'auto' | 'cpu'``."""
    if annotation is Any:
        return "any"
    if annotation is type(None):
        return "None"
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " | ".join(
            repr(value) for value in typing.get_args(annotation) if value != ""
        )  # "": chosen elsewhere
    if origin is typing.Annotated:
        return type_name(typing.get_args(annotation)[0])
    if origin is typing.Union or str(origin) == "<class 'types.UnionType'>":
        return " | ".join(filter(None, map(type_name, typing.get_args(annotation))))
    if origin is None and isinstance(annotation, type):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")


_LONGEST = 60
"""Characters of a default in the help."""


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        return type(value).__qualname__
    text = str(value) if not isinstance(value, str) else value or '""'
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
