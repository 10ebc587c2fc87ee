"""Backends: the contract that each of them keeps, and what sharing adds."""

import os
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from processes import DEADLINE, forked, session_files

from metta.cogworks.curriculum import (
    LocalMemoryBackend,
    SharedMemoryBackend,
    TaskMemoryBackend,
    TaskState,
    TaskTracker,
)
from metta.cogworks.curriculum.sessions import (
    SessionClosedError,
    SessionMismatchError,
    new_session_id,
)
from metta.cogworks.curriculum.shared_memory_backend import (
    BASE_COLUMNS,
    TASK_STRUCT_SIZE,
    TableBackend,
)

pytestmark = [
    pytest.mark.timeout(60),
    # pytest-xdist has threads; what the children run here needs none of them.
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]

Make = Callable[..., TaskMemoryBackend]


class BackendContract:
    """What a tracker relies on. Derive, and give a fixture ``make(max_tasks, **options)``, for a
    backend of one's own."""

    def test_sizes(self, make: Make) -> None:
        backend = make(5)
        assert backend.max_tasks == 5
        assert backend.task_struct_size >= TASK_STRUCT_SIZE
        assert backend.get_task_data(0).shape == (backend.task_struct_size,)
        assert backend.get_completion_history().shape == (backend.completion_history_size,)

    def test_new_memory_is_zero_float64(self, make: Make) -> None:
        backend = make(5)
        for view in (
            *(backend.get_task_data(i) for i in range(5)),
            backend.get_completion_history(),
        ):
            assert view.dtype == np.float64
            assert not view.any()

    def test_views_are_writable_and_distinct(self, make: Make) -> None:
        backend = make(5)
        for i in range(5):
            backend.get_task_data(i)[:] = i + 1
        backend.get_completion_history()[:] = 99.0
        for i in range(5):
            assert (backend.get_task_data(i) == i + 1).all()
        assert (backend.get_completion_history() == 99.0).all()

    def test_index_out_of_range(self, make: Make) -> None:
        with pytest.raises(IndexError):
            make(5).get_task_data(5)

    def test_clear(self, make: Make) -> None:
        backend = make(5)
        for i in range(5):
            backend.get_task_data(i)[:] = 7.0
        backend.get_completion_history()[:] = 7.0
        backend.clear()
        assert not any(backend.get_task_data(i).any() for i in range(5))
        assert not backend.get_completion_history().any()

    def test_lock_excludes_other_threads(self, make: Make) -> None:
        backend, order = make(5), []
        started = threading.Event()

        def other() -> None:
            started.set()
            with backend.acquire_lock():
                order.append("other")

        thread = threading.Thread(target=other)
        with backend.acquire_lock():
            thread.start()
            assert started.wait(DEADLINE)
            order.append("first")
        thread.join(DEADLINE)
        assert order == ["first", "other"]

    def test_lock_is_given_back_after_an_exception(self, make: Make) -> None:
        backend = make(5)
        with pytest.raises(KeyError), backend.acquire_lock():
            raise KeyError
        taken = []
        thread = threading.Thread(
            target=lambda: taken.append(backend.acquire_lock().__enter__()), daemon=True
        )
        thread.start()
        thread.join(DEADLINE)
        assert taken

    def test_no_increment_is_lost(self, make: Make) -> None:
        backend = make(2)

        def add() -> None:
            for _ in range(500):
                with backend.acquire_lock():
                    backend.get_task_data(1)[2] += 1.0

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert backend.get_task_data(1)[2] == 2000.0

    def test_cleanup_is_idempotent(self, make: Make) -> None:
        backend = make(5)
        backend.cleanup()
        backend.cleanup()

    def test_tracker_works_on_it(self, make: Make) -> None:
        backend = make(3)
        tracker = TaskTracker(backend=backend)
        for task_id in (0, 10, 20):
            tracker.track_task_creation(task_id)
        tracker.update_task_performance(0, 0.0)
        tracker.update_task_performance(10, 1.0)
        assert tracker.get_all_tracked_tasks() == [0, 10, 20]
        assert tracker.get_global_stats()["total_completions"] == 2
        assert sorted(
            backend.get_task_data(i)[BASE_COLUMNS.index("task_id")] for i in range(3)
        ) == [0.0, 10.0, 20.0]
        assert (
            sum(backend.get_task_data(i)[BASE_COLUMNS.index("completion_count")] for i in range(3))
            == 2.0
        )


class TestLocalMemoryBackend(BackendContract):
    @pytest.fixture
    def make(self) -> Make:
        return LocalMemoryBackend


class TestSharedMemoryBackend(BackendContract):
    @pytest.fixture
    def make(self) -> Iterator[Make]:
        made: list[SharedMemoryBackend] = []

        def create(*args, **options) -> SharedMemoryBackend:
            made.append(SharedMemoryBackend(*args, **options))
            return made[-1]

        yield create
        for backend in made:
            backend.cleanup()
            assert session_files(backend.session_id) == []


@pytest.mark.parametrize("kind", [LocalMemoryBackend, SharedMemoryBackend])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tasks": 0}, "max_tasks=0 is not allowed: give an integer of at least 1"),
        ({"max_tasks": -3}, "max_tasks=-3 is not allowed"),
        ({"max_tasks": 2.5}, "max_tasks=2.5 is not allowed"),
        ({"max_tasks": True}, "max_tasks=True is not allowed"),
        (
            {"task_struct_size": 12},
            "task_struct_size=12 is not allowed: give an integer of at least 13",
        ),
        ({"completion_history_size": 0}, "completion_history_size=0 is not allowed"),
        ({"extra_columns": -1}, "extra_columns=-1 is not allowed"),
        ({"extra_bytes": -8}, "extra_bytes=-8 is not allowed"),
    ],
)
def test_bad_sizes(kind: Make, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**{"max_tasks": 4, **options})


