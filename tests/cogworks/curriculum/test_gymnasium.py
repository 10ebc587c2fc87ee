"""CurriculumWrapper on the real library: every episode once, seeds, options, checks, wrappers."""

import copy
import functools
import logging
import pickle
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import Autoreset, RecordEpisodeStatistics, TimeLimit
from pydantic import BaseModel

from metta.cogworks.curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from metta.cogworks.curriculum.gymnasium import CurriculumWrapper, Episode, InvalidTasksError
from metta.cogworks.curriculum.made_spaces import check_spaces
from metta.cogworks.curriculum.wrapping import keywords
from tests.cogworks.curriculum.gym_examples import Walk, play, set_walk, walk, walks

NAN = float("nan")
_DIFFERS = ".*different from the unwrapped version.*"  # which every wrapped environment is


def stats(curriculum: Curriculum) -> dict[str, float]:
    """How many episodes began, were credited, run."""
    found = curriculum.stats()
    names = ("num_scheduled", "num_completed", "num_in_flight", "num_unscored", "late_completions")
    return {name.removeprefix("num_"): found[name] for name in names if found[name]}


# -- an episode ------------------------------------------------------------------------------------


@pytest.mark.parametrize("truncates", [False, True])
def test_an_episode_is_credited_once_with_its_return(truncates: bool):
    with walks() as curriculum:
        env = walk(curriculum, Walk(truncates=truncates))
        _, info = env.reset(seed=1)
        task = env.current_task
        assert task is not None
        values = task.get_bucket_values()
        assert info == {"begun": True, "task_id": task.task_id, "task_label": "Stroll"}
        assert stats(curriculum) == {"scheduled": 1, "in_flight": 1}
        for _ in range(values["length"] - 1):
            assert env.step(0)[4] == {"last": False}
        observation, reward, terminated, truncated, info = env.step(0)
        assert (observation[1], reward) == (values["length"], values["pay"])
        assert (terminated, truncated) == (not truncates, True)
        score = values["length"] * values["pay"]
        about = {"task_id": task.task_id, "task_label": "Stroll", "task_score": score}
        assert info == {"last": True, **about}
        assert task.state is not None
        assert (task.state.completion_count, task.state.last_score) == (1, score)
        assert env.current_task is None
        assert stats(curriculum) == {"scheduled": 1, "completed": 1}


def test_each_task_is_credited_with_what_it_pays():
    with walks() as curriculum:
        env = walk(curriculum)
        played: dict[int, list[float]] = {}
        for _ in range(60):
            paid, info = play(env)
            played.setdefault(info["task_id"], []).append(paid)
        for task_id, paid in played.items():
            state = curriculum.state_of(task_id)
            assert state is not None
            assert (state.completion_count, state.total_score) == (len(paid), sum(paid))
        assert len(played) == 6


def test_bucket_values_on_request():
    with walks() as curriculum:
        env = walk(curriculum, bucket_values=True)
        info = env.reset()[1]
        values = {"length": env.get_wrapper_attr("length"), "pay": env.get_wrapper_attr("pay")}
        assert info["task_bucket_values"] == values
        assert play(env)[1]["task_bucket_values"].keys() == values.keys()


def test_a_step_without_an_episode_needs_a_reset():
    with walks() as curriculum:
        env = walk(curriculum)
        with pytest.raises(ResetNeeded, match=r"call reset\(\), which draws the next task"):
            env.step(0)
        play(env)
        with pytest.raises(ResetNeeded, match=r"such as gymnasium.wrappers.Autoreset, belongs"):
            env.step(0)
        assert stats(curriculum) == {"scheduled": 1, "completed": 1}


# -- episodes that are cut off ---------------------------------------------------------------------


