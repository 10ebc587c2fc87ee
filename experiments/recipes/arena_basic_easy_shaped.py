"""The easy arena: cheap hearts, no shooting, and a reward for every step towards a heart.

The first recipe to try where the arena itself is too hard: one ore makes a battery, one battery a
heart.
"""

from mettagrid.config.mettagrid_config import MettaGridConfig

from experiments.recipes import arena
from experiments.recipes.blocks import vary_rooms, weight_path
from metta.cogworks.curriculum import CurriculumConfig, LearningProgressConfig
from metta.rl.config import TrainingEnvConfig
from metta.tools.evaluate import EvaluateTool
from metta.tools.play import PlayTool
from metta.tools.train import TrainTool


def make_env(num_agents: int = 24, max_steps: int = 100) -> MettaGridConfig:
    """A peaceful arena where a heart costs one battery and each step is rewarded, see
    `arena.make_env`."""
    return arena.make_env(
        num_agents,
        max_steps,
        batteries_per_heart=1,
        attack_cost=arena.PEACE,
        shaping=arena.SHAPED,
        label="arena.easy_shaped",
    )


def make_curriculum(num_agents: int = 24, max_steps: int = 100) -> CurriculumConfig:
    """Easy arenas of all sizes; for ore and batteries with the full reward, a half, or a tenth."""
    tasks = vary_rooms(
        [make_env(num_agents, max_steps)],
        {
            **arena.ROOM_BUCKETS,
            **{
                weight_path(step): [arena.SHAPED[step] * share for share in (0.1, 0.5, 1.0)]
                for step in arena.STEPS[:2]
            },
        },
    )
    return tasks.to_curriculum(algorithm_config=LearningProgressConfig.default())


def train(num_agents: int = 24, max_steps: int = 100) -> TrainTool:
    """Train in the easy arena.

    Args:
        num_agents: agents in the arena. 24, as in mettagrid's arena.
        max_steps: length of an episode, see `arena.make_env`.
    """
    return TrainTool(
        training_env=TrainingEnvConfig(curriculum=make_curriculum(num_agents, max_steps))
    )


def evaluate(num_agents: int = 24, max_steps: int = 100) -> EvaluateTool:
    """Rewards of a trained policy (run=NAME) on easy arenas drawn uniformly; policy=random for
    comparison."""
    return EvaluateTool(curriculum=make_curriculum(num_agents, max_steps))


def play(num_agents: int = 24, max_steps: int = 100) -> PlayTool:
    """Watch one episode of a trained policy (run=NAME), or of random actions (policy=random)."""
    return PlayTool(curriculum=make_curriculum(num_agents, max_steps))
