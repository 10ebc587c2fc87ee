"""What CurriculumEnv is given, and what its functions return: each fault a message that says the
way out, before anything is credited."""

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
)
from metta.cogworks.curriculum.curriculum_env import CurriculumEnv
from tests.cogworks.curriculum.drills import (
    ACTIONS,
    DrillEnv,
    drill,
    pool,
    run_episode,
    set_drill,
)
from tests.cogworks.curriculum.states import without_times

NAN = float("nan")


class ParallelEnv:
    """As PettingZoo's: the number of agents is known once it was reset."""

    possible_agents = ("a", "b")

    @property
    def num_agents(self) -> int:
        return len(self.agents)  # type: ignore[attr-defined]

    def reset(self, seed: int | None = None) -> Any:
        self.agents = list(self.possible_agents)

    def step(self, actions: dict[str, int]) -> Any: ...

    def close(self) -> None: ...


class Parallel(pettingzoo.ParallelEnv):
    pass


class Gym(gymnasium.Env):
    observation_space = Box(0, 1, (1,), np.float32)
    action_space = Discrete(2)


class Duck:
    """Of no library that is known."""

    def reset(self) -> None: ...

    def step(self, action: int) -> None: ...


class Emulated(DrillEnv):
    """Emulates an environment, and was not made by PufferLib's emulation."""

    emulated = True


class Agents(DrillEnv):
    """Says that it has another number of agents."""

    def __init__(self, num_agents: Any) -> None:
        super().__init__()
        self.num_agents = num_agents


ENVIRONMENTS: list[tuple[Any, str]] = [
    (None, r"env=None is no PufferLib environment: it has no num_agents, "),
    (5, r"env=5 is no"),
    ("DrillEnv", r"env='DrillEnv' is no"),
    ([], r"env=\[\] is no"),
    (DrillEnv, r"it is a class, not an environment"),
    (
        Duck(),
        r"env=<Duck> .* it has no num_agents, single_observation_space, single_action_space, close",
    ),
    (ParallelEnv(), r"env=<ParallelEnv> .* it has no num_agents, single_observation_space"),
    (Emulated(), r"env=<Emulated> .* it emulates one"),
    (Agents(0), r"its num_agents is 0, not an integer of at least 1"),
    (Agents(-1), r"its num_agents is -1"),
    (Agents(2.0), r"its num_agents is 2.0"),
    (Agents(True), r"its num_agents is True"),
    (Agents("2"), r"its num_agents is '2'"),
    (Agents(NAN), r"its num_agents is nan"),
]


@pytest.mark.parametrize(("env", "message"), ENVIRONMENTS)
def test_an_environment_that_cannot_be_wrapped(env: Any, message: str):
    with pool() as curriculum, pytest.raises(TypeError, match=message) as caught:
        CurriculumEnv(env, curriculum, apply_task=set_drill)
    assert "Give a pufferlib.PufferEnv or what pufferlib.emulation makes of another" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


OTHERS: list[tuple[Any, str]] = [
    (Gym(), r"a Gymnasium environment: use metta.cogworks.curriculum.gymnasium.CurriculumWrapper"),
    (gymnasium.make("CartPole-v1"), r"a Gymnasium environment: use .*CurriculumWrapper"),
    (
        SyncVectorEnv([Gym]),
        r"a vector environment: use .*CurriculumWrapper on each of the environments that it is",
    ),
    (DummyVecEnv([Gym]), r"a vector environment: use .*CurriculumWrapper on each"),
    (
        Parallel(),
        r"a parallel PettingZoo environment: use .*pettingzoo.CurriculumParallelWrapper",
    ),
    (
        pettingzoo.make("aec", "classic/rps-v2"),
        r"a turn-based .* make it parallel .*, and use .*ParallelWrapper",
    ),
]


@pytest.mark.parametrize(("env", "message"), OTHERS)
def test_an_environment_that_another_wrapper_is_for(env: Any, message: str):
    with pool() as curriculum, pytest.raises(TypeError, match=f"no PufferLib .*: it is {message}"):
        CurriculumEnv(env, curriculum, apply_task=set_drill)


def test_an_environment_that_is_wrapped_already():
    with pool() as curriculum, pytest.raises(TypeError, match="env is a CurriculumEnv already"):
        CurriculumEnv(drill(curriculum), curriculum, apply_task=set_drill)