def test_an_episode_that_reset_or_close_cuts_off_is_credited_to_nobody_and_not_in_flight():
    with walks() as curriculum:
        env = walk(curriculum)
        env.reset()
        env.step(0)
        env.reset()
        assert stats(curriculum) == {"scheduled": 2, "in_flight": 1}
        env.close()
        env.close()
        assert stats(curriculum) == {"scheduled": 2}
        with pytest.raises(ResetNeeded):
            env.step(0)


@pytest.mark.parametrize("local", [False, True])
def test_the_curriculum_may_be_closed_first(local: bool):
    with walks(local=local) as curriculum:
        env = walk(curriculum)
        env.reset()
    env.close()


def test_many_in_a_row_that_are_cut_off_are_worth_a_warning(caplog: pytest.LogCaptureFixture):
    with walks() as curriculum:
        env = walk(curriculum)
        for _ in range(20):
            env.reset()
        assert caplog.records == []  # without a step nothing was lost
        for _ in range(17):
            env.step(0)
            env.reset()
    assert [record.args for record in caplog.records] == [(8, 1), (16, 1)]
    assert "as TimeLimit does, put the curriculum's wrapper around it, or give its" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_time_limit_inside_and_outside():
    """Outside it must be said: what a wrapper outside does cannot be seen."""
    with walks(tasks={"length": [9]}) as curriculum:
        inside = walk(curriculum, TimeLimit(Walk(), 5))
        assert play(inside)[1]["task_score"] == 2.5
        outside = TimeLimit(walk(curriculum, max_episode_steps=5), 5)
        assert play(outside)[1]["task_score"] == 2.5
        unseen = TimeLimit(walk(curriculum), 5)
        assert "task_score" not in play(unseen)[1]
        unseen.reset()
        assert stats(curriculum) == {"scheduled": 4, "completed": 2, "in_flight": 1}


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "5"])
def test_a_limit_that_cannot_be_one(value: Any):
    with walks() as curriculum, pytest.raises(ValueError, match=f"max_episode_steps={value!r} is"):
        walk(curriculum, max_episode_steps=value)


# -- scores ----------------------------------------------------------------------------------------


def test_a_score_of_ones_own():
    seen: list[Episode] = []

    def score(episode: Episode) -> bool:
        seen.append(episode)
        return episode.info["last"]

    with walks() as curriculum:
        env = walk(curriculum, Walk(truncates=True), score=score)
        paid, info = play(env)
        assert info["task_score"] == 1.0
        (episode,) = seen
        assert episode.task.state.last_score == 1.0  # type: ignore[union-attr]
        assert (episode.total_reward, episode.terminated, episode.truncated) == (paid, False, True)
        assert episode.length == episode.task.get_bucket_values()["length"]


def test_the_episode_that_a_limit_outside_ends_is_a_truncated_one():
    seen: list[Episode] = []
    with walks(tasks={"length": [9]}) as curriculum:
        env = walk(curriculum, max_episode_steps=2, score=lambda e: seen.append(e) or 0.0)
        env.reset()
        env.step(0)
        env.step(0)
    assert [(e.terminated, e.truncated, e.length) for e in seen] == [(False, True, 2)]


@pytest.mark.parametrize("score", [np.float32(0.5), np.array(0.5), np.array([0.5]), 0.5, True])
def test_whatever_is_a_number_is_a_score(score: Any):
    with walks() as curriculum:
        env = walk(curriculum, score=lambda episode: score)
        assert play(env)[1]["task_score"] == float(np.asarray(score).reshape(()))


@pytest.mark.parametrize("score", [None, "0.5", [0.5], np.zeros(2), {}])
def test_what_is_no_number_is_refused_and_credited_to_nobody(score: Any):
    with walks() as curriculum:
        env = walk(curriculum, score=lambda episode: score)
        with pytest.raises(TypeError, match=r"score\(episode\) returned .* where a number is due"):
            play(env)
        env.reset()
        assert stats(curriculum) == {"scheduled": 2, "in_flight": 1}


