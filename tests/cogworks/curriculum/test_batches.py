"""Batches: draws without replacement, and several scores of a draw."""

import collections
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    ItemsGenerator,
    LearningProgressConfig,
    Span,
    bucketed,
    merge,
)
from metta.cogworks.curriculum.pool.checks import pool_faults
from metta.cogworks.curriculum.pool.journal import Journal
from metta.cogworks.curriculum.pool.layout import JOURNAL_BYTES
from metta.cogworks.curriculum.pool.sum_tree import SumTree
from tests.cogworks.curriculum.generator_examples import Room
from tests.cogworks.curriculum.states import without_times
from tests.cogworks.curriculum.test_in_flight import RULES

NAN = math.nan


def pool(num_ids: int = 20, **fields: Any) -> Curriculum:
    values: dict[str, Any] = {"num_active_tasks": num_ids, "use_shared_memory": False, **fields}
    algorithm = LearningProgressConfig(**values)
    return CurriculumConfig(algorithm_config=algorithm, max_task_id=num_ids).make()


def ids_of(tasks: list[Any]) -> list[int]:
    return [task.task_id for task in tasks]


def counts(curriculum: Curriculum) -> dict[str, float]:
    stats = curriculum.stats()
    names = ("num_scheduled", "num_completed", "num_in_flight", "late_completions")
    return {name: stats[name] for name in names}


# -- without replacement ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 7, 20])
def test_no_two_are_the_same_and_all_are_in_flight(n: int) -> None:
    curriculum = pool()
    ids = ids_of(curriculum.get_tasks(n, distinct=True))
    assert len(set(ids)) == len(ids) == n
    assert counts(curriculum) == {
        "num_scheduled": n,
        "num_completed": 0,
        "num_in_flight": n,
        "late_completions": 0,
    }
    assert {i: curriculum.explain(i).in_flight for i in ids} == dict.fromkeys(ids, 1)


def test_pairs_come_as_often_as_drawing_one_after_the_other_says() -> None:
    """p(i, j) = p_i p_j / (1 - p_i), by the weights 1, 2, 3, 4."""
    items = [ItemsGenerator.Config(items=[name]) for name in "abcd"]
    curriculum = CurriculumConfig(
        task_generator=merge(items, weights=[1, 2, 3, 4]),
        algorithm_config=DiscreteRandomConfig(use_shared_memory=False),
        seed=5,
    ).make()
    p = curriculum.probabilities()
    assert sorted(p.values()) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    n = 6000
    found = collections.Counter(
        tuple(ids_of(curriculum.get_tasks(2, distinct=True))) for _ in range(n)
    )
    chi_square = 0.0
    for i, j in itertools.permutations(p, 2):
        expected = n * p[i] * p[j] / (1.0 - p[i])
        chi_square += (found[i, j] - expected) ** 2 / expected
    assert sum(found.values()) == n
    assert chi_square < 31.3  # 0.1 % of 11 degrees of freedom


def test_the_first_of_a_batch_is_what_a_single_draw_would_be() -> None:
    one, many = pool(), pool()
    for curriculum in (one, many):
        for task_id in range(20):
            curriculum.update_tasks([task_id] * 3, [0.1, 0.4, 0.05 * task_id])
    assert many.get_tasks(5, distinct=True)[0].task_id == one.get_task().task_id


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.0, 1e6) | st.just(0.0), min_size=1, max_size=32),
    st.lists(st.integers(0, 31), max_size=32),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_what_remains_of_a_tree_is_a_tree_without_the_others(
    weights: list[float], left_out: list[int], x: float
) -> None:
    size = 32
    trees = [SumTree(memoryview(bytearray(16 * size)), 0, size) for _ in range(2)]
    values = np.zeros(size)
    values[: len(weights)] = weights
    trees[0].set_range(0, values)
    remaining = trees[0].remaining()
    for slot in left_out:
        remaining.leave_out(slot)
        values[slot] = 0.0
    trees[1].set_range(0, values)
    assert remaining.find(x) == trees[1].find(x)


