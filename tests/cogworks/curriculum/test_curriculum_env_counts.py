"""CurriculumEnv counts every episode exactly once: over random sequences of steps and resets, and
in the processes of a vector environment."""

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pufferlib.vector
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    bucketed,
)
from metta.cogworks.curriculum.curriculum_env import CurriculumEnv
from tests.cogworks.curriculum.drills import ACTIONS, Drill, DrillEnv, set_drill

REFUSED, UNSCORED = 0, -1.0
"""A length that the environment refuses, and a pay that it turns into no number."""

DRILLS = bucketed(Drill(), {"length": [REFUSED, 1, 2, 5], "pay": [0.5, 2.0, UNSCORED]})


def set_odd_drill(env: DrillEnv, task: Drill) -> None:
    env.asked = task  # type: ignore[attr-defined]
    set_drill(env, task if task.pay != UNSCORED else Drill(length=task.length, pay=float("nan")))


def variant_of(env: DrillEnv) -> dict[str, float]:
    return {"task/length": env.asked.length, "task/pay": env.asked.pay}  # type: ignore[attr-defined]


# Sequences of operations
# --------------------------------------------------------------------------------------------------


class Model:
    """What should have been counted, of one environment."""

    def __init__(self, curriculum: Curriculum) -> None:
        self.drawn = self.scored = self.unscored = 0
        self.running = False
        self.left = 0  # steps of the running episode
        self.drill = Drill()
        self.env = CurriculumEnv(DrillEnv(), curriculum, apply_task=self.apply)

    def apply(self, env: DrillEnv, task: Drill) -> None:
        self.drawn += 1
        self.drill = task
        set_odd_drill(env, task)

    def reset(self) -> None:
        self.env.reset()
        self.begun()

    def begun(self) -> None:
        self.running, self.left = True, self.drill.length
        assert self.drill.length != REFUSED

    def step(self) -> None:
        infos = self.env.step(ACTIONS)[4]
        if not self.running:
            self.begun()
        self.left -= 1
        ended = "length" in infos[-1]
        assert ended == (self.left == 0)
        if ended:
            self.running = False
            self.scored += "reward" in infos[-1]
            self.unscored += "reward" not in infos[-1]
            assert ("reward" in infos[-1]) == (self.drill.pay != UNSCORED)
        assert (self.env.current_task is not None) == self.running


def evicting() -> LearningProgressConfig:
    """Tasks leave the pool all the time, while others play them."""
    return LearningProgressConfig(
        num_active_tasks=8,
        use_shared_memory=False,
        min_samples_for_lp=1,
        sample_threshold=1,
        min_presentations_for_eviction=1,
        eviction_threshold_percentile=1.0,
    )


OPERATIONS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["step"] * 6 + ["reset"])), max_size=120
)


@settings(max_examples=60, deadline=None)
@given(operations=OPERATIONS, seed=st.integers(0, 2**31), evict=st.booleans())
def test_every_sequence_of_steps_and_resets_is_counted_exactly(
    operations: list[tuple[int, str]], seed: int, evict: bool
):
    algorithm = (
        evicting() if evict else DiscreteRandomConfig(num_active_tasks=8, use_shared_memory=False)
    )
    config = CurriculumConfig(task_generator=DRILLS, algorithm_config=algorithm, seed=seed)
    with config.make() as curriculum:
        models = [Model(curriculum) for _ in range(3)]
        for number, operation in operations:
            getattr(models[number], operation)()
            stats = curriculum.get_base_stats()
            assert stats["num_scheduled"] == sum(m.drawn for m in models)
            assert stats["num_unscored"] == sum(m.unscored for m in models)
            recorded = stats["num_completed"] + stats["late_completions"]
            assert recorded == sum(m.scored for m in models)
            assert evict or stats["num_evicted"] == 0
            assert stats["num_active_tasks"] == 8


def test_no_task_is_evicted_while_it_is_played():
    """And the sequences above meet evictions."""
    scored = bucketed(Drill(), {"length": [REFUSED, 1, 2, 5], "pay": [0.5, 1.0, 2.0, 3.0]})
    config = CurriculumConfig(task_generator=scored, algorithm_config=evicting())
    with config.make() as curriculum:
        models = [Model(curriculum) for _ in range(3)]
        for step in range(600):
            models[step % 3].step()
        stats = curriculum.get_base_stats()
        assert stats["num_evicted"] > 0
        assert stats["late_completions"] == 0
        assert stats["num_completed"] == sum(m.scored for m in models)


