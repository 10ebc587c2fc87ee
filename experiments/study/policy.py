"""A small policy that sees the room as a picture.

mettagrid's own small policies read an observation as a flat list of numbers: tag 1 and tag 4 differ
by 3/255 there, and an object's place in the list depends on what else is in view. They learn next
to nothing on errands in half a million steps. Here every (cell, meaning) pair is an input of its
own, so that two cores can train fifteen policies in an hour.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from mettagrid.policy.policy import AgentPolicy, MultiAgentPolicy
from mettagrid.policy.policy_env_interface import PolicyEnvInterface
from torch import nn

_HIDDEN = 128
"""As wide as mettagrid's stateless policy."""

_EMPTY, _GLOBAL = 255, 254
"""Place bytes of a token that is not there, and of one that belongs to no cell."""


class PictureNet(nn.Module):
    """Tokens uint8 ``(batch, tokens, 3)`` of (place, feature, value) → logits ``(batch, actions)``,
    values ``(batch, 1)``.

    Inputs, 0 or 1: each tag and each held resource at each cell of the view, and the last action.
    The rest is ignored.
    """

    def __init__(self, interface: PolicyEnvInterface) -> None:
        super().__init__()
        height, width = interface.egocentric_shape
        resources = [f for f in interface.obs_features if re.fullmatch(r"inv:[^:]+", f.name)]
        features = {feature.name: feature.id for feature in interface.obs_features}
        tags, actions = len(interface.tags), len(interface.action_names)
        channels = tags + len(resources)
        last_action = height * width * channels
        self.hidden_size = _HIDDEN
        self.unused = last_action + actions
        place = torch.full((256,), self.unused)
        for y in range(height):
            for x in range(width):
                place[y << 4 | x] = (y * width + x) * channels
        place[_GLOBAL] = last_action
        place[_EMPTY] = self.unused
        meaning = torch.full((256, 256), self.unused)
        meaning[features["tag"], :tags] = torch.arange(tags)
        for channel, feature in enumerate(resources, start=tags):
            meaning[feature.id, 1:] = channel
        meaning[features["last_action"], :actions] = torch.arange(actions)
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("meaning", meaning.flatten(), persistent=False)
        self.body = nn.Sequential(
            _layer(self.unused, _HIDDEN), nn.ReLU(), _layer(_HIDDEN, _HIDDEN), nn.ReLU()
        )
        self.action_head = _layer(_HIDDEN, actions, gain=0.01)
        self.value_head = _layer(_HIDDEN, 1, gain=1.0)

    def forward_eval(
        self, observations: torch.Tensor, state: Any = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and values while acting; ``state`` is not used, there is no memory."""
        tokens = observations.long()
        where, what = self.get_buffer("place"), self.get_buffer("meaning")
        index = where[tokens[..., 0]] + what[tokens[..., 1] << 8 | tokens[..., 2]]
        picture = torch.zeros(len(tokens), self.unused + 1, device=tokens.device)
        picture.scatter_(1, index.clamp_(max=self.unused), 1.0)
        hidden = self.body(picture[:, :-1])
        return self.action_head(hidden), self.value_head(hidden)

    def forward(
        self, observations: torch.Tensor, state: Any = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As :meth:`forward_eval`: training and acting are the same."""
        return self.forward_eval(observations, state)


class PicturePolicy(MultiAgentPolicy):
    """``PictureNet`` as a policy that TrainTool can train:
    ``policy.name=experiments.study.policy.PicturePolicy``."""

    def __init__(self, policy_env_info: PolicyEnvInterface, device: str = "cpu") -> None:
        super().__init__(policy_env_info)
        self._net = PictureNet(policy_env_info).to(device)

    def network(self) -> nn.Module:
        """The network that is trained."""
        return self._net

    def is_recurrent(self) -> bool:
        """No: it has no memory."""
        return False

    def agent_policy(self, agent_id: int) -> AgentPolicy:
        """Not offered."""
        raise NotImplementedError(
            "PicturePolicy acts for all agents at once: see metta.sim.simulation.PolicyActor"
        )


def _layer(inputs: int, outputs: int, gain: float = 2**0.5) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