@pytest.mark.parametrize("kind", [LocalMemoryBackend, SharedMemoryBackend])
@pytest.mark.parametrize("extra_bytes", [0, 1, 64, 1000])
def test_parts_are_aligned_and_apart(kind: Make, extra_bytes: int) -> None:
    backend = kind(
        3, extra_columns=2, extra_bytes=extra_bytes, completion_history_size=5, task_struct_size=14
    )
    assert isinstance(backend, TableBackend)
    assert backend.history_offset % 64 == backend.rows_offset % 64 == 0
    assert backend.history_offset >= extra_bytes
    assert backend.rows_offset >= backend.history_offset + 8 * 5
    assert backend.nbytes == backend.rows_offset + 8 * 3 * 16
    assert len(backend.memory) >= backend.nbytes
    backend.rows[:] = 3.0
    backend.get_completion_history()[:] = 2.0
    assert not any(backend.memory[:extra_bytes])
    assert (backend.rows == 3.0).all()
    assert backend.get_task_data(1).shape == (14,)
    backend.cleanup()


def test_averages_of_a_task_state() -> None:
    """The documentation's names: the scorer's columns if there are any, otherwise the average of
    the scores."""
    plain = TaskState(task_id=1, completion_count=3, reward_ema=0.5)
    assert (plain.num_completions, plain.fast_ema, plain.slow_ema) == (3, 0.5, 0.5)
    scored = TaskState(task_id=1, reward_ema=0.5, columns={"fast_ema": 0.0, "slow_ema": 0.25})
    assert (scored.fast_ema, scored.slow_ema) == (0.0, 0.25)


# -- sharing ---------------------------------------------------------------------------------------


def test_rows_history_and_lock_are_shared_by_name() -> None:
    first = SharedMemoryBackend(4, "shared-by-name-" + new_session_id())
    second = SharedMemoryBackend(4, first.session_id)
    first.get_task_data(2)[:] = np.arange(13)
    second.get_completion_history()[3] = 5.0

    def child() -> None:
        assert first.get_task_data(2).tolist() == list(range(13))
        first.cleanup()
        second.cleanup()
        third = SharedMemoryBackend(4, first.session_id)
        assert third.get_task_data(2).tolist() == list(range(13))
        assert third.get_completion_history()[3] == 5.0
        with third.acquire_lock():
            third.get_task_data(0)[0] = 8.0
        third.cleanup()

    assert forked(child) == 0
    assert second.get_task_data(0)[0] == 8.0
    first.cleanup()
    assert len(session_files(first.session_id)) == 2
    second.cleanup()
    assert session_files(first.session_id) == []


def test_each_unnamed_backend_has_a_session_of_its_own() -> None:
    first, second = SharedMemoryBackend(4), SharedMemoryBackend(4)
    assert first.session_id != second.session_id
    first.get_task_data(0)[0] = 1.0
    assert second.get_task_data(0)[0] == 0.0
    first.cleanup()
    second.cleanup()


def test_lock_excludes_other_processes_and_is_free_when_its_holder_dies() -> None:
    backend = SharedMemoryBackend(4)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        backend.acquire_lock().__enter__()
        backend.get_task_data(0)[0] = 1.0
        os.write(write, b"1")
        os.kill(os.getpid(), 9)
    assert os.read(read, 1) == b"1"
    with backend.acquire_lock():
        assert backend.get_task_data(0)[0] == 1.0
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    os.close(read)
    os.close(write)
    backend.cleanup()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_tasks": 5}, "max_tasks: the session has 4, this process wants 5"),
        ({"task_struct_size": 14}, "task_struct_size: the session has 13, this process wants 14"),
        (
            {"completion_history_size": 3},
            "completion_history_size: the session has 1000, this process wants 3",
        ),
        ({"extra_columns": 1}, "row_size: the session has 13, this process wants 14"),
        ({"layout": "mine"}, "layout: the session has '', this process wants 'mine'"),
    ],
)
def test_another_layout_under_the_name(options: dict, named: str) -> None:
    backend = SharedMemoryBackend(4)
    with pytest.raises(SessionMismatchError, match=named):
        SharedMemoryBackend(**{"max_tasks": 4, "session_id": backend.session_id, **options})
    backend.get_task_data(0)[0] = 1.0
    backend.cleanup()
    assert session_files(backend.session_id) == []


def test_no_memory_for_a_pool_of_absurd_size() -> None:
    name = new_session_id()
    with pytest.raises(
        MemoryError,
        match=f"session '{name}': asked for .* bytes .*Use fewer tasks [(]num_active_tasks[)]",
    ):
        SharedMemoryBackend(2**30, name, task_struct_size=4096)
    assert session_files(name) == []


def test_after_cleanup() -> None:
    backend = SharedMemoryBackend(4)
    row = backend.get_task_data(0)
    row[0] = 6.0
    backend.cleanup()
    assert row[0] == 6.0
    assert backend.get_task_data(0)[0] == 6.0
    with pytest.raises(SessionClosedError, match="open it again"), backend.acquire_lock():
        pass
