"""The curriculum under the name of an earlier package: use :mod:`metta.cogworks.curriculum`.

``import agora`` and its modules keep working and give the same objects; the first import says so
with a ``DeprecationWarning``. docs/migration.md has the new name of each module.
"""

import warnings
from typing import TYPE_CHECKING, Any

from metta.cogworks.curriculum import (
    BasicLPScorer,
    BidirectionalLPScorer,
    BucketedTaskGenerator,
    CacheCoordinator,
    CentralizedTaskTracker,
    Column,
    ColumnScorer,
    Curriculum,
    CurriculumAlgorithm,
    CurriculumAlgorithmConfig,
    CurriculumConfig,
    CurriculumTask,
    DiscreteRandomConfig,
    DiscreteRandomCurriculum,
    LearnabilityScorer,
    LearningProgressAlgorithm,
    LearningProgressConfig,
    LocalMemoryBackend,
    LocalTaskTracker,
    LockTimeoutError,
    LPScorer,
    LPStatsAggregator,
    PosteriorLPScorer,
    SessionAccessError,
    SessionClosedError,
    SessionDamagedError,
    SessionInfo,
    SessionMismatchError,
    SharedMemoryBackend,
    SignedLPScorer,
    SingleTaskGenerator,
    SliceAnalyzer,
    Span,
    StatsLogger,
    TableBackend,
    TaskConfig,
    TaskDescription,
    TaskExplanation,
    TaskGenerator,
    TaskGeneratorConfig,
    TaskGeneratorSet,
    TaskInvariantError,
    TaskMemoryBackend,
    TaskState,
    TaskTracker,
    bucketed,
    clean_sessions,
    create_task_tracker,
    env_curriculum,
    gini,
    lag_bound,
    list_sessions,
    merge,
    single_task,
    trusting,
)

if TYPE_CHECKING:
    from metta.cogworks.curriculum import CurriculumEnv

warnings.warn(
    "agora is now metta.cogworks.curriculum: import from there (docs/migration.md has the name of "
    "each module)",
    DeprecationWarning,
    stacklevel=2,
)

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
    "CurriculumEnv",
    "CurriculumTask",
    "DiscreteRandomConfig",
    "DiscreteRandomCurriculum",
    "LPScorer",
    "LPStatsAggregator",
    "LearnabilityScorer",
    "LearningProgressAlgorithm",
    "LearningProgressConfig",
    "LocalMemoryBackend",
    "LocalTaskTracker",
    "LockTimeoutError",
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
    "TableBackend",
    "TaskConfig",
    "TaskDescription",
    "TaskExplanation",
    "TaskGenerator",
    "TaskGeneratorConfig",
    "TaskGeneratorSet",
    "TaskInvariantError",
    "TaskMemoryBackend",
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
    if name == "CurriculumEnv":  # needs pufferlib: imported when asked for
        from metta.cogworks.curriculum.curriculum_env import CurriculumEnv

        return CurriculumEnv
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
