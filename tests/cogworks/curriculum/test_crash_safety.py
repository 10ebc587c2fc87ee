"""Processes killed in the middle of everything: the others go on, nothing is half done, and
counters add up."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
from processes import (
    DEADLINE,
    count_changes,
    forked,
    kill_after_changes,
    session_files,
    trace_opcodes,
)

from experiments.stress import run, torn_rows
from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    CurriculumTask,
    DiscreteRandomConfig,
    LearningProgressConfig,
    Span,
    TableBackend,
    bucketed,
    merge,
)
from metta.cogworks.curriculum.pool.checks import pool_faults
from metta.cogworks.curriculum.pool.layout import CLOCK, EPOCH, REFRESHED, VARIANT
from metta.cogworks.curriculum.pool.table import EVICTION, RETIREMENT, TaskTable
from metta.cogworks.curriculum.sessions import list_sessions, new_session_id
from tests.cogworks.curriculum.generator_examples import Room

pytestmark = [
    pytest.mark.timeout(300),
    # pytest-xdist has threads; what the children run here needs none of them.
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]

TASKS = 12
SMALL: dict[str, Any] = {"num_active_tasks": TASKS, "completion_history_size": 4}
EARLY: dict[str, Any] = {
    "min_samples_for_lp": 2,
    "sample_threshold": 2,
    "min_presentations_for_eviction": 2,
}
ALGORITHMS = {
    "discrete": DiscreteRandomConfig(**SMALL),
    "posterior": LearningProgressConfig(**SMALL, **EARLY, scorer="posterior"),
    "bidirectional": LearningProgressConfig(**SMALL, **EARLY, scorer="bidirectional"),
    "basic": LearningProgressConfig(**SMALL, **EARLY, scorer="basic"),
}


def table_of(curriculum: Curriculum) -> TaskTable:
    return curriculum.algorithm.task_tracker.table


def memory_of(curriculum: Curriculum) -> memoryview:
    """All bytes of a pool."""
    backend = curriculum.tracker.backend
    assert isinstance(backend, TableBackend)
    return backend.memory


def words(curriculum: Curriculum) -> memoryview:
    """The same as int64."""
    memory = memory_of(curriculum)
    return memory[: len(memory) // 8 * 8].cast("q")


def describe(curriculum: Curriculum, task_id: int) -> None:
    with table_of(curriculum) as table:
        table.describe(table.find(task_id), "", ())


def completed(curriculum: Curriculum) -> int:
    with table_of(curriculum) as table:
        in_pool = int(table.column("completion_count").sum())
        return table.header.counters()["closed_completed"] + in_pool


ONES = (1.0, 1.0, 1.0)


def used_pool(
    algorithm: str = "posterior", max_task_id: int = 1000, scores: tuple[float, ...] = ONES
) -> Curriculum:
    """A pool in which every task was completed three times, but one, which was never drawn."""
    config = CurriculumConfig(
        algorithm_config=ALGORITHMS[algorithm], max_task_id=max_task_id
    ).with_session(new_session_id())
    curriculum = Curriculum(config)
    for task_id in list(curriculum.probabilities())[1:]:
        describe(curriculum, task_id)
        curriculum.update_tasks([task_id] * 3, scores)
    return curriculum


class Snapshot:
    """All bytes of a pool, and what may change in it only as a whole."""

    def __init__(self, curriculum: Curriculum):
        with table_of(curriculum) as table:
            self.bytes = bytes(memory_of(curriculum))
            self.rows = table.rows.copy()
            single = (
                "creation_time",
                "scheduled_count",
                "label",
                "in_flight_count",
            )  # one store each
            self.rows[:, [table.offset(name) for name in single]] = 0.0
            self.completed = completed(curriculum)

    def restore(self, curriculum: Curriculum) -> None:
        with table_of(curriculum).lock:
            memory_of(curriculum)[:] = self.bytes


def faults(table: TaskTable) -> list[str]:
    with table:
        return pool_faults(table) + ["torn row"] * torn_rows(table)


# -- kills at every point of every operation -------------------------------------------------------

Operation = Callable[[Curriculum], object]
OPERATIONS: dict[str, Operation] = {
    "get_task": lambda c: c.get_task(),
    "get_tasks": lambda c: c.get_tasks(3),
    "refresh": lambda c: (mark_stale(c), c.get_task()),
    "describe": lambda c: describe(c, first_task(c)),
    "complete": lambda c: c.update_task_performance(last_task(c), 0.25),
    "complete_first": lambda c: c.update_task_performance(first_task(c), 0.25),
    "complete_late": lambda c: c.update_task_performance(999, 1.0),
    "complete_many": lambda c: c.update_tasks(
        [last_task(c), first_task(c), 999], [0.25, 0.5, 0.75]
    ),
    "evict": lambda c: (make_refresh_due(c), c.get_task()),
    "complete_and_draw": lambda c: c.complete_and_draw(CurriculumTask.of(c, last_task(c)), 0.25),
    "complete_and_refresh": lambda c: (
        make_refresh_due(c),
        c.complete_and_draw(CurriculumTask.of(c, last_task(c)), 0.25),
    ),
    "retire": lambda c: c.retire_task(last_task(c), "invalid"),
    "remove": lambda c: c.algorithm.task_tracker.remove_task(last_task(c)),
    "track": lambda c: c.algorithm.task_tracker.track_task_creation(
        next(i for i in range(1000) if c.state_of(i) is None)
    ),  # drops the oldest: the pool is full
    "clear": lambda c: clear(c),
}


def first_task(curriculum: Curriculum) -> int:
    return curriculum.algorithm.task_tracker.get_all_tracked_tasks()[0]


def last_task(curriculum: Curriculum) -> int:
    return curriculum.algorithm.task_tracker.get_all_tracked_tasks()[-1]


def make_refresh_due(curriculum: Curriculum) -> None:
    header = words(curriculum)
    header[REFRESHED] = header[CLOCK] - 1000


def mark_stale(curriculum: Curriculum) -> None:
    with table_of(curriculum) as table:
        table.samples.mark_stale()


def clear(curriculum: Curriculum) -> None:
    with table_of(curriculum) as table:
        table.clear()


def kill_everywhere(
    curriculum: Curriculum, operation: Callable[[], object], after_kill: Callable[[Snapshot], None]
) -> int:
    """Kill a child in ``operation`` once for every state that it takes the memory through. Returns
    how many there are."""
    before = Snapshot(curriculum)

    def memory() -> bytes:
        return bytes(memory_of(curriculum))

    states = 0
    while (status := kill_after_changes(operation, memory, states + 1)) == -signal.SIGKILL:
        states += 1
        after_kill(before)
        before.restore(curriculum)
    assert status == 0
    before.restore(curriculum)
    return states


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("algorithm", ["posterior", "discrete"])
def test_killed_at_every_point_of_an_operation(algorithm: str, name: str) -> None:
    with used_pool(algorithm, scores=(0.5, 0.0, 1.0)) as curriculum:
        table, operation = table_of(curriculum), OPERATIONS[name]
        words(curriculum)[EPOCH] = 1
        start = Snapshot(curriculum)
        assert forked(lambda: operation(curriculum)) == 0
        after = Snapshot(curriculum)
        start.restore(curriculum)
        in_change = 0

        def check(before: Snapshot) -> None:
            nonlocal in_change
            in_change += table.header.in_change()
            # takes the lock, which the dead child held, and puts right what it left
            now = Snapshot(curriculum)
            if name != "clear":
                for slot in range(TASKS):
                    row = now.rows[slot].tolist()
                    if name == "track" and not any(row):
                        continue  # two changes: one task leaves, the other comes
                    assert row in (before.rows[slot].tolist(), after.rows[slot].tolist()), (
                        f"half a change in slot {slot}"
                    )
                assert before.completed <= now.completed <= after.completed
            else:
                assert now.completed in (0, before.completed)
                assert now.completed or words(curriculum)[EPOCH] > 1, (
                    "other processes would go on with the old names of groups"
                )
            if name not in ("remove", "track", "clear"):  # these forget tasks without counting them
                with table:
                    assert pool_faults(table) == []
            curriculum.get_task().complete(1.0)

        states = kill_everywhere(curriculum, lambda: operation(curriculum), check)
        assert states >= 1
        if name in (
            "complete",
            "complete_and_draw",
            "evict",
            "retire",
            "remove",
            "track",
            "clear",
        ):
            assert in_change >= 1  # or this test kills at harmless points only


@pytest.mark.parametrize("algorithm", ["bidirectional", "basic"])
def test_killed_at_every_point_of_a_completion_by_other_scorers(algorithm: str) -> None:
    with used_pool(algorithm) as curriculum:
        table, task_id = table_of(curriculum), last_task(curriculum)

        def check(before: Snapshot) -> None:
            assert faults(table) == []
            assert completed(curriculum) - before.completed in (0, 1)

        assert (
            kill_everywhere(
                curriculum, lambda: curriculum.update_task_performance(task_id, 1.0), check
            )
            > 5
        )


def test_killed_at_every_point_of_taking_out_the_last_tasks() -> None:
    """Without a successor a slot is freed, and the free list is part of the change."""
    with used_pool(max_task_id=TASKS) as curriculum:
        table = table_of(curriculum)
        for task_id in curriculum.algorithm.task_tracker.get_all_tracked_tasks()[: TASKS - 3]:
            curriculum.retire_task(task_id, "invalid")

        def check(before: Snapshot) -> None:
            assert faults(table) == []
            with table:
                assert table.header.active_count in (2, 3)

        assert (
            kill_everywhere(
                curriculum, lambda: curriculum.retire_task(last_task(curriculum), "invalid"), check
            )
            > 10
        )


@pytest.mark.parametrize("saved_tasks", [TASKS, TASKS - 4])
def test_killed_at_every_point_of_loading_a_state(saved_tasks: int) -> None:
    """Loading replaces everything, so that a crash leaves no pool to go back to: the survivors
    begin a new one."""
    config = DiscreteRandomConfig(
        num_active_tasks=saved_tasks, use_shared_memory=False, completion_history_size=4
    )
    other = Curriculum(CurriculumConfig(algorithm_config=config, max_task_id=1000), seed=7)
    for task in other.get_tasks(20):
        task.complete(1.0)
    state = other.get_state()
    with used_pool("discrete") as curriculum:
        table = table_of(curriculum)
        seen = set()

        def check(before: Snapshot) -> None:
            task = curriculum.get_task()
            task.complete(1.0)
            now = Snapshot(curriculum)
            seen.add(now.completed)
            assert now.completed in (1, before.completed + 1, 21), (
                "neither the old pool, nor the loaded one, nor a new one"
            )
            with table:
                assert [f for f in pool_faults(table) if "created" not in f] == []
                assert torn_rows(table) == 0

        assert kill_everywhere(curriculum, lambda: curriculum.load_state(state), check) > 20
        assert {1, 21} <= seen


@pytest.mark.parametrize("name", ["evict", "retire", "clear"])
def test_killed_while_putting_right_what_another_left(name: str) -> None:
    with used_pool() as curriculum:
        table, operation = table_of(curriculum), OPERATIONS[name]
        before = Snapshot(curriculum)

        def memory() -> bytes:
            return bytes(memory_of(curriculum))

        states = count_changes(lambda: operation(curriculum), memory)
        recoveries = 0
        for k in range(2, states, max(1, states // 8)):
            before.restore(curriculum)
            kill_after_changes(lambda: operation(curriculum), memory, k)
            crashed = memory()
            if not table.header.in_change():
                continue
            recoveries += 1

            def recover() -> None:
                with table:
                    pass

            for again in range(1, count_changes(recover, memory) + 1):
                with table.lock:
                    memory_of(curriculum)[:] = crashed
                assert kill_after_changes(recover, memory, again) == -signal.SIGKILL
                curriculum.get_task()
                assert faults(table) == []
        assert recoveries >= 2


def test_killed_at_every_point_of_creating_a_pool() -> None:
    """Whoever holds the mutex of a session that is being made may die: the next one makes it."""
    session_id = new_session_id()
    config = CurriculumConfig(algorithm_config=ALGORITHMS["posterior"]).with_session(session_id)
    step, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        # every point takes minutes; the strides of neighbouring kills land on other instructions of
        # the loops
        step += 23

        def child(last: int = step) -> None:
            points = 0

            def count(frame: FrameType) -> None:
                nonlocal points
                points += 1
                if points == last:
                    os.kill(os.getpid(), signal.SIGKILL)

            trace_opcodes(lambda: Curriculum(config).close(), count)

        status = forked(child)
        assert [info.alive for info in list_sessions() if info.session_id == session_id] in (
            [],
            [False],
        )
        with Curriculum(config) as curriculum:
            curriculum.get_task().complete(1.0)
            assert faults(table_of(curriculum)) == []
            assert curriculum.stats()["num_completed"] == 1
        assert session_files(session_id) == []
    assert status == 0
    assert step > 23 * 20


def test_killed_at_every_point_of_the_first_writes_to_a_new_pool() -> None:
    with used_pool() as curriculum:
        table = table_of(curriculum)
        zero = bytes(len(memory_of(curriculum)))
        memory_of(curriculum)[:] = zero  # as the session gives it

        states = 0

        def memory() -> bytes:
            return bytes(memory_of(curriculum))

        while (
            kill_after_changes(lambda: Curriculum(curriculum.config), memory, states + 1)
            == -signal.SIGKILL
        ):
            states += 1
            with Curriculum(curriculum.config) as another:
                another.get_task().complete(0.5)
            assert table.header.seen_range == (0.0, 0.5)
            with table:
                assert pool_faults(table) == []
            memory_of(curriculum)[:] = zero
        assert states > 5


def test_killed_at_every_point_of_attaching_and_leaving() -> None:
    """Those who have the pool open notice nothing."""
    with used_pool() as curriculum:
        session_id, completed = curriculum.session_id, curriculum.stats()["num_completed"]
        assert session_id is not None
        step, status = 0, -signal.SIGKILL
        while status == -signal.SIGKILL:
            step += 31

            def child(last: int = step) -> None:
                points = 0

                def count(frame: FrameType) -> None:
                    nonlocal points
                    points += 1
                    if points == last:
                        os.kill(os.getpid(), signal.SIGKILL)

                curriculum.close()  # the child's own share, so that it attaches anew
                trace_opcodes(lambda: Curriculum(curriculum.config).close(), count)

            status = forked(child)
            assert faults(table_of(curriculum)) == []
            assert len(session_files(session_id)) == 2
        assert status == 0
        assert curriculum.stats()["num_completed"] == completed
        assert [info.alive for info in list_sessions() if info.session_id == session_id] == [True]


# -- pools with an index of variants beside that of ids --------------------------------------------

WHOLE = bucketed(Room(label="few"), {"game.num_plants": Span(1, TASKS // 2)})
REAL = bucketed(Room(label="real"), {"game.density": Span(0.25, 0.75)})


def pool_of_variants() -> Curriculum:
    """Full, and some of the ids that it could take are variants that it has."""
    config = CurriculumConfig(
        algorithm_config=ALGORITHMS["posterior"],
        task_generator=merge([WHOLE, REAL]),
        max_task_id=1000,
    )
    curriculum = Curriculum(config.with_session(new_session_id()))
    ids = list(curriculum.probabilities())
    assert len(ids) == TASKS
    for task_id in ids[1:]:
        describe(curriculum, task_id)
        curriculum.update_tasks([task_id] * 3, ONES)
    return curriculum


def exchange(curriculum: Curriculum, counted_as: int) -> None:
    with table_of(curriculum) as table:
        table.exchange(TASKS - 1, 123_456, {VARIANT: 7.0}, counted_as)


EXCHANGES: dict[str, Operation] = {
    "evict": lambda c: exchange(c, EVICTION),
    "retire": lambda c: exchange(c, RETIREMENT),
    "remove": OPERATIONS["remove"],
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_killed_at_every_point_of_an_exchange_in_two_indexes(name: str) -> None:
    with pool_of_variants() as curriculum:
        table, operation = table_of(curriculum), EXCHANGES[name]
        in_change, seen = 0, set()

        def check(before: Snapshot) -> None:
            nonlocal in_change
            in_change += table.header.in_change()
            assert [fault for fault in faults(table) if "created" not in fault] == []
            seen.add(tuple(table.task_ids().tolist()))

        before = table.task_ids().tolist()
        assert kill_everywhere(curriculum, lambda: operation(curriculum), check) > 20
        assert in_change > 10
        after = before[:-1] + ([] if name == "remove" else [123_456])
        assert seen == {tuple(before), tuple(after)}


def test_killed_at_every_point_of_filling_a_pool_of_variants() -> None:
    """Whoever comes next finds a full pool, or fills it."""
    with pool_of_variants() as curriculum:
        table, zero = table_of(curriculum), bytes(len(memory_of(curriculum)))
        filled = table.task_ids().tolist()
        memory_of(curriculum)[:] = zero  # as the session gives it

        def memory() -> bytes:
            return bytes(memory_of(curriculum))

        states, stride = 0, 5  # there are hundreds, most of them inside of loops
        while (
            kill_after_changes(lambda: Curriculum(curriculum.config), memory, states + stride)
            == -signal.SIGKILL
        ):
            states += stride
            with Curriculum(curriculum.config):
                assert table.task_ids().tolist() == filled
                assert faults(table) == []
            memory_of(curriculum)[:] = zero
        assert states > 20


# -- pools of regions ------------------------------------------------------------------------------

CUT = bucketed(Room(label="cut"), {"game.high": list(range(40))})  # two or three in each of 16


def pool_of_regions() -> tuple[Curriculum, list[int]]:
    """A pool whose last region was played, and the tasks of that region."""
    fields = {**SMALL, **EARLY, "num_active_tasks": 16}
    config = CurriculumConfig(algorithm_config=LearningProgressConfig(**fields), task_generator=CUT)
    curriculum = Curriculum(config.with_session(new_session_id()))
    last = last_task(curriculum)
    describe(curriculum, last)
    curriculum.update_tasks([last] * 3, ONES)
    state = curriculum.state_of(last)
    return curriculum, [i for i in range(40) if curriculum.state_of(i) == state]


REGION_OPERATIONS: dict[str, Callable[[Curriculum, list[int]], object]] = {
    "get_task": lambda c, _: c.get_task(),
    "complete": lambda c, tasks: c.update_task_performance(tasks[1], 1.0),
    "unscored": lambda c, tasks: c.count_unscored(tasks[1], float("nan")),
    "retire": lambda c, tasks: c.retire_task(tasks[0], "invalid"),
    "retire_all": lambda c, tasks: [c.retire_task(i, "invalid") for i in tasks],
}


@pytest.mark.parametrize("name", REGION_OPERATIONS)
def test_killed_at_every_point_in_a_pool_of_regions(name: str) -> None:
    curriculum, tasks = pool_of_regions()
    with curriculum:
        table, operation = table_of(curriculum), REGION_OPERATIONS[name]
        assert table.header.active_count == 16
        in_change, regions, left = 0, set(), set()

        def check(before: Snapshot) -> None:
            nonlocal in_change
            in_change += table.header.in_change()
            assert faults(table) == []
            regions.add(table.header.active_count)
            left.add(len(tasks) - table.header.counters()["invalid"])
            curriculum.get_task().complete(1.0)

        kill_everywhere(curriculum, lambda: operation(curriculum, tasks), check)
        assert in_change > 0
        assert regions == ({16, 15} if name == "retire_all" else {16})
        gone = {"retire": 1, "retire_all": len(tasks)}.get(name, 0)
        assert left == set(range(len(tasks) - gone, len(tasks) + 1))


# -- kills at random instants ----------------------------------------------------------------------


@pytest.mark.timeout(900)  # 300 times: a process is killed and another started
def test_killed_at_random_instants() -> None:
    report = run(kills=300, seed=1, processes=4)
    assert report.faults == []
    assert (report.kills, report.hangs, report.torn_rows) == (300, 0, 0)
    assert report.killed_holding_lock > 0
    assert report.completions > 300
    print(
        f"recovery: median {np.median(report.recovery_ms):.2f} ms, longest "
        f"{max(report.recovery_ms):.2f} ms"
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_instants_for_long() -> None:
    report = run(kills=1000, seed=2, processes=8)
    assert report.faults == []
    assert (report.kills, report.hangs, report.torn_rows) == (1000, 0, 0)


def test_ended_by_sigterm_with_threads_in_the_middle_of_changes() -> None:
    """The handler gives the locks back, which it must not do while another thread of the process is
    writing."""
    with used_pool() as curriculum:
        table = table_of(curriculum)
        for k in range(40):
            read, write = os.pipe()

            def child(ready: int = write) -> None:
                # The handler that opening a session installs; pytest-timeout or coverage may have
                # had another in place.
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                curriculum.close()
                mine = Curriculum(curriculum.config)

                def work() -> None:
                    while True:
                        mine.get_task().complete(1.0)

                for _ in range(3):
                    threading.Thread(target=work, daemon=True).start()
                os.write(ready, b"1")
                work()

            pid = os.fork()
            if pid == 0:
                try:
                    child()
                finally:
                    os._exit(1)
            os.read(read, 1)
            os.close(read)
            os.close(write)
            for _ in range(k):
                curriculum.get_task().complete(1.0)
            os.kill(pid, signal.SIGTERM)
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
            assert faults(table) == []


# -- exceptions instead of kills -------------------------------------------------------------------


class Interrupted(BaseException):
    """As a KeyboardInterrupt: raised by a signal handler, between any two instructions."""


def test_interrupted_inside_the_lock_functions() -> None:
    """An exception out of a signal handler, wherever the kernel can be waited for, leaves no lock
    behind."""
    with used_pool() as curriculum:
        lock = table_of(curriculum).lock
        read, write = os.pipe()
        lock.acquire()

        def child() -> None:
            def ring(signum: int, frame: object) -> None:
                raise Interrupted

            signal.signal(signal.SIGALRM, ring)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Interrupted):
                lock.acquire()
            os.write(write, b"1")
            lock.acquire()  # once the parent lets go
            lock.release()
            taken = []
            thread = threading.Thread(
                target=lambda: taken.append(lock.acquire()), daemon=True
            )  # the thread lock is free too
            thread.start()
            thread.join(DEADLINE)
            assert taken

        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child()
                status = 0
            finally:
                os._exit(status)
        os.read(read, 1)
        lock.release()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(read)
        os.close(write)


@pytest.mark.parametrize("name", ["complete", "evict", "retire"])
def test_an_exception_undoes_what_it_interrupts(name: str) -> None:
    """Raised at every state of the memory, in this process, which goes on: as if the operation had
    not been begun."""
    with used_pool() as curriculum:
        table, operation = table_of(curriculum), OPERATIONS[name]
        before = Snapshot(curriculum)
        assert forked(lambda: operation(curriculum)) == 0
        after = Snapshot(curriculum)
        before.restore(curriculum)
        raised, k = True, 0
        while raised:
            k += 7 if name == "evict" else 1  # it changes the memory hundreds of times
            before.restore(curriculum)
            changes, last = 0, bytes(memory_of(curriculum))

            def look(frame: FrameType, limit: int = k) -> None:
                nonlocal changes, last
                now = bytes(memory_of(curriculum))
                if now != last and frame.f_code.co_name not in ("release", "__exit__"):
                    changes, last = changes + 1, now
                    if changes == limit:
                        raise Interrupted

            try:
                trace_opcodes(lambda: operation(curriculum), look)
                raised = False
            except Interrupted:
                assert not table.lock.owned
                now = Snapshot(curriculum)
                for slot in range(TASKS):
                    assert now.rows[slot].tolist() in (
                        before.rows[slot].tolist(),
                        after.rows[slot].tolist(),
                    )
                with table:
                    assert pool_faults(table) == []
        assert k > 10


# -- nothing runs for ever -------------------------------------------------------------------------


def test_tasks_exchanged_inside_a_larger_change_never_fill_the_index() -> None:
    """A search for an id that is not there ends at an empty entry, of which there must always be
    some."""
    config = DiscreteRandomConfig(num_active_tasks=TASKS, use_shared_memory=False)
    with Curriculum(CurriculumConfig(algorithm_config=config, max_task_id=10**6)) as curriculum:
        tracker, table = curriculum.algorithm.task_tracker, table_of(curriculum)
        for k in range(4 * table.layout.index_size):
            with table:
                tracker.remove_task(first_task(curriculum))
                tracker.track_task_creation(1000 + k)
                assert len(table.index.slots()) == TASKS
        with table:
            assert [fault for fault in pool_faults(table) if "created" not in fault] == []


def test_all_of_the_distribution_on_a_task_that_is_removed() -> None:
    with used_pool("posterior") as curriculum:
        table = table_of(curriculum)
        with table:
            weights = np.zeros(TASKS)
            weights[0] = 1.0
            table.samples.publish(weights)
        only = first_task(curriculum)
        assert curriculum.get_task().task_id == only
        curriculum.algorithm.task_tracker.remove_task(only)
        assert curriculum.get_task().task_id != only
