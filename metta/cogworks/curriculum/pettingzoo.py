"""A parallel PettingZoo environment whose task is chosen by a curriculum, episode by episode.

Needs PettingZoo (``pip install 'metta-curriculum[pettingzoo]'``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, SupportsFloat

import numpy as np

try:
    from pettingzoo.utils.env import ActionType, AgentID, ObsType, ParallelEnv
    from pettingzoo.utils.wrappers import BaseParallelWrapper
except ImportError as error:
    raise ImportError(
        "metta.cogworks.curriculum.pettingzoo needs PettingZoo, which is not installed. Install it "
        "with: pip install 'metta-curriculum[pettingzoo]'"
    ) from error

from metta.cogworks.curriculum.curriculum import Curriculum, CurriculumTask
from metta.cogworks.curriculum.episode_checks import check_function, check_seed, shown
from metta.cogworks.curriculum.made_spaces import check_spaces
from metta.cogworks.curriculum.refusals import MAX_ATTEMPTS, InvalidTasksError
from metta.cogworks.curriculum.right_wrapper import right_wrapper
from metta.cogworks.curriculum.sessions import SessionClosedError
from metta.cogworks.curriculum.wrapping import EpisodeTasks, Way

__all__ = ["CurriculumParallelWrapper", "InvalidTasksError", "ParallelEpisode"]

_ZERO = np.float64(0.0)  # rewards of few bits add up in float64


@dataclass(frozen=True, slots=True)
class ParallelEpisode:
    """An episode that has ended, for those who score it."""

    task: CurriculumTask
    """The task that was played."""
    total_rewards: dict[Any, float]
    """The sum of its rewards, not discounted, of every agent that took part."""
    length: int
    """In steps."""
    infos: dict[Any, dict[str, Any]]
    """The latest info of every agent."""


class CurriculumParallelWrapper(BaseParallelWrapper[AgentID, ObsType, ActionType]):
    """Wraps one parallel environment; every episode plays a task that ``curriculum`` chooses.

    ``reset()`` draws a task, hands its configuration to the environment and resets that. The
    episode is over when every agent is terminated or truncated: that ``step()`` credits the task,
    exactly once, with the mean over agents of their returns, those included that left early. One
    that is NaN, infinite or of magnitude 1e100 or more is counted by ``curriculum.count_unscored``
    instead. An episode that ``reset()`` or ``close()`` cuts off is credited to nobody.

    Infos, of each agent: those of ``reset()`` have ``task_id`` and ``task_label``, those of an
    episode's last step also ``task_score`` (absent where the episode was not scored).

    ``reset(seed=...)`` and ``reset(options={"task_id": 7})`` are those of
    :class:`~metta.cogworks.curriculum.gymnasium.CurriculumWrapper`, and so are ``apply_task``,
    ``as_options``, ``bucket_values`` and ``max_attempts``.

    Args:
        env: a parallel environment, wrapped or not. ``pettingzoo.utils.aec_to_parallel`` makes one
            of a turn-based environment whose agents act in cycles.
        make_env: makes the environment anew for each task, ``functools.partial(pettingzoo.make,
            "parallel", "sisl/pursuit-v5")`` for instance. The fields of the configuration, which is
            a pydantic model, a dataclass or a dict, are its keyword arguments. Agents and spaces
            must be those of ``env``, but for the bounds of boxes of observations.
        score: scores an episode instead of the mean return, for instance
            ``lambda episode: min(episode.total_rewards.values())``; may return anything that is a
            number.

    Raises:
        TypeError, ValueError: an argument that cannot be used, as its message says. From the
            ``step()`` that ends an episode: the score is no number; nothing was credited then.
        InvalidTasksError: from ``reset()``, when ``max_attempts`` tasks in a row were refused by
            generator or environment. Each is retired from the curriculum with the reason. What the
            environment raises for a task that was asked for, or with other options, is passed on.
        RuntimeError: from ``step()``, when no episode runs.
    """

    def __init__(
        self,
        env: ParallelEnv[AgentID, ObsType, ActionType],
        curriculum: Curriculum,
        *,
        apply_task: Callable[[ParallelEnv[AgentID, ObsType, ActionType], Any], None] | None = None,
        make_env: Callable[..., ParallelEnv[AgentID, ObsType, ActionType]] | None = None,
        as_options: bool = False,
        score: Callable[[ParallelEpisode], SupportsFloat] | None = None,
        bucket_values: bool = False,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> None:
        _check_environment(env)
        check_function("score", score, "lambda episode: max(episode.total_rewards.values())")
        way = Way(apply_task, make_env, as_options, self._check_made)
        self._tasks = EpisodeTasks(curriculum, way, bucket_values, max_attempts)
        super().__init__(env)
        self._first = env  # whose spaces stay those of all, seeds of their samples included
        self._score = score
        self._totals: dict[Any, Any] = {}
        self._infos: dict[Any, dict[str, Any]] = {}
        self._length = 0
        self._runs = False

    @property
    def curriculum(self) -> Curriculum:
        """The curriculum that chooses the tasks."""
        return self._tasks.curriculum

    @property
    def current_task(self) -> CurriculumTask | None:
        """The task of the running episode; None before the first and between two episodes."""
        return self._tasks.current

    # PettingZoo's wrapper has these of the class where it has no environment to ask.
    @property
    def metadata(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The wrapped environment's."""
        return self.env.metadata

    def observation_space(self, agent: AgentID) -> Any:
        """The observation space of an agent, the same object for all tasks."""
        return self._first.observation_space(agent)

    def action_space(self, agent: AgentID) -> Any:
        """The action space of an agent, the same object for all tasks."""
        return self._first.action_space(agent)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[AgentID, ObsType], dict[AgentID, dict[str, Any]]]:
        """Begin an episode with a new task. Returns observations and infos of the environment.

        ``options``: ``task_id`` is the task to play; the others are the environment's.
        """
        seed = check_seed(seed, any_size=True)
        self.env, observations, infos = self._tasks.begin(self.env, seed, options, self._length)
        self._totals = dict.fromkeys(self.env.agents, _ZERO)
        self._infos = dict(infos)
        self._length, self._runs = 0, True
        return observations, self._with(infos, self._tasks.about())

    def step(
        self, actions: dict[AgentID, ActionType]
    ) -> tuple[
        dict[AgentID, ObsType],
        dict[AgentID, float],
        dict[AgentID, bool],
        dict[AgentID, bool],
        dict[AgentID, dict[str, Any]],
    ]:
        """One step of the environment, and its result. The last one of an episode credits its
        task."""
        if not self._runs:
            raise RuntimeError("no episode runs: call reset(), which draws the next task")
        result = self.env.step(actions)
        totals = self._totals
        for agent, reward in result[1].items():
            totals[agent] = totals.get(agent, _ZERO) + reward
        self._infos.update(result[4])
        self._length += 1
        terminated, truncated = result[2], result[3]
        if all(terminated.get(agent) or truncated.get(agent) for agent in self.env.agents):
            return *result[:4], self._ended(result[4])
        return result

    def close(self) -> None:
        """Close the environment; the curriculum stays open."""
        self._runs = False
        with contextlib.suppress(SessionClosedError):  # the curriculum may be closed first
            self._tasks.cut_off(0)
        self.env.close()

    def _ended(self, infos: dict[AgentID, dict[str, Any]]) -> dict[AgentID, dict[str, Any]]:
        """Credit the episode. Returns the infos of its last step."""
        task = self._tasks.current
        if self._score is not None and task is not None:
            episode = ParallelEpisode(task, self._totals, self._length, self._infos)
            score, source = self._score(episode), "score(episode) returned"
        else:
            score = sum(self._totals.values()) / max(1, len(self._totals))
            source = "the mean over agents of the rewards of step() is"
        about = self._tasks.credit(score, source)
        self._runs = False
        return self._with(infos, about)

    def _with(
        self, infos: dict[AgentID, dict[str, Any]], about: dict[str, Any]
    ) -> dict[AgentID, dict[str, Any]]:
        return {agent: {**info, **about} for agent, info in infos.items()}

    def _check_made(self, env: ParallelEnv[AgentID, ObsType, ActionType]) -> None:
        _check_environment(env)
        if list(env.possible_agents) != list(self.possible_agents):
            raise ValueError(
                f"the agents of the environment that make_env made are {env.possible_agents}, and "
                f"were {self.possible_agents}: they must be the same for all tasks"
            )
        for agent in env.possible_agents:
            observations = self.observation_space(agent), env.observation_space(agent)
            actions = self.action_space(agent), env.action_space(agent)
            check_spaces(observations, actions, f"{agent!r} in the environment")


def _check_environment(env: Any) -> None:
    if isinstance(env, ParallelEnv):
        inner = env
        while isinstance(inner, BaseParallelWrapper):
            if isinstance(inner, CurriculumParallelWrapper):
                raise TypeError(
                    f"{shown(env)} has a CurriculumParallelWrapper already: give the environment "
                    "that it wraps"
                )
            inner = inner.env
        return
    found = (
        right_wrapper(env, "CurriculumParallelWrapper")
        or "give one, such as pistonball_v6.parallel_env()"
    )
    if isinstance(env, type):
        found = "it is a class: give an object of it"
    raise TypeError(f"env={shown(env)} is no parallel PettingZoo environment: {found}")
