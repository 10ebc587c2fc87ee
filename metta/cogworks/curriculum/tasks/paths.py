"""A dotted path into a configuration, checked part by part, and the values that it accepts."""

from __future__ import annotations

import copy
import difflib
import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from metta.cogworks.curriculum.tasks.copier import is_frozen_dataclass, is_immutable

_LONGEST = 60  # characters of a value that are shown
_MOST_NAMES = 10  # that a message lists where none is near
_MOST_REASONS = 3  # why a model refuses a value


class _Step(NamedTuple):
    is_item: bool  # node[key] instead of node.key
    key: Any


def _follow(node: Any, steps: Iterable[_Step]) -> Any:
    for is_item, key in steps:
        node = node[key] if is_item else getattr(node, key)
    return node


class Location:
    """A place inside configurations of one structure, found by `locate`."""

    def __init__(
        self, path: str, steps: tuple[_Step, ...], owner: BaseModel | None, inner: tuple[_Step, ...]
    ) -> None:
        self.path = path
        self._parent_steps = steps[:-1]
        self._last = steps[-1]
        self._owner = (
            owner  # the innermost model around the place; its fields say which values are allowed
        )
        self._inner = inner  # from that model to the place

    def assign(self, config: Any, value: Any) -> None:
        """Puts `value`, which `validate` returned, into `config`, which must be private. Nothing is
        validated again."""
        try:
            node = _follow(config, self._parent_steps)
        except (AttributeError, KeyError, IndexError) as error:
            raise ValueError(
                f"path {self.path!r} exists in the generator's base, but not in this task: "
                f"{error!r}; "
                "tasks whose structure varies cannot be bucketed or overridden there"
            ) from error
        key = self._last.key
        if self._last.is_item:
            node[key] = value
        elif isinstance(node, BaseModel) and key in type(node).model_fields:
            vars(node)[key] = (
                value  # also where the model is frozen: this copy is ours until it is handed out
            )
            node.model_fields_set.add(key)
        else:
            setattr(node, key, value)

    def validate(self, value: Any, what: str) -> Any:
        """`value` as the configuration's own field holds it: coerced, and checked by its type,
        bounds and validators.

        The owning model is validated as a whole with this value in place, so its model validators
        run too; only the addressed field is taken from the result (what other fields a validator
        derives is not).

        Raises:
            ValueError: the field refuses the value; the message starts with `what` and names path,
                value and reason.
        """
        value = copy.deepcopy(value)
        if self._owner is None:
            return value
        name = self._inner[0].key
        fields = dict(vars(self._owner)) | (self._owner.__pydantic_extra__ or {})
        fields[name] = _with_item(fields.get(name), self._inner[1:], value)
        try:
            result = type(self._owner).model_validate(fields, by_name=True)
        except ValidationError as error:
            reasons = "; ".join(
                f"{'.'.join(str(part) for part in detail['loc']) or type(self._owner).__name__}: "
                f"{detail['msg']}"
                for detail in error.errors(include_url=False)[:_MOST_REASONS]
            )
            expected = ""
            if len(self._inner) == 1 and name in type(self._owner).model_fields:
                expected = (
                    f" (expected {_type_name(type(self._owner).model_fields[name].annotation)})"
                )
            raise ValueError(
                f"{what} {self.path!r} does not accept {value!r}: {reasons}{expected}"
            ) from error
        return _follow(result, self._inner)


def _with_item(container: Any, steps: tuple[_Step, ...], value: Any) -> Any:
    """`container` with the item at `steps` replaced; what is changed is copied first."""
    if not steps:
        return value
    clone = copy.copy(container)
    key = steps[0].key
    is_new = isinstance(clone, dict) and key not in clone
    clone[key] = _with_item(None if is_new else clone[key], steps[1:], value)
    return clone


def _type_name(annotation: Any) -> str:
    return (
        annotation.__name__
        if isinstance(annotation, type)
        else str(annotation).replace("typing.", "")
    )


