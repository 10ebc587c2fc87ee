"""Vectorised training environments: PufferLib's workers, one curriculum pool, and an end to waiting
for the dead."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import psutil
import pufferlib.vector

from metta.cogworks.curriculum.curriculum_env import CurriculumEnv
from metta.rl.config import TrainingEnvConfig
from metta.rl.environment import EnvCreator

# a third of the fastest mettagrid step; PufferLib's own loop burns a core that workers could use
_POLL_SECONDS = 50e-6
_LIVENESS_SECONDS = 0.1  # how late a dead worker may be noticed
_CLOSE_SECONDS = 5.0
"""For a worker to finish its step and detach from the pool, before it is killed."""
_STOPPED_SECONDS = 3.0
"""Of waiting, until a worker is named that does not run (SIGSTOP, a debugger). A step takes
milliseconds."""
_STUCK_SECONDS = 60.0
"""Of waiting, until a worker is named that runs, but does not come to the end of a step."""
_NOT_RUNNING = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


class WorkerDiedError(RuntimeError):
    """A worker process ended while its environments were in use."""


class SupervisedVecEnv:
    """A PufferLib vector environment for PuffeRL, with three differences.

    - ``recv()`` raises WorkerDiedError when a worker has died, where PufferLib waits for ever.
    - ``recv()`` returns truncations as terminals too. PuffeRL looks at terminals only: without this
      an episode that ends at its step limit would run on into the next one, which is another task.
      Its last value is therefore not bootstrapped.
    - ``close()`` lets workers leave the pool in good order and leaves none behind.

    A worker that is stopped, or does not come to the end of a step, is named once and waited for.

    Args:
        vecenv: Serial or Multiprocessing, with ``sync_traj=True``.
        check: called while waiting, about every 0.1 s, and on every ``recv()``; may raise to
            interrupt.
        say: told, in one line, who is waited for.
    """

    def __init__(self, vecenv: Any, check: Callable[[], None], say: Callable[[str], None]) -> None:
        self._vecenv = vecenv
        self._check = check
        self._say = say
        self._workers: list[Any] = (
            vecenv.processes if isinstance(vecenv, pufferlib.vector.Multiprocessing) else []
        )
        self._closed = False
        self.single_observation_space = vecenv.single_observation_space
        self.single_action_space = vecenv.single_action_space
        self.action_space = vecenv.action_space
        self.num_agents: int = vecenv.num_agents
        self.agents_per_batch: int = vecenv.agents_per_batch
        self.driver_env: CurriculumEnv = vecenv.driver_env

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers, in order; empty where there are none."""
        return [worker.pid for worker in self._workers]

    def async_reset(self, seed: int) -> None:
        """Begin an episode in every environment; ``recv()`` has the first observations."""
        self._vecenv.async_reset(seed)

    def send(self, actions: np.ndarray) -> None:
        """Begin a step, with ``actions`` int32 (agents_per_batch,)."""
        self._vecenv.send(actions)

    def recv(self) -> tuple[Any, ...]:
        """PufferLib's: observations, rewards, terminals, truncations, teacher actions, infos, agent
        ids, masks."""
        self._check()
        if self._workers:
            vecenv = self._vecenv
            # With sync_traj PufferLib takes workers in the order in which they were sent their
            # actions.
            self._wait_for(
                vecenv.waiting_workers[: vecenv.workers_per_batch - len(vecenv.ready_workers)]
            )
        observations, rewards, terminals, truncations, *rest = self._vecenv.recv()
        return (observations, rewards, np.logical_or(terminals, truncations), truncations, *rest)

    def settle(self) -> None:
        """Wait until no environment steps: the pool then stays as it is until the next
        ``send()``."""
        if self._workers:
            self._wait_for(self._vecenv.waiting_workers)

    def close(self) -> None:
        """End all workers and wait for them. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._workers:
            self._end_workers()
            self.driver_env.close()
        else:
            self._vecenv.close()

    def _end_workers(self) -> None:
        deadline = time.monotonic() + _CLOSE_SECONDS
        semaphores = self._vecenv.buf["semaphores"]
        running = dict(enumerate(self._workers))
        while running and time.monotonic() < deadline:
            for index, worker in list(running.items()):
                if not worker.is_alive():
                    del running[index]
                elif (
                    semaphores[index] >= pufferlib.vector.MAIN
                ):  # between two steps: it will see the request
                    semaphores[index] = pufferlib.vector.CLOSE
            time.sleep(0.001)
        for worker in running.values():
            worker.kill()
        for worker in self._workers:
            worker.join()

    def _wait_for(self, workers: list[int]) -> None:
        began = time.monotonic()
        next_look = began + _LIVENESS_SECONDS
        named: set[tuple[int, str]] = set()
        for worker in workers:
            while not self._has_answered(worker):
                time.sleep(_POLL_SECONDS)
                if time.monotonic() > next_look:
                    self._check()
                    self._raise_if_dead()
                    self._name_the_slow(workers, time.monotonic() - began, named)
                    next_look = time.monotonic() + _LIVENESS_SECONDS

    def _has_answered(self, worker: int) -> bool:
        state = self._vecenv.buf["semaphores"][worker]
        # A worker announces its infos before it sends them, so one killed in between would block
        # the reading.
        return state == pufferlib.vector.MAIN or (
            state == pufferlib.vector.INFO and self._vecenv.recv_pipes[worker].poll()
        )

    def _name_the_slow(
        self, workers: list[int], seconds: float, named: set[tuple[int, str]]
    ) -> None:
        """Say which of ``workers`` are stopped or stuck after ``seconds`` of waiting, each once;
        ``named`` holds those that were told."""
        if seconds < _STOPPED_SECONDS:
            return
        for worker in workers:
            if self._has_answered(worker):
                continue
            pid = self._workers[worker].pid
            if _is_stopped(pid):
                reason = "is stopped (state T: by SIGSTOP or a debugger)"
                way_out = f"kill -CONT {pid} continues it, Ctrl-C saves and ends the run"
            elif seconds >= _STUCK_SECONDS:
                reason = f"has not ended its step for {_STUCK_SECONDS:.0f} s"
                way_out = "Ctrl-C saves and ends the run"
            else:
                continue
            if (worker, reason) not in named:
                named.add((worker, reason))
                self._say(f"waiting for {self._name(worker)}: it {reason}; {way_out}")

    def _name(self, worker: int) -> str:
        pid = self._workers[worker].pid
        return f"environment worker {worker} of {len(self._workers)} (pid {pid})"

    def _raise_if_dead(self) -> None:
        for index, worker in enumerate(self._workers):
            if not worker.is_alive():
                code = worker.exitcode
                cause = (
                    f"killed by {signal.Signals(-code).name}"
                    if code < 0
                    else f"ended with exit status {code}, see above"
                )
                raise WorkerDiedError(f"{self._name(index)} was lost: {cause}")


def _is_stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() in _NOT_RUNNING
    except psutil.NoSuchProcess:  # it has ended since: noticed at the next look
        return False


def _say_on_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def make_vecenv(
    config: TrainingEnvConfig,
    entropy: tuple[int, ...],
    check: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = _say_on_stderr,
) -> SupervisedVecEnv:
    """Start the environments; workers attach to the pool of ``config.curriculum.session_id``.
    ``check`` and ``say``: see SupervisedVecEnv.

    Raises:
        InvalidTasksError: see ``make_env``.
        ValueError: several workers, but the curriculum has no session id for them to share.
    """
    creator = EnvCreator(config.curriculum, config.agent_stats, entropy)
    if config.num_workers == 1:
        return SupervisedVecEnv(
            pufferlib.vector.make(
                creator, backend=cast(Any, pufferlib.vector.Serial), num_envs=config.num_envs
            ),
            check,
            say,
        )
    if config.curriculum.session_id is None:
        raise ValueError(
            f"{config.num_workers} workers need a pool that they share: give the curriculum's "
            "algorithm "
            "use_shared_memory=True and a session_id, or use training_env.num_workers=1"
        )
    if psutil.cpu_count(logical=False) is None:
        raise RuntimeError(
            "PufferLib cannot start workers here, because this system does not tell its number of "
            "cores: use "
            "training_env.num_workers=1"
        )
    if config.start_method != "default":
        multiprocessing.set_start_method(config.start_method, force=True)
    vecenv = pufferlib.vector.make(
        creator,
        backend=cast(Any, pufferlib.vector.Multiprocessing),
        num_envs=config.num_envs,
        num_workers=config.num_workers,
        batch_size=config.num_envs // config.async_factor,
        overwork=True,  # more workers than cores is the user's decision
    )
    return SupervisedVecEnv(vecenv, check, say)
