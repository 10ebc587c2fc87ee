"""A PufferLib environment whose task is chosen by a curriculum, episode by episode.

Needs PufferLib (``pip install metta-curriculum[train]``), which is why
``metta.cogworks.curriculum`` imports this module only when ``CurriculumEnv`` is asked for.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, cast

import numpy as np

try:
    from pufferlib.pufferlib import PufferEnv
except ImportError as error:
    raise ImportError(
        "CurriculumEnv needs PufferLib, which is not installed. Install it with: pip install "
        "'metta-curriculum[train]'"
    ) from error

from metta.cogworks.curriculum import episode_checks, puffer_emulation
from metta.cogworks.curriculum.chooser import (
    KeepsConfigs,
    PlayableTask,
    TaskChooser,
    careful,
    give_up,
    given,
)
from metta.cogworks.curriculum.curriculum import Curriculum
from metta.cogworks.curriculum.refusals import (
    MAX_ATTEMPTS,
    REFUSALS,
    InvalidTasksError,
    all_refused,
    retire,
)
from metta.cogworks.curriculum.tasks.inputs import MAX_ABS_SCORE
from metta.cogworks.curriculum.tasks.task_config import TConfig

if TYPE_CHECKING:
    from metta.cogworks.curriculum.tasks.config_cache import Lease

__all__ = ["MAX_ATTEMPTS", "REFUSALS", "CurriculumEnv", "InvalidTasksError"]

_SEED_STRIDE = 1_000_003
"""Step between the seeds of one environment's episodes: a prime, so that environments seeded 0, 1,
2 do not meet."""


@dataclass(slots=True)
class _Episode:
    """The running episode."""

    task: PlayableTask
    step: Callable[..., Any]  # takes the next step
    returns: np.ndarray | None  # rewards so far, shape (num_agents,), where they are summed here
    length: float = 0.0  # in steps


class CurriculumEnv(PufferEnv, Generic[TConfig]):
    """Wraps one environment of ``num_agents`` agents; every episode plays a task that
    ``curriculum`` chooses.

    An episode begins with ``reset()``, or with the first ``step()`` after the previous one ended: a
    task is drawn, its configuration is handed to the environment, and the environment is reset. It
    ends when every agent is terminated or truncated: the task is credited, exactly once, with the
    mean over agents of the summed rewards. An episode that a ``reset()`` interrupts is not
    credited. One whose mean reward is NaN, infinite or of magnitude 1e100 or more is counted with
    ``curriculum.count_unscored`` instead, and training goes on.

    All other attributes, reading and writing, are those of the wrapped environment, so that vector
    environments place their buffers where it looks for them. Observation space, action space and
    number of agents must not change between tasks. The infos of an episode's last step get the keys
    ``length``, ``reward`` (absent where the episode was not scored) and those of ``episode_stats``;
    infos keep the type the environment gives them, a dict (mettagrid) or a list of dicts
    (PufferLib).

    Args:
        env: a native PufferLib environment, or one that PufferLib's emulation made of Gymnasium's
            or PettingZoo's (``pufferlib.emulation``). It resets itself or waits to be reset after
            an episode; both work. Of an emulated one this returns what a native one would: arrays,
            and a list of infos.
        curriculum: chooses tasks and is told their scores: a Curriculum, or any object with
            ``get_task``, ``update_task_performance`` and ``stats``. It stays open when this
            environment closes.
        apply_task: hands a task's configuration to the environment, before its reset. Default:
            ``env.set_mg_config``.
        episode_rewards: reads the rewards summed over the episode, an array of shape (num_agents,).
            Default: ``env.get_episode_rewards`` where the environment has it, otherwise the rewards
            of ``step()`` are summed.
        episode_stats: numbers to add to the infos when an episode ends, by name; few and bounded,
            because they cross a pipe. Called before the task is credited.
        max_attempts: invalid tasks in a row before InvalidTasksError.
        reuse_configs: take configurations from ``curriculum.configs``, and give each back once the
            environment has the next: a later task of equal configuration then plays the same
            object, unless somebody still holds it. Give False where an event handler, a policy or
            other code of yours changes a configuration in place, or keeps a part of one. Default:
            True where no ``apply_task`` is given, as mettagrid's environment takes its own
            configuration again at every reset.

    Raises:
        TypeError, ValueError: an argument that cannot be used, as its message says. From the
            ``step()`` that ends an episode: what ``episode_rewards``, ``episode_stats`` or the
            environment returned cannot be used; nothing was credited then, and the next ``step()``
            begins another episode.
        InvalidTasksError: from ``reset()`` and ``step()``, when ``max_attempts`` tasks in a row
            were refused. Each refused task is retired from the curriculum with the reason.

    What the curriculum raises when it draws a task comes from the ``reset()`` or ``step()`` that
    begins an episode, what it raises when it records a score from the ``step()`` that ends one.
    """

    def __init__(
        self,
        env: Any,
        curriculum: TaskChooser,
        *,
        apply_task: Callable[[Any, TConfig], None] | None = None,
        episode_rewards: Callable[[Any], np.ndarray] | None = None,
        episode_stats: Callable[[Any], Mapping[str, float]] | None = None,
        max_attempts: int = MAX_ATTEMPTS,
        reuse_configs: bool | None = None,
    ) -> None:
        # PufferEnv.__init__ is not called: buffers and spaces are the wrapped environment's.
        if isinstance(env, CurriculumEnv):
            raise TypeError("env is a CurriculumEnv already: give the environment that it wraps")
        emulated = puffer_emulation.is_emulated(env)
        num_agents = episode_checks.check_environment(env, emulated)
        episode_checks.check_function("apply_task", apply_task, "lambda env, config: ...")
        episode_checks.check_function("episode_rewards", episode_rewards, "lambda env: array")
        episode_checks.check_function("episode_stats", episode_stats, "lambda env: {...}")
        episode_checks.check_options(max_attempts, reuse_configs)
        episode_checks.check_curriculum(curriculum, reuse_configs is True)
        if reuse_configs is None:
            reuse_configs = apply_task is None and isinstance(curriculum, KeepsConfigs)
        if isinstance(curriculum, Curriculum):
            episode_checks.check_process(curriculum)
        if apply_task is None and not callable(getattr(env, "set_mg_config", None)):
            raise TypeError(
                f"{type(env).__name__} has no set_mg_config: pass apply_task=lambda env, config: "
                "... to say how a task's configuration reaches the environment before its reset"
            )
        self._rewards_from = "episode_rewards"
        if episode_rewards is None and callable(getattr(env, "get_episode_rewards", None)):
            self._rewards_from = f"{type(env).__name__}.get_episode_rewards()"
            episode_rewards = _own_episode_rewards
        self._env: Any = env
        self._emulated = emulated
        self._curriculum: Any = careful(curriculum)
        self._agents = num_agents
        self._apply_task = apply_task or _set_mg_config
        self._read_rewards = episode_rewards
        self._read_stats = episode_stats
        self._max_attempts = max_attempts
        self._reuse_configs = reuse_configs
        self._seed: int | None = None
        self._episode: _Episode | None = None
        # The configuration that the environment has, between two episodes too.
        self._lease: Lease | None = None

    @property
    def env(self) -> Any:
        """The wrapped environment."""
        return self._env

    @property
    def curriculum(self) -> Any:
        """What chooses the tasks, as it was given."""
        return given(self._curriculum)

    @property
    def current_task(self) -> Any:
        """The task of the running episode, as the curriculum gave it; None before the first and
        between two episodes."""
        return None if self._episode is None else self._episode.task

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, Any]:
        """Begin an episode with a new task. Returns the environment's observations (num_agents,
        ...) and infos.

        ``seed``, from 0 to 2^32 - 1, goes to the environment; the episodes that ``step()`` begins
        later get seeds derived from it.
        """
        self._seed = episode_checks.check_seed(seed)
        return self._begin_episode()

    def step(
        self, actions: np.ndarray, **kwargs: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Any]:
        """One step, after beginning an episode if none runs. Returns what the environment
        returns, which gets the keywords too."""
        # Every line here counts: mettagrid leaves the processor's caches cold.
        episode = self._episode
        if episode is None:
            self._begin_episode()
            episode = cast(_Episode, self._episode)  # begun just now
        result = episode.step(actions, **kwargs)
        episode.length += 1.0
        # The whole test costs microseconds: done only where the first agent's flags leave it open.
        terminals, truncations = result[2], result[3]
        if (terminals[0] or truncations[0]) and _all_over(terminals, truncations):
            self._episode = None  # whatever comes of crediting it
            return (*result[:4], self._credit(episode, result[4]))
        return result

    def close(self) -> None:
        """Close the wrapped environment; the curriculum stays open."""
        self._env.close()

    def _begin_episode(self) -> tuple[np.ndarray, Any]:
        cut_off, self._episode = self._episode, None
        if cut_off is not None:
            give_up(self._curriculum, cut_off.task)
        seed = self._seed
        if seed is not None:
            self._seed = (seed + _SEED_STRIDE) % 2**31
        configs = self._curriculum.configs if self._reuse_configs else None
        reason: Exception | None = None
        for _ in range(self._max_attempts):
            task = self._curriculum.get_task()
            lease = None
            try:
                if configs is not None:
                    lease = configs.acquire(task.task_id)
                self._apply_task(self._env, task.get_env_cfg() if lease is None else lease[0])
                outcome = self._reset_env(seed)
            except REFUSALS as error:
                _forget_closed_simulation(self._env)
                retire(self._curriculum, task.task_id, error)
                reason = error
                continue
            except BaseException:
                give_up(self._curriculum, task)
                raise
            self._episode = self._new_episode(task)
            last, self._lease = self._lease, lease
            if configs is not None and last is not None:
                configs.release(last)
            reason = None  # whose traceback refers to this frame, and so to the configuration
            return outcome
        raise all_refused(self._max_attempts, reason)

    def _reset_env(self, seed: int | None) -> tuple[np.ndarray, Any]:
        if self._emulated:
            return puffer_emulation.reset(self._env, seed)
        return self._env.reset() if seed is None else self._env.reset(seed=seed)

    def _new_episode(self, task: PlayableTask) -> _Episode:
        step = self._env.step
        if self._emulated:
            step = functools.partial(puffer_emulation.step, self._env)
        if self._read_rewards is not None:
            return _Episode(task, step, None)
        returns = np.zeros(self._agents)
        return _Episode(task, functools.partial(_step_and_sum, step, returns), returns)

    def _credit(self, episode: _Episode, infos: Any) -> Any:
        """Tell the curriculum of an episode that has ended. Returns the infos of its last step.

        Whatever can be wrong with what the environment and the given functions return is raised
        first.
        """
        rewards: Any = episode.returns
        if self._read_rewards is not None:
            rewards = self._read_rewards(self._env)
        score = episode_checks.mean_reward(rewards, self._agents, self._rewards_from)
        scored = abs(score) < MAX_ABS_SCORE  # false for NaN
        ended = {"reward": score} if scored else {}
        ended["length"] = episode.length
        if self._read_stats is not None:
            ended.update(episode_checks.checked_stats(self._read_stats(self._env)))
        infos = episode_checks.with_episode(infos, ended)
        if scored:
            self._curriculum.update_task_performance(episode.task.task_id, score)
        else:
            self._curriculum.count_unscored(episode.task.task_id, score)
        return infos

    # PufferLib's native backend wants lists of dicts from send() and async_reset(), which
    # mettagrid's infos are not.
    def async_reset(self, seed: int | None = None) -> None:
        """:meth:`reset`, for PufferLib's native backend."""
        _, infos = self.reset(seed)
        self._env.infos = [infos] if isinstance(infos, dict) else infos

    def send(self, actions: np.ndarray) -> None:
        """:meth:`step`, for PufferLib's native backend."""
        infos = self.step(actions)[4]
        self._env.infos = [infos] if isinstance(infos, dict) else infos

    # What PufferEnv defines on the class would hide the wrapped environment's own answer.
    @property
    def emulated(self) -> Any:
        """The wrapped environment's answer."""
        return self._env.emulated

    @property
    def done(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]  (native: False)
        """The wrapped environment's answer."""
        return self._env.done

    def __getattr__(self, name: str) -> Any:
        # Reached only for what this object lacks; its own names are missing while it is being
        # unpickled.
        if name in _OWN_NAMES:
            raise AttributeError(name)
        return getattr(self._env, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN_NAMES:
            object.__setattr__(self, name, value)
        else:
            setattr(self._env, name, value)


_OWN_NAMES = frozenset(
    {
        "__orig_class__",  # which CurriculumEnv[Maze](...) sets
        "_agents",
        "_apply_task",
        "_curriculum",
        "_emulated",
        "_env",
        "_episode",
        "_lease",
        "_max_attempts",
        "_read_rewards",
        "_read_stats",
        "_rewards_from",
        "_reuse_configs",
        "_seed",
    }
)


def _set_mg_config(env: Any, config: Any) -> None:
    env.set_mg_config(config)


def _own_episode_rewards(env: Any) -> Any:
    return env.get_episode_rewards()


def _step_and_sum(
    step: Callable[..., Any], returns: np.ndarray, actions: np.ndarray, **kwargs: Any
) -> tuple[Any, ...]:
    result = step(actions, **kwargs)
    rewards = result[1]
    episode_checks.check_rewards(rewards, len(returns), "step() of the environment")
    returns += rewards
    return result


def _all_over(terminals: np.ndarray, truncations: np.ndarray) -> bool:
    # mettagrid asks the first two itself at every step, so they are quick; the third is for agents
    # that end differently.
    return bool(terminals.all() or truncations.all() or np.logical_or(terminals, truncations).all())


def _forget_closed_simulation(env: Any) -> None:
    # MettaGridPufferEnv.reset() closes the running simulation, then builds the next one; when that
    # fails it keeps the closed one and closes it again at the next reset, which raises
    # AttributeError.
    mettagrid = sys.modules.get("mettagrid.envs.mettagrid_puffer_env")
    if mettagrid is not None and isinstance(env, mettagrid.MettaGridPufferEnv):
        env._sim = None  # noqa: SLF001 - nothing public lets go of it
