"""`Curriculum`: tasks, completions, counters, invalid tasks, explanations, threads."""

import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from metta.cogworks.curriculum import (
    BucketedTaskGenerator,
    Curriculum,
    CurriculumConfig,
    CurriculumTask,
    DiscreteRandomConfig,
    DiscreteRandomCurriculum,
    LearningProgressConfig,
    SingleTaskGenerator,
    gini,
)
from metta.cogworks.curriculum.sessions import SessionClosedError
from tests.cogworks.curriculum.generator_examples import Room, RoomGenerator
from tests.cogworks.curriculum.states import without_times

ABSENT = 999  # an id of the family that is not in the pools of these tests
NAN, INF = float("nan"), float("inf")


def rooms(algorithm: Any = None, **fields: Any) -> CurriculumConfig:
    fields = {"max_task_id": 1000, "task_generator": RoomGenerator.Config(), **fields}
    return CurriculumConfig(algorithm_config=algorithm or local(), **fields)


def local(**fields: Any) -> LearningProgressConfig:
    return LearningProgressConfig(**{"num_active_tasks": 8, "use_shared_memory": False, **fields})


def test_defaults() -> None:
    config = CurriculumConfig()
    assert (config.max_task_id, config.num_active_tasks, config.seed) == (None, 1000, 0)
    assert config.num_ids(None) == 1_000_000
    assert isinstance(config.algorithm_config, DiscreteRandomConfig)
    assert config.session_id is None
    with CurriculumConfig(
        algorithm_config=DiscreteRandomConfig(use_shared_memory=False)
    ).make() as curriculum:
        assert isinstance(curriculum.algorithm, DiscreteRandomCurriculum)
        assert curriculum.stats()["num_active_tasks"] == 1000


def test_a_task_without_a_generator_is_its_seed(open_curriculum) -> None:
    curriculum = open_curriculum(local())
    task = curriculum.get_task()
    assert isinstance(task, CurriculumTask)
    assert task.get_env_cfg() == task.task_id == task._task_id
    assert task.get_label() == ""
    assert task.get_slice_values() == task.get_bucket_values() == {}
    assert str(task.task_id) in repr(task)


@pytest.mark.parametrize(
    "algorithm", [local(), DiscreteRandomConfig(num_active_tasks=8, use_shared_memory=False)]
)
def test_completing_and_drawing_at_once_is_the_same_as_one_after_the_other(
    open_curriculum, algorithm
) -> None:
    one, other = open_curriculum(rooms(algorithm)), open_curriculum(rooms(algorithm))
    at_once, apart = one.get_task(), other.get_task()
    for k in range(300):  # through several refreshes and evictions
        assert at_once.task_id == apart.task_id
        score = (0.37 * k) % 1.0
        at_once = one.complete_and_draw(at_once, score)
        other.update_task_performance(apart.task_id, score)
        apart = other.get_task()
    assert one.stats() == other.stats()
    assert without_times(one.get_state()) == without_times(other.get_state())


def test_a_task_is_credited_by_its_id_wherever_it_stands(open_curriculum) -> None:
    curriculum = open_curriculum(rooms(local(eviction_threshold_percentile=0)))
    task = curriculum.get_task()
    others = [
        CurriculumTask.of(curriculum, task_id)
        for task_id in curriculum.probabilities()
        if task_id != task.task_id
    ]
    for _ in range(11):
        curriculum.complete_and_draw(CurriculumTask.of(curriculum, task.task_id), 0.5)
    assert task.state is not None
    assert task.state.completion_count == 11
    curriculum.retire_task(task.task_id, "its place is another's now")
    curriculum.complete_and_draw(task, 0.5)
    assert (curriculum.stats()["late_completions"], curriculum.stats()["num_completed"]) == (1, 11)
    tracker = curriculum.algorithm.task_tracker
    tracker.remove_task(others[0].task_id)  # its slot is free, and holds no task
    curriculum.complete_and_draw(others[0], 0.5)
    assert curriculum.stats()["late_completions"] == 2


