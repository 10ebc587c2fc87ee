"""The interface of an environment's configuration, whatever environment it describes."""

from __future__ import annotations

from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from pydantic import BaseModel


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


TConfig = TypeVar("TConfig", bound=TaskConfig)
"""The configuration that generators, curricula and tasks are generic in."""


def read_label(config: Any) -> str | None:
    """The text attribute `label` of a configuration (mettagrid's has one), or None."""
    label = getattr(config, "label", None)
    return label if isinstance(label, str) else None


def label_of(config: Any) -> str:
    """The label of a configuration; the name of its class where it has none."""
    return read_label(config) or type(config).__name__


def set_label(config: Any, label: str) -> None:
    """Sets the label of a private configuration that has one; an item that is no configuration
    stays as it is."""
    if isinstance(config, BaseModel) and "label" in type(config).model_fields:
        vars(config)["label"] = label  # also where the model is frozen
        config.model_fields_set.add("label")
    elif isinstance(config, BaseModel) or not isinstance(config, TaskConfig):
        return
    elif "label" in vars(config):
        vars(config)["label"] = label
