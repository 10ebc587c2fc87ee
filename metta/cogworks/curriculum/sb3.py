"""Stable-Baselines3: a callback that logs a curriculum's statistics and saves it beside the model.

Environments are wrapped by :class:`metta.cogworks.curriculum.gymnasium.CurriculumWrapper`. Needs
Stable-Baselines3 (``pip install 'metta-curriculum[sb3]'``).
"""

from __future__ import annotations

import os
from pathlib import Path

try:
    from stable_baselines3.common.callbacks import BaseCallback
except ImportError as error:
    raise ImportError(
        "metta.cogworks.curriculum.sb3 needs Stable-Baselines3, which is not installed. Install it "
        "with: pip install 'metta-curriculum[sb3]'"
    ) from error

from metta.cogworks.curriculum.curriculum import Curriculum
from metta.cogworks.curriculum.episode_checks import check_own_curriculum
from metta.cogworks.curriculum.saving import load_curriculum, save_curriculum
from metta.cogworks.curriculum.tasks.inputs import checked_integer

__all__ = ["CurriculumCallback", "load_curriculum", "save_curriculum"]

LOG_FREQ = 100
"""Calls between two looks at the statistics, which take 1 to 2 ms: 20 µs a call. A rollout of PPO
has more, so that each is logged."""

_LONG = "algorithm/"
"""Statistics whose names Stable-Baselines3's table would cut off, and then refuse two of them that
look alike: they go to all of its other formats."""


class CurriculumCallback(BaseCallback):
    """Logs a curriculum's statistics as ``curriculum/...``, and saves its state.

    Frequencies are in calls of the callback, one for every step of the vector environment, as those
    of Stable-Baselines3's ``CheckpointCallback``. With its ``save_freq``, ``save_path`` and
    ``name_prefix`` the curriculum lies beside its model: ``rl_model_1000_steps.curriculum.npz``
    beside ``rl_model_1000_steps.zip``, and ``load_curriculum(curriculum,
    "rl_model_1000_steps.zip")`` finds it.

    Args:
        curriculum: the one that the environments were wrapped with.
        log_freq: calls after which the statistics are logged, at the end of the next rollout.
        save_freq: calls between two saves; None saves at the end of the training only.
        save_path: folder to save to; None saves nothing.
        name_prefix: of the files.
        verbose: 2 says where it was saved.

    Raises:
        TypeError, ValueError: an argument that cannot be used, as its message says.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        *,
        log_freq: int = LOG_FREQ,
        save_freq: int | None = None,
        save_path: str | os.PathLike[str] | None = None,
        name_prefix: str = "rl_model",
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        check_own_curriculum(curriculum)
        self.curriculum = curriculum
        self.log_freq = checked_integer("log_freq", log_freq, 1)
        self.save_freq = None if save_freq is None else checked_integer("save_freq", save_freq, 1)
        if save_freq is not None and save_path is None:
            raise ValueError(
                f"save_freq={save_freq} without save_path: give the folder to save the curriculum "
                "to, or leave both out"
            )
        self.save_path = None if save_path is None else Path(save_path)
        self.name_prefix = name_prefix
        self._next_log = 0
        self._logged_at = 0

    def _on_rollout_end(self) -> None:
        if self.n_calls >= self._next_log:
            self._next_log = self.n_calls + self.log_freq
            self._log()

    def _log(self) -> None:
        self._logged_at = self.n_calls
        for name, value in self.curriculum.stats().items():
            exclude = ("stdout",) if name.startswith(_LONG) else None
            self.logger.record(f"curriculum/{name}", value, exclude)

    def _on_step(self) -> bool:
        if self.save_freq is not None and self.n_calls % self.save_freq == 0:
            self._save()
        return True

    def _on_training_end(self) -> None:
        if self.n_calls != self._logged_at:  # nobody writes it down after the last rollout
            self._log()
            self.logger.dump(self.num_timesteps)
        self._save()

    def _save(self) -> None:
        if self.save_path is None:
            return
        model_path = self.save_path / f"{self.name_prefix}_{self.num_timesteps}_steps"
        path = save_curriculum(self.curriculum, model_path)
        if self.verbose >= 2:  # noqa: PLR2004 - as CheckpointCallback
            print(f"Saving curriculum to {path}")
