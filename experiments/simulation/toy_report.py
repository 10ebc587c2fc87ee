"""What the runs in the toy environment amount to: figures, tables and plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TABLEAU_COLORS
from matplotlib.figure import Figure
from rich.table import Table

from experiments.arms import UNIFORM
from experiments.simulation.toy import Setting
from experiments.simulation.toy_runs import CELLS, SPAN, Run
from experiments.statistics import Interval, estimate, interquartile_mean

Runs = Mapping[str, list[Run]]
"""Arm → its runs, in the order of the seeds."""

_COLOURS = list(TABLEAU_COLORS.values())


def figures(runs: Runs) -> dict[str, dict[str, Any]]:
    """Arm → its figures in one setting: ``mastered`` (percent of the cells, at the end) with
    ``ci_low`` and ``ci_high``, ``auc``, the median of ``seconds_per_episode``, and ``"details"``.
    """
    result: dict[str, dict[str, Any]] = {}
    for arm, of_arm in runs.items():
        final = [run.final for run in of_arm]
        mastered, auc = estimate(final), estimate([run.area for run in of_arm])
        seconds = float(np.median([run.seconds_per_episode for run in of_arm]))
        result[arm] = {
            "mastered": round(mastered.value, 2),
            "ci_low": round(mastered.low, 2),
            "ci_high": round(mastered.high, 2),
            "auc": round(auc.value, 2),
            "seconds_per_episode": float(f"{seconds:.3g}"),
            "details": {
                "auc": [round(end, 2) for end in (auc.value, auc.low, auc.high)],
                "mastered_by_seed": [round(value, 2) for value in final],
            },
        }
    return result


def setting_table(name: str, setting: Setting, seeds: int, of_arm: Mapping[str, Any]) -> Table:
    """One setting: a row per arm, the best first."""
    table = Table(
        title=f"{name}: {setting.dimensions} dimensions of {setting.side} cells, "
        f"{setting.irrelevant} irrelevant; {setting.episodes:,} episodes, {seeds} seeds",
        caption="Percent of the cells: interquartile mean [95 % bootstrap interval]. Time: of the "
        "arm, without the environment.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("arm")
    for heading in ("% mastered", "area under curve", "µs an episode"):
        table.add_column(heading, justify="right")
    for arm, values in sorted(of_arm.items(), key=lambda item: -item[1]["mastered"]):
        table.add_row(
            arm,
            str(Interval(values["mastered"], values["ci_low"], values["ci_high"])),
            str(Interval(*values["details"]["auc"])),
            f"{1e6 * values['seconds_per_episode']:,.0f}",
        )
    return table


def plot_curves(name: str, runs: Runs, path: Path) -> None:
    """Percent mastered over the episodes: interquartile mean, and the band between the quartiles of
    the seeds. The module's arms are the thick lines."""
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)  # without pyplot: no global state, no window system
    axes = figure.subplots()
    axes.set_prop_cycle(color=_COLOURS * 2, ls=["-"] * len(_COLOURS) + ["--"] * len(_COLOURS))
    for arm, of_arm in runs.items():
        curves = np.array([run.mastered for run in of_arm])
        style: dict[str, Any] = {"color": "black", "ls": "--"} if arm == UNIFORM else {}
        if arm.split("_")[0] in (SPAN, CELLS):
            style = {"lw": 2.5}
        episodes = of_arm[0].episodes
        (line,) = axes.plot(episodes, interquartile_mean(curves, axis=0), label=arm, **style)
        low, high = np.quantile(curves, [0.25, 0.75], axis=0)
        axes.fill_between(episodes, low, high, color=line.get_color(), alpha=0.15, lw=0)
    axes.set(title=name, xlabel="episodes", ylabel="% of the cells mastered", ylim=(0, 102))
    axes.margins(x=0.01)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
