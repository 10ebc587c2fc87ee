"""The tool that evaluates a trained policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from metta.tools.policy import PolicyTool


class EvaluateTool(PolicyTool):
    """Plays tasks drawn uniformly from a curriculum, on maps that no training has seen, and reports
    the rewards.

    Prints a table and, as its last line, one JSON object; writes the same with every episode to
    ``out``.
    """

    episodes: int = Field(default=32, gt=0)
    out: Path | None = Field(
        default=None,
        description="JSON file; default: evaluation.json beside the run's config.yaml, "
        "evaluation_random.json for policy=random",
    )

    def invoke(self) -> int:
        """Play the episodes, print and write what came of them. Returns 0."""
        from metta.rl.files import write_whole
        from metta.rl.policy import load_policy, resolve_device
        from metta.sim.evaluator import evaluate, summarise
        from metta.sim.simulation import Actor, PolicyActor, RandomActor

        device = resolve_device(self.device)
        checkpoint, curriculum = self.find()
        trained = checkpoint if self.policy == "trained" else None

        def actor_for(env: Any) -> Actor:
            if trained is None:
                return RandomActor(int(env.single_action_space.n), self.seed)
            policy = load_policy(trained, env.env_cfg, device, self.trust)
            return PolicyActor(policy, device, self.seed)

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
            "policy": "random" if trained is None else str(trained),
            **summarise(episodes),
        }
        name = "evaluation_random.json" if trained is None else "evaluation.json"
        out = self.out or (checkpoint.parent.parent / name if checkpoint else None)
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
        """Build one environment of the curriculum and say what it is."""
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
