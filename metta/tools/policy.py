"""What the tools share that let a policy act: whose policy, and on which tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from metta.cogworks.curriculum import CurriculumConfig
from metta.tools.base import Tool, check_tasks


class PolicyTool(Tool):
    """Settings of a tool that lets the policy of a run, or chance, act on a curriculum's tasks."""

    policy: Literal["trained", "random"] = "trained"
    checkpoint: Path | None = Field(
        default=None, description="file or run folder; default: the newest of the run"
    )
    curriculum: CurriculumConfig | None = Field(
        default=None, description="default: that of the checkpoint's run"
    )
    trust: list[str] = Field(
        default=[],
        description="modules that may be imported where the run's files name classes in them, with "
        "all that lies in them; a,b for several",
    )

    @field_validator("trust")
    @classmethod
    def _are_modules(cls, trust: list[str]) -> list[str]:
        for module in trust:
            if not all(part.isidentifier() for part in module.split(".")):
                raise ValueError(
                    f"trust={module!r} is no name of a module: write trust=my_module, or "
                    "trust=a,b for several"
                )
        return trust

    def find(self) -> tuple[Path | None, CurriculumConfig]:
        """The run's checkpoint, and the tasks to play. The checkpoint is None where chance acts and
        no run is named; a run that is named must be there, whoever acts.

        Raises:
            UsageError: no such run, or none named where one is needed.
            FileError: its ``config.yaml`` cannot be read.
        """
        from metta.rl.runs import find_checkpoint, read_curriculum

        needed = self.policy == "trained" or self.curriculum is None
        checkpoint = None
        if needed or self.run or self.checkpoint is not None:
            checkpoint = find_checkpoint(self.checkpoint, self.run, self.data_dir)
        if self.curriculum is not None:
            check_tasks(self.curriculum, "curriculum")
            return checkpoint, self.curriculum
        assert checkpoint is not None
        return checkpoint, read_curriculum(checkpoint, self.trust)
