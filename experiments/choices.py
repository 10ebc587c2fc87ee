"""Settings of commands that name some of what there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from metta.usage import nearest


def chosen(
    key: str,
    text: str,
    known: Sequence[str],
    groups: Mapping[str, Iterable[str]] = MappingProxyType({}),
) -> list[str]:
    """The names in ``text``, separated by commas, or those of a group; the group ``all`` is all of
    ``known``, unless ``groups`` says otherwise.

    Raises:
        ValueError: one is not among ``known``; the message names ``key`` and the nearest.
    """
    groups = {"all": known, **groups}
    if text in groups:
        return list(groups[text])
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise ValueError(
                f"{key}={text}: there is no {name!r}{nearest(name, list(known))}. Use "
                f"{', '.join(groups)}, or some of {', '.join(known)}"
            )
    return names


def check_fields(prefix: str, given: dict[str, Any], model: type[Any]) -> None:
    """Raises ValueError where ``given`` has a name that is no field of the model; the message names
    the nearest one."""
    for name in given:
        if name not in model.model_fields:
            raise ValueError(f"there is no {prefix}{name}{nearest(name, list(model.model_fields))}")
