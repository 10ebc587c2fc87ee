"""Buckets, sets, paths, values, randomness and round trips of task generators."""

import collections
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mettagrid.builder.envs import make_arena, make_navigation
from pydantic import BaseModel, ValidationError
from scipy import stats

from metta.cogworks.curriculum.task_generator import (
    MAX_TASK_ID,
    BucketedTaskGenerator,
    SingleTaskGenerator,
    Span,
    TaskGenerator,
    TaskGeneratorConfig,
    TaskGeneratorSet,
    TaskRandom,
    bucketed,
    class_path,
    merge,
    mix64,
    resolve_class,
    single_task,
    validate_task_id,
)
from metta.cogworks.curriculum.tasks.copier import compile_copier
from metta.cogworks.curriculum.tasks.paths import locate
from tests.cogworks.curriculum.generator_contract import mutable_parts
from tests.cogworks.curriculum.generator_examples import (
    Agent,
    Colour,
    FrozenRoom,
    Item,
    MinimalGenerator,
    PlainConfig,
    Room,
    RoomGenerator,
)

# ------------------------------------------------------------------------------------------------ r


def reference_mix(x: int) -> int:
    """splitmix64's finaliser again, in numpy's wrapping arithmetic."""
    with np.errstate(over="ignore"):
        z = np.uint64(x)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return int(z ^ (z >> np.uint64(31)))


def reference_hash(name: str) -> int:
    return int(hashlib.blake2b(name.encode(), digest_size=8).hexdigest(), 16)


def reference_seed(task_id: int) -> int:
    return reference_mix((task_id + 1) * 0x9E3779B97F4A7C15 % 2**64)


@given(st.integers(0, 2**64 - 1))
def test_mix64_agrees_with_an_independent_implementation(x: int):
    assert mix64(x) == reference_mix(x)