CURRICULA: list[tuple[Any, str]] = [
    (None, r"curriculum=None is not a Curriculum \(no get_task, update_task_performance"),
    (5, r"curriculum=5 "),
    ("c", r"curriculum='c' "),
    ({}, r"curriculum=\{\} "),
    (Curriculum, r"curriculum=<class 'metta.*Curriculum'> is not a Curriculum \(it is a class\)"),
    (CurriculumConfig(), r"curriculum=<CurriculumConfig> "),
    (DiscreteRandomConfig(), r"curriculum=<DiscreteRandomConfig> "),
    (LearningProgressConfig(), r"curriculum=<LearningProgressConfig> "),
    (lambda: None, r"curriculum=<function> "),
]


@pytest.mark.parametrize(("curriculum", "message"), CURRICULA)
@pytest.mark.parametrize("options", [{}, {"apply_task": set_drill}])
def test_what_is_no_curriculum(curriculum: Any, message: str, options: dict[str, Any]):
    with pytest.raises(TypeError, match=message) as caught:
        CurriculumEnv(DrillEnv(), curriculum, **options)
    assert "make one of a configuration with Curriculum(config)" in str(caught.value)
    assert "or any object with get_task, update_task_performance and stats" in str(caught.value)


def test_a_stand_in_for_a_curriculum_without_configurations_to_use_again():
    class Chooses:
        get_task = update_task_performance = stats = print

    chooses: Any = Chooses()
    CurriculumEnv(DrillEnv(), chooses, apply_task=set_drill)
    with pytest.raises(TypeError, match=r"is not a Curriculum \(no configs\)"):
        CurriculumEnv(DrillEnv(), chooses, apply_task=set_drill, reuse_configs=True)


OPTIONS: list[tuple[str, Any, type[Exception], str]] = [
    *(
        (name, value, TypeError, rf"{name}=.* is not a function: give one, such as lambda env")
        for name in ("apply_task", "episode_rewards", "episode_stats")
        for value in (5, "set", True, [], {}, np.zeros(2), NAN)
    ),
    ("max_attempts", NAN, TypeError, r"max_attempts=nan is not an integer"),
    ("max_attempts", True, TypeError, r"max_attempts=True is not an integer"),
    ("max_attempts", "3", TypeError, r"max_attempts='3' is not an integer"),
    ("max_attempts", 3.0, TypeError, r"max_attempts=3.0 is not an integer"),
    ("max_attempts", None, TypeError, r"max_attempts=None is not an integer"),
    ("max_attempts", 0, ValueError, r"max_attempts must be at least 1, got 0"),
    ("max_attempts", -1, ValueError, r"max_attempts must be at least 1, got -1"),
    ("reuse_configs", 5, TypeError, r"reuse_configs=5 is not allowed: give True, False, or None"),
    ("reuse_configs", 1, TypeError, r"reuse_configs=1 is not allowed"),
    ("reuse_configs", "no", TypeError, r"reuse_configs='no' is not allowed"),
    ("reuse_configs", NAN, TypeError, r"reuse_configs=nan is not allowed"),
    ("reuse_configs", [], TypeError, r"reuse_configs=\[\] is not allowed"),
]


@pytest.mark.parametrize(("name", "value", "error", "message"), OPTIONS)
def test_an_option_that_cannot_be(name: str, value: Any, error: type[Exception], message: str):
    with pool() as curriculum:
        before = without_times(curriculum.get_state())
        with pytest.raises(error, match=message):
            CurriculumEnv(DrillEnv(), curriculum, **{"apply_task": set_drill, name: value})
        assert without_times(curriculum.get_state()) == before


def returns(value: Any) -> Callable[[Any], Any]:
    return lambda env: value