# Vector environments
# --------------------------------------------------------------------------------------------------


def make_env(config: CurriculumConfig, buf: Any = None, seed: int = 0) -> CurriculumEnv:
    return CurriculumEnv(
        DrillEnv(buf, seed),
        config.make(),
        apply_task=set_odd_drill,
        episode_stats=variant_of,
    )


@pytest.fixture
def start_method(request: pytest.FixtureRequest) -> Iterator[str]:
    """Sets the start method of the process, which is the one that PufferLib uses."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(request.param, force=True)
    yield request.param
    multiprocessing.set_start_method(before, force=True)


def play(vecenv: Any, steps: int) -> list[dict[str, float]]:
    """The infos of all episodes that end within so many steps."""
    ended: list[dict[str, float]] = []
    try:
        vecenv.async_reset(seed=1)
        actions = np.zeros(vecenv.num_agents, dtype=np.int32)
        for step in range(steps + 1):
            ended += [info for info in vecenv.recv()[5] if "length" in info]
            if step < steps:
                vecenv.send(actions)
    finally:
        vecenv.close()
        for process in getattr(vecenv, "processes", []):
            process.join(30)
    return ended


@pytest.mark.timeout(120)  # PufferLib itself waits for ever for a worker that is gone
@pytest.mark.parametrize(
    ("backend", "start_method", "options"),
    [
        pytest.param("Serial", "fork", {}, id="serial"),
        pytest.param("Multiprocessing", "fork", {"num_workers": 2}, id="fork"),
        pytest.param("Multiprocessing", "fork", {"num_workers": 6}, id="one-env-a-worker"),
        pytest.param("Multiprocessing", "spawn", {"num_workers": 2}, id="spawn"),
    ],
    indirect=["start_method"],
)
def test_every_backend_counts_every_episode_once(
    backend: str, start_method: str, options: dict[str, int]
):
    num_envs, steps = 6, 60
    config = CurriculumConfig(
        task_generator=DRILLS, algorithm_config=DiscreteRandomConfig(num_active_tasks=16)
    )
    if backend == "Multiprocessing":
        options = {**options, "overwork": True}
    with config.make() as curriculum:
        vecenv = pufferlib.vector.make(
            partial(make_env, curriculum.config),
            backend=getattr(pufferlib.vector, backend),
            num_envs=num_envs,
            **options,
        )
        ended = play(vecenv, steps)
        stats = curriculum.get_base_stats()
        scored = [info for info in ended if "reward" in info]
        assert stats["num_completed"] + stats["late_completions"] == len(scored)
        assert stats["num_unscored"] == len(ended) - len(scored) > 0
        assert stats["num_invalid"] > 0
        # Each environment plays for exactly so many steps, and all but its last episode ended.
        unfinished = num_envs * steps - sum(info["length"] for info in ended)
        assert 0 <= unfinished <= num_envs * (5 - 1)
        draws = stats["num_scheduled"] - len(ended)
        refused_at_most = stats["num_invalid"] * num_envs
        assert 0 <= draws <= num_envs + refused_at_most
        assert all(info["length"] == info["task/length"] for info in ended)
        assert all((info["task/pay"] == UNSCORED) == ("reward" not in info) for info in ended)
        # Nothing was evicted, and a refused task has no completions: the rows hold all of them.
        assert completions_by_variant(curriculum) == Counter(
            (info["task/length"], info["task/pay"]) for info in scored
        )


def completions_by_variant(curriculum: Curriculum) -> Counter[tuple[float, float]]:
    counts: Counter[tuple[float, float]] = Counter()
    tracker = curriculum.algorithm.task_tracker
    for task_id in curriculum.probabilities():
        values = curriculum.bucket_values_of(task_id)
        state = tracker.get_task_state(task_id)
        assert state is not None
        if state.completion_count:
            mean = state.total_score / state.completion_count
            assert mean == pytest.approx(1.5 * values["length"] * values["pay"])
            counts[values["length"], values["pay"]] += state.completion_count
    return counts