def test_mix64_is_splitmix64():
    # The first outputs of splitmix64 from seed 1234567, as its reference implementation in C gives
    # them.
    outputs = [mix64((1234567 + (index + 1) * 0x9E3779B97F4A7C15) % 2**64) for index in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("task_id", [0, 1, 2, 1000, 2**53 - 1])
def test_values_are_what_the_documentation_says(task_id: int):
    low, high = 0.25, 0.75
    plants, colours = [1, 5, 9, 11, 50], ["red", "blue"]
    buckets = {"game.num_plants": plants, "game.density": Span(low, high), "game.colour": colours}
    generator = merge(
        [bucketed(Room(), buckets), bucketed(Room(), buckets)], weights=[1, 2]
    ).create()

    seed = reference_seed(task_id)
    child = 0 if (reference_mix(seed ^ reference_hash("choice")) >> 11) / 2**53 * 3 < 1 else 1
    inner = reference_mix(seed ^ reference_hash(f"child/{child}"))

    def draw(axis: str) -> int:
        return reference_mix(inner ^ reference_hash(f"bucket/{axis}"))

    fraction = (reference_mix(draw("game.density")) >> 11) / 2**53
    assert generator.describe(task_id).slice_values == {
        "game.num_plants": plants[draw("game.num_plants") * 5 // 2**64],
        "game.density": low + (high - low) * fraction,
        "game.colour": colours[draw("game.colour") * 2 // 2**64],
    }


@pytest.mark.parametrize("hash_seed", ["0", "4321"])
def test_same_tasks_in_another_process(hash_seed: str):
    config = merge(
        [
            bucketed(Room(), {"game.num_plants": [1, 5, 9], "game.density": Span(0.1, 0.9)}),
            RoomGenerator.Config(),
        ]
    )
    program = (
        "import sys, json\n"
        "from metta.cogworks.curriculum.task_generator import TaskGeneratorConfig, trusting\n"
        "with trusting('tests'):\n"
        "    make = TaskGeneratorConfig.model_validate_json(sys.stdin.read()).create()\n"
        "print(json.dumps([[make.get_task(i).model_dump(mode='json'), *make.describe(i)] for i in "
        "range(50)]))\n"
    )
    root = __file__.rsplit("/tests/", 1)[0]
    result = subprocess.run(
        [sys.executable, "-c", program],
        input=config.model_dump_json(),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": root},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    generator = config.create()
    here = [
        [generator.get_task(i).model_dump(mode="json"), *generator.describe(i)] for i in range(50)
    ]
    assert json.loads(result.stdout) == here


def test_importing_the_generators_needs_no_mettagrid():
    program = (
        "import sys; sys.modules['mettagrid'] = None\n"
        "import metta.cogworks.curriculum.task_generator\n"
        "assert not any(name.startswith(('torch', 'pufferlib', 'yaml')) for name in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr


def test_choice_of_child_is_independent_of_the_choice_inside():
    room = bucketed(Room(), {"game.num_plants": [1, 2, 3, 4, 5], "game.density": Span(0.1, 0.9)})
    generator = merge([single_labelled(room, "first"), single_labelled(room, "second")]).create()
    counts = collections.Counter()
    for task_id in range(10_000):
        label, values = generator.describe(task_id)
        counts[label, values["game.num_plants"]] += 1
    assert len(counts) == 10
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


def single_labelled(config: TaskGeneratorConfig, label: str) -> TaskGeneratorConfig:
    return type(config).model_validate({**config.model_dump(), "label": label})


def test_axes_are_independent_of_each_other():
    generator = bucketed(
        Room(), {"game.num_plants": [1, 2, 3, 4], "game.even": [0, 2, 4], "game.high": Span(11, 15)}
    ).create()
    table = np.zeros((4, 3, 5))
    for task_id in range(12_000):
        values = generator.get_bucket_values(task_id)
        table[
            values["game.num_plants"] - 1, values["game.even"] // 2, values["game.high"] - 11
        ] += 1
    assert stats.chisquare(table.ravel()).pvalue > 0.001


def test_float_span_is_uniform():
    generator = bucketed(Room(), {"game.density": Span(0.25, 0.75)}).create()
    values = [generator.get_bucket_values(task_id)["game.density"] for task_id in range(5000)]
    assert stats.kstest(values, stats.uniform(0.25, 0.5).cdf).pvalue > 0.001


def test_adding_an_axis_leaves_the_others_as_they_were():
    buckets = {"game.density": Span(0.1, 0.9), "game.num_plants": [1, 2, 3]}
    one = bucketed(Room(), buckets).create()
    two = bucketed(Room(), {"game.daytime": [True, False], **buckets}).create()
    for task_id in range(50):
        assert (
            one.describe(task_id).slice_values["game.num_plants"]
            == two.describe(task_id).slice_values["game.num_plants"]
        )


def test_weights_are_frequencies_and_zero_is_never():
    spans = {"game.density": Span(0.1, 0.9)}
    rooms = [bucketed(Room(label=label), spans) for label in "abc"]
    generator = merge(rooms, weights=[1, 0, 3]).create()
    counts = collections.Counter(generator.get_label(task_id) for task_id in range(8000))
    assert set(counts) == {"a", "c"}
    assert stats.chisquare([counts["a"], counts["c"]], [2000, 6000]).pvalue > 0.001


def test_task_random_is_stable_and_within_bounds():
    first, second = TaskRandom(7), TaskRandom(7)
    draws = [first.random(), first.randint(1, 6), first.uniform(2, 3), first.choice("abc")]
    assert draws == [
        second.random(),
        second.randint(1, 6),
        second.uniform(2, 3),
        second.choice("abc"),
    ]
    assert draws[0] == (reference_mix(7 + 0x9E3779B97F4A7C15) >> 11) / 2**53
    assert {first.randint(1, 3) for _ in range(100)} == {1, 2, 3}
    with pytest.raises(ValueError, match=r"randint\(3, 1\) is empty"):
        first.randint(3, 1)


# ------------------------------------------------------------------------------------------------ v


def test_values_reach_the_configuration_in_the_type_of_the_field():
    generator = bucketed(
        Room(),
        {
            "game.num_plants": ["5"],
            "game.density": [1],
            "game.colour": ["blue"],
            "game.agent.limits.bag": [{"count": 7}],
            "game.shape": [[4, 5]],
            "game.boss": [{"count": 2}],
        },
    ).create()
    game = generator.get_task(0).game
    assert (game.num_plants, game.density, game.colour) == (5, 1.0, Colour.BLUE)
    assert type(game.density) is float
    assert game.agent.limits["bag"] == Item(count=7)
    assert game.shape == (4, 5)
    assert game.boss == Item(count=2)
    values = generator.describe(0).slice_values
    assert values["game.num_plants"] == 5  # the numbers that the configuration holds
    assert type(values["game.density"]) is float
    assert values["game.agent.limits.bag"] == {"count": 7}  # of other kinds, the value as written


def test_models_enums_tuples_and_numpy_numbers_are_taken():
    config = bucketed(Room()).add_bucket("game.boss", [Item(count=4), None])
    config.add_bucket("game.colour", [Colour.BLUE]).add_bucket("game.shape", [(1, 2)])
    config.add_bucket("game.num_plants", np.arange(3))
    assert TaskGeneratorConfig.model_validate_json(config.model_dump_json()) == config
    generator = config.create()
    bosses = [generator.get_task(i).game.boss for i in range(2 * 3)]
    assert {None if boss is None else boss.count for boss in bosses} == {None, 4}


def test_integer_span_includes_both_ends():
    generator = bucketed(Room(), {"game.num_plants": Span(3, 6)}).create()
    drawn = {generator.get_task(task_id).game.num_plants for task_id in range(200)}
    assert drawn == {3, 4, 5, 6}


def test_integer_span_on_a_float_field_gives_whole_floats():
    generator = bucketed(Room(), {"game.agent.rewards.heart": Span(1, 3)}).create()
    drawn = {generator.get_task(task_id).game.agent.rewards["heart"] for task_id in range(100)}
    assert drawn == {1.0, 2.0, 3.0}
    assert {type(value) for value in drawn} == {float}


def test_a_list_may_mix_values_and_spans():
    generator = bucketed(Room(), {"game.num_plants": [0, Span(10, 20)]}).create()
    values = [generator.get_bucket_values(task_id)["game.num_plants"] for task_id in range(1000)]
    assert 400 < values.count(0) < 600  # the span counts as one value
    assert {value for value in values if value} == set(range(10, 21))


def test_overrides_come_before_buckets():
    config = bucketed(Room(), {"game.agent.rewards.heart": [5.0]})
    config.overrides["game.agent.rewards"] = {"heart": 1.0, "gold": 2.0}
    assert config.create().get_task(0).game.agent.rewards == {"heart": 5.0, "gold": 2.0}


def test_no_buckets_means_the_childs_tasks():
    assert bucketed(Room(label="x")).create().get_task(0) == Room(label="x")


def test_cached_properties_do_not_go_stale():
    room = Room()
    assert room.plants_twice == 2
    config = bucketed(room, {"game.num_plants": [21]})
    assert config.create().get_task(0).plants_twice == 42


def test_mutable_values_are_not_shared_between_tasks():
    generator = bucketed(
        Room(), {"game.objects.0.tags": [["a"]], "game.boss": [{"count": 1}]}
    ).create()
    first, second = generator.get_task(0), generator.get_task(0)
    first.game.objects[0].tags.append("changed")
    first.game.boss.count = 99
    assert second.game.objects[0].tags == ["a"]
    assert generator.get_task(0).game.boss.count == 1


class ReluctantGenerator(TaskGenerator):
    """Builds only its base."""

    def _generate_task(self, task_id: int, rng: TaskRandom) -> Room:
        if task_id:
            raise RuntimeError(f"task {task_id} was built")
        return Room()


def test_describing_a_task_builds_nothing():
    generator = bucketed(
        ReluctantGenerator.Config(), {"game.num_plants": [1, 2], "game.high": Span(10, 90)}
    ).create()
    assert generator.describe(5).slice_values.keys() == {"game.num_plants", "game.high"}
    assert len(generator.slice_keys(5)) == 2
    with pytest.raises(RuntimeError, match="task 5 was built"):
        generator.get_task(5)


# ------------------------------------------------------------------------------------------------ l


def test_labels():
    plain = bucketed(Room(label="env"), {"game.num_plants": [1, 2]})
    assert plain.create().get_label(0) == "env"
    named = single_labelled(plain, "mine").create()
    assert named.get_label(0) == named.get_task(0).label == "mine"
    assert (
        single_task(PlainConfig()).create().get_label(0) == "PlainConfig"
    )  # has no label: its class
    both = merge([plain, single_labelled(plain, "mine")]).create()
    assert {both.get_label(task_id) for task_id in range(4)} == {"env", "mine"}
    assert single_labelled(merge([plain, plain]), "all").create().get_task(0).label == "all"


def test_label_of_a_frozen_model():
    config = SingleTaskGenerator.Config(env=FrozenRoom(), label="mine", overrides={"size": 9})
    assert config.create().get_task(0) == FrozenRoom(label="mine", size=9)


# ------------------------------------------------------------------------------------------------ s


def test_slice_keys_of_values_and_spans():
    buckets = {
        "game.num_plants": [1, 5],
        "game.density": Span(0.0, 1.0),
        "game.high": Span(10, 13),
        "game.low": Span(0, 10),
    }
    generator = bucketed(Room(), buckets).create()
    assert generator.slice_key("game.num_plants", 5) == "game.num_plants_5"
    assert generator.slice_key("game.density", 0.0) == "game.density=[0, 0.25)"
    assert generator.slice_key("game.density", 0.25) == "game.density=[0.25, 0.5)"
    assert generator.slice_key("game.density", 1.0) == "game.density=[0.75, 1]"
    assert (
        generator.slice_key("game.high", 12) == "game.high_12"
    )  # four integers are their own bins
    assert generator.slice_key("game.low", 3) == "game.low=[2.5, 5)"
    keys = {key for task_id in range(500) for _, key in generator.slice_keys(task_id)}
    assert len(keys) == 2 + 4 + 4 + 4


# ------------------------------------------------------------------------------------------------ p


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("game.num_plants", 7),
        ("game.agent.rewards.heart", 0.5),
        ("game.agent.rewards.ore.red", 0.5),  # a key that contains a dot
        ("game.agent.rewards.new", 0.5),  # a new key of a dict
        ("game.agent.rewards.new.dotted", 0.5),
        ("game.agent.limits.bag.count", 5),
        ("game.objects.1.count", 5),
        ("game.objects.0.tags", ["x"]),
        ("game.by_level.1", "hard"),  # a key that is a number
        ("game.boss", {"count": 3}),
    ],
)
def test_paths_that_exist(path: str, value: Any):
    base = Room()
    built = bucketed(base, {path: [value]}).create().get_task(0)
    overridden = SingleTaskGenerator.Config(env=base, overrides={path: value}).create().get_task(0)
    assert built == overridden
    assert built != base


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "gme.num_plants",
            "bucket path 'gme.num_plants' does not exist: the configuration (Room) has no 'gme'; "
            "nearest: game",
        ),
        ("game.num_plant", "'game' has no 'num_plant'; nearest: num_plants"),
        ("game.agent.reward.heart", "'game.agent' has no 'reward'; nearest: rewards"),
        (
            "game.objects.2.count",
            "'game.objects' is a list of 2; '2' must be a position from 0 to 1",
        ),
        (
            "game.objects.first",
            "'game.objects' is a list of 2; 'first' must be a position from 0 to 1",
        ),
        ("game.agent.limits.bog.count", "'game.agent.limits' has no 'bog'; nearest: bag"),
        (
            "game.num_plants.x",
            "'game.num_plants' is 1, a int, which has nothing inside that can be set",
        ),
        (
            "game.boss.count",
            "'game.boss' is None, a NoneType, which has nothing inside that can be set; set "
            "'game.boss' as a whole",
        ),
        (
            "game.shape.0",
            "'game.shape' is (3, 3), a tuple, which has nothing inside that can be set",
        ),
        ("game.origin.x", "a Point, which has nothing inside that can be set"),
        ("game..x", "has an empty part"),
    ],
)
def test_paths_that_do_not_exist(path: str, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        bucketed(Room(), {path: [1]}).create()
    with pytest.raises(
        ValueError, match=re.escape(message.replace("bucket path", "override path"))
    ):
        SingleTaskGenerator.Config(env=Room(), overrides={path: 1}).create()


def test_mettagrid_paths():
    base = make_arena(num_agents=24)
    generator = bucketed(
        base,
        {
            "game.map_builder.instance.objects.wall": [3],
            "game.map_builder.width": ["30"],
            "game.actions.attack.consumed_resources.laser": [2],
        },
    ).create()
    task = generator.get_task(0)
    assert task.game.map_builder.instance.objects == {"wall": 3}
    assert task.game.map_builder.width == 30
    assert task.game.actions.attack.consumed_resources == {"laser": 2}
    with pytest.raises(ValueError, match=r"'game.map_builder' has no 'widht'; nearest: width"):
        bucketed(base, {"game.map_builder.widht": [3]}).create()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "game.num_plants",
            "many",
            r"bucket 'game.num_plants' does not accept 'many': num_plants: .*integer.*\(expected "
            r"int\)",
        ),
        ("game.num_plants", 101, r"does not accept 101: .*less than or equal to 100"),
        ("game.num_plants", 1.5, r"does not accept 1.5: .*integer"),
        ("game.even", 3, "does not accept 3: .*must be even"),
        (
            "game.low",
            11,
            "does not accept 11: .*low must not exceed high",
        ),  # a validator of the model
        ("game.colour", "green", "does not accept 'green': .*'red' or 'blue'"),
        ("game.agent.rewards.new", "much", "does not accept 'much': rewards.new: .*number"),
        ("game.agent.limits.new", 3, "does not accept 3: limits.new"),
        ("game.objects.0", {"cout": 1}, "does not accept .*cout: Extra inputs are not permitted"),
    ],
)
def test_values_that_the_field_refuses(path: str, value: Any, message: str):
    with pytest.raises(ValueError, match=message):
        bucketed(Room(), {path: [value]}).create()
    with pytest.raises(ValueError, match=message.replace("bucket '", "override '")):
        SingleTaskGenerator.Config(env=Room(), overrides={path: value}).create()


