"""The sparse arena: nothing is rewarded but hearts.

What an agent starts with and what a heart costs set how many steps lie before the first reward. The
curriculum has tasks one step away from it, and tasks where a random walk hardly ever gets there.
"""

from mettagrid.config.mettagrid_config import MettaGridConfig

from experiments.recipes import arena
from experiments.recipes.blocks import vary_rooms
from metta.cogworks.curriculum import CurriculumConfig, LearningProgressConfig
from metta.rl.config import TrainingEnvConfig
from metta.tools.evaluate import EvaluateTool
from metta.tools.play import PlayTool
from metta.tools.train import TrainTool

PRICES = (1, 2, 3)
"""Batteries per heart: from the price of the easy recipe to that of the arena."""


def make_env(
    num_agents: int = 24, max_steps: int = 100, batteries_per_heart: int = 3
) -> MettaGridConfig:
    """A peaceful arena in which only hearts are rewarded, see `arena.make_env`."""
    return arena.make_env(
        num_agents,
        max_steps,
        batteries_per_heart,
        attack_cost=arena.PEACE,
        label=f"arena.sparse.price_{batteries_per_heart}",
    )


def make_curriculum(num_agents: int = 24, max_steps: int = 100) -> CurriculumConfig:
    """Sparse arenas of all sizes and prices, with starts nearer to a heart and farther from it."""
    arenas = [make_env(num_agents, max_steps, price) for price in PRICES]
    return vary_rooms(arenas, arena.ROOM_BUCKETS).to_curriculum(
        algorithm_config=LearningProgressConfig.default()
    )


def train(num_agents: int = 24, max_steps: int = 100) -> TrainTool:
    """Train with rewards for hearts only.

    Args:
        num_agents: agents in the arena. 24, as in mettagrid's arena.
        max_steps: length of an episode, see `arena.make_env`.
    """
    return TrainTool(
        training_env=TrainingEnvConfig(curriculum=make_curriculum(num_agents, max_steps))
    )


def evaluate(num_agents: int = 24, max_steps: int = 100) -> EvaluateTool:
    """Rewards of a trained policy (run=NAME) on sparse arenas drawn uniformly; policy=random for
    comparison."""
    return EvaluateTool(curriculum=make_curriculum(num_agents, max_steps))


def play(num_agents: int = 24, max_steps: int = 100) -> PlayTool:
    """Watch one episode of a trained policy (run=NAME), or of random actions (policy=random)."""
    return PlayTool(curriculum=make_curriculum(num_agents, max_steps))
