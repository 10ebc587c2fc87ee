"""Memory for the task pool: the documented row, and the backends that hold rows in this process or
share them between processes.

A memory of your own derives from :class:`TaskMemoryBackend`.
"""

from metta.cogworks.curriculum.pool.backends import (
    BASE_COLUMNS,
    TASK_STRUCT_SIZE,
    LocalMemoryBackend,
    SharedMemoryBackend,
    TableBackend,
    TaskMemoryBackend,
    TaskState,
)

__all__ = [
    "BASE_COLUMNS",
    "TASK_STRUCT_SIZE",
    "LocalMemoryBackend",
    "SharedMemoryBackend",
    "TableBackend",
    "TaskMemoryBackend",
    "TaskState",
]
