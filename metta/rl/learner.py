"""What learns: PuffeRL on a run's environments, its sizes, its saved state, and whether it still
learns."""

from __future__ import annotations

import math
import os
import random
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metta.cogworks.curriculum import Curriculum
from metta.rl.config import TrainerConfig, TrainingRun
from metta.rl.policy import make_policy, restore_network
from metta.rl.pufferl import QuietPuffeRL
from metta.rl.vecenv import SupervisedVecEnv


class DivergedError(RuntimeError):
    """A loss or a parameter of the network is no longer finite."""


def make_learner(run: TrainingRun, vecenv: SupervisedVecEnv, device: str) -> QuietPuffeRL:
    policy = make_policy(run.policy, vecenv.driver_env.env_cfg, device)
    config = puffer_config(run.trainer, vecenv.num_agents)
    config.update(device=device, seed=run.seed, use_rnn=policy.is_recurrent(), env=run.run)
    return QuietPuffeRL(config, vecenv, policy.network())


def puffer_config(trainer: TrainerConfig, num_agents: int) -> dict[str, Any]:
    """PuffeRL's configuration, with the sizes that are ``auto`` chosen.

    Raises:
        ValueError: a batch too small for one segment per agent.
    """
    horizon = trainer.bptt_horizon
    batch = num_agents * horizon if trainer.batch_size == "auto" else trainer.batch_size
    if batch < num_agents * horizon:
        raise ValueError(
            f"trainer.batch_size={batch} is too small: {num_agents} agents with "
            f"trainer.bptt_horizon={horizon} need at "
            f"least {num_agents * horizon}; or use trainer.batch_size=auto"
        )
    minibatch = trainer.minibatch_size
    if minibatch == "auto":
        minibatch = max(1, min(4096, batch // 4) // horizon) * horizon
    if minibatch > batch:
        raise ValueError(
            f"trainer.minibatch_size={minibatch} is larger than the batch of {batch} agent steps"
        )
    own = {
        "batch_size",
        "minibatch_size",
        "keep_checkpoints",
        "checkpoint_interval",
        "torch_threads",
    }
    return {
        **trainer.model_dump(exclude=own),
        "batch_size": batch,
        "minibatch_size": minibatch,
        "max_minibatch_size": minibatch,
        # The learning rate reaches 0 with the last epoch, which may go beyond the last step asked
        # for.
        "total_timesteps": math.ceil(trainer.total_timesteps / batch) * batch,
        "optimizer": "adam",
        "precision": "float32",
        "torch_deterministic": True,
        "cpu_offload": False,
        "compile": False,
        "checkpoint_interval": 2**62,
    }


def learner_state(
    learner: QuietPuffeRL, curriculum: Curriculum, run: TrainingRun
) -> dict[str, Any]:
    return {
        "agent_steps": learner.global_step,
        "epoch": learner.epoch,
        "policy_name": run.policy.name,
        "policy": learner.uncompiled_policy.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "curriculum": curriculum.get_state(),
        "torch_random_state": torch.get_rng_state(),
    }


def restore_learner(learner: QuietPuffeRL, saved: dict[str, Any], run: TrainingRun) -> None:
    restore_network(learner.uncompiled_policy, saved["policy"], f"the checkpoint of run {run.run}")
    learner.optimizer.load_state_dict(saved["optimizer"])
    learner.global_step = learner.last_log_step = saved["agent_steps"]
    learner.epoch = saved["epoch"]
    torch.set_rng_state(saved["torch_random_state"])
    _set_learning_rate(learner, run.trainer)


def _set_learning_rate(learner: QuietPuffeRL, trainer: TrainerConfig) -> None:
    # The schedule follows from the epoch, so that a run may be resumed with another length or rate.
    epoch, last = learner.epoch, max(1, learner.total_epochs)
    share = (1 + math.cos(math.pi * min(epoch, last) / last)) / 2 if trainer.anneal_lr else 1.0
    rate = trainer.learning_rate * share
    for group in learner.optimizer.param_groups:
        group["initial_lr"] = trainer.learning_rate
        group["lr"] = rate
    learner.scheduler.load_state_dict(
        {
            **learner.scheduler.state_dict(),
            "last_epoch": epoch,
            "_step_count": epoch + 1,
            "_last_lr": [rate],
        }
    )


def check_finite(learner: QuietPuffeRL, epoch: Mapping[str, Any]) -> None:
    # The explained variance of returns that are all equal is NaN, and means no harm.
    wrong = [
        f"{key}={value}"
        for key, value in epoch.items()
        if key.startswith("losses/")
        and key != "losses/explained_variance"
        and not math.isfinite(value)
    ]
    if not all(
        bool(parameter.isfinite().all()) for parameter in learner.uncompiled_policy.parameters()
    ):
        wrong.append("parameters of the network that are not finite")
    if wrong:
        raise DivergedError(
            f"learning diverged in epoch {learner.epoch} ({', '.join(wrong)}): this epoch is not "
            "saved, earlier checkpoints "
            "stay. Try a smaller trainer.learning_rate or trainer.max_grad_norm"
        )


def seed_everything(seed: int, start_step: int) -> None:
    sequence = np.random.SeedSequence([seed, start_step])
    for_python, for_numpy, for_torch = (int(word) for word in sequence.generate_state(3))
    random.seed(for_python)
    np.random.seed(for_numpy)
    torch.manual_seed(for_torch)


def torch_threads(run: TrainingRun) -> int:
    threads = run.trainer.torch_threads
    if threads != "auto":
        return threads
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    workers = run.training_env.num_workers
    # OpenMP's threads spin while they wait for each other, so that one too many costs a factor of
    # ten, not a tenth.
    return max(1, (cores - (workers if workers > 1 else 0)) // 2)