REWARDS: list[tuple[Any, type[Exception], str]] = [
    ([1.0, 2.0], TypeError, r"\[1.0, 2.0\], a list: it must return an array of numbers"),
    ((1.0, 2.0), TypeError, r"a tuple: it must"),
    ([], TypeError, r"\[\], a list: it must"),
    (5, TypeError, r"5, a int: it must"),
    (2.5, TypeError, r"2.5, a float: it must"),
    (None, TypeError, r"None, a NoneType: it must"),
    ("12", TypeError, r"'12', a str: it must"),
    ({"a": 1.0}, TypeError, r"a dict: it must"),
    (np.float64(1.0), TypeError, r"a float64: it must"),
    (np.array(["1", "2"]), TypeError, r"a ndarray of <U1: it must"),
    (np.array([1.0, None]), TypeError, r"a ndarray of object: it must"),
    (np.array([1j, 2j]), TypeError, r"a ndarray of complex128: it must"),
    (np.array([]), ValueError, r"an array of shape \(0,\): it must have one number per agent"),
    (np.array(1.0), ValueError, r"an array of shape \(\): it must"),
    (np.zeros(1), ValueError, r"an array of shape \(1,\): it must"),
    (np.zeros(3), ValueError, r"an array of shape \(3,\): it must"),
    (np.zeros((2, 1)), ValueError, r"an array of shape \(2, 1\): it must"),
    (np.zeros((1, 2)), ValueError, r"an array of shape \(1, 2\): it must"),
]
STATS: list[tuple[Any, type[Exception], str]] = [
    (None, TypeError, r"episode_stats returned None: it must return a dict of names to numbers"),
    ([], TypeError, r"episode_stats returned \[\]"),
    ([("a", 1.0)], TypeError, r"episode_stats returned \[\('a', 1.0\)\]"),
    (5, TypeError, r"episode_stats returned 5"),
    ("a", TypeError, r"episode_stats returned 'a'"),
    (np.zeros(2), TypeError, r"episode_stats returned <ndarray>"),
    ({"a": None}, TypeError, r"episode_stats returned a=None"),
    ({"a": "1"}, TypeError, r"episode_stats returned a='1'"),
    ({"a": 1.0, "b": [1.0]}, TypeError, r"episode_stats returned b=\[1.0\]"),
    ({"a": np.zeros(1)}, TypeError, r"episode_stats returned a=<ndarray>"),
    ({"a": 1j}, TypeError, r"episode_stats returned a=<complex>"),
    ({"a": {"b": 1.0}}, TypeError, r"episode_stats returned a=\{'b': 1.0\}"),
    ({1: 1.0}, TypeError, r"episode_stats returned the key 1"),
    ({None: 1.0}, TypeError, r"episode_stats returned the key None"),
    ({"reward": 1.0}, ValueError, r"the key 'reward', which CurriculumEnv sets itself"),
    ({"length": 1.0}, ValueError, r"the key 'length', which CurriculumEnv sets itself"),
]


class Returns(DrillEnv):
    """Returns something else at one place of its step's result."""

    def __init__(self, place: int, value: Any) -> None:
        super().__init__()
        self.place, self.value = place, value

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        result = list(super().step(actions))
        result[self.place] = self.value
        return tuple(result)


class Sums(DrillEnv):
    """Reads its own rewards, as mettagrid's environment does."""

    def __init__(self, rewards: Any) -> None:
        super().__init__()
        self.sums = rewards

    def get_episode_rewards(self) -> Any:
        return self.sums


INFOS: list[tuple[Any, type[Exception], str]] = [
    (value, TypeError, r"step\(\) of the environment returned infos .*must be a dict or a list")
    for value in (None, 5, "infos", {1}, NAN)
]
ENDS: list[tuple[Callable[[Curriculum], CurriculumEnv], type[Exception], str]] = [
    *(
        (
            partial(drill, episode_rewards=returns(value)),
            error,
            f"episode_rewards returned {message}",
        )
        for value, error, message in [(v, e, f".*{m}") for v, e, m in REWARDS]
    ),
    *(
        (
            partial(drill, env=Sums(value)),
            error,
            rf"Sums.get_episode_rewards\(\) returned .*{message}",
        )
        for value, error, message in REWARDS
    ),
    *(
        (
            partial(drill, env=Returns(1, value)),
            error,
            rf"step\(\) of the environment returned .*{message}",
        )
        for value, error, message in REWARDS
    ),
    *(
        (partial(drill, episode_stats=returns(value)), error, message)
        for value, error, message in STATS
    ),
    *((partial(drill, env=Returns(4, value)), error, message) for value, error, message in INFOS),
]


