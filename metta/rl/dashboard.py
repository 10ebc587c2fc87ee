"""What a person sees of a run: a live dashboard on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from metta.rl.config import TrainingRun
from metta.rl.metrics import first_and_last, series, sparkline

_REWARD = "environment/reward"


class Dashboard(Protocol):
    """Where a run tells a person how it fares."""

    def show(self, history: list[dict[str, Any]]) -> None:
        """Show the newest epoch, the last of ``history``."""

    def say(self, message: str) -> None:
        """Print a line that stays."""

    def close(self) -> None:
        """Show no more; may be called twice."""


def make_dashboard(run: str, total_steps: int) -> Dashboard:
    """Live if standard output is a terminal, lines otherwise."""
    return LiveDashboard(run, total_steps) if sys.stdout.isatty() else LineDashboard(total_steps)


class LineDashboard:
    """One line per epoch."""

    def __init__(self, total_steps: int) -> None:
        self._total = total_steps

    def show(self, history: list[dict[str, Any]]) -> None:
        """See Dashboard."""
        print(epoch_line(history[-1], self._total), flush=True)

    def say(self, message: str) -> None:
        """See Dashboard."""
        print(message, flush=True)

    def close(self) -> None:
        """Nothing to close."""


class LiveDashboard:
    """A table that is redrawn in place."""

    def __init__(self, run: str, total_steps: int, console: Console | None = None) -> None:
        self._run = run
        self._total = total_steps
        self._live = Live(console=console or Console(), auto_refresh=False)
        self._live.start()

    def show(self, history: list[dict[str, Any]]) -> None:
        """See Dashboard."""
        self._live.update(self.render(history), refresh=True)

    def say(self, message: str) -> None:
        """See Dashboard."""
        self._live.console.print(message, highlight=False)

    def close(self) -> None:
        """See Dashboard."""
        self._live.stop()

    def render(self, history: list[dict[str, Any]]) -> Panel:
        """What the newest epoch looks like."""
        latest = history[-1]
        steps, speed = latest["agent_steps"], latest["SPS"]
        left = max(0, self._total - steps) / speed if speed else 0.0
        rewards = series(history, _REWARD)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            "steps", f"{steps:,} of {self._total:,}", "speed", f"{speed:,.0f} agent steps/s"
        )
        head.add_row("epoch", f"{latest['epoch']:,}", "left", _duration(left))
        head.add_row(
            "reward",
            f"{rewards[-1]:.4f}" if rewards else "no episode ended yet",
            "",
            sparkline(rewards),
        )
        columns = Table.grid(expand=True, padding=(0, 2))
        columns.add_row(
            _section("environment", latest, ""),
            _section("losses", latest, ""),
            _section("curriculum", latest, "num_", "algorithm/lp/"),
        )
        return Panel(
            Group(head, ProgressBar(self._total, min(steps, self._total)), columns),
            title=self._run,
            box=box.ROUNDED,
        )


def epoch_line(epoch: Mapping[str, Any], total_steps: int) -> str:
    """``epoch 3  18,432/20,000 steps (92%)  9,876 steps/s  reward 0.12  tasks: 64 completed, 20
    created, 0 evicted``"""
    steps = epoch["agent_steps"]
    parts = [
        f"epoch {epoch['epoch']}",
        f"{steps:,}/{total_steps:,} steps ({min(1.0, steps / total_steps):.0%})",
        f"{epoch['SPS']:,.0f} steps/s",
    ]
    if _REWARD in epoch:
        parts.append(f"reward {epoch[_REWARD]:.4f}")
    if "curriculum/num_completed" in epoch:
        parts.append("tasks: " + counts(epoch, "curriculum/num_"))
    progress = epoch.get("curriculum/algorithm/lp/mean_learning_progress")
    if progress is not None:
        parts.append(f"learning progress {progress:.4g}")
    return "  ".join(parts)


def counts(stats: Mapping[str, Any], prefix: str) -> str:
    """``64 completed, 20 created, 0 evicted``, and how many were invalid if any was."""
    names = ["completed", "created", "evicted"]
    if stats.get(f"{prefix}invalid"):
        names.append("invalid")
    return ", ".join(f"{stats.get(prefix + name, 0):,.0f} {name}" for name in names)


def print_summary(
    run: TrainingRun,
    history: list[dict[str, Any]],
    stats: Mapping[str, Any],
    steps: int,
    seconds: float,
) -> None:
    """Steps, reward, tasks and place of the run."""
    rewards = series(history, "environment/reward")
    ends = first_and_last(rewards)
    lines = [
        f"run      {run.run}",
        f"steps    {steps:,} of {run.trainer.total_timesteps:,} agent steps, this session "
        f"{seconds:,.0f} s",
        f"reward   {ends[0]:.4f} at first, {ends[1]:.4f} at last  {sparkline(rewards)}"
        if ends
        else "reward   no episode ended: train longer, or shorten the episodes "
        "(game.max_steps of the tasks)",
        "tasks    " + counts(stats, "num_"),
        f"files    {run.run_dir}  (metrics.jsonl, config.yaml, checkpoints/)",
    ]
    if rewards and not any(rewards):
        lines.insert(
            3,
            "         no episode was rewarded, so there was nothing to learn: check the rewards of "
            "the tasks",
        )
    print("\n" + "\n".join(lines), flush=True)


def _section(title: str, epoch: Mapping[str, Any], *beginnings: str, most: int = 16) -> Table:
    """The metrics ``title/...`` that begin as given, by the last part of their names."""
    table = Table(title=title, box=None, show_header=False, title_justify="left")
    for key, value in epoch.items():
        name = key.removeprefix(title + "/")
        if name != key and name.startswith(beginnings) and table.row_count < most:
            table.add_row(
                name.rpartition("/")[2], f"{value:.4g}" if isinstance(value, (int, float)) else "-"
            )
    return table


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
