"""What a finished or running training run left in its folder."""

from __future__ import annotations

import contextlib
import fcntl
import platform
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml

from metta.cogworks.curriculum import CurriculumConfig
from metta.cogworks.curriculum.tasks.class_paths import refuse_untrusted_types, trusting
from metta.rl.checkpoint import latest_checkpoint
from metta.rl.config import TrainingRun
from metta.rl.files import FileError, write_whole
from metta.usage import ReportedError, UsageError

_CONFIG_WAY_OUT = (
    "Mend it, or move it elsewhere: training then goes on and writes a new one, and evaluate and "
    "play take the curriculum of a recipe"
)
TRUST_ON_COMMAND_LINE = "On the command line, trust=MODULE allows a module"
_DEEPEST = 100
"""Levels of nesting in config.yaml; an arena with handlers has about 20."""
_LONGEST = 60
"""Characters of a value that is shown."""
_MOST_CHANGES = 10
"""Lines about a changed configuration, so that what comes after them stays on the screen."""


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
        FileError: the file is not there, cannot be read, or is no mapping of plain values.
    """
    path = config_path(checkpoint)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        check_depth(content)
    except FileNotFoundError as error:
        raise FileError(
            f"{checkpoint} does not lie in a run's folder: there is no {path}"
        ) from error
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}). {_CONFIG_WAY_OUT}") from error
    # ValueError: not UTF-8, or a date or number that cannot be
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise FileError(f"{path} cannot be read as YAML ({said}). {_CONFIG_WAY_OUT}") from error
    if not isinstance(content, dict):
        raise FileError(f"{path} does not hold a configuration. {_CONFIG_WAY_OUT}")
    return content


def config_path(checkpoint: Path) -> Path:
    """Where the configuration of the run lies that ``checkpoint`` belongs to."""
    return checkpoint.parent.parent / "config.yaml"


def check_depth(content: Any, levels: int = _DEEPEST) -> None:
    """Raise a ValueError if plain containers are nested too deep, as they are if one holds
    itself."""
    if isinstance(content, dict | list):
        if levels == 0:
            raise ValueError(f"nested more than {_DEEPEST} levels deep")
        for item in content.values() if isinstance(content, dict) else content:
            check_depth(item, levels - 1)


def read_curriculum(checkpoint: Path, trust: Sequence[str] = ()) -> CurriculumConfig:
    """The curriculum that the run of ``checkpoint`` was trained on. The classes that it names are
    data: see ``trusting`` for which modules may be imported for them.

    Args:
        trust: modules that may be, besides.

    Raises:
        FileError: ``config.yaml`` cannot be read, or holds none that can be.
    """
    content, path = read_config(checkpoint), config_path(checkpoint)
    training_env = content.get("training_env")
    found = training_env.get("curriculum") if isinstance(training_env, dict) else None
    if not isinstance(found, dict):
        raise FileError(f"{path} holds no training_env.curriculum. {_CONFIG_WAY_OUT}")
    try:
        with trusting(*trust):
            refuse_untrusted_types(found)
            curriculum = CurriculumConfig.model_validate(found)
            if curriculum.task_generator is not None:
                curriculum.task_generator.create()
    except (ValueError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise FileError(
            f"training_env.curriculum in {path} cannot be: {said}. {_CONFIG_WAY_OUT}. "
            f"{TRUST_ON_COMMAND_LINE}"
        ) from error
    return curriculum


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


def changes(run: TrainingRun, checkpoint: Path) -> list[str]:
    """Lines that say how the run's configuration differs from its ``config.yaml``; a longer run is
    no difference."""
    if not (run.run_dir / "config.yaml").exists():
        return []
    before, now = (
        {key: value for key, value in content.items() if key not in ("made_with", "data_dir")}
        for content in (read_config(checkpoint), run.model_dump(mode="json"))
    )
    found = [
        line for line in differences(before, now) if not line.startswith("trainer.total_timesteps:")
    ]
    if not found:
        return []
    lines = ["  the configuration has changed:", *(f"    {line}" for line in found[:_MOST_CHANGES])]
    if len(found) > _MOST_CHANGES:
        lines.append(f"    and {len(found) - _MOST_CHANGES} more")
    if any(line.startswith("training_env.curriculum.task_generator") for line in found):
        lines.append(
            "  what is known of a task was measured on what it was before; another run name begins "
            "anew"
        )
    return lines


def save_config(run_dir: Path, run: TrainingRun) -> None:
    """``config.yaml``: the resolved configuration, and under ``made_with`` the versions that ran
    it."""
    content = {
        **run.model_dump(mode="json"),
        "made_with": {
            "metta-curriculum": version("metta-curriculum"),
            "mettagrid": version("mettagrid"),
            "pufferlib-core": version("pufferlib-core"),
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_whole(run_dir / "config.yaml", text.encode())


@contextlib.contextmanager
def only_trainer_of(run_dir: Path) -> Iterator[None]:
    """Hold the run's folder; the kernel lets go of it when this process ends, however it ends."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        file = (run_dir / ".lock").open("w")
    except OSError as error:
        raise UsageError(
            f"data_dir={run_dir.parent} cannot hold the run's folder ({error.strerror}: "
            f"{error.filename}): "
            "give data_dir=FOLDER, one that you may write to"
        ) from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ReportedError(
                f"another process is training {run_dir} at this moment: use another run name"
            ) from error
        yield


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _runs_in(data_dir: Path) -> str:
    runs = sorted(path.parent.name for path in data_dir.glob("*/checkpoints"))
    return f"runs in {data_dir}: {', '.join(runs)}" if runs else f"there are no runs in {data_dir}"
