"""Does the curriculum earn its place? Its arms on simulated learners: ``uv run tools/run.py
simulated_learner.compare``."""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
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
from experiments.simulation.scenarios import Scenario
from experiments.simulation.worlds import GROUPS
from metta.cogworks.curriculum import LearningProgressConfig
from metta.tools.base import Tool

_ARMS = (*ARMS, ORACLE)
_SCENARIOS = GROUPS["every"]
_JSON_KEYS = (
    "mastered",
    "auc",
    "delta_vs_uniform",
    "ci_low",
    "ci_high",
    "oracle_share",
    "auc_share",
)

REPORTING = 0
"""First of the seeds whose figures are reported: the default."""

TUNING = 1000
"""First of the seeds on which constants are fitted. What is reported was never fitted on: fewer
than 1000 seeds from either."""


def compare() -> CompareTool:
    """Compare curricula on simulated learners, where the best possible is known.

    Prints a table per scenario, writes results.json and plots to ``out``, and ends with one line of
    JSON: scenario → arm → {mastered, auc, delta_vs_uniform, ci_low, ci_high, oracle_share,
    auc_share}. A share is (arm − uniform) / (oracle − uniform), of what is mastered at the end or
    of the area under the curve. With several numbers of episodes in flight (in_flight=1,16,128) it
    is that for each of them: number → scenario → arm → ...; "results" and "summary" in results.json
    likewise.

    Any parameter of a scenario is set by ``params.NAME=VALUE`` (params.layers=5,
    params.reward_spread=30), any option of the arms that learn by ``learning.NAME=VALUE``
    (learning.rand_task_rate=0.2).

    scenario=all is the eight first scenarios, scenario=more the other worlds, scenario=every both.
    Reported figures are of seeds from 0 on; fit constants on other ones: seed=1000.
    """
    return CompareTool()


class CompareTool(Tool):
    """The command's settings; ``seed`` is the first seed."""

    scenario: str = Field(
        default="all",
        description="all (the first eight), more (the others), every (both), or some of "
        f"{', '.join(_SCENARIOS)}, separated by commas",
    )
    arms: str = Field(
        default="all",
        description=f"all, or some of {', '.join(_ARMS)}; uniform and oracle always run",
    )
    seeds: int = Field(
        default=20,
        ge=1,
        le=TUNING - REPORTING,
        description="how many; the same for every arm, so that differences are paired. From "
        f"seed={REPORTING} on (the default) for figures to report, from seed={TUNING} on for "
        "fitting constants",
    )
    out: Path = Field(
        default=Path("train_dir/simulated_learner"),
        description="folder for results.json and the plots",
    )
    in_flight: int | tuple[int, ...] = Field(
        default=1,
        description="episodes that are always begun and not yet ended, as with so many "
        "environments; several, separated by commas, are run one after another",
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
        self.chosen_in_flight()
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
        names = chosen("scenario", self.scenario, list(_SCENARIOS), GROUPS)
        return {
            name: Scenario.model_validate({**dict(_SCENARIOS[name]), **self.params})
            for name in names
        }

    def chosen_arms(self) -> list[str]:
        """The arms, uniform and oracle among them, in a fixed order.

        Raises:
            ValueError: there is no such arm.
        """
        names = {UNIFORM, ORACLE, *chosen("arms", self.arms, list(_ARMS))}
        return [arm for arm in _ARMS if arm in names]

    def chosen_in_flight(self) -> tuple[int, ...]:
        """The numbers of episodes in flight.

        Raises:
            ValueError: there is none, one twice, or one below 1.
        """
        given = self.in_flight
        numbers = (given,) if isinstance(given, int) else given
        if not numbers or len(set(numbers)) < len(numbers) or min(numbers) < 1:
            raise ValueError(
                f"in_flight={','.join(map(str, numbers))}: give a number from 1 on, or several "
                "different ones separated by commas"
            )
        return numbers

    def dry_run(self) -> str:
        """How much there is to run."""
        return (
            f"{len(self.chosen_scenarios())} scenarios, {len(self.chosen_arms())} arms, "
            f"{self.seeds} seeds, {', '.join(map(str, self.chosen_in_flight()))} in flight"
        )

    def invoke(self) -> int:
        """Run everything, write tables, plots and results, and print one line of JSON last."""
        console, begun = Console(width=150), time.monotonic()
        self.out.mkdir(parents=True, exist_ok=True)
        results: dict[int, dict[str, dict[str, dict[str, Any]]]] = {}
        for in_flight, name, runs in self._runs(console):
            title, file = name, name
            if len(self.chosen_in_flight()) > 1:
                title, file = f"{name}, {in_flight} in flight", f"{name}_{in_flight}"
            of_arm = results.setdefault(in_flight, {})[name] = report.figures(runs)
            console.print(report.scenario_table(title, runs, of_arm))
            report.plot_curves(title, runs, self.out / f"{file}_curves.png")
            report.plot_shares(title, runs, self.out / f"{file}_spent.png")
            self._write(results, time.monotonic() - begun)
        for in_flight, of_scenario in results.items():
            console.print(report.summary_table(of_scenario, in_flight))
        console.print(
            f"{self.out / 'results.json'} and plots written; {time.monotonic() - begun:.0f} s"
        )
        line = {
            in_flight: {
                name: {arm: {key: of[key] for key in _JSON_KEYS} for arm, of in arms.items()}
                for name, arms in of_scenario.items()
            }
            for in_flight, of_scenario in results.items()
        }
        print(json.dumps(self._by_in_flight(line)))
        return 0

    def _by_in_flight(self, content: dict[int, Any]) -> Any:
        """``content`` as it is written: with one number in flight, what there is for it."""
        return content if len(self.chosen_in_flight()) > 1 else next(iter(content.values()))

    def _runs(self, console: Console) -> Iterator[tuple[int, str, dict[str, list[Run]]]]:
        """By numbers in flight and scenarios, the runs of every arm."""
        scenarios, arms = self.chosen_scenarios(), self.distinct_arms()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        numbers, distinct = self.chosen_in_flight(), list(dict.fromkeys(arms.values()))
        # The oracle's runs are the same with any number in flight.
        total = len(scenarios) * (len(numbers) * (len(distinct) - 1) + 1) * self.seeds
        with (
            workers(self.processes) as pool,
            Progress(*columns, console=console, transient=True) as progress,
        ):
            task = progress.add_task("", total=total)
            oracle: dict[str, list[Run]] = {}
            for in_flight, (name, world) in itertools.product(numbers, scenarios.items()):
                progress.update(task, description=f"{name}, {in_flight} in flight")
                done = {ORACLE: oracle[name]} if name in oracle else {}
                jobs = self._jobs(name, world, in_flight, [a for a in distinct if a not in done])
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
                oracle[name] = done[ORACLE]
                yield in_flight, name, {arm: done[same] for arm, same in arms.items()}

    def _jobs(self, name: str, world: Scenario, in_flight: int, arms: list[str]) -> list[Job]:
        seeds = range(self.seed, self.seed + self.seeds)
        learning = tuple(self.learning.items())
        return [Job(name, world, arm, seed, learning, in_flight) for seed in seeds for arm in arms]

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

    def _write(self, results: dict[int, Any], seconds: float) -> None:
        content = {
            "settings": self.model_dump(
                mode="json",
                include={"scenario", "arms", "seeds", "seed", "in_flight", "params", "learning"},
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
            "results": self._by_in_flight(results),
            "summary": self._by_in_flight(
                {number: report.summary(of_scenario) for number, of_scenario in results.items()}
            ),
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
