"""Bad input at every public entry of the curriculum: each value is refused, by an error that names
the thing and what is allowed, and the pool is the same, byte for byte; or it is accepted, for the
reason that stands beside it.

What CurriculumEnv is given is in test_curriculum_env_input.py, saved states in
test_saved_states.py, task generators in their own tests.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from metta.cogworks.curriculum import (
    BasicLPScorer,
    BidirectionalLPScorer,
    Column,
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    DiscreteRandomCurriculum,
    LearnabilityScorer,
    LearningProgressAlgorithm,
    LearningProgressConfig,
    LocalMemoryBackend,
    LPStatsAggregator,
    PosteriorLPScorer,
    SharedMemoryBackend,
    SignedLPScorer,
    SliceAnalyzer,
    TaskTracker,
    create_task_tracker,
    gini,
    lag_bound,
    sampling,
)
from metta.cogworks.curriculum.pool.backends import TableBackend
from metta.cogworks.curriculum.pool.checks import pool_faults

NAN, INF = float("nan"), float("inf")


class Midway(Exception):
    """What a generator raises that fails after its first item."""


class Failing:
    """Can be iterated over, once or again, and fails after the first item."""

    def __iter__(self) -> Iterator[int]:
        yield 1
        raise Midway("the second item")


def small(**fields: Any) -> LearningProgressConfig:
    return LearningProgressConfig(**{"num_active_tasks": 4, "use_shared_memory": False, **fields})


def uniform(**fields: Any) -> DiscreteRandomConfig:
    return DiscreteRandomConfig(**{"num_active_tasks": 4, "use_shared_memory": False, **fields})


class Targets:
    """One of each thing that has a pool, in use."""

    def __init__(self) -> None:
        self.curriculum = Curriculum(CurriculumConfig(algorithm_config=small(), max_task_id=100))
        self.uniform = Curriculum(CurriculumConfig(algorithm_config=uniform(), max_task_id=100))
        for curriculum in (self.curriculum, self.uniform):
            for score in (0.0, 0.5, 1.0):
                curriculum.get_task().complete(score)
        self.tracker = TaskTracker(4, columns=[Column("level", "any", -1.0, 1.0)])
        self.tracker.track_task_creation(0)
        self.tracker.update_task_performance(1, 0.5)
        self.algorithm = small().create(4)
        self.algorithm.update_task_performance(1, 0.5)

    @property
    def task_id(self) -> int:
        """Of a task in the curriculum's pool."""
        return min(self.curriculum.probabilities())

    def trackers(self) -> list[TaskTracker]:
        own = [self.curriculum.tracker, self.uniform.tracker]
        return [*own, self.tracker, self.algorithm.task_tracker]

    def digests(self) -> list[str]:
        """Of all bytes of the pools."""
        return [digest(tracker) for tracker in self.trackers()]

    def faults(self) -> list[str]:
        found = []
        for tracker in self.trackers():
            with tracker.table as table:
                found += pool_faults(table)
        # what a tracker is told to remove, or a full one forgets, is nobody's eviction
        return [fault for fault in found if not fault.startswith("created - evicted")]


def digest(tracker: TaskTracker) -> str:
    backend = tracker.backend
    if not isinstance(backend, TableBackend):
        raise TypeError(f"{backend!r} is no flat memory")
    return hashlib.sha256(backend.memory).hexdigest()


# -- tables ----------------------------------------------------------------------------------------

Call = Callable[[Targets, Any], Any]
Refusal = tuple[Any, type[Exception], str]
Acceptance = tuple[Any, str]


@dataclass(frozen=True)
class Entry:
    """A place where something comes in, and what is done with it."""

    name: str
    call: Call
    refused: Sequence[Refusal]
    accepted: Sequence[Acceptance] = ()


def all_of(values: Sequence[Any], error: type[Exception], message: str) -> list[Refusal]:
    return [(value, error, message) for value in values]


NO_NUMBERS = [None, NAN, "3", "x", b"1", True, [], [1], {}, object(), 1j, int, np.zeros(2)]
NO_OBJECTS = [NAN, INF, -1, 0, 1.5, "3", b"1", True, 2**63, [], [1], {}, object(), np.zeros(2), int]
NOT_ITERABLE = [NAN, 1, 1.5, True, 2**62, object(), 1j, int, np.int64(3), torch.tensor(1)]
IN_PARTS = ["12", b"12", {}, {1: 0.5}]  # can be iterated over, but their parts are something else
A_TENSOR = torch.tensor([1.0])


def integers(name: str, least: int, beyond: int = 2**62) -> list[Refusal]:
    """What is no integer, too small, or too large to be one."""
    low = rf"{name}=.* is not allowed: give an integer of at least {least}"
    high = rf"{name}=.* is not allowed: give an integer of at most \d+"
    bad = [*NO_NUMBERS, 1.5, 2.0, -INF, INF, least - 1, -(2**63), torch.tensor(1), np.float32(2)]
    return [*all_of(bad, ValueError, low), *all_of([beyond, 2**63, 10**400], ValueError, high)]


AN_INTEGER: list[Acceptance] = [(np.int64(20), "an integer of numpy")]


def numbers(name: str, allowed: str = "give a finite number") -> list[Refusal]:
    bad = [*NO_NUMBERS, INF, -INF, 10**400, np.float64(NAN), np.array([1.0]), A_TENSOR]
    return all_of(bad, ValueError, rf"{name}=.* is not allowed: {allowed}")


FINITE: list[Acceptance] = [
    (-1, "an integer is a number"),
    (1e99, "large, and its square is finite"),
    (np.float32(1.5), "a number of numpy"),
    (np.int64(3), "a number of numpy"),
]

NO_ID = r"task id .* is not valid: task ids are integers from 0 to 2\^53 − 1"
BAD_IDS = [*NO_NUMBERS, INF, -INF, -1, 1.5, 2**53, 2**63, 10**400, np.array([1]), A_TENSOR]
IDS = all_of(BAD_IDS, ValueError, NO_ID)
FAMILY_IDS = [
    *IDS,
    (100, ValueError, r"task id 100 is not one of this curriculum's: .* to max_task_id - 1 = 99"),
    (2**53 - 1, ValueError, "is not one of this curriculum's"),
]
GOOD_IDS: list[Acceptance] = [
    (2.0, "an integral float: ids come out of float64 arrays"),
    (np.int64(1), "an integer of numpy"),
]

