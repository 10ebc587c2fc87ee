"""What gives the numbers of a pool their meaning is the same for everybody who opens it, and for
whoever loads it; what has no meaning may differ."""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from processes import end_script, start_script

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    SessionMismatchError,
    SingleTaskGenerator,
    bucketed,
    merge,
)
from metta.cogworks.curriculum.sessions import new_session_id
from tests.cogworks.curriculum.curriculum_examples import RareFirstConfig
from tests.cogworks.curriculum.generator_examples import Game, Room, RoomGenerator

pytestmark = pytest.mark.timeout(120)

BUCKETS = {"game.num_plants": [*range(1, 51)], "game.density": [0.25, 0.5]}


def rooms() -> Any:
    return bucketed(Room(), BUCKETS)


def make(
    generator: Any = "rooms", algorithm: Any = LearningProgressConfig, **fields: Any
) -> CurriculumConfig:
    """A configuration. ``fields`` are those of the algorithm, but for a few of the curriculum."""
    own = {name: fields.pop(name) for name in ("max_task_id", "seed") if name in fields}
    fields = {"num_active_tasks": 2, **fields}
    return CurriculumConfig(
        task_generator=rooms() if generator == "rooms" else generator,
        algorithm_config=algorithm(**fields),
        **{"max_task_id": 2, **own},
    )


# What differs, and how its field, their value and ours are told, without what stands before the
# field.
GENERATOR = "task_generator."
DIFFERENT: dict[str, tuple[Callable[[], CurriculumConfig], str, str, str]] = {
    "a value of a bucket": (
        lambda: make(bucketed(Room(), {**BUCKETS, "game.density": [0.25, 0.75]})),
        GENERATOR + "buckets.game.density[1]",
        "0.5",
        "0.75",
    ),
    "one bucket value more": (
        lambda: make(bucketed(Room(), {**BUCKETS, "game.density": [0.25, 0.5, 1.0]})),
        GENERATOR + "buckets.game.density",
        "[0.25, 0.5]",
        "[0.25, 0.5, 1.0]",
    ),
    "one bucket less": (  # with as many variants
        lambda: make(bucketed(Room(), {"game.num_plants": [*range(1, 101)]})),
        GENERATOR + "buckets.game.density",
        "[0.25, 0.5]",
        "",
    ),
    "an override": (
        lambda: make(
            bucketed(SingleTaskGenerator.Config(env=Room(), overrides={"game.high": 9}), BUCKETS)
        ),
        GENERATOR + "child_generator_config.overrides.game.high",
        "",
        "9",
    ),
    "a field deep in the environment": (
        lambda: make(bucketed(Room(game=Game(low=3)), BUCKETS)),
        GENERATOR + "child_generator_config.env.config.game.low",
        "0",
        "3",
    ),
    "a label": (
        lambda: make(bucketed(Room(label="hall"), BUCKETS)),
        GENERATOR + "child_generator_config.env.config.label",
        "room",
        "hall",
    ),
    "another generator": (lambda: make(RoomGenerator.Config()), GENERATOR + "type", "", ""),
    "a generator of several": (lambda: make(merge([rooms()])), GENERATOR + "type", "", ""),
    "no generator": (lambda: make(None), "task_generator", "", ""),
    "max_task_id": (lambda: make(max_task_id=3), "max_task_id", "2", "3"),
    "another algorithm": (
        lambda: make(algorithm=DiscreteRandomConfig),
        "algorithm.type",
        "LearningProgressConfig",
        "DiscreteRandomConfig",
    ),
}
# An algorithm's number is the same kind of thing whichever it is.
HYPERPARAMETERS: dict[str, tuple[Any, Any]] = {
    "ema_timescale": (0.1, 0.2),
    "exploration_bonus": (0.1, 0.3),
    "rand_task_rate": (0.25, 0.5),
    "memory": (25, 30),
    "task_tracker_ema_alpha": (0.02, 0.5),
    "task_default_success_threshold": (0.5, 0.75),
    "task_default_generator_type": (0.0, 1.0),
    "min_samples_for_lp": (3, 4),
    "sample_threshold": (3, 7),
    "min_presentations_for_eviction": (5, 9),
    "eviction_threshold_percentile": (0.4, 0.1),
    "score_normalization": ("running_range", "clip"),
}
FREE = {
    "lock_timeout_seconds": 5.0,
    "enable_detailed_slice_logging": True,
    "max_regions": 0,  # of a family that fits into the pool
}


def base() -> CurriculumConfig:
    """What the rows of the tables differ from."""
    return make(**{name: theirs for name, (theirs, _) in HYPERPARAMETERS.items()})


def with_hyperparameter(name: str, value: Any) -> CurriculumConfig:
    fields = {other: theirs for other, (theirs, _) in HYPERPARAMETERS.items()}
    return make(**{**fields, name: value})


# -- processes that share a pool -------------------------------------------------------------------


