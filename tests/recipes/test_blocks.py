"""The building blocks, in the smallest world that shows what they do: one row of cells."""

import numpy as np
import pytest
from mettagrid.config.mettagrid_config import (
    AgentConfig,
    GameConfig,
    InventoryConfig,
    MettaGridConfig,
    WallConfig,
)
from mettagrid.simulator import Simulation
from scripted_play import ScriptedPlay

from experiments.recipes.blocks import (
    CHAIN_RESOURCES,
    chain_objects,
    combat,
    converter,
    gained_reward,
    held_reward,
    movement,
    observation,
    stock,
)


def corridor(row: str, objects: dict, agent: AgentConfig, window: int = 5) -> MettaGridConfig:
    """`@` is an agent, `.` free, `#` a wall; other letters are the first letters of objects."""
    names = {name[0]: name for name in objects} | {"#": "wall", ".": "empty", "@": "agent.agent"}
    game = GameConfig(
        num_agents=row.count("@"),
        max_steps=100,
        resource_names=list(CHAIN_RESOURCES),
        objects={"wall": WallConfig(), **objects},
        obs=observation(window, row.count("@"), len(CHAIN_RESOURCES), inventory_objects=len(row)),
        actions=movement(),
        agent=agent,
    )
    walls = "#" * len(row)
    return MettaGridConfig(game=game).with_ascii_map([list(walls), list(row), list(walls)], names)


def play(
    config: MettaGridConfig, actions: list[str], agent: int = 0
) -> tuple[Simulation, list[np.ndarray]]:
    simulation = Simulation(config, seed=0)
    rewards = []
    for action in actions:
        for index in range(simulation.num_agents):
            simulation.agent(index).set_action(action if index == agent else "noop")
        simulation.step()
        rewards.append(simulation._c_sim.rewards().copy())
    return simulation, rewards


def test_converter_takes_its_inputs_and_gives_its_outputs():
    agent = AgentConfig(inventory=InventoryConfig(initial={"ore_red": 5}))
    config = corridor(
        "#@k#", {"kiln": converter("kiln", {"ore_red": 2}, {"battery_red": 3})}, agent
    )

    simulation, _ = play(config, ["move_east"] * 2)
    assert simulation.agent(0).inventory == {"ore_red": 1, "battery_red": 6}


def test_converter_does_nothing_for_an_agent_that_lacks_inputs():
    agent = AgentConfig(inventory=InventoryConfig(initial={"ore_red": 1}))
    config = corridor(
        "#@k#", {"kiln": converter("kiln", {"ore_red": 2}, {"battery_red": 3})}, agent
    )

    simulation, _ = play(config, ["move_east"])
    assert simulation.agent(0).inventory == {"ore_red": 1}
    assert not simulation.agent(0).last_action_success


def test_source_gives_up_to_the_inventory_limit():
    agent = AgentConfig(inventory=InventoryConfig(default_limit=2))
    simulation, _ = play(
        corridor("#@k#", {"kiln": converter("kiln", {}, {"ore_red": 1})}, agent), ["move_east"] * 5
    )
    assert simulation.agent(0).inventory == {"ore_red": 2}


def test_stock_gives_what_it_holds_and_disappears():
    config = corridor("#@k#", {"kiln": stock("kiln", "heart", 2)}, AgentConfig())

    simulation, _ = play(config, ["move_east"] * 2)
    assert simulation.agent(0).inventory == {"heart": 2}
    assert "kiln" not in {thing["type_name"] for thing in simulation.grid_objects().values()}

    simulation, _ = play(config, ["move_east"] * 3)
    assert simulation.agent(0).last_action_success  # its cell is free now: the third move is a step


@pytest.mark.parametrize(
    ("item", "needs"),
    [
        ("generator_red", {"ore_red": 2}),
        ("altar", {"battery_red": 3}),
        ("lasery", {"ore_red": 1, "battery_red": 1}),
        ("armory", {"ore_red": 3}),
    ],
)
def test_chain_object_works_with_its_price_and_not_below(item, needs):
    objects = {"kiln": chain_objects(ore_per_battery=2, batteries_per_heart=3)[item]}
    objects["kiln"].name = objects["kiln"].map_name = "kiln"
    product = {
        "generator_red": "battery_red",
        "altar": "heart",
        "lasery": "laser",
        "armory": "armor",
    }[item]

    enough = AgentConfig(inventory=InventoryConfig(initial=needs))
    simulation, _ = play(corridor("#@k#", objects, enough), ["move_east"])
    assert simulation.agent(0).inventory == {product: 1}

    for resource, amount in needs.items():
        short = AgentConfig(inventory=InventoryConfig(initial={**needs, resource: amount - 1}))
        simulation, _ = play(corridor("#@k#", objects, short), ["move_east"])
        assert simulation.agent(0).inventory.get(product, 0) == 0


