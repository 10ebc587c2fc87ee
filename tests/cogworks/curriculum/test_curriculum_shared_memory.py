"""One pool for all workers: what any process does is seen by all, exactly."""

import gc
import multiprocessing
import os
import pickle
import signal
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import (
    DEADLINE,
    Method,
    complete_tasks,
    end_script,
    forked,
    open_together,
    run_all,
    session_files,
    start_script,
)

from experiments.stress import torn_rows
from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    SessionMismatchError,
)
from metta.cogworks.curriculum.pool.checks import pool_faults
from metta.cogworks.curriculum.session import new_session_id

pytestmark = [
    pytest.mark.timeout(120),
    # pytest-xdist has threads; what the children run here needs none of them.
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]

EARLY: dict[str, Any] = {
    "min_samples_for_lp": 2,
    "sample_threshold": 2,
    "min_presentations_for_eviction": 2,
}


def lively(tasks: int = 32, **options: Any) -> CurriculumConfig:
    """A pool that evicts a task every few completions."""
    return CurriculumConfig(
        algorithm_config=LearningProgressConfig(num_active_tasks=tasks, **EARLY, **options)
    )


def check_counts(curriculum: Curriculum, sent: int) -> None:
    table = curriculum.algorithm.task_tracker.table
    stats = curriculum.stats()
    assert stats["num_completed"] + stats["late_completions"] == sent
    assert stats["num_scheduled"] == sent
    assert (
        stats["num_created"] - stats["num_evicted"]
        == stats["num_active_tasks"]
        == table.layout.max_tasks
    )
    assert stats["num_evicted"] > 0
    with table:
        assert table.header.counters()["late_completions"] == stats["late_completions"]
        ids = table.task_ids()
        assert len(np.unique(ids)) == len(ids)
        assert pool_faults(table) == []
        assert torn_rows(table) == 0


@pytest.mark.parametrize(
    ("processes", "method"),
    [
        (2, "fork"),
        (4, "fork"),
        (16, "fork"),
        (2, "spawn"),
        (4, "spawn"),
        pytest.param(
            16, "spawn", marks=pytest.mark.slow
        ),  # starting them takes up to a minute on two cores
    ],
)
def test_processes_lose_no_update(processes: int, method: Method) -> None:
    episodes = 200
    with Curriculum(lively()) as curriculum:
        barrier = multiprocessing.get_context(method).Barrier(processes)
        run_all(method, complete_tasks, [(curriculum.config, episodes, barrier)] * processes)
        check_counts(curriculum, processes * episodes)


@pytest.mark.parametrize("shared", [True, False])
def test_threads_lose_no_update(shared: bool) -> None:
    episodes, errors = 300, []
    barrier = threading.Barrier(8)
    with Curriculum(lively(use_shared_memory=shared)) as curriculum:

        def work() -> None:
            try:
                barrier.wait(DEADLINE)
                for _ in range(episodes):
                    curriculum.get_task().complete(1.0)
            except BaseException as error:
                errors.append(error)
                raise

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert errors == []
        check_counts(curriculum, 8 * episodes)


@pytest.mark.parametrize(("processes", "repetitions"), [(2, 60), (5, 25)])
def test_processes_that_open_a_new_session_at_the_same_instant_get_one_pool(
    processes: int, repetitions: int
) -> None:
    names = [new_session_id() for _ in range(repetitions)]
    barrier = multiprocessing.get_context("fork").Barrier(processes)
    run_all("fork", open_together, [(names, processes, barrier)] * processes)
    assert [name for name in names if session_files(name)] == []


