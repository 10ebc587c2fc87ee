"""Configurations in which an unknown field is an error."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator


class StrictConfig(BaseModel):
    """A configuration in which an unknown field is an error that names the nearest one."""

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, arbitrary_types_allowed=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for name in data:
                if name not in cls.model_fields and name != "type":
                    raise ValueError(unknown_field(cls.__name__, str(name), list(cls.model_fields)))
        return data

    @field_validator("*", mode="before")
    @classmethod
    def _no_look_alikes(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what would be converted, but is another thing: booleans for numbers,
        bytes for anything. Numbers in text are what a command line sends."""
        name = info.field_name or ""
        kinds = {*get_args(cls.model_fields[name].annotation), cls.model_fields[name].annotation}
        is_bytes = isinstance(value, bytes | bytearray)
        is_bool = isinstance(value, bool | np.bool_) and bool not in kinds and {int, float} & kinds
        if is_bytes or is_bool:
            raise ValueError(f"{name}={value!r:.60} is not allowed: it is a {type(value).__name__}")
        return value


def unknown_field(owner: str, name: str, known: Sequence[str]) -> str:
    """What to say about a field that does not exist."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"fields: {', '.join(known)}"
    return f"{owner} has no field {name!r}; {hint}"
