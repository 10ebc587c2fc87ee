"""What the curriculum costs, measured beside a yardstick: ``uv run tools/run.py
benchmarks.curriculum``.

A time alone says as much about the machine as about the code. So every time is taken together with
a yardstick that the same process runs in turn with it (A B A B ...), and what is reported is the
median, over the turns, of the ratio within a turn: other programs on the machine slow both down
alike.
"""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from metta.cogworks.curriculum import (
    BucketedTaskGenerator,
    Curriculum,
    CurriculumConfig,
    CurriculumEnv,
    LearningProgressConfig,
    TableBackend,
    lag_bound,
)
from metta.tools.command import CommandTool

AGENTS, EPISODE_STEPS = 4, 50
LARGE = 1000  # the large pool holds this many times the tasks of the small one


@dataclass(frozen=True)
class Figure:
    """A key of the JSON line, what it means, and the bar it is measured against ("at most" unless
    ``at_least``)."""

    key: str
    meaning: str
    bar: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.bar if self.at_least else value <= self.bar


FIGURES = (
    Figure(
        "episode_vs_numpy_choice_1k",
        "get_task + update_task_performance ÷ numpy choice(1000, p=p), medians",
        1.0,
    ),
    Figure("episode_1m_vs_1k", "the same at 1,000,000 tasks ÷ at 1,000, medians", 2.0),
    Figure("episode_p99_vs_p50", "99th percentile of the same ÷ its median, 1,000 tasks", 10.0),
    Figure("create_1k_ms", "creating a curriculum of 1,000 tasks", 50.0),
    Figure("create_1m_ms", "creating a curriculum of 1,000,000 tasks", 2000.0),
    Figure("bytes_per_task", "shared memory per task, 1,000 tasks", 512.0),
    Figure(
        "eight_vs_two_processes",
        "episodes a second of 8 processes on one pool ÷ of 2",
        0.8,
        at_least=True,
    ),
    Figure("stats_1k_ms", "stats() after a completion, 1,000 tasks", 2.0),
    Figure(
        "throughput_kept",
        "agent steps a second with the curriculum ÷ with a fixed configuration",
        0.97,
        at_least=True,
    ),
    Figure("build_vs_deep_copy", "building a task's arena, four buckets ÷ a deep copy of it", 0.1),
)