def test_rewards_that_add_up_to_no_number():
    with walks() as curriculum:
        env = walk(curriculum)
        env.reset()
        env.set_wrapper_attr("pay", np.zeros(2))
        env.set_wrapper_attr("length", 1)
        with pytest.raises(TypeError, match=r"the rewards of step\(\) add up to"):
            env.step(0)
        assert "completed" not in stats(curriculum)


@pytest.mark.parametrize("pay", [NAN, float("inf"), 1e100, 10**400])
def test_a_score_that_is_not_finite_is_counted_and_training_goes_on(pay: float):
    with walks() as curriculum:
        env = walk(curriculum, score=lambda episode: pay)
        for _ in range(3):
            assert "task_score" not in play(env)[1]
        assert stats(curriculum) == {"scheduled": 3, "unscored": 3}


# -- seeds and options -----------------------------------------------------------------------------


def history(seed: int, episodes: int = 12) -> list[tuple[int, float]]:
    """Tasks and observations of an environment whose first reset is seeded."""
    with walks(seed=7) as curriculum:
        env = walk(curriculum)
        found = []
        for episode in range(episodes):
            observation, info = env.reset(seed=seed if episode == 0 else None)
            found.append((info["task_id"], float(observation[0])))
            for _ in range(info["task_id"] % 2 + 1):
                env.step(0)
        return found


def test_seeds_are_the_environments_and_the_whole_is_reproducible():
    one, same, other = history(1), history(1), history(2)
    assert one == same
    assert [task for task, _ in one] == [task for task, _ in other]
    assert all(a != b for (_, a), (_, b) in zip(one, other, strict=True))
    with walks() as curriculum:
        assert walk(curriculum).reset(seed=1)[0][0] == Walk().reset(seed=1)[0][0]


def test_an_episode_that_is_begun_again_with_its_seed_plays_the_same_task():
    with walks(pool=6) as curriculum:
        env = walk(curriculum)
        for seed in range(20):
            first = env.reset(seed=seed)
            env.step(0)
            second = env.reset(seed=seed)
            assert first[1] == second[1]
            assert np.array_equal(first[0], second[0])
        assert stats(curriculum) == {"scheduled": 20, "in_flight": 1}
        ids = set()
        for _ in range(40):  # once it has ended, it is another one
            info = play(env, seed=3)[1]
            ids.add(info["task_id"])
        assert len(ids) == 6


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_what_is_no_seed_leaves_the_episode_running(seed: Any):
    with walks() as curriculum:
        env = walk(curriculum)
        env.reset()
        with pytest.raises((TypeError, ValueError), match=f"seed={seed!r} is not"):
            env.reset(seed=seed)
        env.step(0)
        assert stats(curriculum) == {"scheduled": 1, "in_flight": 1}
        env.reset(seed=2**40)  # Gymnasium takes it


def test_a_task_that_is_asked_for_is_played_once_and_credited():
    with walks() as curriculum:
        env = walk(curriculum)
        for task_id in (3, np.int64(4)):
            _, info = play(env, options={"task_id": task_id})
            assert info["task_id"] == task_id
            assert type(info["task_id"]) is int
            assert curriculum.state_of(int(task_id)).completion_count == 1  # type: ignore[union-attr]
        assert stats(curriculum) == {"completed": 2}
        play(env)
        assert stats(curriculum) == {"scheduled": 1, "completed": 3}


def test_one_that_is_asked_for_and_cut_off_takes_no_draw_of_others_out_of_flight():
    with walks() as curriculum:
        task = curriculum.get_task()
        env = walk(curriculum)
        env.reset(options={"task_id": task.task_id})
        env.step(0)
        env.reset(options={"task_id": task.task_id})
        env.close()
        assert stats(curriculum) == {"scheduled": 1, "in_flight": 1}


def test_a_task_that_is_not_in_the_pool_is_played_and_counted_as_late():
    with walks(pool=2) as curriculum:
        absent = next(i for i in range(6) if i not in curriculum.probabilities())
        assert play(walk(curriculum), options={"task_id": absent})[1]["task_id"] == absent
        assert stats(curriculum) == {"late_completions": 1}


