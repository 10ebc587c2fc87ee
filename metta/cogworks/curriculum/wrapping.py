"""What the wrappers of Gymnasium and PettingZoo share: a task for every episode, a score for every
task.

Both kinds of environment are begun by ``reset(seed=..., options=...)``, which returns two things.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Generic, SupportsFloat, TypeVar

import numpy as np
from pydantic import BaseModel

from metta.cogworks.curriculum.curriculum import Curriculum, CurriculumTask
from metta.cogworks.curriculum.episode_checks import (
    check_function,
    check_process,
    check_wrapping,
    shown,
)
from metta.cogworks.curriculum.refusals import REFUSALS, all_refused, retire
from metta.cogworks.curriculum.tasks.inputs import MAX_ABS_SCORE

_LOG = logging.getLogger(__name__)

TASK_ID = "task_id"
"""Of the options of ``reset()``, and of infos."""

_MANY = 8
"""Episodes in a row that ``reset()`` cut off, before it is worth a warning."""

EnvT = TypeVar("EnvT")


@dataclasses.dataclass(frozen=True)
class Way(Generic[EnvT]):
    """How a task's configuration reaches the environment. Exactly one of the first three is
    given."""

    apply_task: Callable[[EnvT, Any], None] | None
    """Hands the configuration to the environment, before its reset."""
    make_env: Callable[..., EnvT] | None
    """Makes an environment; the configuration's fields are its keyword arguments."""
    as_options: bool
    """The configuration's fields are options of the reset."""
    check_made: Callable[[EnvT], None]
    """Raises ValueError for an environment that ``make_env`` should not have made."""

    def check(self) -> None:
        """Raises TypeError unless one way is given, of the right type."""
        check_function("apply_task", self.apply_task, "lambda env, config: ...")
        check_function("make_env", self.make_env, "functools.partial(gymnasium.make, 'Name-v0')")
        if not isinstance(self.as_options, bool):
            raise TypeError(f"as_options={shown(self.as_options)} is not allowed: give a boolean")
        ways = (self.apply_task is not None, self.make_env is not None, self.as_options)
        if sum(ways) != 1:
            raise TypeError(
                f"{sum(ways)} ways for a task to reach the environment are given: give one of "
                "apply_task=lambda env, config: ..., make_env=... (a function that makes the "
                "environment, of keyword arguments), as_options=True (options of its reset)"
            )


