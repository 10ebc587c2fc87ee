"""Deprecated: use :mod:`metta.cogworks.curriculum.shared_memory_backend`."""

from metta.cogworks.curriculum.shared_memory_backend import (
    LocalMemoryBackend,
    SharedMemoryBackend,
    TaskMemoryBackend,
    TaskState,
)

__all__ = ["LocalMemoryBackend", "SharedMemoryBackend", "TaskMemoryBackend", "TaskState"]
