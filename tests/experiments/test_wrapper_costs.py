"""What `benchmarks.wrappers` measures: that it counts what it should, not what it comes to."""

import json

import numpy as np
import pytest

from experiments.costs.wrappers import balance, steps_kept
from metta.cli.recipes import resolve
from metta.cli.runner import build_tool


def test_it_measures_both_policies() -> None:
    figures, times = steps_kept(num_envs=2, turns=1)
    assert set(figures) == {"random_steps_kept", "balancing_steps_kept"}
    assert all(0.0 < value < 2.0 for value in figures.values())
    assert times["balancing_steps_per_episode"] == 501  # the limit, and the reset
    assert 10 < times["random_steps_per_episode"] < 50
    assert json.dumps(figures | times)


def test_the_policy_pushes_to_the_side_the_pole_falls_to() -> None:
    falling = np.array([[0.0, 0.0, 0.1, 0.0], [0.0, 0.0, -0.1, 0.0]])
    assert balance(falling).tolist() == [1, 0]


@pytest.mark.parametrize("name", ["envs", "turns"])
def test_numbers_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=0 is not allowed: give at least 1"):
        build_tool(resolve(["benchmarks.wrappers"]), {name: "0"})
