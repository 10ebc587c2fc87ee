"""Maps are repeatable, and evaluation never sees a map of training."""

from typing import Any

from mettagrid.builder.envs import make_arena, make_navigation
from mettagrid.config.mettagrid_config import MettaGridConfig
from mettagrid.map_builder.ascii import AsciiMapBuilder
from mettagrid.simulator import Simulator

from metta.sim.map_seeds import EVALUATION_SEEDS, TRAINING_SEEDS, SeededMaps, with_map_seed


def seed_of(config: MettaGridConfig) -> int | None:
    builder: Any = config.game.map_builder
    return builder.seed


def layout(config: MettaGridConfig) -> dict[Any, Any]:
    simulation = Simulator().new_simulation(config)
    places = {(o["r"], o["c"]): o["type_name"] for o in simulation.grid_objects().values()}
    simulation.close()
    return places


def test_the_ranges_do_not_meet():
    assert TRAINING_SEEDS.stop <= EVALUATION_SEEDS.start


def test_the_configuration_given_is_left_alone():
    config = make_navigation(num_agents=2)
    seeded = with_map_seed(config, 3)
    assert seed_of(seeded) == 3
    assert seed_of(config) is None


def test_the_same_seed_gives_the_same_map():
    for config in (make_navigation(num_agents=2), make_arena(num_agents=6)):
        assert layout(with_map_seed(config, 3)) == layout(with_map_seed(config, 3))
        assert layout(with_map_seed(config, 3)) != layout(with_map_seed(config, 4))


def test_a_seed_in_the_configuration_is_kept():
    config = with_map_seed(make_navigation(num_agents=2), 11)
    assert with_map_seed(config, 3) is config


def test_a_map_without_randomness_needs_no_seed():
    config = make_navigation(num_agents=1)
    config.game.map_builder = AsciiMapBuilder.Config(
        map_data=[list("###"), list("#@#"), list("###")],
        char_to_map_name={"#": "wall", "@": "agent.agent", ".": "empty"},
    )
    assert with_map_seed(config, 3) is config


def test_every_environment_and_session_has_a_stream_of_its_own():
    class Env:
        def set_mg_config(self, config: MettaGridConfig) -> None:
            seeds.append(seed_of(config))

    config = make_navigation(num_agents=2)
    streams = []
    for entropy in ((0, 0, 0), (0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 4096, 0)):
        seeds: list[int | None] = []
        apply = SeededMaps(*entropy)
        for _ in range(5):
            apply(Env(), config)
        streams.append(tuple(seeds))
    assert streams[0] == streams[1]
    assert len(set(streams)) == 4
    assert all(seed in TRAINING_SEEDS for stream in streams for seed in stream)
