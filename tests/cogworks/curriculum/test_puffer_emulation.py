"""CurriculumEnv around what PufferLib's emulation makes of Gymnasium's and PettingZoo's
environments."""

from typing import Any

import numpy as np
import pufferlib.vector
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from pufferlib.emulation import GymnasiumPufferEnv, PettingZooPufferEnv

from metta.cogworks.curriculum import Curriculum
from metta.cogworks.curriculum.curriculum_env import CurriculumEnv
from tests.cogworks.curriculum.gym_examples import Stroll, Walk, walk, walks
from tests.cogworks.curriculum.parallel_examples import Race
from tests.cogworks.curriculum.test_gymnasium import stats
from tests.cogworks.curriculum.test_pettingzoo import mean_return

# From Python 3.12, fork warns in a process with threads, such as those of a test runner.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


class Nested(Walk):
    """Observations that PufferLib must pack, and unpack for the network."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Dict(walk=Box(0, 9, (2,), np.float32), more=Discrete(3))

    def _observation(self) -> Any:
        return {"walk": super()._observation(), "more": 1}


def set_inner(env: Any, task: Stroll) -> None:
    env.env.length, env.env.pay = task.length, task.pay


def emulate(env: Any, **options: Any) -> Any:
    kind = PettingZooPufferEnv if isinstance(env, Race) else GymnasiumPufferEnv
    return kind(env, **options)


def under(curriculum: Curriculum, env: Any, **options: Any) -> CurriculumEnv:
    return CurriculumEnv(emulate(env, **options), curriculum, apply_task=set_inner)


@pytest.mark.parametrize("make", [Walk, Nested, Race])
def test_every_episode_is_credited_once_with_the_mean_over_agents(make: Any):
    with walks() as curriculum:
        env = under(curriculum, make())
        agents = env.num_agents
        assert agents == (2 if make is Race else 1)
        observations, infos = env.reset(seed=1)
        assert observations.shape[0] == agents
        assert isinstance(infos, list)
        ended = 0
        for _ in range(60):
            task = env.current_task
            observations, rewards, terminals, truncations, infos = env.step(
                np.zeros(agents, np.int32)
            )
            for array in (observations, rewards, terminals, truncations):
                assert len(array) == agents
            assert isinstance(infos, list)
            if terminals.all():
                ended += 1
                assert task is not None
                values = task.get_bucket_values()
                expected = mean_return(**values)
                if make is not Race:
                    expected = values["length"] * values["pay"]
                assert infos[-1] == {"reward": expected, "length": values["length"]}
                assert task.state.last_score == expected  # type: ignore[union-attr]
        assert ended > 10
        assert stats(curriculum)["completed"] == ended
        env.close()


def make_env(curriculum: Curriculum, kind: Any, buf: Any = None, seed: int = 0) -> CurriculumEnv:
    return under(curriculum, kind(), buf=buf, seed=seed)


@pytest.mark.parametrize("kind", [Walk, Race])
@pytest.mark.parametrize(
    "backend", [pufferlib.vector.Serial, pufferlib.vector.Multiprocessing], ids=["serial", "many"]
)
def test_in_pufferlibs_vector_environments(kind: Any, backend: Any):
    with walks(local=False) as curriculum:
        options = {"num_workers": 1} if backend is pufferlib.vector.Multiprocessing else {}
        envs = pufferlib.vector.make(
            make_env,
            env_kwargs={"curriculum": curriculum, "kind": kind},
            backend=backend,
            num_envs=2,
            seed=1,
            **options,
        )
        envs.reset(seed=1)
        told = 0
        for _ in range(40):
            _, _, _, _, infos = envs.step(np.zeros(envs.num_agents, np.int32))
            told += sum("reward" in info for info in infos)
        assert told > 10
        assert stats(curriculum)["completed"] == told
        envs.close()


def test_the_wrapper_of_gymnasium_may_stand_inside_instead():
    with walks() as curriculum:
        env = GymnasiumPufferEnv(walk(curriculum))
        ended = 0
        for _ in range(20):
            if env.done:
                env.reset()
            ended += bool(env.step(np.zeros(1, np.int32))[2])
        assert stats(curriculum)["completed"] == ended > 3


def test_it_must_be_said_how_a_task_reaches_it():
    message = "has no set_mg_config: pass apply_task=lambda env"
    with walks() as curriculum, pytest.raises(TypeError, match=message):
        CurriculumEnv(emulate(Walk()), curriculum)
