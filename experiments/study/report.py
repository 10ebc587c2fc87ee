"""What a study found: aggregates over seeds with intervals, a table, and three plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only: needs no screen

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from rich.console import Console
from rich.table import Table

from experiments.arms import UNIFORM
from experiments.statistics import Interval, estimate, paired_difference
from experiments.study.evaluation import GROUPS, group_means, worst_tenth
from experiments.study.runs import Run

Results = dict[str, dict[int, dict[str, Any]]]
"""Arm → seed → ``evaluate_run``'s result."""

_COLOURS = plt.get_cmap("tab10").colors  # pyright: ignore[reportAttributeAccessIssue]
_BAND = 0.2


def collect(runs: Sequence[Run]) -> Results:
    """The results of finished runs.

    Raises:
        ValueError: one of them is not finished.
    """
    results: Results = {}
    for run in runs:
        result = run.result()
        if result is None:
            raise ValueError(
                f"arm {run.arm}, seed {run.seed} is not finished: {run.folder} has no result.json"
            )
        results.setdefault(run.arm, {})[run.seed] = result
    return results


def summarise(results: Results) -> dict[str, dict[str, Any]]:
    """Per arm: interquartile means over seeds with 95 % bootstrap intervals, and the differences to
    uniform, seed by seed.

    ``mean`` is the success over all errands, ``worst_tenth`` over the worst tenth of the possible
    ones, ``groups`` per difficulty group, ``impossible_share`` the share of the training episodes
    that went into impossible errands. ``delta_vs_uniform``, ``ci_low`` and ``ci_high`` are the
    paired difference of ``mean``; absent without a uniform arm.
    """
    mean = {
        arm: [float(np.mean(r["success"])) for r in by_seed.values()]
        for arm, by_seed in results.items()
    }
    worst = {
        arm: [worst_tenth(np.array(r["success"])) for r in by_seed.values()]
        for arm, by_seed in results.items()
    }
    summary: dict[str, dict[str, Any]] = {}
    for arm, by_seed in results.items():
        groups = [group_means(np.array(r["success"])) for r in by_seed.values()]
        row: dict[str, Any] = {
            "seeds": list(by_seed),
            "mean": _plain(estimate(mean[arm])),
            "worst_tenth": _plain(estimate(worst[arm])),
            "groups": {
                group: _plain(estimate([values[group] for values in groups])) for group in GROUPS
            },
            "impossible_share": _plain(
                estimate([_final_share(r, "impossible") for r in by_seed.values()])
            ),
            "per_seed": {"mean": mean[arm], "worst_tenth": worst[arm]},
        }
        if UNIFORM in results:
            delta = paired_difference(mean[arm], mean[UNIFORM])
            row |= {"delta_vs_uniform": delta.value, "ci_low": delta.low, "ci_high": delta.high}
            row["worst_tenth_delta_vs_uniform"] = _plain(
                paired_difference(worst[arm], worst[UNIFORM])
            )
        summary[arm] = row
    return summary