def test_unrelated_process_sees_the_same_pool() -> None:
    with Curriculum(lively(session_id=new_session_id())) as curriculum:
        task = curriculum.get_task()
        task.complete(1.0)
        script = start_script(
            """
            import json, sys
            from metta.cogworks.curriculum import Curriculum, CurriculumConfig
            config = CurriculumConfig.model_validate(json.loads(sys.argv[1]))
            with Curriculum(config) as curriculum:
                task_id = int(sys.argv[2])
                before = curriculum.stats()["num_completed"]
                curriculum.update_task_performance(task_id, 0.5)
                mean = curriculum.algorithm.task_tracker.get_task_stats(task_id)["mean_score"]
                print(json.dumps([before, mean, sorted(curriculum.probabilities())]))
            """,
            curriculum.config.model_dump_json(),
            str(task.task_id),
        )
        status, out, errors = end_script(script)
        assert (status, errors) == (0, "")
        assert out.strip() == str([1.0, 0.75, sorted(curriculum.probabilities())])
        state = task.state
        assert state is not None
        assert state.completion_count == 2


def test_everything_one_process_does_the_others_see() -> None:
    with Curriculum(lively(tasks=8, session_id=new_session_id())) as curriculum:
        ids = list(curriculum.probabilities())

        def child() -> None:
            for _ in range(3):
                curriculum.update_tasks(ids, [0.1 * k for k in range(8)])
            curriculum.retire_task(ids[0], "invalid")
            curriculum.get_task()

        assert forked(child) == 0
        stats = curriculum.stats()
        assert stats["num_completed"] == 24
        assert stats["num_invalid"] == 1
        assert stats["num_scheduled"] == 1
        assert ids[0] not in curriculum.probabilities()
        assert len(curriculum.probabilities()) == 8
        for k, task_id in enumerate(ids[1:], start=1):
            row = curriculum.algorithm.task_tracker.get_task_state(task_id)
            assert row is None or row.total_score == pytest.approx(0.3 * k)


def test_two_views_in_one_process_are_one_pool() -> None:
    config = lively(tasks=8, session_id=new_session_id())
    first, second = Curriculum(config), Curriculum(config)
    first.get_task().complete(1.0)
    assert second.stats()["num_completed"] == 1
    first.close()
    second.get_task().complete(1.0)
    assert second.stats()["num_completed"] == 2
    second.close()


def test_pickled_curriculum_is_the_same_pool() -> None:
    with Curriculum(lively(tasks=8)) as curriculum:
        copy = pickle.loads(pickle.dumps(curriculum))
        copy.get_task().complete(1.0)
        assert curriculum.stats()["num_completed"] == 1
        assert sorted(copy.probabilities()) == sorted(curriculum.probabilities())
        copy.close()
        curriculum.get_task()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tasks": 9}, "max_tasks: the session has 8, this process wants 9"),
        (
            {"completion_history_size": 5},
            "completion_history_size: the session has 1000, this process wants 5",
        ),
        ({"task_struct_size": 15}, "task_struct_size: the session has 13, this process wants 15"),
        (
            {"scorer": "basic"},
            "layout: the session has 'columns .*, this process wants 'columns .*basic_mean",
        ),
        ({"max_slice_axes": 1}, "layout: the session has 'columns .*slice_2.*, this process wants"),
    ],
)
@pytest.mark.parametrize("same_process", [True, False])
def test_another_configuration_under_the_session_names_both(
    options: dict[str, Any], named: str, same_process: bool
) -> None:
    session_id = new_session_id()
    with Curriculum(lively(tasks=8, session_id=session_id)) as curriculum:
        other = lively(**{"tasks": 8, **options}, session_id=session_id)

        def attach() -> None:
            with pytest.raises(SessionMismatchError, match=named):
                Curriculum(other)

        def child() -> None:
            curriculum.close()
            attach()

        if same_process:
            attach()
        else:
            assert forked(child) == 0
        curriculum.get_task().complete(1.0)
        assert len(session_files(session_id)) == 2
    gc.collect()
    assert session_files(session_id) == []


# -- the same operations, in one process or three, in shared memory or local -----------------------

TASKS = 6
Step = tuple[str, int, float]
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["get", "get", "update", "update", "update", "batch", "retire", "late", "stats"]
        ),
        st.integers(0, TASKS - 1),
        st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]),
    ),
    min_size=5,
    max_size=40,
)