@pytest.mark.parametrize("task_id", [-1, 2**60, 2.5, "7", None, True])
def test_completing_and_drawing_with_an_id_that_is_none_changes_nothing(
    open_curriculum, task_id
) -> None:
    curriculum = open_curriculum(rooms())
    before = without_times(curriculum.get_state())
    with pytest.raises(ValueError, match=r"task id .* is not valid"):
        curriculum.complete_and_draw(CurriculumTask.of(curriculum, task_id), 0.5)
    assert without_times(curriculum.get_state()) == before


def test_completing_and_drawing_takes_numpy_ids(open_curriculum) -> None:
    curriculum = open_curriculum(rooms())
    task = curriculum.get_task()
    curriculum.complete_and_draw(
        CurriculumTask.of(curriculum, np.int64(task.task_id)), np.float32(0.5)
    )  # type: ignore[arg-type]
    assert task.state is not None
    assert task.state.completion_count == 1


class Noting(Curriculum):
    """A subclass of a user's that overrides one of the two."""

    noted: int

    def update_task_performance(self, task_id: int, score: float) -> None:
        self.noted += 1
        super().update_task_performance(task_id, score)


def test_completing_and_drawing_asks_what_was_put_in_the_place_of_either(
    open_curriculum, monkeypatch
) -> None:
    with Noting(rooms()) as noting:
        noting.noted = 0
        noting.complete_and_draw(noting.get_task(), 0.5)
        assert noting.noted == 1
    curriculum = open_curriculum(rooms())
    first, second = curriculum.get_tasks(2)
    monkeypatch.setattr(curriculum, "get_task", lambda: second)
    assert curriculum.complete_and_draw(first, 0.5) is second
    monkeypatch.undo()
    monkeypatch.setattr(Curriculum, "get_task", lambda self: second)
    assert curriculum.complete_and_draw(first, 0.5) is second
    assert curriculum.stats()["num_completed"] == 2


