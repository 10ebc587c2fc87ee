"""Curriculum learning: choose, for every environment, the task its agent learns most from next.

Needs numpy and pydantic. The wrappers of environments, ``CurriculumEnv`` (PufferLib),
``CurriculumWrapper`` (Gymnasium), ``CurriculumParallelWrapper`` (PettingZoo) and
``CurriculumCallback`` (Stable-Baselines3), need their library, and are imported when first asked
for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from metta.cogworks.curriculum.chooser import TaskChooser
from metta.cogworks.curriculum.curriculum import (
    Curriculum,
    CurriculumAlgorithm,
    CurriculumAlgorithmConfig,
    CurriculumConfig,
    CurriculumTask,
    DiscreteRandomConfig,
    DiscreteRandomCurriculum,
    TaskExplanation,
    lag_bound,
)
from metta.cogworks.curriculum.learning_progress_algorithm import (
    LearningProgressAlgorithm,
    LearningProgressConfig,
)
from metta.cogworks.curriculum.lp_scorers import (
    BasicLPScorer,
    BidirectionalLPScorer,
    ColumnScorer,
    LearnabilityScorer,
    LPScorer,
    SignedLPScorer,
)
from metta.cogworks.curriculum.older.names import renamed
from metta.cogworks.curriculum.pool.layout import Column
from metta.cogworks.curriculum.posterior_scorer import PosteriorLPScorer
from metta.cogworks.curriculum.sessions import (
    LockTimeoutError,
    SessionAccessError,
    SessionClosedError,
    SessionDamagedError,
    SessionInfo,
    SessionMismatchError,
    clean_sessions,
    list_sessions,
)
from metta.cogworks.curriculum.shared_memory_backend import (
    LocalMemoryBackend,
    SharedMemoryBackend,
    TableBackend,
    TaskMemoryBackend,
    TaskState,
)
from metta.cogworks.curriculum.stats import (
    CacheCoordinator,
    LPStatsAggregator,
    NullStatsLogger,
    SliceAnalyzer,
    StatsLogger,
    gini,
)
from metta.cogworks.curriculum.task_generator import (
    BucketedTaskGenerator,
    ItemsGenerator,
    SingleTaskGenerator,
    Span,
    TaskConfig,
    TaskDescription,
    TaskGenerator,
    TaskGeneratorConfig,
    TaskGeneratorSet,
    TaskInvariantError,
    TaskRandom,
    TConfig,
    bucketed,
    env_curriculum,
    merge,
    single_task,
    trusting,
)
from metta.cogworks.curriculum.task_tracker import (
    CentralizedTaskTracker,
    LocalTaskTracker,
    TaskTracker,
    create_task_tracker,
)

if TYPE_CHECKING:
    from metta.cogworks.curriculum.curriculum_env import CurriculumEnv as CurriculumEnv
    from metta.cogworks.curriculum.gymnasium import CurriculumWrapper as CurriculumWrapper
    from metta.cogworks.curriculum.pettingzoo import (
        CurriculumParallelWrapper as CurriculumParallelWrapper,
    )
    from metta.cogworks.curriculum.sb3 import CurriculumCallback as CurriculumCallback

_OF_OTHER_LIBRARIES = {
    "CurriculumCallback": "sb3",
    "CurriculumEnv": "curriculum_env",
    "CurriculumParallelWrapper": "pettingzoo",
    "CurriculumWrapper": "gymnasium",
}
"""Names and the modules of this package that define them."""

# Without those, so that `import *` works where their libraries are not installed.
__all__ = [
    "BasicLPScorer",
    "BidirectionalLPScorer",
    "BucketedTaskGenerator",
    "CacheCoordinator",
    "CentralizedTaskTracker",
    "Column",
    "ColumnScorer",
    "Curriculum",
    "CurriculumAlgorithm",
    "CurriculumAlgorithmConfig",
    "CurriculumConfig",
    "CurriculumTask",
    "DiscreteRandomConfig",
    "DiscreteRandomCurriculum",
    "ItemsGenerator",
    "LPScorer",
    "LPStatsAggregator",
    "LearnabilityScorer",
    "LearningProgressAlgorithm",
    "LearningProgressConfig",
    "LocalMemoryBackend",
    "LocalTaskTracker",
    "LockTimeoutError",
    "NullStatsLogger",
    "PosteriorLPScorer",
    "SessionAccessError",
    "SessionClosedError",
    "SessionDamagedError",
    "SessionInfo",
    "SessionMismatchError",
    "SharedMemoryBackend",
    "SignedLPScorer",
    "SingleTaskGenerator",
    "SliceAnalyzer",
    "Span",
    "StatsLogger",
    "TConfig",
    "TableBackend",
    "TaskChooser",
    "TaskConfig",
    "TaskDescription",
    "TaskExplanation",
    "TaskGenerator",
    "TaskGeneratorConfig",
    "TaskGeneratorSet",
    "TaskInvariantError",
    "TaskMemoryBackend",
    "TaskRandom",
    "TaskState",
    "TaskTracker",
    "bucketed",
    "clean_sessions",
    "create_task_tracker",
    "env_curriculum",
    "gini",
    "lag_bound",
    "list_sessions",
    "merge",
    "single_task",
    "trusting",
]


def __getattr__(name: str) -> Any:
    module = _OF_OTHER_LIBRARIES.get(name)
    if module is None:
        return renamed(__name__, name)
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