def do(curriculum: Curriculum, step: Step) -> None:
    what, k, score = step
    ids = curriculum.algorithm.task_tracker.get_all_tracked_tasks()
    if what == "get":
        curriculum.get_task()
    elif what == "update":
        curriculum.update_task_performance(ids[k], score)
    elif what == "batch":
        curriculum.update_tasks(ids, [score] * len(ids))
        curriculum.get_tasks(3)
    elif what == "retire":
        curriculum.retire_task(ids[k], "invalid")
    elif what == "late":
        curriculum.update_task_performance(999_999, score)
    else:
        curriculum.stats()


def state_of(curriculum: Curriculum) -> dict[str, Any]:
    """All of the pool but the times of creation, as plain values."""
    state = curriculum.get_state()["algorithm"]["tracker"]
    state["rows"][:, state["columns"].index("creation_time")] = 0.0
    return {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in state.items()
    }


def in_three_processes(config: CurriculumConfig, sequence: list[Step]) -> dict[str, Any]:
    """The pool after processes that take turns, handing on a token, have done the steps."""
    with Curriculum(config) as curriculum:
        pipes = [os.pipe() for _ in range(3)]
        pids = []
        for me in range(3):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    curriculum.close()
                    mine = Curriculum(curriculum.config)
                    for number, step in enumerate(sequence):
                        if number % 3 == me:
                            assert os.read(pipes[me][0], 1) == b"1"
                            do(mine, step)
                            os.write(pipes[(me + 1) % 3][1], b"1")
                    mine.close()
                    status = 0
                finally:
                    os._exit(status)
            pids.append(pid)
        os.write(pipes[0][1], b"1")
        ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        for read, write in pipes:
            os.close(read)
            os.close(write)
        assert ends == [0, 0, 0]
        return state_of(curriculum)


def in_one_process(config: CurriculumConfig, sequence: list[Step]) -> dict[str, Any]:
    with Curriculum(config) as curriculum:
        for step in sequence:
            do(curriculum, step)
        return state_of(curriculum)


@pytest.mark.parametrize("scorer", ["posterior", "bidirectional"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sequence=steps)
def test_same_state_in_one_process_in_three_and_in_local_memory(
    scorer: str, sequence: list[Step]
) -> None:
    local = lively(tasks=TASKS, scorer=scorer, use_shared_memory=False)
    shared = lively(tasks=TASKS, scorer=scorer)
    expected = in_one_process(local, sequence)
    assert in_one_process(shared, sequence) == expected
    assert in_three_processes(shared, sequence) == expected


def test_workers_draw_from_one_stream_of_samples() -> None:
    """Which process draws makes no difference: together they draw what one alone draws."""
    algorithm = DiscreteRandomConfig(num_active_tasks=16)
    with Curriculum(CurriculumConfig(algorithm_config=algorithm, seed=5)) as alone:
        expected = [alone.get_task().task_id for _ in range(200)]
    with Curriculum(CurriculumConfig(algorithm_config=algorithm, seed=5)) as shared:
        drawn = []
        for _ in range(20):
            read, write = os.pipe()

            def child(out: int = write) -> None:
                os.write(out, np.array([task.task_id for task in shared.get_tasks(5)]).tobytes())

            assert forked(child) == 0
            drawn += np.frombuffer(os.read(read, 1000), np.int64).tolist()
            os.close(read)
            os.close(write)
            drawn += [task.task_id for task in shared.get_tasks(5)]
    assert drawn == expected


def test_a_child_forked_while_threads_draw_does_not_inherit_their_locks(open_curriculum) -> None:
    curriculum = open_curriculum(LearningProgressConfig(num_active_tasks=32))
    stop = threading.Event()

    def play() -> None:
        while not stop.is_set():
            curriculum.get_tasks(64)  # a batch: nearly always in the middle of drawing one

    def draw() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)  # ends the child if it hangs
        curriculum.get_tasks(200)

    threads = [threading.Thread(target=play) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            assert forked(draw) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
