"""A Gymnasium environment whose task is chosen by a curriculum, episode by episode.

Needs Gymnasium 1.0 or later (``pip install 'metta-curriculum[gymnasium]'``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, SupportsFloat

import numpy as np

try:
    import gymnasium
    from gymnasium.core import ActType, ObsType
    from gymnasium.error import ResetNeeded
    from gymnasium.utils import RecordConstructorArgs
except ImportError as error:
    raise ImportError(
        "metta.cogworks.curriculum.gymnasium needs Gymnasium 1.0 or later, which is not installed. "
        "Install it with: pip install 'metta-curriculum[gymnasium]'"
    ) from error

from metta.cogworks.curriculum.curriculum import Curriculum, CurriculumTask
from metta.cogworks.curriculum.episode_checks import check_function, check_seed, shown
from metta.cogworks.curriculum.made_spaces import check_spaces
from metta.cogworks.curriculum.refusals import MAX_ATTEMPTS, InvalidTasksError
from metta.cogworks.curriculum.right_wrapper import right_wrapper
from metta.cogworks.curriculum.sessions import SessionClosedError
from metta.cogworks.curriculum.tasks.inputs import checked_integer
from metta.cogworks.curriculum.wrapping import EpisodeTasks, Way

__all__ = ["CurriculumWrapper", "Episode", "InvalidTasksError"]

_NEVER = -1  # no episode has so many steps
_ZERO = np.float64(0.0)  # rewards of few bits add up in float64


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode that has ended, for those who score it."""

    task: CurriculumTask
    """The task that was played."""
    total_reward: float
    """The sum of its rewards, not discounted."""
    length: int
    """In steps."""
    terminated: bool
    """Whether the environment ended it."""
    truncated: bool
    """Whether it was cut off, at a time limit for instance."""
    info: dict[str, Any]
    """Of its last step."""


