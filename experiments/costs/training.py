"""What the curriculum costs beside an environment."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np

from experiments.costs.pools import Costs, noisy_scores, play, timed
from metta.cogworks.curriculum import (
    BucketedTaskGenerator,
    CurriculumEnv,
    LearningProgressConfig,
)

AGENTS, EPISODE_STEPS = 4, 50


def room_generator() -> BucketedTaskGenerator.Config:
    """Empty rooms of nine shapes, 4 agents, 50 steps."""
    from mettagrid.config.mettagrid_config import MettaGridConfig

    room = MettaGridConfig.EmptyRoom(num_agents=AGENTS)
    room.game.max_steps = EPISODE_STEPS
    config = BucketedTaskGenerator.Config.from_mg(room)
    return config.add_bucket("game.map_builder.width", [8, 10, 12]).add_bucket(
        "game.map_builder.height", [8, 10, 12]
    )


def throughput() -> Costs:
    """Agent steps a second of mettagrid with a curriculum, and with a fixed configuration from the
    same buckets.

    Both environments live in this process and take turns of five episodes. The fixed configuration
    changes from turn to turn, so that the shape of one room does not decide, and both environments
    are made anew five times, so that where they lie in memory does not. A turn's ratio has a
    standard deviation of 0.025, because its rooms differ; the median of 500 turns has a standard
    error of 1.25 · 0.025 / √500 = 0.0014.
    """
    from mettagrid.envs.mettagrid_puffer_env import MettaGridPufferEnv
    from mettagrid.simulator import Simulator

    episodes, rates = 5, []
    config = room_generator().to_curriculum(algorithm_config=LearningProgressConfig())
    with config.make() as shared:
        play(shared, noisy_scores(200))

        def new_env() -> MettaGridPufferEnv:
            return MettaGridPufferEnv(Simulator(), shared.get_task().get_env_cfg(), seed=0)

        def rate(env: Any) -> float:
            begin = time.perf_counter()
            for _ in range(episodes):
                for action in actions:
                    env.step(action)
            return episodes * EPISODE_STEPS * AGENTS / (time.perf_counter() - begin)

        for _ in range(5):
            fixed, guided = new_env(), CurriculumEnv(new_env(), shared)
            actions = np.random.default_rng(0).integers(
                0, fixed.single_action_space.n, (EPISODE_STEPS, AGENTS), np.int32
            )
            fixed.reset()
            guided.reset()
            for _ in range(10):  # warm: every room has been played
                rate(guided)
            for turn in range(100):
                fixed.set_mg_config(shared.get_task().get_env_cfg())
                order = (guided, fixed) if turn % 2 else (fixed, guided)
                turn_rates = {env is guided: rate(env) for env in order}
                rates.append((turn_rates[True], turn_rates[False]))
            guided.close()
            fixed.close()
    with_curriculum, without = np.median(rates, axis=0)
    added = np.median([1 / a - 1 / b for a, b in rates]) * EPISODE_STEPS * AGENTS
    return Costs(
        {"throughput_kept": float(np.median([a / b for a, b in rates]))},
        {
            "agent_steps_per_second": float(with_curriculum),
            "agent_steps_per_second_fixed": float(without),
            "added_per_episode_us": 1e6 * float(added),
        },
    )


def build_cost() -> Costs:
    """Building the configuration of one task of the arena with four buckets, and one deep copy of
    the arena."""
    from mettagrid.builder.envs import make_arena

    arena = make_arena(num_agents=24)
    config = BucketedTaskGenerator.Config.from_mg(arena)
    for path, values in (
        ("game.max_steps", [500, 1000]),
        ("game.map_builder.width", [40, 50, 60]),
        ("game.map_builder.height", [40, 50, 60]),
        ("game.map_builder.border_width", [4, 6]),
    ):
        config.add_bucket(path, values)
    generator = config.create()
    generator.get_task(0)
    ids = itertools.cycle(range(generator.num_variants or 1))
    turns = []
    for _ in range(15):
        build = np.median(timed(lambda: generator.get_task(next(ids)), 50))
        copy = np.median(timed(lambda: arena.model_copy(deep=True), 5))
        turns.append((build, copy))
    build_us, copy_us = np.median(turns, axis=0) / 1e3
    return Costs(
        {"build_vs_deep_copy": float(np.median([build / copy for build, copy in turns]))},
        {"build_us": float(build_us), "deep_copy_us": float(copy_us)},
    )