NO_SCORES = [None, NAN, INF, -INF, "3", b"1", [], [1.0], {}, object(), 1j, float, 1e100, 10**400]
SCORES = all_of([*NO_SCORES, np.array([1.0]), np.zeros(2)], ValueError, r"score .* of task \d")
GOOD_SCORES: list[Acceptance] = [
    (-1, "scores may be negative"),
    (True, "a success, as a boolean, is a score of 1"),
    (2**62, "large, and its square is finite"),
    (np.float32(0.5), "a number of numpy"),
    (A_TENSOR, "a tensor of one element is the number it holds"),
]


def objects(name: str, kind: str, *more: Any) -> list[Refusal]:
    return all_of([*NO_OBJECTS, *more], TypeError, rf"{name}=.* is a .*, not an? {kind}: give ")


def lists(name: str) -> list[Refusal]:
    return [
        *all_of([*NOT_ITERABLE, *IN_PARTS], TypeError, rf"{name}=.* is a .*: give a list of "),
        (Failing(), Midway, "the second item"),
    ]


def id_lists(name: str = "task_ids") -> list[Refusal]:
    return [*lists(name), ([1, None], ValueError, NO_ID), ([NAN], ValueError, NO_ID)]


NO_STATES = [None, *NO_OBJECTS]


def is_empty_dict(value: Any) -> bool:
    return isinstance(value, dict) and not value


def states(what: str) -> list[Refusal]:
    return all_of(NO_STATES, ValueError, what)


# -- a curriculum ----------------------------------------------------------------------------------

CURRICULUM = [
    Entry(
        "Curriculum(config)",
        lambda t, v: Curriculum(v),
        objects("config", "CurriculumConfig", None, CurriculumConfig),
    ),
    Entry(
        "Curriculum(seed)",
        lambda t, v: Curriculum(small(), seed=v).close(),
        all_of(
            [NAN, INF, -1, 1.5, "x", True, 2**63, 10**400, b"1", [], {}, object(), np.zeros(2)],
            ValidationError,
            r"seed\n",
        ),
        [
            (2**63 - 1, "the largest seed"),
            (np.int64(3), "an integer of numpy"),
            (2.0, "an integral float"),
            ("3", "settings may come as text"),
            (A_TENSOR, "a tensor of one element is the number it holds"),
        ],
    ),
    Entry(
        "Curriculum(algorithm)",
        lambda t, v: Curriculum(small(), algorithm=v),
        objects("algorithm", "CurriculumAlgorithm", small(), LearningProgressAlgorithm),
    ),
    Entry(
        "get_tasks(n)",
        lambda t, v: t.curriculum.get_tasks(v),
        integers("n", 0, beyond=1_000_001),
        [(0, "none is a number of tasks"), *AN_INTEGER],
    ),
    Entry(
        "update_task_performance(task_id)",
        lambda t, v: t.curriculum.update_task_performance(v, 0.5),
        FAMILY_IDS,
        GOOD_IDS,
    ),
    Entry(
        "update_task_performance(score)",
        lambda t, v: t.curriculum.update_task_performance(t.task_id, v),
        SCORES,
        GOOD_SCORES,
    ),
    Entry(
        "complete_and_draw(task)",
        lambda t, v: t.curriculum.complete_and_draw(v, 0.5),
        objects("task", "CurriculumTask", None),
    ),
    Entry(
        "CurriculumTask.complete(score)",
        lambda t, v: t.curriculum.get_task().complete(v),
        [],
        GOOD_SCORES,
    ),
    Entry(
        "update_tasks(task_ids)",
        lambda t, v: t.curriculum.update_tasks(v, [0.5]),
        [
            *id_lists()[:-2],
            ([], ValueError, "0 task ids and 1 scores: give one score per task"),
            ([1, 2], ValueError, "2 task ids and 1 scores: give one score per task"),
            ([None], ValueError, NO_ID),
            ([100], ValueError, "is not one of this curriculum's"),
            (np.zeros((1, 2)), ValueError, NO_ID),
        ],
        [(np.array([1]), "an array of ids"), ({1}, "a set of ids"), (iter([1]), "an iterator")],
    ),
    Entry(
        "update_tasks(scores)",
        lambda t, v: t.curriculum.update_tasks([1], v),
        [
            *lists("scores"),
            ([], ValueError, "1 task ids and 0 scores: give one score per task"),
            ([None], ValueError, "score None of task 1 is not a number"),
            ([NAN], ValueError, "score nan of task 1 is not allowed"),
        ],
        [(np.array([0.5]), "an array of scores"), (A_TENSOR, "a tensor of scores")],
    ),
    Entry(
        "update_tasks: all or none",
        lambda t, v: t.curriculum.update_tasks([t.task_id, t.task_id], v),
        all_of([[0.5, NAN], [0.5, None], [0.5, INF], [0.5, "1"]], ValueError, "score .* of task"),
    ),
    Entry(
        "count_unscored(task_id)",
        lambda t, v: t.curriculum.count_unscored(v, NAN),
        FAMILY_IDS,
        GOOD_IDS,
    ),
    Entry(
        "count_unscored(score)",
        lambda t, v: t.curriculum.count_unscored(1, v),
        all_of(
            [None, 0.5, 0, True, "nan", b"1", [], [NAN], {}, object(), np.float32(1), np.zeros(1)],
            ValueError,
            "score .* of task 1 is no number that cannot be recorded: give NaN or an infinite one",
        ),
        [
            (-INF, "it cannot be recorded: that is what is counted"),
            (1e100, "it cannot be recorded: that is what is counted"),
            (10**400, "it cannot be recorded: that is what is counted"),
            (np.float32(NAN), "a number of numpy"),
        ],
    ),
    Entry(
        "retire_task(task_id)",
        lambda t, v: t.curriculum.retire_task(v, "a reason"),
        FAMILY_IDS,
        GOOD_IDS,
    ),
    Entry(
        "retire_task(reason)",
        lambda t, v: t.curriculum.retire_task(t.task_id, v),
        all_of([None, NAN, 5, b"a", [], {}, object()], TypeError, "reason=.* not a str: give a"),
    ),
    Entry(
        "probabilities(task_ids)",
        lambda t, v: t.curriculum.probabilities(v),
        [*id_lists(), ([100], ValueError, "is not one of this curriculum's")],
        [([], "none is a list of ids"), (np.array([1.0, 2.0]), "an array of ids"), (None, "all")],
    ),
    *(
        Entry(
            f"{name}(task_id)",
            lambda t, v, name=name: getattr(t.curriculum, name)(v),
            FAMILY_IDS,
            GOOD_IDS,
        )
        for name in ("explain", "build", "label_of", "bucket_values_of")
    ),
    Entry("state_of(task_id)", lambda t, v: t.curriculum.state_of(v), IDS, GOOD_IDS),
    Entry(
        "stats(prefix)",
        lambda t, v: t.curriculum.stats(v),
        all_of([None, 5, NAN, b"a", [], {}, object()], TypeError, "prefix=.* not a str: give a"),
        [("", "no prefix"), ("a/", "a prefix may end in a slash")],
    ),
    Entry(
        "load_state(state)",
        lambda t, v: t.curriculum.load_state(v),
        [
            *states("not the state of a curriculum: it has no 'algorithm'"),
            ({"algorithm": None}, ValueError, "not the state of an algorithm: a NoneType, not a"),
            ({"algorithm": {}}, ValueError, "belongs to algorithm None, this is"),
            ({"algorithm": {}, "identity": "{}"}, ValueError, "belongs to algorithm None, this"),
        ],
    ),
    Entry(
        "load_state(changed_tasks)",
        lambda t, v: t.curriculum.load_state(t.curriculum.get_state(), changed_tasks=v),
        all_of(
            [None, 1, 0, "no", NAN, [], {}, object()],
            TypeError,
            "changed_tasks=.* is not allowed: give True or False",
        ),
        [(True, "the family may have changed, and has not")],
    ),
]

