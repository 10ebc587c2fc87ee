"""Every memory backend keeps the contract, a custom one with the five methods alone included."""

from pathlib import Path

import numpy as np
import pytest

from metta.cogworks.curriculum import LocalMemoryBackend, SharedMemoryBackend, TaskState
from metta.cogworks.curriculum.shared_memory_backend import BASE_COLUMNS, TASK_STRUCT_SIZE
from tests.cogworks.curriculum.backend_contract import BackendContract, MakeBackend
from tests.cogworks.curriculum.curriculum_examples import FileBackend


class TestLocalMemoryBackend(BackendContract):
    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        return LocalMemoryBackend


class TestSharedMemoryBackend(BackendContract):
    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        return SharedMemoryBackend


class TestCustomBackend(BackendContract):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> MakeBackend:
        return lambda max_tasks: FileBackend(tmp_path / "pool", max_tasks)


def test_the_documented_columns_are_the_guides_in_its_order() -> None:
    assert TASK_STRUCT_SIZE == 13
    assert BASE_COLUMNS == (
        "task_id",
        "creation_time",
        "completion_count",
        "reward_ema",
        "lp_score",
        "success_rate_ema",
        "total_score",
        "last_score",
        "success_threshold",
        "seed",
        "generator_type",
        "ema_squared",
        "is_active",
    )
    for name, field in TaskState.model_fields.items():
        assert field.description, f"say what {name} means"


@pytest.mark.parametrize("backend", [LocalMemoryBackend, SharedMemoryBackend])
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("max_tasks", 0),
        ("max_tasks", 1.5),
        ("max_tasks", True),
        ("task_struct_size", 12),
        ("completion_history_size", 0),
    ],
)
def test_sizes_are_checked(backend: type, argument: str, value: object) -> None:
    with pytest.raises(
        ValueError, match=f"{argument}={value} is not allowed: give an integer of at least"
    ):
        backend(**{"max_tasks": 4, argument: value})


def test_locks_of_this_module_are_re_entrant() -> None:
    for backend in (LocalMemoryBackend(np.int64(2)), SharedMemoryBackend(2)):
        with backend.acquire_lock(), backend.acquire_lock():
            backend.get_task_data(0)[0] = 1.0
        backend.cleanup()