def locate(config: Any, path: str, what: str) -> Location:
    """Finds `path` in `config`.

    A path is dotted: fields of models, keys of dicts, positions in lists
    (`"game.map_builder.instance.objects.wall"`, `"layers.0.width"`). Keys may contain dots; the
    longest key that matches is taken. The last part may be a *new* key of a dict (a reward that the
    base does not give, say); everything else must exist.

    Args:
        what: how errors name the path, for instance `"bucket"`.

    Raises:
        ValueError: a part does not exist or cannot be reached; the message names path and part, and
            close names.
    """
    parts = path.split(".")
    if not all(parts):
        raise ValueError(
            f"{what} path {path!r} has an empty part; write names joined by single dots"
        )
    node, index = config, 0
    steps: list[_Step] = []
    owner: BaseModel | None = None
    owner_at = 0
    while index < len(parts):
        if isinstance(node, BaseModel):
            owner, owner_at = node, len(steps)
        elif not isinstance(node, dict | list):
            owner = None
        step, used = _next_step(node, parts, index, what, path)
        steps.append(step)
        index += used
        is_new_key = step.is_item and isinstance(node, dict) and step.key not in node
        node = None if is_new_key else _follow(node, (step,))
    return Location(path, tuple(steps), owner, tuple(steps[owner_at:]) if owner is not None else ())


def _next_step(node: Any, parts: list[str], index: int, what: str, path: str) -> tuple[_Step, int]:
    """The step from `node` along `parts[index:]` and how many parts it uses up."""
    here = ".".join(parts[:index])
    place = f"{here!r}" if here else f"the configuration ({type(node).__name__})"
    missing = f"{what} path {path!r} does not exist: {place}"
    if isinstance(node, dict):
        return _key_step(node, parts[index:], missing)
    part = parts[index]
    if isinstance(node, list):
        if not part.isdecimal() or int(part) >= len(node):
            raise ValueError(
                f"{missing} is a list of {len(node)}; "
                f"{part!r} must be a position from 0 to {len(node) - 1}"
            )
        return _Step(True, int(part)), 1
    if isinstance(node, BaseModel):
        names = [*type(node).model_fields, *(node.__pydantic_extra__ or {})]
    elif is_immutable(node) or isinstance(node, tuple | set) or is_frozen_dataclass(node):
        raise ValueError(
            f"{missing} is {_brief(node)}, a {type(node).__name__}, which has nothing inside that "
            f"can be set; set {here!r} as a whole"
        )
    else:
        names = list(getattr(node, "__dict__", ()))
    if part not in names:
        raise _no_such_name(missing, part, names)
    return _Step(False, part), 1


def _key_step(node: dict[Any, Any], parts: list[str], missing: str) -> tuple[_Step, int]:
    """The step into a dict: along the longest key that matches, or to a new key."""
    keys = {str(key): key for key in node}
    for end in range(len(parts), 0, -1):
        joined = ".".join(parts[:end])
        if joined in keys:
            return _Step(True, keys[joined]), end
    has_inside = any(isinstance(item, BaseModel | dict | list) for item in node.values())
    if len(parts) > 1 and has_inside:  # so the rest was meant to lead into an entry
        raise _no_such_name(missing, parts[0], keys)
    return _Step(True, ".".join(parts)), len(parts)


def _no_such_name(missing: str, name: str, names: Iterable[Any]) -> ValueError:
    options = [str(option) for option in names]
    close = difflib.get_close_matches(name, options, n=3) or sorted(options)[:_MOST_NAMES]
    hint = f"nearest: {', '.join(close)}" if close else "it has no entries"
    return ValueError(f"{missing} has no {name!r}; {hint}")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def overlap(first: str, second: str) -> bool:
    """Whether one path is the other, or leads into it."""
    return first == second or first.startswith(second + ".") or second.startswith(first + ".")


def refuse_overlaps_among(kind: str, paths: list[str]) -> None:
    """Raises ValueError if two of the paths set the same place."""
    for index, path in enumerate(paths):
        refuse_overlaps(kind, [path], kind, paths[index + 1 :])


def refuse_overlaps(
    kind: str, paths: Iterable[str], other_kind: str, others: Iterable[str]
) -> None:
    """Raises ValueError if a path of one kind sets the same place as one of the other kind."""
    for path, other in itertools.product(paths, list(others)):
        if overlap(path, other):
            raise ValueError(
                f"{kind} {path!r} and {other_kind} {other!r} set the same place; remove one of them"
            )
