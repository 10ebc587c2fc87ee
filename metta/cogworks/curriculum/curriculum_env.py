"""A PufferLib environment whose task is chosen by a curriculum, episode by episode.

Needs PufferLib (``pip install metta-curriculum[train]``), which is why
``metta.cogworks.curriculum`` imports this module only when ``CurriculumEnv`` is asked for.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

try:
    from pufferlib.pufferlib import PufferEnv
except ImportError as error:
    raise ImportError(
        "CurriculumEnv needs PufferLib, which is not installed. Install it with: pip install "
        "'metta-curriculum[train]'"
    ) from error

from metta.cogworks.curriculum.curriculum import Curriculum, CurriculumTask
from metta.cogworks.curriculum.sessions import SessionClosedError

if TYPE_CHECKING:
    from metta.cogworks.curriculum.config_stock import Loan

MAX_ATTEMPTS = 1000
"""Invalid tasks in a row before giving up: one full pool of the default size, a few seconds of
refused resets."""

_SEED_STRIDE = 1_000_003
"""Step between the seeds of one environment's episodes: a prime, so that environments seeded 0, 1,
2 do not meet."""

REFUSALS = (ValueError, RuntimeError, AssertionError, LookupError)
"""What a generator (TaskInvariantError is a ValueError) or an environment raises for a
configuration that cannot be."""


class InvalidTasksError(RuntimeError):
    """Every task that the curriculum proposed was refused by its generator or by the
    environment."""


@runtime_checkable
class TakesMettaGridConfig(Protocol):
    """An environment that applies a configuration at its next reset, as mettagrid's does."""

    def set_mg_config(self, config: Any) -> None: ...


@runtime_checkable
class ReportsEpisodeRewards(Protocol):
    """An environment that sums its rewards itself: float array (num_agents,) over the running or
    just ended episode."""

    def get_episode_rewards(self) -> np.ndarray: ...


class _Episode:
    """The running episode: its task, its length in steps, its summed rewards (num_agents,), how to
    take the next step."""

    __slots__ = ("length", "loan", "next_task", "returns", "step", "task")

    def __init__(self, returns: np.ndarray | None) -> None:
        self.task: CurriculumTask | None = None  # between episodes, as is step
        self.step: Any = None  # bound when the episode begins
        self.next_task: CurriculumTask | None = (
            None  # of the next episode, drawn when the last one ended
        )
        self.loan: Loan | None = (
            None  # the configuration that the environment has, between two episodes too
        )
        self.length = 0.0
        self.returns = returns


