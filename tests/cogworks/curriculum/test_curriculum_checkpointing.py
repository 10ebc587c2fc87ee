"""Saved pools: what they promise and what is refused. Resuming from every step is in the contract
of algorithms."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import run_all

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    TaskTracker,
)
from metta.cogworks.curriculum.sessions import new_session_id
from tests.cogworks.curriculum import curriculum_examples
from tests.cogworks.curriculum.algorithm_contract import steps
from tests.cogworks.curriculum.generator_examples import RoomGenerator
from tests.cogworks.curriculum.states import as_json, without_times

EXAMPLES = curriculum_examples.__name__


def local(**fields: Any) -> LearningProgressConfig:
    return LearningProgressConfig(
        **{"num_active_tasks": 6, "use_shared_memory": False, "scorer": "bidirectional", **fields}
    )


def rooms(algorithm: Any = None, **fields: Any) -> CurriculumConfig:
    fields = {"max_task_id": 1000, "task_generator": RoomGenerator.Config(), **fields}
    return CurriculumConfig(algorithm_config=algorithm or local(), **fields)


def absent(curriculum: Curriculum) -> int:
    """An id of the family that is not in the pool."""
    return min(set(range(20)) - set(curriculum.probabilities()))


@pytest.fixture
def saved(open_curriculum) -> dict[str, Any]:
    curriculum = open_curriculum(rooms())
    steps(curriculum, 0, 40)
    return curriculum.get_state()


def test_a_state_is_a_snapshot(open_curriculum) -> None:
    curriculum = open_curriculum(rooms())
    state = curriculum.get_state()
    before = as_json(state)
    steps(curriculum, 0, 40)
    assert as_json(state) == before


def test_loading_restores_counters_labels_and_statistics(open_curriculum) -> None:
    algorithm = local(min_presentations_for_eviction=1, sample_threshold=1, min_samples_for_lp=1)
    curriculum, other = open_curriculum(rooms(algorithm)), open_curriculum(rooms(algorithm))
    steps(curriculum, 0, 100)
    curriculum.update_task_performance(absent(curriculum), 0.5)
    curriculum.retire_task(curriculum.get_task().task_id, "reason")
    steps(other, 0, 7)
    other.load_state(curriculum.get_state())
    assert other.stats() == curriculum.stats()
    assert other.stats()["num_evicted"] > 0
    assert other.probabilities() == curriculum.probabilities()
    assert without_times(other.get_state()) == without_times(curriculum.get_state())


@pytest.mark.parametrize("shared", [False, True])
def test_a_local_pool_loads_a_shared_one_and_the_other_way_round(
    open_curriculum, shared: bool
) -> None:
    one = open_curriculum(rooms(local(use_shared_memory=shared)))
    two = open_curriculum(rooms(local(use_shared_memory=not shared)))
    steps(one, 0, 20)
    two.load_state(one.get_state())
    assert steps(two, 20, 40) == steps(one, 20, 40)


def test_loading_is_seen_by_every_view_of_the_pool(
    open_curriculum, session_id: str, saved: dict[str, Any]
) -> None:
    config = rooms(local(use_shared_memory=True)).with_session(session_id)
    one, two = open_curriculum(config), open_curriculum(config)
    steps(two, 0, 5)
    two.stats()
    one.load_state(saved)
    assert two.probabilities() == one.probabilities()
    assert two.stats() == one.stats()
    assert two.stats()["num_completed"] == 40


def test_a_larger_pool_takes_the_tasks_and_has_room_for_more(
    open_curriculum, saved: dict[str, Any]
) -> None:
    old = {row[0]: row[2] for row in saved["algorithm"]["tracker"]["rows"]}
    larger = open_curriculum(rooms(local(num_active_tasks=10)))
    larger.load_state(saved)
    tracker = larger.algorithm.task_tracker
    states = {i: tracker.get_task_state(i) for i in tracker.get_all_tracked_tasks()}
    assert len(states) == 10
    assert {i: states[i].completion_count for i in old} == old
    assert all(
        states[i].completion_count == 0 and states[i].success_threshold == 0.5
        for i in set(states) - set(old)
    )
    assert larger.stats()["num_completed"] == 40
    assert larger.stats()["num_created"] == saved["algorithm"]["tracker"]["counters"]["created"] + 4
    assert sum(larger.probabilities().values()) == pytest.approx(1.0)
    steps(larger, 40, 80)


def test_another_length_of_history_keeps_the_latest_scores(open_curriculum) -> None:
    curriculum = open_curriculum(rooms(local(completion_history_size=8)))
    task_id = curriculum.get_task().task_id
    scores = [i / 20 for i in range(20)]
    for score in scores:
        curriculum.update_task_performance(task_id, score)
    for size in (3, 8, 12):
        other = open_curriculum(rooms(local(completion_history_size=size)))
        other.load_state(curriculum.get_state())
        latest = scores[-min(size, 8) :]
        assert other.stats()["algorithm/tracker/mean_recent_score"] == pytest.approx(
            np.mean(latest)
        )
        other.update_task_performance(task_id, 9.0)
        latest = [*latest, 9.0][-size:]
        assert other.stats()["algorithm/tracker/mean_recent_score"] == pytest.approx(
            np.mean(latest)
        )


def test_the_same_length_of_history_goes_on_where_it_was(open_curriculum) -> None:
    one = open_curriculum(rooms(local(completion_history_size=5)))
    steps(one, 0, 7)
    two = open_curriculum(rooms(local(completion_history_size=5)))
    two.load_state(one.get_state())
    for curriculum in (one, two):
        steps(curriculum, 7, 9)
    assert two.stats() == one.stats()


@pytest.mark.parametrize(
    "scorer", ["basic", "posterior", "signed", "learnability", f"{EXAMPLES}.SharedScorer"]
)
def test_with_another_scorer_the_tasks_begin_anew(
    open_curriculum, saved: dict[str, Any], scorer: str
) -> None:
    """Averages that the saved scorer did not keep would look like progress; the totals stay."""
    other = open_curriculum(rooms(local(scorer=scorer)))
    other.load_state(saved)
    tracker = other.algorithm.task_tracker
    rows = {int(row[0]): row for row in saved["algorithm"]["tracker"]["rows"]}
    assert set(tracker.get_all_tracked_tasks()) == set(rows)
    for task_id, row in rows.items():
        state = tracker.get_task_state(task_id)
        assert (state.completion_count, state.lp_score, state.success_threshold) == (0, 0.0, row[8])
    stats = other.stats()
    created = saved["algorithm"]["tracker"]["counters"]["created"]
    assert (stats["num_completed"], stats["num_scheduled"], stats["num_created"]) == (
        40,
        40,
        created,
    )
    assert list(other.probabilities().values()) == pytest.approx([1 / 6] * 6)
    steps(other, 40, 60)
    assert other.stats()["num_completed"] == 60
    labels = [value for name, value in other.stats().items() if name.endswith("/completions")]
    assert sum(labels) == 60


def test_a_scorer_that_has_got_another_column_begins_anew(
    open_curriculum, saved: dict[str, Any]
) -> None:
    older = copy.deepcopy(saved)
    table = older["algorithm"]["tracker"]
    at = table["columns"].index("baseline")
    table["columns"].pop(at)
    table["rows"] = np.delete(table["rows"], at, axis=1)
    curriculum = open_curriculum(rooms())
    curriculum.load_state(older)
    assert curriculum.stats()["num_completed"] == 40
    assert curriculum.get_task().state.completion_count == 0


def test_the_state_of_a_scorer_of_ones_own_is_kept(open_curriculum) -> None:
    config = rooms(local(scorer=f"{EXAMPLES}.DictScorer"))
    one, two = open_curriculum(config), open_curriculum(config)
    steps(one, 0, 20)
    two.load_state(one.get_state())
    ids = one.algorithm.task_tracker.get_all_tracked_tasks()
    assert two.algorithm.score_tasks(ids) == one.algorithm.score_tasks(ids)
    assert steps(two, 20, 30) == steps(one, 20, 30)


def corrupt(state: dict[str, Any], *path: str, value: Any) -> dict[str, Any]:
    state = copy.deepcopy(state)
    inner = state
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value(inner[path[-1]])
    return state


TABLE = ("algorithm", "tracker")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("algorithm",), None, "not the state of a curriculum"),
        (TABLE, None, "format None, this version reads 2"),
        ((*TABLE, "format"), lambda old: old + 1, "format 3, this version reads 2"),
        ((*TABLE, "weights"), None, "lacks weights"),
        ((*TABLE, "counters", "clock"), None, r"lacks counters\['clock'\]"),
        ((*TABLE, "columns"), lambda old: ["x", *old[1:]], "lacks column 'task_id'"),
        ((*TABLE, "rows"), lambda old: old[:-1], r"rows has shape \(5, .*\), expected \(6,"),
        ((*TABLE, "weights"), lambda old: old[:-1], "weights has shape"),
        ((*TABLE, "groups"), lambda old: old[:, :-1], "groups has shape"),
        ((*TABLE, "retired"), lambda old: np.append(old, 1), "retired has shape"),
        ((*TABLE, "counters", "cursor"), lambda old: 10**6, "cursor or stale point outside"),
        ((*TABLE, "counters", "cursor"), lambda old: -1, "cursor is -1, not an integer from 0"),
        ((*TABLE, "counters", "clock"), lambda old: "x", "clock is 'x', not an integer"),
        (
            (*TABLE, "counters", "seed"),
            lambda old: 2**64,
            "seed is 18446744073709551616, not an integer",
        ),
        (
            (*TABLE, "weights"),
            lambda old: old * np.nan,
            "weights holds a number that is not finite",
        ),
        ((*TABLE, "score_range"), lambda old: [1.0, 1.0], "range of scores, 1.0 to 1.0, is empty"),
        ((*TABLE, "rows"), lambda old: -old, "column .* holds -.*, not a"),
        ((*TABLE, "group_names"), lambda old: [0] * len(old), "group_names are at most"),
        (TABLE, lambda old: None, "not the state of a pool"),
        (("algorithm",), lambda old: None, "not the state of an algorithm"),
        (("algorithm", "scorer_state"), None, "it has no 'scorer_state'"),
        ((*TABLE, "rows"), lambda old: old[[0, 0, 2, 3, 4, 5]], "task ids are not distinct"),
        (
            (*TABLE, "rows"),
            lambda old: old + 0.5,
            "column .*task_id.* holds .*5, not an integer from",
        ),
    ],
)
def test_a_state_that_is_not_one_is_refused_before_anything_changes(
    open_curriculum, saved: dict[str, Any], path: tuple[str, ...], value: Any, message: str
) -> None:
    curriculum = open_curriculum(rooms())
    steps(curriculum, 0, 10)
    before = without_times(curriculum.get_state())
    with pytest.raises(ValueError, match=message):
        curriculum.load_state(corrupt(saved, *path, value=value))
    assert without_times(curriculum.get_state()) == before


def test_a_smaller_pool_refuses_before_anything_changes(
    open_curriculum, saved: dict[str, Any]
) -> None:
    smaller = open_curriculum(rooms(local(num_active_tasks=4)))
    before = without_times(smaller.get_state())
    with pytest.raises(
        ValueError,
        match="holds 6 tasks, this one has room for 4: use num_active_tasks of at least 6",
    ):
        smaller.load_state(saved)
    assert without_times(smaller.get_state()) == before


def test_another_algorithm_refuses(open_curriculum, saved: dict[str, Any]) -> None:
    other = open_curriculum(
        rooms(DiscreteRandomConfig(num_active_tasks=6, use_shared_memory=False))
    )
    with pytest.raises(
        ValueError, match="belongs to algorithm 'learning_progress', this is 'discrete_random'"
    ):
        other.load_state(saved)


def test_a_trackers_state_round_trips() -> None:
    one, two = TaskTracker(5, completion_history_size=3), TaskTracker(5, completion_history_size=3)
    for i in range(20):
        one.update_task_performance(i % 7, i / 20)
    two.load_state(as_json(one.get_state()))
    assert two.get_state()["counters"] == one.get_state()["counters"]
    assert two.get_all_tracked_tasks() == one.get_all_tracked_tasks()
    assert [two.get_task_state(i) for i in range(7)] == [one.get_task_state(i) for i in range(7)]
    assert two.get_global_stats() == one.get_global_stats()


def test_few_or_many_tasks_resume_alike(open_curriculum) -> None:
    for tasks in (1, 20_000):
        config = rooms(local(num_active_tasks=tasks), max_task_id=2**53)
        one, two = open_curriculum(config), open_curriculum(config)
        steps(one, 0, 10)
        two.load_state(one.get_state())
        assert steps(two, 10, 400) == steps(one, 10, 400)


def test_another_process_reads_it_as_json(saved: dict[str, Any], tmp_path: Path) -> None:
    """Nothing but text goes between them; both draw the same tasks next."""
    path = tmp_path / "state.json"
    path.write_text(json.dumps(as_json(saved)))
    code = (
        "import json, sys, tests.cogworks.curriculum.generator_examples;"
        "from metta.cogworks.curriculum import Curriculum, CurriculumConfig;"
        "config = CurriculumConfig.model_validate_json(sys.argv[2]); curriculum = "
        "Curriculum(config);"
        "curriculum.load_state(json.load(open(sys.argv[1])));"
        "print(json.dumps([task.task_id for task in curriculum.get_tasks(10)]))"
    )
    drawn = subprocess.run(
        [sys.executable, "-c", code, str(path), rooms().model_dump_json()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    with Curriculum(rooms()) as here:
        here.load_state(saved)
        assert drawn.stdout.strip() == str([task.task_id for task in here.get_tasks(10)])


# -- episodes in flight ----------------------------------------------------------------------------


def begin_episodes(config: CurriculumConfig, count: int) -> None:
    """A worker that ends in the middle of its episodes."""
    with Curriculum(config) as curriculum:
        for task in curriculum.get_tasks(2 * count)[:count]:
            task.complete(0.5)


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_run_that_goes_on_forgets_what_was_in_flight() -> None:
    """Also for processes that have the pool open: each task was scheduled as often as it was
    completed, and nothing else has changed."""
    algorithm = DiscreteRandomConfig(num_active_tasks=16)
    config = CurriculumConfig(algorithm_config=algorithm).with_session(new_session_id())
    with Curriculum(config) as curriculum:
        run_all("fork", begin_episodes, [(config, 40), (config, 25)])
        state = curriculum.get_state()
        stats = curriculum.stats()
        assert (stats["num_scheduled"], stats["num_completed"]) == (130, 65)
    with Curriculum(config) as curriculum:
        curriculum.load_state(state)
        curriculum.forget_in_flight()
        run_all("fork", begin_episodes, [(config, 10)])
        assert curriculum.stats()["num_scheduled"] == 65 + 20
        curriculum.forget_in_flight()
        tracker = curriculum.get_state()["algorithm"]["tracker"]
        rows, columns = tracker["rows"], tracker["columns"]
        scheduled = rows[:, columns.index("scheduled_count")]
        np.testing.assert_array_equal(scheduled, rows[:, columns.index("completion_count")])
        assert curriculum.stats()["num_completed"] == 75
        curriculum.forget_in_flight()
        assert curriculum.stats()["num_scheduled"] == 75
