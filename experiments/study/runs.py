"""The runs of a study: one folder each, trained and evaluated in a process of its own, continued
where they were.

``OUT/runs/ARM-SEED/`` holds ``settings.json`` (what was asked for), what TrainTool writes,
``output.log`` and, once the run is finished, ``result.json``. A finished run is not repeated; one
that was cut off goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.arms import algorithm
from experiments.study.tasks import ERRANDS, ErrandGenerator
from metta.cogworks.curriculum import CurriculumConfig
from metta.rl.config import PolicyConfig, TrainerConfig, TrainingEnvConfig
from metta.rl.signals import StopSignals
from metta.tools.train import TrainTool

_POLL_SECONDS = 0.2
_STOP_SECONDS = 30.0
"""For a stopped run to save its checkpoint, before it is killed."""


class SettingsChangedError(ValueError):
    """A run of the same name was begun with other settings."""


class RunFailedError(RuntimeError):
    """A run ended with an error of its own."""


@dataclass(frozen=True)
class Evaluation:
    """How policies are evaluated, and how often on the way."""

    episodes_per_task: int
    """Of the final policy, on as many maps."""
    curve_points: int
    """Checkpoints evaluated besides the first and the last."""
    curve_episodes_per_task: int
    seed: int
    """Of the maps and of the policy's choices; the same for all arms of a training seed."""


@dataclass(frozen=True)
class Run:
    """One arm trained with one seed."""

    arm: str
    seed: int
    tool: TrainTool
    evaluation: Evaluation

    @property
    def folder(self) -> Path:
        """Where the run lies."""
        return self.tool.run_dir

    def settings(self) -> dict[str, Any]:
        """What the result depends on, as plain data. Where the run lies is no part of it."""
        tool = self.tool.model_dump(mode="json", exclude={"data_dir"})
        return {"arm": self.arm, "tool": tool, "evaluation": vars(self.evaluation).copy()}

    def result(self) -> dict[str, Any] | None:
        """The result, or None while the run is not finished."""
        path = self.folder / "result.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def make_run(
    arm: str,
    seed: int,
    folder: Path,
    total_timesteps: int,
    num_envs: int,
    num_workers: int,
    evaluation: Evaluation,
) -> Run:
    """One run of the study: every errand in the pool, and nothing but the arm to tell runs of one
    seed apart.

    ``folder`` is where the run's own folder is made.
    """
    horizon, agents = 64, ErrandGenerator.Config().num_agents  # one segment is one episode
    batch = num_envs * agents * horizon
    epochs = -(-total_timesteps // batch)
    tool = TrainTool(
        run=f"{arm}-{seed}",
        seed=seed,
        device="cpu",
        data_dir=folder,
        trainer=TrainerConfig(
            total_timesteps=total_timesteps,
            learning_rate=0.003,
            bptt_horizon=horizon,
            batch_size=batch,
            minibatch_size=min(batch, 1024),
            gamma=0.98,
            torch_threads=1,
            checkpoint_interval=-(-epochs // (evaluation.curve_points + 1)),
            keep_checkpoints=1000,
        ),
        training_env=TrainingEnvConfig(
            curriculum=CurriculumConfig(
                task_generator=ErrandGenerator.Config(),
                max_task_id=len(ERRANDS),
                algorithm_config=algorithm(arm, len(ERRANDS)),
                seed=seed,
            ),
            num_envs=num_envs,
            num_workers=num_workers,
            agent_stats=(),
        ),
        policy=PolicyConfig(name="experiments.study.policy.PicturePolicy"),
    )
    return Run(arm, seed, tool, evaluation)


def prepare(run: Run) -> None:
    """Make the run's folder, or check that what is there was begun with the same settings.

    Raises:
        SettingsChangedError: it was not; the message names each difference.
    """
    path = run.folder / "settings.json"
    settings = run.settings()
    if path.is_file():
        differences = list(_differences(json.loads(path.read_text(encoding="utf-8")), settings))
        if differences:
            raise SettingsChangedError(
                f"{run.folder} was begun with other settings: {'; '.join(differences)}. Use those, "
                "another out=FOLDER, "
                "or delete that folder to begin the run anew"
            )
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    write_json(path, settings)


def _differences(then: Any, now: Any, key: str = "") -> Iterator[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        for name in sorted(then.keys() | now.keys()):
            yield from _differences(then.get(name), now.get(name), f"{key}.{name}" if key else name)
    elif then != now:
        yield f"{key} was {then!r}, now it is {now!r}"


def run_all(runs: Sequence[Run], processes: int, report: Callable[[Run, int, float], None]) -> None:
    """Train and evaluate the unfinished ones of ``runs``, in their order, ``processes`` at a time.

    Args:
        report: told a run that has just finished, how many are finished now, and the seconds it
            took.

    Raises:
        RunFailedError: a run failed. The others are stopped, and saved.
        StopRequestedError: a signal asked for it. All are stopped, and saved.
    """
    waiting = [run for run in runs if run.result() is None]
    finished = len(runs) - len(waiting)
    active: dict[subprocess.Popen[bytes], tuple[Run, float]] = {}
    with StopSignals() as stop:
        try:
            while waiting or active:
                while waiting and len(active) < processes:
                    run = waiting.pop(0)
                    active[_start(run)] = (run, time.monotonic())
                for process in [process for process in active if process.poll() is not None]:
                    run, began = active.pop(process)
                    if process.returncode or run.result() is None:
                        raise RunFailedError(_failure(run, process.returncode))
                    finished += 1
                    report(run, finished, time.monotonic() - began)
                stop.check()
                time.sleep(_POLL_SECONDS)
        finally:
            _stop(list(active))


def _start(run: Run) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    with (run.folder / "output.log").open("ab") as log:
        # A session of its own: Ctrl-C reaches this process, which passes it on once.
        return subprocess.Popen(
            [sys.executable, "-m", "experiments.study.one_run", str(run.folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _failure(run: Run, status: int) -> str:
    path = run.folder / "output.log"
    last = path.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
    return (
        f"arm {run.arm}, seed {run.seed}: ended with exit status {status}; {path} ends with:\n"
        + "\n".join(last)
    )


def write_json(path: Path, content: Any) -> None:
    """Write it whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
