"""Configurations in which an unknown field is an error."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


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


def unknown_field(owner: str, name: str, known: Sequence[str]) -> str:
    """What to say about a field that does not exist."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"fields: {', '.join(known)}"
    return f"{owner} has no field {name!r}; {hint}"