def test_threads_that_complete_and_draw_at_once(open_curriculum) -> None:
    curriculum = open_curriculum(rooms(local(num_active_tasks=64)))

    def play() -> None:
        task = curriculum.get_task()
        for _ in range(200):
            task = curriculum.complete_and_draw(task, 0.5)

    threads = [threading.Thread(target=play) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = curriculum.stats()
    assert stats["num_completed"] + stats["late_completions"] == 1600
    assert stats["num_scheduled"] == 1608


@pytest.mark.parametrize("score", [NAN, INF, "0.5", None])
def test_completing_and_drawing_with_a_score_that_is_none_changes_nothing(
    open_curriculum, score
) -> None:
    curriculum = open_curriculum(rooms())
    task = curriculum.get_task()
    before = without_times(curriculum.get_state())
    with pytest.raises(ValueError, match=f"of task {task.task_id} is not"):
        curriculum.complete_and_draw(task, score)
    with pytest.raises(
        ValueError, match=f"of task {task.task_id} is not"
    ):  # a float id is an id, and told as one
        curriculum.update_task_performance(float(task.task_id), score)  # type: ignore[arg-type]
    assert without_times(curriculum.get_state()) == before


def test_a_task_builds_its_environment_on_first_use_and_owns_it(open_curriculum) -> None:
    curriculum = open_curriculum(rooms())
    task = curriculum.get_task()
    config = task.get_env_cfg()
    assert isinstance(config, Room)
    assert task.get_env_cfg() is config
    assert task.get_label() == config.label == ("large" if task.task_id % 2 else "small")
    assert task.get_slice_values() == {"plants": config.game.num_plants}
    config.game.num_plants = 77
    assert CurriculumTask.of(curriculum, task.task_id).get_env_cfg().game.num_plants != 77


def test_task_ids_are_below_max_task_id_and_distinct(open_curriculum) -> None:
    curriculum = open_curriculum(
        CurriculumConfig(algorithm_config=local(num_active_tasks=50), max_task_id=60)
    )
    ids = curriculum.algorithm.task_tracker.get_all_tracked_tasks()
    assert len(ids) == len(set(ids)) == 50
    assert min(ids) >= 0
    assert max(ids) < 60


def test_a_pool_has_no_more_tasks_than_there_are_ids(open_curriculum) -> None:
    curriculum = open_curriculum(
        CurriculumConfig(algorithm_config=local(num_active_tasks=50), max_task_id=3)
    )
    assert sorted(curriculum.probabilities()) == [0, 1, 2]
    assert curriculum.stats()["num_active_tasks"] == 3


def test_initial_ids_are_uniform(open_curriculum) -> None:
    curriculum = open_curriculum(
        CurriculumConfig(algorithm_config=local(num_active_tasks=2000), max_task_id=2**40)
    )
    counts, _ = np.histogram(list(curriculum.probabilities()), bins=16, range=(0, 2**40))
    assert scipy_stats.chisquare(counts).pvalue > 1e-3


def test_the_seed_decides_the_draws(open_curriculum) -> None:
    def draws(**kwargs: Any) -> list[int]:
        return [task.task_id for task in open_curriculum(rooms(seed=5), **kwargs).get_tasks(20)]

    assert draws() == draws(seed=5)
    assert draws() != draws(seed=6)


def test_many_tasks_are_one_after_another(open_curriculum) -> None:
    one, many = open_curriculum(rooms()), open_curriculum(rooms())
    assert [one.get_task().task_id for _ in range(100)] == [
        task.task_id for task in many.get_tasks(100)
    ]
    assert many.get_tasks(0) == []
    with pytest.raises(ValueError, match="n=-1 is not allowed"):
        many.get_tasks(-1)


def test_many_completions_are_one_after_another(open_curriculum) -> None:
    one, many = open_curriculum(rooms()), open_curriculum(rooms())
    ids = [task.task_id for task in one.get_tasks(30)]
    many.get_tasks(30)
    scores = [i / 30 for i in range(30)]
    for task_id, score in zip(ids, scores, strict=True):
        one.update_task_performance(task_id, score)
    many.update_tasks(np.array(ids), np.array(scores))
    assert without_times(one.get_state()) == without_times(many.get_state())


def test_task_zero_and_score_zero_count(open_curriculum) -> None:
    curriculum = open_curriculum(
        CurriculumConfig(algorithm_config=local(num_active_tasks=1), max_task_id=1)
    )
    task = curriculum.get_task()
    assert task.task_id == 0
    task.complete(0.0)
    assert task.state.completion_count == 1
    assert task.state.last_score == 0.0
    assert curriculum.stats()["num_completed"] == 1
    assert curriculum.stats()["late_completions"] == 0


BAD = [
    (NAN, r"score nan of task \d+"),
    (INF, r"score inf of task \d+"),
    (-INF, "score -inf"),
    (1e200, "magnitude below"),
    ("high", "'high' of task .* is not a number"),
    (None, "is not a number"),
    ([0.5], "is not a number"),
]
BAD_IDS = [-1, 0.5, 2**53, "3", None, True, NAN]


@pytest.mark.parametrize(("score", "message"), BAD)
def test_a_score_that_is_no_finite_number_changes_nothing(
    open_curriculum, score: Any, message: str
) -> None:
    curriculum = open_curriculum(rooms())
    task = curriculum.get_task()
    task.complete(0.5)
    before = without_times(curriculum.get_state())
    with pytest.raises(ValueError, match=message):
        curriculum.update_task_performance(task.task_id, score)
    several = [score] if isinstance(score, list) else score  # [0.5] are the scores of one draw
    with pytest.raises(ValueError, match=message):
        curriculum.update_tasks([task.task_id, task.task_id], [0.5, several])
    with pytest.raises(ValueError, match=message):
        task.complete(score)
    assert without_times(curriculum.get_state()) == before


@pytest.mark.parametrize("task_id", BAD_IDS)
def test_an_id_that_cannot_be_one_changes_nothing(open_curriculum, task_id: Any) -> None:
    curriculum = open_curriculum(rooms())
    valid = curriculum.get_task().task_id
    before = without_times(curriculum.get_state())
    for action in (
        lambda: curriculum.update_task_performance(task_id, 0.5),
        lambda: curriculum.update_tasks([valid, task_id], [0.5, 0.5]),
        lambda: curriculum.retire_task(task_id, "reason"),
        lambda: curriculum.explain(task_id),
        lambda: curriculum.probabilities([task_id]),
    ):
        with pytest.raises(ValueError, match=r"task id .* is not valid"):
            action()
    assert without_times(curriculum.get_state()) == before


def test_as_many_scores_as_tasks(open_curriculum) -> None:
    with pytest.raises(ValueError, match="2 task ids and 1 scores"):
        open_curriculum(rooms()).update_tasks([1, 2], [0.5])


@pytest.mark.parametrize("kind", [np.int64, np.float64, np.int32, float])
def test_integral_numbers_of_other_types_are_ids(open_curriculum, kind: type) -> None:
    curriculum = open_curriculum(rooms())
    curriculum.update_task_performance(kind(curriculum.get_task().task_id), np.float32(0.5))
    assert curriculum.stats()["num_completed"] == 1


def test_completions_of_tasks_outside_the_pool_are_late(open_curriculum) -> None:
    curriculum = open_curriculum(rooms())
    curriculum.update_task_performance(ABSENT, 1.0)
    curriculum.update_tasks([ABSENT, curriculum.get_task().task_id], [1.0, 1.0])
    stats = curriculum.stats()
    assert (stats["late_completions"], stats["num_completed"]) == (2, 1)


def test_counters(open_curriculum) -> None:
    curriculum = open_curriculum(rooms())
    zero = curriculum.stats()
    expected = {
        "num_created": 8,
        "num_evicted": 0,
        "num_completed": 0,
        "num_scheduled": 0,
        "num_active_tasks": 8,
    }
    assert expected.items() <= zero.items()
    for task in curriculum.get_tasks(5):
        task.complete(0.5)
    curriculum.get_task()
    curriculum.retire_task(curriculum.get_task().task_id, "cannot be built")
    stats = curriculum.stats()
    assert (stats["num_scheduled"], stats["num_completed"]) == (
        7,
        5,
    )  # those of the retired task included
    assert (stats["num_invalid"], stats["num_created"], stats["num_active_tasks"]) == (1, 9, 8)


def test_labels_are_counted_over_the_life_of_the_pool(open_curriculum) -> None:
    algorithm = local(min_presentations_for_eviction=1, sample_threshold=1, min_samples_for_lp=1)
    curriculum = open_curriculum(rooms(algorithm))
    completions, totals = Counter(), Counter()
    for step in range(600):
        task = curriculum.get_task()
        task.complete(step / 600)
        completions[task.get_label()] += 1
        totals[task.get_label()] += step / 600
    stats = curriculum.stats()
    assert stats["num_evicted"] > 0
    for label in ("small", "large"):
        assert stats[f"algorithm/label/{label}/completions"] == completions[label]
        assert stats[f"algorithm/label/{label}/scheduled"] == completions[label]
        assert stats[f"algorithm/label/{label}/mean_score"] == pytest.approx(
            totals[label] / completions[label]
        )
    assert stats["algorithm/label/gini_completions"] == pytest.approx(gini(completions.values()))


def test_no_statistics_of_labels_where_there_are_none(open_curriculum) -> None:
    curriculum = open_curriculum(local())
    curriculum.get_task().complete(0.5)
    assert not [name for name in curriculum.stats() if "label" in name]


def test_slices_are_counted_over_the_life_of_the_pool(open_curriculum) -> None:
    generator = BucketedTaskGenerator.Config(
        child_generator_config=SingleTaskGenerator.Config(env=Room()),
        buckets={"game.num_plants": [5, 10], "game.density": [0.25, 0.75]},
    )
    algorithm = local(
        enable_detailed_slice_logging=True,
        min_presentations_for_eviction=1,
        sample_threshold=1,
        min_samples_for_lp=1,
    )
    curriculum = open_curriculum(rooms(algorithm, task_generator=generator, max_task_id=None))
    scores: dict[str, list[float]] = {}
    for step in range(150):
        task = curriculum.get_task()
        task.complete(step / 150)
        for axis, value in task.get_slice_values().items():
            scores.setdefault(f"{axis}_{value}", []).append(step / 150)
    stats = curriculum.stats()
    assert set(scores) == {
        "game.num_plants_5",
        "game.num_plants_10",
        "game.density_0.25",
        "game.density_0.75",
    }
    for name, values in scores.items():
        assert stats[f"algorithm/slice/{name}/count"] == len(values)
        assert stats[f"algorithm/slice/{name}/mean"] == pytest.approx(np.mean(values))
        assert stats[f"algorithm/slice/{name}/std"] == pytest.approx(np.std(values))


# -- invalid tasks ---------------------------------------------------------------------------------


def test_the_reason_is_logged_at_the_first_second_fourth_invalid_task(
    open_curriculum, caplog
) -> None:
    curriculum = open_curriculum(DiscreteRandomConfig(num_active_tasks=20, use_shared_memory=False))
    for i, task_id in enumerate(list(curriculum.probabilities())[:9]):
        curriculum.retire_task(task_id, f"reason {i + 1}")
        curriculum.retire_task(task_id, "it is gone already")
    told = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" ")[2] for line in told] == ["1", "2", "4", "8"]
    assert told[2].endswith("is invalid and was replaced (invalid so far: 4): reason 4")


