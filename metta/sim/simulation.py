"""Episodes played outside training: evaluation on a curriculum's tasks, and a look at one
environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from mettagrid.config.mettagrid_config import MettaGridConfig
from mettagrid.simulator import Simulator

from metta.cogworks.curriculum import CurriculumConfig
from metta.sim.map_seeds import EVALUATION_SEEDS, with_map_seed

if TYPE_CHECKING:
    import torch


class TrainablePolicy(Protocol):
    """What playing and training need of a mettagrid policy."""

    def network(self) -> torch.nn.Module:
        """The policy's network: the module itself, not a copy."""
        ...

    def is_recurrent(self) -> bool:
        """Whether the network carries a state from step to step."""
        ...


_MOST_REFUSALS = 100
"""Invalid tasks in a row, until all are taken to be."""


@dataclass(frozen=True)
class Task:
    """A task drawn for evaluation, with the map seed it is played on."""

    task_id: int
    label: str
    slice_values: dict[str, Any]
    map_seed: int
    config: MettaGridConfig


@dataclass(frozen=True)
class Episode:
    """What came of one: ``reward`` is the mean over agents of the rewards summed over ``length``
    steps."""

    task_id: int
    label: str
    map_seed: int
    reward: float
    length: int
    slice_values: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The fields by their names, for JSON."""
        return asdict(self)


class Actor(Protocol):
    """Chooses actions for all agents of one environment."""

    def begin_episode(self) -> None:
        """Forget what was seen."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions int32 (num_agents,) for observations uint8 (num_agents, tokens, 3)."""
        ...


class RandomActor:
    """Every action equally likely."""

    def __init__(self, num_actions: int, seed: int) -> None:
        self._num_actions = num_actions
        self._random = np.random.default_rng(seed)

    def begin_episode(self) -> None:
        """Nothing: chance remembers nothing."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """See Actor."""
        return self._random.integers(self._num_actions, size=len(observations), dtype=np.int32)


class PolicyActor:
    """Samples from a trained policy, as in training; ``seed`` makes the samples repeatable."""

    def __init__(self, policy: TrainablePolicy, device: str, seed: int) -> None:
        import torch

        self._network: Any = policy.network()
        self._network.eval()
        self._recurrent = policy.is_recurrent()
        self._device = device
        self._generator = torch.Generator(device=device).manual_seed(seed)
        self._state: dict[str, Any] = {}

    def begin_episode(self) -> None:
        """Forget the recurrent state."""
        self._state = {}

    def act(self, observations: np.ndarray) -> np.ndarray:
        """See Actor."""
        import torch

        if self._recurrent and not self._state:
            zeros = torch.zeros(len(observations), self._network.hidden_size, device=self._device)
            self._state = {"lstm_h": zeros, "lstm_c": zeros.clone()}
        with torch.no_grad():
            batch = torch.as_tensor(observations, device=self._device)
            logits, _ = self._network.forward_eval(batch, self._state)
            actions = torch.multinomial(logits.softmax(-1), 1, generator=self._generator)
        return actions.squeeze(1).to("cpu", torch.int32).numpy()


def draw_tasks(curriculum: CurriculumConfig, count: int, seed: int) -> Iterator[Task]:
    """``count`` tasks drawn uniformly from all ids, on map seeds that no training run uses; invalid
    ones are left out.

    Raises:
        ValueError: no task generator, or a hundred invalid tasks in a row.
    """
    if curriculum.task_generator is None:
        raise ValueError("the curriculum has no task_generator: there are no tasks to play")
    generator = curriculum.task_generator.create()
    num_ids = curriculum.num_ids(generator)
    random = np.random.default_rng(seed)
    drawn = refused = 0
    while drawn < count:
        task_id = int(random.integers(num_ids))
        map_seed = int(random.integers(EVALUATION_SEEDS.start, EVALUATION_SEEDS.stop))
        try:
            config = generator.get_task(task_id)
        except ValueError as error:
            refused += 1
            if refused == _MOST_REFUSALS:
                raise ValueError(
                    f"every task was invalid: {refused} in a row were refused, the last because of "
                    f"{error}"
                ) from error
            continue
        refused = 0
        drawn += 1
        description = generator.describe(task_id)
        yield Task(
            task_id,
            description.label,
            dict(description.slice_values),
            map_seed,
            with_map_seed(config, map_seed),
        )


def play_episode(env: Any, task: Task, actor: Actor, max_steps: int | None = None) -> Iterator[Any]:
    """Play ``task`` in ``env`` (a MettaGridPufferEnv), yielding ``env`` before each step; returns
    the Episode."""
    env.set_mg_config(task.config)
    observations, _ = env.reset(seed=task.map_seed % 2**31)
    actor.begin_episode()
    length = 0
    while max_steps is None or length < max_steps:
        yield env
        observations, _, terminals, truncations, _ = env.step(actor.act(observations))
        length += 1
        if np.logical_or(terminals, truncations).all():
            break
    reward = float(env.get_episode_rewards().mean())
    return Episode(task.task_id, task.label, task.map_seed, reward, length, task.slice_values)


def run_episode(env: Any, task: Task, actor: Actor) -> Episode:
    """Play ``task`` to its end."""
    play = play_episode(env, task, actor)
    while True:
        try:
            next(play)
        except StopIteration as end:
            return end.value


def make_env(task: Task) -> Any:
    """An environment with the spaces of ``task``; all tasks of a curriculum share them."""
    from mettagrid.envs.mettagrid_puffer_env import MettaGridPufferEnv

    return MettaGridPufferEnv(Simulator(), task.config)


def _how_many(curriculum: CurriculumConfig) -> str:
    count = curriculum.task_generator.create().num_variants if curriculum.task_generator else None
    if count is None:
        return "tasks drawn at random (num_variants is None)"
    return f"one of {count:,} tasks (num_variants)"


def describe_environment(curriculum: CurriculumConfig) -> str:
    """Build one environment of the curriculum and say what it is. Loads neither torch nor
    PufferLib."""
    task = next(draw_tasks(curriculum, 1, seed=0))
    simulation = Simulator().new_simulation(task.config, seed=0)
    try:
        num_actions = len(simulation.action_names) - len(simulation.vibe_action_names)
        return (
            f"{simulation.num_agents} agents on {simulation.map_width} x {simulation.map_height} "
            f"cells, {num_actions} "
            f"actions, episodes of {task.config.game.max_steps} steps, task label {task.label!r}, "
            f"{_how_many(curriculum)}"
        )
    finally:
        simulation.close()