@pytest.mark.parametrize(
    ("path", "span", "message"),
    [
        (
            "game.num_plants",
            Span(50, 200),
            r"Span\(min=50, max=200\) for 'game.num_plants' does not accept 101",
        ),
        ("game.density", Span(0.5, 1.5), "does not accept"),
        (
            "game.num_plants",
            Span(0.0, 10.0),
            "does not accept",
        ),  # whole ends, but fractions between them
        ("game.even", Span(0, 4), "does not accept 1"),
    ],
)
def test_spans_that_the_field_refuses(path: str, span: Span, message: str):
    with pytest.raises(ValueError, match=message):
        bucketed(Room(), {path: span}).create()


# ------------------------------------------------------------------------------------------------ b


@pytest.mark.parametrize(("low", "high"), [(-1.7e308, 1.7e308), (0.0, 5e-324), (0.0, 1e-301)])
def test_a_span_whose_width_is_no_usable_number_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=r"Span\(.*\) is not allowed: max - min is from 1e-300"):
        Span(low, high)
    assert Span(-8e307, 8e307).at(2**63) == pytest.approx(0.0, abs=1e300)


@pytest.mark.parametrize("ends", [(2, 2), (3, 1), (0.5, 0.5)])
def test_span_needs_min_below_max(ends: tuple[float, float]):
    with pytest.raises(ValueError, match=r"Span\(.*\) is empty: min must be below max"):
        Span(*ends)


