"""One training run: gather, learn, record, save; from the newest checkpoint if there is one."""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from metta.cogworks.curriculum import Curriculum
from metta.rl.checkpoint import SavedRun, latest_checkpoint, read_run, save_checkpoint, to_arrays
from metta.rl.config import TrainingRun
from metta.rl.dashboard import Dashboard, make_dashboard, print_summary
from metta.rl.environment import close_curriculum, open_curriculum
from metta.rl.files import write_whole
from metta.rl.learner import (
    DivergedError,
    check_finite,
    learner_state,
    make_learner,
    restore_learner,
    seed_everything,
    torch_threads,
)
from metta.rl.metrics import MetricsFile, read_metrics
from metta.rl.policy import find_policy, resolve_device
from metta.rl.pufferl import QuietPuffeRL
from metta.rl.runs import changes, only_trainer_of, save_config
from metta.rl.signals import StopRequestedError, StopSignals
from metta.rl.vecenv import WorkerDiedError, make_vecenv
from metta.usage import UsageError


def train(run: TrainingRun, stop: StopSignals) -> int:
    """Train ``run`` to its end, to a signal or to the loss of a worker; with a checkpoint saved if
    it made a step.

    Returns:
        0 at the end; 128 plus the signal's number; 1 when a worker was lost or when learning
        diverged.

    Raises:
        UsageError: no such policy or device, a folder that cannot be made, another policy than the
            run's.
        FileError: something in the run's folder is damaged, does not fit this configuration, or
            cannot be written.
    """
    with only_trainer_of(run.run_dir), contextlib.ExitStack() as cleanup:
        newest = latest_checkpoint(run.run_dir / "checkpoints")
        saved = read_run(newest) if newest is not None else None
        find_policy(run.policy.name)
        if saved is not None and saved.policy.name != run.policy.name:
            raise UsageError(
                f"the run {run.run} was trained with policy.name={saved.policy.name}, not "
                f"{run.policy.name}: use it, "
                "or another run name"
            )
        start_step = saved.agent_steps if saved is not None else 0
        changed = changes(run, newest) if newest is not None else []
        if start_step >= run.trainer.total_timesteps:
            print(
                f"{run.run_dir} is complete: it has {start_step:,} steps; a larger "
                "trainer.total_timesteps continues it"
            )
            for line in changed:
                print(line)
            return 0
        return _train_from(saved, start_step, changed, run, stop, cleanup)


def _train_from(
    saved: SavedRun | None,
    start_step: int,
    changed: list[str],
    run: TrainingRun,
    stop: StopSignals,
    cleanup: contextlib.ExitStack,
) -> int:
    device = resolve_device(run.device)
    training_env = _with_session(run).training_env
    seed_everything(run.seed, start_step)
    torch.set_num_threads(torch_threads(run))

    dashboard = make_dashboard(run.run, run.trainer.total_timesteps)
    cleanup.callback(dashboard.close)
    lost = read_metrics(run.run_dir / "metrics.jsonl") if saved is None else []
    metrics = MetricsFile(run.run_dir / "metrics.jsonl", start_step)
    cleanup.callback(metrics.close)
    curriculum = open_curriculum(training_env.curriculum)
    cleanup.callback(close_curriculum, training_env.curriculum)
    if saved is not None:
        _restore_curriculum(curriculum, saved)
        dashboard.say(f"resuming {run.run_dir} at {start_step:,} agent steps")
        _say_changes(run.run_dir, changed, start_step, dashboard)
    else:
        _say_beginning(run, lost, device, dashboard)
    # Workers are forked before the network exists, so that they do not carry it.
    vecenv = make_vecenv(training_env, (run.seed, start_step), stop.check, dashboard.say)
    cleanup.callback(vecenv.close)
    learner = make_learner(run, vecenv, device)
    cleanup.callback(learner.utilization.stop)
    if saved is not None:
        restore_learner(learner, saved, run)
    save_config(run.run_dir, run)

    status = _Session(run, learner, curriculum, metrics, dashboard).train()
    dashboard.close()
    if learner.global_step > start_step:
        seconds = time.time() - learner.start_time
        print_summary(run, metrics.history, curriculum.stats(), learner.global_step, seconds)
    return status


