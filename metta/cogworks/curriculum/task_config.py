"""What the task generators need to know about a configuration object, whatever environment it
describes.

* `TaskConfig`: the interface of a configuration; every pydantic model has it.
* `class_path`, `resolve_class`: a class as text, for JSON and YAML.
* `compile_copier`: copies of one template, each private, made as fast as plain Python can.
* `locate`: a dotted path into a configuration, checked part by part, and the values that it
  accepts.
* `read_invariants`: the quantities that the policy network depends on, where the configuration has
  them.
"""

import copy
import dataclasses
import difflib
import enum
import importlib
import math
import re
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Any, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from pydantic import BaseModel, ValidationError


@runtime_checkable
class TaskConfig(Protocol):
    """Configuration of one environment. Every `pydantic.BaseModel` has these methods."""

    def model_copy(self, *, deep: bool = False) -> Self:
        """Returns a copy; with `deep` it shares no mutable state with this object."""
        ...

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """Returns plain containers; with `mode="json"` only what JSON can hold."""
        ...

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        """Returns the configuration that `model_dump` described."""
        ...


T = TypeVar("T")


# ---------------------------------------------------------------------------------------------- cla


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


def resolve_class(path: str, expected: type[Any] = object) -> type[Any]:
    """The class that `class_path` named. Imports its module, as `import` would.

    Args:
        path: `"package.module.Outer.Inner"`.
        expected: the result must be this class or a subclass of it.

    Raises:
        ValueError: there is no such module, no such name in it, or it is not a subclass of
            `expected`.
    """
    parts = path.split(".")
    if not all(part.isidentifier() for part in parts):
        raise ValueError(f"type {path!r} is not a class path; expected package.module.Class")
    found, missing = _import_longest(parts)
    for part in parts[len(parts) - len(missing) :]:
        found = getattr(found, part, None)
        if found is None:
            raise ValueError(
                f"type {path!r} does not exist: there is no {part!r}; is its module importable "
                "here?"
            )
    if not isinstance(found, type):
        raise ValueError(f"type {path!r} is a {type(found).__name__}, not a class")
    if not issubclass(found, expected):
        raise ValueError(f"type {path!r} is not a subclass of {class_path(expected)}")
    return found


def _import_longest(parts: list[str]) -> tuple[Any, list[str]]:
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            return importlib.import_module(name), parts[length:]
        except ModuleNotFoundError as error:
            if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
                raise  # the module exists, but something that it imports does not
    raise ValueError(
        f"type {'.'.join(parts)!r} does not exist: no module {parts[0]!r} can be imported; "
        "expected package.module.Class of an installed package"
    )


# ---------------------------------------------------------------------------------------------- pri

_IMMUTABLE = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    enum.Enum,
    type,
    PurePath,
    re.Pattern,
    np.generic,
)


def is_immutable(value: Any) -> bool:
    """Whether `value`, all the way down, is of a kind that cannot be changed, and so may be
    shared."""
    if isinstance(value, _IMMUTABLE):
        return True
    if isinstance(value, tuple | frozenset):
        return all(is_immutable(item) for item in value)
    if _is_frozen_dataclass(value):
        return all(is_immutable(getattr(value, field.name)) for field in dataclasses.fields(value))
    return False


def _is_frozen_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and getattr(type(value), "__dataclass_params__").frozen  # noqa: B009


def compile_copier(template: T) -> Callable[[], T]:
    """A function that returns a new copy of `template` at each call, equal to it and sharing no
    mutable object with it.

    The structure is walked once, here; a call then only makes the objects. Immutable parts
    (`is_immutable`) are shared. Pydantic models, dicts and lists are rebuilt; whatever else is
    mutable goes through `copy.deepcopy`, and so do models that define copying themselves or hold
    private attributes. The template must not change afterwards.

    Why not `model_copy(deep=True)`: for mettagrid's 24-agent arena it takes 610 µs, and
    `pickle.loads` of a cached dump 105 µs, where a call of this copier takes 16 µs. (One CPU core,
    Python 3.11, median of 7.)

    Raises:
        ValueError: the template contains itself.
    """
    copier = _copier(template, ())
    return (lambda: template) if copier is None else copier