@pytest.mark.parametrize("end", [float("nan"), float("inf"), "3", True, None])
def test_span_needs_finite_numbers(end: Any):
    with pytest.raises(ValueError, match=r"NaN is not a value|ends of a Span are finite numbers"):
        Span(0, end)


@pytest.mark.parametrize(
    ("buckets", "message"),
    [
        ({"game.num_plants": []}, "bucket 'game.num_plants' is empty; give at least one value"),
        (
            {"game.num_plants": 3},
            r"bucket 'game.num_plants': expected a list of values or a Span, got 3; .* write \[3\]",
        ),
        ({"game.colour": "red"}, r"write \['red'\]"),
        ({"game.num_plants": [1, 2, 1]}, "bucket 'game.num_plants': 1 occurs twice"),
        ({"game.density": [float("nan")]}, "bucket 'game.density': NaN is not a value"),
        ({"game.anything": [{1: 2}]}, "the key 1 is a int; write it as a string"),
        ({"game.anything": [object()]}, "is a object; allowed are numbers, strings"),
        ({"game.num_plants": {"span": [1]}}, "is no span"),
        ({"game.num_plants": {"span": [4, 1]}}, "min must be below max"),
        ({"": [1]}, "a bucket's name is the dotted path"),
        ({"label": ["a", "b"]}, "to vary it, merge generators"),
        ({"game.agent": [{}], "game.agent.rewards.heart": [1]}, "set the same place"),
        ([1], "buckets are a dict of dotted path"),
    ],
)
def test_bad_buckets(buckets: Any, message: str):
    with pytest.raises(ValueError, match=message):
        BucketedTaskGenerator.Config(child_generator_config=single_task(Room()), buckets=buckets)


