"""The tracker: averages, capacity, columns, old names, several views of one memory."""

import threading
import time
from typing import Any

import numpy as np
import pytest

from metta.cogworks.curriculum import (
    CentralizedTaskTracker,
    Column,
    LocalMemoryBackend,
    LocalTaskTracker,
    SharedMemoryBackend,
    TaskState,
    TaskTracker,
    create_task_tracker,
)
from metta.cogworks.curriculum.pool.layout import LABEL, MAX_GROUPS, TableLayout
from metta.cogworks.curriculum.pool.table import RETIREMENT, TaskTable
from metta.cogworks.curriculum.pool.totals import group_totals
from tests.cogworks.curriculum.states import as_json

SCORES = [0.0, 1.0, 0.25, 0.75, -2.0, 30.0]


@pytest.fixture(params=["local", "shared", "row-only"])
def tracker(request: pytest.FixtureRequest) -> Any:
    if (
        request.param == "row-only"
    ):  # a backend without room for the table: its rows are copied in and out
        tracker = TaskTracker(
            ema_alpha=0.1, backend=SharedMemoryBackend(6, completion_history_size=4)
        )
    else:
        tracker = TaskTracker(
            6, 0.1, use_shared_memory=request.param == "shared", completion_history_size=4
        )
    yield tracker
    tracker.cleanup_shared_memory()


def test_averages_are_the_closed_form(tracker: TaskTracker) -> None:
    tracker.track_task_creation(0, success_threshold=0.75)
    for score in SCORES:
        tracker.update_task_performance(0, score)

    def average(values: list[float]) -> float:
        """Σ α (1 − α)^(n−1−i) v_i, the first one with weight (1 − α)^(n−1)."""
        n = len(values)
        weights = np.array([0.9 ** (n - 1)] + [0.1 * 0.9 ** (n - 1 - i) for i in range(1, n)])
        assert weights.sum() == pytest.approx(1.0)
        return float(weights @ values)

    stats = tracker.get_task_stats(0)
    assert stats["completion_count"] == len(SCORES)
    assert stats["reward_ema"] == pytest.approx(average(SCORES))
    assert stats["ema_squared"] == pytest.approx(average([s * s for s in SCORES]))
    assert stats["success_rate_ema"] == pytest.approx(average([float(s >= 0.75) for s in SCORES]))
    assert stats["mean_score"] == pytest.approx(np.mean(SCORES))
    assert stats["last_score"] == 30.0
    assert tracker.get_task_state(0).total_score == pytest.approx(sum(SCORES))
    recent = {
        "mean_recent_score": np.mean(SCORES[-4:]),
        "total_tracked_tasks": 1.0,
        "total_completions": 6.0,
    }
    assert tracker.get_global_stats() == pytest.approx(recent)


def test_statistics_have_the_guides_keys(tracker: TaskTracker) -> None:
    before = time.time()
    tracker.track_task_creation(7, seed=3.0, generator_type=2.0)
    stats = tracker.get_task_stats(7)
    assert 0.0 <= stats.pop("age_seconds") <= time.time() - before + 1.0
    assert stats == {
        "completion_count": 0,
        "mean_score": 0.0,
        "last_score": 0.0,
        "reward_ema": 0.0,
        "ema_squared": 0.0,
        "lp_score": 0.0,
        "success_rate_ema": 0.0,
        "success_threshold": 0.5,
        "seed": 3.0,
        "generator_type": 2.0,
    }


def test_a_task_that_is_not_tracked(tracker: TaskTracker) -> None:
    assert tracker.get_task_stats(1) is None
    assert tracker.get_task_state(1) is None
    tracker.update_lp_score(1, 0.5)
    tracker.remove_task(1)
    assert tracker.get_all_tracked_tasks() == []
    assert tracker.get_global_stats() == {
        "mean_recent_score": 0.0,
        "total_tracked_tasks": 0.0,
        "total_completions": 0.0,
    }


def test_a_completion_begins_to_track(tracker: TaskTracker) -> None:
    tracker.update_task_performance(0, 0.6, success_threshold=0.7)
    assert tracker.get_task_state(0).success_threshold == 0.7
    assert tracker.get_task_state(0).success_rate_ema == 0.0
    tracker.update_task_performance(0, 0.6, success_threshold=0.5)  # from now on
    assert tracker.get_task_state(0).success_rate_ema == pytest.approx(0.1)


