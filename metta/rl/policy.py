"""mettagrid's trainable policies by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from mettagrid.config.mettagrid_config import MettaGridConfig
from mettagrid.policy.policy import MultiAgentPolicy
from mettagrid.policy.policy_env_interface import PolicyEnvInterface
from mettagrid.util.module import load_symbol

from metta.cogworks.curriculum.tasks.class_paths import resolve_class
from metta.rl.checkpoint import CheckpointError, SavedPolicy, read_policy
from metta.rl.config import PolicyConfig
from metta.rl.runs import TRUST_ON_COMMAND_LINE
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
    """The class named by ``policy.name``, as the user gave it: its module is imported.

    Raises:
        UsageError: there is none, or it is not a mettagrid policy.
    """
    try:
        found = load_symbol(_CLASS_PATHS.get(name, name))
    except (ImportError, TypeError, ValueError) as error:  # the latter two: ".a", without a part
        raise UsageError(
            f"policy.name={name!r} cannot be loaded ({error}): use {_ALLOWED}"
        ) from error
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        raise UsageError(
            f"policy.name={name!r} cannot be loaded: its module raises "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(found, type) or not issubclass(found, MultiAgentPolicy):
        raise UsageError(f"policy.name={name!r} is not a policy: use {_ALLOWED}")
    return found


def find_saved_policy(saved: SavedPolicy, trust: Sequence[str] = ()) -> type[MultiAgentPolicy]:
    """The class that a checkpoint names. Its word is data: see ``trusting`` for which modules may
    be imported for it.

    Args:
        trust: modules that may be, besides.

    Raises:
        CheckpointError: there is none, or its module may not be imported.
    """
    try:
        return resolve_class(_CLASS_PATHS.get(saved.name, saved.name), MultiAgentPolicy, trust)
    except ValueError as error:
        raise CheckpointError(
            f"{saved.path} names a policy that cannot be loaded: {error}. {TRUST_ON_COMMAND_LINE}; "
            "a file that is damaged is to be moved elsewhere"
        ) from error


def make_policy(config: PolicyConfig, environment: MettaGridConfig, device: str) -> TrainablePolicy:
    """A freshly initialised policy for the spaces of ``environment``.

    Raises:
        UsageError: no policy of that name, or one that cannot be trained.
    """
    return _make(find_policy(config.name), config.name, environment, device)


def load_policy(
    checkpoint: Path, environment: MettaGridConfig, device: str, trust: Sequence[str] = ()
) -> TrainablePolicy:
    """The policy saved in ``checkpoint``. ``trust``: see ``find_saved_policy``.

    Raises:
        CheckpointError: unreadable, see ``read_policy``, or ``environment`` has other spaces than
            the one it was trained in.
    """
    saved = read_policy(checkpoint)
    policy = _make(find_saved_policy(saved, trust), saved.name, environment, device)
    restore_network(policy.network(), saved)
    return policy


def _make(
    kind: type[MultiAgentPolicy], name: str, environment: MettaGridConfig, device: str
) -> TrainablePolicy:
    policy = cast(Any, kind)(PolicyEnvInterface.from_mg_cfg(environment), device=device)
    if not isinstance(policy.network(), torch.nn.Module):
        raise UsageError(f"policy.name={name!r} has no network to train: use {_ALLOWED}")
    return cast(TrainablePolicy, policy)


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
