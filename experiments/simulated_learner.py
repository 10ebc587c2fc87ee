"""Does the curriculum earn its place? Its arms on simulated learners: ``uv run tools/run.py
simulated_learner.compare``."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import multiprocessing
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.arms import ARMS, ORACLE, UNIFORM, algorithm
from experiments.choices import check_fields, chosen
from experiments.simulation import report
from experiments.simulation.runs import Job, Run, run
from experiments.simulation.scenarios import SCENARIOS, Scenario
from metta.cogworks.curriculum import LearningProgressConfig
from metta.tools.base import Tool

_ARMS = (*ARMS, ORACLE)
_JSON_KEYS = ("mastered", "auc", "delta_vs_uniform", "ci_low", "ci_high", "oracle_share")


def compare() -> CompareTool:
    """Compare curricula on simulated learners, where the best possible is known.

    Prints a table per scenario, writes results.json and plots to ``out``, and ends with one line of
    JSON: scenario → arm → {mastered, auc, delta_vs_uniform, ci_low, ci_high, oracle_share}.

    Any parameter of a scenario is set by ``params.NAME=VALUE`` (params.layers=5,
    params.reward_spread=30), any option of the arms that learn by ``learning.NAME=VALUE``
    (learning.rand_task_rate=0.2).
    """
    return CompareTool()


class CompareTool(Tool):
    """The command's settings; ``seed`` is the first seed."""

    scenario: str = Field(
        default="all", description=f"all, or some of {', '.join(SCENARIOS)}, separated by commas"
    )
    arms: str = Field(
        default="all",
        description=f"all, or some of {', '.join(_ARMS)}; uniform and oracle always run",
    )
    seeds: int = Field(
        default=20,
        ge=1,
        description="how many; the same for every arm, so that differences are paired",
    )
    out: Path = Field(
        default=Path("train_dir/simulated_learner"),
        description="folder for results.json and the plots",
    )
    processes: int = Field(default=2, ge=1, description="runs at a time")
    params: dict[str, Any] = Field(
        default={}, description="parameters of the scenarios that differ from theirs"
    )
    learning: dict[str, Any] = Field(
        default={}, description="options of the arms that differ from theirs"
    )

    @model_validator(mode="after")
    def _check(self) -> CompareTool:
        self.chosen_scenarios()
        for arm in self.chosen_arms():
            if arm not in (UNIFORM, ORACLE):
                check_fields("learning.", self.learning, LearningProgressConfig)
                algorithm(arm, 2, **self.learning)
        return self

    def chosen_scenarios(self) -> dict[str, Scenario]:
        """The scenarios, ``params`` applied.

        Raises:
            ValueError: there is no such scenario or parameter, or its value is out of range.
        """
        check_fields("params.", self.params, Scenario)
        names = chosen("scenario", self.scenario, list(SCENARIOS))
        return {
            name: Scenario.model_validate({**dict(SCENARIOS[name]), **self.params})
            for name in names
        }

    def chosen_arms(self) -> list[str]:
        """The arms, uniform and oracle among them, in a fixed order.

        Raises:
            ValueError: there is no such arm.
        """
        names = {UNIFORM, ORACLE, *chosen("arms", self.arms, list(_ARMS))}
        return [arm for arm in _ARMS if arm in names]

    def dry_run(self) -> str:
        """How much there is to run."""
        return (
            f"{len(self.chosen_scenarios())} scenarios, {len(self.chosen_arms())} arms, "
            f"{self.seeds} seeds"
        )

    def invoke(self) -> int:
        """Run everything, write tables, plots and results, and print one line of JSON last."""
        console, begun = Console(width=150), time.monotonic()
        self.out.mkdir(parents=True, exist_ok=True)
        results: dict[str, dict[str, dict[str, Any]]] = {}
        for name, runs in self._runs(console):
            results[name] = report.figures(runs)
            console.print(report.scenario_table(name, runs, results[name]))
            report.plot_curves(name, runs, self.out / f"{name}_curves.png")
            report.plot_shares(name, runs, self.out / f"{name}_spent.png")
            self._write(results, time.monotonic() - begun)
        console.print(report.summary_table(results))
        console.print(
            f"{self.out / 'results.json'} and plots written; {time.monotonic() - begun:.0f} s"
        )
        line = {
            name: {arm: {key: of[key] for key in _JSON_KEYS} for arm, of in arms.items()}
            for name, arms in results.items()
        }
        print(json.dumps(line))
        return 0

    def _runs(self, console: Console) -> Iterator[tuple[str, dict[str, list[Run]]]]:
        """Scenario by scenario, the runs of every arm."""
        scenarios, arms = self.chosen_scenarios(), self.distinct_arms()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with (
            workers(self.processes) as pool,
            Progress(*columns, console=console, transient=True) as progress,
        ):
            task = progress.add_task(
                "", total=len(scenarios) * len(set(arms.values())) * self.seeds
            )
            for name, world in scenarios.items():
                progress.update(task, description=name)
                seeds = range(self.seed, self.seed + self.seeds)
                learning = tuple(self.learning.items())
                jobs = [
                    Job(name, world, arm, seed, learning)
                    for seed in seeds
                    for arm in dict.fromkeys(arms.values())
                ]
                done: dict[str, list[Run]] = {}
                try:
                    for job, result in zip(jobs, pool.map(run, jobs), strict=True):
                        done.setdefault(job.arm, []).append(result)
                        progress.advance(task)
                except BrokenProcessPool as error:
                    raise RuntimeError(
                        f"a worker process was killed during {name}: run again, with processes=1 "
                        "if memory was short. What "
                        f"was finished is in {self.out}; scenario= runs only some"
                    ) from error
                yield name, {arm: done[same] for arm, same in arms.items()}

    def distinct_arms(self) -> dict[str, str]:
        """Arm → the arm whose runs are its own: another one where both have the same configuration
        (``default`` and the arm that it is)."""
        made: list[tuple[str, Any]] = []
        same: dict[str, str] = {}
        for arm in self.chosen_arms():
            config = (
                None
                if arm == ORACLE
                else algorithm(arm, 2, **({} if arm == UNIFORM else self.learning))
            )
            twin = next((name for name, other in made if other == config), arm)
            made.append((arm, config))
            same[arm] = twin
        return same

    def _settings_of(self, arm: str) -> dict[str, Any] | None:
        return (
            None
            if arm == ORACLE
            else algorithm(arm, 2, **({} if arm == UNIFORM else self.learning)).model_dump(
                mode="json"
            )
        )

    def _write(self, results: dict[str, Any], seconds: float) -> None:
        content = {
            "settings": self.model_dump(
                mode="json", include={"scenario", "arms", "seeds", "seed", "params", "learning"}
            ),
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("metta-curriculum", "numpy", "scipy")
            },
            "scenarios": {
                name: world.model_dump(mode="json")
                for name, world in self.chosen_scenarios().items()
            },
            "arms": {arm: self._settings_of(arm) for arm in self.chosen_arms()},
            "seconds": round(seconds, 1),
            "results": results,
            "summary": report.summary(results),
        }
        (self.out / "results.json").write_text(
            json.dumps(content, indent=1) + "\n", encoding="utf-8"
        )


@contextlib.contextmanager
def workers(processes: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes that ends at once, with everything in it, when its block is left by an
    exception."""
    context = multiprocessing.get_context(
        "spawn"
    )  # fork would copy whatever threads the caller has
    deaf = (
        signal.SIGINT,
        signal.SIG_IGN,
    )  # a Ctrl-C reaches every process; this one answers it for all
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=signal.signal, initargs=deaf
    ) as pool:
        try:
            yield pool
        except BaseException:
            before = signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # the same Ctrl-C may come twice, by way of uv
            for worker in multiprocessing.active_children():
                worker.kill()
            pool.shutdown(cancel_futures=True)
            signal.signal(signal.SIGINT, before)
            raise
