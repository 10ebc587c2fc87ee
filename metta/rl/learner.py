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
from metta.rl.checkpoint import SavedRun
from metta.rl.config import TrainerConfig, TrainingRun
from metta.rl.policy import make_policy, restore_network
from metta.rl.pufferl import QuietPuffeRL
from metta.rl.vecenv import SupervisedVecEnv


class DivergedError(RuntimeError):
    """A loss or a parameter of the network is no longer finite."""


def make_learner(run: TrainingRun, vecenv: SupervisedVecEnv, device: str) -> QuietPuffeRL:
    """A fresh network and optimiser for the environments of ``vecenv``."""
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
    """What a checkpoint holds; see ``metta.rl.checkpoint.SavedRun``."""
    return {
        "agent_steps": learner.global_step,
        "epoch": learner.epoch,
        "policy_name": run.policy.name,
        "policy": learner.uncompiled_policy.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "curriculum": curriculum.get_state(),
        "torch_random_state": torch.get_rng_state(),
    }


def restore_learner(learner: QuietPuffeRL, saved: SavedRun, run: TrainingRun) -> None:
    """Take over network, optimiser, counters and random state; the settings of the optimiser are
    those of ``run``.

    Raises:
        CheckpointError: they do not fit the network, which is then of no use.
    """
    restore_network(learner.uncompiled_policy, saved.policy)
    _restore_optimizer(learner.optimizer, saved)
    try:
        torch.set_rng_state(saved.torch_random_state)
    except (RuntimeError, TypeError) as error:
        raise saved.does_not_fit("its torch_random_state is none", error) from error
    learner.global_step = learner.last_log_step = saved.agent_steps
    learner.epoch = saved.epoch
    _set_learning_rate(learner, run.trainer)


def _restore_optimizer(optimizer: torch.optim.Optimizer, saved: SavedRun) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = saved.optimizer.get("state")
    if not isinstance(state, dict):
        raise saved.does_not_fit(
            "its optimizer has no state", f"it has {sorted(map(str, saved.optimizer))}"
        )
    for index, moments in state.items():
        if index not in range(len(parameters)) or not _are_moments(moments, parameters[index]):
            raise saved.does_not_fit(
                "its optimizer is that of another network, or holds numbers that cannot be",
                f"parameter {index} of {len(parameters)}",
            )
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _are_moments(moments: Any, parameter: torch.Tensor) -> bool:
    """Whether ``moments`` are Adam's of a parameter of that shape: finite, the second not
    negative."""
    shapes = {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
    if not isinstance(moments, dict) or moments.keys() != shapes.keys():
        return False
    for name, shape in shapes.items():
        value = moments[name]
        if not isinstance(value, torch.Tensor) or value.shape != shape:
            return False
        if not (value.is_floating_point() and bool(value.isfinite().all())):
            return False
    return bool((moments["step"] >= 0) and (moments["exp_avg_sq"] >= 0).all())


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
    """Raise DivergedError unless the losses of ``epoch`` and the network's parameters are
    finite."""
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
    """Seed Python's, numpy's and torch's random numbers; a resumed run goes on with others."""
    sequence = np.random.SeedSequence([seed, start_step])
    for_python, for_numpy, for_torch = (int(word) for word in sequence.generate_state(3))
    random.seed(for_python)
    np.random.seed(for_numpy)
    torch.manual_seed(for_torch)


def torch_threads(run: TrainingRun) -> int:
    """``trainer.torch_threads``, chosen where it is ``auto``."""
    threads = run.trainer.torch_threads
    if threads != "auto":
        return threads
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    workers = run.training_env.num_workers
    # OpenMP's threads spin while they wait for each other, so that one too many costs a factor of
    # ten, not a tenth.
    return max(1, (cores - (workers if workers > 1 else 0)) // 2)