def curriculum(tasks: int = 1000, processes: int = 8, out: Path | None = None) -> CommandTool:
    """What the curriculum costs, each time beside a yardstick; about a minute. The last line is one
    JSON object.

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


def run(tasks: int, processes: int, out: Path | None) -> None:
    """Measure everything, print the table and, last, the JSON object."""
    console = Console()
    result: dict[str, Any] = {}
    absolute: dict[str, float] = {}
    parts: tuple[tuple[str, Callable[[], tuple[dict[str, float], dict[str, float]]]], ...] = (
        ("an episode's cost", lambda: episode_cost(tasks)),
        ("creation, memory, statistics", lambda: creation_cost(tasks)),
        (f"2 and {processes} processes", lambda: process_scaling(tasks, processes)),
        ("steps per second of mettagrid", lambda: throughput(tasks)),
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
    console.print(figures_table(result))
    for key, value in result["absolute"].items():
        console.print(f"  {key} = {value:g}", highlight=False)
    line = json.dumps(result)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(line + "\n", encoding="utf-8")
    print(line)


def figures_table(result: dict[str, Any]) -> Table:
    """One row per figure: what it is, its value, its bar."""
    table = Table(title=f"curriculum, {result['tasks']:,} tasks, {result['cores']} cores")
    for header, justify in (
        ("figure", "left"),
        ("meaning", "left"),
        ("value", "right"),
        ("bar", "right"),
        ("", "left"),
    ):
        table.add_column(header, justify=justify)  # type: ignore[arg-type]
    for figure in FIGURES:
        value = result[figure.key]
        bar = f"{'≥' if figure.at_least else '≤'} {figure.bar:g}"
        table.add_row(
            figure.key, figure.meaning, f"{value:.3g}", bar, "ok" if figure.met(value) else "missed"
        )
    return table


def versions() -> dict[str, str]:
    """Versions of what was measured and of what it was measured against."""
    packages = ("metta-curriculum", "numpy", "pydantic", "mettagrid", "pufferlib-core")
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in packages
    }


# --------------------------------------------------------------------------------------------------
# Pools


def room_generator() -> BucketedTaskGenerator.Config:
    """Empty rooms of nine shapes, 4 agents, 50 steps."""
    from mettagrid.config.mettagrid_config import MettaGridConfig

    room = MettaGridConfig.EmptyRoom(num_agents=AGENTS)
    room.game.max_steps = EPISODE_STEPS
    config = BucketedTaskGenerator.Config.from_mg(room)
    return config.add_bucket("game.map_builder.width", [8, 10, 12]).add_bucket(
        "game.map_builder.height", [8, 10, 12]
    )


def pool_config(tasks: int) -> CurriculumConfig:
    """The default algorithm on a shared pool of ``tasks`` tasks."""
    return CurriculumConfig(
        task_generator=room_generator(),
        max_task_id=max(1_000_000, 2 * tasks),
        algorithm_config=LearningProgressConfig(num_active_tasks=tasks),
    )


@contextmanager
def pool(tasks: int) -> Iterator[Curriculum]:
    """A new shared curriculum, closed in the end."""
    with pool_config(tasks).make() as opened:
        yield opened


def play(curriculum: Curriculum, scores: list[float]) -> np.ndarray:
    """One episode of no length per score. Returns the nanoseconds each took, shape
    ``(len(scores),)``."""
    clock = time.perf_counter_ns
    taken = np.empty(len(scores))
    for i, score in enumerate(scores):
        begin = clock()
        task = curriculum.get_task()
        curriculum.update_task_performance(task.task_id, score)
        taken[i] = clock() - begin
    return taken


def timed(function: Callable[[], Any], repetitions: int) -> np.ndarray:
    """Nanoseconds of every call, shape ``(repetitions,)``."""
    clock = time.perf_counter_ns
    taken = np.empty(repetitions)
    for i in range(repetitions):
        begin = clock()
        function()
        taken[i] = clock() - begin
    return taken


def noisy_scores(n: int, seed: int = 0) -> list[float]:
    """``n`` scores, uniform in [0, 1]: tasks that pay at random keep evictions busy."""
    return np.random.default_rng(seed).random(n).tolist()


# --------------------------------------------------------------------------------------------------
# Measurements: each returns figures, and absolute times with their unit in the name


def episode_cost(tasks: int) -> tuple[dict[str, float], dict[str, float]]:
    """``get_task`` and ``update_task_performance`` against numpy's ``choice``, and at a thousand
    times the tasks.

    The amortised times are means, refreshes of the distribution included.
    """
    large = LARGE * tasks
    probability = np.random.default_rng(1).dirichlet(np.ones(tasks))
    rng = np.random.default_rng(2)
    small_ratio, tail, absolute = [], [], []
    with pool(tasks) as small, pool(large) as big:
        play(small, noisy_scores(20 * tasks))  # every task known, evictions under way
        for turn in range(21):
            episode = play(small, noisy_scores(2000, turn))
            choice = timed(lambda: rng.choice(tasks, p=probability), 500)
            small_ratio.append(
                (np.median(episode) / np.median(choice), np.mean(episode) / np.mean(choice))
            )
            tail.append(np.percentile(episode, 99) / np.median(episode))
            absolute.append(
                (
                    np.median(episode),
                    np.mean(episode),
                    np.percentile(episode, 99),
                    np.median(choice),
                )
            )
        period = lag_bound(large)  # so that every turn contains one refresh
        play(big, noisy_scores(period))
        large_ratio, large_absolute = [], []
        for turn in range(5):
            at_large, at_small = (
                play(big, noisy_scores(period, turn)),
                play(small, noisy_scores(period, turn)),
            )
            large_ratio.append(
                (np.median(at_large) / np.median(at_small), np.mean(at_large) / np.mean(at_small))
            )
            large_absolute.append((np.median(at_large), np.mean(at_large)))
    ratio, ratio_large = np.median(small_ratio, axis=0), np.median(large_ratio, axis=0)
    times, times_large = np.median(absolute, axis=0) / 1e3, np.median(large_absolute, axis=0) / 1e3
    return (
        {
            "episode_vs_numpy_choice_1k": float(ratio[0]),
            "episode_1m_vs_1k": float(ratio_large[0]),
            "episode_p99_vs_p50": float(np.median(tail)),
        },
        {
            "episode_1k_us": times[0],
            "episode_1k_amortised_us": times[1],
            "episode_1k_p99_us": times[2],
            "numpy_choice_us": times[3],
            "episode_1m_us": times_large[0],
            "episode_1m_amortised_us": times_large[1],
            "amortised_episode_vs_numpy_choice_1k": float(ratio[1]),
            "amortised_episode_1m_vs_1k": float(ratio_large[1]),
        },
    )


def creation_cost(tasks: int) -> tuple[dict[str, float], dict[str, float]]:
    """Creating a shared curriculum, its memory per task, and ``stats()`` right after a
    completion."""

    def create(n: int) -> float:
        config = pool_config(n)
        gc.collect()  # what earlier curricula left is not this one's cost
        begin = time.perf_counter()
        opened = config.make()
        taken = time.perf_counter() - begin
        opened.close()
        return 1e3 * taken

    created = [(create(tasks), create(LARGE * tasks)) for _ in range(7)]
    with pool(tasks) as small:
        play(small, noisy_scores(20 * tasks))
        stats = []
        for score in noisy_scores(100):
            play(small, [score])
            stats.append(timed(small.stats, 1)[0])
        memory = small.algorithm.task_tracker.backend
        per_task = memory.nbytes / tasks if isinstance(memory, TableBackend) else float("nan")
    small_ms, large_ms = np.median(created, axis=0)
    return (
        {
            "create_1k_ms": float(small_ms),
            "create_1m_ms": float(large_ms),
            "bytes_per_task": per_task,
            "stats_1k_ms": float(np.median(stats)) / 1e6,
        },
        {},
    )


def process_scaling(tasks: int, processes: int) -> tuple[dict[str, float], dict[str, float]]:
    """Episodes a second of ``processes`` processes on one pool, and of two of them."""
    context = multiprocessing.get_context("spawn")
    seconds, rates = 0.5, []
    with pool(tasks) as shared:
        play(shared, noisy_scores(20 * tasks))
        ours, workers = [], []
        for _ in range(processes):
            here, there = context.Pipe()
            worker = context.Process(target=work, args=(there, shared), daemon=True)
            worker.start()
            there.close()
            ours.append(here)
            workers.append(worker)
        for end in ours:
            end.recv()  # ready
        for _ in range(7):
            turn = []
            for count in (2, processes):
                begin = time.monotonic() + 0.05
                for end in ours[:count]:
                    end.send((begin, begin + seconds))
                turn.append(sum(end.recv() for end in ours[:count]) / seconds)
            rates.append(turn)
        for end, worker in zip(ours, workers, strict=True):
            end.send(None)
            worker.join()
    two, many = np.median(rates, axis=0)
    ratio = float(np.median([turn[1] / turn[0] for turn in rates]))
    return (
        {"eight_vs_two_processes": ratio},
        {
            "two_processes_episodes_per_second": float(two),
            "eight_processes_episodes_per_second": float(many),
        },
    )


def work(end: Connection, shared: Curriculum) -> None:
    """A worker process: episodes from one time to another, as often as it is told; replies how many
    it did."""
    scores = noisy_scores(64, os.getpid())
    play(shared, scores)
    end.send(0)
    while (period := end.recv()) is not None:
        begin, stop = period
        done = 0
        time.sleep(max(0.0, begin - time.monotonic()))
        while time.monotonic() < stop:
            play(shared, scores)
            done += len(scores)
        end.send(done)


def throughput(tasks: int) -> tuple[dict[str, float], dict[str, float]]:
    """Agent steps a second of mettagrid with a curriculum, and with a fixed configuration from the
    same buckets.

    Both environments live in this process and take turns of five episodes. The fixed configuration
    changes from turn to turn, so that the shape of one room does not decide, and both environments
    are made anew five times, so that where they lie in memory does not. A turn's ratio has a
    standard deviation of 0.025, because its rooms differ; the median of 500 turns has a standard
    error of 1.25 · 0.025 / √500 = 0.0014.
    """
    from mettagrid.envs.mettagrid_puffer_env import MettaGridPufferEnv
    from mettagrid.simulator import Simulator

    episodes, rates = 5, []
    with pool(tasks) as shared:
        play(shared, noisy_scores(20 * tasks))

        def new_env() -> MettaGridPufferEnv:
            return MettaGridPufferEnv(Simulator(), shared.get_task().get_env_cfg(), seed=0)

        def rate(env: Any) -> float:
            begin = time.perf_counter()
            for _ in range(episodes):
                for action in actions:
                    env.step(action)
            return episodes * EPISODE_STEPS * AGENTS / (time.perf_counter() - begin)

        for _ in range(5):
            fixed, guided = new_env(), CurriculumEnv(new_env(), shared)
            actions = np.random.default_rng(0).integers(
                0, fixed.single_action_space.n, (EPISODE_STEPS, AGENTS), np.int32
            )
            fixed.reset()
            guided.reset()
            for _ in range(10):  # warm: every room has been played
                rate(guided)
            for turn in range(100):
                fixed.set_mg_config(shared.get_task().get_env_cfg())
                order = (guided, fixed) if turn % 2 else (fixed, guided)
                turn_rates = {env is guided: rate(env) for env in order}
                rates.append((turn_rates[True], turn_rates[False]))
            guided.close()
            fixed.close()
    with_curriculum, without = np.median(rates, axis=0)
    added = np.median([1 / a - 1 / b for a, b in rates]) * EPISODE_STEPS * AGENTS
    return (
        {"throughput_kept": float(np.median([a / b for a, b in rates]))},
        {
            "agent_steps_per_second": float(with_curriculum),
            "agent_steps_per_second_fixed": float(without),
            "added_per_episode_us": 1e6 * float(added),
        },
    )


def build_cost() -> tuple[dict[str, float], dict[str, float]]:
    """Building the configuration of one task of the arena with four buckets, and one deep copy of
    the arena."""
    from mettagrid.builder.envs import make_arena

    arena = make_arena(num_agents=24)
    config = BucketedTaskGenerator.Config.from_mg(arena)
    for path, values in (
        ("game.max_steps", [500, 1000]),
        ("game.map_builder.width", [40, 50, 60]),
        ("game.map_builder.height", [40, 50, 60]),
        ("game.map_builder.border_width", [4, 6]),
    ):
        config.add_bucket(path, values)
    generator = config.create()
    generator.get_task(0)
    ids = iter(range(1, 1_000_000))
    turns = []
    for _ in range(15):
        build = np.median(timed(lambda: generator.get_task(next(ids)), 50))
        copy = np.median(timed(lambda: arena.model_copy(deep=True), 5))
        turns.append((build, copy))
    build_us, copy_us = np.median(turns, axis=0) / 1e3
    return (
        {"build_vs_deep_copy": float(np.median([build / copy for build, copy in turns]))},
        {"build_us": float(build_us), "deep_copy_us": float(copy_us)},
    )