@pytest.mark.parametrize(("make", "error", "message"), ENDS)
def test_what_an_episode_ends_with(
    make: Callable[[Curriculum], CurriculumEnv], error: type[Exception], message: str
):
    """Nothing is credited, and the environment can be used again."""
    with pool() as curriculum:
        env = make(curriculum)
        attributes = set(vars(env.env))
        for episodes in range(1, 4):
            env.reset()
            before = without_times(curriculum.get_state())
            with pytest.raises(error, match=message) as caught:
                run_episode(env)
            assert "the episode was not credited" in str(caught.value)
            assert without_times(curriculum.get_state()) == before
            stats = curriculum.stats()
            assert (stats["num_scheduled"], stats["num_completed"]) == (episodes, 0)
            assert (stats["num_unscored"], stats["num_invalid"]) == (0, 0)
        assert set(vars(env.env)) == attributes
        fresh = drill(curriculum)
        run_episode(fresh)
        assert curriculum.stats()["num_completed"] == 1


def test_after_an_error_the_next_step_begins_another_episode():
    given = iter([[], np.array([1.0, 2.0])])
    with pool() as curriculum:
        env = drill(curriculum, episode_rewards=lambda env: next(given))
        with pytest.raises(TypeError):
            run_episode(env)
        assert env.current_task is None
        assert run_episode(env)[4][-1] == {"reward": 1.5, "length": 3.0}
        stats = curriculum.stats()
        assert (stats["num_scheduled"], stats["num_completed"]) == (2, 1)


def test_what_a_function_raises_comes_through_and_nothing_is_credited():
    def broken(env: DrillEnv) -> Any:
        raise ZeroDivisionError("theirs")

    for option in ("episode_rewards", "episode_stats"):
        with pool() as curriculum:
            with pytest.raises(ZeroDivisionError, match="theirs"):
                run_episode(drill(curriculum, **{option: broken}))
            assert curriculum.stats()["num_completed"] == 0


@pytest.mark.parametrize(
    ("stats", "rewards"),
    [
        (MappingProxyType({"a": 1}), np.array([1, 2])),  # a mapping; integers
        ({"a": True}, np.array([True, False])),  # successes are numbers
        ({"a": np.float32(1.0)}, np.array([1, 2], np.uint8)),
        ({"a": NAN}, np.array([1.0, 2.0], np.float16)),  # a statistic may have no value
        ({}, np.array([[1.0, 2.0]])[0]),  # a view
    ],
)
def test_what_is_accepted(stats: Any, rewards: np.ndarray):
    with pool() as curriculum:
        env = drill(curriculum, episode_rewards=returns(rewards), episode_stats=returns(stats))
        infos = run_episode(env)[4][-1]
        assert set(infos) == {"reward", "length", *stats}
        assert infos["reward"] == float(np.mean(rewards))


SEEDS: list[tuple[Any, type[Exception], str]] = [
    (1.0, TypeError, r"seed=1.0 is not an integer: give one, or None"),
    (NAN, TypeError, r"seed=nan is not an integer"),
    ("1", TypeError, r"seed='1' is not an integer"),
    (True, TypeError, r"seed=True is not an integer"),
    ([1], TypeError, r"seed=\[1\] is not an integer"),
    (-1, ValueError, r"seed=-1 is not allowed: seeds are from 0 to 2\^32 - 1"),
    (2**32, ValueError, r"seed=4294967296 is not allowed"),
    (np.int64(-1), ValueError, r"seed=-1 is not allowed"),
]


@pytest.mark.parametrize(("seed", "error", "message"), SEEDS)
def test_a_seed_that_cannot_be_one_draws_and_retires_no_task(
    seed: Any, error: type[Exception], message: str
):
    with pool() as curriculum:
        env = drill(curriculum)
        env.reset(seed=3)
        env.step(ACTIONS)
        task, before = env.current_task, without_times(curriculum.get_state())
        for begin in (env.reset, env.async_reset):
            with pytest.raises(error, match=message):
                begin(seed=seed)
        assert env.current_task is task  # and goes on with its episode
        assert without_times(curriculum.get_state()) == before
        run_episode(env)
        assert curriculum.stats()["num_completed"] == 1


def test_the_table_is_as_long_as_it_is_said_to_be():
    cases = len(ENVIRONMENTS) + 2 * len(CURRICULA) + len(OPTIONS) + len(ENDS) + len(SEEDS)
    assert cases >= 60
