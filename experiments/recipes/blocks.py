"""Building blocks of the recipes: resource chains, combat, rewards and rooms for mettagrid.

mettagrid has objects with handlers instead of converters: an agent that walks against an object
uses it, and the handler says what must be held (filters) and what changes (mutations). From that,
`converter` makes the steps of a chain:

    mine_red --ore_red--> generator_red --battery_red--> altar --> heart

A bucket that should vary one of these numbers needs its dotted path: `count_path`, `weight_path`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from mettagrid.config.action_config import ActionsConfig, ChangeVibeActionConfig
from mettagrid.config.filter import actorHas, isNot, targetHas
from mettagrid.config.game_value import InventoryValue, StatValue
from mettagrid.config.handler_config import AnyHandler, FirstMatch, Handler
from mettagrid.config.mettagrid_config import (
    AnyGridObjectConfig,
    GridObjectConfig,
    InventoryConfig,
    MettaGridConfig,
    WallConfig,
)
from mettagrid.config.mutation import updateActor, updateTarget, withdraw
from mettagrid.config.obs_config import GlobalObsConfig, ObsConfig
from mettagrid.config.render_config import RenderConfig
from mettagrid.config.reward_config import AgentReward, reward
from mettagrid.map_builder.random_map import RandomMapBuilderConfig

from metta.cogworks.curriculum import BucketedTaskGenerator, bucketed, merge

WIDTH = "game.map_builder.width"
HEIGHT = "game.map_builder.height"

CHAIN_RESOURCES: tuple[str, ...] = ("ore_red", "battery_red", "laser", "armor", "heart")
"""What agents of the arena can hold, in the order of the observation."""


SYMBOLS = {
    "altar": "💛",
    "mine_red": "🔺",
    "generator_red": "🔋",
    "lasery": "🔫",
    "armory": "🧱",
    "hub": "🏠",
    "carbon_extractor": "⚫",
    "oxygen_extractor": "🔵",
    "germanium_extractor": "🟣",
    "silicon_extractor": "🟠",
}
"""How the recipes' objects look in a terminal; agents are coloured squares and walls white ones."""


# -- objects