def _copier(value: Any, inside: tuple[int, ...]) -> Callable[[], Any] | None:
    """A function that copies `value`, or None if it may be shared."""
    if is_immutable(value):
        return None
    if id(value) in inside:
        raise ValueError(
            f"the configuration contains itself, through a {type(value).__name__}; it must be a "
            "tree"
        )
    inside = (*inside, id(value))
    if isinstance(value, BaseModel) and _copies_like_a_plain_model(value):
        return _model_copier(value, inside)
    if type(value) is dict:
        return _container_copier(
            value, [(key, _copier(item, inside)) for key, item in value.items()]
        )
    if type(value) is list:
        return _container_copier(
            value, [(index, _copier(item, inside)) for index, item in enumerate(value)]
        )
    return lambda: copy.deepcopy(value)


def _copies_like_a_plain_model(model: BaseModel) -> bool:
    cls = type(model)
    return (
        cls.__copy__ is BaseModel.__copy__
        and cls.__deepcopy__ is BaseModel.__deepcopy__
        and model.__pydantic_private__ is None
        and model.__pydantic_extra__ is None
    )


def _model_copier(model: BaseModel, inside: tuple[int, ...]) -> Callable[[], BaseModel]:
    cls = type(model)
    # Without what cached properties left there: it would go stale when a field is overridden.
    template = {name: item for name, item in vars(model).items() if name in cls.model_fields}
    mutable = [
        (name, make)
        for name, item in template.items()
        if (make := _copier(item, inside)) is not None
    ]
    new, set_attribute = cls.__new__, object.__setattr__
    copy_fields, copy_fields_set = template.copy, set(model.model_fields_set).copy

    def make_copy() -> BaseModel:
        # What `BaseModel.__copy__` does, of a model without extra and private attributes, in 0.4
        # instead of 1 µs.
        clone, fields = new(cls), copy_fields()
        for name, make in mutable:
            fields[name] = make()
        set_attribute(clone, "__dict__", fields)
        set_attribute(clone, "__pydantic_fields_set__", copy_fields_set())
        set_attribute(clone, "__pydantic_extra__", None)
        set_attribute(clone, "__pydantic_private__", None)
        return clone

    return make_copy


def _container_copier(
    container: Any, items: list[tuple[Any, Callable[[], Any] | None]]
) -> Callable[[], Any]:
    mutable = [(key, make) for key, make in items if make is not None]
    shallow = container.copy
    if not mutable:
        return shallow

    def make_copy() -> Any:
        clone = shallow()
        for key, make in mutable:
            clone[key] = make()
        return clone

    return make_copy


# ---------------------------------------------------------------------------------------------- pla


def plain(value: Any, what: str) -> Any:
    """`value` as JSON would give it back: what a bucket or an override may hold.

    Numbers, strings, booleans, None, and lists and string-keyed dicts of these stay as they are;
    tuples become lists, numpy scalars and enum members their value, pydantic models their dump (the
    field makes a model of it again).

    Raises:
        ValueError: NaN, a dict key that is not a string, or another type; the message starts with
            `what`.
    """
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json", serialize_as_any=True), what)
    if isinstance(value, enum.Enum):
        return plain(value.value, what)
    if isinstance(value, np.generic):
        return plain(value.item(), what)
    if isinstance(value, float) and math.isnan(value):
        raise ValueError(f"{what}: NaN is not a value; give a number")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(item, what) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(
                    f"{what}: the key {key!r} is a {type(key).__name__}; write it as a string, "
                    "the configuration's own type converts it"
                )
        return {key: plain(item, what) for key, item in value.items()}
    raise ValueError(
        f"{what}: {value!r} is a {type(value).__name__}; allowed are numbers, strings, booleans, "
        "None, "
        "lists, dicts and pydantic models"
    )


