"""A saved state that was changed: it is refused, naming the place and the value, and the pool is
the same, byte for byte; or it is taken, for a reason that stands beside it, and then another
curriculum can draw from that pool and complete its tasks."""

import copy
import hashlib
import io
import logging
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from metta.cogworks.curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from metta.cogworks.curriculum.pool.checks import pool_faults
from metta.cogworks.curriculum.pool.layout import COUNTERS, GROUP_FIELDS
from metta.rl.checkpoint import to_arrays, to_tensors
from tests.cogworks.curriculum.algorithm_contract import steps
from tests.cogworks.curriculum.curriculum_examples import StepScorer
from tests.cogworks.curriculum.generator_examples import RoomGenerator
from tests.cogworks.curriculum.states import as_json, without_times

NAN, INF, HUGE, LARGEST = float("nan"), float("inf"), 1e300, 2**63 - 1
SCORERS = ("posterior", "bidirectional", "signed", "basic", "learnability")
NUM_IDS = 1000
QUICK = {"min_samples_for_lp": 1, "sample_threshold": 2, "min_presentations_for_eviction": 1}


def config(scorer: Any = "posterior", **fields: Any) -> CurriculumConfig:
    algorithm = LearningProgressConfig(
        **{"num_active_tasks": 6, "use_shared_memory": False, **QUICK, "scorer": scorer, **fields}
    )
    rooms = RoomGenerator.Config()
    return CurriculumConfig(task_generator=rooms, algorithm_config=algorithm, max_task_id=NUM_IDS)


@pytest.fixture(scope="module")
def states() -> dict[str, dict[str, Any]]:
    """Of pools with labels, slices, evictions and a retired task, by scorer."""
    found = {}
    for scorer in SCORERS:
        with Curriculum(config(scorer)) as curriculum:
            steps(curriculum, 0, 60)
            curriculum.retire_task(curriculum.get_task().task_id, "cannot be built")
            steps(curriculum, 60, 80)
            found[scorer] = curriculum.get_state()
    return found


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, Curriculum]]:
    """Pools that have another history."""
    found = {scorer: Curriculum(config(scorer)) for scorer in SCORERS}
    for curriculum in found.values():
        steps(curriculum, 0, 11)
    yield found
    for curriculum in found.values():
        curriculum.close()


def digest(curriculum: Curriculum) -> str:
    return hashlib.sha256(curriculum.tracker.backend.memory).hexdigest()  # type: ignore[attr-defined]


def pool_of(state: dict[str, Any]) -> dict[str, Any]:
    """The part of a saved state that is the pool."""
    return state["algorithm"]["tracker"]