@pytest.fixture(scope="module")
def opener() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A session that this process has open, and another process that tries to open it as it is
    told."""
    session_id = new_session_id()
    process = start_script(
        """
        import json, sys
        from metta.cogworks.curriculum import Curriculum, CurriculumConfig
        import tests.cogworks.curriculum.generator_examples
        import tests.cogworks.curriculum.curriculum_examples
        for line in sys.stdin:
            config = CurriculumConfig.model_validate_json(line)
            try:
                with Curriculum(config) as curriculum:
                    curriculum.get_task().complete(1.0)
                print(json.dumps(["opened", ""]), flush=True)
            except Exception as error:
                print(json.dumps([type(error).__name__, str(error)]), flush=True)
        """
    )
    with Curriculum(base().with_session(session_id)):
        yield session_id, process
        status, _, errors = end_script(process)
        assert (status, errors) == (0, "")


def tried(opener: tuple[str, subprocess.Popen[str]], config: CurriculumConfig) -> tuple[str, str]:
    """What becomes of another process that opens the session with a configuration."""
    session_id, process = opener
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(config.with_session(session_id).model_dump_json() + "\n")
    process.stdin.flush()
    kind, message = json.loads(process.stdout.readline())
    return kind, message


def test_the_same_configuration_is_admitted(opener) -> None:
    assert tried(opener, base()) == ("opened", "")


@pytest.mark.parametrize("what", DIFFERENT)
def test_another_process_with_another_configuration(opener, what: str) -> None:
    change, field, theirs, ours = DIFFERENT[what]
    kind, message = tried(opener, change())
    assert kind == "SessionMismatchError"
    assert f"session {opener[0]!r} is in use with another layout" in message
    told = message.partition(f"identity.{field}: the session has ")[2]
    assert told, message
    before, _, after = told.partition(", this process wants ")
    assert theirs in before
    assert ours in after.partition(";")[0]
    assert "another session_id" in message


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_another_process_with_another_hyperparameter(opener, name: str) -> None:
    theirs, ours = HYPERPARAMETERS[name]
    kind, message = tried(opener, with_hyperparameter(name, ours))
    assert kind == "SessionMismatchError"
    assert (
        f"(identity.algorithm.{name}: the session has {theirs!r}, this process wants {ours!r})"
        in message
    )


def test_another_process_with_another_seed(opener) -> None:
    fields = {name: theirs for name, (theirs, _) in HYPERPARAMETERS.items()}
    kind, message = tried(opener, make(**fields, seed=7))
    assert kind == "SessionMismatchError"
    assert "(identity.seed: the session has 0, this process wants 7)" in message


@pytest.mark.parametrize("name", FREE)
def test_another_process_may_differ_in_what_has_no_meaning(opener, name: str) -> None:
    assert tried(opener, with_hyperparameter(name, FREE[name])) == ("opened", "")


def test_every_field_of_an_algorithm_has_a_meaning_or_is_named_here() -> None:
    """A field that is added is compared, unless somebody says that it has none."""
    in_layout = {
        "num_active_tasks",
        "completion_history_size",
        "max_slice_axes",
        "task_struct_size",
    }
    compared = set(base().identity()["algorithm"]) - {"type"}
    fields = set(LearningProgressConfig.model_fields)
    assert fields - compared == {*FREE, *in_layout, "use_shared_memory", "session_id"}


def test_a_custom_algorithms_field_is_compared() -> None:
    config = make(algorithm=RareFirstConfig, evict_after=3).with_session(new_session_id())
    other = make(algorithm=RareFirstConfig, evict_after=4).with_session(config.session_id or "")
    with (
        Curriculum(config),
        pytest.raises(
            SessionMismatchError,
            match=r"[(]identity.algorithm.evict_after: the session has 3, this process wants 4[)]",
        ),
    ):
        Curriculum(other)


# -- saved pools -----------------------------------------------------------------------------------

LOADED = {
    **DIFFERENT,
    **{
        name: (lambda n=name, v=ours: with_hyperparameter(n, v), f"algorithm.{name}", theirs, ours)
        for name, (theirs, ours) in HYPERPARAMETERS.items()
    },
}


@pytest.mark.parametrize("what", LOADED)
def test_a_saved_pool_of_another_configuration(what: str) -> None:
    change, field, theirs, ours = LOADED[what]
    with Curriculum(base()) as first, Curriculum(change()) as second:
        first.get_task().complete(1.0)
        state, before = first.get_state(), second.get_state()
        with pytest.raises(ValueError, match=r"this (is|curriculum has) ") as caught:
            second.load_state(state)
        message = str(caught.value)
        if what == "another algorithm":
            assert "belongs to algorithm 'learning_progress', this is 'discrete_random'" in message
            return
        told = message.partition(f"{field}: the saved state has ")[2]
        assert told, message
        before_comma, _, after = told.partition(", this curriculum has ")
        assert str(theirs) in before_comma
        assert str(ours) in after.partition(";")[0]
        assert (
            second.get_state()["algorithm"]["tracker"]["counters"]
            == (before["algorithm"]["tracker"]["counters"])
        )


@pytest.mark.parametrize("name", [*FREE, "seed", "completion_history_size"])
def test_a_saved_pool_of_one_that_differs_in_what_has_no_meaning(name: str) -> None:
    value = {**FREE, "seed": 7, "completion_history_size": 9}[name]
    with Curriculum(base()) as first, Curriculum(with_hyperparameter(name, value)) as second:
        first.get_task().complete(1.0)
        second.load_state(first.get_state())
        assert second.stats()["num_completed"] == 1
