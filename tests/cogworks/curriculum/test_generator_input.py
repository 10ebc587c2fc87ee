"""Every public entry of the generators, given what it cannot use: a typed error that names the
thing, the value, what is allowed and the way out; or accepted, for the reason beside it."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metta.cogworks.curriculum import (
    BucketedTaskGenerator,
    CurriculumConfig,
    SingleTaskGenerator,
    Span,
    TaskGenerator,
    TaskGeneratorConfig,
    TaskGeneratorSet,
    bucketed,
    env_curriculum,
    merge,
    single_task,
)
from metta.cogworks.curriculum.task_generator import (
    TaskRandom,
    class_path,
    resolve_class,
    trusting,
    validate_task_id,
)
from tests.cogworks.curriculum.generator_examples import Item, Room, RoomGenerator

PLANTS = "game.num_plants"
NAN, INF = float("nan"), float("inf")
Do = Callable[[], Any]


def two() -> TaskGenerator[Any]:
    return bucketed(Room(), {PLANTS: [1, 5]}).create()


def buckets(values: Any, path: Any = PLANTS) -> Any:
    return bucketed(Room(), {path: values}).create()


def overrides(given: Any) -> Any:
    return SingleTaskGenerator.Config(env=Room(), overrides=given).create()


class ReturnsNothing(TaskGenerator[Any]):
    def _generate_task(self, task_id: int, rng: Any) -> Any:
        return None


class ReturnsAClass(TaskGenerator[Any]):
    def _generate_task(self, task_id: int, rng: Any) -> Any:
        return Room


ENVIRONMENT = "not an environment configuration; expected a pydantic model"
TASK_ID = r"task id .* is not valid: task ids are integers from 0 to 2\^53"
SEED = r"seed is .*; give an integer from 0 to 2\^64"
WEIGHTS = "weights"

REFUSED: list[tuple[str, Do, str]] = [
    # -- single_task, env_curriculum, from_mg, from_env
    *[
        (f"{function.__name__}({value!r})", lambda f=function, v=value: f(v), ENVIRONMENT)
        for function in (
            single_task,
            env_curriculum,
            bucketed,
            SingleTaskGenerator.Config.from_mg,
            SingleTaskGenerator.Config.from_env,
            BucketedTaskGenerator.Config.from_mg,
            BucketedTaskGenerator.Config.from_env,
        )
        for value in (None, 5, "room", [Room()], Room)
    ],
    ("single_task({})", lambda: single_task({}), r"\{'type': class path, 'config': fields\}"),
    ("single_task(generator)", lambda: single_task(single_task(Room())), "child of another"),  # type: ignore[arg-type]
    ("single_task()", lambda: single_task(), "env_config"),  # type: ignore[call-arg]
    # -- merge
    *[
        (f"merge({value!r})", lambda v=value: merge(v), "merge: configs .* give a list")
        for value in (5, None, "rooms", {"a": 1}, Room(), single_task(Room()))
    ],
    ("merge([])", lambda: merge([]), "list at least one generator"),
    ("merge([5])", lambda: merge([5]), ENVIRONMENT),  # type: ignore[list-item]
    ("merge([None])", lambda: merge([None]), ENVIRONMENT),  # type: ignore[list-item]
    *[
        (f"weights={value!r}", lambda v=value: merge([Room(), Room()], v), message)
        for value, message in [
            (5, "weights .* give a list of one number per generator"),
            ("ab", "weights .* give a list of one number per generator"),
            ({"a": 1}, "weights .* give a list of one number per generator"),
            ([1], "has 1 entries for 2 task generators"),
            ([1, 2, 3], "has 3 entries for 2 task generators"),
            ([1, -1], r"weights\[1\] is -1"),
            ([1, NAN], r"weights\[1\] is nan"),
            ([INF, 1], r"weights\[0\] is inf"),
            ([0, 0], "at least one must be above 0"),
            ([1, "2"], r"weights\[1\] is '2'"),
            ([1, None], r"weights\[1\] is None"),
            ([1, True], r"weights\[1\] is True"),
            ([1, [2]], r"weights\[1\] is \[2\]"),
            ([1, 2j], r"weights\[1\] is 2j"),
            ([1e308, 1e308], "sum"),
        ]
    ],
    # -- TaskGeneratorSet.Config
    ("Set.create()", lambda: TaskGeneratorSet.Config().create(), r"with add\(\)"),
    ("Set(task_generators=5)", lambda: TaskGeneratorSet.Config(task_generators=5), "list"),  # type: ignore[arg-type]
    ("Set([5])", lambda: TaskGeneratorSet.Config(task_generators=[5]), "5 is a int, not a task"),  # type: ignore[list-item]
    ("Set([{}])", lambda: TaskGeneratorSet.Config(task_generators=[{}]), "needs 'type'"),  # type: ignore[list-item]
    *[
        (
            f"add({value!r})",
            lambda v=value: TaskGeneratorSet.Config().add(v),
            r"add: .* give a generator's configuration, such as single_task\(env\)",
        )
        for value in (5, None, Room(), "room", TaskGeneratorSet.Config, {})
    ],
    *[
        (
            f"add(weight={value!r})",
            lambda v=value: TaskGeneratorSet.Config().add(single_task(Room()), v),
            r"weights\[0\] is ",
        )
        for value in (-1, NAN, INF, "2", None, True, [1])
    ],
    ("add(0)", lambda: TaskGeneratorSet.Config().add(single_task(Room()), 0), "all 0"),
    # -- bucketed and BucketedTaskGenerator.Config
    *[
        (f"bucketed(x, {value!r})", lambda v=value: bucketed(Room(), v), "buckets are a dict")
        for value in ([1], 5, "ab", True, [("a", [1])])
    ],
    ("child=5", lambda: BucketedTaskGenerator.Config(child_generator_config=5), "not a task gen"),  # type: ignore[arg-type]
    ("child={}", lambda: BucketedTaskGenerator.Config(child_generator_config={}), "needs 'type'"),  # type: ignore[arg-type]
    ("child=Room", lambda: BucketedTaskGenerator.Config(child_generator_config=Room()), "not a "),  # type: ignore[arg-type]
    ("no child", lambda: BucketedTaskGenerator.Config(), "child_generator_config"),  # type: ignore[call-arg]
    *[
        (f"values={value!r}", lambda v=value: buckets(v), message)
        for value, message in [
            (5, "expected a list of values or a Span"),
            (None, "expected a list of values or a Span"),
            ("ab", r"write \['ab'\]"),
            (b"ab", "expected a list"),
            ({"a": 1}, "expected a list"),
            ({"span": 5}, r"write \{'span': \[min, max\]\}"),
            ({"span": [1, 2, 3]}, "is no span"),
            ({"span": "ab"}, "is no span"),
            ([], "is empty"),
            (np.array([]), "is empty"),
            (range(0), "is empty"),
            ([1, 1], "1 occurs twice"),
            ([NAN], "NaN is not a value"),
            ([INF], "does not accept inf"),
            ([object()], "allowed are numbers, strings"),
            ([{1: 2}], "write it as a string"),
            ([{1, 2}], "is a set; allowed are"),
            ([lambda: 1], "is a function; allowed are"),
            ([2j], "is a complex; allowed are"),
            ([None], "does not accept None"),
            ([[1]], r"does not accept \[1\]"),
            (["many"], "does not accept 'many'"),
            ([101], "less than or equal to 100"),
            ([-1], "greater than or equal to 0"),
            ([1.5], "does not accept 1.5"),
            ([10**400], "does not accept|less than or equal"),
            ([Span(1, 200)], "does not accept 101"),
            ([Span(0.0, 1.0)], "does not accept"),
        ]
    ],
    *[
        (f"path={path!r}", lambda p=path: buckets([1], p), message)
        for path, message in [
            ("", "is the dotted path of a field"),
            (5, "is the dotted path of a field"),
            (None, "is the dotted path of a field"),
            (("game", "num_plants"), "is the dotted path of a field"),
            ("label", "to vary it, merge generators"),
            (".", "empty part"),
            ("game.", "empty part"),
            (".game", "empty part"),
            ("game..num_plants", "empty part"),
            ("game.plants", "nearest: num_plants"),
            ("nothing", "has no 'nothing'"),
            ("game.objects.2", "must be a position from 0 to 1"),
            ("game.objects.x", "must be a position from 0 to 1"),
            ("game.objects.-1", "must be a position from 0 to 1"),
            ("game.num_plants.more", "nothing inside that can be set"),
            ("game.shape.0", "nothing inside that can be set"),
        ]
    ],
    ("add_bucket(5, [1])", lambda: bucketed(Room()).add_bucket(5, [1]), "dotted path"),  # type: ignore[arg-type]
    ("add_bucket(x, 5)", lambda: bucketed(Room()).add_bucket(PLANTS, 5), "expected a list"),
    ("add_bucket(x, [])", lambda: bucketed(Room()).add_bucket(PLANTS, []), "is empty"),
    (
        "add_bucket twice",
        lambda: bucketed(Room(), {PLANTS: [1]}).add_bucket(PLANTS, [2]),
        "set the same place; remove one",
    ),
    # -- overrides, label
    *[
        (f"overrides={value!r}", lambda v=value: overrides(v), message)
        for value, message in [
            (5, "overrides are a dict"),
            ([1], "overrides are a dict"),
            (None, "overrides are a dict"),
            ({5: 1}, "overrides: the path 5 is a int"),
            ({"": 1}, "empty part"),
            ({"nothing": 1}, "has no 'nothing'"),
            ({PLANTS: "many"}, "does not accept 'many'"),
            ({PLANTS: NAN}, "NaN is not a value"),
            ({PLANTS: object()}, "allowed are numbers"),
            ({"game": {}, PLANTS: 3}, "set the same place"),
        ]
    ],
    ("label=5", lambda: SingleTaskGenerator.Config(env=Room(), label=5), "label"),  # type: ignore[arg-type]
    ("lable='x'", lambda: SingleTaskGenerator.Config(env=Room(), lable="x"), "lable"),  # type: ignore[call-arg]
    # -- Span
    *[
        (f"Span({low!r}, {high!r})", lambda a=low, b=high: Span(a, b), "finite numbers|empty|NaN")
        for low, high in [
            (1, 1),
            (2, 1),
            (0, NAN),
            (-INF, 0),
            (0, INF),
            (True, 2),
            ("1", 2),
            (None, 2),
            ([1], 2),
            (1, 2j),
        ]
    ],
    ("Span(1)", lambda: Span(1), "max"),  # type: ignore[call-arg]
    # -- ids
    *[
        (f"{method}({value!r})", lambda m=method, v=value: getattr(two(), m)(v), TASK_ID)
        for method in ("get_task", "describe", "variant", "sampling_weight")
        for value in (-1, 0.5, True, None, "1", NAN, INF, 2**53, [1], np.bool_(True), 1j)
    ],
    *[
        (f"{method}(2)", lambda m=method: getattr(two(), m)(2), "num_variants = 2 tasks")
        for method in (
            "get_task",
            "describe",
            "variant",
            "sampling_weight",
            "get_label",
            "get_bucket_values",
            "slice_keys",
        )
    ],
    ("validate_task_id('3')", lambda: validate_task_id("3"), TASK_ID),
    ("find(None, None)", lambda: two().find(None, None), "give a dict of bucket path"),  # type: ignore[arg-type]
    ("find(None, [1])", lambda: two().find(None, [1]), "give a dict of bucket path"),  # type: ignore[arg-type]
    ("find(5, {})", lambda: two().find(5, {}), "label=5 is a int; give text, or None"),  # type: ignore[arg-type]
    ("find in a custom one", lambda: RoomGenerator.Config().create().find(None, {}), "is None"),
    # -- configurations
    ("validate(5)", lambda: TaskGeneratorConfig.model_validate(5), "not a task generator's conf"),
    ("validate(None)", lambda: TaskGeneratorConfig.model_validate(None), "not a task generator's"),
    ("type: 5", lambda: TaskGeneratorConfig.model_validate({"type": 5}), "is not a class path"),
    ("no generator", lambda: TaskGeneratorConfig().create(), "belongs to no generator"),
    ("Config[5]", lambda: TaskGeneratorConfig[5], "names no generator"),
    ("task_generator={}", lambda: CurriculumConfig(task_generator={}), "needs 'type'"),  # type: ignore[arg-type]
    ("task_generator=5", lambda: CurriculumConfig(task_generator=5), "not a task generator's"),  # type: ignore[arg-type]
    ("task_generator=Room()", lambda: CurriculumConfig(task_generator=Room()), "not a task gen"),  # type: ignore[arg-type]
    ("task_generator=a class", lambda: CurriculumConfig(task_generator=Room), "not a task gen"),  # type: ignore[arg-type]
    ("Single(5)", lambda: SingleTaskGenerator(5), "make it with SingleTaskGenerator.Config"),  # type: ignore[arg-type]
    ("Bucketed(None)", lambda: BucketedTaskGenerator(None), "make it with BucketedTaskGen"),  # type: ignore[arg-type]
    ("Set(other)", lambda: TaskGeneratorSet(single_task(Room())), "make it with TaskGenerator"),  # type: ignore[arg-type]
    ("no task", lambda: ReturnsNothing.Config().create(), "_generate_task of ReturnsNothing"),
    ("a class", lambda: ReturnsAClass.Config().create(), "a task is a pydantic model"),
    # -- class paths
    ("resolve_class(5)", lambda: resolve_class(5), "is not a class path"),  # type: ignore[arg-type]
    ("resolve_class(None)", lambda: resolve_class(None), "is not a class path"),  # type: ignore[arg-type]
    ("resolve_class(x, 5)", lambda: resolve_class("pathlib.Path", 5), "expected=5 is no class"),  # type: ignore[arg-type]
    ("trusting(5)", lambda: trusting(5).__enter__(), "is not a module name"),  # type: ignore[arg-type]
    ("trusting('a b')", lambda: trusting("a b").__enter__(), "is not a module name"),
    ("class_path", lambda: class_path(type("Local", (), {"__qualname__": "f.<locals>.L"})), "top"),
    # -- TaskRandom
    *[(f"TaskRandom({v!r})", lambda v=v: TaskRandom(v), SEED) for v in (-1, 2**64, 1.5, "1", True)],
    *[
        (f"{name}{arguments!r}", lambda n=name, a=arguments: getattr(TaskRandom(1), n)(*a), text)
        for name, arguments, text in [
            ("uniform", ("1", 2), "low is '1'"),
            ("uniform", (1, NAN), "high is nan"),
            ("uniform", (1, True), "high is True"),
            ("uniform", (-INF, 1), "low is -inf"),
            ("randint", (3, 1), "low must not exceed high"),
            ("randint", (1.5, 2), "low is 1.5"),
            ("randint", (1, True), "high is True"),
            ("randint", (1, None), "high is None"),
            ("randint", (0, 2**64), "more than 2.64 values"),
            ("choice", ([],), "is empty"),
            ("choice", (5,), "not a sequence"),
            ("choice", ({"a": 1},), "is a mapping"),
            ("choice", ({1, 2},), "not a sequence"),
            ("choice", (None,), "not a sequence"),
            ("choices", ([],), "is empty"),
            ("choices", ("ab", [1]), "has 1 entries for 2 items"),
            ("choices", ("ab", 5), "not a sequence"),
            ("choices", ("ab", [0, 0]), "at least one above 0"),
            ("choices", ("ab", [1, -1]), "must be at least 0"),
            ("choices", ("ab", [1, NAN]), "finite"),
            ("choices", ("ab", [1, "2"]), "give a number"),
            ("sample", ("ab", 3), "k=3 is more than the population, 2"),
            ("sample", ("ab", -1), "at least 0"),
            ("sample", ("ab", 1.0), "give an integer"),
            ("sample", (5, 1), "not a sequence"),
            ("sample", ({1, 2}, 1), "not a sequence"),
            ("shuffle", ("ab",), "cannot be put into another order"),
            ("shuffle", ((1, 2),), "cannot be put into another order"),
            ("shuffle", (None,), "cannot be put into another order"),
        ]
    ],
    ("choices(k=-1)", lambda: TaskRandom(1).choices("ab", k=-1), "k is -1"),
    ("choices(k='2')", lambda: TaskRandom(1).choices("ab", k="2"), "k is '2'"),  # type: ignore[arg-type]
    (
        "choices(both)",
        lambda: TaskRandom(1).choices("ab", [1, 2], cum_weights=[1, 2]),
        "give one of the two",
    ),
    (
        "choices(falling)",
        lambda: TaskRandom(1).choices("ab", cum_weights=[2, 1]),
        "none below the one before",
    ),
    ("sample(counts)", lambda: TaskRandom(1).sample("ab", 1, counts=[1]), "has 1 entries for 2"),
    ("sample(counts<0)", lambda: TaskRandom(1).sample("ab", 1, counts=[1, -1]), "at least 0"),
]


def _told(name: str) -> str:
    """Without addresses, which differ between the processes of a run."""
    return re.sub(r" at 0x[0-9a-f]*", "", name)


@pytest.mark.parametrize(
    ("do", "message"), [row[1:] for row in REFUSED], ids=[_told(row[0])[:60] for row in REFUSED]
)
def test_what_cannot_be_used_is_told(do: Do, message: str):
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        do()


def test_there_are_many_of_them():
    assert len(REFUSED) >= 150


ACCEPTED: list[tuple[str, Do]] = [
    # The field's own type converts, by pydantic's rules; a configuration's author may tighten them.
    ("text for an integer", lambda: buckets(["5"])),
    ("a boolean for an integer", lambda: buckets([True])),
    ("a whole float for an integer", lambda: buckets([5.0])),
    # What is a number, is one.
    ("numpy numbers", lambda: buckets(np.arange(3))),
    ("a numpy id", lambda: two().get_task(np.int64(1))),
    ("a whole float as an id", lambda: two().get_task(1.0)),  # type: ignore[arg-type]
    ("numpy weights", lambda: merge([Room(), Room()], np.array([1.0, 2.0]))),  # type: ignore[arg-type]
    ("a numpy bound", lambda: TaskRandom(1).randint(np.int64(1), np.int64(3))),  # type: ignore[arg-type]
    # Any iterable of configurations or values is a list of them.
    ("a tuple of rooms", lambda: merge((Room(), Room()))),
    ("a generator of rooms", lambda: merge(Room() for _ in range(2))),  # type: ignore[arg-type]
    ("a set of values", lambda: buckets({1, 5})),
    ("a tuple of values", lambda: buckets((1, 5))),
    ("a Span for the list", lambda: buckets(Span(1, 5))),
    # A family of one is a family.
    ("no buckets", lambda: bucketed(Room(), None)),
    ("one value", lambda: buckets([1])),
    ("one child", lambda: merge([Room()])),
    # Allowed where nothing that follows is wrong by it.
    ("bounds of uniform in any order", lambda: TaskRandom(1).uniform(3, 1)),  # as random.Random
    ("a model for a field", lambda: buckets([Item(count=4)], "game.boss")),
    ("infinity where a field takes it", lambda: buckets([INF], "game.agent.rewards.heart")),
    ("an item of weight 0", lambda: merge([Room(), Room()], [1, 0])),
    ("trusting nothing", lambda: trusting().__enter__()),
]


@pytest.mark.parametrize(
    "do", [row[1] for row in ACCEPTED], ids=[_told(row[0]) for row in ACCEPTED]
)
def test_what_is_accepted_on_purpose(do: Do):
    do()


def test_a_refused_call_changes_nothing():
    config = TaskGeneratorSet.Config().add(single_task(Room()))
    before = config.model_dump_json()
    for wrong in (5, None, Room()):
        with pytest.raises((ValueError, TypeError)):
            config.add(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weights"):
        config.add(single_task(Room()), math.nan)
    assert config.model_dump_json() == before
    varied = bucketed(Room(), {PLANTS: [1]})
    before = varied.model_dump_json()
    for path, values in ((PLANTS, [2]), ("game.even", []), (5, [1]), ("game.even", [NAN])):
        with pytest.raises(ValueError, match="bucket"):
            varied.add_bucket(path, values)  # type: ignore[arg-type]
    assert varied.model_dump_json() == before
