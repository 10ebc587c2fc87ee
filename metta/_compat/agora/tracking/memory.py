"""Deprecated: use :mod:`metta.cogworks.curriculum.shared_memory_backend`."""

import warnings

from metta.cogworks.curriculum.shared_memory_backend import (
    LocalMemoryBackend,
    SharedMemoryBackend,
    TaskMemoryBackend,
    TaskState,
)

__all__ = ["LocalMemoryBackend", "SharedMemoryBackend", "TaskMemoryBackend", "TaskState"]

warnings.warn(
    "agora.tracking.memory is now metta.cogworks.curriculum.shared_memory_backend",
    DeprecationWarning,
    stacklevel=2,
)
