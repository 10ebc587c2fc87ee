"""How good the policies of a run are: on every errand equally often, on maps that no training has
seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.study.runs import Evaluation
from experiments.study.tasks import ERRANDS
from metta.cogworks.curriculum import TaskGenerator
from metta.rl.checkpoint import list_checkpoints, load_checkpoint
from metta.rl.metrics import read_metrics
from metta.rl.policy import load_policy
from metta.sim.map_seeds import EVALUATION_SEEDS, with_map_seed
from metta.sim.simulation import PolicyActor, Task, make_env, run_episode
from metta.tools.train import TrainTool

GROUPS = tuple(dict.fromkeys(errand.group for errand in ERRANDS))
POSSIBLE = np.array([errand.possible for errand in ERRANDS])


def evaluate_run(tool: TrainTool, evaluation: Evaluation) -> dict[str, Any]:
    """Success of the final policy on every task, success on the way, and what was sampled.

    Returns: ``success`` (a list, by task id), ``curve`` (``[agent steps, mean success]`` pairs, the
    last one of the final policy), ``sampled`` (per difficulty group, ``[agent steps, episodes begun
    since the start]`` pairs), ``agent_steps``.
    """
    torch.set_num_threads(1)
    generator_config = tool.training_env.curriculum.task_generator
    if generator_config is None:
        raise ValueError("the run's curriculum has no task_generator")
    generator = generator_config.create()
    *earlier, last = list_checkpoints(tool.run_dir / "checkpoints")
    curve = []
    for checkpoint in _spread(earlier, evaluation.curve_points, _steps_in_name(last)):
        success = success_per_task(
            checkpoint, generator, evaluation.curve_episodes_per_task, evaluation.seed
        )
        curve.append([_agent_steps(checkpoint), float(success.mean())])
    success = success_per_task(last, generator, evaluation.episodes_per_task, evaluation.seed)
    steps = _agent_steps(last)
    return {
        "agent_steps": steps,
        "success": success.tolist(),
        "curve": [*curve, [steps, float(success.mean())]],
        "sampled": sampled_per_group(tool.run_dir / "metrics.jsonl"),
    }


def success_per_task(
    checkpoint: Path, generator: TaskGenerator[Any], episodes: int, seed: int
) -> np.ndarray:
    """Share of the agents that succeed, over ``episodes`` maps of each errand: float64
    ``(len(ERRANDS),)`` in [0, 1].

    The same seed gives every policy the same maps.
    """
    random = np.random.default_rng(seed)
    map_seeds = random.integers(
        EVALUATION_SEEDS.start, EVALUATION_SEEDS.stop, size=(len(ERRANDS), episodes)
    )
    success = np.zeros(map_seeds.shape)
    env = actor = None
    for (task_id, episode), map_seed in np.ndenumerate(map_seeds):
        config = with_map_seed(generator.get_task(task_id), int(map_seed))
        task = Task(task_id, ERRANDS[task_id].group, {}, int(map_seed), config)
        if env is None or actor is None:
            env = make_env(task)
            actor = PolicyActor(load_policy(checkpoint, config, "cpu"), "cpu", seed)
        success[task_id, episode] = run_episode(env, task, actor).reward
    if env is not None:
        env.close()
    return success.mean(axis=1)


def sampled_per_group(metrics: Path) -> dict[str, list[list[float]]]:
    """How many episodes of each difficulty group had begun, at about fifty points of the
    training."""
    history = read_metrics(metrics)
    chosen = sorted({round(i) for i in np.linspace(0, len(history) - 1, min(len(history), 50))})
    key = "curriculum/algorithm/label/{}/scheduled"
    return {
        group: [
            [history[i]["agent_steps"], float(history[i].get(key.format(group), 0.0))]
            for i in chosen
        ]
        for group in GROUPS
    }


def worst_tenth(success: np.ndarray) -> float:
    """Mean success over the tenth of the *possible* errands that a policy is worst at (a fifth of
    all are impossible)."""
    possible = np.sort(success[POSSIBLE])
    return float(possible[: max(1, len(possible) // 10)].mean())


def group_means(success: np.ndarray) -> dict[str, float]:
    """Mean success per difficulty group."""
    groups = np.array([errand.group for errand in ERRANDS])
    return {group: float(success[groups == group].mean()) for group in GROUPS}


def _spread(checkpoints: list[Path], count: int, last: int) -> list[Path]:
    """``count`` of them, or all if there are fewer: the nearest to points that divide ``last``
    agent steps evenly."""
    if len(checkpoints) <= count:
        return checkpoints
    steps = np.array([_steps_in_name(path) for path in checkpoints])
    targets = last * np.arange(1, count + 1) / (count + 1)
    return [
        checkpoints[i] for i in sorted({int(np.abs(steps - target).argmin()) for target in targets})
    ]


def _steps_in_name(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("step_"))


def _agent_steps(checkpoint: Path) -> int:
    return int(load_checkpoint(checkpoint)["agent_steps"])
