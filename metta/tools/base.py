"""What a recipe returns: a tool, which the recipe runner configures further and then invokes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from metta.cogworks.curriculum import CurriculumConfig
from metta.usage import UsageError

_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Tool(BaseModel, ABC):
    """Settings that every tool has. ``invoke()`` does the work and returns the process's exit
    status."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)

    starts_run: ClassVar[bool] = False
    """Whether each invocation is a new run, to be named where the caller names none."""

    run: str = Field(
        default="",
        description="name of the run and of its folder; default, for training: recipe and time",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="of everything random")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: cuda where there is one"
    )
    data_dir: Path = Field(
        default=Path("train_dir"), description="folder that holds the folders of runs"
    )

    @field_validator("run")
    @classmethod
    def _names_a_folder(cls, run: str) -> str:
        if run and not _RUN_NAME.fullmatch(run):
            raise ValueError(
                f"run={run!r} cannot name a folder: use letters, digits, '.', '_' and '-', "
                "beginning with a letter or "
                "digit, at most 100 characters"
            )
        return run

    @property
    def run_dir(self) -> Path:
        """``data_dir/run``.

        Raises:
            ValueError: ``run`` is empty.
        """
        if not self.run:
            raise ValueError("run is empty: name the run with run=NAME")
        return self.data_dir / self.run

    @abstractmethod
    def invoke(self) -> int:
        """Do the work. Returns 0 for success."""

    @abstractmethod
    def dry_run(self) -> str:
        """Build what the tool would work on, without doing the work. Returns one line that says
        what was built."""


def check_tasks(curriculum: CurriculumConfig, key: str) -> None:
    """Make the task generator once, so that a bucket or override that cannot be is told before
    anything starts.

    Raises:
        UsageError: it cannot be made; the message begins with ``key``, where the curriculum stands.
    """
    if curriculum.task_generator is None:
        return
    try:
        curriculum.task_generator.create()
    except ValueError as error:
        raise UsageError(f"{key}.task_generator: {error}") from error
