"""Supervised workers: one pool, no waiting for the dead, nobody left behind."""

import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
from mettagrid.config.mettagrid_config import MettaGridConfig

import metta.rl.vecenv
from metta.cogworks.curriculum import (
    CurriculumConfig,
    DiscreteRandomConfig,
    TaskGenerator,
    TaskGeneratorConfig,
    bucketed,
    list_sessions,
    single_task,
)
from metta.cogworks.curriculum.curriculum_env import InvalidTasksError
from metta.rl.config import TrainingEnvConfig
from metta.rl.environment import close_curriculum, make_env, open_curriculum
from metta.rl.vecenv import SupervisedVecEnv, WorkerDiedError, make_vecenv

pytestmark = pytest.mark.timeout(120)


def room(max_steps: int = 5, truncates: bool = False) -> MettaGridConfig:
    config = MettaGridConfig.EmptyRoom(num_agents=2, width=6, height=6)
    config.game.max_steps = max_steps
    config.game.episode_truncates = truncates
    return config


def environments(session: str, generator: Any = None, **settings: Any) -> TrainingEnvConfig:
    curriculum = CurriculumConfig(
        task_generator=generator or single_task(room()),
        algorithm_config=DiscreteRandomConfig(num_active_tasks=8),
    )
    return TrainingEnvConfig(
        curriculum=curriculum.with_session(session), **{"num_envs": 4, "num_workers": 2, **settings}
    )


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"test-vecenv-{os.getpid()}-{abs(hash(request.node.name)) % 10**8}"
    yield name
    assert name not in {info.session_id for info in list_sessions()}, "the pool outlived its users"


def run(vecenv: SupervisedVecEnv, steps: int) -> list[tuple[Any, ...]]:
    vecenv.async_reset(0)
    received = [vecenv.recv()]
    per_batch = np.zeros(vecenv.agents_per_batch, dtype=np.int32)
    for _ in range(steps):
        vecenv.send(per_batch)
        result = vecenv.recv()
        received.append((result[0].copy(), *(np.array(part) for part in result[1:4]), *result[4:]))
    return received


@pytest.mark.parametrize(("workers", "async_factor"), [(1, 1), (2, 1), (4, 2)])
def test_all_episodes_are_counted_in_one_pool(session: str, workers: int, async_factor: int):
    config = environments(session, num_workers=workers, async_factor=async_factor)
    curriculum = open_curriculum(config.curriculum)
    vecenv = make_vecenv(config, (0, 0))
    try:
        infos = [
            info for result in run(vecenv, 21 * async_factor - 1) for info in result[5] if info
        ]
        assert curriculum.stats()["num_completed"] == 16
        assert sum(info["length"] == 5.0 for info in infos) == 16
        assert all(set(info) == {"reward", "length", "agent/heart.gained"} for info in infos)
    finally:
        vecenv.close()
        close_curriculum(config.curriculum)


def test_a_truncation_reaches_the_trainer_as_an_end(session: str):
    config = environments(session, single_task(room(truncates=True)), num_workers=1)
    vecenv = make_vecenv(config, (0, 0))
    try:
        ended = [(result[2].all(), result[3].all()) for result in run(vecenv, 6)[1:]]
        assert ended == [(False, False)] * 4 + [(True, True), (False, False)]
    finally:
        vecenv.close()
        close_curriculum(config.curriculum)


def test_a_killed_worker_is_noticed_and_named(session: str):
    config = environments(session)
    vecenv = make_vecenv(config, (0, 0))
    try:
        run(vecenv, 2)
        victim = vecenv.worker_pids[1]
        os.kill(victim, signal.SIGKILL)
        vecenv.send(np.zeros(vecenv.num_agents, dtype=np.int32))
        with pytest.raises(
            WorkerDiedError, match=rf"worker 1 of 2 \(pid {victim}\) was lost: killed by SIGKILL"
        ):
            vecenv.recv()
    finally:
        vecenv.close()
        close_curriculum(config.curriculum)
    assert not any(psutil.pid_exists(pid) for pid in vecenv.worker_pids)


class OnlyTheFirst(TaskGenerator[MettaGridConfig]):
    """Task 0 is a room; every other one is a room that is all wall, which mettagrid refuses at the
    reset."""

    class Config(TaskGeneratorConfig):
        pass

    def _generate_task(self, task_id: int, rng: Any) -> MettaGridConfig:
        return (
            room() if task_id == 0 else MettaGridConfig.EmptyRoom(num_agents=2, width=2, height=2)
        )


def test_a_worker_without_valid_tasks_says_so(session: str, capfd: pytest.CaptureFixture[str]):
    config = environments(session, OnlyTheFirst.Config())
    vecenv = make_vecenv(config, (0, 0))
    try:
        vecenv.async_reset(0)
        with pytest.raises(WorkerDiedError, match="was lost: ended with exit status 1, see above"):
            vecenv.recv()
    finally:
        vecenv.close()
        close_curriculum(config.curriculum)
    error = capfd.readouterr().err
    assert "error: every task was invalid: 1000 tasks in a row" in error
    assert "Traceback" not in error


def test_waiting_can_be_interrupted(session: str):
    config = environments(session)
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt

    vecenv = make_vecenv(config, (0, 0), check)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(vecenv, 10)
    finally:
        vecenv.close()
        close_curriculum(config.curriculum)