def test_add_bucket_checks_too():
    config = bucketed(Room()).add_bucket("game.num_plants", [1])
    config.overrides["game.density"] = 0.5
    with pytest.raises(
        ValueError,
        match=r"bucket 'game.num_plants' and bucket 'game.num_plants' set the same place",
    ):
        config.add_bucket("game.num_plants", [2])
    with pytest.raises(
        ValueError, match=r"bucket 'game.density' and override 'game.density' set the same place"
    ):
        config.add_bucket("game.density", [0.1])
    with pytest.raises(ValueError, match="is empty"):
        config.add_bucket("game.high", [])
    assert config.buckets == {"game.num_plants": [1]}


def test_duplicates_across_generators():
    inner = bucketed(Room(), {"game.num_plants": [1, 2]})
    with pytest.raises(
        ValueError,
        match=r"bucket 'game.num_plants' and bucket of a child 'game.num_plants' set the same "
        r"place",
    ):
        bucketed(inner, {"game.num_plants": [3]}).create()
    outer = bucketed(inner)
    outer.overrides["game"] = {"num_plants": 3}
    with pytest.raises(
        ValueError, match=r"override 'game' and bucket of a child 'game.num_plants'"
    ):
        outer.create()
    with pytest.raises(
        ValueError, match=r"override 'game.agent' and override 'game.agent.rewards'"
    ):
        SingleTaskGenerator.Config(
            env=Room(), overrides={"game.agent": {}, "game.agent.rewards": {}}
        ).create()


