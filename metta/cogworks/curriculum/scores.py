"""What is accepted of scores."""

from __future__ import annotations

import logging
import math
from numbers import Real
from typing import Any

import numpy as np

from metta.cogworks.curriculum.tasks.ids import MAX_TASK_ID, validate_task_id
from metta.cogworks.curriculum.tasks.inputs import MAX_ABS_SCORE, as_list, listed, number

_LOG = logging.getLogger(__name__)


def validate_score(task_id: object, score: object) -> float:
    """The score as a float. Raises ValueError, naming the task, for what is not a finite number."""
    value = score if type(score) is float else _as_float(task_id, score)
    if not -MAX_ABS_SCORE < value < MAX_ABS_SCORE:  # false for NaN
        raise ValueError(
            f"score {value} of task {task_id} is not allowed: scores are finite, of magnitude "
            f"below {MAX_ABS_SCORE:g}; "
            "check the environment's reward"
        )
    return value


def validate_completion(task_id: Any, score: Any) -> tuple[int, float]:
    """Id and score as int and float. Raises ValueError for an id that cannot be one, and for a
    score that is not finite."""
    if (
        type(task_id) is int
        and 0 <= task_id <= MAX_TASK_ID
        and type(score) is float
        and abs(score) < MAX_ABS_SCORE
    ):
        return (
            task_id,
            score,
        )  # on the path of every episode: at once, for what comes from an environment
    task_id = validate_task_id(task_id)
    return task_id, validate_score(task_id, score)


def validate_unscored(task_id: int, score: object) -> None:
    """Raises ValueError unless the score is a number that cannot be recorded."""
    is_number = isinstance(score, Real) and not isinstance(score, bool)
    if not is_number or abs(number(score)) < MAX_ABS_SCORE:
        raise ValueError(
            f"score {score!r:.60} of task {task_id} is no number that cannot be recorded: give NaN "
            "or an infinite one, and any other to update_task_performance"
        )


def tell_unscored(task_id: int, label: str, score: object, count: int) -> None:
    """Logs a warning about an episode that was not scored, the ``count``-th of the pool."""
    if count & (count - 1):  # only 1, 2, 4, 8, ...: neither silent nor a flood
        return
    _LOG.warning(
        "an episode of task %d%s was not scored, its score is %r (not scored so far: %d): "
        "check the environment's rewards for divisions by zero and overflows",
        task_id,
        f" ({label})" if label else "",
        score,
        count,
    )


def _as_float(task_id: object, score: Any) -> float:
    is_array = isinstance(score, np.ndarray) and score.ndim > 0
    if not is_array and not isinstance(score, str | bytes | bytearray):  # float() would parse them
        try:
            return float(score)
        except OverflowError:  # an integer beyond all floats
            return math.inf
        except (TypeError, ValueError):
            pass
    raise ValueError(f"score {score!r:.60} of task {task_id} is not a number: send a finite float")


def validate_completions(task_ids: Any, scores: Any) -> list[tuple[int, list[float]]]:
    """Each id with its scores, one or several, as :func:`validate_completion` has them.

    Args:
        task_ids: of n tasks: a list, or an array or tensor of shape ``(n,)``.
        scores: one of each task, or k: a list, or an array or tensor of shape ``(n,)`` or
            ``(n, k)``; a list may hold lists of unequal lengths.

    Raises:
        TypeError: one of them is nothing that holds numbers.
        ValueError: they are not equally many, or one cannot be; the message names it.
    """
    ids = listed("task_ids", as_list(task_ids), "task ids")
    rows = listed("scores", as_list(scores), "numbers")
    if len(ids) != len(rows):
        raise ValueError(
            f"{len(ids)} task ids and {len(rows)} scores: give one score per task, or a row of "
            "scores per task"
        )
    found: list[tuple[int, list[float]]] = []
    for task_id, row in zip(ids, rows, strict=True):
        if type(row) is float:  # at once, for what comes from an array
            task_id, row = validate_completion(task_id, row)
            found.append((task_id, [row]))
        else:
            found.append(_with_scores(task_id, as_list(row)))
    return found


def _with_scores(task_id: Any, row: Any) -> tuple[int, list[float]]:
    task_id = validate_task_id(task_id)
    if not isinstance(row, list | tuple):
        return task_id, [validate_score(task_id, row)]
    if not row:
        raise ValueError(
            f"scores of task {task_id} are an empty list: give at least one score, or leave the "
            "task out, or call count_unscored for it"
        )
    return task_id, [validate_score(task_id, score) for score in row]
