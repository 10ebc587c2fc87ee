"""Does the curriculum keep up with the field's own teachers? The toy environment of Portelas et al.
2019: ``uv run tools/run.py toy_environment.compare``."""

from __future__ import annotations

import importlib.metadata
import json
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator
from rich.console import Console

from experiments.arms import ARMS as POOL_ARMS
from experiments.choices import check_fields, chosen
from experiments.simulated_learner import workers
from experiments.simulation import toy_report
from experiments.simulation.toy import SETTINGS, Setting
from experiments.simulation.toy_runs import ARMS, SPAN, Job, Run, run
from metta.cogworks.curriculum import LearningProgressConfig
from metta.tools.base import Tool

DEFAULT_POOL = "default"
_JSON_KEYS = ("mastered", "ci_low", "ci_high", "auc", "seconds_per_episode")


def compare() -> CompareToyTool:
    """Compare the curriculum with the field's teachers where learning one task unlocks others.

    Prints a table per setting, writes results.json and plots to ``out``, and ends with one line of
    JSON: setting → arm → {mastered, ci_low, ci_high, auc, seconds_per_episode}.

    Any parameter of a setting is set by ``params.NAME=VALUE`` (params.episodes=5000), any option of
    the arms span and cells by ``learning.NAME=VALUE`` (learning.rand_task_rate=0.2).
    """
    return CompareToyTool()