# -- configurations --------------------------------------------------------------------------------

INT_VALUES = [None, NAN, INF, -1, 1.5, "x", True, np.True_, 10**400, b"1", [], {}, object(), 1j]
FLOAT_VALUES = [None, NAN, INF, -INF, "x", True, np.True_, 10**400, b"1", [], {}, object(), 1j]
BOOL_VALUES = [None, NAN, 5, "x", b"1", [], {}, object(), 1j, np.zeros(2)]
STR_VALUES = [5, NAN, True, b"1", [], {}, object(), 1j, np.zeros(2)]
WORD_VALUES = [None, *STR_VALUES, "no such word"]
TOO_LARGE = {"num_active_tasks", "completion_history_size", "memory", "min_samples_for_lp"}
TOO_LARGE |= {"min_presentations_for_eviction", "sample_threshold", "max_slice_axes", "max_task_id"}
TOO_LARGE |= {"task_struct_size", "sampling_power", "z_score_amplification", "exploration_bonus"}
TOO_LARGE |= {"basic_ema_alpha_decay", "eviction_worth_ratio", "performance_bonus_weight"}
TOO_LARGE |= {"sampling_temperature"}


def of_kind(config: type[Any], field: str) -> list[Any]:
    annotation = config.model_fields[field].annotation
    if annotation in (int, int | None):
        return INT_VALUES
    if annotation is float:
        return FLOAT_VALUES
    if annotation is bool:
        return BOOL_VALUES
    if field == "session_id":
        return STR_VALUES
    return WORD_VALUES


def config_entries(config: type[Any], without: Sequence[str] = ()) -> Iterator[Entry]:
    for field in config.model_fields:
        if field in without:
            continue
        values = list(of_kind(config, field))
        if config.model_fields[field].default is None:
            values = [value for value in values if value is not None]
        if field in TOO_LARGE:
            values += [2**62, 2**63]
        message = rf"{field}(\.literal\[.*\])?\n  (Input should be|Value error, )"
        yield Entry(
            f"{config.__name__}({field})",
            lambda t, v, field=field: config(**{field: v}),
            all_of(values, ValidationError, message),
        )


CONFIGURATIONS = [
    *config_entries(CurriculumConfig, without=("task_generator", "algorithm_config")),
    *config_entries(LearningProgressConfig),
    *config_entries(DiscreteRandomConfig),
    Entry(
        "CurriculumConfig(algorithm_config)",
        lambda t, v: CurriculumConfig(algorithm_config=v),
        [
            *all_of(
                [5, NAN, True, "x", b"1", [], object(), LearningProgressConfig],
                ValidationError,
                r"algorithm_config\n",
            ),
            *all_of(
                [{}, {"type": 5}, {"type": None}, {"num_active_tasks": 5}],
                ValidationError,
                "algorithm_config=.* does not say what it configures: give its class path",
            ),
        ],
    ),
    Entry(
        "CurriculumConfig.model_validate",
        lambda t, v: CurriculumConfig.model_validate(v),
        [
            *all_of([None, 5, NAN, "x", b"1", [], object()], ValidationError, "CurriculumConfig"),
            ({5: 5}, ValidationError, "CurriculumConfig has no field '5'; fields: task_generator"),
        ],
        [({}, "every field has a default")],
    ),
    Entry(
        "CurriculumConfig.with_session",
        lambda t, v: CurriculumConfig().with_session(v),
        all_of([None, 5, NAN, b"a", [], {}, object()], TypeError, "session_id=.*: give a string"),
    ),
    Entry(
        "LearningProgressConfig(scorer)",
        lambda t, v: LearningProgressConfig(scorer=v),
        [
            ("zzz", ValidationError, "scorer='zzz' does not exist: use posterior, .* class path"),
            ("a.b.C", ValidationError, "type 'a.b.C' names a module that"),
            (".", ValidationError, "is not a class path"),
            (int, ValidationError, r"scorer\n"),
            ("metta.cogworks.curriculum.Curriculum", ValidationError, "is not a subclass of"),
        ],
        [("", "the default"), (BasicLPScorer, "a class of a scorer")],
    ),
    *(
        Entry(
            f"{config.__name__}.create(num_tasks)",
            lambda t, v, config=config: config(use_shared_memory=False).create(v),
            integers("num_tasks", 0),
            [(0, "no task is a number of tasks"), *AN_INTEGER],
        )
        for config in (LearningProgressConfig, DiscreteRandomConfig)
    ),
    Entry(
        "make_tracker(max_tasks)",
        lambda t, v: small().make_tracker((), v),
        integers("max_memory_tasks", 1)[1:],  # None: as configured
        AN_INTEGER,
    ),
]