def changed(state: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """A copy of which the pool was changed."""
    state = copy.deepcopy(state)
    change(pool_of(state))
    return state


def refused(target: Curriculum, state: Any, message: str) -> None:
    before = digest(target)
    with pytest.raises(ValueError, match=message):
        target.load_state(state)
    assert digest(target) == before


def taken_and_usable(state: dict[str, Any], scorer: Any = "posterior") -> None:
    """It is loaded into a shared pool, and another curriculum works on that."""
    shared = config(scorer, use_shared_memory=True)
    with Curriculum(shared) as one, Curriculum(one.config) as two:
        one.load_state(state)
        for curriculum in (two, one, two):
            for step in range(40):
                curriculum.get_task().complete(step % 3 / 2)
        assert sum(two.probabilities().values()) == pytest.approx(1.0)
        assert len(two.get_tasks(100)) == 100
        two.stats()
        two.load_state(two.get_state())
        with two.table as table:
            faults = pool_faults(table)
        assert [fault for fault in faults if not fault.startswith("created")] == []


# -- a row -----------------------------------------------------------------------------------------

VALUES = (NAN, INF, -INF, -5.0, HUGE, float(LARGEST), 0.5)
SCORE, SQUARE = "scores have any sign and size", "sums of squares have any size"
ALLOWED: dict[str, tuple[tuple[float, ...], str]] = {
    "creation_time": ((0.5,), "half a second after the epoch"),
    "reward_ema": ((-5.0, float(LARGEST), 0.5), SCORE),
    "lp_score": ((-5.0, float(LARGEST), 0.5), "a custom scorer's progress has any sign and size"),
    "success_rate_ema": ((0.5,), "a share"),
    "total_score": ((-5.0, float(LARGEST), 0.5), SCORE),
    "last_score": ((-5.0, float(LARGEST), 0.5), SCORE),
    "success_threshold": ((-5.0, float(LARGEST), 0.5), SCORE),
    "seed": ((-5.0, float(LARGEST), 0.5), "a number that the creator of the task may use"),
    "generator_type": ((-5.0, float(LARGEST), 0.5), "a number that the creator may use"),
    "ema_squared": ((float(LARGEST), 0.5), SQUARE),
    "total_squared": ((float(LARGEST), 0.5), SQUARE),
    "sampling_weight": ((0.5,), "weights of a family are any shares"),
    # of the scorers
    "level": ((-5.0, 0.5), "log-odds"),
    "slope": ((0.5,), "log-odds per completion"),
    "var_level": ((0.5,), "a variance, large enough for the covariance beside it"),
    "var_slope": ((0.5,), "a variance"),
    "last_clock": ((0.5,), "a time that is past"),
    "record": ((-5.0, float(LARGEST), 0.5), SCORE),
    "lowest": ((-5.0, float(LARGEST), 0.5), SCORE),
    "same": ((0.5,), "what scores count as"),
    "spread": ((float(LARGEST), 0.5), "a sum over completions"),
    "binary_spread": ((float(LARGEST), 0.5), "a sum over completions"),
    "fast_ema": ((-5.0, float(LARGEST), 0.5), SCORE),
    "slow_ema": ((-5.0, float(LARGEST), 0.5), SCORE),
    "baseline": ((-5.0, float(LARGEST), 0.5), SCORE),
    "basic_mean": ((-5.0, float(LARGEST), 0.5), SCORE),
    "basic_mean_square": ((float(LARGEST), 0.5), SQUARE),
    "score_average": ((-5.0, float(LARGEST), 0.5), SCORE),
}
COLUMNS = [
    (scorer, name)
    for scorer in SCORERS
    for name in Curriculum(config(scorer)).table.layout.names
    if scorer == "posterior" or name not in Curriculum(config()).table.layout.names
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(("scorer", "name"), COLUMNS)
def test_a_column_of_a_row(
    states: dict[str, Any], targets: dict[str, Any], scorer: str, name: str, value: float
) -> None:
    def change(pool: dict[str, Any]) -> None:
        pool["rows"][2, pool["columns"].index(name)] = value

    state = changed(states[scorer], change)
    if name == "is_active":
        refused(targets[scorer], state, "column 'is_active' holds .*, not an integer from 0 to 1")
    elif value in ALLOWED.get(name, ((), ""))[0]:
        taken_and_usable(state, scorer)
    elif name == "cov_level_slope" and value in (-5.0, 0.5):  # more than the variances allow
        refused(targets[scorer], state, "PosteriorLPScorer cannot score its task")
    else:
        message = rf"column '{name}' holds {re.escape(str(value))}, not an? (number|integer) from"
        refused(targets[scorer], state, message)


def test_every_exception_names_a_column() -> None:
    assert set(ALLOWED) <= {name for _, name in COLUMNS}
    assert all(reason for _, reason in ALLOWED.values())


def test_ids(states: dict[str, Any], targets: dict[str, Any]) -> None:
    def outside(pool: dict[str, Any]) -> None:
        pool["rows"][2, 0] = NUM_IDS + 18

    def twice(pool: dict[str, Any]) -> None:
        pool["rows"][2, 0] = pool["rows"][3, 0]

    message = r"its task 1018 is not one of this curriculum's, whose ids are integers from 0 to"
    refused(targets["posterior"], changed(states["posterior"], outside), message)
    refused(targets["posterior"], changed(states["posterior"], twice), "ids are not distinct")


def test_a_time_that_is_still_to_come(states: dict[str, Any], targets: dict[str, Any]) -> None:
    clock = pool_of(states["posterior"])["counters"]["clock"]

    def change(pool: dict[str, Any]) -> None:
        pool["rows"][2, pool["columns"].index("last_clock")] = clock + 1

    message = f"column 'last_clock' holds {clock + 1}.0, not a number from 0 to {clock}"
    refused(targets["posterior"], changed(states["posterior"], change), message)


# -- counters --------------------------------------------------------------------------------------

NO_COUNTS = [None, NAN, 1.5, "3", True, -1, 2**63, 10**400, [], {}]
FAR = 2**53 - 1_000_000  # further than any run counts
COUNTS: dict[str, dict[int, str | None]] = {  # None: taken; else the message
    "seed": {0: None, LARGEST: None},
    "new_ids": {0: None, FAR: None},
    "draws": {0: None, FAR: None},
    "created": {0: "created is 0, fewer than its 6 tasks and the", FAR: None},
    "evicted": {0: None, FAR: f"fewer than its 6 tasks and the {FAR + 1} that were"},
    "invalid": {0: r"retired has shape \(1,\), expected \(0,\)", FAR: "retired has shape"},
    "late_completions": {0: None, FAR: None},
    "unscored": {0: None, FAR: None},
    "closed_completed": {0: None, FAR: None},
    "closed_scheduled": {0: None, FAR: None},
    "clock": {0: "refreshed is .*, later than clock, 0|'last_clock' holds", FAR: None},
    "refreshed": {0: None, FAR: f"refreshed is {FAR}, later than clock"},
    "stale": {0: None, FAR: "cursor or stale point outside"},
    "cursor": {0: None, FAR: "cursor or stale point outside"},
    "history": {0: None, FAR: None},
    "filled": {0: None, FAR: None},
    "candidate": {0: None, 6: None, 7: "candidate is 7, outside the pool"},
}


def test_every_counter_is_in_the_table() -> None:
    assert set(COUNTS) == set(COUNTERS)


@pytest.mark.parametrize("value", NO_COUNTS)
@pytest.mark.parametrize("name", [*COUNTERS, "max_tasks", "of another version"])
def test_a_counter_that_is_none(
    states: dict[str, Any], targets: dict[str, Any], name: str, value: Any
) -> None:
    def change(pool: dict[str, Any]) -> None:
        place = pool if name == "max_tasks" else pool["counters"]
        place[name] = value

    refused(
        targets["posterior"],
        changed(states["posterior"], change),
        f"{name} is .*, not an integer from 0 to",
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [(name, value, message) for name, row in COUNTS.items() for value, message in row.items()],
)
def test_a_counter_at_its_limit(
    states: dict[str, Any], targets: dict[str, Any], name: str, value: int, message: str | None
) -> None:
    state = changed(states["posterior"], lambda pool: pool["counters"].update({name: value}))
    if message is None:  # a count that nothing depends on, or that is what it may be
        taken_and_usable(state)
    else:
        refused(targets["posterior"], state, message)


# -- arrays ----------------------------------------------------------------------------------------

ARRAYS = ("rows", "score_range", "groups", "weights", "moments", "history", "retired")
NO_ARRAYS: list[tuple[Any, str]] = [
    (None, "no array of numbers"),
    ("abc", "no array of numbers"),
    (5, "no array of numbers"),
    ({}, "no array of numbers"),
    (["1", "2"], "no array of numbers"),
    ([[1.0], [1.0, 2.0]], "is no array"),
    (np.array([1j]), "no array of numbers"),
    (np.array([True]), "no array of numbers"),
    (np.array([object()]), "no array of numbers"),
    (np.array([b"1"]), "no array of numbers"),
    (np.zeros((2, 2, 2)), r"has shape \(2, 2, 2\), expected|, of shape"),
    ([], r"has shape \(0,\), expected|point outside"),
]


@pytest.mark.parametrize(("value", "message"), NO_ARRAYS, ids=range(len(NO_ARRAYS)))
@pytest.mark.parametrize("name", ARRAYS)
def test_what_is_not_the_array(
    states: dict[str, Any], targets: dict[str, Any], name: str, value: Any, message: str
) -> None:
    state = changed(states["posterior"], lambda pool: pool.update({name: value}))
    refused(targets["posterior"], state, rf"saved pool is inconsistent: .*({message})")


@pytest.mark.parametrize("name", [name for name in ARRAYS if name != "history"])
@pytest.mark.parametrize("more", [-1, 1])
def test_an_array_of_another_length(
    states: dict[str, Any], targets: dict[str, Any], name: str, more: int
) -> None:
    def change(pool: dict[str, Any]) -> None:
        array = np.asarray(pool[name])
        pool[name] = array[:-1] if more < 0 else np.concatenate([array, array[-1:]])

    state = changed(states["posterior"], change)
    refused(targets["posterior"], state, f"{name} has shape|cursor or stale point outside")


NUMBERS: dict[str, dict[float, str]] = {  # what is taken, and why
    "score_range": {-5.0: "the lowest score"},
    "groups": {-5.0: "of the scores' sums only", float(LARGEST): "a sum", 0.5: "a sum"},
    "weights": {float(LARGEST): "weights are relative", 0.5: "weights are relative"},
    "moments": {-5.0: "of worth", HUGE: "", float(LARGEST): "of worth", 0.5: "of worth"},
    "history": {-5.0: SCORE, float(LARGEST): SCORE, 0.5: SCORE},
    "retired": {},
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_of_an_array(
    states: dict[str, Any], targets: dict[str, Any], name: str, value: float
) -> None:
    def change(pool: dict[str, Any]) -> None:
        array = np.array(pool[name], np.float64)
        at = (0, GROUP_FIELDS.index("total_score")) if name == "groups" else 0
        array[at] = value
        pool[name] = array

    state = changed(states["posterior"], change)
    if value in NUMBERS[name]:
        taken_and_usable(state)
    else:
        refused(
            targets["posterior"],
            state,
            rf"{name} holds {re.escape(str(value))}, not a|range of scores, .* does not hold",
        )


@pytest.mark.parametrize("field", ["completion_count", "total_squared", "scheduled_count", "tasks"])
def test_groups_hold_no_negative_counts(
    states: dict[str, Any], targets: dict[str, Any], field: str
) -> None:
    def change(pool: dict[str, Any]) -> None:
        pool["groups"][1, GROUP_FIELDS.index(field)] = -5.0

    refused(targets["posterior"], changed(states["posterior"], change), "groups holds -5.0, below")


# -- the rest --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["format", "max_tasks", "columns", "counters", "group_names"])
@pytest.mark.parametrize("value", [None, 5, "x", [], {}, NAN, [5], {"x": 5}])
def test_a_field_that_is_another_thing(
    states: dict[str, Any], targets: dict[str, Any], name: str, value: Any
) -> None:
    state = changed(states["posterior"], lambda pool: pool.update({name: value}))
    refused(targets["posterior"], state, "saved pool (is inconsistent: |has format|lacks )")


@pytest.mark.parametrize("where", ["pool", "counters"])
def test_a_key_that_is_missing(states: dict[str, Any], targets: dict[str, Any], where: str) -> None:
    pool = pool_of(states["posterior"])
    optional = {"of_pool"}  # the first states of this format lack it
    for name in set(pool) - optional if where == "pool" else pool["counters"]:

        def change(pool: dict[str, Any], name: str = name) -> None:
            del (pool if where == "pool" else pool["counters"])[name]

        message = r"saved pool (lacks .*|has format None)"
        refused(targets["posterior"], changed(states["posterior"], change), message)


def test_what_is_more_than_this_version_knows_is_not_read(states: dict[str, Any]) -> None:
    """A later version, or a component that is not in use here, may keep more."""

    def change(pool: dict[str, Any]) -> None:
        pool["more"] = object()
        pool["counters"]["more"] = 5
        pool["columns"].append("more")
        pool["rows"] = np.column_stack([pool["rows"], np.full(len(pool["rows"]), NAN)])

    taken_and_usable({**changed(states["posterior"], change), "more": object(), "seed": "x"})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (lambda old: [*old[:-1], old[1]], "group_names holds .* twice"),
        (lambda old: [*old[:-1], "\ud800"], "group_names holds .*, or it is no text"),
        (lambda old: [*old[:-1], 5], "group_names are at most 512 strings"),
        (lambda old: ["x"] * 513, "group_names are at most 512 strings"),
        (lambda old: old[:1], "groups has shape"),
    ],
)
def test_names_of_groups(
    states: dict[str, Any], targets: dict[str, Any], names: Callable[[Any], Any], message: str
) -> None:
    state = changed(
        states["posterior"], lambda pool: pool.update(group_names=names(pool["group_names"]))
    )
    refused(targets["posterior"], state, message)


@pytest.mark.parametrize("value", [None, 5, "x", "{", "[]", b"{}", {}, [], NAN])
@pytest.mark.parametrize("name", ["identity", "algorithm"])
def test_the_state_around_the_pool(
    states: dict[str, Any], targets: dict[str, Any], name: str, value: Any
) -> None:
    message = "does not say whose it is" if name == "identity" else "not the state of an algorithm"
    message += "|belongs to algorithm None"
    refused(targets["posterior"], {**states["posterior"], name: value}, message)


# -- scorers ---------------------------------------------------------------------------------------


class Refusing(StepScorer):
    """Keeps something beside its columns, and takes nothing else."""

    def get_state(self) -> dict[str, Any]:
        return {"version": 1}

    def load_state(self, state: dict[str, Any]) -> None:
        if state != {"version": 1}:
            raise LookupError(f"version {state.get('version')} cannot be read")


def test_a_scorer_that_refuses_leaves_the_pool_as_it_was() -> None:
    with Curriculum(config(Refusing)) as curriculum, Curriculum(config(Refusing)) as other:
        steps(curriculum, 0, 50)
        steps(other, 0, 7)
        state = other.get_state()
        state["algorithm"]["scorer_state"] = {"version": 2}
        before = digest(curriculum)
        with pytest.raises(LookupError, match="version 2 cannot be read"):
            curriculum.load_state(state)
        assert digest(curriculum) == before
        assert curriculum.stats()["num_completed"] == 50
        steps(curriculum, 50, 60)
        curriculum.load_state(other.get_state())
        assert curriculum.stats()["num_completed"] == 7


@pytest.mark.parametrize("saved_as", ["bidirectional", "some.module.Scorer", None, 5])
def test_another_or_a_missing_scorer_is_told_with_the_number_of_tasks(
    states: dict[str, Any], caplog: pytest.LogCaptureFixture, saved_as: Any
) -> None:
    state = copy.deepcopy(states["posterior"])
    state["algorithm"]["scorer"] = saved_as
    if saved_as is None:
        del state["algorithm"]["scorer"]
    with Curriculum(config()) as curriculum, caplog.at_level(logging.WARNING):
        curriculum.load_state(state)
        assert curriculum.stats()["num_completed"] == 80
        assert max(curriculum.table.column("completion_count")) == 0
        steps(curriculum, 0, 20)
    assert f"saved with scorer {saved_as!r}, this is 'posterior'" in caplog.text
    assert "what was known of its 6 tasks is begun anew" in caplog.text


# -- the ways of a trainer -------------------------------------------------------------------------


def through_torch(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(to_tensors(state), buffer)
    buffer.seek(0)
    return to_arrays(torch.load(buffer, weights_only=True))


@pytest.mark.parametrize(
    "through", [as_json, through_torch, lambda state: pickle.loads(pickle.dumps(state))]
)
@pytest.mark.parametrize("scorer", SCORERS)
def test_it_is_the_same_after_a_round_trip(
    states: dict[str, Any], scorer: str, through: Callable[[Any], Any]
) -> None:
    with Curriculum(config(scorer)) as one, Curriculum(config(scorer)) as two:
        one.load_state(states[scorer])
        two.load_state(through(states[scorer]))
        assert steps(one, 0, 40) == steps(two, 0, 40)
        assert without_times(one.get_state()) == without_times(two.get_state())