class CompareToyTool(Tool):
    """The command's settings; ``seed`` is the first seed."""

    setting: str = Field(
        default="all", description=f"all, or some of {', '.join(SETTINGS)}, separated by commas"
    )
    arms: str = Field(default="all", description=f"all, or some of {', '.join(ARMS)}")
    pool: str = Field(
        default=f"{DEFAULT_POOL},256,100",
        description="tasks in the pool of the arm span: numbers separated by commas, each an arm "
        f"of its own; {DEFAULT_POOL}: what a user gets who chooses nothing",
    )
    seeds: int = Field(default=20, ge=1, description="how many; the same for every arm")
    in_flight: int = Field(
        default=1, ge=1, le=100_000, description="episodes begun before the first one is reported"
    )
    out: Path = Field(
        default=Path("train_dir/toy_environment"),
        description="folder for results.json and the plots",
    )
    processes: int = Field(default=2, ge=1, description="runs at a time")
    params: dict[str, Any] = Field(
        default={}, description="parameters of the settings that differ from theirs"
    )
    learning: dict[str, Any] = Field(
        default={}, description="options of the arms span and cells that differ from theirs"
    )

    @field_validator("pool", mode="before")
    @classmethod
    def _is_text(cls, pool: Any) -> Any:
        # pool=256 comes as a number.
        return str(pool) if isinstance(pool, int) and not isinstance(pool, bool) else pool

    @model_validator(mode="after")
    def _check(self) -> CompareToyTool:
        self.chosen_settings()
        chosen("arms", self.arms, list(ARMS))
        check_fields("learning.", self.learning, LearningProgressConfig)
        for refused in ("num_active_tasks", "use_shared_memory"):
            if refused in self.learning:
                raise ValueError(f"learning.{refused} is this command's own; pool= sets the pool")
        POOL_ARMS["default"](**self.learning)
        self.chosen_pools()
        return self

    def chosen_settings(self) -> dict[str, Setting]:
        """The settings, ``params`` applied.

        Raises:
            ValueError: there is no such setting or parameter, or its value is out of range.
        """
        check_fields("params.", self.params, Setting)
        return {
            name: Setting.model_validate({**dict(SETTINGS[name]), **self.params})
            for name in chosen("setting", self.setting, list(SETTINGS))
        }

    def chosen_pools(self) -> list[int | None]:
        """Sizes of the pool of the arm span; None: the default.

        Raises:
            ValueError: one is neither ``default`` nor a number that a pool can have.
        """
        pools: list[int | None] = []
        for text in dict.fromkeys(part.strip() for part in self.pool.split(",")):
            if text == DEFAULT_POOL:
                pools.append(None)
            elif text.isdecimal() and int(text) >= 2:
                pools.append(int(text))
            else:
                raise ValueError(
                    f"pool={self.pool}: {text!r} is no size of a pool. Use {DEFAULT_POOL}, whole "
                    "numbers from 2, or several of them separated by commas"
                )
        return pools

    def jobs(self, setting: Setting) -> dict[str, list[Job]]:
        """Arm → its runs, one per seed. The arm span stands once for every pool, as
        ``span_256``."""
        pools = {
            f"{SPAN}_{DEFAULT_POOL if pool is None else pool}": pool for pool in self.chosen_pools()
        }
        names = chosen("arms", self.arms, list(ARMS))
        arms: list[tuple[str, str, int | None]] = []
        for arm in (arm for arm in ARMS if arm in names):
            arms += [(n, SPAN, p) for n, p in pools.items()] if arm == SPAN else [(arm, arm, None)]
        learning = tuple(self.learning.items())
        return {
            name: [
                Job(setting, arm, seed, pool, self.in_flight, learning)
                for seed in range(self.seed, self.seed + self.seeds)
            ]
            for name, arm, pool in arms
        }

    def dry_run(self) -> str:
        """How much there is to run."""
        settings = self.chosen_settings()
        arms = len(self.jobs(next(iter(settings.values()))))
        return f"{len(settings)} settings, {arms} arms, {self.seeds} seeds"

    def invoke(self) -> int:
        """Run everything, write tables, plots and results, and print one line of JSON last."""
        console, begun = Console(width=110), time.monotonic()
        self.out.mkdir(parents=True, exist_ok=True)
        results: dict[str, dict[str, dict[str, Any]]] = {}
        settings = self.chosen_settings()
        for name, runs in self._runs(settings):
            results[name] = toy_report.figures(runs)
            console.print(toy_report.setting_table(name, settings[name], self.seeds, results[name]))
            toy_report.plot_curves(name, runs, self.out / f"{name}.png")
            self._write(settings, results, time.monotonic() - begun)
        console.print(
            f"{self.out / 'results.json'} and plots written; {time.monotonic() - begun:.0f} s"
        )
        line = {
            name: {arm: {key: of[key] for key in _JSON_KEYS} for arm, of in arms.items()}
            for name, arms in results.items()
        }
        print(json.dumps(line))
        return 0

    def _runs(self, settings: dict[str, Setting]) -> Iterator[tuple[str, dict[str, list[Run]]]]:
        """Setting by setting, the runs of every arm."""
        with workers(self.processes) as pool:
            for name, setting in settings.items():
                jobs = self.jobs(setting)
                futures = {arm: [pool.submit(run, job) for job in jobs[arm]] for arm in jobs}
                try:
                    yield name, {arm: [f.result() for f in of] for arm, of in futures.items()}
                except BrokenProcessPool as error:
                    raise RuntimeError(
                        f"a worker process was killed during {name}: run again, with processes=1 "
                        f"if memory was short. What was finished is in {self.out}; setting= runs "
                        "only some"
                    ) from error

    def _write(self, settings: dict[str, Setting], results: dict[str, Any], seconds: float) -> None:
        fields = {"setting", "arms", "pool", "seeds", "seed", "in_flight", "params", "learning"}
        packages = ("metta-curriculum", "numpy", "scipy", "scikit-learn", "syllabus-rl")
        content = {
            "settings": self.model_dump(mode="json", include=fields),
            "versions": {name: importlib.metadata.version(name) for name in packages},
            "environments": {name: setting.model_dump() for name, setting in settings.items()},
            "seconds": round(seconds, 1),
            "results": results,
        }
        (self.out / "results.json").write_text(
            json.dumps(content, indent=1) + "\n", encoding="utf-8"
        )
