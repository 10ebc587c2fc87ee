"""Does a curriculum make agents learn more in the same number of steps? ``uv run tools/run.py
curriculum_study.compare``.

Trains each arm (``experiments.arms``) on errands (``experiments.study.tasks``) of very different
difficulty, some of them impossible, with the same seeds and the same number of agent steps. Every
policy is then evaluated on all errands equally often, on maps that no training has seen.
"""

from __future__ import annotations

import difflib
import functools
import json
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.arms import ARMS
from metta.tools.command import CommandTool
from metta.tools.train import TrainTool

if TYPE_CHECKING:
    from experiments.study.runs import Evaluation, Run

DEFAULT_ARMS, SMOKE_ARMS = "uniform,default,learnability", "uniform,default"


def compare(
    arms: str = DEFAULT_ARMS,
    seeds: int = 5,
    seed: int = 0,
    out: Path = Path("train_dir/curriculum_study"),
    total_timesteps: int | None = None,
    num_envs: int | None = None,
    num_workers: int = 1,
    processes: int = 2,
    smoke: bool = False,
) -> CommandTool:
    """Train and evaluate every arm with every seed; the same command goes on with a study that was
    interrupted.

    Writes out/results.json and plots, and prints one line of JSON last: arm -> {mean, worst_tenth,
    delta_vs_uniform, ci_low, ci_high}. More arms and more seeds can be added to a finished study.

    Args:
        arms: comma-separated names from experiments/arms.py, or all.
        seeds: how many training seeds; each arm gets the same ones.
        seed: the first of them.
        out: folder of the study.
        total_timesteps: agent steps of one run. Default 5,000,000: by then one-step errands are
            learned, two-step ones mostly, longer ones partly; see docs/evidence.md. With smoke
            16,384.
        num_envs: environments of one run, of four agents each; default 32, with smoke 8.
        num_workers: worker processes of one run; 1 steps its environments in the run's own process,
            which is fastest when all cores have a run.
        processes: runs at once; one per core.
        smoke: a study in miniature (one seed, uniform and default, seconds): shows that it works,
            and nothing else.
    """
    steps = total_timesteps if total_timesteps is not None else 16_384 if smoke else 5_000_000
    envs = num_envs if num_envs is not None else 8 if smoke else 32
    counts = {
        "seeds": seeds,
        "total_timesteps": steps,
        "num_envs": envs,
        "num_workers": num_workers,
        "processes": processes,
    }
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
    plan = _Plan(
        arms=parse_arms(SMOKE_ARMS if smoke and arms == DEFAULT_ARMS else arms),
        seeds=range(seed, seed + (1 if smoke else seeds)),
        out=out,
        total_timesteps=steps,
        num_envs=envs,
        num_workers=num_workers,
        processes=processes,
        smoke=smoke,
    )
    return CommandTool(function=functools.partial(_study, plan))


def train(
    arm: str = "default", seed: int = 0, total_timesteps: int = 5_000_000, num_envs: int = 32
) -> TrainTool:
    """One run of the study by itself.

    Args:
        arm: a name from experiments/arms.py.
    """
    from experiments.study.runs import make_run

    (name,) = parse_arms(arm)
    run = make_run(
        name, seed, Path("train_dir"), total_timesteps, num_envs, 1, _evaluation(seed, smoke=False)
    )
    return run.tool.model_copy(update={"run": ""})


def parse_arms(names: str) -> list[str]:
    """The arms in a comma-separated list, in its order; ``all`` is every one of them.

    Raises:
        ValueError: an arm that does not exist, one given twice, or none at all.
    """
    if names.strip() == "all":
        return list(ARMS)
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in ARMS:
            near = difflib.get_close_matches(name, ARMS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"arms={names}: there is no arm {name!r}{hint} (arms: {', '.join(ARMS)}, or all)"
            )
        if chosen.count(name) > 1:
            raise ValueError(f"arms={names}: {name!r} is given twice")
    if not chosen:
        raise ValueError(f"arms={names!r} names no arm: use {', '.join(ARMS)}, or all")
    return chosen