def test_bucket_and_override_of_one_path():
    with pytest.raises(ValueError, match=r"bucket 'game.even' and override 'game.even'"):
        BucketedTaskGenerator.Config(
            child_generator_config=single_task(Room()),
            buckets={"game.even": [2]},
            overrides={"game.even": 4},
        )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "weights has 1 entries for 2 task generators; give one weight per generator"),
        ([], "weights has 0 entries for 2"),
        ([1.0, -0.5], r"weights\[1\] is -0.5; weights are finite numbers"),
        ([1.0, float("nan")], r"weights\[1\] is nan"),
        ([float("inf"), 1.0], r"weights\[0\] is inf"),
        ([0, 0], "are all 0; at least one must be above 0"),
    ],
)
def test_bad_weights(weights: list[float], message: str):
    with pytest.raises(ValueError, match=message):
        merge([Room(), Room()], weights)


def test_add_to_a_set():
    config = (
        TaskGeneratorSet.Config()
        .add(single_task(Room(label="a")), 2.0)
        .add(single_task(Room(label="b")))
    )
    assert config.weights == [2.0, 1.0]
    with pytest.raises(ValueError, match=r"weights\[2\] is -1; "):
        config.add(single_task(Room()), -1)
    assert len(config.task_generators) == 2
    assert {config.create().get_label(task_id) for task_id in range(2)} == {"a", "b"}


