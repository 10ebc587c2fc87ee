"""Plays an environment by script, as a test of what its recipe promises: walk to the nearest object
and use it."""

from collections import deque

import numpy as np
from mettagrid.config.mettagrid_config import MettaGridConfig
from mettagrid.map_builder.random_map import RandomMapBuilderConfig
from mettagrid.simulator import Simulation

from metta.sim.map_seeds import with_map_seed

_STEPS = {"move_north": (-1, 0), "move_south": (1, 0), "move_west": (0, -1), "move_east": (0, 1)}


def free_cells(builder: RandomMapBuilderConfig) -> int:
    """Cells inside the walls of the maps that it makes."""
    return (builder.width - 2 * builder.border_width) * (builder.height - 2 * builder.border_width)


class ScriptedPlay:
    """One episode in which all agents stay where they are, except the one that the script moves.

    `config` is played as the recipe made it; only the seed of a random map is set, as in training.
    """

    def __init__(self, config: MettaGridConfig, seed: int = 0) -> None:
        self.simulation = Simulation(with_map_seed(config, seed), seed=seed)

    def close(self) -> None:
        self.simulation.close()

    def __enter__(self) -> "ScriptedPlay":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def act(self, action: str, agent: int = 0) -> np.ndarray:
        """One step. Returns the rewards of all agents."""
        for index in range(self.simulation.num_agents):
            self.simulation.agent(index).set_action(action if index == agent else "noop")
        self.simulation.step()
        return self.simulation._c_sim.rewards().copy()

    def use(self, target: str, times: int = 1, agent: int = 0) -> float:
        """Walk `agent` to the nearest object of type `target` and use it `times` times.

        Returns what the agent was rewarded by the uses alone.

        Raises:
            LookupError: no such object can be reached.
        """
        *walk, last = self.path(target, agent)
        for action in walk:
            self.act(action, agent)
        return sum(float(self.act(last, agent)[agent]) for _ in range(times))

    def path(self, target: str, agent: int = 0) -> list[str]:
        """Shortest sequence of moves whose last one bumps into a `target`: breadth first."""
        objects = self.simulation.grid_objects().values()
        occupied = {(thing["r"], thing["c"]): thing for thing in objects}
        start = next(cell for cell, thing in occupied.items() if thing.get("agent_id") == agent)
        paths: dict[tuple[int, int], list[str]] = {start: []}
        queue = deque([start])
        while queue:
            cell = queue.popleft()
            for action, (down, right) in _STEPS.items():
                neighbour = (cell[0] + down, cell[1] + right)
                thing = occupied.get(neighbour)
                if (
                    thing is not None
                    and thing["type_name"] == target
                    and thing.get("agent_id") != agent
                ):
                    return [*paths[cell], action]
                if thing is None and neighbour not in paths and self._is_inside(neighbour):
                    paths[neighbour] = [*paths[cell], action]
                    queue.append(neighbour)
        raise LookupError(f"agent {agent} cannot reach any {target}")

    def _is_inside(self, cell: tuple[int, int]) -> bool:
        return (
            0 <= cell[0] < self.simulation.map_height and 0 <= cell[1] < self.simulation.map_width
        )

    def held(self, resource: str, agent: int = 0) -> int:
        """How many of a resource the agent holds, as it observes it."""
        return self.simulation.agent(agent).inventory.get(resource, 0)
