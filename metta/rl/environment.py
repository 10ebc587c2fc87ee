"""One training environment, in any process, and that process's view of the curriculum's pool."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.util import Finalize
from typing import Any

import numpy as np
from mettagrid.config.mettagrid_config import MettaGridConfig
from mettagrid.envs.mettagrid_puffer_env import MettaGridPufferEnv
from mettagrid.simulator import Simulator

from metta.cogworks.curriculum import Curriculum, CurriculumConfig
from metta.cogworks.curriculum.curriculum_env import REFUSALS, CurriculumEnv, InvalidTasksError
from metta.rl.signals import STOPPING
from metta.sim.map_seeds import SeededMaps

_WORKER_NICENESS = 15
"""Workers spin while they wait for actions; the network goes first. On two busy cores, two workers
and the 24-agent arena this raised 6,700 agent steps per second to 11,500; where every process has a
core it changes nothing."""

_MOST_TRIED = 100
"""Tasks that are tried for a valid one, to make an environment from."""


@dataclass(frozen=True)
class EnvCreator:
    """What PufferLib calls, in any process, to make one environment. Pickles as configuration plus
    session id."""

    curriculum: CurriculumConfig
    agent_stats: tuple[str, ...]
    entropy: tuple[int, ...]
    """What the map seeds are derived from, together with the environment's index: the run's seed
    and its first step."""

    def __call__(self, buf: Any = None, seed: int = 0) -> CurriculumEnv:
        """``buf``: PufferLib's shared buffers. ``seed``: PufferLib's constructor seed, the index of
        the environment."""
        make = CurriculumEnv
        if multiprocessing.parent_process() is not None:
            _become_worker()
            make = _WorkerEnv
        env = make_env(self.curriculum, buf, seed)
        return make(
            env,
            open_curriculum(self.curriculum),
            apply_task=SeededMaps(*self.entropy, seed),
            episode_stats=_AgentStats(self.agent_stats) if self.agent_stats else None,
        )


class _WorkerEnv(CurriculumEnv):
    """Ends its process with a message, where PufferLib's worker would print a traceback."""

    def _begin_episode(self) -> tuple[np.ndarray, Any]:
        try:
            return super()._begin_episode()
        except InvalidTasksError as error:
            raise SystemExit(f"error: {error}") from error


def make_env(curriculum: CurriculumConfig, buf: Any, seed: int) -> MettaGridPufferEnv:
    """An environment with the spaces and the number of agents that all tasks share, made from the
    first valid task.

    Raises:
        TypeError: the generator makes something other than mettagrid configurations.
        InvalidTasksError: none of the first hundred tasks is valid.
    """
    if curriculum.task_generator is None:
        raise ValueError(
            "the curriculum has no task_generator: training needs one that makes mettagrid "
            "configurations"
        )
    generator = curriculum.task_generator.create()
    problem: Exception | None = None
    num_ids = curriculum.num_ids(generator)
    tried = min(_MOST_TRIED, num_ids)
    for task_id in range(tried):
        try:
            config = generator.get_task(task_id)
            if not isinstance(config, MettaGridConfig):
                raise TypeError(
                    f"the task generator makes {type(config).__name__}: training needs "
                    "MettaGridConfig"
                )
            return MettaGridPufferEnv(Simulator(), config, buf=buf, seed=seed)
        except REFUSALS as error:
            problem = error
    raise InvalidTasksError(
        f"every task was invalid: of {num_ids}, {tried} were tried, the last was refused for "
        f"{type(problem).__name__}: {problem}"
    ) from problem


_curricula: dict[tuple[int, CurriculumConfig | str], Curriculum] = {}


def open_curriculum(config: CurriculumConfig) -> Curriculum:
    """This process's view of the pool; one per process and session, however many environments it
    has."""
    key = (os.getpid(), config.session_id or str(id(config)))
    if key not in _curricula:
        curriculum = config.make()
        _curricula[key] = curriculum
        if multiprocessing.parent_process() is not None:
            Finalize(None, curriculum.close, exitpriority=10)
    return _curricula[key]


def close_curriculum(config: CurriculumConfig) -> None:
    """Close this process's view; the last process to do so removes the pool."""
    curriculum = _curricula.pop((os.getpid(), config.session_id or str(id(config))), None)
    if curriculum is not None:
        curriculum.close()


class _AgentStats:
    """Reads mettagrid's agent statistics at the end of an episode: mean over agents, 0 where an
    agent has none."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def __call__(self, env: MettaGridPufferEnv) -> Mapping[str, float]:
        agents = env.current_simulation.episode_stats["agent"]
        return {
            f"agent/{name}": sum(agent.get(name, 0.0) for agent in agents) / len(agents)
            for name in self._names
        }


_worker_of: list[int] = []


def _become_worker() -> None:
    """Leave stopping to the main process, which saves first, and never outlive it."""
    if _worker_of == [os.getpid()]:
        return
    _worker_of[:] = [os.getpid()]
    for signum in STOPPING:
        signal.signal(signum, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, _leave)
    os.nice(_WORKER_NICENESS)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(
        os.getpid(), signal.SIGUSR1
    )  # only the main thread can unwind, and so leave the pool in good order


def _leave(signum: int, frame: object) -> None:
    raise SystemExit(1)