class CurriculumWrapper(
    gymnasium.Wrapper[ObsType, ActType, ObsType, ActType], RecordConstructorArgs
):
    """Wraps one single-agent environment; every episode plays a task that ``curriculum`` chooses.

    ``reset()`` draws a task, hands its configuration to the environment and resets that. The
    ``step()`` that terminates or truncates the episode credits the task, exactly once, with the
    episode's return; with NaN, an infinite return or one of magnitude 1e100 or more, the episode is
    counted by ``curriculum.count_unscored`` instead. An episode that ``reset()`` or ``close()``
    cuts off is credited to nobody. So all of this works in vector environments, whatever resets
    their environments, and in Stable-Baselines3 and other frameworks that take Gymnasium's.

    Infos: that of ``reset()`` has ``task_id`` and ``task_label``, that of an episode's last step
    also ``task_score`` (absent where the episode was not scored).

    ``reset(seed=...)`` seeds the environment, not the draw of the task, which is the pool's: it is
    reproducible with the curriculum's own seed. One exception: an episode that is begun again with
    the seed that it was begun with plays the same task. ``reset(options={"task_id": 7})`` plays
    that task, once; it is credited if it is in the pool. Other options go to the environment.

    Args:
        env: a Gymnasium environment, wrapped or not. What ends episodes, such as ``TimeLimit``,
            belongs inside: ``CurriculumWrapper(TimeLimit(env, 100), ...)``, which is where
            ``gymnasium.make`` puts it.
        curriculum: chooses tasks and is told their scores. It stays open when this environment
            closes. Environments of other processes need shared memory, the default.
        apply_task: hands a task's configuration to the environment, before its reset:
            ``lambda env, config: setattr(env.unwrapped, "length", config.length)``.
        make_env: makes the environment anew for each task, ``functools.partial(gymnasium.make,
            "Name-v0")`` for instance. The fields of the configuration, which is a pydantic model, a
            dataclass or a dict, are its keyword arguments. ``env`` is then what is played until
            the first reset; the one before is closed. Its spaces stay those of all: others must be
            equal, but for the bounds of boxes of observations. Seeds of the new environments follow
            from the last one given to ``reset()``.
        as_options: True to give the fields of the configuration to the environment as options of
            its reset.
        score: scores an episode instead of its return, for instance
            ``lambda episode: episode.info["is_success"]``; may return anything that is a number.
        bucket_values: whether infos also have ``task_bucket_values``, a dict.
        max_episode_steps: where a ``TimeLimit`` stands outside all the same, its limit: an episode
            of so many steps is over.
        max_attempts: invalid tasks in a row before InvalidTasksError.

    Raises:
        TypeError, ValueError: an argument that cannot be used, as its message says. From the
            ``step()`` that ends an episode: the score is no number; nothing was credited then.
        InvalidTasksError: from ``reset()``, when ``max_attempts`` tasks in a row were refused by
            generator or environment. Each is retired from the curriculum with the reason. What the
            environment raises for a task that was asked for, or with other options, is passed on.
        gymnasium.error.ResetNeeded: from ``step()``, when no episode runs.
    """

    def __init__(
        self,
        env: gymnasium.Env[ObsType, ActType],
        curriculum: Curriculum,
        *,
        apply_task: Callable[[gymnasium.Env[ObsType, ActType], Any], None] | None = None,
        make_env: Callable[..., gymnasium.Env[ObsType, ActType]] | None = None,
        as_options: bool = False,
        score: Callable[[Episode], SupportsFloat] | None = None,
        bucket_values: bool = False,
        max_episode_steps: int | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> None:
        RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,
            curriculum=curriculum,
            apply_task=apply_task,
            make_env=make_env,
            as_options=as_options,
            score=score,
            bucket_values=bucket_values,
            max_episode_steps=max_episode_steps,
            max_attempts=max_attempts,
        )
        _check_environment(env)
        check_function("score", score, "lambda episode: episode.total_reward")
        self._limit = _NEVER
        if max_episode_steps is not None:
            self._limit = checked_integer("max_episode_steps", max_episode_steps, 1)
        way = Way(apply_task, make_env, as_options, self._check_made)
        self._tasks = EpisodeTasks(curriculum, way, bucket_values, max_attempts)
        gymnasium.Wrapper.__init__(self, env)
        self._score = score
        self._total: Any = 0.0
        self._length = 0
        self._runs = False
        if make_env is not None:  # of the first environment, whichever comes later
            self.observation_space, self.action_space = env.observation_space, env.action_space
            self._cached_spec = self.spec

    @property
    def curriculum(self) -> Curriculum:
        """The curriculum that chooses the tasks."""
        return self._tasks.curriculum

    @property
    def current_task(self) -> CurriculumTask | None:
        """The task of the running episode; None before the first and between two episodes."""
        return self._tasks.current

    @property
    def spec(self) -> Any:
        """That of the wrapped environment, with this wrapper. It is ``nondeterministic``: which
        task an episode plays does not follow from its seed."""
        spec = super().spec
        if spec is not None:
            spec.nondeterministic = True
        return spec

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin an episode with a new task. Returns observation and info of the environment.

        ``options``: ``task_id`` is the task to play; the others are the environment's.
        """
        seed = check_seed(seed, any_size=True)
        self.env, observation, info = self._tasks.begin(self.env, seed, options, self._length)
        self._total, self._length, self._runs = _ZERO, 0, True
        return observation, {**info, **self._tasks.about()}

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """One step of the environment, and its result. The last one of an episode credits its
        task."""
        if not self._runs:
            raise ResetNeeded(
                "no episode runs: call reset(), which draws the next task. A wrapper that resets "
                "by itself, such as gymnasium.wrappers.Autoreset, belongs outside CurriculumWrapper"
            )
        result = self.env.step(action)
        self._total += result[1]
        self._length += 1
        if result[2] or result[3] or self._length == self._limit:
            return *result[:4], self._ended(*result[2:])
        return result

    def close(self) -> None:
        """Close the environment; the curriculum stays open."""
        self._runs = False
        with contextlib.suppress(SessionClosedError):  # the curriculum may be closed first
            self._tasks.cut_off(0)
        self.env.close()

    def _ended(self, terminated: bool, truncated: bool, info: dict[str, Any]) -> dict[str, Any]:
        """Credit the episode. Returns the info of its last step."""
        score, source = self._total, "the rewards of step() add up to"
        task = self._tasks.current
        if self._score is not None and task is not None:
            out_of_time = bool(truncated) or not terminated
            episode = Episode(task, self._total, self._length, bool(terminated), out_of_time, info)
            score, source = self._score(episode), "score(episode) returned"
        about = self._tasks.credit(score, source)
        self._runs = False
        return {**info, **about}

    def _check_made(self, env: gymnasium.Env[ObsType, ActType]) -> None:
        _check_environment(env)
        observations = self.observation_space, env.observation_space
        check_spaces(observations, (self.action_space, env.action_space))


def _check_environment(env: Any) -> None:
    if isinstance(env, gymnasium.Env):
        inner = env
        while isinstance(inner, gymnasium.Wrapper):
            if isinstance(inner, CurriculumWrapper):
                raise TypeError(
                    f"{env} has a CurriculumWrapper already: give the environment that it wraps"
                )
            inner = inner.env
        return
    found = (
        right_wrapper(env, "CurriculumWrapper") or "give one, such as gymnasium.make('CartPole-v1')"
    )
    if isinstance(env, type):
        found = "it is a class: give an object of it"
    raise TypeError(f"env={shown(env)} is no Gymnasium environment: {found}")