# Both agents begin with the same; the first shoots once. Then: what the shooter and the target
# hold.
@pytest.mark.parametrize(
    ("attack_cost", "initial", "shooter", "target"),
    [
        (1, {"laser": 2, "heart": 1}, {"laser": 1, "heart": 2}, {"laser": 2}),
        (2, {"laser": 2, "heart": 1}, {"heart": 2}, {"laser": 2}),
        (
            3,
            {"laser": 2, "heart": 1},
            {"laser": 2, "heart": 1},
            {"laser": 2, "heart": 1},
        ),  # cannot afford a shot
        # armor is used up before the heart
        (
            1,
            {"laser": 2, "heart": 1, "armor": 1},
            {"laser": 1, "heart": 1, "armor": 1},
            {"laser": 2, "heart": 1},
        ),
        (1, {"laser": 2}, {"laser": 2}, {"laser": 2}),  # nothing to lose: no shot
    ],
)
def test_combat(attack_cost, initial, shooter, target):
    agent = AgentConfig(
        inventory=InventoryConfig(initial=initial), on_use_handler=combat(attack_cost)
    )
    simulation, _ = play(corridor("#@@#", {}, agent), ["move_east"])
    assert simulation.agent(0).inventory == shooter
    assert simulation.agent(1).inventory == target


def test_held_reward_is_taken_back_when_the_resource_goes():
    agent = AgentConfig(
        inventory=InventoryConfig(initial={"laser": 1, "heart": 1}),
        on_use_handler=combat(1),
        rewards={"heart": held_reward("heart", 2.0)},
    )
    _, rewards = play(corridor("#@@#", {}, agent), ["noop", "move_east"])
    np.testing.assert_allclose(rewards, [[2, 2], [2, -2]])


def test_gained_reward_stays_when_the_resource_is_used():
    objects = {
        "mine": converter("mine", {}, {"ore_red": 1}),
        "kiln": converter("kiln", {"ore_red": 1}, {"battery_red": 1}),
    }
    agent = AgentConfig(rewards={"ore_red": gained_reward("ore_red", 0.1)})
    _, rewards = play(corridor("#m@k#", objects, agent), ["move_west", "move_east"] * 2)
    np.testing.assert_allclose([step[0] for step in rewards], [0.1, 0, 0.1, 0], atol=1e-6)


@pytest.mark.parametrize("window", [3, 5, 7, 9, 11, 13])
def test_observation_has_room_for_the_fullest_view_and_not_more(window):
    """An agent in the middle of a full grid, the others in its view, and everything holds one of
    everything."""
    agents, everything = 8, dict.fromkeys(CHAIN_RESOURCES, 1)
    grid = [["k"] * window for _ in range(window)]
    middle = window // 2
    for index in range(agents):
        grid[middle - 1 + index // 3][middle - 1 + index % 3] = "@"
    objects = {"kiln": stock("kiln", "heart", 1)}
    objects["kiln"].inventory.initial = everything
    config = corridor(
        "@" * agents, objects, AgentConfig(inventory=InventoryConfig(initial=everything))
    )
    config.with_ascii_map(grid, {"k": "kiln", "@": "agent.agent"})

    config.game.obs = observation(
        window, agents, len(CHAIN_RESOURCES), inventory_objects=window * window
    )
    simulation, _ = play(config, ["noop"])
    assert (
        max(len(agent.observation.tokens) for agent in simulation.agents())
        == config.game.obs.num_tokens
    )


def test_scripted_play_reports_what_cannot_be_reached():
    config = corridor("#@#k#", {"kiln": stock("kiln", "heart", 1)}, AgentConfig())
    with (
        ScriptedPlay(config) as play,
        pytest.raises(LookupError, match="agent 0 cannot reach any kiln"),
    ):
        play.use("kiln")