def test_workers_ignore_signals_meant_for_the_main_process(session: str):
    config = environments(session)
    vecenv = make_vecenv(config, (0, 0))
    try:
        run(vecenv, 1)
        for pid in vecenv.worker_pids:
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, signum)
        vecenv.send(np.zeros(vecenv.num_agents, dtype=np.int32))
        vecenv.recv()
    finally:
        vecenv.close()
        vecenv.close()
        close_curriculum(config.curriculum)
    assert not any(psutil.pid_exists(pid) for pid in vecenv.worker_pids)


def test_a_stopped_worker_is_named_once_and_waited_for(
    session: str, capfd: pytest.CaptureFixture[str]
):
    config = environments(session)
    looks = []
    vecenv = make_vecenv(config, (0, 0), check=lambda: looks.append(time.monotonic()))
    try:
        run(vecenv, 2)
        stopped = vecenv.worker_pids[1]
        os.kill(stopped, signal.SIGSTOP)
        vecenv.send(np.zeros(vecenv.num_agents, dtype=np.int32))
        # Continued only once it has been named, and looked at some more.
        while_waiting = threading.Thread(target=_continue_when_named, args=(capfd, stopped))
        while_waiting.start()
        vecenv.recv()
        while_waiting.join(60)
        vecenv.send(np.zeros(vecenv.num_agents, dtype=np.int32))
        vecenv.recv()
    finally:
        vecenv.close()
        close_curriculum(config.curriculum)
    assert len(looks) > 30, "waiting was not interruptible"
    assert capfd.readouterr().err == "", "named more than once"


def _continue_when_named(capfd: pytest.CaptureFixture[str], pid: int) -> None:
    error = ""
    try:
        deadline = time.monotonic() + 30
        while f"kill -CONT {pid}" not in error and time.monotonic() < deadline:
            time.sleep(0.1)
            error += capfd.readouterr().err
        time.sleep(1)
        error += capfd.readouterr().err
    finally:
        os.kill(pid, signal.SIGCONT)
    assert error == (
        f"waiting for environment worker 1 of 2 (pid {pid}): it is stopped (state T: by SIGSTOP or "
        f"a debugger); kill -CONT {pid} continues it, Ctrl-C saves and ends the run\n"
    )


class Slow(TaskGenerator[MettaGridConfig]):
    """Rooms; every task but the first takes five seconds to make."""

    class Config(TaskGeneratorConfig):
        pass

    def _generate_task(self, task_id: int, rng: Any) -> MettaGridConfig:
        if multiprocessing.parent_process() is not None and task_id > 0:
            time.sleep(5)
        return room()


def test_a_stuck_worker_is_named_once(session: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metta.rl.vecenv, "_STUCK_SECONDS", 3.5)
    said: list[str] = []
    config = environments(session, Slow.Config(), num_envs=2)
    vecenv = make_vecenv(config, (0, 0), say=said.append)
    try:
        vecenv.async_reset(0)
        vecenv.recv()
    finally:
        vecenv.close()
        close_curriculum(config.curriculum)
    assert said
    assert len(said) == len(set(said)) <= 2
    for line in said:
        assert re.fullmatch(
            r"waiting for environment worker [01] of 2 \(pid \d+\): it has not ended its step for "
            r"4 s; Ctrl-C saves and ends the run",
            line,
        )


def test_a_worker_that_hangs_is_killed_on_close(session: str):
    config = environments(session)
    vecenv = make_vecenv(config, (0, 0))
    run(vecenv, 1)
    for pid in vecenv.worker_pids:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    vecenv.close()
    close_curriculum(config.curriculum)
    assert time.monotonic() - began < 30
    assert not any(psutil.pid_exists(pid) for pid in vecenv.worker_pids)


def test_several_workers_need_a_session():
    curriculum = CurriculumConfig(
        task_generator=single_task(room()),
        algorithm_config=DiscreteRandomConfig(use_shared_memory=False),
    )
    with pytest.raises(
        ValueError, match=r"2 workers need a pool that they share: .*use_shared_memory=True"
    ):
        make_vecenv(TrainingEnvConfig(curriculum=curriculum), (0, 0))


def test_the_environment_is_made_from_the_first_valid_task():
    curriculum = environments("x", bucketed(room(), {"game.map_builder.width": [2, 6]})).curriculum
    env = make_env(curriculum, None, 0)
    assert env.env_cfg.game.map_builder.width == 6
    env.close()


def test_an_environment_needs_valid_tasks():
    with pytest.raises(ValueError, match="has no task_generator"):
        make_env(CurriculumConfig(), None, 0)
    walls = single_task(MettaGridConfig.EmptyRoom(num_agents=2, width=2, height=2))
    with pytest.raises(
        InvalidTasksError, match=r"of 1, 1 were tried, .*exceeds available spawn points"
    ):
        make_env(environments("x", walls).curriculum, None, 0)


def test_two_environments_of_one_seed_play_the_same_maps(session: str):
    observations = []
    for _ in range(2):
        config = environments(session, num_workers=1)
        vecenv = make_vecenv(config, (3, 0))
        observations.append([result[0] for result in run(vecenv, 12)])
        vecenv.close()
        close_curriculum(config.curriculum)
    np.testing.assert_array_equal(observations[0], observations[1])