# -- a tracker -------------------------------------------------------------------------------------

COLUMNS = [
    *lists("columns"),
    *all_of([["x"], [None], [5], [Column], np.zeros(2)], TypeError, "columns=.* give Column"),
    ([Column("a"), Column("a")], ValueError, r"columns declared twice: \['a'\]"),
    ([Column("seed")], ValueError, r"columns declared twice: \['seed'\]"),
    ([Column(f"c{i}") for i in range(3000)], ValueError, "rows of .* columns are not allowed"),
]
IDENTITIES = [
    *all_of(
        [NAN, 5, True, "a", b"a", [], [1], object(), np.zeros(2)],
        TypeError,
        "identity=.* is a .*, not a Mapping: give a mapping of names to plain data, or None",
    ),
    ({"a": object()}, TypeError, "identity=.* is not plain data: Object of type object"),
    ({"a": b"b"}, TypeError, "identity=.* is not plain data: Object of type bytes"),
]
FLAGS = all_of(
    [None, NAN, 1, 0, "yes", b"1", [], {}, object(), np.zeros(2), torch.tensor(True)],
    TypeError,
    "use_shared_memory=.* is not allowed: give True or False",
)
SHARES = [*NO_NUMBERS, 0.0, -1, 1.5, INF, 2**62, 5, 10**400, np.float64(NAN), A_TENSOR]


def made(t: Targets, **arguments: Any) -> None:
    TaskTracker(**{"max_memory_tasks": 4, **arguments}).cleanup_shared_memory()


TRACKER = [
    Entry(
        "TaskTracker(max_memory_tasks)",
        lambda t, v: made(t, max_memory_tasks=v),
        integers("max_memory_tasks", 1),
        AN_INTEGER,
    ),
    *(
        Entry(
            f"TaskTracker({name})",
            lambda t, v, name=name: made(t, **{name: v}),
            all_of(
                SHARES if name == "ema_alpha" else SHARES[1:],  # None: as ema_alpha
                ValueError,
                f"{name}=.* is not allowed: give a number above 0, at most 1",
            ),
            [(1, "only the latest counts"), (np.float32(0.5), "a number of numpy")],
        )
        for name in ("ema_alpha", "success_alpha")
    ),
    Entry(
        "TaskTracker(backend)",
        lambda t, v: made(t, backend=v),
        objects("backend", "TaskMemoryBackend", LocalMemoryBackend),
    ),
    Entry(
        "TaskTracker(use_shared_memory)",
        lambda t, v: made(t, use_shared_memory=v),
        FLAGS,
        [(np.False_, "a boolean of numpy")],
    ),
    *(
        Entry(
            f"TaskTracker(session_id, use_shared_memory={shared})",
            lambda t, v, shared=shared: made(t, session_id=v, use_shared_memory=shared),
            all_of(
                [5, NAN, True, b"a", [], {}, object()],
                TypeError,
                "session_id=.* is a .*, not a str: give a name, or None for a new one",
            ),
        )
        for shared in (False, True)
    ),
    Entry(
        "TaskTracker(session_id) of a name",
        lambda t, v: made(t, session_id=v, use_shared_memory=True),
        all_of(
            ["", "../x", "a b", "a" * 101, ".x", "a\0", "ä"],
            ValueError,
            "session_id=.* cannot name a session: use 1 to 100 letters",
        ),
    ),
    Entry(
        "TaskTracker(task_struct_size)",
        lambda t, v: made(t, task_struct_size=v),
        [*integers("task_struct_size", 13), (3000, ValueError, "rows of 3006 columns are not")],
        AN_INTEGER,
    ),
    Entry(
        "TaskTracker(completion_history_size)",
        lambda t, v: made(t, completion_history_size=v),
        integers("completion_history_size", 1),
        AN_INTEGER,
    ),
    Entry(
        "TaskTracker(slice_axes)",
        lambda t, v: made(t, slice_axes=v),
        [*integers("slice_axes", 0), (17, ValueError, "slice_axes=17 .* at most 16")],
        [(16, "the most there are")],
    ),
    *(
        Entry(
            f"TaskTracker({name})",
            lambda t, v, name=name: made(t, **{name: v}),
            numbers(name),
            FINITE,
        )
        for name in ("default_success_threshold", "default_generator_type")
    ),
    Entry(
        "TaskTracker(columns)",
        lambda t, v: made(t, columns=v),
        COLUMNS,
        [([], "none"), ((Column("a"),), "a tuple"), (iter([Column("a")]), "an iterator")],
    ),
    *(
        Entry(
            f"TaskTracker(identity, use_shared_memory={shared})",
            lambda t, v, shared=shared: made(t, identity=v, use_shared_memory=shared),
            IDENTITIES,
            [({"a": [1, None]}, "plain data")],
        )
        for shared in (False, True)
    ),
    Entry(
        "TaskTracker(lock_timeout_seconds)",
        lambda t, v: made(t, lock_timeout_seconds=v),
        all_of(
            [None, NAN, 0, -1, -INF, True, "3", b"1", [], {}, object(), 1j],
            ValueError,
            "lock_timeout_seconds=.* is not allowed: give a number of seconds above 0",
        ),
        [(INF, "waits for ever, as asked")],
    ),
    Entry("create_task_tracker", lambda t, v: create_task_tracker(v), integers("max_.*", 1)),
    Entry("create_task_tracker(shared)", lambda t, v: create_task_tracker(4, v), FLAGS),
    *(
        Entry(f"TaskTracker.{name}(task_id)", call, IDS, accepted)
        for name, call, accepted in (
            ("track_task_creation", lambda t, v: t.tracker.track_task_creation(v), GOOD_IDS),
            (
                "update_task_performance",
                lambda t, v: t.tracker.update_task_performance(v, 0.5),
                GOOD_IDS,
            ),
            ("update_lp_score", lambda t, v: t.tracker.update_lp_score(v, 0.5), GOOD_IDS),
            ("get_task_state", lambda t, v: t.tracker.get_task_state(v), GOOD_IDS),
            ("get_task_stats", lambda t, v: t.tracker.get_task_stats(v), GOOD_IDS),
            ("remove_task", lambda t, v: t.tracker.remove_task(v), GOOD_IDS),
            ("get_column", lambda t, v: t.tracker.get_column(v, "level"), GOOD_IDS[1:]),
            ("set_column", lambda t, v: t.tracker.set_column(v, "level", 0.5), GOOD_IDS[1:]),
        )
    ),
    Entry(
        "TaskTracker.get_column of a task that is not tracked",
        lambda t, v: t.tracker.get_column(v, "level"),
        [(9, KeyError, r"task 9 is not tracked: track_task_creation\(9\) first")],
    ),
    Entry(
        "TaskTracker.update_task_performance(score)",
        lambda t, v: t.tracker.update_task_performance(1, v),
        SCORES,
        GOOD_SCORES,
    ),
    Entry(
        "TaskTracker.update_task_performance(lp_score)",
        lambda t, v: t.tracker.update_task_performance(1, 0.5, v),
        SCORES[1:],  # None: as it is
        GOOD_SCORES,
    ),
    Entry(
        "TaskTracker.update_lp_score(lp_score)",
        lambda t, v: t.tracker.update_lp_score(1, v),
        SCORES,
        GOOD_SCORES,
    ),
    Entry(
        "TaskTracker.update_task_performance(success_threshold)",
        lambda t, v: t.tracker.update_task_performance(1, 0.5, None, v),
        numbers("success_threshold")[1:],
        FINITE,
    ),
    *(
        Entry(
            f"TaskTracker.track_task_creation({name})",
            lambda t, v, name=name: t.tracker.track_task_creation(3, **{name: v}),
            numbers(name)[1:],  # None: the default
            FINITE,
        )
        for name in ("success_threshold", "seed", "generator_type")
    ),
    *(
        Entry(
            f"TaskTracker.{name}(name)",
            call,
            all_of(
                [None, NAN, 5, True, b"a", "levle", [], {}, object()],
                KeyError,
                "no column .*; there are task_id, creation_time,",
            ),
        )
        for name, call in (
            ("get_column", lambda t, v: t.tracker.get_column(1, v)),
            ("set_column", lambda t, v: t.tracker.set_column(1, v, 0.5)),
        )
    ),
    Entry(
        "TaskTracker.set_column(value)",
        lambda t, v: t.tracker.set_column(1, "level", v),
        [
            *numbers("column 'level'"),
            *all_of(
                [-1.5, 1.5, 2**62, np.int64(2)],
                ValueError,
                "column 'level' cannot hold .*: it is declared from -1 to 1",
            ),
        ],
        [(-1, "the lowest there is"), (1.0, "the highest there is"), (np.float32(0.5), "numpy's")],
    ),
    Entry(
        "TaskTracker.load_state",
        lambda t, v: t.tracker.load_state(v),
        [
            *[row for row in states("not the state of a pool") if not is_empty_dict(row[0])],
            ({}, ValueError, "saved pool has format None, this version reads"),
        ],
    ),
]