def _evaluation(seed: int, smoke: bool) -> Evaluation:
    from experiments.study.runs import Evaluation

    if smoke:
        return Evaluation(episodes_per_task=2, curve_points=1, curve_episodes_per_task=1, seed=seed)
    # Ten maps of four agents each: a task's success has a standard error of 0.08 at most, that of
    # all tasks 0.01.
    return Evaluation(episodes_per_task=10, curve_points=5, curve_episodes_per_task=2, seed=seed)


@dataclass(frozen=True)
class _Plan:
    """What ``compare`` was asked for."""

    arms: list[str]
    seeds: range
    out: Path
    total_timesteps: int
    num_envs: int
    num_workers: int
    processes: int
    smoke: bool

    def settings(self) -> dict[str, Any]:
        """What the results depend on, for results.json."""
        return {
            "seeds": list(self.seeds),
            "total_timesteps": self.total_timesteps,
            "num_envs": self.num_envs,
            "num_workers": self.num_workers,
            "smoke": self.smoke,
        }


# torch, mettagrid and matplotlib take seconds to import: only a study pays for them.


def _study(plan: _Plan) -> int:
    from experiments.study.runs import prepare, run_all
    from metta.rl.signals import StopRequestedError

    runs, began = _runs_of(plan), time.monotonic()
    for run in runs:
        prepare(run)
    already = sum(run.result() is not None for run in runs)
    print(
        f"{len(runs)} runs ({len(plan.arms)} arms, {len(plan.seeds)} seeds), "
        f"{plan.total_timesteps:,} agent steps each, {_num_errands()} tasks; "
        f"{already} finished already, {plan.processes} at a time; folder {plan.out}",
        flush=True,
    )
    try:
        run_all(runs, plan.processes, _Progress(len(runs), plan.processes))
    except StopRequestedError as stopped:
        print(f"{stopped}: every run is saved; the same command goes on from there", flush=True)
        return stopped.exit_status
    _report(plan, runs, time.monotonic() - began)
    return 0


def _runs_of(plan: _Plan) -> list[Run]:
    from experiments.study.runs import make_run

    return [
        make_run(
            arm,
            seed,
            plan.out / "runs",
            plan.total_timesteps,
            plan.num_envs,
            plan.num_workers,
            _evaluation(seed, plan.smoke),
        )
        for seed in plan.seeds  # seeds first: an interrupted study has whole pairs
        for arm in plan.arms
    ]


def _num_errands() -> int:
    from experiments.study.tasks import ERRANDS

    return len(ERRANDS)


class _Progress:
    """Prints a line for each run that has finished."""

    def __init__(self, num_runs: int, processes: int) -> None:
        self._num_runs, self._processes = num_runs, processes
        self._durations: list[float] = []

    def __call__(self, run: Run, finished: int, seconds: float) -> None:
        result = run.result()
        success = float(np.mean(result["success"])) if result else 0.0
        self._durations.append(seconds)
        left = float(np.mean(self._durations)) * (self._num_runs - finished) / self._processes
        print(
            f"[{finished}/{self._num_runs}] {run.arm}, seed {run.seed}: mean success "
            f"{success:.3f}, in {seconds:.0f} s; "
            + (f"about {left / 60:.0f} min left" if left else "done"),
            flush=True,
        )


def _report(plan: _Plan, runs: list[Run], seconds: float) -> None:
    """Write results.json and the plots, and print the table and the line of JSON."""
    from experiments.study import report
    from experiments.study.runs import write_json

    results = report.collect(runs)
    summary = report.summarise(results)
    packages = ("metta-curriculum", "mettagrid", "pufferlib-core", "torch")
    content = {
        "arms": summary,
        "settings": plan.settings() | {"tasks": _num_errands(), "seconds": round(seconds, 1)},
        "versions": {name: version(name) for name in packages}
        | {"python": platform.python_version()},
        "runs": results,
    }
    path = plan.out / "results.json"
    write_json(path, content)
    plots = report.draw(results, plan.out)
    report.print_table(summary)
    print(f"wrote {path}, {', '.join(str(plot) for plot in plots)}")
    print(json.dumps(report.one_line(summary)), flush=True)
