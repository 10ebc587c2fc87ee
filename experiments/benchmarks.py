"""What the curriculum costs, measured beside a yardstick: ``uv run tools/run.py
benchmarks.curriculum``; of one over a list of items, ``benchmarks.items``.

A time alone says as much about the machine as about the code. So every time is taken together with
a yardstick that the same process runs in turn with it (A B A B ...), and what is reported is the
median, over the turns, of the ratio within a turn: other programs on the machine slow both down
alike.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.costs.episodes import creation_cost, episode_cost, first_draw_cost
from experiments.costs.holds import hold_cost
from experiments.costs.items import BATCH, batch_cost, opening_cost
from experiments.costs.pools import Costs
from experiments.costs.processes import process_scaling
from experiments.costs.training import build_cost, throughput
from metta.tools.command import CommandTool


@dataclass(frozen=True)
class Figure:
    """A key of the JSON line, what it means, and the bar it is measured against ("at most" unless
    ``at_least``)."""

    key: str
    meaning: str
    bar: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Whether a value keeps the bar."""
        return value >= self.bar if self.at_least else value <= self.bar


FIGURES = (
    Figure(
        "episode_vs_numpy_choice_1k",
        "get_task + update_task_performance ÷ numpy choice(1000, p=p), medians",
        1.0,
    ),
    Figure("mean_episode_vs_numpy_choice_1k", "the same, means", 1.28),
    Figure("episode_1m_vs_1k", "an episode at 1,000,000 tasks ÷ at 1,000, medians", 2.0),
    Figure("mean_episode_1m_vs_1k", "the same, means", 1.2),
    Figure("episode_p99_vs_p50", "99th percentile ÷ median, the worst of 16, 1k, 1m tasks", 5.0),
    Figure("first_draw_vs_other", "a task's first episode ÷ another", 1.3),
    Figure("longest_hold_1m_ms", "longest hold of the lock at 1,000,000 tasks", 0.5),
    Figure("create_1k_ms", "creating a curriculum of 1,000 tasks", 50.0),
    Figure("create_1m_ms", "creating a curriculum of 1,000,000 tasks", 2000.0),
    Figure("bytes_per_task", "shared memory per task, 1,000 tasks", 512.0),
    Figure(
        "eight_vs_two_processes",
        "episodes a second of 8 processes on one pool ÷ of 2",
        0.9,
        at_least=True,
    ),
    Figure("stats_1k_ms", "stats() after a completion, 1,000 tasks", 2.0),
    Figure(
        "throughput_kept",
        "agent steps a second with the curriculum ÷ with a fixed configuration",
        0.98,
        at_least=True,
    ),
    Figure("build_vs_deep_copy", "building a task's arena, four buckets ÷ a deep copy of it", 0.1),
)


ITEM_FIGURES = (
    Figure("open_items_s", "opening a curriculum over the items", 1.0),
    Figure("open_items_mib", "memory that it takes, the items apart", 400.0),
    Figure("open_all_items_s", "the same with all items in the pool", 2.0),
    Figure("open_all_items_mib", "memory that it takes", 400.0),
    Figure("batch_vs_single", "64 distinct draws, 512 scores: at once ÷ one by one", 1.1),
)


def curriculum(tasks: int = 1000, processes: int = 8, out: Path | None = None) -> CommandTool:
    """What the curriculum costs, each time beside a yardstick; about two minutes. The last line is
    one JSON object.

    Args:
        tasks: size of the small pool ("1k" in the keys); the large one ("1m") has a thousand times
            as many.
        processes: how many processes are compared with two ("eight" in the keys).
        out: file to write the JSON object to as well.
    """
    for name, value in (("tasks", tasks), ("processes", processes)):
        if value < 2:
            raise ValueError(f"{name}={value} is not allowed: give at least 2")
    return CommandTool(function=functools.partial(run, tasks, processes, out))


def wrappers(envs: int = 8, turns: int = 101, out: Path | None = None) -> CommandTool:
    """Steps a second that CartPole keeps with the curriculum's wrapper, in Gymnasium's vector
    environment; about half a minute. The last line is one JSON object.

    Args:
        envs: environments in the vector environment.
        turns: measurements of each; the median counts.
        out: file to write the JSON object to as well.
    """
    for name, value in (("envs", envs), ("turns", turns)):
        if value < 1:
            raise ValueError(f"{name}={value} is not allowed: give at least 1")
    return CommandTool(function=functools.partial(run_wrappers, envs, turns, out))