# -- columns and memory ----------------------------------------------------------------------------

NO_TEXT = [None, NAN, 5, True, b"a", [], {}, object(), np.zeros(2)]
MEMORY = [
    Entry(
        "Column(name)",
        lambda t, v: Column(v),
        [
            *all_of(NO_TEXT, TypeError, "name=.* not a str: give a string"),
            ("", ValueError, "name='' is not allowed: a column has a name"),
        ],
    ),
    Entry(
        "Column(description)",
        lambda t, v: Column("a", v),
        all_of(NO_TEXT, TypeError, "description=.* not a str: give a string"),
    ),
    Entry(
        "Column(low)",
        lambda t, v: Column("a", "", v),
        [
            *numbers("low of column 'a'"),
            (0.5, ValueError, "column 'a' is declared from 0.5 to .*: it is 0 for a new task"),
        ],
    ),
    Entry(
        "Column(high)",
        lambda t, v: Column("a", "", 0.0, v),
        [
            *numbers("high of column 'a'"),
            (-0.5, ValueError, "column 'a' is declared from 0 to -0.5, .*: it is 0 for a new task"),
        ],
    ),
    *(
        Entry(
            f"{backend.__name__}({name})",
            lambda t, v, backend=backend, name=name: backend(**{"max_tasks": 4, name: v}).cleanup(),
            integers(name, least),
            AN_INTEGER,
        )
        for backend in (LocalMemoryBackend, SharedMemoryBackend)
        for name, least in (
            ("max_tasks", 1),
            ("task_struct_size", 13),
            ("completion_history_size", 1),
            ("extra_columns", 0),
            ("extra_bytes", 0),
        )
    ),
    *(
        Entry(
            f"{backend.__name__}.get_task_data",
            lambda t, v, backend=backend: backend(4).get_task_data(v),
            [
                *all_of(
                    [*NO_NUMBERS, 1.5, slice(2), np.array([1]), torch.tensor(1)],
                    TypeError,
                    "index=.* is not allowed: give the number of a row",
                ),
                *all_of(
                    [-1, 4, 2**62, 2**63, 10**400],
                    IndexError,
                    "index=.* is not allowed: rows are numbered from 0 to 3",
                ),
            ],
            [(np.int64(3), "an integer of numpy")],
        )
        for backend in (LocalMemoryBackend, SharedMemoryBackend)
    ),
    Entry(
        "SharedMemoryBackend(session_id)",
        lambda t, v: SharedMemoryBackend(4, v),
        all_of([5, NAN, "", "../x", b"a", [], {}], ValueError, "session_id=.* cannot name a"),
    ),
    Entry(
        "SharedMemoryBackend(layout)",
        lambda t, v: SharedMemoryBackend(4, layout=v),
        all_of(NO_TEXT, TypeError, "layout=.* not a str: give a string"),
    ),
    Entry(
        "SharedMemoryBackend(identity)",
        lambda t, v: SharedMemoryBackend(4, identity=v).cleanup(),
        IDENTITIES,
        [({"a": 1}, "plain data"), (None, "none")],
    ),
]

# -- algorithms and scorers ------------------------------------------------------------------------

NOT_LOOKED_UP = "uniform sampling lets no task leave, whatever is asked, and looks nothing up"
SCORERS = (
    PosteriorLPScorer,
    BidirectionalLPScorer,
    SignedLPScorer,
    BasicLPScorer,
    LearnabilityScorer,
)


