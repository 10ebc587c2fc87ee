"""Navigation: find the altars. Each holds one heart and disappears when it has given it.

Three terrains: an open room, a room cluttered with walls, and rooms joined by corridors. Size and
number of altars vary in each; a large, winding map with few altars is the hardest.
"""

from mettagrid.config.mettagrid_config import (
    AgentConfig,
    GameConfig,
    InventoryConfig,
    MettaGridConfig,
    WallConfig,
)
from mettagrid.map_builder.map_builder import MapBuilderConfig
from mettagrid.map_builder.random_map import RandomMapBuilder
from mettagrid.mapgen.mapgen import MapGen
from mettagrid.mapgen.scene import ChildrenAction
from mettagrid.mapgen.scenes.bsp import BSP
from mettagrid.mapgen.scenes.random import Random

from experiments.recipes.blocks import (
    HEIGHT,
    WIDTH,
    count_path,
    held_reward,
    movement,
    observation,
    rendering,
    stock,
    vary_rooms,
)
from metta.cogworks.curriculum import CurriculumConfig, LearningProgressConfig, bucketed, merge
from metta.rl.config import TrainingEnvConfig
from metta.tools.evaluate import EvaluateTool
from metta.tools.play import PlayTool
from metta.tools.train import TrainTool

SIZES = [12, 18, 24, 32]
"""Sides of the map. The smallest has 100 free cells, for up to 24 altars, 30 walls and the
agents."""

ALTARS = [3, 6, 12, 24]

_ROOMS = "game.map_builder.instance.rooms"
_ALTARS_IN_ROOMS = "game.map_builder.instance.children.0.scene.objects.altar"


def _open(num_agents: int, walls: int) -> MapBuilderConfig:
    objects = {"altar": 6, "wall": walls} if walls else {"altar": 6}
    return RandomMapBuilder.Config(
        agents=num_agents, width=18, height=18, border_width=1, objects=objects
    )


def _rooms(num_agents: int) -> MapBuilderConfig:
    """Rooms joined by corridors. Nearly always all are connected; an altar that is not cannot be
    found."""
    things = Random.Config(agents=num_agents, objects={"altar": 6})
    layout = BSP.Config(
        rooms=4,
        min_room_size=3,
        min_room_size_ratio=0.4,  # of the part of the map that a room lies in
        max_room_size_ratio=0.9,
        children=[ChildrenAction(scene=things, where="full")],
    )
    return MapGen.Config(width=18, height=18, border_width=1, instance=layout)


def make_env(num_agents: int = 4, max_steps: int = 100, terrain: str = "open") -> MettaGridConfig:
    """One map with six altars.

    Args:
        num_agents: 4, few enough that they seldom stand in each other's way.
        max_steps: length of an episode: three times what crossing the largest map takes.
        terrain: "open", "cluttered" or "rooms".

    Raises:
        ValueError: another terrain.
    """
    if terrain == "open":
        map_builder = _open(num_agents, walls=0)
    elif terrain == "cluttered":
        map_builder = _open(num_agents, walls=20)
    elif terrain == "rooms":
        map_builder = _rooms(num_agents)
    else:
        raise ValueError(f"terrain={terrain!r} does not exist; use 'open', 'cluttered' or 'rooms'")
    return MettaGridConfig(
        label=f"navigation.{terrain}",
        game=GameConfig(
            num_agents=num_agents,
            max_steps=max_steps,
            resource_names=["heart"],
            objects={"wall": WallConfig(), "altar": stock("altar", "heart", 1)},
            obs=observation(
                window=11,
                num_agents=num_agents,
                num_resources=1,
                inventory_objects=max(ALTARS),
                global_tokens=True,
            ),
            actions=movement(),
            render=rendering(),
            agent=AgentConfig(
                rewards={"heart": held_reward("heart", 1.0)},
                inventory=InventoryConfig(default_limit=255),
            ),
            map_builder=map_builder,
        ),
    )


def make_curriculum(num_agents: int = 4, max_steps: int = 100) -> CurriculumConfig:
    """All terrains in all sizes with few or many altars, chosen by learning progress."""
    sizes = {WIDTH: SIZES, HEIGHT: SIZES}
    tasks = merge(
        [
            vary_rooms(
                [make_env(num_agents, max_steps, "open")], {**sizes, count_path("altar"): ALTARS}
            ),
            vary_rooms(
                [make_env(num_agents, max_steps, "cluttered")],
                {**sizes, count_path("altar"): ALTARS, count_path("wall"): [10, 20, 30]},
            ),
            bucketed(
                make_env(num_agents, max_steps, "rooms"),
                {**sizes, _ALTARS_IN_ROOMS: ALTARS, _ROOMS: [2, 4, 6]},
            ),
        ]
    )
    return tasks.to_curriculum(algorithm_config=LearningProgressConfig.default())


def train(num_agents: int = 4, max_steps: int = 100) -> TrainTool:
    """Train to find altars in open, cluttered and divided maps.

    Args:
        num_agents: agents on a map, see `make_env`.
        max_steps: length of an episode, see `make_env`.
    """
    return TrainTool(
        training_env=TrainingEnvConfig(
            curriculum=make_curriculum(num_agents, max_steps), num_envs=16
        )
    )


def evaluate(num_agents: int = 4, max_steps: int = 100) -> EvaluateTool:
    """Altars found by a trained policy (run=NAME) on maps drawn uniformly; policy=random for
    comparison."""
    return EvaluateTool(curriculum=make_curriculum(num_agents, max_steps))


def play(num_agents: int = 4, max_steps: int = 100) -> PlayTool:
    """Watch one episode of a trained policy (run=NAME), or of random actions (policy=random)."""
    return PlayTool(curriculum=make_curriculum(num_agents, max_steps))