@pytest.mark.parametrize(
    ("task_id", "message"),
    [
        (6, "task id 6 is not one of this curriculum's"),
        (-1, "task id"),
        ("3", "task id"),
        (None, "task id"),
        (True, "task id"),
        ([3], "task id"),
    ],
)
def test_a_task_that_cannot_be_one_leaves_the_episode_running(task_id: Any, message: str):
    with walks() as curriculum:
        env = walk(curriculum)
        env.reset()
        with pytest.raises((TypeError, ValueError), match=message):
            env.reset(options={"task_id": task_id})
        env.step(0)
        assert stats(curriculum) == {"scheduled": 1, "in_flight": 1}


def test_other_options_are_the_environments():
    with walks() as curriculum:
        env = walk(curriculum)
        options = {"task_id": 3, "elapsed": 1, "mark": 5}
        env.reset(options=options)
        assert env.get_wrapper_attr("mark") == 5
        assert not env.has_wrapper_attr("task_id")
        assert options == {"task_id": 3, "elapsed": 1, "mark": 5}


# -- ways for a task to reach the environment ------------------------------------------------------


def test_as_options():
    with walks() as curriculum:
        env = walk(curriculum, as_options=True)
        for _ in range(9):
            paid, info = play(env, options={"pay": 77.0, "mark": 5})
            values = curriculum.bucket_values_of(info["task_id"])
            assert paid == values["length"] * values["pay"]  # the task's, not those given here
            assert env.get_wrapper_attr("mark") == 5


def test_made_anew():
    with walks() as curriculum:
        first = Walk()
        spaces = first.observation_space, first.action_space
        made: list[Walk] = []

        def make_env(**kwargs: Any) -> Walk:
            made.append(Walk(**kwargs))
            return made[-1]

        env = walk(curriculum, first, make_env=make_env)
        assert env.unwrapped is first
        changes = 0
        for _ in range(20):
            before = env.unwrapped
            paid, info = play(env)
            values = curriculum.bucket_values_of(info["task_id"])
            assert paid == values["length"] * values["pay"]
            changes += env.unwrapped is not before
        assert (first.closed, len(made)) == (1, changes)
        assert changes < 20  # the same task twice in a row is played in the same environment
        assert [each.closed for each in made] == [1] * (len(made) - 1) + [0]
        assert (env.observation_space, env.action_space) == spaces
        assert env.observation_space is spaces[0]
        env.close()
        assert made[-1].closed == 1


def made_history(seed: int | None) -> list[tuple[int, float]]:
    """The same of an environment that is made anew for each task."""
    with walks(seed=7) as curriculum:
        env = walk(curriculum, gymnasium.make("tests/Walk-v0"), make_env=make_walk)
        found = []
        for episode in range(12):
            observation, info = env.reset(seed=seed if episode == 0 else None)
            found.append((info["task_id"], float(observation[0])))
        return found


make_walk = functools.partial(gymnasium.make, "tests/Walk-v0")


def test_environments_that_are_made_anew_are_seeded_by_the_first_seed():
    assert made_history(3) == made_history(3)
    numbers = [number for _, number in made_history(3)]
    assert len(set(numbers)) == len(numbers)
    assert numbers != [number for _, number in made_history(4)]
    assert made_history(None) != made_history(None)


def test_spaces_that_differ_retire_the_task(caplog: pytest.LogCaptureFixture):
    with walks(tasks={"length": [2]}) as curriculum:
        env = walk(curriculum, make_env=functools.partial(Walk, size=3))
        with pytest.raises(InvalidTasksError, match="it must be the same for all tasks"):
            env.reset()
        assert curriculum.stats()["num_invalid"] == 1
        assert "observation space of the environment that make_env made is Box" in caplog.text
        assert stats(curriculum)["scheduled"] == 1