def converter(name: str, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> GridObjectConfig:
    """An object that turns resources of the agent that uses it into others.

    Args:
        name: name of the object, also in the map builder's counts.
        inputs: resource -> amount that the agent needs and loses. Empty: a source, which never runs
            dry.
        outputs: resource -> amount that the agent gets, up to its inventory limit.
    """
    deltas = {resource: -amount for resource, amount in inputs.items()}
    for resource, amount in outputs.items():
        deltas[resource] = deltas.get(resource, 0) + amount
    return GridObjectConfig(
        name=name,
        on_use_handler=Handler(
            name=name,
            filters=[actorHas(dict(inputs))] if inputs else [],
            mutations=[updateActor(deltas)],
        ),
    )


def stock(name: str, resource: str, amount: int) -> GridObjectConfig:
    """An object that holds `amount` of a resource, gives one at each use, and disappears when it is
    empty."""
    return GridObjectConfig(
        name=name,
        inventory=InventoryConfig(initial={resource: amount}),
        on_use_handler=Handler(
            name=name,
            filters=[targetHas({resource: 1})],
            mutations=[withdraw({resource: 1}, remove_when_empty=True)],
        ),
    )


def chain_objects(
    ore_per_battery: int = 1, batteries_per_heart: int = 1
) -> dict[str, AnyGridObjectConfig]:
    """Walls and the five objects of the arena: mine, generator, altar, lasery and armory.

    Args:
        ore_per_battery: ore that the generator takes. 1, as in mettagrid's arena while it had
            converters.
        batteries_per_heart: batteries that the altar takes. Its arena took 3, the easy recipes 1.
    """
    return {
        "wall": WallConfig(),
        "mine_red": converter("mine_red", {}, {"ore_red": 1}),
        "generator_red": converter(
            "generator_red", {"ore_red": ore_per_battery}, {"battery_red": 1}
        ),
        "altar": converter("altar", {"battery_red": batteries_per_heart}, {"heart": 1}),
        "lasery": converter("lasery", {"ore_red": 1, "battery_red": 1}, {"laser": 1}),
        "armory": converter("armory", {"ore_red": 3}, {"armor": 1}),
    }


def combat(attack_cost: int) -> AnyHandler:
    """Handler for an agent that another one walks against: the other shoots if it holds enough
    lasers.

    One armor of the target absorbs the shot; without armor it loses a heart to the shooter. Either
    way the shot costs `attack_cost` lasers. A cost above the inventory limit makes a peaceful
    arena.
    """
    shot = {"laser": -attack_cost}
    armed = actorHas({"laser": attack_cost})
    armored = targetHas({"armor": 1})
    return FirstMatch(
        handlers=[
            Handler(
                name="blocked",
                filters=[armed, armored],
                mutations=[updateActor(shot), updateTarget({"armor": -1})],
            ),
            Handler(
                name="hit",
                filters=[armed, isNot(armored), targetHas({"heart": 1})],
                mutations=[updateActor(shot), withdraw({"heart": 1})],
            ),
        ]
    )


# -- rewards


def held_reward(resource: str, weight: float) -> AgentReward:
    """`weight` for each one that the agent holds: paid when it comes, taken back when it goes."""
    return reward(InventoryValue(item=resource), weight=weight)


def gained_reward(resource: str, weight: float) -> AgentReward:
    """`weight` for each one that the agent ever gets; using it up costs nothing.

    What can be gained without using it is bounded by the inventory limit. (mettagrid can also cap
    the sum, but its `MinGameValue` comes back from JSON as a `SumGameValue`, so a saved
    configuration would pay other rewards.)
    """
    return reward(StatValue(name=f"{resource}.gained"), weight=weight)


def weight_path(resource: str) -> str:
    """Path of the weight of a reward that stands under the name of its resource."""
    return f"game.agent.rewards.{resource}.reward.weights.0"


# -- rooms


def count_path(name: str) -> str:
    """Path of how many objects of a kind mettagrid's `RandomMapBuilder` places."""
    return f"game.map_builder.objects.{name}"


def vary_rooms(
    envs: Sequence[MettaGridConfig], buckets: Mapping[str, Sequence[Any]]
) -> BucketedTaskGenerator.Config:
    """Tasks that vary the rooms, made by mettagrid's `RandomMapBuilder`, of one or several
    environments.

    Raises:
        ValueError: in the smallest room with the most objects there is no place for all agents.
            (The map builder would try for ever.)
    """
    for env in envs:
        _check_places(env, buckets)
    return bucketed(envs[0] if len(envs) == 1 else merge(envs), buckets)


def _check_places(env: MettaGridConfig, buckets: Mapping[str, Sequence[Any]]) -> None:
    builder = cast(RandomMapBuilderConfig, env.game.map_builder)
    width = min(buckets.get(WIDTH, [builder.width])) - 2 * builder.border_width
    height = min(buckets.get(HEIGHT, [builder.height])) - 2 * builder.border_width
    objects = sum(
        max(buckets.get(count_path(name), [count])) for name, count in builder.objects.items()
    )
    places = width * height - objects
    if env.game.num_agents > places:
        raise ValueError(
            f"num_agents={env.game.num_agents} is too many for {env.label}: its smallest room has "
            f"{width} x {height} "
            f"cells, of which objects take up to {objects}; use at most {places}"
        )


def rendering() -> RenderConfig:
    """Shows objects as `SYMBOLS`."""
    return RenderConfig(symbols=dict(SYMBOLS))


def movement() -> ActionsConfig:
    """Five actions: stay, and walk in four directions. Walking against an object or an agent uses
    it."""
    return ActionsConfig(change_vibe=ChangeVibeActionConfig(enabled=False))


def observation(
    window: int,
    num_agents: int,
    num_resources: int,
    inventory_objects: int = 0,
    global_tokens: bool = True,
) -> ObsConfig:
    """A view `window` cells across, with room for the fullest one that is possible.

    mettagrid stops the simulation when an observation needs more tokens than `num_tokens`. A view
    needs three global tokens, one for each cell with an object, three for each agent (type, group,
    id), and one for each kind of resource that an agent or an object holds. It is round: with the
    radius r = window // 2, the cells at (x, y) from the agent for which x² + y² ≤ r² + 1, or ≤ 1
    for r = 1 (found by filling maps, as the test of this function does).

    Args:
        window: odd number of cells; at most 15, because a position is packed into two times four
            bits.
        num_agents: agents of the environment; all of them may be in view.
        num_resources: kinds of resources that a thing can hold at once.
        inventory_objects: objects in view at once that hold resources.
        global_tokens: tell the agent the share of the episode that is over, its last action and its
            last reward.
    """
    radius = window // 2
    offsets = range(-radius, radius + 1)
    cells = sum(x * x + y * y <= radius * radius + (radius > 1) for x in offsets for y in offsets)
    agents = min(num_agents, cells)
    holders = min(agents + inventory_objects, cells)
    tokens = 3 + cells + 2 * agents + num_resources * holders
    return ObsConfig(
        width=window,
        height=window,
        num_tokens=tokens,
        global_obs=GlobalObsConfig(
            episode_completion_pct=global_tokens,
            last_action=global_tokens,
            last_reward=global_tokens,
        ),
    )