def test_no_generators():
    with pytest.raises(ValueError, match="task_generators is empty"):
        merge([])
    with pytest.raises(ValueError, match="task_generators is empty"):
        TaskGeneratorSet.Config().create()


def test_what_is_no_environment():
    for value in (3, None, Room, {"game": {}}):
        with pytest.raises(ValueError, match="environment configuration"):
            SingleTaskGenerator.Config(env=value)
    with pytest.raises(ValueError, match="is a task generator, not an environment"):
        SingleTaskGenerator.Config(env=single_task(Room()))


@pytest.mark.parametrize("overrides", [[1], {"game.even": float("nan")}, {"game.even": object()}])
def test_bad_overrides(overrides: Any):
    with pytest.raises(ValidationError, match="override"):
        SingleTaskGenerator.Config(env=Room(), overrides=overrides)


def test_a_typo_in_a_field_is_refused():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        SingleTaskGenerator.Config(env=Room(), lable="x")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "task_id", [0, 1, MAX_TASK_ID, np.int64(3), np.uint8(3), 3.0, np.float64(3.0)]
)
def test_valid_task_ids(task_id: Any):
    assert validate_task_id(task_id) == int(task_id)
    assert type(validate_task_id(task_id)) is int


@pytest.mark.parametrize(
    "task_id",
    [
        -1,
        MAX_TASK_ID + 1,
        0.5,
        True,
        np.bool_(True),
        float("nan"),
        float("inf"),
        "3",
        None,
        np.int64(-1),
    ],
)
def test_invalid_task_ids(task_id: Any):
    with pytest.raises(
        ValueError, match=r"task id .* is not valid: task ids are integers from 0 to 2\^53 − 1"
    ):
        validate_task_id(task_id)


class VaryingGenerator(TaskGenerator):
    """Only task 0 has the limit that the override names."""

    def _generate_task(self, task_id: int, rng: TaskRandom) -> Room:
        room = Room()
        if task_id:
            room.game.agent = Agent(limits={})
        return room


def test_override_of_what_a_later_task_lacks():
    generator = VaryingGenerator.Config(overrides={"game.agent.limits.bag.count": 3}).create()
    assert generator.get_task(0).game.agent.limits["bag"].count == 3
    with pytest.raises(
        ValueError,
        match=r"path 'game.agent.limits.bag.count' exists in the generator's base, but not in "
        r"this task",
    ):
        generator.get_task(1)


# ------------------------------------------------------------------------------------------------ r


def test_yaml_round_trip():
    config = merge(
        [
            bucketed(make_navigation(num_agents=4), {"game.map_builder.width": Span(8, 20)}),
            make_navigation(num_agents=4),
        ]
    )
    text = yaml.safe_dump(config.model_dump(mode="json"))
    loaded = TaskGeneratorConfig.model_validate(yaml.safe_load(text))
    assert loaded == config
    assert loaded.create().get_task(11) == config.create().get_task(11)


def test_class_paths_stand_in_the_dump():
    dump = bucketed(make_navigation(num_agents=4)).model_dump()
    assert dump["type"] == "metta.cogworks.curriculum.task_generator.BucketedTaskGenerator.Config"
    env = dump["child_generator_config"]["env"]
    assert env["type"] == "mettagrid.config.mettagrid_config.MettaGridConfig"
    assert RoomGenerator.Config().model_dump()["type"] == f"{class_path(RoomGenerator)}.Config"
    assert (
        MinimalGenerator.Config().model_dump()["type"] == f"{class_path(MinimalGenerator)}.Config"
    )


