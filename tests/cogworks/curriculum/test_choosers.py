"""CurriculumEnv around what is no Curriculum but chooses tasks, as code for older versions has; and
keywords of step()."""

import logging
from typing import Any

import numpy as np
import pytest

from metta.cogworks.curriculum import CurriculumTask, TaskChooser
from metta.cogworks.curriculum.curriculum_env import CurriculumEnv, InvalidTasksError
from tests.cogworks.curriculum.drills import ACTIONS, Drill, DrillEnv, drill, pool, run_episode


class Task:
    """No CurriculumTask either."""

    def __init__(self, task_id: int, config: Drill) -> None:
        self.task_id = task_id
        self._config = config

    def get_env_cfg(self) -> Drill:
        return self._config


class InTurn:
    """Chooses tasks in turn, and takes note of what it is told: the three methods, and no more."""

    def __init__(self, *configs: Drill) -> None:
        self.configs_of_tasks = configs
        self.drawn = 0
        self.scores: list[tuple[int, float]] = []

    def get_task(self) -> Task:
        task_id = self.drawn % len(self.configs_of_tasks)
        self.drawn += 1
        return Task(task_id, self.configs_of_tasks[task_id])

    def update_task_performance(self, task_id: int, score: float) -> None:
        self.scores.append((task_id, score))

    def stats(self) -> dict[str, float]:
        return {"drawn": float(self.drawn)}


def test_a_curriculum_is_a_chooser_and_so_is_what_has_its_three_methods() -> None:
    with pool() as curriculum:
        assert isinstance(curriculum, TaskChooser)
    assert isinstance(InTurn(Drill()), TaskChooser)
    assert not isinstance(DrillEnv(), TaskChooser)


def test_any_object_with_three_methods_chooses_the_tasks() -> None:
    chooser = InTurn(Drill(length=2, pay=1.0), Drill(length=3, pay=0.5))
    env = drill(chooser)  # type: ignore[arg-type]
    assert env.curriculum is chooser
    played = []
    for _ in range(3):
        env.reset()
        played.append(env.current_task.task_id)
        run_episode(env)
    assert played == [0, 1, 0]
    # The mean of two agents, paid once and twice.
    first, second = 2 * 1.5 * 1.0, 3 * 1.5 * 0.5
    assert chooser.scores == [(0, first), (1, second), (0, first)]  # binary fractions: exact
    assert env.curriculum.stats() == {"drawn": 3.0}


def test_a_tasks_identity_may_be_a_task_made_by_hand() -> None:
    class ByHand(InTurn):
        def get_task(self) -> Any:
            with pytest.warns(DeprecationWarning, match="made|deprecated"):
                return CurriculumTask(5, Drill(length=1))

    chooser = ByHand(Drill())
    env = drill(chooser)  # type: ignore[arg-type]
    run_episode(env)
    assert chooser.scores == [(5, 0.75)]


def test_it_need_not_be_told_of_unscored_episodes(caplog: pytest.LogCaptureFixture) -> None:
    chooser = InTurn(Drill(length=1, pay=float("nan")))
    with caplog.at_level(logging.WARNING):
        infos = run_episode(drill(chooser))[4]  # type: ignore[arg-type]
    assert "reward" not in infos[-1]
    assert chooser.scores == []
    assert "an episode of task 0 was not scored, its score is nan" in caplog.text


def test_it_need_not_be_told_of_tasks_that_cannot_be(caplog: pytest.LogCaptureFixture) -> None:
    chooser = InTurn(Drill(length=0), Drill(length=1))
    env = drill(chooser)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        env.reset()
    assert env.current_task.task_id == 1
    assert (
        "task 0 cannot be played, and InTurn has no retire_task to be told so: ValueError: length "
        "0 is not allowed" in caplog.text
    )
    env = drill(InTurn(Drill(length=0)), max_attempts=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidTasksError, match="every task was invalid: 5 tasks in a row"):
        env.reset()


def test_one_that_is_told_is_told() -> None:
    class Told(InTurn):
        retired: tuple[Any, ...] = ()
        unscored: tuple[Any, ...] = ()

        def retire_task(self, task_id: int, reason: str) -> None:
            self.retired = (task_id, reason)

        def count_unscored(self, task_id: int, score: float) -> None:
            self.unscored = (task_id, score)

    chooser = Told(Drill(length=0), Drill(length=1, pay=float("inf")))
    env = drill(chooser)  # type: ignore[arg-type]
    assert env.curriculum is chooser
    run_episode(env)
    assert chooser.retired == (0, "ValueError: length 0 is not allowed")
    assert chooser.unscored == (1, float("inf"))


class MettagridLike(DrillEnv):
    """Takes configurations as mettagrid's environment does."""

    def set_mg_config(self, config: Drill) -> None:
        self.task = config


def test_configurations_of_a_chooser_are_not_used_again_by_default() -> None:
    chooser = InTurn(Drill(length=1))
    env = CurriculumEnv(MettagridLike(), chooser)
    run_episode(env)
    assert len(chooser.scores) == 1
    with pytest.raises(TypeError, match=r"is not a Curriculum \(no configs\)"):
        CurriculumEnv(MettagridLike(), chooser, reuse_configs=True)


def test_an_environment_is_generic_in_the_configuration_of_its_tasks() -> None:
    wrapped = MettagridLike()
    env = CurriculumEnv[Drill](wrapped, InTurn(Drill(length=1)))
    assert type(env) is CurriculumEnv
    assert "__orig_class__" not in vars(wrapped)
    run_episode(env)


# -- keywords of step() ----------------------------------------------------------------------------


class Keywords(DrillEnv):
    """Takes note of the keywords of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.keywords: list[dict[str, Any]] = []

    def step(self, actions: np.ndarray, **kwargs: Any) -> tuple[Any, ...]:
        self.keywords.append(kwargs)
        return super().step(actions)


class SummedKeywords(Keywords):
    """Sums its rewards itself."""

    def get_episode_rewards(self) -> np.ndarray:
        return np.array([1.0, 3.0])


@pytest.mark.parametrize("kind", [Keywords, SummedKeywords])
def test_keywords_of_a_step_reach_the_environment(kind: type[Keywords]) -> None:
    with pool() as curriculum:
        wrapped = kind()
        env = drill(curriculum, wrapped)
        env.step(ACTIONS)
        env.step(ACTIONS, render=True, speed=2)
        env.step(ACTIONS)
        assert wrapped.keywords == [{}, {"render": True, "speed": 2}, {}]
        assert curriculum.stats()["num_completed"] == 1


def test_keywords_that_the_environment_does_not_take_are_its_error() -> None:
    with pool() as curriculum:
        env = drill(curriculum)
        with pytest.raises(TypeError, match="unexpected keyword argument 'speed'"):
            env.step(ACTIONS, speed=2)
