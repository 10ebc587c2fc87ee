"""The teachers of Syllabus (``syllabus-rl``), which choose among tasks 0 to n − 1.

Sullivan et al., "Syllabus: portable curricula for reinforcement learning agents" (2024). What is
here only hands tasks and scores to the package's own classes.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

UPDATE_INTERVAL = 100
"""Episodes between two updates of what ``LearningProgress`` knows; the package has no default.
Chosen, not tuned."""


@functools.cache
def _syllabus() -> tuple[Any, Any]:
    """The package's curricula and task spaces. Imported when the first teacher is made: they bring
    torch and ray, make numpy raise in the whole process, and share a list that nobody removes; the
    latter two are taken back."""
    with np.errstate():
        import syllabus.core
        import syllabus.curricula
        import syllabus.task_space
    shared = syllabus.core.GymnasiumEvaluationWrapper.env_count.shm
    shared.close()
    shared.unlink()
    return syllabus.curricula, syllabus.task_space


def _drawn(curriculum: Any, rng: np.random.Generator) -> int:
    """A task by the package's distribution. Its own ``sample`` compares that with ``[]``, which
    numpy 2 refuses."""
    p = np.asarray(curriculum._sample_distribution(), dtype=np.float64)  # noqa: SLF001
    return int(rng.choice(len(p), p=p / p.sum()))


class SyllabusLearningProgress:
    """``LearningProgress``: Kanitscheider et al. 2021, with evaluations of all tasks.

    Args:
        tasks: how many.
        seed: of the draws.
        evaluate: the success rate of every task now, (tasks,) in [0, 1]. It costs no episode, which
            favours this teacher.
        interval: episodes between two evaluations.

    Once any task succeeds, tasks that never did are never drawn: that is the package's rule.
    """

    def __init__(
        self,
        tasks: int,
        seed: int,
        evaluate: Callable[[], NDArray[np.float64]],
        interval: int = UPDATE_INTERVAL,
    ):
        curricula, spaces = _syllabus()
        self._rng = np.random.default_rng(seed)
        self._curriculum = curricula.LearningProgress(
            _Evaluations(evaluate), spaces.DiscreteTaskSpace(tasks), eval_interval=interval
        )

    def draw(self) -> int:
        """A task."""
        return _drawn(self._curriculum, self._rng)

    def report(self, task: int, score: float) -> None:
        """Counts the episode."""
        self._curriculum.update_on_episode(score, 1, task, score)


class _Evaluations:
    """What the package asks of an evaluator."""

    def __init__(self, evaluate: Callable[[], NDArray[np.float64]]):
        self._evaluate = evaluate

    def evaluate_agent(self, episodes: float, verbose: bool = False) -> tuple[Any, Any, Any, Any]:
        """Returns, success rates, success rates at the end, steps: tensors, but for the steps."""
        import torch

        rates = torch.from_numpy(np.array(self._evaluate(), dtype=np.float64))
        return rates, rates, rates, None


class SyllabusOnlineLearningProgress:
    """``OnlineLearningProgress``: the same from the episodes themselves, a quarter uniform.

    The package counts successes; a score becomes one with itself as the probability.
    """

    def __init__(self, tasks: int, seed: int, interval: int = UPDATE_INTERVAL):
        curricula, spaces = _syllabus()
        self._rng = np.random.default_rng(seed)
        self._curriculum = curricula.OnlineLearningProgress(
            spaces.DiscreteTaskSpace(tasks), update_interval=interval
        )

    def draw(self) -> int:
        """A task."""
        return _drawn(self._curriculum, self._rng)

    def report(self, task: int, score: float) -> None:
        """Counts the episode, and its success."""
        success = float(self._rng.random() < score)
        self._curriculum.update_task_progress(task, success)
        self._curriculum.update_on_episode(score, 1, task, success)


class _Draws:
    """A stream of draws of one's own. The package draws from numpy's global one."""

    def __init__(self, seed: int):
        self._state: Any = np.random.RandomState(seed).get_state()

    @contextlib.contextmanager
    def own(self) -> Iterator[None]:
        """Where the global stream is this one."""
        others: Any = np.random.get_state()
        np.random.set_state(self._state)
        try:
            yield
        finally:
            self._state = np.random.get_state()
            np.random.set_state(others)


class SyllabusLevelReplay:
    """``CentralPrioritizedLevelReplay``: Jiang et al., "Prioritized level replay" (2021).

    There is no value function here: the prediction for a task is the score before, so the L1 value
    loss is |score − score before|. With the schedule ``fixed`` every task is seen once before any
    is replayed; the package's other schedule sends tasks to an evaluator.
    """

    def __init__(self, tasks: int, seed: int):
        curricula, spaces = _syllabus()
        self._draws = _Draws(seed)
        self._predictions = np.zeros(tasks)
        self._curriculum = curricula.CentralPrioritizedLevelReplay(
            spaces.DiscreteTaskSpace(tasks),
            num_steps=1,
            num_processes=1,
            task_sampler_kwargs_dict={"strategy": "value_l1", "replay_schedule": "fixed"},
        )

    def draw(self) -> int:
        """A task."""
        with self._draws.own():
            return int(self._curriculum.sample()[0])

    def report(self, task: int, score: float) -> None:
        """One rollout of one step."""
        self._curriculum.update(
            {
                "tasks": [int(task)],
                "dones": [True],
                "rew": [score],
                "value": np.array([self._predictions[task]], dtype=np.float32),
                "next_value": np.zeros(1, dtype=np.float32),  # torch's, which converts nothing
            }
        )
        self._predictions[task] = score