def run_wrappers(envs: int, turns: int, out: Path | None) -> None:
    """Measure, and print the JSON object."""
    from experiments.costs.wrappers import steps_kept

    figures, times = steps_kept(envs, turns)
    result = {key: round(value, 3) for key, value in (figures | times).items()}
    line = json.dumps(result | {"envs": envs, "turns": turns, "versions": versions()})
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(line + "\n", encoding="utf-8")
    print(line)


def run(tasks: int, processes: int, out: Path | None) -> None:
    """Measure everything, print the table and, last, the JSON object."""
    console = Console()
    result: dict[str, Any] = {}
    absolute: dict[str, float] = {}
    parts: tuple[tuple[str, Callable[[], Costs]], ...] = (
        ("an episode's cost", lambda: episode_cost(tasks)),
        ("first draws", lambda: first_draw_cost(tasks)),
        ("holds of the lock", lambda: hold_cost(tasks)),
        ("creation, memory, statistics", lambda: creation_cost(tasks)),
        (f"2 and {processes} processes", lambda: process_scaling(tasks, processes)),
        ("steps per second of mettagrid", throughput),
        ("building a task", build_cost),
    )
    for name, measure in parts:
        with console.status(f"measuring {name} ..."):
            figures, times = measure()
        result |= figures
        absolute |= times
    result = {figure.key: round(result[figure.key], 4) for figure in FIGURES} | {
        "met": all(figure.met(result[figure.key]) for figure in FIGURES),
        "tasks": tasks,
        "processes": processes,
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "absolute": {key: round(value, 3) for key, value in absolute.items()},
        "versions": versions(),
    }
    title = f"curriculum, {result['tasks']:,} tasks, {result['cores']} cores"
    console.print(figures_table(result, FIGURES, title))
    for key, value in result["absolute"].items():
        console.print(f"  {key} = {value:g}", highlight=False)
    write(result, out)


def items(count: int = 1_000_000, out: Path | None = None) -> CommandTool:
    """What a curriculum over a list of items takes to open, in time and memory, and what its
    batches take; half a minute. The last line is one JSON object.

    Args:
        count: how many items there are.
        out: file to write the JSON object to as well.
    """
    if count < BATCH:
        raise ValueError(f"count={count} is not allowed: give at least {BATCH}")
    return CommandTool(function=functools.partial(run_items, count, out))


def run_items(count: int, out: Path | None) -> None:
    """Measure, print the table and, last, the JSON object."""
    console = Console()
    opening, batches = opening_cost(count), batch_cost(count)
    figures = opening.figures | batches.figures
    result: dict[str, Any] = {
        **{figure.key: round(figures[figure.key], 4) for figure in ITEM_FIGURES},
        "met": all(figure.met(figures[figure.key]) for figure in ITEM_FIGURES),
        "items": count,
        "absolute": {key: round(value, 3) for key, value in batches.times.items()},
        "versions": versions(),
    }
    console.print(figures_table(result, ITEM_FIGURES, f"curriculum over {count:,} items"))
    for key, value in result["absolute"].items():
        console.print(f"  {key} = {value:g}", highlight=False)
    write(result, out)


def write(result: dict[str, Any], out: Path | None) -> None:
    """Print the result as one line of JSON, and write it to the file if there is one."""
    line = json.dumps(result)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(line + "\n", encoding="utf-8")
    print(line)


def figures_table(result: dict[str, Any], figures: Sequence[Figure], title: str) -> Table:
    """One row per figure: what it is, its value, its bar."""
    table = Table(title=title)
    for header, justify in (
        ("figure", "left"),
        ("meaning", "left"),
        ("value", "right"),
        ("bar", "right"),
        ("", "left"),
    ):
        table.add_column(header, justify=justify)  # type: ignore[arg-type]
    for figure in figures:
        value = result[figure.key]
        bar = f"{'≥' if figure.at_least else '≤'} {figure.bar:g}"
        table.add_row(
            figure.key, figure.meaning, f"{value:.3g}", bar, "ok" if figure.met(value) else "missed"
        )
    return table


def versions() -> dict[str, str]:
    """Versions of what was measured and of what it was measured against."""
    packages = ("metta-curriculum", "numpy", "pydantic", "mettagrid", "pufferlib-core", "gymnasium")
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in packages
    }