def test_bounds_of_observations_may_differ():
    with walks() as curriculum:
        env = walk(curriculum, make_env=functools.partial(Walk, most=7))
        play(env)
        assert env.observation_space == Walk().observation_space
        assert env.unwrapped.observation_space != env.observation_space


BOX, DISCRETE = Box(0, 1, (2,)), Discrete(2)


@pytest.mark.parametrize(
    ("own", "other", "fits"),
    [
        (BOX, Box(0, 5, (2,)), True),
        (BOX, Box(0, 1, (3,)), False),
        (BOX, Box(0, 1, (2,), np.float64), False),
        (BOX, DISCRETE, False),
        (DISCRETE, Discrete(2), True),
        (DISCRETE, Discrete(3), False),
        (Dict(a=BOX, b=DISCRETE), Dict(a=Box(0, 5, (2,)), b=DISCRETE), True),
        (Dict(a=BOX), Dict(b=BOX), False),
        (Dict(a=BOX), Dict(a=BOX, b=BOX), False),
        (Tuple((BOX, DISCRETE)), Tuple((Box(0, 5, (2,)), DISCRETE)), True),
        (Tuple((BOX,)), Tuple((BOX, BOX)), False),
    ],
)
def test_which_spaces_fit(own: Any, other: Any, fits: bool):
    expectation = nullcontext() if fits else pytest.raises(ValueError, match="observation space of")
    with expectation:
        check_spaces((own, other), (DISCRETE, DISCRETE))
    with nullcontext() if own == other else pytest.raises(ValueError, match="the action space of"):
        check_spaces((BOX, BOX), (own, other))


def test_keywords_that_the_environment_does_not_take_are_an_error_at_once():
    with walks() as curriculum:
        env = walk(curriculum, make_env=functools.partial(gymnasium.make, "CartPole-v1"))
        with pytest.raises(TypeError, match="unexpected keyword argument 'length'"):
            env.reset()
        assert curriculum.stats()["num_invalid"] == 0


@dataclass
class Plain:
    length: int


class Only(BaseModel):
    length: int


@pytest.mark.parametrize("config", [{"length": 2}, Plain(2), Only(length=2)])
def test_what_has_fields(config: Any):
    assert keywords(config, 7) == {"length": 2}


def test_what_has_no_fields():
    with Curriculum(LearningProgressConfig(num_active_tasks=2, use_shared_memory=False)) as seeds:
        for options in ({"as_options": True}, {"make_env": Walk}):
            with pytest.raises(TypeError, match=r"task \d+ is \d+, which has no fields to be keyw"):
                walk(seeds, **options).reset()


# -- tasks that are refused ------------------------------------------------------------------------


def test_a_task_that_the_environment_refuses_is_retired_and_another_one_drawn():
    with walks(tasks={"length": [0, 2], "pay": [0.5]}) as curriculum:
        env = walk(curriculum)
        for _ in range(9):
            assert play(env)[1]["task_score"] == 1.0
        assert curriculum.stats()["num_invalid"] == 1
        assert stats(curriculum) == {"scheduled": curriculum.stats()["num_scheduled"]} | {
            "completed": 9
        }


def test_when_every_task_is_refused_the_error_says_why():
    with walks(tasks={"length": [0, -1, -2, -3]}) as curriculum:
        env = walk(curriculum, max_attempts=3)
        with pytest.raises(InvalidTasksError, match=r"3 tasks in a row .* -?\d is not allowed"):
            env.reset()
        assert curriculum.stats()["num_invalid"] == 3
        with pytest.raises(InvalidTasksError, match="all 4 tasks of the curriculum are invalid"):
            env.reset()


def test_a_refused_task_that_was_asked_for_is_not_retired():
    with walks(tasks={"length": [0, 2]}) as curriculum:
        bad = next(i for i in range(2) if curriculum.bucket_values_of(i)["length"] == 0)
        env = walk(curriculum)
        with pytest.raises(ValueError, match="length 0 is not allowed"):
            env.reset(options={"task_id": bad})
        assert curriculum.stats()["num_invalid"] == 0
        with pytest.raises(ResetNeeded):
            env.step(0)