def scorer(t: Targets) -> Any:
    return t.algorithm.scorer


ALGORITHMS = [
    *(
        Entry(
            f"{kind.__name__}(num_tasks)",
            lambda t, v, kind=kind, config=config: kind(v, config()),
            integers("num_tasks", 0),
            AN_INTEGER,
        )
        for kind, config in (
            (LearningProgressAlgorithm, small),
            (DiscreteRandomCurriculum, uniform),
        )
    ),
    Entry(
        "LearningProgressAlgorithm(hypers)",
        lambda t, v: LearningProgressAlgorithm(4, v),
        objects("hypers", "LearningProgressConfig", None, uniform(), LearningProgressConfig),
    ),
    Entry(
        "DiscreteRandomCurriculum(hypers)",
        lambda t, v: DiscreteRandomCurriculum(4, v),
        objects("hypers", "CurriculumAlgorithmConfig", CurriculumConfig()),
        [(None, "uniform sampling's own"), (small(), "what is told of the pool is the same")],
    ),
    Entry(
        "LearningProgressAlgorithm(scorer)",
        lambda t, v: LearningProgressAlgorithm(4, small(), scorer=v),
        objects("scorer", "LPScorer", "posterior", PosteriorLPScorer),
        [(None, "the configured one")],
    ),
    Entry(
        "LearningProgressAlgorithm(task_tracker)",
        lambda t, v: LearningProgressAlgorithm(4, small(), task_tracker=v),
        [
            *objects("task_tracker", "TaskTracker", TaskTracker),
            (TaskTracker(4), KeyError, "no column 'level'; there are task_id,"),
        ],
    ),
    Entry(
        "bind(task_tracker)",
        lambda t, v: small().create(4).bind(v),
        objects("task_tracker", "TaskTracker", None),
    ),
    *(
        Entry(
            f"{name}.update_task_performance(task_id)",
            lambda t, v, get=get: get(t).update_task_performance(v, 0.5),
            IDS,
            GOOD_IDS,
        )
        for name, get in (
            ("LearningProgressAlgorithm", lambda t: t.algorithm),
            ("DiscreteRandomCurriculum", lambda t: t.uniform.algorithm),
        )
    ),
    *(
        Entry(
            f"{name}.update_task_performance(score)",
            lambda t, v, get=get: get(t).update_task_performance(1, v),
            SCORES,
            GOOD_SCORES,
        )
        for name, get in (
            ("LearningProgressAlgorithm", lambda t: t.algorithm),
            ("DiscreteRandomCurriculum", lambda t: t.uniform.algorithm),
        )
    ),
    *(
        Entry(
            f"{name}.score_tasks",
            lambda t, v, get=get: get(t).score_tasks(v),
            [(None, TypeError, "task_ids=None is a NoneType: give a list of"), *id_lists()],
            [([], "none"), (np.array([1, 2]), "an array of ids")],
        )
        for name, get in (
            ("LearningProgressAlgorithm", lambda t: t.algorithm),
            ("DiscreteRandomCurriculum", lambda t: t.uniform.algorithm),
        )
    ),
    Entry(
        "LearningProgressAlgorithm.recommend_eviction",
        lambda t, v: t.algorithm.recommend_eviction(v),
        id_lists(),
        [([], "none"), (np.array([1, 2]), "an array of ids"), (None, "the whole pool")],
    ),
    Entry(
        "LearningProgressAlgorithm.should_evict_task(task_id)",
        lambda t, v: t.algorithm.should_evict_task(v),
        IDS,
        GOOD_IDS,
    ),
    Entry(
        "LearningProgressAlgorithm.should_evict_task(criterion)",
        lambda t, v: t.algorithm.should_evict_task(1, v),
        [
            *all_of([-1, True, 2**63, 10**400], ValueError, "criterion=.* is not allowed: give an"),
            *all_of(
                [NAN, 1.5, "x", b"1", {}, object(), int], TypeError, "task_ids=.*: give a list"
            ),
            ([None], ValueError, NO_ID),
        ],
        [(np.int64(3), "an integer of numpy"), (0, "never below what measuring takes")],
    ),
    Entry(
        "LearningProgressAlgorithm.on_task_created",
        lambda t, v: t.algorithm.on_task_created(v),
        objects("task", "CurriculumTask", None),
    ),
    Entry(
        "LearningProgressAlgorithm.on_task_evicted",
        lambda t, v: t.algorithm.on_task_evicted(v),
        IDS,
        GOOD_IDS,
    ),
    Entry(
        "get_learning_progress_score",
        lambda t, v: t.algorithm.get_learning_progress_score(v),
        IDS,
        GOOD_IDS,
    ),
    *(
        Entry(
            f"{name}.{method}",
            lambda t, v, get=get, method=method: getattr(get(t), method)(v),
            [
                *[
                    row
                    for row in states("not the state of an algorithm")
                    if not is_empty_dict(row[0])
                ],
                ({}, ValueError, f"belongs to algorithm None, this is '{kind}'"),
                ({"type": kind}, ValueError, "saved pool has format None"),
            ],
        )
        for name, kind, get in (
            ("LearningProgressAlgorithm", "learning_progress", lambda t: t.algorithm),
            ("DiscreteRandomCurriculum", "discrete_random", lambda t: t.uniform.algorithm),
        )
        for method in ("check_state", "load_state")
    ),
    *(
        Entry(
            f"DiscreteRandomCurriculum.{method}",
            lambda t, v, method=method: getattr(t.uniform.algorithm, method)(v),
            [],
            [(value, NOT_LOOKED_UP) for value in (None, NAN, -1, "x", [], object())],
        )
        for method in ("recommend_eviction", "should_evict_task")
    ),
    *(
        Entry(
            f"{kind.__name__}(config)",
            lambda t, v, kind=kind: kind(v),
            all_of([None, 5, NAN, "x", {}, object()], TypeError, "config=.*, not a ScorerConfig"),
        )
        for kind in SCORERS
    ),
    *(
        Entry(
            f"{kind.__name__}.bind",
            lambda t, v, kind=kind: kind(small()).bind(v),
            [
                *all_of([None, 5, {}, object()], TypeError, "tracker=.* not a TaskTracker: give"),
                (TaskTracker(4), KeyError, "no column '.*'; there are"),
            ],
        )
        for kind in SCORERS
    ),
    Entry(
        "ColumnScorer.score_task(task_id)",
        lambda t, v: scorer(t).score_task(v, t.algorithm.task_tracker),
        IDS,
        GOOD_IDS,
    ),
    Entry(
        "ColumnScorer.score_task(tracker)",
        lambda t, v: scorer(t).score_task(1, v),
        objects("tracker", "TaskTracker", None),
    ),
    Entry(
        "ColumnScorer.update_with_score(task_id)",
        lambda t, v: scorer(t).update_with_score(v, 0.5),
        IDS,
        GOOD_IDS,
    ),
    Entry(
        "ColumnScorer.update_with_score(score)",
        lambda t, v: scorer(t).update_with_score(1, v),
        SCORES,
        GOOD_SCORES[1:2],  # the others are beyond the range that the pool has seen
    ),
    Entry(
        "ColumnScorer.remove_task(task_id)", lambda t, v: scorer(t).remove_task(v), IDS, GOOD_IDS
    ),
    Entry(
        "ColumnScorer.load_state(state)",
        lambda t, v: scorer(t).load_state(v),
        [],
        [(value, "nothing beyond the columns: it is not read") for value in (None, 5, {}, [])],
    ),
]

