"""What a run records, and the few sums made of it."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from metta.rl.dashboard import LiveDashboard, counts, epoch_line
from metta.rl.metrics import MetricsFile, first_and_last, read_metrics, series, sparkline


def epoch(steps: int, **more: Any) -> dict[str, Any]:
    return {"epoch": steps // 10, "agent_steps": steps, "SPS": 100.0, **more}


def test_each_epoch_is_a_line_on_the_disk_at_once(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path, resumed_at=0)
    metrics.write(epoch(10))
    metrics.write(epoch(20, reward=math.nan, other=math.inf))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [epoch(10), epoch(20, reward=None, other=None)]
    metrics.close()


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        "".join(json.dumps(epoch(steps)) + "\n" for steps in (10, 20, 30)) + '{"agent_steps": 4'
    )
    metrics = MetricsFile(path, resumed_at=20)
    metrics.write(epoch(25))
    metrics.close()
    assert [line["agent_steps"] for line in read_metrics(path)] == [10, 20, 25]


def test_series_leaves_out_epochs_without_the_key():
    assert series([{"a": 1}, {}, {"a": None}, {"a": 2.5}], "a") == [1.0, 2.5]


def test_first_and_last_are_means_of_a_tenth():
    assert first_and_last([]) is None
    assert first_and_last([3.0]) == (3.0, 3.0)
    assert first_and_last([float(value) for value in range(20)]) == (0.5, 18.5)


@pytest.mark.parametrize(
    ("values", "line"),
    [([], ""), ([1.0, 1.0], "▁▁"), ([0.0, 1.0], "▁█"), ([float(v) for v in range(8)], "▁▂▃▄▅▆▇█")],
)
def test_sparkline(values: list[float], line: str):
    assert sparkline(values) == line


def test_sparkline_is_never_wider_than_asked():
    assert sparkline([float(value) for value in range(1000)], width=8) == "▁▂▃▄▅▆▇█"


def test_the_line_of_an_epoch():
    line = epoch_line(
        epoch(
            500,
            **{
                "environment/reward": 0.25,
                "curriculum/num_completed": 7.0,
                "curriculum/num_evicted": 1.0,
            },
        ),
        1000,
    )
    assert (
        line == "epoch 50  500/1,000 steps (50%)  100 steps/s  reward 0.2500  "
        "tasks: 7 completed, 0 created, 1 evicted"
    )
    assert epoch_line(epoch(500), 1000) == "epoch 50  500/1,000 steps (50%)  100 steps/s"


def test_invalid_tasks_are_told_of_where_there_are_any():
    stats = {"num_completed": 1234.0, "num_created": 20.0, "num_evicted": 0.0, "num_invalid": 0.0}
    assert counts(stats, "num_") == "1,234 completed, 20 created, 0 evicted"
    assert (
        counts({**stats, "num_invalid": 3.0}, "num_")
        == "1,234 completed, 20 created, 0 evicted, 3 invalid"
    )


def test_the_live_dashboard_shows_reward_losses_and_curriculum():
    screen = io.StringIO()
    dashboard = LiveDashboard("first", 1000, Console(file=screen, force_terminal=True, width=120))
    history = [
        epoch(10),
        epoch(
            20,
            **{
                "environment/reward": 0.5,
                "losses/value_loss": 0.125,
                "curriculum/num_created": 64.0,
            },
        ),
    ]
    dashboard.show(history[:1])
    dashboard.show(history)
    dashboard.say("saved")
    dashboard.close()
    text = screen.getvalue()
    for expected in (
        "first",
        "no episode ended yet",
        "20 of 1,000",
        "0.5000",
        "value_loss",
        "0.125",
        "num_created",
        "64",
    ):
        assert expected in text
