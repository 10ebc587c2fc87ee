"""The arena: 24 agents mine ore, make batteries and hearts, and may shoot each other's hearts away.

Mines, generators and altars stand at random in a walled room; lasers and armor are made from the
same materials. The curriculum varies what decides how hard it is to get a heart: the size of the
room, how many objects there are, how far along the chain agents start, which steps of it are
rewarded and how much, and whether shooting is possible.
"""

from collections.abc import Mapping

from mettagrid.config.mettagrid_config import (
    AgentConfig,
    GameConfig,
    InventoryConfig,
    MettaGridConfig,
    ResourceLimitsConfig,
)
from mettagrid.map_builder.random_map import RandomMapBuilder

from experiments.recipes.blocks import (
    CHAIN_RESOURCES,
    HEIGHT,
    WIDTH,
    chain_objects,
    combat,
    count_path,
    gained_reward,
    held_reward,
    movement,
    observation,
    rendering,
    vary_rooms,
    weight_path,
)
from metta.cogworks.curriculum import CurriculumConfig, LearningProgressConfig, TaskGeneratorConfig
from metta.rl.config import TrainingEnvConfig
from metta.tools.evaluate import EvaluateTool
from metta.tools.play import PlayTool
from metta.tools.train import TrainTool

STEPS = ("ore_red", "battery_red", "laser", "armor")
"""What an agent can gain on its way to hearts and to safety: the resources whose gain can be
rewarded."""

PEACE = 100
"""An attack cost that nobody can pay, because an agent holds at most 50 lasers: the value of
mettagrid's own arena."""

SHAPED = {"ore_red": 0.1, "battery_red": 0.8, "laser": 0.5, "armor": 0.5}
"""Rewards of the steps in the older shaped recipe, where a heart is worth 1."""

ROOM_BUCKETS = {
    WIDTH: [15, 20, 25, 30],  # 25 is the side of mettagrid's arena
    HEIGHT: [15, 20, 25, 30],
    count_path("mine_red"): [5, 10, 20],
    count_path("generator_red"): [2, 5, 10],
    count_path("altar"): [2, 5, 10],
    "game.agent.inventory.initial.battery_red": [0, 1, 3],  # 3 is a heart at once
    "game.agent.inventory.default_limit": [
        3,
        10,
        50,
    ],  # how much can be hoarded; 3 is just a heart's price
}
"""What makes hearts near or far. The smallest room has 169 free cells for up to 62 objects and the
agents."""

REWARD_BUCKETS = {weight_path(resource): [0.0, 0.1, 0.5, 1.0] for resource in STEPS}
"""Which steps are rewarded, and how much: the values of the older recipe."""


def make_env(
    num_agents: int = 24,
    max_steps: int = 100,
    batteries_per_heart: int = 3,
    attack_cost: int = 1,
    shaping: Mapping[str, float] | None = None,
    label: str = "arena",
) -> MettaGridConfig:
    """One arena.

    Args:
        num_agents: 24, as in mettagrid's arena.
        max_steps: length of an episode. In 100 steps an agent that knows the way makes several
            hearts, and a short run already completes tasks; mettagrid's own default is 10,000.
        batteries_per_heart: price of a heart, see `chain_objects`.
        attack_cost: lasers that a shot costs, see `combat`; `PEACE` for none.
        shaping: resource of `STEPS` -> reward for each one gained. Default: none.
        label: name of these tasks in statistics.
    """
    shaping = shaping or {}
    rewards = {resource: gained_reward(resource, shaping.get(resource, 0.0)) for resource in STEPS}
    return MettaGridConfig(
        label=label,
        game=GameConfig(
            num_agents=num_agents,
            max_steps=max_steps,
            resource_names=list(CHAIN_RESOURCES),
            objects=chain_objects(batteries_per_heart=batteries_per_heart),
            obs=observation(window=11, num_agents=num_agents, num_resources=len(CHAIN_RESOURCES)),
            actions=movement(),
            render=rendering(),
            agent=AgentConfig(
                rewards={"heart": held_reward("heart", 1.0), **rewards},
                inventory=InventoryConfig(
                    default_limit=50,  # this and the next line as in mettagrid's arena
                    limits={"heart": ResourceLimitsConfig(base=255, resources=["heart"])},
                    initial={"battery_red": 0},
                ),
                on_use_handler=combat(attack_cost),
            ),
            map_builder=RandomMapBuilder.Config(
                agents=num_agents,
                width=25,
                height=25,
                border_width=1,
                objects={
                    "mine_red": 10,
                    "generator_red": 5,
                    "altar": 5,
                    "lasery": 1,
                    "armory": 1,
                    "wall": 20,
                },
            ),
        ),
    )


def make_tasks(num_agents: int = 24, max_steps: int = 100) -> TaskGeneratorConfig:
    """Arenas with and without shooting, in all sizes, with all rewards for the steps."""
    arenas = [
        make_env(num_agents, max_steps, attack_cost=1, label="arena.combat"),
        make_env(num_agents, max_steps, attack_cost=PEACE, label="arena.peaceful"),
    ]
    return vary_rooms(arenas, {**ROOM_BUCKETS, **REWARD_BUCKETS})


def make_curriculum(num_agents: int = 24, max_steps: int = 100) -> CurriculumConfig:
    """`make_tasks`, chosen by learning progress."""
    return make_tasks(num_agents, max_steps).to_curriculum(
        algorithm_config=LearningProgressConfig.default()
    )


def train(num_agents: int = 24, max_steps: int = 100) -> TrainTool:
    """Train in arenas of all sizes, where the steps towards a heart are rewarded much, little or
    not at all.

    Args:
        num_agents: agents in the arena. 24, as in mettagrid's arena.
        max_steps: length of an episode, see `make_env`.
    """
    return TrainTool(
        training_env=TrainingEnvConfig(curriculum=make_curriculum(num_agents, max_steps))
    )


def train_shaped(
    num_agents: int = 24, max_steps: int = 100, batteries_per_heart: int = 1
) -> TrainTool:
    """Train with every step towards a heart rewarded, without shooting; only the room varies.

    Args:
        num_agents: agents in the arena. 24, as in mettagrid's arena.
        max_steps: length of an episode, see `make_env`.
        batteries_per_heart: price of a heart. 1, as in the older shaped recipe.
    """
    env = make_env(num_agents, max_steps, batteries_per_heart, PEACE, SHAPED, label="arena.shaped")
    curriculum = vary_rooms([env], ROOM_BUCKETS).to_curriculum(
        algorithm_config=LearningProgressConfig.default()
    )
    return TrainTool(training_env=TrainingEnvConfig(curriculum=curriculum))


def evaluate(num_agents: int = 24, max_steps: int = 100) -> EvaluateTool:
    """Rewards of a trained policy (run=NAME) on arenas drawn uniformly; policy=random for
    comparison."""
    return EvaluateTool(curriculum=make_curriculum(num_agents, max_steps))


def play(num_agents: int = 24, max_steps: int = 100) -> PlayTool:
    """Watch one episode of a trained policy (run=NAME), or of random actions (policy=random)."""
    return PlayTool(curriculum=make_curriculum(num_agents, max_steps))
