"""How good a policy is on a curriculum's tasks, drawn uniformly, on maps that no training has
seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metta.cogworks.curriculum import CurriculumConfig
from metta.sim.simulation import Actor, Episode, draw_tasks, make_env, run_episode


def evaluate(
    actor_for: Callable[[Any], Actor],
    curriculum: CurriculumConfig,
    episodes: int,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Episode]:
    """Play ``episodes`` tasks. The same seed gives every policy the same tasks on the same maps.

    Args:
        actor_for: makes the actor, given the first task's MettaGridPufferEnv.
        progress: told the number of episodes done, after each.
    """
    results: list[Episode] = []
    env = actor = None
    for task in draw_tasks(curriculum, episodes, seed):
        if env is None or actor is None:
            env = make_env(task)
            actor = actor_for(env)
        results.append(run_episode(env, task, actor))
        progress(len(results))
    if env is not None:
        env.close()
    return results


def summarise(episodes: Sequence[Episode]) -> dict[str, Any]:
    """Mean reward, standard error, mean of the worst tenth of the tasks, and the mean of each
    label.

    A task played several times counts in the worst tenth by its mean.
    """
    rewards = np.array([episode.reward for episode in episodes])
    by_task, by_label = defaultdict(list), defaultdict(list)
    for episode in episodes:
        by_task[episode.task_id].append(episode.reward)
        by_label[episode.label].append(episode.reward)
    tasks = np.sort([np.mean(values) for values in by_task.values()])
    error = float(rewards.std(ddof=1) / np.sqrt(len(rewards))) if len(rewards) > 1 else None
    return {
        "episodes": len(rewards),
        "tasks": len(tasks),
        "mean_reward": float(rewards.mean()),
        "standard_error": error,
        "worst_tenth_reward": float(tasks[: max(1, len(tasks) // 10)].mean()),
        "mean_length": float(np.mean([episode.length for episode in episodes])),
        "labels": {
            label: {"episodes": len(values), "mean_reward": float(np.mean(values))}
            for label, values in sorted(by_label.items())
        },
    }