def test_a_retired_task_is_replaced_and_not_drawn_again(open_curriculum) -> None:
    curriculum = open_curriculum(rooms(max_task_id=12))
    retired = set()
    for _ in range(4):
        task_id = curriculum.get_task().task_id
        curriculum.retire_task(task_id, "too many walls")
        retired.add(task_id)
        assert not retired & set(curriculum.probabilities())
    assert len(curriculum.probabilities()) == 8  # of the 12 ids, the 8 that are left
    assert curriculum.stats()["num_invalid"] == 4
    curriculum.retire_task(curriculum.get_task().task_id, "too many walls")  # no other id is left
    assert len(curriculum.probabilities()) == 7
    assert sum(curriculum.probabilities().values()) == pytest.approx(1.0)
    restored = open_curriculum(rooms(max_task_id=12))
    restored.load_state(curriculum.get_state())
    assert set(restored.probabilities()) == set(curriculum.probabilities())
    assert not retired & set(restored.probabilities())


def test_retiring_a_task_that_is_not_in_the_pool_does_nothing(open_curriculum) -> None:
    curriculum = open_curriculum(rooms())
    before = without_times(curriculum.get_state())
    curriculum.retire_task(ABSENT, "gone")
    assert without_times(curriculum.get_state()) == before


@pytest.mark.parametrize("tasks", [1, 2, 7])
def test_when_every_task_is_invalid_the_error_says_so(open_curriculum, tasks: int) -> None:
    curriculum = open_curriculum(rooms(local(num_active_tasks=4), max_task_id=tasks))
    for _ in range(tasks - 1):
        curriculum.retire_task(curriculum.get_task().task_id, "no agents")
    last = curriculum.get_task().task_id
    with pytest.raises(
        RuntimeError,
        match=f"all {tasks} tasks of the curriculum are invalid; the last one, {last}: no agents",
    ):
        curriculum.retire_task(last, "no agents")
    with pytest.raises(RuntimeError, match="the pool is empty: every task was retired as invalid"):
        curriculum.get_task()
    assert curriculum.stats()["num_active_tasks"] == 0
    assert curriculum.probabilities() == {}