# ---------------------------------------------------------------------------------------------- pat


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
                for detail in error.errors(include_url=False)[:3]
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
    part, here = parts[index], ".".join(parts[:index])
    place = f"{here!r}" if here else f"the configuration ({type(node).__name__})"

    def missing(name: str, names: Iterable[Any]) -> ValueError:
        options = [str(option) for option in names]
        close = difflib.get_close_matches(name, options, n=3) or sorted(options)[:10]
        hint = f"nearest: {', '.join(close)}" if close else "it has no entries"
        return ValueError(f"{what} path {path!r} does not exist: {place} has no {name!r}; {hint}")

    if isinstance(node, dict):
        keys = {str(key): key for key in node}
        for end in range(len(parts), index, -1):
            joined = ".".join(parts[index:end])
            if joined in keys:
                return _Step(True, keys[joined]), end - index
        rest = ".".join(parts[index:])
        if index < len(parts) - 1 and any(
            isinstance(item, BaseModel | dict | list) for item in node.values()
        ):
            raise missing(
                part, keys
            )  # its entries have an inside, so the rest was meant to lead there
        return _Step(True, rest), len(parts) - index
    if isinstance(node, list):
        if not part.isdecimal() or int(part) >= len(node):
            raise ValueError(
                f"{what} path {path!r} does not exist: {place} is a list of {len(node)}; "
                f"{part!r} must be a position from 0 to {len(node) - 1}"
            )
        return _Step(True, int(part)), 1
    if isinstance(node, BaseModel):
        names = [*type(node).model_fields, *(node.__pydantic_extra__ or {})]
    elif is_immutable(node) or isinstance(node, tuple | set) or _is_frozen_dataclass(node):
        raise ValueError(
            f"{what} path {path!r} does not exist: {place} is {_brief(node)}, a "
            f"{type(node).__name__}, which has "
            f"nothing inside that can be set; set {here!r} as a whole"
        )
    else:
        names = list(getattr(node, "__dict__", ()))
    if part not in names:
        raise missing(part, names)
    return _Step(False, part), 1


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def overlap(first: str, second: str) -> bool:
    """Whether one path is the other, or leads into it."""
    return first == second or first.startswith(second + ".") or second.startswith(first + ".")


# ---------------------------------------------------------------------------------------------- met

# The attribute of an action that holds its variants; each is an action of the policy.
_ACTION_VARIANTS = {"move": "allowed_directions", "change_vibe": "vibes"}


def read_label(config: Any) -> str | None:
    """The text attribute `label` of a configuration (mettagrid's has one), or None."""
    label = getattr(config, "label", None)
    return label if isinstance(label, str) else None


def read_invariants(config: Any) -> dict[str, Any]:
    """What must be equal in all tasks, because the shape of the policy network follows from it.

    For a configuration with `game` (mettagrid's): `num_agents`; `resource_names`, whose order is
    that of the observation; `actions`, the enabled ones with the number of their variants.
    Quantities that it lacks are left out, so for other configurations the result is empty.
    """
    game = getattr(config, "game", None)
    num_agents, resources = getattr(game, "num_agents", None), getattr(game, "resource_names", None)
    actions = getattr(game, "actions", None)
    found: dict[str, Any] = {}
    if isinstance(num_agents, int):
        found["num_agents"] = num_agents
    if isinstance(resources, list | tuple):
        found["resource_names"] = tuple(resources)
    if isinstance(actions, BaseModel):
        found["actions"] = {
            name: len(getattr(action, _ACTION_VARIANTS[name], ()))
            if name in _ACTION_VARIANTS
            else 1
            for name, action in vars(actions).items()
            if getattr(action, "enabled", True)
        }
    return found


# Where each quantity stands in the configuration: to say which override changed it.
INVARIANT_PATHS = {
    "num_agents": "game.num_agents",
    "resource_names": "game.resource_names",
    "actions": "game.actions",
}
