"""The tool that evaluates a trained policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from metta.cogworks.curriculum import CurriculumConfig
from metta.tools.base import Tool, check_tasks


class EvaluateTool(Tool):
    """Plays tasks drawn uniformly from a curriculum, on maps that no training has seen, and reports
    the rewards.

    Prints a table and, as its last line, one JSON object; writes the same with every episode to
    ``out``.
    """

    policy: Literal["trained", "random"] = "trained"
    checkpoint: Path | None = Field(
        default=None, description="file or run folder; default: the newest of the run"
    )
    curriculum: CurriculumConfig | None = Field(
        default=None, description="default: that of the checkpoint's run"
    )
    episodes: int = Field(default=32, gt=0)
    out: Path | None = Field(
        default=None, description="JSON file; default: evaluation.json beside the run's config.yaml"
    )

    def invoke(self) -> int:
        from metta.rl.files import write_whole
        from metta.rl.policy import load_policy, resolve_device
        from metta.rl.runs import find_checkpoint, read_curriculum
        from metta.sim.evaluator import evaluate, summarise
        from metta.sim.simulation import Actor, PolicyActor, RandomActor

        device = resolve_device(self.device)
        checkpoint = (
            None
            if self.policy == "random"
            else find_checkpoint(self.checkpoint, self.run, self.data_dir)
        )
        curriculum = self.curriculum
        if curriculum is None:
            curriculum = read_curriculum(find_checkpoint(self.checkpoint, self.run, self.data_dir))
        check_tasks(curriculum, "curriculum")

        def actor_for(env: Any) -> Actor:
            if checkpoint is None:
                return RandomActor(int(env.single_action_space.n), self.seed)
            return PolicyActor(load_policy(checkpoint, env.env_cfg, device), device, self.seed)

        every = max(1, self.episodes // 10)
        episodes = evaluate(
            actor_for,
            curriculum,
            self.episodes,
            self.seed,
            progress=lambda done: (
                print(f"{done}/{self.episodes} episodes", flush=True) if done % every == 0 else None
            ),
        )
        summary = {
            "policy": "random" if checkpoint is None else str(checkpoint),
            **summarise(episodes),
        }
        out = self.out or (checkpoint.parent.parent / "evaluation.json" if checkpoint else None)
        self._print(summary)
        if out is not None:
            results = {**summary, "results": [e.to_dict() for e in episodes]}
            write_whole(
                out,
                json.dumps(results, indent=1, default=str).encode(),
                "or give out=FILE elsewhere",
            )
        return 0

    def dry_run(self) -> str:
        if self.curriculum is None:
            return "evaluates the curriculum of the run it is given"
        from metta.sim.simulation import describe_environment

        return describe_environment(self.curriculum)

    @staticmethod
    def _print(summary: dict[str, Any]) -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f"rewards of {summary['policy']}")
        for column in ("label", "episodes", "mean reward"):
            table.add_column(column, justify="left" if column == "label" else "right")
        for label, row in summary["labels"].items():
            table.add_row(label, str(row["episodes"]), f"{row['mean_reward']:.4f}")
        table.add_section()
        table.add_row("worst tenth of the tasks", "", f"{summary['worst_tenth_reward']:.4f}")
        table.add_row("all", str(summary["episodes"]), f"{summary['mean_reward']:.4f}")
        error = summary["standard_error"]
        if error is not None:
            table.caption = (
                f"standard_error of the mean reward per agent, over all episodes: {error:.4f}"
            )
        Console().print(table)
        if summary["policy"] != "random":
            print("policy=random gives the yardstick: the same tasks and maps with random actions")
        print(json.dumps(summary), flush=True)