# -- explanations ----------------------------------------------------------------------------------


def test_explanations(open_curriculum) -> None:
    curriculum = open_curriculum(rooms(local(scorer="bidirectional", num_active_tasks=4)))
    task = curriculum.get_task()
    fresh = curriculum.explain(task.task_id)
    assert (fresh.in_pool, fresh.label, fresh.completions, fresh.scheduled) == (
        True,
        task.get_label(),
        0,
        1,
    )
    assert fresh.uniform == 0.25
    assert "never measured" in str(fresh)
    assert "not up for eviction" in str(fresh)
    task.complete(0.25)
    task.complete(0.75)
    explanation = curriculum.explain(task.task_id)
    assert (explanation.completions, explanation.mean_score) == (2, 0.5)
    assert explanation.learning_progress == pytest.approx(
        curriculum.algorithm.get_learning_progress_score(task.task_id)
    )
    assert set(explanation.known) == {"fast_ema", "slow_ema", "baseline"}
    assert explanation.completions_until_refresh == 6
    assert "within 6 more" in str(explanation)
    assert not curriculum.explain(ABSENT).in_pool
    assert f"{ABSENT} is not in the pool" in str(curriculum.explain(ABSENT))


def test_probabilities_of_chosen_tasks(open_curriculum) -> None:
    curriculum = open_curriculum(rooms())
    some = list(curriculum.probabilities())[:2]
    everything = curriculum.probabilities()
    assert curriculum.probabilities([*some, ABSENT]) == {
        some[0]: everything[some[0]],
        some[1]: everything[some[1]],
        ABSENT: 0.0,
    }
    assert curriculum.probabilities([]) == {}