def test_infinity_survives():
    config = SingleTaskGenerator.Config(
        env=Room(), overrides={"game.agent.rewards.heart": float("inf")}
    )
    assert TaskGeneratorConfig.model_validate_json(config.model_dump_json()) == config


def test_configuration_written_by_hand():
    config = TaskGeneratorConfig.model_validate(
        yaml.safe_load(
            f"""
            type: metta.cogworks.curriculum.task_generator.BucketedTaskGenerator.Config
            child_generator_config:
              type: metta.cogworks.curriculum.task_generator.SingleTaskGenerator.Config
              env: {{type: {class_path(Room)}, config: {{label: mine}}}}
            buckets:
              game.num_plants: [1, 2]
              game.density: {{span: [0.1, 0.2]}}
            """
        )
    )
    assert config == single_labelled(
        bucketed(Room(label="mine"), {"game.num_plants": [1, 2], "game.density": Span(0.1, 0.2)}),
        None,
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "no_such_module.Thing",
            "that this program has not imported, 'no_such_module'",
        ),
        ("metta.cogworks.curriculum.task_generator.Bucketed.Config", "there is no 'Bucketed'"),
        ("collections.OrderedDict", "is not a subclass of"),
        ("math.pi", "is a float, not a class"),
        ("not a path", "is not a class path"),
    ],
)
def test_class_paths_that_name_no_generator(path: str, message: str):
    with pytest.raises(ValueError, match=message):
        TaskGeneratorConfig.model_validate({"type": path})


def test_type_is_needed_where_any_generator_fits():
    with pytest.raises(ValueError, match="a task generator needs 'type', its class path"):
        TaskGeneratorConfig.model_validate({"env": {}})


def test_classes_inside_functions_have_no_path():
    class Local(BaseModel):
        pass

    with pytest.raises(ValueError, match="is defined inside a function"):
        class_path(Local)


def test_resolve_class_of_any_kind():
    assert resolve_class("tests.cogworks.curriculum.generator_examples.Room") is Room
    assert (
        resolve_class(class_path(RoomGenerator.Config), TaskGeneratorConfig) is RoomGenerator.Config
    )


def test_a_generator_travels_as_its_configuration():
    generator = bucketed(Room(), {"game.num_plants": [1, 2, 3]}).create()
    again = pickle.loads(pickle.dumps(generator))
    assert again.config == generator.config
    assert again.get_task(2) == generator.get_task(2)


def test_configurations_belong_to_their_generator():
    class Child(SingleTaskGenerator):
        pass

    assert SingleTaskGenerator.Config.generator_class() is SingleTaskGenerator
    assert Child.Config is not SingleTaskGenerator.Config
    assert type(Child.Config(env=Room()).create()) is Child
    with pytest.raises(TypeError, match="belongs to no generator"):
        TaskGeneratorConfig().create()


# ------------------------------------------------------------------------------------------------ p


@pytest.mark.parametrize(
    "template",
    [Room(), make_arena(num_agents=24), PlainConfig(), {"a": [1, {"b": {2, 3}}]}, 5, (1, [2])],
)
def test_copies_are_equal_and_private(template: Any):
    make = compile_copier(template)
    first, second = make(), make()
    assert first == second == template
    groups = [mutable_parts(item).keys() for item in (template, first, second)]
    assert not groups[0] & groups[1]
    assert not groups[1] & groups[2]
    if isinstance(template, BaseModel):
        assert first.model_fields_set == template.model_fields_set


def test_a_configuration_that_contains_itself_is_refused():
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with pytest.raises(ValueError, match="contains itself"):
        compile_copier(loop)


def test_one_object_in_two_places_becomes_two():
    shared = Item(count=1)
    room = Room()
    room.game.objects = [shared, shared]
    task = bucketed(room, {"game.objects.0.count": [7]}).create().get_task(0)
    assert [item.count for item in task.game.objects] == [7, 1]


def test_location_validates_without_changing_the_base():
    room = Room()
    location = locate(room, "game.agent.limits.bag.count", "bucket")
    assert location.validate("4", "bucket") == 4
    assert room == Room()
