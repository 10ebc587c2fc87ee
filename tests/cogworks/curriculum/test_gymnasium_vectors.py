"""CurriculumWrapper in vector environments: every episode is credited exactly once, whatever resets
it and in whichever process it is played."""

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from tests.cogworks.curriculum.gym_examples import makers, walk, walks
from tests.cogworks.curriculum.processes import forked

# From Python 3.12, fork warns in a process with threads, such as those of a test runner.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

MODES = list(AutoresetMode)
KINDS: dict[str, Callable[..., VectorEnv]] = {
    "sync": SyncVectorEnv,
    "fork": lambda makes, **options: AsyncVectorEnv(makes, context="fork", **options),
    "spawn": lambda makes, **options: AsyncVectorEnv(makes, context="spawn", **options),
}
STEPS = 40


def run(envs: VectorEnv, mode: AutoresetMode) -> list[tuple[int, float]]:
    """Some steps. Returns task and score of every episode that ended, as infos have them."""
    ended: list[tuple[int, float]] = []
    envs.reset(seed=3)
    actions = np.zeros(envs.num_envs, np.int64)
    for _ in range(STEPS):
        _, _, terminated, truncated, infos = envs.step(actions)
        over = terminated | truncated
        if mode == AutoresetMode.SAME_STEP:
            infos = infos.get("final_info", {})
        for i in np.flatnonzero(over):
            assert infos["_task_score"][i]
            ended.append((int(infos["task_id"][i]), float(infos["task_score"][i])))
        if mode == AutoresetMode.DISABLED and over.any():
            envs.reset(options={"reset_mask": over})
    return ended


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_episode_is_credited_once(kind: str, mode: AutoresetMode):
    with walks(local=kind == "sync") as curriculum:
        envs = KINDS[kind](makers(curriculum), autoreset_mode=mode)
        ended = run(envs, mode)
        assert len(ended) >= 2 * STEPS // 5  # of at most 4 steps and one for the reset
        stats = curriculum.stats()
        assert stats["num_completed"] == len(ended)
        assert stats["num_scheduled"] == len(ended) + stats["num_in_flight"]
        assert stats["num_in_flight"] <= 2
        for task_id, count in Counter(task for task, _ in ended).items():
            state = curriculum.state_of(task_id)
            assert state is not None
            assert state.completion_count == count
            assert state.total_score == sum(score for task, score in ended if task == task_id)
        envs.close()
        assert curriculum.stats()["num_in_flight"] == 0
        assert curriculum.stats()["num_completed"] == len(ended)


@pytest.mark.parametrize("mode", MODES)
def test_episodes_that_a_reset_of_all_cuts_off_are_credited_to_nobody(mode: AutoresetMode):
    with walks(tasks={"length": [4]}) as curriculum:
        envs = SyncVectorEnv(makers(curriculum), autoreset_mode=mode)
        actions = np.zeros(2, np.int64)
        for _ in range(5):
            envs.reset()
            envs.step(actions)
        stats = curriculum.stats()
        assert (stats["num_scheduled"], stats["num_completed"]) == (10, 0)
        assert stats["num_in_flight"] == 2
        for _ in range(3):
            envs.step(actions)
        assert curriculum.stats()["num_completed"] == 2


def test_a_task_can_be_asked_for():
    with walks() as curriculum:
        envs = SyncVectorEnv(makers(curriculum))
        infos = envs.reset(options={"task_id": 4})[1]
        assert infos["task_id"].tolist() == [4, 4]
        assert infos["task_label"].tolist() == ["Stroll", "Stroll"]


def test_seeds_make_the_whole_reproducible():
    def history() -> list[Any]:
        with walks(seed=5) as curriculum:
            envs = SyncVectorEnv(makers(curriculum))
            found = [envs.reset(seed=1)[0].tolist()]
            found += [envs.step(np.zeros(2, np.int64))[0].tolist() for _ in range(20)]
            return found

    assert history() == history()


def test_values_of_buckets_are_arrays():
    with walks() as curriculum:
        envs = SyncVectorEnv(makers(curriculum, bucket_values=True))
        values = envs.reset()[1]["task_bucket_values"]
        assert values["length"].tolist() == [walk.length for walk in envs.get_attr("unwrapped")]


def test_make_vec_takes_it():
    with walks() as curriculum:
        envs = gymnasium.make_vec(
            "tests/Walk-v0",
            2,
            vectorization_mode="sync",
            wrappers=[lambda env: walk(curriculum, env)],
        )
        run(envs, AutoresetMode.NEXT_STEP)
        assert curriculum.stats()["num_completed"] >= 2 * STEPS // 5


def test_a_forked_child_does_not_lose_its_scores_in_a_copy_of_local_memory(capfd: Any):
    with walks() as curriculum:
        assert forked(lambda: walk(curriculum)) == 1
        error = capfd.readouterr().err
        assert f"lies in the local memory of process {os.getpid()}, and this is process" in error
        assert "Give the curriculum's configuration use_shared_memory=True" in error
    with walks(local=False) as curriculum:
        assert forked(lambda: walk(curriculum)) == 0
