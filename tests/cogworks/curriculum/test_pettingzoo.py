"""CurriculumParallelWrapper on the real library, and what pufferlib.emulation makes under
CurriculumEnv."""

import functools
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pettingzoo
import pytest
from pettingzoo.utils import aec_to_parallel
from pettingzoo.utils.wrappers import BaseParallelWrapper

from metta.cogworks.curriculum import CurriculumConfig
from metta.cogworks.curriculum.pettingzoo import (
    CurriculumParallelWrapper,
    InvalidTasksError,
    ParallelEpisode,
)
from tests.cogworks.curriculum.gym_examples import walks
from tests.cogworks.curriculum.parallel_examples import AGENTS, Race, race, run, set_race
from tests.cogworks.curriculum.test_gymnasium import stats

PURSUIT = "sisl/pursuit-v5"
SMALL = {"x_size": 7, "y_size": 7, "n_pursuers": 2, "max_cycles": 5}


def mean_return(length: int, pay: float) -> float:
    """Of Race's two agents."""
    return ((length - 1) * pay + length * 2 * pay) / 2


# -- an episode ------------------------------------------------------------------------------------


def test_an_episode_is_credited_once_with_the_mean_over_agents_those_that_left_early_too():
    with walks() as curriculum:
        env = race(curriculum)
        _, infos = env.reset(seed=1)
        task = env.current_task
        assert task is not None
        about = {"task_id": task.task_id, "task_label": "Stroll"}
        assert infos == {agent: {"begun": True, **about} for agent in AGENTS}
        values = task.get_bucket_values()
        for step in range(1, values["length"]):
            assert env.step(dict.fromkeys(env.agents, 0))[4]["long"] == {"elapsed": step}
        assert env.agents == ["long"]
        assert stats(curriculum) == {"scheduled": 1, "in_flight": 1}
        *_, infos = env.step({"long": 0})
        about["task_score"] = mean_return(**values)
        assert infos == {"long": {"elapsed": values["length"], **about}}
        assert task.state is not None
        assert (task.state.completion_count, task.state.last_score) == (1, about["task_score"])
        assert stats(curriculum) == {"scheduled": 1, "completed": 1}
        assert env.current_task is None
        with pytest.raises(RuntimeError, match=r"no episode runs: call reset\(\)"):
            env.step({})


def test_each_task_is_credited_with_what_it_pays():
    with walks() as curriculum:
        env = race(curriculum, bucket_values=True)
        for _ in range(40):
            info = run(env)["long"]
            assert info["task_score"] == mean_return(**info["task_bucket_values"])
        assert stats(curriculum) == {"scheduled": 40, "completed": 40}


def test_agents_that_keep_standing_until_the_reset_are_over_when_all_are_flagged():
    class Standing(BaseParallelWrapper):
        """Agents that are over stay in ``agents``, against the interface."""

        def step(self, actions: Any) -> Any:
            agents = self.env.agents
            *result, infos = self.env.step(actions)
            ended = not self.env.agents
            if ended:
                self.env.agents = agents
            return *result, infos

    with walks(tasks={"length": [1]}) as curriculum:
        env = race(curriculum, Standing(Race(agents=("long",))))
        env.reset()
        assert env.step({"long": 0})[4]["long"]["task_score"] == 1.0
        assert stats(curriculum) == {"scheduled": 1, "completed": 1}


def test_an_episode_that_is_cut_off_is_credited_to_nobody():
    with walks() as curriculum:
        env = race(curriculum)
        env.reset()
        env.step(dict.fromkeys(AGENTS, 0))
        env.reset()
        assert stats(curriculum) == {"scheduled": 2, "in_flight": 1}
        env.close()
        assert stats(curriculum) == {"scheduled": 2}


def test_a_score_of_ones_own():
    seen: list[ParallelEpisode] = []

    def score(episode: ParallelEpisode) -> float:
        seen.append(episode)
        return min(episode.total_rewards.values())

    with walks(tasks={"length": [3], "pay": [0.5]}) as curriculum:
        assert run(race(curriculum, score=score))["long"]["task_score"] == 1.0
    (episode,) = seen
    assert episode.total_rewards == {"short": 1.0, "long": 3.0}
    assert episode.length == 3
    assert episode.infos == {"short": {"elapsed": 2}, "long": {"elapsed": 3}}


def test_scores_that_are_not_finite_or_no_number():
    with walks() as curriculum:
        env = race(curriculum, score=lambda episode: float("nan"))
        assert "task_score" not in run(env)["long"]
        assert stats(curriculum) == {"scheduled": 1, "unscored": 1}
        with pytest.raises(TypeError, match=r"score\(episode\) returned None, a NoneType, where a"):
            run(race(curriculum, score=lambda episode: None))  # type: ignore[arg-type, return-value]


# -- seeds and options -----------------------------------------------------------------------------


# which its tests import themselves
@pytest.mark.filterwarnings("ignore:.*old environment creation API.*:DeprecationWarning")
def test_it_passes_the_librarys_tests():
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    with walks(tasks={"length": [5], "pay": [0.25, 0.5]}) as curriculum:
        parallel_api_test(race(curriculum, Race(agents=("long", "longer"))), num_cycles=50)
    parallel_seed_test(lambda: race(walks(seed=4)), num_cycles=20)


