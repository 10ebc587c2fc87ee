"""One training run: gather, learn, record, save; from the newest checkpoint if there is one."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import platform
import random
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml

from metta.cogworks.curriculum import Curriculum
from metta.rl.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint, to_arrays
from metta.rl.config import TrainerConfig
from metta.rl.dashboard import Dashboard, counts, make_dashboard
from metta.rl.metrics import MetricsFile, first_and_last, read_metrics, series, sparkline
from metta.rl.policy import find_policy, make_policy, resolve_device, restore_network
from metta.rl.pufferl import QuietPuffeRL
from metta.rl.runs import differences, read_config
from metta.rl.signals import StopRequestedError, StopSignals
from metta.rl.vecenv import (
    SupervisedVecEnv,
    WorkerDiedError,
    close_curriculum,
    make_vecenv,
    open_curriculum,
)
from metta.usage import UsageError

if TYPE_CHECKING:
    from metta.tools.train import TrainTool


_MOST_CHANGES = (
    10  # lines about a changed configuration, so that what comes after them stays on the screen
)


class DivergedError(RuntimeError):
    """A loss or a parameter of the network is no longer finite."""


def train(tool: TrainTool, stop: StopSignals) -> int:
    """Train ``tool``'s run to its end, to a signal or to the loss of a worker; with a checkpoint
    saved if it made a step.

    Returns:
        0 at the end; 128 plus the signal's number; 1 when a worker was lost or when learning
        diverged.

    Raises:
        UsageError: no such policy or device, a folder that cannot be made, another policy than the
            run's.
        CheckpointError, ValueError: the run's folder holds a checkpoint that does not fit this
            configuration.
    """
    with _only_trainer_of(tool.run_dir), contextlib.ExitStack() as cleanup:
        newest = latest_checkpoint(tool.run_dir / "checkpoints")
        saved = load_checkpoint(newest) if newest is not None else None
        find_policy(tool.policy.name)
        if saved is not None and saved["policy_name"] != tool.policy.name:
            raise UsageError(
                f"the run {tool.run} was trained with policy.name={saved['policy_name']}, not "
                f"{tool.policy.name}: use it, "
                "or another run name"
            )
        start_step = saved["agent_steps"] if saved is not None else 0
        changes = _changes(tool, newest) if newest is not None else []
        if start_step >= tool.trainer.total_timesteps:
            print(
                f"{tool.run_dir} is complete: it has {start_step:,} steps; a larger "
                "trainer.total_timesteps continues it"
            )
            for line in changes:
                print(line)
            return 0
        return _train_from(saved, start_step, changes, tool, stop, cleanup)


def _train_from(
    saved: dict[str, Any] | None,
    start_step: int,
    changes: list[str],
    tool: TrainTool,
    stop: StopSignals,
    cleanup: contextlib.ExitStack,
) -> int:
    run_dir = tool.run_dir
    device = resolve_device(tool.device)
    resolved = tool
    tool = _with_session(tool)
    _seed_everything(tool.seed, start_step)
    torch.set_num_threads(_torch_threads(tool))

    dashboard = make_dashboard(tool.run, tool.trainer.total_timesteps)
    cleanup.callback(dashboard.close)
    lost = read_metrics(run_dir / "metrics.jsonl") if saved is None else []
    metrics = MetricsFile(run_dir / "metrics.jsonl", start_step)
    cleanup.callback(metrics.close)
    curriculum_config = tool.training_env.curriculum
    curriculum = open_curriculum(curriculum_config)
    cleanup.callback(close_curriculum, curriculum_config)
    if saved is not None:
        curriculum.load_state(to_arrays(saved["curriculum"]))
        dashboard.say(f"resuming {run_dir} at {start_step:,} agent steps")
        for line in changes:
            dashboard.say(line)
        if changes:
            kept = run_dir / f"config.until_{start_step:012d}.yaml"
            shutil.copyfile(run_dir / "config.yaml", kept)
            dashboard.say(f"  the former configuration is kept as {kept}")
    else:
        if lost:
            dashboard.say(
                f"no checkpoint was saved of the {lost[-1]['agent_steps']:,} steps in "
                "metrics.jsonl: beginning again"
            )
        dashboard.say(
            f"training {run_dir} for {tool.trainer.total_timesteps:,} agent steps on {device}"
        )
    # Workers are forked before the network exists, so that they do not carry it.
    vecenv = make_vecenv(tool.training_env, (tool.seed, start_step), stop.check)
    cleanup.callback(vecenv.close)
    learner = _make_learner(tool, vecenv, device)
    cleanup.callback(learner.utilization.stop)
    if saved is not None:
        _restore(learner, saved, tool)
    save_config(run_dir, resolved)

    def save() -> Path:
        content = _state(learner, curriculum, tool)
        return save_checkpoint(
            run_dir / "checkpoints", learner.global_step, content, tool.trainer.keep_checkpoints
        )

    status = _run(tool, learner, curriculum, metrics, dashboard, save)
    dashboard.close()
    if learner.global_step > start_step:
        print_summary(
            run_dir,
            tool,
            metrics,
            curriculum,
            learner.global_step,
            time.time() - learner.start_time,
        )
    return status


def _changes(tool: TrainTool, checkpoint: Path) -> list[str]:
    """Lines that say how the run's configuration differs from its ``config.yaml``; a longer run is
    no difference."""
    if not (tool.run_dir / "config.yaml").is_file():
        return []
    before, now = (
        {key: value for key, value in content.items() if key not in ("made_with", "data_dir")}
        for content in (read_config(checkpoint), tool.model_dump(mode="json"))
    )
    found = [
        line for line in differences(before, now) if not line.startswith("trainer.total_timesteps:")
    ]
    if not found:
        return []
    lines = ["  the configuration has changed:", *(f"    {line}" for line in found[:_MOST_CHANGES])]
    if len(found) > _MOST_CHANGES:
        lines.append(f"    and {len(found) - _MOST_CHANGES} more")
    if any(line.startswith("training_env.curriculum.task_generator") for line in found):
        lines.append(
            "  what is known of a task was measured on what it was before; another run name begins "
            "anew"
        )
    return lines


def save_config(run_dir: Path, tool: TrainTool) -> None:
    """``config.yaml``: the resolved configuration, and under ``made_with`` the versions that ran
    it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    content = {
        **tool.model_dump(mode="json"),
        "made_with": {
            "metta-curriculum": version("metta-curriculum"),
            "mettagrid": version("mettagrid"),
            "pufferlib-core": version("pufferlib-core"),
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }
    temporary = run_dir / "config.yaml.tmp"
    temporary.write_text(
        yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    temporary.replace(run_dir / "config.yaml")


def _run(
    tool: TrainTool,
    learner: QuietPuffeRL,
    curriculum: Curriculum,
    metrics: MetricsFile,
    dashboard: Dashboard,
    save: Any,
) -> int:
    status = 0
    start_step = learner.global_step
    unsaved = True
    try:
        while learner.global_step < tool.trainer.total_timesteps:
            unsaved = True
            before, began = learner.global_step, time.time()
            learner.evaluate()
            epoch = learner.learn()
            # the counts below are then those that a checkpoint of this epoch holds
            learner.vecenv.settle()
            now = time.time()
            metrics.write(
                {
                    "epoch": learner.epoch,
                    "agent_steps": learner.global_step,
                    "SPS": (learner.global_step - before) / (now - began),
                    "time": now,
                    "uptime": now - learner.start_time,
                    "learning_rate": learner.optimizer.param_groups[0]["lr"],
                    **epoch,
                    **{
                        f"curriculum/{key}": float(value)
                        for key, value in curriculum.stats().items()
                    },
                }
            )
            dashboard.show(metrics.history)
            _check_finite(learner, epoch)
            if learner.epoch % tool.trainer.checkpoint_interval == 0:
                save()
                unsaved = False
    except StopRequestedError as error:
        status = error.exit_status
        saving = "saving, then " if learner.global_step > start_step else ""
        dashboard.say(f"{error}: {saving}ending with exit status {status}")
    except WorkerDiedError as error:
        status = 1
        dashboard.say(f"error: {error}. The same command goes on from the newest checkpoint")
    except DivergedError as error:
        dashboard.say(f"error: {error}")
        return 1
    if learner.global_step == start_step:
        dashboard.say("no step was made: nothing is saved")
    elif unsaved:
        dashboard.say(f"saved {save()}")
    return status


def _check_finite(learner: QuietPuffeRL, epoch: Mapping[str, Any]) -> None:
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


def print_summary(
    run_dir: Path,
    tool: TrainTool,
    metrics: MetricsFile,
    curriculum: Curriculum,
    steps: int,
    seconds: float,
) -> None:
    """Steps, reward, tasks and place of the run."""
    stats = curriculum.stats()
    rewards = series(metrics.history, "environment/reward")
    ends = first_and_last(rewards)
    lines = [
        f"run      {tool.run}",
        f"steps    {steps:,} of {tool.trainer.total_timesteps:,} agent steps, this session "
        f"{seconds:,.0f} s",
        f"reward   {ends[0]:.4f} at first, {ends[1]:.4f} at last  {sparkline(rewards)}"
        if ends
        else "reward   no episode ended: train longer, or shorten the episodes "
        "(game.max_steps of the tasks)",
        "tasks    " + counts(stats, "num_"),
        f"files    {run_dir}  (metrics.jsonl, config.yaml, checkpoints/)",
    ]
    if rewards and not any(rewards):
        lines.insert(
            3,
            "         no episode was rewarded, so there was nothing to learn: check the rewards of "
            "the tasks",
        )
    print("\n" + "\n".join(lines), flush=True)


def _make_learner(tool: TrainTool, vecenv: SupervisedVecEnv, device: str) -> QuietPuffeRL:
    policy = make_policy(tool.policy, vecenv.driver_env.env_cfg, device)
    config = puffer_config(tool.trainer, vecenv.num_agents)
    config.update(device=device, seed=tool.seed, use_rnn=policy.is_recurrent(), env=tool.run)
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


def _state(learner: QuietPuffeRL, curriculum: Curriculum, tool: TrainTool) -> dict[str, Any]:
    return {
        "agent_steps": learner.global_step,
        "epoch": learner.epoch,
        "policy_name": tool.policy.name,
        "policy": learner.uncompiled_policy.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "curriculum": curriculum.get_state(),
        "torch_random_state": torch.get_rng_state(),
    }


def _restore(learner: QuietPuffeRL, saved: dict[str, Any], tool: TrainTool) -> None:
    restore_network(learner.uncompiled_policy, saved["policy"], f"the checkpoint of run {tool.run}")
    learner.optimizer.load_state_dict(saved["optimizer"])
    learner.global_step = learner.last_log_step = saved["agent_steps"]
    learner.epoch = saved["epoch"]
    torch.set_rng_state(saved["torch_random_state"])
    _set_learning_rate(learner, tool.trainer)


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


@contextlib.contextmanager
def _only_trainer_of(run_dir: Path) -> Iterator[None]:
    """Hold the run's folder; the kernel lets go of it when this process ends, however it ends."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        file = (run_dir / ".lock").open("w")
    except OSError as error:
        raise UsageError(
            f"data_dir={run_dir.parent} cannot hold the run's folder ({error.strerror}: "
            f"{error.filename}): "
            "give data_dir=FOLDER, one that you may write to"
        ) from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(
                f"another process is training {run_dir} at this moment: use another run name"
            ) from error
        yield


def _with_session(tool: TrainTool) -> TrainTool:
    config = tool.training_env.curriculum
    if config.session_id is None and config.algorithm.use_shared_memory:
        config = config.with_session(f"train-{secrets.token_hex(8)}")
    training_env = tool.training_env.model_copy(update={"curriculum": config})
    return tool.model_copy(update={"training_env": training_env})


def _seed_everything(seed: int, start_step: int) -> None:
    sequence = np.random.SeedSequence([seed, start_step])
    for_python, for_numpy, for_torch = (int(word) for word in sequence.generate_state(3))
    random.seed(for_python)
    np.random.seed(for_numpy)
    torch.manual_seed(for_torch)


def _torch_threads(tool: TrainTool) -> int:
    threads = tool.trainer.torch_threads
    if threads != "auto":
        return threads
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    workers = tool.training_env.num_workers
    # OpenMP's threads spin while they wait for each other, so that one too many costs a factor of
    # ten, not a tenth.
    return max(1, (cores - (workers if workers > 1 else 0)) // 2)