def test_tracking_twice_changes_nothing(tracker: TaskTracker) -> None:
    tracker.track_task_creation(3)
    tracker.update_task_performance(3, 1.0)
    before = tracker.get_task_state(3)
    tracker.track_task_creation(3, success_threshold=0.9)
    assert tracker.get_task_state(3) == before


def test_learning_progress_is_set_apart_or_with_the_completion(tracker: TaskTracker) -> None:
    tracker.update_task_performance(3, 1.0, lp_score=0.25)
    assert tracker.get_task_stats(3)["lp_score"] == 0.25
    tracker.update_task_performance(3, 1.0)
    assert tracker.get_task_stats(3)["lp_score"] == 0.25
    tracker.update_lp_score(3, 0.0)
    assert tracker.get_task_stats(3)["lp_score"] == 0.0


def test_a_removed_task_still_counts_in_the_totals_and_begins_anew(tracker: TaskTracker) -> None:
    tracker.update_task_performance(3, 1.0)
    tracker.remove_task(3)
    assert tracker.get_all_tracked_tasks() == []
    tracker.update_task_performance(3, 0.0)
    assert tracker.get_task_stats(3)["completion_count"] == 1
    assert tracker.get_global_stats()["total_completions"] == 2


def test_a_full_tracker_forgets_the_oldest(tracker: TaskTracker) -> None:
    for task_id in range(8):
        tracker.track_task_creation(task_id)
    assert sorted(tracker.get_all_tracked_tasks()) == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("task_id", [-1, 0.5, 2**53, "1", None, True])
def test_ids_that_cannot_be_one_change_nothing(tracker: TaskTracker, task_id: Any) -> None:
    tracker.track_task_creation(0)
    before = as_json(tracker.get_state())
    for action in (
        lambda: tracker.track_task_creation(task_id),
        lambda: tracker.update_task_performance(task_id, 0.5),
        lambda: tracker.update_lp_score(task_id, 0.5),
        lambda: tracker.remove_task(task_id),
        lambda: tracker.get_task_stats(task_id),
        lambda: tracker.get_column(task_id, "label"),
    ):
        with pytest.raises(ValueError, match="is not valid: task ids are integers from 0 to"):
            action()
    assert as_json(tracker.get_state()) == before


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 10**400, "x", "0.5", b"1", None])
def test_scores_that_are_no_numbers_change_nothing(tracker: TaskTracker, bad: Any) -> None:
    tracker.update_task_performance(5, 0.5)
    before = as_json(tracker.get_state())
    for action in (
        lambda: tracker.update_task_performance(5, bad),
        lambda: tracker.update_task_performance(6, bad),
        lambda: tracker.update_task_performance(5, 0.5, lp_score="x" if bad is None else bad),
        lambda: tracker.update_lp_score(5, bad),
    ):
        with pytest.raises(ValueError, match=r"of task [56]"):
            action()
    assert as_json(tracker.get_state()) == before


@pytest.mark.parametrize("task_id", [0, 2**31, 2**53 - 1])
def test_the_largest_ids_are_exact(tracker: TaskTracker, task_id: int) -> None:
    tracker.update_task_performance(task_id, 0.5)
    assert tracker.get_all_tracked_tasks() == [task_id]
    assert tracker.get_task_state(task_id).task_id == task_id


def test_rows_too_wide_for_the_journal_are_refused_and_the_widest_are_exchanged_whole() -> None:
    with pytest.raises(
        ValueError,
        match="rows of 3006 columns are not allowed: with 0 slice axes they have at most",
    ) as refused:
        TaskTracker(max_memory_tasks=4, task_struct_size=3000)
    widest = int(str(refused.value).split("at most ")[1].split(",")[0])
    tracker = TaskTracker(max_memory_tasks=4, task_struct_size=widest - 6)
    table = tracker.table
    for task_id in range(4):
        tracker.track_task_creation(task_id)
        with table:
            table.describe(table.find(task_id), "a label", ())
        tracker.update_task_performance(task_id, 0.5)
    with table:
        names = [group_name(table, slot) for slot in range(4)]
        table.exchange(table.find(2), 9, {}, RETIREMENT)
    assert names == ["a label"] * 4
    assert tracker.get_all_tracked_tasks() == [0, 1, 9, 3]
    assert tracker.get_global_stats()["total_completions"] == 4


LAYOUT = TaskTracker(4, columns=[Column("level", "", -1.0, 1.0)], slice_axes=2).table.layout