def _restore_curriculum(curriculum: Curriculum, saved: SavedRun) -> None:
    try:
        curriculum.load_state(to_arrays(saved.curriculum), changed_tasks=True)
    except (ValueError, TypeError, LookupError) as error:
        raise saved.does_not_fit("its curriculum does not fit", error) from error
    # Before the workers draw: the episodes that were in flight ended with the former process.
    curriculum.forget_in_flight()


def _say_changes(run_dir: Path, changed: list[str], start_step: int, dashboard: Dashboard) -> None:
    for line in changed:
        dashboard.say(line)
    if changed:
        kept = run_dir / f"config.until_{start_step:012d}.yaml"
        write_whole(kept, (run_dir / "config.yaml").read_bytes())
        dashboard.say(f"  the former configuration is kept as {kept}")


def _say_beginning(
    run: TrainingRun, lost: list[dict[str, Any]], device: str, dashboard: Dashboard
) -> None:
    if lost:
        dashboard.say(
            f"no checkpoint was saved of the {lost[-1]['agent_steps']:,} steps in "
            "metrics.jsonl: beginning again"
        )
    dashboard.say(
        f"training {run.run_dir} for {run.trainer.total_timesteps:,} agent steps on {device}"
    )


@dataclass(frozen=True)
class _Session:
    """From a start or resumption to the end, a signal, or the loss of a worker."""

    run: TrainingRun
    learner: QuietPuffeRL
    curriculum: Curriculum
    metrics: MetricsFile
    dashboard: Dashboard

    def train(self) -> int:
        """Epoch after epoch; saves at the end. Returns the exit status."""
        learner, status, unsaved = self.learner, 0, True
        start_step = learner.global_step
        try:
            while learner.global_step < self.run.trainer.total_timesteps:
                unsaved = True
                self._epoch()
                if learner.epoch % self.run.trainer.checkpoint_interval == 0:
                    self._save()
                    unsaved = False
        except StopRequestedError as error:
            status = error.exit_status
            saving = "saving, then " if learner.global_step > start_step else ""
            self.dashboard.say(f"{error}: {saving}ending with exit status {status}")
        except WorkerDiedError as error:
            status = 1
            self.dashboard.say(
                f"error: {error}. The same command goes on from the newest checkpoint"
            )
        except DivergedError as error:
            self.dashboard.say(f"error: {error}")
            return 1
        if learner.global_step == start_step:
            self.dashboard.say("no step was made: nothing is saved")
        elif unsaved:
            self.dashboard.say(f"saved {self._save()}")
        return status

    def _epoch(self) -> None:
        learner = self.learner
        before, began = learner.global_step, time.time()
        learner.evaluate()
        epoch = learner.learn()
        # the counts below are then those that a checkpoint of this epoch holds
        learner.vecenv.settle()
        now = time.time()
        stats = self.curriculum.stats()
        self.metrics.write(
            {
                "epoch": learner.epoch,
                "agent_steps": learner.global_step,
                "SPS": (learner.global_step - before) / (now - began),
                "time": now,
                "uptime": now - learner.start_time,
                "learning_rate": learner.optimizer.param_groups[0]["lr"],
                **epoch,
                **{f"curriculum/{key}": float(value) for key, value in stats.items()},
            }
        )
        self.dashboard.show(self.metrics.history)
        check_finite(learner, epoch)

    def _save(self) -> Path:
        return save_checkpoint(
            self.run.run_dir / "checkpoints",
            self.learner.global_step,
            learner_state(self.learner, self.curriculum, self.run),
            self.run.trainer.keep_checkpoints,
        )


def _with_session(run: TrainingRun) -> TrainingRun:
    config = run.training_env.curriculum
    if config.session_id is None and config.algorithm.use_shared_memory:
        config = config.with_session(f"train-{secrets.token_hex(8)}")
    training_env = run.training_env.model_copy(update={"curriculum": config})
    return run.model_copy(update={"training_env": training_env})
