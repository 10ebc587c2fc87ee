"""Prompts: a data set, batches of 64 different ones, 8 rollouts each.

    uv run python experiments/examples/prompts.py

A learner that stands for a language model answers questions of several subjects. How likely it is
to be right follows from how hard the question is and how good it is at the subject; it gets better
at it by answers of which some are right and some are wrong, as with the group advantages of GRPO:
where all are right, or all are wrong, there is nothing to learn from. With a model of your own,
replace `Learner.answer` and `Learner.learn`.

`prompts.py pools` compares sizes of the pool, for data sets of 100,000 prompts: 7 minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumAlgorithmConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
)

BATCH, ROLLOUTS = 64, 8
HARDEST, MOST_SUBJECTS = 10, 20


class Prompt(NamedTuple):
    """A question, and what the simulated learner needs to know of it."""

    text: str
    subject: int
    difficulty: int


def data_set(size: int, subjects: int = 4, seed: int = 0) -> list[Prompt]:
    """That many different questions, of difficulties from 1 to 10."""
    rng = np.random.default_rng(seed)
    subject, difficulty = rng.integers(subjects, size=size), rng.integers(1, HARDEST + 1, size)
    return [
        Prompt(f"Question {i} of subject {s}, with {d} steps", s, d)
        for i, (s, d) in enumerate(zip(subject.tolist(), difficulty.tolist(), strict=True))
    ]


class Learner:
    """Answers, and learns from answers."""

    def __init__(self, seed: int, rate: float = 0.01) -> None:
        self._rng, self._rate = np.random.default_rng(seed), rate
        self._skill = np.zeros(MOST_SUBJECTS)  # by subject

    def chance(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """How likely it is to be right, shape ``(n,)``."""
        skill = self._skill[[prompt.subject for prompt in prompts]]
        difficulty = np.array([prompt.difficulty for prompt in prompts])
        return 1.0 / (1.0 + np.exp(difficulty - 2.0 - skill))

    def answer(self, prompts: Sequence[Prompt], rollouts: int) -> np.ndarray:
        """1.0 for each answer that is right, else 0.0; shape ``(n, rollouts)``."""
        chance = self.chance(prompts)[:, None]
        return (self._rng.random((len(prompts), rollouts)) < chance).astype(np.float64)

    def learn(self, prompts: Sequence[Prompt], rewards: np.ndarray) -> None:
        """A step in proportion to the variance of each prompt's rewards."""
        subjects = [prompt.subject for prompt in prompts]
        np.add.at(self._skill, subjects, self._rate * 4.0 * rewards.var(axis=1))


def train(
    prompts: list[Prompt],
    batches: int,
    algorithm: CurriculumAlgorithmConfig,
    num_active_tasks: int | None = None,
    seed: int = 0,
) -> list[float]:
    """How many of all prompts the learner gets right, after each quarter of the batches."""
    learner, found = Learner(seed), []
    with Curriculum.from_items(
        prompts,
        key=lambda prompt: prompt.text,
        num_active_tasks=num_active_tasks,
        algorithm_config=algorithm,
        seed=seed,
    ) as curriculum:
        for batch in range(1, batches + 1):
            tasks = curriculum.get_tasks(BATCH, distinct=True)
            items = [task.item for task in tasks]
            rewards = learner.answer(items, ROLLOUTS)
            learner.learn(items, rewards)
            curriculum.update_tasks([task.task_id for task in tasks], rewards)
            if batch * 4 % batches < 4:
                found.append(float(learner.chance(prompts).mean()))
    return found


def compare(size: int = 500, batches: int = 120) -> dict[str, list[float]]:
    """The curriculum beside uniform draws, on one data set."""
    prompts = data_set(size)
    return {
        "curriculum": train(prompts, batches, LearningProgressConfig(use_shared_memory=False)),
        "uniform": train(prompts, batches, DiscreteRandomConfig(use_shared_memory=False)),
    }


def pools(
    size: int = 100_000, sizes: Sequence[int] = (512, 1024, 2048, 4096, 100_000), seeds: int = 2
) -> None:
    """How large a part of a data set should be in the pool: with few and many subjects, the latter
    in a short and in a long run."""
    algorithm = LearningProgressConfig(use_shared_memory=False)
    for subjects, batches in ((4, 200), (20, 200), (20, 1000)):
        prompts = data_set(size, subjects)
        for num_active_tasks in sizes:
            runs = [train(prompts, batches, algorithm, num_active_tasks, s) for s in range(seeds)]
            quarters = shown(np.mean(runs, axis=0))
            print(
                f"{subjects:>2} subjects, {batches:>5,} batches, {num_active_tasks:>7,} in the "
                f"pool: {quarters}",
                flush=True,
            )


def shown(rights: Sequence[float] | np.ndarray) -> str:
    """The quarters of a run."""
    return "  ".join(f"{right:.0%}" for right in rights)


def main() -> None:
    """Print what the learner gets right after each quarter of the training."""
    if sys.argv[1:] == ["pools"]:
        pools()
        return
    for name, rights in compare().items():
        print(f"{name:>10}: {shown(rights)} of all prompts right, after each quarter")


if __name__ == "__main__":
    main()