def test_what_is_refused_with_options_is_not_taken_for_the_tasks_fault():
    with walks() as curriculum:
        env = walk(curriculum)
        with pytest.raises(ValueError, match="length 0 is not allowed"):
            env.reset(options={"length": 0})
        assert curriculum.stats()["num_invalid"] == 0
        assert stats(curriculum) == {"scheduled": 1}


# -- what is given ---------------------------------------------------------------------------------


def test_what_is_no_environment():
    for env, message in [
        (None, "env=None is no Gymnasium environment: give one, such as"),
        (Walk, "it is a class: give an object of it"),
        (gymnasium.vector.SyncVectorEnv([Walk]), "it is a vector environment: use .*Wrapper on ea"),
    ]:
        with walks() as curriculum, pytest.raises(TypeError, match=message):
            CurriculumWrapper(env, curriculum, apply_task=set_walk)  # type: ignore[arg-type]


def test_one_that_has_a_curriculum_already():
    with walks() as curriculum:
        env = TimeLimit(walk(curriculum), 3)
        with pytest.raises(TypeError, match="has a CurriculumWrapper already"):
            walk(curriculum, env)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "0 ways for a task .* apply_task=lambda env, config: ..., make_env="),
        ({"apply_task": set_walk, "as_options": True}, "2 ways"),
        ({"apply_task": set_walk, "make_env": Walk, "as_options": True}, "3 ways"),
        ({"apply_task": 5}, r"apply_task=5 is not a function: give one, such as lambda env, conf"),
        ({"make_env": "CartPole-v1"}, r"make_env='CartPole-v1' is not a function: .*functools.par"),
        ({"as_options": 1}, "as_options=1 is not allowed: give a boolean"),
        ({"apply_task": set_walk, "score": 5}, "score=5 is not a function: .* lambda episode"),
        ({"apply_task": set_walk, "bucket_values": None}, "bucket_values=None is not allowed"),
        ({"apply_task": set_walk, "max_attempts": 1.5}, "max_attempts=1.5 is not an integer"),
    ],
)
def test_arguments_that_cannot_be_used(options: dict[str, Any], message: str):
    with walks() as curriculum, pytest.raises(TypeError, match=message):
        CurriculumWrapper(Walk(), curriculum, **options)


@pytest.mark.parametrize("curriculum", [None, CurriculumConfig(), LearningProgressConfig(), dict])
def test_what_is_no_curriculum(curriculum: Any):
    with pytest.raises(TypeError, match=r"is not a Curriculum: make one of a configuration with"):
        walk(curriculum)


# -- what Gymnasium demands ------------------------------------------------------------------------


@pytest.mark.filterwarnings(f"ignore:{_DIFFERS}:UserWarning")
@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("options", [{}, {"as_options": True}, {"make_env": make_walk}])
def test_it_passes_check_env(options: dict[str, Any], local: bool):
    with walks(local=local) as curriculum:
        env = gymnasium.make("tests/Walk-v0")
        check_env(walk(curriculum, env, bucket_values=True, **options))
        check_env(RecordEpisodeStatistics(TimeLimit(walk(curriculum, env, **options), 50)))


@pytest.mark.filterwarnings(
    f"ignore:{_DIFFERS}:UserWarning", "ignore:.*not having a spec.*:UserWarning"
)
def test_so_does_an_environment_that_is_not_registered():
    for seed in range(5):
        with walks(seed=seed) as curriculum:
            check_env(walk(curriculum))