# -- threads, end ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True])
def test_threads_lose_nothing(open_curriculum, shared: bool) -> None:
    algorithm = local(
        num_active_tasks=16,
        use_shared_memory=shared,
        sample_threshold=1,
        min_presentations_for_eviction=1,
    )
    curriculum = open_curriculum(rooms(algorithm))
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(200):
                task = curriculum.get_task()
                task.get_env_cfg()
                task.complete(1.0)
        except BaseException as error:  # noqa: BLE001 (a thread's error must reach the test)
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    stats = curriculum.stats()
    assert stats["num_scheduled"] == 1600
    assert stats["num_completed"] + stats["late_completions"] == 1600
    assert len(curriculum.probabilities()) == 16


def test_closing_twice_does_no_harm_and_a_closed_pool_says_so() -> None:
    curriculum = Curriculum(rooms(local(use_shared_memory=True)))
    with curriculum as same:
        assert same is curriculum
    curriculum.close()
    with pytest.raises(SessionClosedError, match="closed"):
        curriculum.get_task()


def test_a_pool_filled_by_hand_is_kept_and_topped_up(open_curriculum) -> None:
    hypers = local(num_active_tasks=6)
    algorithm = hypers.create(6)
    algorithm.update_task_performance(3, 0.5)
    curriculum = open_curriculum(
        CurriculumConfig(algorithm_config=hypers, max_task_id=50), algorithm=algorithm
    )
    assert curriculum.algorithm is algorithm
    assert len(curriculum.probabilities()) == 6
    assert algorithm.task_tracker.get_task_state(3).completion_count == 1


def test_every_task_state_is_readable(open_curriculum) -> None:
    curriculum = open_curriculum(
        rooms(local(scorer="bidirectional", task_default_success_threshold=0.3))
    )
    task = curriculum.get_task()
    task.complete(0.4)
    state = task.state
    assert (state.num_completions, state.is_active, state.seed, state.success_threshold) == (
        1,
        True,
        task.task_id,
        0.3,
    )
    assert state.fast_ema == state.slow_ema == 0.4
    curriculum.retire_task(task.task_id, "reason")
    assert task.state is None
