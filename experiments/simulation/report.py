"""What the runs of a comparison amount to: figures, tables and plots."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table
from scipy.stats import rankdata

from experiments.arms import ORACLE, UNIFORM
from experiments.simulation.learner import GROUPS
from experiments.simulation.runs import Run
from experiments.statistics import (
    Interval,
    estimate,
    interquartile_mean,
    paired_difference,
    share_interval,
)

Runs = Mapping[str, list[Run]]
"""Arm → its runs, in the order of the seeds, which is the same for every arm."""

LEAST_GAIN = 0.05
"""Least gain of the oracle over uniform, as a share of what uniform reaches, of which a share says
something: below it, shares are quotients of noise."""

_LINES: dict[str, dict[str, Any]] = {
    ORACLE: {"color": "black", "ls": ":"},
    UNIFORM: {"color": "black", "ls": "--"},
    "default": {"lw": 3},
}
_COLOURS = {
    "learning": "#2a9d4a",
    "mastered": "#4477aa",
    "blocked": "#bbbbbb",
    "unlearnable": "#cc6644",
}


def figures(runs: Runs) -> dict[str, dict[str, Any]]:
    """Arm → its figures in one scenario: those of the JSON line, and under ``"details"`` the
    intervals and shares.

    ``mastered`` is the figure of merit at the budget (a level in percent in worlds that say so) and
    ``auc`` its average over the run. ``delta_vs_uniform`` with ``ci_low`` and ``ci_high`` is the
    paired difference of the former; ``oracle_share`` is (arm − uniform) / (oracle − uniform) of the
    former, ``auc_share`` of the latter, None where the oracle gains less than ``LEAST_GAIN``.
    """
    final = {arm: [run.final for run in of_arm] for arm, of_arm in runs.items()}
    area = {arm: [run.area for run in of_arm] for arm, of_arm in runs.items()}
    result: dict[str, dict[str, Any]] = {}
    for arm, of_arm in runs.items():
        mastered, auc = estimate(final[arm]), estimate(area[arm])
        delta = paired_difference(final[arm], final[UNIFORM])
        share, auc_share = _share(arm, final), _share(arm, area)
        result[arm] = {
            "mastered": round(mastered.value, 3),
            "auc": round(auc.value, 3),
            "delta_vs_uniform": round(delta.value, 3),
            "ci_low": round(delta.low, 3),
            "ci_high": round(delta.high, 3),
            "oracle_share": None if share is None else share[0],
            "auc_share": None if auc_share is None else auc_share[0],
            "details": {
                "mastered": _ends(mastered),
                "auc": _ends(auc),
                "auc_delta_vs_uniform": _ends(paired_difference(area[arm], area[UNIFORM])),
                "oracle_share": share,
                "auc_share": auc_share,
                "spent": dict(
                    zip(
                        GROUPS,
                        np.mean([r.shares for r in of_arm], axis=0).round(4).tolist(),
                        strict=True,
                    )
                ),
                "mastered_by_seed": final[arm],
                "auc_by_seed": area[arm],
            },
        }
    return result


def _share(arm: str, values: Mapping[str, list[float]]) -> list[float] | None:
    least = LEAST_GAIN * abs(float(interquartile_mean(values[UNIFORM])))
    share = share_interval(values[arm], values[UNIFORM], values[ORACLE])
    gain = float(interquartile_mean(values[ORACLE]) - interquartile_mean(values[UNIFORM]))
    return None if math.isnan(share.value) or gain < least else _ends(share)


def _ends(interval: Interval) -> list[float]:
    return [round(interval.value, 3), round(interval.low, 3), round(interval.high, 3)]


def scenario_table(scenario: str, runs: Runs, of_arm: Mapping[str, Mapping[str, Any]]) -> Table:
    """One scenario: a row per arm."""
    first = next(iter(runs.values()))[0]
    table = Table(
        title=f"{scenario}: {first.learnable} skills to master, {first.episodes[-1]:,} episodes, "
        f"{len(runs[UNIFORM])} seeds",
        caption="Interquartile mean [95 % bootstrap interval]; * excludes 0. The last four "
        "columns: shares of the episodes.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("arm")
    merit = "mastered" if first.merit == "mastered" else "level, %"
    for heading in (merit, "area under curve", "− uniform", "oracle share", "auc share"):
        table.add_column(heading, justify="right")
    for group in GROUPS:
        table.add_column(group, justify="right")
    for arm, values in sorted(of_arm.items(), key=lambda item: -item[1]["mastered"]):
        details = values["details"]
        delta = Interval(values["delta_vs_uniform"], values["ci_low"], values["ci_high"])
        mark = " *" if delta.excludes_zero() else "  "
        table.add_row(
            arm,
            str(Interval(*details["mastered"])),
            str(Interval(*details["auc"])),
            "" if arm == UNIFORM else f"{delta}{mark}",
            "" if arm == UNIFORM else _two_digits(values["oracle_share"]),
            "" if arm == UNIFORM else _two_digits(values["auc_share"]),
            *(f"{details['spent'][group]:.2f}" for group in GROUPS),
        )
    return table


def _two_digits(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}"


def summary(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Arm → over the scenarios: ``mean_rank`` (1 is best, the oracle left out, ties share a rank),
    ``mean_oracle_share``, ``mean_auc_share``, and the worst of either: ``worst_oracle_share`` and
    ``worst_auc_share``, each {scenario, share: [value, low, high]} with the share's interval in
    that scenario. None where no scenario has a share."""
    arms = [arm for arm in next(iter(results.values())) if arm != ORACLE]
    mastered = np.array([[of_arm[arm]["mastered"] for arm in arms] for of_arm in results.values()])
    rank = rankdata(-mastered, axis=1).mean(axis=0)
    table: dict[str, dict[str, Any]] = {}
    for i, arm in enumerate(arms):
        table[arm] = {"mean_rank": round(float(rank[i]), 3)}
        for kind in ("oracle_share", "auc_share"):
            shares = {
                name: of_arm[arm]["details"][kind]
                for name, of_arm in results.items()
                if of_arm[arm]["details"][kind] is not None
            }
            worst = min(shares, key=lambda name: shares[name][0], default=None)
            mean = float(np.mean([share[0] for share in shares.values()])) if shares else None
            table[arm][f"mean_{kind}"] = None if mean is None else round(mean, 3)
            table[arm][f"worst_{kind}"] = (
                None if worst is None else {"scenario": worst, "share": shares[worst]}
            )
    return table


