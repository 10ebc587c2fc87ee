"""Cogs vs Clips, level 1: the cogs learn to supply their hub. The clips come in later levels.

Four kinds of extractors give one element each. A cog carries a few of them to the hub, where they
are pooled; when the hub holds enough of every element, the next cog to use it assembles a heart.
Each heart rewards the whole team, however the work was shared.
"""

from mettagrid.config.filter import targetHas
from mettagrid.config.game_value import Scope, StatValue
from mettagrid.config.handler_config import FirstMatch, Handler
from mettagrid.config.mettagrid_config import (
    AgentConfig,
    GameConfig,
    GridObjectConfig,
    InventoryConfig,
    MettaGridConfig,
    ResourceLimitsConfig,
    WallConfig,
)
from mettagrid.config.mutation import deposit, logStatToGame, updateActor, updateTarget
from mettagrid.config.reward_config import reward
from mettagrid.map_builder.random_map import RandomMapBuilder

from experiments.recipes.blocks import (
    HEIGHT,
    WIDTH,
    converter,
    count_path,
    movement,
    observation,
    rendering,
    vary_rooms,
)
from metta.cogworks.curriculum import CurriculumConfig, LearningProgressConfig
from metta.rl.config import TrainingEnvConfig
from metta.tools.evaluate import EvaluateTool
from metta.tools.play import PlayTool
from metta.tools.train import TrainTool

ELEMENTS: tuple[str, ...] = ("carbon", "oxygen", "germanium", "silicon")
"""The elements of Cogs vs Clips, in the order of the observation."""

HEARTS_MADE = "hearts.made"
"""Statistic of the game: how many hearts the team assembled."""

PRICES = (1, 2)
"""How many of each element a heart takes."""

_DELIVERY_REWARD = "game.agent.rewards.delivery.reward.weights"


def hub(elements_per_heart: int) -> GridObjectConfig:
    """Pools elements; assembles a heart for the user when it can, otherwise takes all elements that
    the user carries."""
    price = dict.fromkeys(ELEMENTS, elements_per_heart)
    spent = {element: -amount for element, amount in price.items()}
    return GridObjectConfig(
        name="hub",
        inventory=InventoryConfig(
            # 100 is out of reach in an episode and still one observation token.
            limits={
                element: ResourceLimitsConfig(base=100, resources=[element]) for element in ELEMENTS
            },
            initial=dict.fromkeys(ELEMENTS, 0),
        ),
        on_use_handler=FirstMatch(
            handlers=[
                Handler(
                    name="assemble",
                    filters=[targetHas(price)],
                    mutations=[
                        updateTarget(spent),
                        updateActor({"heart": 1}),
                        logStatToGame(HEARTS_MADE),
                    ],
                ),
                Handler(name="deposit", mutations=[deposit(dict.fromkeys(ELEMENTS, -1))]),
            ]
        ),
    )


def make_env(
    num_agents: int = 4, max_steps: int = 150, elements_per_heart: int = 1
) -> MettaGridConfig:
    """A room with one hub and two extractors of each kind.

    Args:
        num_agents: cogs. 4, one for each element.
        max_steps: length of an episode: in the largest room, about ten walks from wall to wall.
        elements_per_heart: how many of each element a heart takes.
    """
    extractors = {
        f"{element}_extractor": converter(f"{element}_extractor", {}, {element: 1})
        for element in ELEMENTS
    }
    delivered = [
        StatValue(name=f"{element}.lost") for element in ELEMENTS
    ]  # a cog loses elements to the hub only
    return MettaGridConfig(
        label=f"level_1.price_{elements_per_heart}",
        game=GameConfig(
            num_agents=num_agents,
            max_steps=max_steps,
            resource_names=[*ELEMENTS, "heart"],
            objects={"wall": WallConfig(), "hub": hub(elements_per_heart), **extractors},
            obs=observation(
                window=11,
                num_agents=num_agents,
                num_resources=len(ELEMENTS) + 1,
                inventory_objects=1,
            ),
            actions=movement(),
            render=rendering(),
            agent=AgentConfig(
                rewards={
                    "hearts_made": reward(StatValue(name=HEARTS_MADE, scope=Scope.GAME)),
                    "delivery": reward(list(delivered), weight=0.1),
                },
                inventory=InventoryConfig(
                    limits={
                        "cargo": ResourceLimitsConfig(base=4, resources=list(ELEMENTS)),
                        "heart": ResourceLimitsConfig(base=255, resources=["heart"]),
                    },
                ),
            ),
            map_builder=RandomMapBuilder.Config(
                agents=num_agents,
                width=12,
                height=12,
                border_width=1,
                objects={"hub": 1, **dict.fromkeys(extractors, 2)},
            ),
        ),
    )


def make_curriculum(num_agents: int = 4, max_steps: int = 150) -> CurriculumConfig:
    """Rooms of all sizes, hubs that lack more or fewer elements, rich and poor extractors,
    deliveries rewarded or not."""
    tasks = vary_rooms(
        [make_env(num_agents, max_steps, price) for price in PRICES],
        {
            WIDTH: [9, 12, 16],  # the smallest has 49 free cells, for up to 17 objects and the cogs
            HEIGHT: [9, 12, 16],
            **{count_path(f"{element}_extractor"): [1, 2, 4] for element in ELEMENTS},
            **{f"game.objects.hub.inventory.initial.{element}": [0, 1, 5] for element in ELEMENTS},
            _DELIVERY_REWARD: [[weight] * len(ELEMENTS) for weight in (0.0, 0.02, 0.1)],
        },
    )
    return tasks.to_curriculum(algorithm_config=LearningProgressConfig.default())


def train(num_agents: int = 4, max_steps: int = 150) -> TrainTool:
    """Train four cogs to supply their hub.

    Args:
        num_agents: cogs in the room, see `make_env`.
        max_steps: length of an episode, see `make_env`.
    """
    return TrainTool(
        training_env=TrainingEnvConfig(
            curriculum=make_curriculum(num_agents, max_steps), num_envs=16
        )
    )


def evaluate(num_agents: int = 4, max_steps: int = 150) -> EvaluateTool:
    """Rewards of a trained policy (run=NAME) on rooms drawn uniformly; policy=random for
    comparison."""
    return EvaluateTool(curriculum=make_curriculum(num_agents, max_steps))


def play(num_agents: int = 4, max_steps: int = 150) -> PlayTool:
    """Watch one episode of a trained policy (run=NAME), or of random actions (policy=random)."""
    return PlayTool(curriculum=make_curriculum(num_agents, max_steps))