# -- statistics and sampling -----------------------------------------------------------------------

WORTH = np.array([0.1, 0.2])
ARRAYS = [np.zeros((2, 2)), np.array("x"), np.array(["1"]), np.array([None]), np.array([1j])]
NO_VECTORS = "is not allowed: give an array of numbers with one dimension"


def vectors(name: str) -> list[Refusal]:
    return [
        *lists(name)[:-1],
        (None, TypeError, f"{name}=None is a NoneType: give a list of numbers"),
        *all_of([*ARRAYS, [[1.0], []], [1.0, None], ["1"], np.array(1.0)], ValueError, NO_VECTORS),
        *all_of(
            [[NAN], np.array([1.0, INF]), [-INF]], ValueError, f"{name} holds .*: give finite num"
        ),
    ]


RULES: list[tuple[str, Callable[[Any], Any]]] = [
    ("z_scores", sampling.z_scores),
    ("softmax", sampling.softmax),
    ("zscore_softmax", lambda w: sampling.zscore_softmax(w, 1.0)),
    ("zscore_sigmoid", lambda w: sampling.zscore_sigmoid(w, 1.0)),
    ("quantile_sigmoid", lambda w: sampling.quantile_sigmoid(w, 1.0, 0.9)),
    ("temperature_softmax", lambda w: sampling.temperature_softmax(w, 1.0)),
    ("power", lambda w: sampling.power(w, 1.0)),
]
SETTINGS: list[tuple[str, str, Callable[[Any], Any], list[Any]]] = [
    ("zscore_softmax", "amplification", lambda v: sampling.zscore_softmax(WORTH, v), [-1]),
    ("zscore_sigmoid", "amplification", lambda v: sampling.zscore_sigmoid(WORTH, v), [-1]),
    ("quantile_sigmoid", "amplification", lambda v: sampling.quantile_sigmoid(WORTH, v, 0.9), [-1]),
    ("quantile_sigmoid", "quantile", lambda v: sampling.quantile_sigmoid(WORTH, 1.0, v), [-1, 1.5]),
    ("temperature_softmax", "temperature", lambda v: sampling.temperature_softmax(WORTH, v), [0]),
    ("power", "exponent", lambda v: sampling.power(WORTH, v), [-1]),
    ("mix_uniform", "rate", lambda v: sampling.mix_uniform(WORTH, v), [-0.5, 1.5]),
]
STATISTICS = [
    Entry(
        "gini",
        lambda t, v: gini(v),
        [
            *vectors("values"),
            ([1.0, -1.0], ValueError, "values holds -1.0, .*: give finite numbers of at least 0"),
        ],
        [([], "of nothing it is 0"), (iter([1.0]), "an iterator"), (A_TENSOR, "a tensor")],
    ),
    *(
        Entry(
            f"sampling.{name}(worth)",
            lambda t, v, rule=rule: rule(v),
            [
                *[row for row in vectors("worth") if not isinstance(row[0], Failing)],
                ([], ValueError, "worth is empty, which is not allowed: give at least one number"),
                (np.empty(0), ValueError, "worth is empty"),
            ],
            [([1.0, 2.0], "a list of numbers"), (np.array([1, 2]), "an array of integers")],
        )
        for name, rule in RULES
    ),
    *(
        Entry(
            f"sampling.{name}({setting})",
            lambda t, v, rule=rule: rule(v),
            [
                *numbers(setting),
                *all_of(bad, ValueError, f"{setting}=.* is not allowed: give a number"),
            ],
            [(1, "an integer is a number"), (np.float32(0.5), "a number of numpy")],
        )
        for name, setting, rule, bad in SETTINGS
    ),
    Entry("sampling.uniform(n)", lambda t, v: sampling.uniform(v), integers("n", 1), AN_INTEGER),
    Entry("lag_bound", lambda t, v: lag_bound(v), integers("num_tasks", 1), AN_INTEGER),
    Entry(
        "SliceAnalyzer(max_axes)",
        lambda t, v: SliceAnalyzer(v),
        integers("max_axes", 0),
        [(0, "none is followed")],
    ),
    Entry(
        "SliceAnalyzer.update_task_completion(task_id)",
        lambda t, v: SliceAnalyzer().update_task_completion(v, {"a": 1}, 0.5),
        IDS,
        GOOD_IDS,
    ),
    Entry(
        "SliceAnalyzer.update_task_completion(slice_values)",
        lambda t, v: SliceAnalyzer().update_task_completion(1, v, 0.5),
        all_of(
            [None, NAN, 5, "a", b"a", [], [1], object(), np.zeros(2)],
            TypeError,
            "slice_values=.* not a Mapping: give a mapping of axes to values",
        ),
        [({}, "a task without buckets"), ({1: None}, "axes and values are shown as text")],
    ),
    Entry(
        "SliceAnalyzer.update_task_completion(score)",
        lambda t, v: SliceAnalyzer().update_task_completion(1, {"a": 1}, v),
        SCORES,
        GOOD_SCORES,
    ),
    Entry(
        "SliceAnalyzer.add(name)",
        lambda t, v: SliceAnalyzer().add(v, 1.0, 1.0, 1.0),
        all_of(NO_TEXT, TypeError, "name=.* not a str: give a string"),
    ),
    Entry(
        "SliceAnalyzer.add(count)",
        lambda t, v: SliceAnalyzer().add("a", v, 1.0, 1.0),
        [*numbers("count"), (-1, ValueError, "count=-1.0 .*: give a number of at least 0")],
    ),
    Entry(
        "SliceAnalyzer.add(total)",
        lambda t, v: SliceAnalyzer().add("a", 1.0, v, 1.0),
        numbers("total"),
        FINITE,
    ),
    Entry(
        "SliceAnalyzer.add(total_squared)",
        lambda t, v: SliceAnalyzer().add("a", 1.0, 1.0, v),
        numbers("total_squared"),
    ),
    Entry(
        "LPStatsAggregator(num_tasks)",
        lambda t, v: LPStatsAggregator(t.tracker, scorer(t), SliceAnalyzer(), v),
        integers("num_tasks", 0),
        AN_INTEGER,
    ),
]