def summary_table(results: Mapping[str, Mapping[str, Mapping[str, Any]]], in_flight: int) -> Table:
    """All scenarios: the figure of merit at the budget, then mean rank, mean shares of the oracle's
    gain and the worst ones, a column per arm."""
    of_arm = summary(results)
    arms = sorted(of_arm, key=lambda name: of_arm[name]["mean_rank"])
    table = Table(
        title=f"all scenarios, {in_flight} in flight: at the budget (interquartile mean)",
        title_justify="left",
    )
    table.add_column("scenario")
    for arm in arms:
        table.add_column(arm, justify="right")
    for name, figures_ in results.items():
        table.add_row(name, *(f"{figures_[arm]['mastered']:.1f}" for arm in arms))
    table.add_section()
    for key in ("mean_rank", "mean_oracle_share", "mean_auc_share"):
        heading = key.replace("_", " ")
        table.add_row(heading, *(_two_digits(of_arm[arm][key]) for arm in arms))
    for key in ("worst_oracle_share", "worst_auc_share"):
        table.add_row(key.replace("_", " "), *(_worst(of_arm[arm][key]) for arm in arms))
    return table


def _worst(of: Mapping[str, Any] | None) -> str:
    if of is None:
        return ""
    value, low, high = of["share"]
    return f"{value:.2f} [{low:.2f}, {high:.2f}] {of['scenario']}"


def plot_curves(scenario: str, runs: Runs, path: Path) -> None:
    """The figure of merit over the episodes: interquartile mean, and the band between the quartiles
    of the seeds."""
    figure = _figure(7.5, 4.5)
    axes = figure.subplots()
    for arm, of_arm in runs.items():
        curves = np.array([run.curve for run in of_arm])
        episodes = np.mean([run.episodes for run in of_arm], axis=0)
        style = _LINES.get(arm, {})
        (line,) = axes.plot(episodes, interquartile_mean(curves, axis=0), label=arm, **style)
        low, high = np.quantile(curves, [0.25, 0.75], axis=0)
        axes.fill_between(episodes, low, high, color=line.get_color(), alpha=0.15, lw=0)
    merit = next(iter(runs.values()))[0].merit
    label = "skills mastered" if merit == "mastered" else "level, %"
    axes.set(title=scenario, xlabel="episodes", ylabel=label, ylim=(0, None))
    axes.margins(x=0.01)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def plot_shares(scenario: str, runs: Runs, path: Path) -> None:
    """What the episodes were spent on over time, a panel per arm, averaged over the seeds."""
    columns = min(5, len(runs))
    rows = -(-len(runs) // columns)
    figure = _figure(2.6 * columns + 0.6, 2.2 * rows + 0.9)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    handles: Any = []
    for panel, (arm, of_arm) in zip(panels, runs.items(), strict=False):
        spent = np.mean(
            [run.spent / np.maximum(1, run.spent.sum(axis=1, keepdims=True)) for run in of_arm],
            axis=0,
        )
        episodes = np.mean([run.episodes for run in of_arm], axis=0)
        handles = panel.stackplot(
            episodes, spent.T, labels=GROUPS, colors=[_COLOURS[group] for group in GROUPS]
        )
        panel.set_title(arm, fontsize=9)
        panel.set(xlim=(episodes[0], episodes[-1]), ylim=(0, 1))
        panel.tick_params(labelsize=7)
    for panel in panels:
        panel.set_visible(False)
    figure.suptitle(
        f"{scenario}: share of the episodes spent on each group of tasks, over the episodes",
        fontsize=10,
    )
    figure.legend(
        handles, GROUPS, loc="outside lower center", ncols=len(GROUPS), fontsize=8, frameon=False
    )
    figure.savefig(path, dpi=120)


def _figure(width: float, height: float) -> Figure:
    # Without pyplot: no global state, no window system.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