def test_the_spec_is_the_environments_with_the_wrapper_and_makes_it_again():
    with walks() as curriculum:
        inner = gymnasium.make("tests/Walk-v0", length=4)
        env = RecordEpisodeStatistics(walk(curriculum, inner, bucket_values=True))
        spec = env.spec
        assert spec is not None
        assert (spec.id, spec.kwargs, spec.nondeterministic) == (
            "tests/Walk-v0",
            {"length": 4},
            True,
        )
        assert inner.spec is not None
        assert not inner.spec.nondeterministic
        names = [wrapper.name for wrapper in spec.additional_wrappers]
        assert names == ["CurriculumWrapper", "RecordEpisodeStatistics"]
        again = gymnasium.make(spec)
        assert "task_bucket_values" in play(again)[1]
        assert stats(curriculum) == {"scheduled": 1, "completed": 1}  # of the same pool
        assert again.spec == spec


def test_the_spec_stays_when_the_environment_is_made_anew():
    with walks() as curriculum:
        env = walk(curriculum, gymnasium.make("tests/Walk-v0", length=4), make_env=make_walk)
        play(env)
        assert env.spec is not None
        assert env.spec.kwargs == {"length": 4}
        assert walk(curriculum).spec is None  # of no registered environment


def test_pickling_and_copying():
    with walks(local=False) as curriculum:
        env = RecordEpisodeStatistics(walk(curriculum, gymnasium.make("tests/Walk-v0")))
        env.reset(seed=1)
        sent = pickle.loads(pickle.dumps(env))
        copied = copy.deepcopy(env)
        assert copied.get_wrapper_attr("curriculum") is curriculum
        for other in (sent, copied):
            assert (
                other.get_wrapper_attr("current_task").task_id
                == env.get_wrapper_attr("current_task").task_id
            )
            assert np.array_equal(other.step(0)[0], copy.deepcopy(env).step(0)[0])
            play(other)
        assert stats(curriculum)["completed"] == 2
        sent.get_wrapper_attr("curriculum").close()


def test_a_local_curriculum_cannot_be_sent():
    with walks() as curriculum, pytest.raises(TypeError, match="use_shared_memory=True"):
        pickle.dumps(walk(curriculum))


def test_it_works_under_other_wrappers():
    with walks() as curriculum:
        env = RecordEpisodeStatistics(walk(curriculum))
        paid, info = play(env)
        assert info["episode"]["r"] == info["task_score"] == paid
        env = Autoreset(walk(curriculum))
        env.reset()
        ended = 0
        for _ in range(30):
            *_, terminated, _, _ = env.step(0)
            ended += terminated
        assert stats(curriculum)["completed"] == 1 + ended


def test_one_that_resets_by_itself_belongs_outside():
    with walks() as curriculum:
        env = walk(curriculum, Autoreset(Walk()))
        play(env)
        with pytest.raises(ResetNeeded, match="belongs outside CurriculumWrapper"):
            env.step(0)


def test_without_gymnasium_the_error_says_what_to_install():
    code = "import sys; sys.modules['gymnasium'] = None; import metta.cogworks.curriculum.gymnasium"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "pip install 'metta-curriculum[gymnasium]'" in done.stderr


def test_rewards_of_few_bits_add_up():
    """5,000 ones in float16 would stay at 2,048."""
    with walks(tasks={"length": [5000]}) as curriculum:
        env = walk(curriculum)
        env.reset()
        env.unwrapped.pay = np.float16(1.0)  # type: ignore[attr-defined]
        info: dict[str, Any] = {}
        while "task_score" not in info:
            *_, info = env.step(0)
        assert info["task_score"] == 5000.0


@pytest.mark.parametrize("error", [TypeError("a mistake"), OSError("no file"), KeyboardInterrupt()])
def test_whatever_is_raised_at_a_reset_leaves_nothing_in_flight(error: BaseException):
    def broken(env: gymnasium.Env, task: Any) -> None:
        raise error

    with walks() as curriculum:
        env = walk(curriculum, apply_task=broken)
        for _ in range(3):
            with pytest.raises(type(error)):
                env.reset(seed=1)
        assert curriculum.stats()["num_in_flight"] == 0
