"""mettagrid's trainable policies by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from mettagrid.config.mettagrid_config import MettaGridConfig
from mettagrid.policy.policy import MultiAgentPolicy
from mettagrid.policy.policy_env_interface import PolicyEnvInterface
from mettagrid.util.module import load_symbol

from metta.rl.checkpoint import CheckpointError, SavedPolicy, read_policy
from metta.rl.config import PolicyConfig
from metta.sim.simulation import TrainablePolicy
from metta.usage import UsageError

_CLASS_PATHS = {
    "lstm": "mettagrid.policy.lstm.LSTMPolicy",
    "puffer": "mettagrid.policy.puffer_default.PufferDefaultPolicy",
    "stateless": "mettagrid.policy.stateless.StatelessPolicy",
}


_ALLOWED = (
    f"one of {', '.join(_CLASS_PATHS)} or the class path of a trainable "
    "mettagrid.policy.policy.MultiAgentPolicy"
)


def find_policy(name: str) -> type[MultiAgentPolicy]:
    """The class named by ``policy.name``.

    Raises:
        UsageError: there is none, or it is not a mettagrid policy.
    """
    try:
        found = load_symbol(_CLASS_PATHS.get(name, name))
    except (
        ImportError,
        TypeError,
        ValueError,
    ) as error:  # the latter two: an empty part, as in ".a"
        raise UsageError(
            f"policy.name={name!r} cannot be loaded ({error}): use {_ALLOWED}"
        ) from error
    if not isinstance(found, type) or not issubclass(found, MultiAgentPolicy):
        raise UsageError(f"policy.name={name!r} is not a policy: use {_ALLOWED}")
    return found


def make_policy(config: PolicyConfig, environment: MettaGridConfig, device: str) -> TrainablePolicy:
    """A freshly initialised policy for the spaces of ``environment``.

    Raises:
        UsageError: no policy of that name, or one that cannot be trained.
    """
    policy = cast(Any, find_policy(config.name))(
        PolicyEnvInterface.from_mg_cfg(environment), device=device
    )
    if not isinstance(policy.network(), torch.nn.Module):
        raise UsageError(f"policy.name={config.name!r} has no network to train: use {_ALLOWED}")
    return cast(TrainablePolicy, policy)


def load_policy(checkpoint: Path, environment: MettaGridConfig, device: str) -> TrainablePolicy:
    """The policy saved in ``checkpoint``.

    Raises:
        CheckpointError: unreadable, see ``read_policy``, or ``environment`` has other spaces than
            the one it was trained in.
    """
    saved = read_policy(checkpoint)
    policy = make_policy(PolicyConfig(name=saved.name), environment, device)
    restore_network(policy.network(), saved)
    return policy


def restore_network(network: torch.nn.Module, saved: SavedPolicy) -> None:
    """Load the saved weights.

    Raises:
        CheckpointError: they are those of a network of another shape.
    """
    try:
        network.load_state_dict(saved.weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{saved.path} holds a network of another shape: the environment it was trained in has "
            "other observations or actions, or the file is damaged. Use its own configuration "
            "(config.yaml) or another run name, or move it elsewhere "
            f"({str(error).splitlines()[-1].strip()})"
        ) from error


def resolve_device(device: str) -> str:
    """``auto`` becomes ``cuda`` where there is one, else ``cpu``.

    Raises:
        UsageError: ``cuda`` asked for where torch finds none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "device=cuda, but torch finds no CUDA device here: use device=cpu or device=auto"
        )
    return device