def test_a_slot_may_change_once_it_is_left_out() -> None:
    memory = memoryview(bytearray(16 * 4 + JOURNAL_BYTES + 64))
    tree = SumTree(memory, 0, 4)
    tree.set_range(0, np.array([1.0, 2.0, 3.0, 0.0]))
    remaining = tree.remaining()
    remaining.leave_out(1)
    tree.set(1, 0.5, Journal(memory, memory[: len(memory) // 8 * 8].cast("q"), 16 * 4 + 64))
    remaining.leave_out(0)
    assert [remaining.find(x) for x in (0.0, 0.5, 0.999)] == [2, 2, 2]
    remaining.leave_out(2)
    assert remaining.find(0.5) == -1


def test_more_than_there_are_is_refused_and_nothing_changes() -> None:
    curriculum = pool()
    before = without_times(curriculum.get_state())
    with pytest.raises(
        ValueError,
        match=r"n=21 distinct tasks cannot be drawn: the pool has 20. .* or distinct=False",
    ):
        curriculum.get_tasks(21, distinct=True)
    with pytest.raises(TypeError, match="distinct='yes' is not allowed"):
        curriculum.get_tasks(2, distinct="yes")  # type: ignore[arg-type]
    assert without_times(curriculum.get_state()) == before
    assert len(curriculum.get_tasks(21)) == 21


def test_tasks_that_are_never_drawn_do_not_count() -> None:
    curriculum = pool(4, rand_task_rate=0.5)
    state = curriculum.get_state()
    tracker = state["algorithm"]["tracker"]
    tracker["rows"][:2, tracker["columns"].index("sampling_weight")] = 0.0
    curriculum.load_state(state)
    before = without_times(curriculum.get_state())
    with pytest.raises(
        ValueError, match=r"n=3 distinct tasks cannot be drawn: the pool draws only 2"
    ):
        curriculum.get_tasks(3, distinct=True)
    drawn = without_times(curriculum.get_state())
    for part in (before, drawn):  # the weights were brought up to date for the draw
        part["algorithm"]["tracker"].pop("weights")
        part["algorithm"]["tracker"]["counters"].pop("stale")
    assert drawn == before
    assert len(curriculum.get_tasks(2, distinct=True)) == 2


def test_tasks_worth_nothing_fill_a_batch_up() -> None:
    """What is known of tasks says that they are not worth drawing, and the batch needs them."""
    curriculum = pool(6, scorer="learnability", rand_task_rate=0.0)  # p (1 - p)
    for task_id in range(6):
        curriculum.update_tasks([task_id] * 20, [0.5 if task_id < 2 else 1.0] * 20)
    curriculum.table.samples.mark_stale()
    assert sorted(ids_of(curriculum.get_tasks(6, distinct=True))) == list(range(6))


def test_no_two_are_of_one_region() -> None:
    rooms = bucketed(Room(), {"game.density": Span(0.0, 1.0)})
    algorithm = LearningProgressConfig(use_shared_memory=False, num_active_tasks=32)
    curriculum = CurriculumConfig(task_generator=rooms, algorithm_config=algorithm).make()
    drawn = curriculum.get_tasks(32, distinct=True)
    regions = {task.state.task_id for task in drawn if task.state is not None}
    assert len(regions) == 32
    assert len(set(ids_of(drawn))) == 32
    with pytest.raises(ValueError, match="n=33 distinct tasks cannot be drawn: the pool has 32"):
        curriculum.get_tasks(33, distinct=True)


def test_a_restored_pool_draws_the_same_batches() -> None:
    curriculum = pool()
    for _ in range(3):
        ids = ids_of(curriculum.get_tasks(6, distinct=True))
        curriculum.update_tasks(ids, [[0.1 * (i % 3), 0.5] for i in ids])
    restored = pool()
    restored.load_state(curriculum.get_state())
    for _ in range(5):
        batch = ids_of(curriculum.get_tasks(6, distinct=True))
        assert ids_of(restored.get_tasks(6, distinct=True)) == batch
        for each in (curriculum, restored):
            each.update_tasks(batch, [0.3] * 6)


def test_a_pool_of_many_blocks_is_weighed_before_the_batch() -> None:
    curriculum = pool(3000)  # three blocks, all stale
    ids = ids_of(curriculum.get_tasks(500, distinct=True))
    slots = [curriculum.table.find(task_id) // 1024 for task_id in ids]
    assert set(slots) == {0, 1, 2}


# -- several scores of a draw ----------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("scorer", ["posterior", "bidirectional"])
def test_a_row_of_scores_counts_as_so_many_draws_and_completions(rule: str, scorer: str) -> None:
    rows = {3: [0.1, 0.9, 0.4], 7: [0.2, 0.2, 0.8]}
    one, other = (pool(sampling=rule, scorer=scorer) for _ in range(2))
    for curriculum, times in ((one, 1), (other, 3)):
        for task_id in rows:
            for _ in range(times):
                slot = curriculum.table.find(task_id)
                with curriculum.table:
                    curriculum._population.hand_out(slot, (0, 0))
    one.update_tasks(list(rows), list(rows.values()))
    for task_id, scores in rows.items():
        for score in scores:
            other.update_task_performance(task_id, score)
    for task_id in rows:
        was, now = other.state_of(task_id), one.state_of(task_id)
        assert was is not None
        assert now == was.model_copy(update={"creation_time": now.creation_time})
    assert one.probabilities() == pytest.approx(other.probabilities())
    assert counts(one) == counts(other)
    assert counts(one)["num_scheduled"] == counts(one)["num_completed"] == 6
    assert counts(one)["num_in_flight"] == 0


def test_rollouts_of_one_draw_end_no_other_draw() -> None:
    curriculum = pool(1)
    curriculum.get_tasks(3)  # by three workers, say
    for left in (2, 1, 0):
        curriculum.update_tasks([0], [[0.5] * 8])
        assert counts(curriculum)["num_in_flight"] == left
    assert counts(curriculum) == {
        "num_scheduled": 24,
        "num_completed": 24,
        "num_in_flight": 0,
        "late_completions": 0,
    }


def test_after_them_nothing_is_owed() -> None:
    """What is forgotten when a run is resumed, is what was in flight."""
    curriculum = pool(4)
    for _ in range(5):
        ids = ids_of(curriculum.get_tasks(4, distinct=True))
        curriculum.update_tasks(ids, np.full((4, 8), 0.5))
    curriculum.get_tasks(2)
    curriculum.forget_in_flight()
    assert counts(curriculum) == {
        "num_scheduled": 160,
        "num_completed": 160,
        "num_in_flight": 0,
        "late_completions": 0,
    }
    free = curriculum.algorithm.distribution()
    assert curriculum.probabilities() == pytest.approx(
        dict(zip(curriculum.table.task_ids().tolist(), free.tolist(), strict=True))
    )


def test_scores_of_what_was_not_drawn_are_completions_too() -> None:
    curriculum = pool(4)
    curriculum.update_tasks([2], [[0.5, 0.6]])
    assert counts(curriculum)["num_completed"] == 2
    assert counts(curriculum)["num_in_flight"] == 0


def test_scores_of_a_task_that_has_left_are_late() -> None:
    curriculum = CurriculumConfig(
        algorithm_config=LearningProgressConfig(num_active_tasks=3, use_shared_memory=False),
        max_task_id=10,
    ).make()
    gone = next(i for i in range(10) if i not in curriculum.probabilities())
    curriculum.update_tasks([gone], [[0.5, 0.6, 0.7]])
    assert counts(curriculum)["late_completions"] == 3
    assert counts(curriculum)["num_completed"] == 0


# -- what is taken, and what is not ----------------------------------------------------------------

IDS, SCORES = [4, 0, 9], [0.5, 0.25, 1.0]
ROWS = [[0.5, 0.25], [0.0, 1.0], [0.75, 0.5]]


@pytest.mark.parametrize(
    "make",
    [
        lambda values: values,
        tuple,
        np.array,
        lambda values: np.array(values, np.float32),
        lambda values: [np.array(value) for value in values],
        torch.tensor,
        lambda values: torch.tensor(values, dtype=torch.float16),
        lambda values: torch.tensor(values, dtype=torch.bfloat16),
        lambda values: torch.tensor(values, requires_grad=True) + 0.0,
        lambda values: [torch.tensor(value) for value in values],
    ],
    ids=["list", "tuple", "array", "float32", "arrays", "tensor", "half", "bfloat16", "grad", "ts"],
)
@pytest.mark.parametrize("scores", [SCORES, ROWS], ids=["n", "n x k"])
def test_scores_of_all_kinds(make: Any, scores: Any) -> None:
    expected, curriculum = pool(10), pool(10)
    expected.update_tasks(IDS, scores)
    curriculum.update_tasks(IDS, make(scores))
    assert without_times(curriculum.get_state()) == without_times(expected.get_state())


@pytest.mark.parametrize(
    "ids",
    [
        tuple(IDS),
        np.array(IDS),
        np.array(IDS, np.int32),
        np.array(IDS, np.uint8),
        [np.int64(i) for i in IDS],
        torch.tensor(IDS),
        torch.tensor(IDS, dtype=torch.int32),
        [torch.tensor(i) for i in IDS],
        (i for i in IDS),
    ],
    ids=["tuple", "int64", "int32", "uint8", "numbers", "tensor", "int32 tensor", "ts", "iterator"],
)
def test_ids_of_all_kinds(ids: Any) -> None:
    expected, curriculum = pool(10), pool(10)
    expected.update_tasks(IDS, SCORES)
    curriculum.update_tasks(ids, SCORES)
    assert without_times(curriculum.get_state()) == without_times(expected.get_state())


def test_single_tensors_are_taken_too() -> None:
    curriculum = pool(10)
    curriculum.update_task_performance(torch.tensor(4), torch.tensor(0.5))  # type: ignore[arg-type]
    assert curriculum.state_of(4).last_score == 0.5
    assert curriculum.probabilities(torch.tensor([4, 5])).keys() == {4, 5}  # type: ignore[arg-type]


def test_rows_may_be_of_unequal_length() -> None:
    curriculum = pool(10)
    curriculum.update_tasks([1, 2, 3], [[0.5, 0.5, 0.5], [1.0], 0.25])
    assert [curriculum.state_of(i).completion_count for i in (1, 2, 3)] == [3, 1, 1]


@pytest.mark.parametrize(
    ("ids", "scores", "error", "message"),
    [
        ([1, 2], [[0.5, 0.5], [0.5, NAN]], ValueError, "score nan of task 2"),
        ([1, 2], [[0.5, 0.5], []], ValueError, "scores of task 2 are an empty list: .*unscored"),
        ([1, 2], np.zeros((2, 0)), ValueError, "scores of task 1 are an empty list"),
        ([1, 2], np.zeros((2, 2, 2)), ValueError, r"score \[0.0, 0.0\] of task 1 is not a number"),
        ([1, 2], np.zeros((3, 2)), ValueError, "2 task ids and 3 scores: .* a row of scores per"),
        ([1, 2], [0.5, 0.5, 0.5], ValueError, "2 task ids and 3 scores"),
        ([1, 2], [[0.5], "ab"], ValueError, "score 'ab' of task 2 is not a number"),
        ([1, 2], ["ab", [0.5]], ValueError, "score 'ab' of task 1 is not a number"),
        ([1, 2], [{0.5}, 0.5], ValueError, "of task 1 is not a number"),
        ([1, 20], [0.5, [0.5]], ValueError, "task id 20 is not one of .* from 0 to .* = 19"),
        ([1, 2.5], [0.5, 0.5], ValueError, "task id 2.5 is not valid"),
        ([1, True], [0.5, 0.5], ValueError, "task id True is not valid"),
        (torch.tensor([1.0, 2.5]), [0.5, 0.5], ValueError, "task id 2.5 is not valid"),
        (torch.tensor([True, False]), [0.5, 0.5], ValueError, "task id True is not valid"),
        (np.array([[1, 2]]), [0.5], ValueError, r"task id \[1, 2\] is not valid"),
        (np.array(3), [0.5], TypeError, "task_ids=3 is a int: give a list"),
        ([3], torch.tensor(0.5), TypeError, "scores=0.5 is a float: give a list"),
        ("12", [0.5, 0.5], TypeError, "task_ids='12' is a str"),
        ([1, 2], b"12", TypeError, "scores=b'12' is a bytes"),
    ],
)
def test_bad_input_anywhere_in_a_batch_changes_nothing(
    ids: Any, scores: Any, error: type, message: str
) -> None:
    curriculum = pool(20)
    curriculum.get_tasks(5)
    before = without_times(curriculum.get_state())
    with pytest.raises(error, match=message):
        curriculum.update_tasks(ids, scores)
    assert without_times(curriculum.get_state()) == before


# -- any sequence of them --------------------------------------------------------------------------

DRAW = st.tuples(st.just("draw"), st.integers(0, 6), st.booleans())
UPDATE = st.tuples(st.just("update"), st.integers(1, 5), st.integers(1, 4))
END = st.tuples(st.just("end"), st.integers(1, 3), st.just(0))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(DRAW, UPDATE, END), max_size=14), st.sampled_from([6, 8]))
def test_what_is_counted_is_what_happened(steps: list[tuple[str, int, Any]], size: int) -> None:
    """In a pool from which none leaves, in too short a time for a draw to be given up."""
    curriculum = pool(size)
    out: list[int] = []  # draws that did not come back
    scheduled = completed = 0
    of_task: collections.Counter[int] = collections.Counter()
    for kind, n, what in steps:
        if kind == "draw":
            drawn = ids_of(curriculum.get_tasks(n, distinct=what))
            assert not what or len(set(drawn)) == n
            out += drawn
            scheduled += n
        elif kind == "update":
            back, out = out[:n], out[n:]
            curriculum.update_tasks(back, np.full((len(back), what), 0.5).tolist())
            completed += len(back) * what
            scheduled += len(back) * (what - 1)
            of_task.update({i: what * back.count(i) for i in set(back)})
        else:
            for task_id in out[:n]:
                curriculum.count_unscored(task_id, NAN)
            out = out[n:]
        assert counts(curriculum) == {
            "num_scheduled": scheduled,
            "num_completed": completed,
            "num_in_flight": len(out),
            "late_completions": 0,
        }
    for task_id in range(size):
        explained = curriculum.explain(task_id)
        assert explained.in_flight == out.count(task_id)
        assert explained.completions == of_task[task_id]
    with curriculum.table as table:
        assert pool_faults(table) == []


@pytest.mark.parametrize("rollouts", [1, 8])
def test_draws_of_a_worker_that_died_are_given_up_and_no_others(
    open_curriculum, session_id: str, rollouts: int
) -> None:
    config = CurriculumConfig(
        algorithm_config=LearningProgressConfig(num_active_tasks=4, session_id=session_id),
        max_task_id=4,
    )
    died, curriculum = open_curriculum(config), open_curriculum(config)
    died.get_tasks(4, distinct=True)
    curriculum.get_tasks(4, distinct=True)  # of a worker that is slow
    for _ in range(500 // rollouts):
        ids = ids_of(curriculum.get_tasks(4, distinct=True))
        curriculum.update_tasks(ids, np.full((4, rollouts), 0.5))
    assert counts(curriculum)["num_in_flight"] == 4