# -- the tests -------------------------------------------------------------------------------------

ENTRIES = [*CURRICULUM, *CONFIGURATIONS, *TRACKER, *MEMORY, *ALGORITHMS, *STATISTICS]


def named(entry: Entry, value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or value < 2**64 else "10**400"
    return f"{entry.name}-{text.split(' object at')[0][:40]}"


REFUSED = [
    pytest.param(entry.call, value, error, message, id=named(entry, value))
    for entry in ENTRIES
    for value, error, message in entry.refused
]
ACCEPTED = [
    pytest.param(entry.call, value, id=f"{named(entry, value)}, because {reason}")
    for entry in ENTRIES
    for value, reason in entry.accepted
]


@pytest.fixture(scope="module")
def targets() -> Targets:
    return Targets()


@pytest.mark.parametrize(("call", "value", "error", "message"), REFUSED)
def test_it_is_refused_and_the_pool_is_the_same(
    targets: Targets, call: Call, value: Any, error: type[Exception], message: str
) -> None:
    before = targets.digests()
    with pytest.raises(error, match=message) as caught:
        call(targets, value)
    assert len(str(caught.value)) < 3000
    assert targets.digests() == before


@pytest.mark.parametrize(("call", "value"), ACCEPTED)
def test_it_is_accepted_for_a_reason_and_the_pool_is_sound(call: Call, value: Any) -> None:
    targets = Targets()
    call(targets, value)
    assert targets.faults() == []
    for curriculum in (targets.curriculum, targets.uniform):
        curriculum.get_task().complete(0.5)
        assert sum(curriculum.probabilities().values()) == pytest.approx(1.0)


def test_there_are_enough_rows() -> None:
    assert len(REFUSED) + len(ACCEPTED) >= 1500
    assert all(reason for entry in ENTRIES for _, reason in entry.accepted)


EXTREMES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("ema_timescale", [1e-300, 1.0], {}),
    ("slow_timescale_factor", [1e-300, 1.0], {"scorer": "bidirectional"}),
    ("progress_smoothing", [1e-300, 1.0 - 2.0**-53], {"scorer": "bidirectional"}),
    ("basic_ema_initial_alpha", [1e-300, 1.0], {"scorer": "basic"}),
    ("basic_ema_alpha_decay", [0.0, 1e9], {"scorer": "basic"}),
    ("exploration_blend_factor", [0.0, 1.0], {"scorer": "basic"}),
    ("exploration_bonus", [0.0, 1e-300, 1e9], {}),
    ("exploration_bonus", [0.0, 1e-300, 1e9], {"scorer": "signed"}),
    ("min_samples_for_lp", [1, 2**30], {"scorer": "signed"}),
    ("performance_bonus_weight", [0.0, 1e-300, 1e9], {}),
    ("sampling_power", [0.0, 1e-300, 1e9], {}),
    ("sampling_power", [0.0, 1e-300, 1e9], {"scorer": "signed", "sampling": "power"}),
    ("z_score_amplification", [0.0, 1e-300, 1e9], {"sampling": "zscore_softmax"}),
    ("z_score_amplification", [0.0, 1e-300, 1e9], {"sampling": "zscore_sigmoid"}),
    ("z_score_amplification", [0.0, 1e-300, 1e9], {"sampling": "quantile_sigmoid"}),
    ("sampling_quantile", [1e-300, 1.0 - 2.0**-53], {"sampling": "quantile_sigmoid"}),
    ("sampling_temperature", [1e-9, 1e9], {"sampling": "temperature_softmax"}),
    ("rand_task_rate", [0.0, 1e-300, 1.0], {}),
    ("eviction_threshold_percentile", [0.0, 1e-300, 1.0], {}),
    ("eviction_worth_ratio", [0.0, 1e-300, 1e9], {}),
    ("task_default_success_threshold", [-1e99, 1e99], {}),
    ("task_default_generator_type", [-1e99, 1e99], {}),
    ("task_tracker_ema_alpha", [1e-300, 1.0], {}),
    ("memory", [1, 2**30], {}),
    ("lock_timeout_seconds", [1e-3, 1e300], {}),
]


@pytest.mark.parametrize(
    ("field", "value", "beside"),
    [(field, value, beside) for field, values, beside in EXTREMES for value in values],
)
@pytest.mark.parametrize("unit", [1.0, 1e90])
def test_a_setting_at_its_limit_works(
    field: str, value: Any, beside: dict[str, Any], unit: float
) -> None:
    quick: dict[str, Any] = {"min_samples_for_lp": 2, "sample_threshold": 2}
    quick["min_presentations_for_eviction"] = 1
    config = small(**{**quick, **beside, field: value})
    with Curriculum(CurriculumConfig(algorithm_config=config, max_task_id=1000)) as curriculum:
        for step in range(60):
            curriculum.get_task().complete(unit * ((step * 7) % 5 - 1))
        assert curriculum.stats()["num_completed"] == 60
        assert curriculum.stats()["num_invalid"] == 0
        assert sum(curriculum.probabilities().values()) == pytest.approx(1.0)
        with Curriculum(CurriculumConfig(algorithm_config=config, max_task_id=1000)) as other:
            other.load_state(curriculum.get_state())
            assert other.probabilities() == curriculum.probabilities()
