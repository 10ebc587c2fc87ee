"""The ways of choosing tasks that are compared, in simulations and in training, under one set of
names.

``ARMS[name](**overrides)`` makes the configuration. Equations and sources stand with the scorers
(``metta.cogworks.curriculum.lp_scorers``) and the sampling rules
(``metta.cogworks.curriculum.sampling``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from metta.cogworks.curriculum import (
    CurriculumAlgorithmConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
)

UNIFORM = "uniform"
"""The arm that the others are compared with."""

ORACLE = "oracle"
"""No curriculum: in simulations, the limit set by whoever sees the learner's true gains. Not in
``ARMS``."""

# What the documents give: an arm is what its source says, whatever the defaults become.
_DOCUMENTED: dict[str, Any] = {
    "ema_timescale": 0.1,
    "slow_timescale_factor": 0.2,
    "exploration_bonus": 0.1,
    "z_score_amplification": 1.0,
    "sampling_power": 1.0,
    "rand_task_rate": 0.01,
}

ARMS: MappingProxyType[str, Callable[..., CurriculumAlgorithmConfig]] = MappingProxyType(
    {
        # Every task equally often: the baseline.
        UNIFORM: DiscreteRandomConfig,
        # What a user gets who chooses nothing.
        "default": LearningProgressConfig,
        # The pipeline of the module's README: |fast − slow| of the baselined score, softmax of its
        # z-score.
        "bidirectional": functools.partial(
            LearningProgressConfig, **_DOCUMENTED, scorer="bidirectional", sampling="zscore_softmax"
        ),
        # The guide's: sigmoid of the signed difference, plus smoothing, sampled in proportion.
        "guide": functools.partial(
            LearningProgressConfig, **_DOCUMENTED, scorer="signed", sampling="power"
        ),
        # Kanitscheider et al. 2021, z-score times 10 before the sigmoid.
        "zscore": functools.partial(
            LearningProgressConfig,
            **{**_DOCUMENTED, "z_score_amplification": 10.0},
            scorer="bidirectional",
            sampling="zscore_sigmoid",
        ),
        # The same paper's sigmoid, centred on the 90 % quantile of the pool.
        "quantile": functools.partial(
            LearningProgressConfig,
            **{**_DOCUMENTED, "z_score_amplification": 10.0},
            scorer="bidirectional",
            sampling="quantile_sigmoid",
            sampling_quantile=0.9,
        ),
        # Standard deviation of the score, as the README's second scorer.
        "basic": functools.partial(
            LearningProgressConfig, **_DOCUMENTED, scorer="basic", sampling="zscore_softmax"
        ),
        # Rutherford et al. 2024: p (1 − p), sampled in proportion.
        "learnability": functools.partial(
            LearningProgressConfig, **_DOCUMENTED, scorer="learnability", sampling="power"
        ),
        # Expected improvement under a local linear trend that knows its own error.
        "posterior": functools.partial(
            LearningProgressConfig, scorer="posterior", sampling="power"
        ),
    }
)


def algorithm(name: str, num_active_tasks: int, **overrides: Any) -> CurriculumAlgorithmConfig:
    """The configuration of one arm on a pool of ``num_active_tasks``, with other fields
    overridden."""
    return ARMS[name](num_active_tasks=num_active_tasks, **overrides)
