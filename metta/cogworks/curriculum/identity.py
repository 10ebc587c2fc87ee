"""Whether a saved state is this curriculum's own."""

from __future__ import annotations

import json
from typing import Any

from metta.cogworks.curriculum.differences import differences
from metta.cogworks.curriculum.pool.layout import IS_ACTIVE, TASK_ID

_SCORING = ("scorer", "use_bidirectional", "sampling")  # another scorer begins anew, and says so


def check_ids(pool: dict[str, Any], num_ids: int) -> None:
    """Whether the tasks of a saved pool, as an algorithm's ``check_state`` returns it, are those of
    a family of so many ids.

    Raises:
        ValueError: one is not.
    """
    ids = pool["rows"][pool["rows"][:, IS_ACTIVE] != 0.0, TASK_ID]
    if ids.size and ids.max() >= num_ids:
        raise ValueError(
            f"saved pool is inconsistent: its task {int(ids.max())} is not one of this "
            f"curriculum's, whose ids are integers from 0 to max_task_id - 1 = {num_ids - 1}"
        )


def check_identity(state: dict[str, Any], identity: dict[str, Any]) -> None:
    """Compare what made a saved state with what loads it.

    Args:
        state: of a curriculum; its ``"identity"`` is the other one, as JSON.
        identity: what :meth:`~metta.cogworks.curriculum.config.CurriculumConfig.identity` gives.

    Raises:
        ValueError: they differ: the message names each field that does, with both values.
    """
    text = state.get("identity")
    try:
        saved = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        saved = None
    if not isinstance(saved, dict):
        raise ValueError(f"saved state does not say whose it is: its identity is {text!r:.60}")
    ours = json.loads(json.dumps(identity))
    for each in (saved, ours):
        if isinstance(each.get("algorithm"), dict):
            for name in _SCORING:
                each["algorithm"].pop(name, None)
    found = differences(saved, ours, "the saved state", "this curriculum")
    if found:
        raise ValueError(
            "the saved state is that of another curriculum, and its numbers mean something "
            f"else: {'; '.join(found)}. Load it into a curriculum with the same configuration"
        )