@pytest.mark.parametrize("value", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("name", [name for name in LAYOUT.names if name != "level"])
def test_columns_of_identity_and_bookkeeping_are_not_to_be_set(name: str, value: float) -> None:
    tracker = TaskTracker(4, columns=[Column("level", "", -1.0, 1.0)], slice_axes=2)
    tracker.update_task_performance(1, 0.5)
    tracker.update_task_performance(2, 0.5)
    before = as_json(tracker.get_state())
    with pytest.raises(
        ValueError,
        match=rf"column '{name}' is kept by the tracker and cannot be set: .*can \(level\)",
    ):
        tracker.set_column(1, name, value)
    assert as_json(tracker.get_state()) == before
    other = TaskTracker(4, columns=[Column("level", "", -1.0, 1.0)], slice_axes=2)
    other.load_state(tracker.get_state())
    assert other.get_all_tracked_tasks() == [1, 2]


def test_columns_that_are_the_users_can_be_set() -> None:
    tracker = TaskTracker(4, task_struct_size=15, columns=[Column("level", "", -1.0, 1.0)])
    tracker.track_task_creation(1)
    for name in ("spare_13", "spare_14", "level"):
        tracker.set_column(1, name, 0.5)
        assert tracker.get_column(1, name) == 0.5
    other = TaskTracker(4, task_struct_size=15, columns=[Column("level", "", -1.0, 1.0)])
    other.load_state(tracker.get_state())
    assert other.get_column(1, "level") == 0.5


@pytest.mark.parametrize("value", [-1.5, 1.5, 1e99, -(2**62)])
def test_values_beyond_the_declared_bounds_are_refused(value: float) -> None:
    tracker = TaskTracker(4, columns=[Column("level", "", -1.0, 1.0)])
    tracker.track_task_creation(1)
    with pytest.raises(
        ValueError, match=r"column 'level' cannot hold .*: it is declared from -1 to 1"
    ):
        tracker.set_column(1, "level", value)
    assert tracker.get_column(1, "level") == 0.0


def test_columns() -> None:
    tracker = TaskTracker(4, columns=[Column("level", "estimate")])
    tracker.track_task_creation(2)
    tracker.set_column(2, "level", 0.75)
    assert tracker.get_column(2, "level") == 0.75
    assert tracker.get_task_state(2).columns["level"] == 0.75
    with pytest.raises(KeyError, match="no column 'levle'; there are task_id,"):
        tracker.get_column(2, "levle")
    with pytest.raises(KeyError, match=r"task 9 is not tracked: track_task_creation\(9\) first"):
        tracker.set_column(9, "level", 1.0)
    with pytest.raises(ValueError, match="columns declared twice: \\['label'\\]"):
        TaskTracker(4, columns=[Column("label", "")])


@pytest.mark.parametrize("alpha", [0.0, 1.5, float("nan")])
def test_alpha_is_checked(alpha: float) -> None:
    with pytest.raises(ValueError, match="ema_alpha"):
        TaskTracker(4, ema_alpha=alpha)


def test_old_names_warn_and_work(session_id: str) -> None:
    with pytest.warns(DeprecationWarning, match="use create_task_tracker"):
        local = LocalTaskTracker(5, ema_alpha=0.3)
    assert isinstance(local, TaskTracker)
    assert isinstance(local.backend, LocalMemoryBackend)
    assert (local.backend.max_tasks, local.ema_alpha, local.session_id) == (5, 0.3, None)
    with pytest.warns(DeprecationWarning, match="use_shared_memory=True"):
        central = CentralizedTaskTracker(max_memory_tasks=5, session_id=session_id)
    assert isinstance(central._backend, SharedMemoryBackend)
    assert (central.session_id, central.ema_alpha) == (session_id, 0.1)
    other = create_task_tracker(max_memory_tasks=5, use_shared_memory=True, session_id=session_id)
    central.update_task_performance(0, 0.0)
    assert other.get_task_stats(0)["completion_count"] == 1
    for tracker in (central, other):
        tracker.cleanup_shared_memory()
        tracker.cleanup_shared_memory()


def test_the_factory_makes_local_trackers_unless_told() -> None:
    assert create_task_tracker().session_id is None
    tracker = create_task_tracker(7, ema_alpha=0.2, completion_history_size=3)
    assert (
        tracker.backend.max_tasks,
        tracker.ema_alpha,
        tracker.backend.completion_history_size,
    ) == (7, 0.2, 3)


def test_two_views_of_a_row_only_backend_agree() -> None:
    backend = SharedMemoryBackend(4)
    one, two = TaskTracker(backend=backend), TaskTracker(backend=backend)
    for i in range(40):
        (one if i % 3 else two).update_task_performance(i % 5, i / 40)
        assert one.get_all_tracked_tasks() == two.get_all_tracked_tasks()
        assert [one.get_task_stats(t)["last_score"] for t in one.get_all_tracked_tasks()] == [
            two.get_task_stats(t)["last_score"] for t in two.get_all_tracked_tasks()
        ]
    backend.cleanup()


def test_what_a_row_only_view_knew_of_a_former_task_goes_with_it() -> None:
    backend, column = LocalMemoryBackend(1), Column("level", "estimate")
    one, two = (
        TaskTracker(backend=backend, columns=[column]),
        TaskTracker(backend=backend, columns=[column]),
    )
    one.track_task_creation(1)
    one.set_column(1, "level", 5.0)
    two.remove_task(1)
    two.track_task_creation(2)
    assert one.get_all_tracked_tasks() == [2]
    assert one.get_column(2, "level") == 0.0


def test_a_backend_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the backend holds 3 tasks, the tracker wants 4"):
        TaskTable(TableLayout(4), LocalMemoryBackend(3))


def test_a_backend_that_cannot_be_locked_leaves_the_tracker_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = LocalMemoryBackend(2)
    tracker = TaskTracker(backend=backend)

    def unreachable() -> Any:
        raise ConnectionError("no route to the store")

    with monkeypatch.context() as patch:
        patch.setattr(backend, "acquire_lock", unreachable)
        with pytest.raises(ConnectionError):
            tracker.update_task_performance(0, 1.0)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (tracker.update_task_performance(0, 1.0), done.set()))
    thread.start()
    thread.join(10)
    assert done.is_set()
    assert tracker.get_task_stats(0)["completion_count"] == 1


