"""The scorers that have a name, and how a scorer is found by it."""

from __future__ import annotations

from typing import Any

from metta.cogworks.curriculum.lp_scorers import (
    BasicLPScorer,
    BidirectionalLPScorer,
    LearnabilityScorer,
    SignedLPScorer,
)
from metta.cogworks.curriculum.posterior_scorer import PosteriorLPScorer
from metta.cogworks.curriculum.scorer import LPScorer
from metta.cogworks.curriculum.tasks.class_paths import class_path, resolve_class

SCORERS: dict[str, type[LPScorer]] = {
    "posterior": PosteriorLPScorer,
    "bidirectional": BidirectionalLPScorer,
    "signed": SignedLPScorer,
    "basic": BasicLPScorer,
    "learnability": LearnabilityScorer,
}


def scorer_path(value: Any) -> Any:
    """Name or class path of a scorer, given that or its class.

    Raises:
        ValueError: there is no such scorer.
    """
    if isinstance(value, type) and issubclass(value, LPScorer):
        return path_of(value)
    if isinstance(value, str) and value and value not in SCORERS:
        if "." not in value:
            raise ValueError(
                f"scorer={value!r} does not exist: use {', '.join(SCORERS)} or a class path "
                "'module.Class'"
            )
        resolve_class(value, LPScorer)
    return value


def path_of(kind: type[LPScorer]) -> str:
    """Name of a scorer's class in a configuration: its short one, or its class path."""
    name = next((name for name, known in SCORERS.items() if known is kind), None)
    return class_path(kind) if name is None else name


def scorer_class(name: str) -> type[LPScorer]:
    """The scorer with this name or class path."""
    return SCORERS.get(name) or resolve_class(name, LPScorer)


def scorer_name(scorer: LPScorer) -> str:
    """The name of a scorer in saved states: that of the configuration, or the path of its class."""
    kind = type(scorer)
    path = f"{kind.__module__}.{kind.__qualname__}"
    return next((name for name, known in SCORERS.items() if known is kind), path)
