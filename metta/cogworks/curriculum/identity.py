"""Whether a saved state is this curriculum's own."""

from __future__ import annotations

import json
from typing import Any

from metta.cogworks.curriculum.differences import differences
from metta.cogworks.curriculum.pool.layout import IS_ACTIVE, TASK_ID
from metta.cogworks.curriculum.tasks.regions import Regions

_SCORING = ("scorer", "use_bidirectional", "sampling")  # another scorer begins anew, and says so
_FAMILY = ("task_generator", "max_task_id", "regions")


def check_representatives(pool: dict[str, Any], regions: Regions) -> None:
    """Whether each task of a saved pool, as an algorithm's ``check_state`` returns it, stands for a
    region.

    Raises:
        ValueError: one does not.
    """
    ids = pool["rows"][pool["rows"][:, IS_ACTIVE] != 0.0, TASK_ID].astype(int).tolist()
    wrong = set(ids) - set(regions.representatives)
    if wrong:
        raise ValueError(
            f"saved pool is inconsistent: its task {min(wrong)} stands for no region of this "
            "curriculum's tasks"
        )


def saved_identity(state: dict[str, Any]) -> dict[str, Any]:
    """What made a saved state: the identity of its curriculum. Raises ValueError where it does not
    say so."""
    saved = _told_identity(state)
    if saved is None:
        told = state.get("identity")
        raise ValueError(f"saved state does not say whose it is: its identity is {told!r:.60}")
    return saved


def _told_identity(state: dict[str, Any]) -> dict[str, Any] | None:
    text = state.get("identity")
    try:
        saved = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return saved if isinstance(saved, dict) else None


def same_family(saved: dict[str, Any], identity: dict[str, Any]) -> bool:
    """Whether task ids mean the same to two curricula."""
    ours = json.loads(json.dumps(identity))
    return all(saved.get(name) == ours.get(name) for name in _FAMILY)


def check_family(state: dict[str, Any], identity: dict[str, Any]) -> None:
    """:func:`check_identity`, if the families differ: to be called before the pool is looked at,
    whose ids and size follow from them. Says nothing of a state that does not say what its family
    is."""
    saved = _told_identity(state)
    if saved is not None and "max_task_id" in saved and not same_family(saved, identity):
        check_identity(saved, identity)


def check_identity(saved: dict[str, Any], identity: dict[str, Any], of_family: bool = True) -> None:
    """Compare what made a saved state with what loads it.

    Args:
        saved: what :func:`saved_identity` returned.
        identity: what :meth:`~metta.cogworks.curriculum.config.CurriculumConfig.identity` gives.
        of_family: whether task ids must mean the same.

    Raises:
        ValueError: they differ: the message names each field that does, with both values.
    """
    saved, ours = dict(saved), json.loads(json.dumps(identity))
    for each in (saved, ours):
        if isinstance(each.get("algorithm"), dict):
            left_out = _SCORING
            each["algorithm"] = {k: v for k, v in each["algorithm"].items() if k not in left_out}
        for name in () if of_family else _FAMILY:
            each.pop(name, None)
    found = differences(saved, ours, "the saved state", "this curriculum")
    if found:
        way_out = "Load it into a curriculum with the same configuration"
        if of_family and not same_family(saved, identity):
            way_out += ", or keep what is known of the tasks that both have: changed_tasks=True"
        raise ValueError(
            "the saved state is that of another curriculum, and its numbers mean something "
            f"else: {'; '.join(found)}. {way_out}"
        )
