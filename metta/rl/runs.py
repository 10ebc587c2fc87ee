"""What a finished or running training run left in its folder."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import yaml

from metta.cogworks.curriculum import CurriculumConfig
from metta.rl.checkpoint import CheckpointError, latest_checkpoint
from metta.usage import UsageError


def find_checkpoint(checkpoint: Path | None, run: str, data_dir: Path) -> Path:
    """The checkpoint meant by a file, by a run's folder, or by the name of a run.

    Raises:
        UsageError: nothing named, nothing there, or a file of another kind; the message lists the
            runs there are.
    """
    if checkpoint is not None and checkpoint.is_file():
        if not zipfile.is_zipfile(checkpoint):  # the form of what torch saves
            raise UsageError(
                f"checkpoint={checkpoint} is not a checkpoint: give a run's folder or its "
                "step_*.pt file"
            )
        return checkpoint
    if checkpoint is not None and not checkpoint.exists():
        raise UsageError(f"there is no checkpoint={checkpoint}; {_runs_in(data_dir)}")
    if checkpoint is None and not run:
        raise UsageError(
            f"which policy? Name it with run=NAME or checkpoint=PATH; {_runs_in(data_dir)}"
        )
    folder = checkpoint if checkpoint is not None else data_dir / run
    newest = latest_checkpoint(folder / "checkpoints") or latest_checkpoint(folder)
    if newest is None:
        raise UsageError(f"{folder} holds no checkpoint; {_runs_in(data_dir)}")
    return newest


def read_config(checkpoint: Path) -> dict[str, Any]:
    """``config.yaml`` of the run that ``checkpoint`` belongs to.

    Raises:
        CheckpointError: the file is not there, or is not a mapping.
    """
    path = checkpoint.parent.parent / "config.yaml"
    if not path.is_file():
        raise CheckpointError(f"{checkpoint} does not lie in a run's folder: there is no {path}")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} does not hold a configuration")
    return content


def read_curriculum(checkpoint: Path) -> CurriculumConfig:
    """The curriculum that the run of ``checkpoint`` was trained on."""
    return CurriculumConfig.model_validate(read_config(checkpoint)["training_env"]["curriculum"])


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """Where two configurations, plain containers as in ``config.yaml``, differ:
    ``"trainer.learning_rate: 0.01, was 0.02"``."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        inside = [
            (f"{path}.{key}" if path else str(key), before.get(key), now.get(key)) for key in keys
        ]
        return [line for at, old, new in inside for line in differences(old, new, at)]
    return [] if before == now else [f"{path}: {_brief(now)}, was {_brief(before)}"]


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _runs_in(data_dir: Path) -> str:
    runs = sorted(path.parent.name for path in data_dir.glob("*/checkpoints"))
    return f"runs in {data_dir}: {', '.join(runs)}" if runs else f"there are no runs in {data_dir}"