# -- groups ----------------------------------------------------------------------------------------


def group_name(table: TaskTable, slot: int) -> str | None:
    return table.groups.name(int(table.row(slot)[table.offset(LABEL)]))


def label(tracker: TaskTracker, task_id: int, name: str, *slices: str) -> None:
    tracker.track_task_creation(task_id)
    with tracker.table as table:
        table.describe(table.find(task_id), name, slices)


def test_labels_of_any_length_are_told_apart_in_every_view(session_id: str) -> None:
    one, two = (create_task_tracker(8, True, session_id) for _ in range(2))
    long = "wäldchen/" * 40
    names = ["", "a/b", long, long + "x"]
    for i, name in enumerate(names):
        label((one, two)[i % 2], i, name)
        label((two, one)[i % 2], i + 4, name)
    for tracker in (one, two):
        with tracker.table as table:
            totals = group_totals(table, "label")
            assert len(totals) == 4
            assert all(group["active_tasks"] == 2 for group in totals.values())
            assert group_name(table, table.find(1)) == "a/b"
            assert (
                group_name(table, table.find(2))
                == group_name(table, table.find(6))
                != group_name(table, table.find(3))
            )
    for tracker in (one, two):
        tracker.cleanup_shared_memory()


def test_labels_beyond_the_limit_are_counted_together() -> None:
    tracker = TaskTracker(MAX_GROUPS + 10)
    for i in range(MAX_GROUPS + 5):
        label(tracker, i, f"label {i}")
        tracker.update_task_performance(i, 1.0)
    with tracker.table as table:
        totals = group_totals(table, "label")
        assert len(totals) == MAX_GROUPS - 1
        assert group_name(table, table.find(MAX_GROUPS + 4)) is None
        assert sum(group["completion_count"] for group in totals.values()) == MAX_GROUPS - 1
    assert tracker.get_global_stats()["total_completions"] == MAX_GROUPS + 5


def test_clearing_empties_the_pool() -> None:
    tracker = TaskTracker(4)
    label(tracker, 1, "a")
    tracker.update_task_performance(1, 1.0)
    with tracker.table as table:
        table.clear()
        assert group_totals(table, "label") == {}
    assert tracker.get_all_tracked_tasks() == []
    label(tracker, 1, "b")
    with tracker.table as table:
        assert group_name(table, table.find(1)) == "b"


def test_the_row_is_a_record() -> None:
    state = TaskState(task_id=3, completion_count=2, reward_ema=0.5)
    assert (state.num_completions, state.fast_ema, state.slow_ema) == (2, 0.5, 0.5)
    assert TaskState.model_validate_json(state.model_dump_json()) == state
    with pytest.raises(ValueError, match="extra"):
        TaskState(task_id=3, colour="red")
