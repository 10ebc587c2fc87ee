"""Settings of a training run. Importing this module loads neither torch nor mettagrid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from metta.cogworks.curriculum import CurriculumConfig

MAX_BATCH_SIZE = 2**26
"""Agent steps: an epoch's observations would already take 40 GB with the arena's 200 tokens of
three bytes each."""

_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class TrainerConfig(BaseModel):
    """Settings of PufferLib's PuffeRL. Defaults without another source are PufferLib 3's own.

    ``batch_size`` and ``minibatch_size`` count agent steps. With ``batch_size="auto"`` an epoch is
    one segment of ``bptt_horizon`` steps of every agent. With ``minibatch_size="auto"`` it is a
    quarter of the batch, at most 4,096.
    """

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)

    total_timesteps: int = Field(
        default=1_000_000,
        gt=0,
        description="agent steps to train for, over all sessions of the run",
    )
    learning_rate: float = Field(
        default=0.0025, gt=0, description="of Adam; annealed to 0 along a cosine"
    )
    anneal_lr: bool = True
    batch_size: int | Literal["auto"] = Field(default="auto", description="agent steps per epoch")
    minibatch_size: int | Literal["auto"] = Field(
        default="auto", description="agent steps per gradient step"
    )
    bptt_horizon: int = Field(
        default=64,
        gt=0,
        le=2**16,
        description="steps of one segment: how far gradients reach back in time",
    )
    update_epochs: int = Field(default=1, gt=0, description="passes over the batch")
    gamma: float = Field(default=0.995, gt=0, le=1)
    gae_lambda: float = Field(default=0.90, ge=0, le=1)
    clip_coef: float = Field(default=0.2, gt=0)
    vf_coef: float = Field(default=2.0, ge=0)
    vf_clip_coef: float = Field(default=0.2, gt=0)
    ent_coef: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.5, gt=0)
    adam_beta1: float = Field(default=0.95, ge=0, lt=1)
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    adam_eps: float = Field(default=1e-8, gt=0)
    vtrace_rho_clip: float = Field(default=1.0, gt=0)
    vtrace_c_clip: float = Field(default=1.0, gt=0)
    prio_alpha: float = Field(default=0.8, ge=0, le=1)
    prio_beta0: float = Field(default=0.2, ge=0, le=1)
    checkpoint_interval: int = Field(
        default=50, gt=0, description="epochs between checkpoints; the last epoch has one too"
    )
    keep_checkpoints: int = Field(
        default=3, gt=0, description="how many of the newest checkpoints are kept"
    )
    torch_threads: int | Literal["auto"] = Field(
        default="auto",
        description="CPU threads of torch; auto: half of the cores that the workers leave, at "
        "least "
        "1",
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> TrainerConfig:
        for name in ("batch_size", "minibatch_size"):
            size = getattr(self, name)
            if size != "auto" and size > MAX_BATCH_SIZE:
                raise ValueError(
                    f"{name}={size} is too large: use {self.bptt_horizon} (bptt_horizon) to "
                    f"{MAX_BATCH_SIZE}, or 'auto'"
                )
            if size != "auto" and (size < self.bptt_horizon or size % self.bptt_horizon):
                raise ValueError(
                    f"{name}={size} must be a multiple of bptt_horizon={self.bptt_horizon}; 'auto' "
                    "chooses one"
                )
        if (
            self.batch_size != "auto"
            and self.minibatch_size != "auto"
            and self.minibatch_size > self.batch_size
        ):
            raise ValueError(
                f"minibatch_size={self.minibatch_size} must not exceed batch_size={self.batch_size}"
            )
        if self.torch_threads != "auto" and self.torch_threads < 1:
            raise ValueError(f"torch_threads={self.torch_threads} must be at least 1, or 'auto'")
        return self


class TrainingEnvConfig(BaseModel):
    """The environments that gather experience, and the curriculum that chooses their tasks."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)

    curriculum: CurriculumConfig
    num_envs: int = Field(
        default=8, gt=0, description="environments in all; a multiple of num_workers"
    )
    num_workers: int = Field(
        default=2,
        gt=0,
        description="worker processes; 1 steps all environments in the main process",
    )
    async_factor: int = Field(
        default=1,
        gt=0,
        description="2 lets half of the workers step while the policy acts for the others",
    )
    start_method: Literal["default", "fork", "spawn", "forkserver"] = Field(
        default="default", description="how workers start; default: that of the platform"
    )
    agent_stats: tuple[str, ...] = Field(
        default=("heart.gained",),
        description="mettagrid's agent statistics to record, as means over agents",
    )

    @model_validator(mode="after")
    def _counts_fit(self) -> TrainingEnvConfig:
        if self.num_envs % self.num_workers:
            raise ValueError(
                f"num_envs={self.num_envs} is not divisible by num_workers={self.num_workers}"
            )
        if self.num_workers % self.async_factor:
            raise ValueError(
                f"num_workers={self.num_workers} is not divisible by "
                f"async_factor={self.async_factor}"
            )
        return self


class PolicyConfig(BaseModel):
    """Which network learns: a trainable policy of mettagrid.

    ``lstm`` (recurrent, 128 units), ``puffer`` (recurrent, 256 units, PufferLib's default
    architecture), ``stateless`` (feed-forward, 128 units), or the class path of another trainable
    ``mettagrid.policy.policy.MultiAgentPolicy``.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="lstm", min_length=1)


class RunSettings(BaseModel):
    """Which run, where it lies, and on what: the settings that training shares with every other
    work on a run."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)

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


class TrainingRun(RunSettings):
    """Everything that ``metta.rl.trainer.train`` needs; saved as the run's ``config.yaml``."""

    trainer: TrainerConfig = Field(default_factory=TrainerConfig)
    training_env: TrainingEnvConfig
    policy: PolicyConfig = Field(default_factory=PolicyConfig)

    @model_validator(mode="after")
    def _curriculum_makes_environments(self) -> TrainingRun:
        if self.training_env.curriculum.task_generator is None:
            raise ValueError(
                "training_env.curriculum has no task_generator: build it from one, for instance "
                "bucketed(...).to_curriculum()"
            )
        return self
