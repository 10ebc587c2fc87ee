"""The tool that trains: what a recipe's ``train`` returns."""

from __future__ import annotations

from typing import ClassVar

from metta.rl.config import TrainingRun
from metta.tools.base import Tool, check_tasks


class TrainTool(TrainingRun, Tool):
    """Trains a policy on the tasks of ``training_env.curriculum``; ``run`` names the run's folder,
    and resumes it.

    Exit status: 0 when trained to the end, 143 after SIGTERM and 130 after SIGINT (a checkpoint is
    saved first), 1 when a worker was lost (likewise saved) or when learning diverged (earlier
    checkpoints stay).
    """

    starts_run: ClassVar[bool] = True

    def invoke(self) -> int:
        """Train, or go on training. Returns the exit status, see above."""
        check_tasks(self.training_env.curriculum, "training_env.curriculum")
        # torch, mettagrid and PufferLib take seconds to import: only training pays for them.
        from metta.rl.signals import StopSignals

        with StopSignals() as stop:
            from metta.rl.trainer import train

            return train(self, stop)

    def dry_run(self) -> str:
        """Build one environment of the curriculum and say what it is."""
        from metta.sim.simulation import describe_environment

        return describe_environment(self.training_env.curriculum)