class EpisodeTasks(Generic[EnvT]):
    """The tasks that an environment plays, one an episode.

    Args:
        curriculum: chooses them, and is told their scores.
        way: how they reach the environment.
        bucket_values: whether infos have them.
        max_attempts: invalid tasks in a row before InvalidTasksError.
    """

    def __init__(
        self, curriculum: Curriculum, way: Way[EnvT], bucket_values: bool, max_attempts: int
    ) -> None:
        way.check()
        check_wrapping(curriculum, bucket_values, max_attempts)
        self.curriculum = curriculum
        self.current: CurriculumTask | None = None
        self._way = way
        self._bucket_values, self._max_attempts = bucket_values, max_attempts
        self._is_drawn = False  # the current task was not asked for by its id
        self._seed: int | None = None  # that the current episode was begun with
        self._label = ""
        self._seeds: np.random.Generator | None = None  # of environments that are made anew
        self._made_for = -1  # the task that the environment was made for
        self._cut_off = 0  # episodes in a row

    # -- an episode begins -------------------------------------------------------------------------

    def begin(
        self, env: EnvT, seed: int | None, options: dict[str, Any] | None, steps: int
    ) -> tuple[EnvT, Any, Any]:
        """Begin an episode. Returns the environment, another one where it was made anew, and what
        its reset returned.

        Args:
            seed: checked; None does not seed.
            options: of the reset; ``task_id`` asks for a task.
            steps: how many the running episode took, if there is one.
        """
        check_process(self.curriculum)
        asked, options = self._asked(options)
        task = self._again(seed) if asked is None else asked
        if task is None or task is asked:
            self.cut_off(steps)
        self.current = None
        if seed is not None:
            self._seeds = np.random.default_rng(seed)
        if task is None:
            task, begun = self._drawn(env, seed, options)
        else:
            try:
                begun = self._start(env, task, seed, options)
            except BaseException:
                if asked is None:  # it is in flight, and nobody plays it any more
                    self.curriculum.give_up(task.task_id)
                raise
        self._label = task.get_label()
        self.current, self._seed, self._is_drawn = task, seed, asked is None
        return begun

    def _asked(
        self, options: dict[str, Any] | None
    ) -> tuple[CurriculumTask | None, dict[str, Any] | None]:
        """The task that the options ask for, and the other options."""
        if not options or TASK_ID not in options:
            return None, options
        task = CurriculumTask.of(self.curriculum, options[TASK_ID])
        task.get_label()  # raises ValueError where it cannot be one of this curriculum
        task.task_id = int(task.task_id)
        rest = {key: value for key, value in options.items() if key != TASK_ID}
        return task, rest or None

    def _again(self, seed: int | None) -> CurriculumTask | None:
        """The current task, where its episode is to begin once more, with the same seed."""
        return self.current if seed is not None and seed == self._seed and self._is_drawn else None

    def _drawn(
        self, env: EnvT, seed: int | None, options: dict[str, Any] | None
    ) -> tuple[CurriculumTask, tuple[EnvT, Any, Any]]:
        reason: Exception | None = None
        for _ in range(self._max_attempts):
            task = self.curriculum.get_task()
            try:
                return task, self._start(env, task, seed, options)
            except REFUSALS as error:
                if options:  # which may be what was refused
                    self.curriculum.give_up(task.task_id)
                    raise
                retire(self.curriculum, task.task_id, error)
                reason = error
            except BaseException:
                self.curriculum.give_up(task.task_id)
                raise
        raise all_refused(self._max_attempts, reason)

    def _start(
        self, env: EnvT, task: CurriculumTask, seed: int | None, options: dict[str, Any] | None
    ) -> tuple[EnvT, Any, Any]:
        way, config = self._way, task.get_env_cfg()
        if way.apply_task is not None:
            way.apply_task(env, config)
        elif way.make_env is None:
            options = {**(options or {}), **keywords(config, task.task_id)}
        elif task.task_id != self._made_for:
            return self._made(way.make_env, env, task, config, seed, options)
        return env, *_reset(env, seed, options)

    def _made(
        self,
        make_env: Callable[..., EnvT],
        env: Any,
        task: CurriculumTask,
        config: Any,
        seed: int | None,
        options: dict[str, Any] | None,
    ) -> tuple[EnvT, Any, Any]:
        """Make the environment anew and begin an episode, then close the one before."""
        made: Any = make_env(**keywords(config, task.task_id))
        if seed is None and self._seeds is not None:
            seed = int(self._seeds.integers(2**31))
        try:
            self._way.check_made(made)
            begun = _reset(made, seed, options)
        except BaseException:
            if callable(getattr(made, "close", None)):
                made.close()
            raise
        env.close()
        self._made_for = task.task_id
        return made, *begun

    # -- an episode ends ---------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """What infos say of the current task."""
        task = self.current
        if task is None:
            return {}
        about: dict[str, Any] = {TASK_ID: task.task_id, "task_label": self._label}
        if self._bucket_values:
            about["task_bucket_values"] = copy.deepcopy(task.get_bucket_values())
        return about

    def credit(self, score: Any, source: str) -> dict[str, Any]:
        """The episode of the current task has ended. Returns what infos say of it.

        Raises TypeError, and credits nobody, if the score, which ``source`` gave, is no number.
        """
        value, about = checked_score(score, source), self.about()
        self.current, self._cut_off = None, 0
        if abs(value) < MAX_ABS_SCORE:  # false for NaN
            self.curriculum.update_task_performance(about[TASK_ID], value)
            about["task_score"] = value
        else:
            self.curriculum.count_unscored(about[TASK_ID], value)
        return about

    def cut_off(self, steps: int) -> None:
        """The current episode, if there is one, comes to nothing after so many steps."""
        task, self.current = self.current, None
        if task is None:
            return
        if self._is_drawn:
            self.curriculum.give_up(task.task_id)
        if steps == 0:
            return
        self._cut_off += 1
        if self._cut_off >= _MANY and not self._cut_off & (self._cut_off - 1):  # 8, 16, 32, ...
            _LOG.warning(
                "%d episodes in a row were cut off by reset(), the last one after %d steps, and "
                "credited to no task: if a wrapper outside ends episodes, as TimeLimit does, put "
                "the curriculum's wrapper around it, or give its limit as max_episode_steps",
                self._cut_off,
                steps,
            )


def _reset(env: Any, seed: int | None, options: dict[str, Any] | None) -> tuple[Any, Any]:
    return env.reset(seed=seed, options=options)


def keywords(config: Any, task_id: int) -> dict[str, Any]:
    """The fields of a configuration, by name. Raises TypeError for what has no fields."""
    if isinstance(config, Mapping):
        return {str(name): value for name, value in config.items()}
    if isinstance(config, BaseModel):
        return dict(config)
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    raise TypeError(
        f"the configuration of task {task_id} is {shown(config)}, which has no fields to be "
        "keyword arguments or options: let the task generator make a pydantic model, a dataclass "
        "or a dict, or give apply_task=lambda env, config: ..."
    )


def checked_score(score: Any, source: str) -> float:
    """The score as a float, which need not be finite. Raises TypeError for what is no number."""
    if type(score) is float:  # at once: on the path of every episode
        return score
    if isinstance(score, np.ndarray) and score.size == 1:
        score = score.item()
    if isinstance(score, SupportsFloat):
        try:
            return float(score)
        except OverflowError:  # an integer beyond all floats
            return math.inf
        except (TypeError, ValueError):  # an array of many
            pass
    raise TypeError(
        f"{source} {shown(score)}, a {type(score).__name__}, where a number is due, such as "
        "episode.total_reward; the episode was not credited"
    )
