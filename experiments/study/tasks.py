"""Errands: the tasks of the training study, a family that grows from trivial to impossible.

Every room has the same four stations. They turn what an agent holds into the next thing, in a fixed
order:

    source → ore → furnace → metal → workshop → part → altar → heart

An agent is given what the errand starts with: a part (one step is left, to the altar), metal, ore,
or nothing (all four steps). The errand succeeds with the first heart; a success pays 1, and nothing
else pays anything. So one step teaches what the next longer errand ends with, and a long errand in
a large room pays nothing until the short ones are learned. In some rooms the altar is missing: that
is not seen at once, and such an errand cannot succeed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from mettagrid.config.mettagrid_config import (
    AgentConfig,
    GameConfig,
    InventoryConfig,
    MettaGridConfig,
    WallConfig,
)
from mettagrid.map_builder.random_map import RandomMapBuilder
from pydantic import Field

from experiments.recipes.blocks import converter, held_reward, movement, observation
from metta.cogworks.curriculum import TaskGenerator, TaskGeneratorConfig
from metta.cogworks.curriculum.task_generator import TaskRandom

CHAIN = ("ore", "metal", "part", "heart")
STATIONS = ("source", "furnace", "workshop", "altar")
"""Station k makes ``CHAIN[k]`` from ``CHAIN[k - 1]``; the source needs nothing and never runs
dry."""

STEPS = (1, 2, 3, 4)
SIZES = (6, 7, 9, 12)
"""Sides of the room, walls included: from 16 cells inside, all in view, to 100, of which an agent
sees about 37."""

CLUTTER = (0.0, 0.1, 0.2)
"""Share of the free cells with a wall. A wall may cut a station off: then luck decides."""

MAX_STEPS = 64
"""Length of an episode: walking the longest errand across the largest room takes about 40."""

NUM_AGENTS = 4
"""In each room. They share its stations and stand in each other's way, no more."""


@dataclass(frozen=True)
class Errand:
    """What distinguishes one task."""

    steps: int
    size: int
    clutter: float
    possible: bool

    @property
    def group(self) -> str:
        """The difficulty group it is reported under."""
        return f"{self.steps}_steps" if self.possible else "impossible"


def all_errands() -> list[Errand]:
    """Every task; its place in the list is its task id. Open rooms of three sizes have an
    impossible twin each."""
    possible = [Errand(*values, True) for values in itertools.product(STEPS, SIZES, CLUTTER)]
    impossible = [
        Errand(steps, size, 0.0, False) for steps, size in itertools.product(STEPS, SIZES[:3])
    ]
    return possible + impossible


ERRANDS = all_errands()


def make_env(
    errand: Errand, num_agents: int = NUM_AGENTS, max_steps: int = MAX_STEPS
) -> MettaGridConfig:
    """The environment of one errand; its map seed is left open."""
    objects: dict[str, Any] = {"wall": WallConfig()}
    for station, made, needed in zip(STATIONS, CHAIN, (None, *CHAIN), strict=False):
        objects[station] = converter(station, {needed: 1} if needed else {}, {made: 1})
    counts: dict[str, int] = {
        station: 1 for station in STATIONS if errand.possible or station != "altar"
    }
    inside = (errand.size - 2) ** 2
    if errand.clutter:
        counts["wall"] = round(errand.clutter * (inside - len(counts) - num_agents))
    actions = movement()
    actions.move.allowed_directions = list(
        actions.move.allowed_directions
    )  # the default is one list for all
    start = len(CHAIN) - errand.steps - 1
    return MettaGridConfig(
        label=errand.group,
        game=GameConfig(
            num_agents=num_agents,
            max_steps=max_steps,
            resource_names=list(CHAIN),
            objects=objects,
            obs=observation(window=7, num_agents=num_agents, num_resources=len(CHAIN)),
            actions=actions,
            agent=AgentConfig(
                rewards={"heart": held_reward("heart", 1.0)},
                inventory=InventoryConfig(
                    default_limit=1, initial={CHAIN[start]: 1} if start >= 0 else {}
                ),
            ),
            map_builder=RandomMapBuilder.Config(
                agents=num_agents,
                width=errand.size,
                height=errand.size,
                border_width=1,
                objects=counts,
            ),
        ),
    )


class ErrandGenerator(TaskGenerator[MettaGridConfig]):
    """Task id k is ``ERRANDS[k mod len(ERRANDS)]``, so that a pool of that many tasks holds each of
    them once."""

    class Config(TaskGeneratorConfig):
        num_agents: int = Field(default=NUM_AGENTS, ge=1, description="agents in each room")
        max_steps: int = Field(
            default=MAX_STEPS, ge=1, description="length of an episode, in steps"
        )

    def __init__(self, config: Config) -> None:
        super().__init__(
            config,
            axis_values={
                "steps": list(STEPS),
                "size": list(SIZES),
                "clutter": list(CLUTTER),
                "possible": [True, False],
            },
        )

    def _generate_task(self, task_id: int, rng: TaskRandom) -> MettaGridConfig:
        return make_env(errand_of(task_id), self.config.num_agents, self.config.max_steps)

    def _slice_values(self, task_id: int, rng: TaskRandom) -> dict[str, Any]:
        errand = errand_of(task_id)
        return {
            "steps": errand.steps,
            "size": errand.size,
            "clutter": errand.clutter,
            "possible": errand.possible,
        }

    def _task_label(self, task_id: int, rng: TaskRandom) -> str:
        return errand_of(task_id).group


def errand_of(task_id: int) -> Errand:
    """The errand of a task id."""
    return ERRANDS[task_id % len(ERRANDS)]