class CurriculumEnv(PufferEnv):
    """Wraps one environment of ``num_agents`` agents; every episode plays a task that
    ``curriculum`` chooses.

    An episode begins with ``reset()``, or with the first ``step()`` after the previous one ended:
    the task's configuration is handed to the environment, then the environment is reset. It ends
    when every agent is terminated or truncated: the task is credited, exactly once, with the mean
    over agents of the summed rewards, and the next task is drawn (another one if it has left the
    pool when its episode begins). An episode that a ``reset()`` interrupts is not credited.

    All other attributes, reading and writing, are those of the wrapped environment, so that vector
    environments place their buffers where it looks for them. Observation space, action space and
    number of agents must not change between tasks. The infos of an episode's last step get the keys
    ``reward`` and ``length`` and those of ``episode_stats``; infos keep the type the environment
    gives them, a dict (mettagrid) or a list of dicts (PufferLib).

    Args:
        env: a PufferLib environment. It resets itself or waits to be reset after an episode; both
            work.
        curriculum: chooses tasks and is told their scores. It stays open when this environment
            closes.
        apply_task: hands a task's configuration to the environment, before its reset. Default:
            ``env.set_mg_config``.
        episode_rewards: reads the rewards summed over the episode, shape (num_agents,). Default:
            ``env.get_episode_rewards`` where the environment has it, otherwise the rewards of
            ``step()`` are summed.
        episode_stats: numbers to add to the infos when an episode ends; few and bounded, because
            they cross a pipe.
        max_attempts: invalid tasks in a row before InvalidTasksError.
        reuse_configs: take configurations from ``curriculum.configs``, and give each back once the
            environment has the next: a later task of equal configuration then plays the same
            object, unless somebody still holds it. Give False where an event handler, a policy or
            other code of yours changes a configuration in place, or keeps a part of one. Default:
            True where no ``apply_task`` is given, as mettagrid's environment takes its own
            configuration again at every reset.

    Raises:
        TypeError: no ``apply_task`` given and the environment has no ``set_mg_config``.
        InvalidTasksError: from ``reset()`` and ``step()``, when ``max_attempts`` tasks in a row
            were refused. Each refused task is retired from the curriculum with the reason.

    What the curriculum raises when it records a score or draws a task is raised by the ``step()``
    that ends the episode.
    """

    def __init__(
        self,
        env: Any,
        curriculum: Curriculum,
        *,
        apply_task: Callable[[Any, Any], None] | None = None,
        episode_rewards: Callable[[Any], np.ndarray] | None = None,
        episode_stats: Callable[[Any], Mapping[str, float]] | None = None,
        max_attempts: int = MAX_ATTEMPTS,
        reuse_configs: bool | None = None,
    ) -> None:
        # PufferEnv.__init__ is not called: buffers and spaces are the wrapped environment's.
        num_agents: int = env.num_agents
        if reuse_configs is None:
            reuse_configs = apply_task is None
        if apply_task is None and not isinstance(env, TakesMettaGridConfig):
            raise TypeError(
                f"{type(env).__name__} has no set_mg_config: pass apply_task=lambda env, config: "
                "... to say how a "
                "task's configuration reaches the environment before its reset"
            )
        if max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, got {max_attempts}")
        returns = None
        if episode_rewards is None and not isinstance(env, ReportsEpisodeRewards):
            returns = np.zeros(num_agents, dtype=np.float64)
        self._env: Any = env
        self._curriculum = curriculum
        self._draws_at_once = isinstance(
            curriculum, Curriculum
        )  # and is no wrapper, which is to be asked
        self._reuse_configs = reuse_configs
        self._apply_task = apply_task
        self._read_rewards = episode_rewards
        self._read_stats = episode_stats
        self._max_attempts = max_attempts
        self._seed: int | None = None
        self._episode = _Episode(returns)

    @property
    def env(self) -> Any:
        """The wrapped environment."""
        return self._env

    @property
    def curriculum(self) -> Curriculum:
        return self._curriculum

    @property
    def current_task(self) -> CurriculumTask | None:
        """The task of the running episode; None before the first and between two episodes."""
        return self._episode.task

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, Any]:
        """Begin an episode with a new task. Returns the environment's observations (num_agents,
        ...) and infos.

        ``seed`` goes to the environment; the episodes that ``step()`` begins later get seeds
        derived from it.
        """
        self._seed = seed
        return self._begin_episode()

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Any]:
        """One step, after beginning an episode if none runs. Returns what the environment
        returns."""
        # Every line here counts: mettagrid leaves the processor's caches cold.
        episode = self._episode
        step = episode.step
        if step is None:
            self._begin_episode()
            step = episode.step
        result = step(actions)
        episode.length += 1.0
        # The whole test costs microseconds: done only where the first agent's flags leave it open.
        terminals, truncations = result[2], result[3]
        if (terminals[0] or truncations[0]) and _all_over(terminals, truncations):
            return (*result[:4], self._end_episode(result[4]))
        return result

    def close(self) -> None:
        """Close the wrapped environment; the curriculum stays open."""
        self._env.close()

    def _begin_episode(self) -> tuple[np.ndarray, Any]:
        episode, curriculum, env = self._episode, self._curriculum, self._env
        configs = curriculum.configs if self._reuse_configs else None
        episode.task = episode.step = None
        seed = self._seed
        if seed is not None:
            self._seed = (seed + _SEED_STRIDE) % 2**31
        reason: Exception | None = None
        for _ in range(self._max_attempts):
            task, episode.next_task = episode.next_task, None
            if task is None or not curriculum.holds(task):
                task = curriculum.get_task()
            loan = None
            try:
                if configs is not None:
                    loan = configs.lend(task.task_id)
                config = task.get_env_cfg() if loan is None else loan[0]
                if self._apply_task is None:
                    env.set_mg_config(config)
                else:
                    self._apply_task(env, config)
                outcome = env.reset() if seed is None else env.reset(seed=seed)
            except REFUSALS as error:
                _forget_closed_simulation(env)
                self._retire(task.task_id, error)
                reason = error
                continue
            episode.task = task
            episode.length = 0.0
            if episode.returns is None:
                episode.step = env.step
            else:
                episode.returns[:] = 0.0
                episode.step = functools.partial(_step_and_sum, env, episode.returns)
            last, episode.loan = episode.loan, loan
            if configs is not None and last is not None:
                configs.take_back(last)
            reason = None  # whose traceback refers to this frame, and so to the configuration
            return outcome
        raise InvalidTasksError(
            f"every task was invalid: {self._max_attempts} tasks in a row were refused, the last "
            "one because of "
            f"{type(reason).__name__}: {reason}. Check the buckets and overrides of the task "
            "generator"
        ) from reason

    def _retire(self, task_id: int, error: Exception) -> None:
        try:
            self._curriculum.retire_task(task_id, f"{type(error).__name__}: {error}")
        except SessionClosedError:
            raise
        except RuntimeError as empty:  # that was the last task
            raise InvalidTasksError(str(empty)) from error

    def _end_episode(self, infos: Any) -> Any:
        episode = self._episode
        task, episode.task, episode.step = episode.task, None, None
        if task is None:
            raise RuntimeError(
                "an episode ended that never began: call reset() or step() on CurriculumEnv, not "
                "on its env"
            )
        rewards: Any = episode.returns
        if self._read_rewards is not None:
            rewards = self._read_rewards(self._env)
        elif rewards is None:
            rewards = self._env.get_episode_rewards()
        total = 0.0
        for reward in rewards.tolist():  # of few agents: numpy's mean takes several times as long
            total += reward
        score = total / len(rewards)
        if self._draws_at_once:
            episode.next_task = self._curriculum.complete_and_draw(task, score)
        else:
            self._curriculum.update_task_performance(task.task_id, score)
        ended = {"reward": score, "length": episode.length}
        if self._read_stats is not None:
            ended.update(self._read_stats(self._env))
        return {**infos, **ended} if isinstance(infos, dict) else [*infos, ended]

    # PufferLib's native backend wants lists of dicts from send() and async_reset(), which
    # mettagrid's infos are not.
    def async_reset(self, seed: int | None = None) -> None:
        _, infos = self.reset(seed)
        self._env.infos = [infos] if isinstance(infos, dict) else infos

    def send(self, actions: np.ndarray) -> None:
        infos = self.step(actions)[4]
        self._env.infos = [infos] if isinstance(infos, dict) else infos

    # What PufferEnv defines on the class would hide the wrapped environment's own answer.
    @property
    def emulated(self) -> Any:
        return self._env.emulated

    @property
    def done(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]  (native environments say False)
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
        "_apply_task",
        "_curriculum",
        "_draws_at_once",
        "_env",
        "_episode",
        "_max_attempts",
        "_read_rewards",
        "_read_stats",
        "_reuse_configs",
        "_seed",
    }
)


def _step_and_sum(env: Any, returns: np.ndarray, actions: np.ndarray) -> Any:
    result = env.step(actions)
    returns += result[1]
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
        env._sim = None
