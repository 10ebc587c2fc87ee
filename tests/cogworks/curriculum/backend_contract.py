"""What every memory backend promises. A project's own backend passes it too:

class TestRedisBackend(BackendContract):
    @pytest.fixture
    def make_backend(self):
        return lambda max_tasks: RedisBackend(max_tasks, url)
"""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from metta.cogworks.curriculum import TaskMemoryBackend, TaskTracker

MakeBackend = Callable[[int], TaskMemoryBackend]


class BackendContract:
    """Inherit, and give a fixture `make_backend`: a function from `max_tasks` to a new, empty
    backend."""

    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        raise NotImplementedError("a contract test gives a fixture `make_backend`")

    def test_rows_are_writable_views_of_their_own(self, make_backend: MakeBackend) -> None:
        backend = make_backend(4)
        assert backend.max_tasks == 4
        for index in range(4):
            row = backend.get_task_data(index)
            assert row.shape == (backend.task_struct_size,)
            assert row.dtype == np.float64
            assert not row.any()
            row[:] = index + 1
        for index in range(4):
            assert (backend.get_task_data(index) == index + 1).all()
        backend.cleanup()

    def test_history_is_a_writable_view(self, make_backend: MakeBackend) -> None:
        backend = make_backend(2)
        history = backend.get_completion_history()
        assert history.shape == (backend.completion_history_size,)
        history[0] = 0.25
        assert backend.get_completion_history()[0] == 0.25
        assert not backend.get_task_data(1).any()
        backend.cleanup()

    def test_clear_sets_everything_to_zero(self, make_backend: MakeBackend) -> None:
        backend = make_backend(3)
        backend.get_task_data(2)[:] = 7.0
        backend.get_completion_history()[:] = 7.0
        backend.clear()
        assert not any(backend.get_task_data(index).any() for index in range(3))
        assert not backend.get_completion_history().any()
        backend.cleanup()

    def test_the_lock_excludes_other_threads(self, make_backend: MakeBackend) -> None:
        backend, order = make_backend(1), []
        waiting = threading.Event()

        def other() -> None:
            waiting.set()
            with backend.acquire_lock():
                order.append("other")

        with backend.acquire_lock():
            thread = threading.Thread(target=other)
            thread.start()
            assert waiting.wait(10)
            thread.join(0.02)  # it cannot end
            order.append("holder")
        thread.join(10)
        assert order == ["holder", "other"]
        backend.cleanup()

    def test_the_lock_is_given_back_after_an_exception(self, make_backend: MakeBackend) -> None:
        backend = make_backend(1)
        with pytest.raises(KeyError), backend.acquire_lock():
            raise KeyError("inside")
        with backend.acquire_lock():
            pass
        backend.cleanup()

    def test_cleanup_twice_does_no_harm(self, make_backend: MakeBackend) -> None:
        backend = make_backend(1)
        backend.cleanup()
        backend.cleanup()

    def test_a_tracker_keeps_the_documented_row_there(self, make_backend: MakeBackend) -> None:
        backend = make_backend(3)
        tracker = TaskTracker(backend=backend, ema_alpha=0.5)
        tracker.track_task_creation(0, success_threshold=0.4, seed=11.0, generator_type=2.0)
        tracker.update_task_performance(0, 0.2, lp_score=0.1)
        tracker.update_task_performance(0, 0.6)
        (row,) = (r for r in map(backend.get_task_data, range(3)) if r[12])
        ema, success, square = 0.2 + 0.5 * (0.6 - 0.2), 0.5, 0.04 + 0.5 * (0.36 - 0.04)
        expected = [0.0, row[1], 2.0, ema, 0.1, success, 0.8, 0.6, 0.4, 11.0, 2.0, square, 1.0]
        assert row[:13] == pytest.approx(np.array(expected))
        assert sorted(backend.get_completion_history()[:2]) == [0.2, 0.6]
        tracker.cleanup_shared_memory()

    def test_a_full_tracker_forgets_and_reuses_slots(self, make_backend: MakeBackend) -> None:
        tracker = TaskTracker(backend=make_backend(4))
        for task_id in range(100):
            tracker.update_task_performance(task_id, 1.0)
            if task_id % 3 == 0:
                tracker.remove_task(task_id)
        tracked = tracker.get_all_tracked_tasks()
        assert len(tracked) == len(set(tracked)) <= 4
        assert all(tracker.get_task_stats(task_id)["completion_count"] == 1 for task_id in tracked)
        assert tracker.get_global_stats()["total_completions"] == 100
        tracker.cleanup_shared_memory()

    def test_threads_lose_no_update(self, make_backend: MakeBackend) -> None:
        tracker = TaskTracker(backend=make_backend(4))

        def complete() -> None:
            for i in range(50):
                tracker.update_task_performance(i % 4, 1.0)

        threads = [threading.Thread(target=complete) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [tracker.get_task_stats(i)["completion_count"] for i in range(4)] == [
            4 * len(range(i, 50, 4)) for i in range(4)
        ]
        tracker.cleanup_shared_memory()