def one_line(summary: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """What the command's last line says of each arm."""
    line = {}
    for arm, row in summary.items():
        line[arm] = {"mean": row["mean"]["value"], "worst_tenth": row["worst_tenth"]["value"]}
        line[arm] |= {
            key: row[key] for key in ("delta_vs_uniform", "ci_low", "ci_high") if key in row
        }
    return {arm: {key: round(value, 5) for key, value in row.items()} for arm, row in line.items()}


def print_table(summary: dict[str, dict[str, Any]]) -> None:
    """One row per arm; values are interquartile means over seeds with 95 % intervals."""
    table = Table(
        title="success on all errands, on maps that no training has seen (interquartile mean [95 "
        "%])"
    )
    columns = [
        "arm",
        "seeds",
        "mean",
        "worst tenth of the possible",
        "mean − uniform",
        "worst tenth − uniform",
    ]
    for column in columns:
        table.add_column(column, justify="left" if column == "arm" else "right")
    for arm, row in summary.items():
        delta = worst_delta = ""
        if "delta_vs_uniform" in row and arm != UNIFORM:
            delta = _told(
                {"value": row["delta_vs_uniform"], "low": row["ci_low"], "high": row["ci_high"]},
                "+",
            )
            worst_delta = _told(row["worst_tenth_delta_vs_uniform"], "+")
        table.add_row(
            arm,
            str(len(row["seeds"])),
            _told(row["mean"]),
            _told(row["worst_tenth"]),
            delta,
            worst_delta,
        )
    groups = Table(
        title="success by group; last column: share of the training episodes on impossible errands"
    )
    for column in ("arm", *GROUPS, "spent on impossible"):
        groups.add_column(column, justify="left" if column == "arm" else "right")
    for arm, row in summary.items():
        cells = [f"{row['groups'][group]['value']:.3f}" for group in GROUPS]
        groups.add_row(arm, *cells, f"{row['impossible_share']['value']:.3f}")
    console = Console(width=None if Console().is_terminal else 130)
    console.print(table)
    console.print(groups)


def draw(results: Results, out: Path) -> list[Path]:
    """``curve.png``, ``groups.png`` and ``sampling.png`` in ``out``."""
    return [
        _draw_curves(results, out / "curve.png"),
        _draw_groups(results, out / "groups.png"),
        _draw_shares(results, out),
    ]


def _draw_curves(results: Results, path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for colour, (arm, by_seed) in zip(_COLOURS, results.items(), strict=False):
        # Resumed runs have checkpoints of their own; the shortest curve tells how many points all
        # have.
        points = min(len(result["curve"]) for result in by_seed.values())
        curves = np.array([result["curve"][-points:] for result in by_seed.values()])
        _band(axes, curves[:, :, 0].mean(axis=0), curves[:, :, 1], arm, colour)
    axes.set(
        xlabel="agent steps",
        ylabel="mean success on all errands",
        title="Learning curves, evaluated on unseen maps",
    )
    axes.legend()
    return _save(figure, path)


def _draw_groups(results: Results, path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    width = 0.8 / len(results)
    for i, (colour, (arm, by_seed)) in enumerate(zip(_COLOURS, results.items(), strict=False)):
        groups = [group_means(np.array(result["success"])) for result in by_seed.values()]
        values = [estimate([means[group] for means in groups]) for group in GROUPS]
        height = np.array([value.value for value in values])
        error = [
            height - [value.low for value in values],
            [value.high for value in values] - height,
        ]
        axes.bar(
            np.arange(len(GROUPS)) + i * width,
            height,
            width,
            yerr=np.maximum(error, 0),
            label=arm,
            color=colour,
            capsize=2,
        )
    axes.set_xticks(
        np.arange(len(GROUPS)) + 0.4 - width / 2, [group.replace("_", " ") for group in GROUPS]
    )
    axes.set(
        ylabel="success",
        title="Final success by difficulty group (interquartile mean, 95 % interval)",
    )
    axes.legend()
    return _save(figure, path)


def _draw_shares(results: Results, out: Path) -> Path:
    figure, row = plt.subplots(
        1, len(results), figsize=(1 + 3.4 * len(results), 3.6), sharey=True, squeeze=False
    )
    figure.set_layout_engine("constrained")
    for axes, (arm, by_seed) in zip(row[0], results.items(), strict=True):
        for colour, group in zip(_COLOURS, GROUPS, strict=False):
            shares = [_shares(result, group) for result in by_seed.values()]
            points = min(len(steps) for steps, _ in shares)
            _band(
                axes,
                shares[0][0][:points],
                np.array([share[:points] for _, share in shares]),
                group,
                colour,
            )
        axes.set(title=arm, xlabel="agent steps")
    row[0][0].set_ylabel("share of the episodes")
    row[0][-1].legend(fontsize="small")
    return _save(figure, out / "sampling.png")


def _shares(result: dict[str, Any], group: str) -> tuple[np.ndarray, np.ndarray]:
    """Agent steps, and the group's share of the episodes begun since the point before."""
    begun = {name: np.array(points) for name, points in result["sampled"].items()}
    total = np.diff(sum(points[:, 1] for points in begun.values()))
    share = np.diff(begun[group][:, 1]) / np.maximum(total, 1)
    some = total > 0
    return begun[group][1:, 0][some], share[some]


def _final_share(result: dict[str, Any], group: str) -> float:
    total = sum(points[-1][1] for points in result["sampled"].values())
    return result["sampled"][group][-1][1] / max(total, 1)


def _band(axes: Axes, x: np.ndarray, values: np.ndarray, label: str, colour: Any) -> None:
    """Mean over seeds, with the range of the seeds; ``values`` is ``(seeds, points)``."""
    axes.plot(x, values.mean(axis=0), label=label, color=colour)
    axes.fill_between(
        x, values.min(axis=0), values.max(axis=0), alpha=_BAND, color=colour, linewidth=0
    )


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def _plain(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _told(value: dict[str, float], sign: str = "") -> str:
    return f"{value['value']:{sign}.3f} [{value['low']:{sign}.3f}, {value['high']:{sign}.3f}]"
