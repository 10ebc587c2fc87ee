"""The tool that trains: what a recipe's ``train`` returns."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from metta.rl.config import PolicyConfig, TrainerConfig, TrainingEnvConfig
from metta.tools.base import Tool, check_tasks


class TrainTool(Tool):
    """Trains a policy on the tasks of ``training_env.curriculum``; ``run`` names the run's folder,
    and resumes it.

    Exit status: 0 when trained to the end, 143 after SIGTERM and 130 after SIGINT (a checkpoint is
    saved first), 1 when a worker was lost (likewise saved) or when learning diverged (earlier
    checkpoints stay).
    """

    starts_run: ClassVar[bool] = True

    trainer: TrainerConfig = Field(default_factory=TrainerConfig)
    training_env: TrainingEnvConfig
    policy: PolicyConfig = Field(default_factory=PolicyConfig)

    @model_validator(mode="after")
    def _curriculum_makes_environments(self) -> TrainTool:
        if self.training_env.curriculum.task_generator is None:
            raise ValueError(
                "training_env.curriculum has no task_generator: build it from one, for instance "
                "bucketed(...).to_curriculum()"
            )
        return self

    def invoke(self) -> int:
        check_tasks(self.training_env.curriculum, "training_env.curriculum")
        # torch, mettagrid and PufferLib take seconds to import: only training pays for them.
        from metta.rl.signals import StopSignals

        with StopSignals() as stop:
            from metta.rl.trainer import train

            return train(self, stop)

    def dry_run(self) -> str:
        from metta.sim.simulation import describe_environment

        return describe_environment(self.training_env.curriculum)
