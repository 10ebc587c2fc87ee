"""Which seeds mettagrid's random maps get: training and evaluation draw from ranges that never
meet.

A map builder whose configuration leaves ``seed`` open would draw each map from the operating
system's entropy: runs could not be repeated, and no map would be certain to be new to a policy. A
seed set in the configuration is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mettagrid.config.mettagrid_config import MettaGridConfig
from mettagrid.map_builder.map_builder import HasSeed

TRAINING_SEEDS = range(0, 2**30)
EVALUATION_SEEDS = range(2**31, 2**32 - 2**20)


def with_map_seed(config: MettaGridConfig, seed: int) -> MettaGridConfig:
    """A copy of ``config`` whose map is drawn with ``seed``; ``config`` itself where its maps leave
    no seed open."""
    builder = config.game.map_builder
    if not isinstance(builder, HasSeed) or builder.seed is not None:
        return config
    # Only what changes is copied: a deep copy of an arena takes milliseconds.
    seeded = builder.model_copy(update={"seed": seed})
    return config.model_copy(
        update={"game": config.game.model_copy(update={"map_builder": seeded})}
    )


class SeededMaps:
    """An ``apply_task`` for CurriculumEnv: every episode of one environment gets a map seed of its
    own stream."""

    def __init__(self, *entropy: int) -> None:
        self._random = np.random.default_rng(entropy)

    def __call__(self, env: Any, config: MettaGridConfig) -> None:
        """Have ``env`` play ``config`` from its next reset on, on the stream's next map."""
        seed = int(self._random.integers(TRAINING_SEEDS.start, TRAINING_SEEDS.stop))
        env.set_mg_config(with_map_seed(config, seed))