def pursuit(curriculum: Any) -> CurriculumParallelWrapper:
    """A real environment, made anew for each task."""

    def make(length: int, pay: float) -> Any:
        del pay
        return pettingzoo.make("parallel", PURSUIT, **SMALL, n_evaders=length)

    return CurriculumParallelWrapper(make(2, 0.0), curriculum, make_env=make)


def test_a_real_environment_is_made_anew():
    with walks(tasks={"length": [2, 3]}) as curriculum:
        env = pursuit(curriculum)
        spaces = {agent: env.action_space(agent) for agent in env.possible_agents}
        for _ in range(6):
            info = run(env)["pursuer_0"]
            assert np.isfinite(info["task_score"])
        assert {agent: env.action_space(agent) for agent in env.possible_agents} == spaces
        assert all(env.action_space(agent) is space for agent, space in spaces.items())
        assert stats(curriculum) == {"scheduled": 6, "completed": 6}


def test_a_turn_based_environment_made_parallel():
    with walks() as curriculum:
        turns = pettingzoo.make("aec", "classic/rps-v2")
        env = race(curriculum, aec_to_parallel(turns), apply_task=lambda env, config: None)
        for _ in range(3):
            run(env)
        assert stats(curriculum) == {"scheduled": 3, "completed": 3}


def test_tasks_and_options():
    with walks() as curriculum:
        env = race(curriculum, as_options=True)
        for task_id in range(6):
            info = run(env, options={"task_id": task_id, "mark": 7})["long"]
            assert info["task_id"] == task_id
            assert info["task_score"] == mean_return(**curriculum.bucket_values_of(task_id))
        assert env.mark == 7
        assert stats(curriculum) == {"completed": 6}
        with pytest.raises(ValueError, match="task id 6 is not one of this curriculum's"):
            env.reset(options={"task_id": 6})
        with pytest.raises(ValueError, match="seed=-1 is not allowed: seeds are from 0"):
            env.reset(seed=-1)
        first, again = env.reset(seed=5), env.reset(seed=5)
        assert first[1] == again[1]


def test_a_task_that_is_refused_is_retired():
    with walks(tasks={"length": [0, 2], "pay": [0.5]}) as curriculum:
        env = race(curriculum)
        for _ in range(5):
            run(env)
        assert curriculum.stats()["num_invalid"] == 1
    with (
        walks(tasks={"length": [0, -1]}) as curriculum,
        pytest.raises(InvalidTasksError, match="are invalid"),
    ):
        race(curriculum).reset()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"agents": ("long",)},
            r"the agents of the .* are \['long'\], and were \['short', 'long'\]",
        ),
        ({"size": 3}, r"the observation space of 'short' in the environment that make_env made is"),
    ],
)
def test_what_must_be_the_same_for_all_tasks(options: dict[str, Any], message: str):
    with walks(tasks={"length": [2]}) as curriculum:
        env = race(curriculum, make_env=functools.partial(Race, **options))
        with pytest.raises(InvalidTasksError, match=message):
            env.reset()


# -- what is given ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (None, "env=None is no parallel PettingZoo environment: give one"),
        (Race, "it is a class: give an object of it"),
        (
            pettingzoo.make("aec", "classic/rps-v2"),
            "make it parallel with pettingzoo.utils.aec_to_parallel, and use .*ParallelWrapper",
        ),
    ],
)
def test_what_is_no_environment(env: Any, message: str):
    with walks() as curriculum, pytest.raises(TypeError, match=message):
        CurriculumParallelWrapper(env, curriculum, apply_task=set_race)


def test_arguments_that_cannot_be_used():
    with walks() as curriculum:
        with pytest.raises(TypeError, match="has a CurriculumParallelWrapper already"):
            race(curriculum, BaseParallelWrapper(race(curriculum)))
        with pytest.raises(TypeError, match="0 ways for a task to reach the environment"):
            CurriculumParallelWrapper(Race(), curriculum)
        with pytest.raises(TypeError, match="score=5 is not a function"):
            race(curriculum, score=5)
    with pytest.raises(TypeError, match="is not a Curriculum"):
        race(CurriculumConfig())  # type: ignore[arg-type]


def test_pickling():
    with walks(local=False) as curriculum:
        env = race(curriculum)
        env.reset()
        sent = pickle.loads(pickle.dumps(env))
        while sent.agents:
            sent.step(dict.fromkeys(sent.agents, 0))
        assert stats(curriculum) == {"scheduled": 1, "completed": 1}
        assert env.metadata["name"] == sent.metadata["name"] == "race_v0"
        sent.curriculum.close()


def test_without_pettingzoo_the_error_says_what_to_install():
    code = "import sys; sys.modules['pettingzoo'] = None; "
    code += "import metta.cogworks.curriculum.pettingzoo"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "pip install 'metta-curriculum[pettingzoo]'" in done.stderr
