"""The curriculum under the name of an earlier package: use :mod:`metta.cogworks.curriculum`.

``import agora`` and its modules keep working and give the same objects; the first import of each
says so with a ``DeprecationWarning`` that names its successor, as the table in docs/migration.md
does. :class:`CurriculumEnv` needs pufferlib, and is among the names of ``import *`` where that is
installed.
"""

import importlib.metadata
import importlib.util
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
    ItemsGenerator,
    LearnabilityScorer,
    LearningProgressAlgorithm,
    LearningProgressConfig,
    LocalMemoryBackend,
    LocalTaskTracker,
    LockTimeoutError,
    LPScorer,
    LPStatsAggregator,
    NullStatsLogger,
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
    TaskChooser,
    TaskConfig,
    TaskDescription,
    TaskExplanation,
    TaskGenerator,
    TaskGeneratorConfig,
    TaskGeneratorSet,
    TaskInvariantError,
    TaskMemoryBackend,
    TaskRandom,
    TaskState,
    TaskTracker,
    TConfig,
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
    "agora is now metta.cogworks.curriculum",
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

if importlib.util.find_spec("pufferlib") is not None:
    __all__ += ["CurriculumEnv"]

__version__ = importlib.metadata.version("metta-curriculum")


def __getattr__(name: str) -> Any:
    if name == "CurriculumEnv":  # needs pufferlib: imported when asked for
        from metta.cogworks.curriculum.curriculum_env import CurriculumEnv

        return CurriculumEnv
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
