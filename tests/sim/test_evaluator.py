"""Evaluation: uniform tasks, unseen maps, the same for every policy."""

from typing import Any

import numpy as np
import pytest
from mettagrid.builder.envs import make_navigation
from mettagrid.config.mettagrid_config import MettaGridConfig

from metta.cogworks.curriculum import CurriculumConfig, bucketed, single_task
from metta.rl.checkpoint import CheckpointError, save_checkpoint
from metta.rl.config import PolicyConfig
from metta.rl.policy import load_policy, make_policy, resolve_device
from metta.sim.evaluator import evaluate, summarise
from metta.sim.map_seeds import EVALUATION_SEEDS
from metta.sim.simulation import (
    Episode,
    PolicyActor,
    RandomActor,
    describe_environment,
    draw_tasks,
    make_env,
    run_episode,
)


def lengths(*steps: int) -> CurriculumConfig:
    tasks = bucketed(make_navigation(num_agents=2), {"game.max_steps": list(steps)})
    return tasks.to_curriculum(num_active_tasks=4)


def random_actor(env: Any) -> RandomActor:
    return RandomActor(int(env.single_action_space.n), seed=0)


def test_tasks_are_drawn_uniformly_on_unseen_maps():
    tasks = list(draw_tasks(lengths(4, 6, 8, 10), 400, seed=0))
    counts = np.unique([task.config.game.max_steps for task in tasks], return_counts=True)[1]
    # Chi-square with 3 degrees of freedom: beyond 16.3 once in a thousand.
    assert ((counts - 100) ** 2 / 100).sum() < 16.3
    assert all(task.map_seed in EVALUATION_SEEDS for task in tasks)
    assert all(task.config.game.map_builder.seed == task.map_seed for task in tasks)
    assert all(task.slice_values["game.max_steps"] == task.config.game.max_steps for task in tasks)


def test_the_same_seed_gives_the_same_episodes():
    first, again, other = (evaluate(random_actor, lengths(4, 8), 6, seed) for seed in (1, 1, 2))
    assert first == again
    assert [episode.map_seed for episode in first] != [episode.map_seed for episode in other]
    assert all(episode.length == episode.slice_values["game.max_steps"] for episode in first)


def test_invalid_tasks_are_left_out_and_all_invalid_is_an_error():
    with pytest.raises(ValueError, match="no task_generator"):
        next(draw_tasks(CurriculumConfig(), 1, seed=0))


@pytest.mark.parametrize("name", ["lstm", "puffer", "stateless"])
def test_a_saved_policy_acts_as_the_one_that_was_saved(tmp_path: Any, name: str):
    task = next(draw_tasks(lengths(12), 1, seed=0))
    policy = make_policy(PolicyConfig(name=name), task.config, "cpu")
    assert policy.is_recurrent() == (name != "stateless")
    path = save_checkpoint(
        tmp_path, 1, {"policy_name": name, "policy": policy.network().state_dict()}, keep=1
    )
    env = make_env(task)
    observations = env.reset(seed=0)[0].copy()
    actions = []
    for each in (policy, load_policy(path, task.config, "cpu")):
        actor = PolicyActor(each, "cpu", seed=5)
        actor.begin_episode()
        actions.append([actor.act(observations) for _ in range(10)])
        assert run_episode(env, task, actor).length == 12
    np.testing.assert_array_equal(actions[0], actions[1])
    assert actions[0][0].dtype == np.int32
    env.close()


def test_a_policy_for_other_spaces_is_refused(tmp_path: Any):
    small, large = make_navigation(num_agents=1), make_navigation(num_agents=1)
    large.game.obs.num_tokens = small.game.obs.num_tokens + 50
    weights = make_policy(PolicyConfig(name="stateless"), small, "cpu").network().state_dict()
    path = save_checkpoint(tmp_path, 1, {"policy_name": "stateless", "policy": weights}, keep=1)
    with pytest.raises(
        CheckpointError, match=r"step_000000000001.pt holds a network of another shape"
    ):
        load_policy(path, large, "cpu")


@pytest.mark.parametrize(
    "name", ["nosuch", "mettagrid.policy.nosuch.Policy", "mettagrid.policy.noop.NoopPolicy"]
)
def test_an_untrainable_policy_is_refused(name: str):
    with pytest.raises(
        ValueError, match=rf"policy.name='{name}'.*use one of lstm, puffer, stateless"
    ):
        make_policy(PolicyConfig(name=name), make_navigation(num_agents=1), "cpu")


def test_the_device_is_chosen_or_refused(monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(ValueError, match=r"device=cuda, but torch finds no CUDA device"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"


def test_the_summary():
    def episode(task_id: int, label: str, reward: float) -> Episode:
        return Episode(task_id, label, 0, reward, 10)

    episodes = [
        episode(task, "easy" if task < 5 else "hard", float(10 - task)) for task in range(10)
    ]
    episodes.append(episode(9, "hard", 3.0))
    summary = summarise(episodes)
    assert (summary["episodes"], summary["tasks"]) == (11, 10)
    assert summary["mean_reward"] == pytest.approx(58 / 11)
    # The worst tenth of ten tasks is one: either the ninth with its mean of (1 + 3) / 2, or the
    # eighth with 2.
    assert summary["worst_tenth_reward"] == 2.0
    assert summary["labels"]["easy"] == {"episodes": 5, "mean_reward": 8.0}
    assert summary["standard_error"] == pytest.approx(
        np.std([e.reward for e in episodes], ddof=1) / np.sqrt(len(episodes))
    )
    assert summarise(episodes[:1])["standard_error"] is None


def test_describing_an_environment():
    config = single_task(MettaGridConfig.EmptyRoom(num_agents=3, width=9, height=7)).to_curriculum(
        num_active_tasks=1
    )
    assert describe_environment(config).startswith(
        "3 agents on 9 x 7 cells, 5 actions, episodes of "
    )
