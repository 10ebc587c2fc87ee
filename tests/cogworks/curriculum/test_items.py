"""Curricula over items: what a task is, what items are known by, and what is kept of them."""

import dataclasses
import itertools
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticSerializationError

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    ItemsGenerator,
    LearningProgressConfig,
    TaskGeneratorConfig,
    bucketed,
    merge,
)
from metta.cogworks.curriculum.items import MOST_IN_POOL
from metta.cogworks.curriculum.pool.checks import pool_faults
from metta.cogworks.curriculum.tasks.item_keys import ItemKeys
from tests.cogworks.curriculum import processes
from tests.cogworks.curriculum.generator_contract import GeneratorContract
from tests.cogworks.curriculum.generator_examples import Game, Room
from tests.cogworks.curriculum.states import only_plain, without_times

WORDS = ["ant", "bee", "cat", "dog", "eel"]


def over(items: Any, **options: Any) -> Curriculum:
    options.setdefault("algorithm_config", LearningProgressConfig(use_shared_memory=False))
    return Curriculum.from_items(items, **options)


class TestItemsAsAGenerator(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        rooms = [Room(label=f"room {i}", game=Game(num_plants=i)) for i in range(20)]
        return ItemsGenerator.Config(items=rooms)


class TestOfOneLabel(GeneratorContract):
    @pytest.fixture
    def config(self) -> TaskGeneratorConfig:
        rooms = [Room(game=Game(num_plants=i)) for i in range(3)]
        return ItemsGenerator.Config(items=rooms, label="rooms")


# -- what a task is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "items",
    [
        WORDS,
        tuple(WORDS),
        range(7, 12),
        [3, "three", 3.5, None, True, [1, 2], {"prompt": "x", "answer": 2}],
        [{"prompt": f"what is {i}?"} for i in range(4)],
        [("question", "answer"), ("question", "another")],
        [np.zeros((2, 3)), np.ones((2, 3))],
    ],
    ids=["text", "tuple", "range", "mixed", "dicts", "tuples", "arrays"],
)
def test_a_task_is_the_item_at_its_position(items: Any) -> None:
    curriculum = over(items)
    tasks = curriculum.get_tasks(len(items), distinct=True)
    assert sorted(task.task_id for task in tasks) == list(range(len(items)))
    for task in tasks:
        if isinstance(items, list | tuple):
            assert task.item is items[task.task_id]
        assert task.item == task.get_env_cfg() if isinstance(items, range) else True
        assert task.get_label() == ""


def test_a_configuration_is_handed_out_as_a_copy() -> None:
    rooms = [Room(label="big", game=Game(num_plants=7)), Room(label="small")]
    for task in over(rooms).get_tasks(20):
        assert task.item == rooms[task.task_id]
        assert task.item is not rooms[task.task_id]
        assert task.get_label() == rooms[task.task_id].label
        task.item.game.num_plants = 99
    assert rooms[0].game.num_plants == 7


def test_a_data_set_is_asked_and_not_copied() -> None:
    class DataSet:
        def __init__(self) -> None:
            self.asked: list[int] = []

        def __len__(self) -> int:
            return 1000

        def __getitem__(self, index: int) -> str:
            self.asked.append(index)
            return f"line {index}"

    data = DataSet()
    curriculum = over(data, key=range(1000))
    task = curriculum.get_task()
    assert set(data.asked) <= {0}  # the first is looked at for what a policy depends on
    assert task.item == f"line {task.task_id}"


def test_later_changes_to_the_list_do_not_reach_the_curriculum() -> None:
    items = list(WORDS)
    curriculum = over(items)
    items.clear()
    assert {task.item for task in curriculum.get_tasks(5, distinct=True)} == set(WORDS)


def test_an_iterator_is_listed() -> None:
    assert over(word for word in WORDS).get_task().item in WORDS


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ([], ValueError, "items is empty: give at least one"),
        ("text", ValueError, "items='text' is a str: give a list of items"),
        ({"a": 1}, ValueError, "is a dict: give a list of items"),
        (7, TypeError, "items=7 is a int: give a list of items"),
        ([object()], ValueError, "item 0 has no key.*give key="),
        (["x", float("nan")], ValueError, "item 1 has no key.*NaN.*give key="),
        (
            ["x", "y", "x"],
            ValueError,
            r'same key: "x" \(items 0, 2\); .*list it once, or give key=',
        ),
        ([1, 2, 2, 1], ValueError, r"same key: 1 \(items 0, 3\), 2 \(items 1, 2\)"),
        ([(1, 2), [1, 2]], ValueError, r"same key: \[1, 2\] \(items 0, 1\)"),
        (["x"] * 9 + list("aabbccdd"), ValueError, r"\(items 0, 1, 2\).* and 2 more;"),
    ],
)
def test_what_cannot_be_items_is_refused(items: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        over(items)


def test_keys_of_ones_own() -> None:
    things = [object(), object(), object()]
    for key in (id, [3, 1, 2], iter("abc")):
        assert over(things, key=key).get_task().item in things
    with pytest.raises(ValueError, match="3 items and 2 keys: give one key per item"):
        over(things, key=["a", "b"])
    with pytest.raises(ValueError, match=r'same key: "same" \(items 0, 1, 2\)'):
        over(things, key=lambda thing: "same")
    with pytest.raises(TypeError, match="key='id' is a str: give a list of keys, or a function"):
        over(things, key="id")


def test_numbers_of_one_hash_are_different_keys() -> None:
    assert hash(-1) == hash(-2)
    assert len(over([-1, -2]).probabilities()) == 2


@dataclasses.dataclass
class Level:
    width: int
    grid: list[int]


def test_dataclasses_are_known_by_their_fields() -> None:
    levels = [Level(3, [1]), Level(3, [2])]
    assert over(levels).get_task().item in levels
    with pytest.raises(ValueError, match="same key"):
        over([Level(3, [1]), Level(3, [1])])


# -- how many are in the pool ----------------------------------------------------------------------


def test_all_of_a_small_list_are_in_the_pool_and_some_of_a_large_one() -> None:
    assert len(over(range(MOST_IN_POOL)).probabilities()) == MOST_IN_POOL
    large = over(range(MOST_IN_POOL + 1))
    assert len(large.probabilities()) == MOST_IN_POOL
    assert len(over(range(500), num_active_tasks=20).probabilities()) == 20
    given = LearningProgressConfig(use_shared_memory=False, num_active_tasks=30)
    assert len(over(range(500), algorithm_config=given).probabilities()) == 30
    preset = LearningProgressConfig.default(use_shared_memory=False)  # 256 for want of a family
    assert len(over(range(500), algorithm_config=preset).probabilities()) == 500


def test_items_that_are_done_make_room_for_others() -> None:
    curriculum = over(range(200), num_active_tasks=10)
    before = set(curriculum.probabilities())
    for _ in range(1000):
        curriculum.get_task().complete(1.0)
    after = set(curriculum.probabilities())
    assert len(after) == 10
    assert after - before
    assert after <= set(range(200))


# -- as data, and in other processes ---------------------------------------------------------------


@pytest.mark.parametrize(
    "items",
    [
        WORDS,
        [1, 2.5, None, True, "x"],
        [{"a": [1, {"b": None}]}, []],
        [Room(label="a"), Room(label="b")],
    ],
    ids=["text", "mixed", "nested", "models"],
)
def test_plain_items_survive_json(items: list[Any]) -> None:
    config = over(items).config
    again = CurriculumConfig.model_validate_json(config.model_dump_json())
    assert again.task_generator == config.task_generator
    assert [again.make().build(i) for i in range(len(items))] == items


def test_keys_survive_json_too() -> None:
    config = over(WORDS, key=str.upper).config
    loaded = CurriculumConfig.model_validate_json(config.model_dump_json())
    assert loaded.task_generator.keys == [word.upper() for word in WORDS]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["x", object()], "item 1, a object, has no form in JSON"),
        ([Room(), "x"], "item 1, a str, .*item 0 is a configuration"),
        (["x", Room()], "item 1, a Room, .*item 0 is none"),
    ],
)
def test_items_that_are_no_data_cannot_be_written(items: list[Any], message: str) -> None:
    curriculum = over(items, key=range(2))
    with pytest.raises(PydanticSerializationError, match=message):
        curriculum.config.model_dump_json()
    assert only_plain(curriculum.get_state())  # which has no items


def test_what_cannot_be_written_goes_to_other_processes_all_the_same(open_curriculum) -> None:
    with Curriculum.from_items([{1: "one"}, {2: "two"}], key=[1, 2]) as curriculum:
        other = pickle.loads(pickle.dumps(curriculum))
        assert other.session_id == curriculum.session_id
        for task in other.get_tasks(20):
            assert task.item == [{1: "one"}, {2: "two"}][task.task_id]
        other.close()


def test_a_session_knows_other_items_by_their_keys(session_id: str) -> None:
    shared = LearningProgressConfig(session_id=session_id)
    with over(WORDS, algorithm_config=shared):
        over(WORDS, algorithm_config=shared).close()
        for others in (WORDS[::-1], ["fox", *WORDS[1:]]):
            with pytest.raises(ValueError, match=r"(?s)task_generator\.items\.digest: .* has"):
                over(others, algorithm_config=shared)
        with pytest.raises(ValueError, match=r"task_generator\.items\.count: .*5.*4"):
            over(WORDS[:4], algorithm_config=shared)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_two_processes_play_batches_of_one_session(method: Any) -> None:
    batches, size, rollouts = 30, 8, 3
    with Curriculum.from_items([f"word {i}" for i in range(50)]) as curriculum:
        arguments = [(curriculum, batches, size, rollouts)] * 2
        processes.run_all(method, processes.play_batches, arguments)
        stats = curriculum.stats()
        counts = [curriculum.state_of(i).completion_count for i in range(50)]
        with curriculum.table as table:
            assert pool_faults(table) == []
    assert stats["num_completed"] == sum(counts) == 2 * batches * size * rollouts
    assert stats["num_scheduled"] == 2 * batches * size * rollouts
    assert stats["num_in_flight"] == 0


# -- ids beyond the family -------------------------------------------------------------------------


def test_ids_beyond_the_items_are_refused_wherever_they_come_in() -> None:
    curriculum = over(range(500))
    before = without_times(curriculum.get_state())
    algorithm, tracker = curriculum.algorithm, curriculum.tracker
    for call in (
        lambda: curriculum.update_task_performance(600, 0.5),
        lambda: curriculum.update_tasks([1, 600], [0.5, 0.5]),
        lambda: curriculum.count_unscored(600, float("nan")),
        lambda: curriculum.retire_task(600, "none"),
        lambda: curriculum.explain(600),
        lambda: curriculum.state_of(600),
        lambda: curriculum.probabilities([600]),
        lambda: curriculum.build(600),
        lambda: algorithm.update_task_performance(600, 0.5),
        lambda: tracker.update_task_performance(600, 0.5),
        lambda: tracker.track_task_creation(600),
    ):
        with pytest.raises(ValueError, match=r"600 is not one of .*from 0 to .*499"):
            call()
    assert without_times(curriculum.get_state()) == before


def test_a_state_of_more_items_is_refused_wherever_it_is_loaded() -> None:
    state = over(range(500)).get_state()
    curriculum = over(range(400), num_active_tasks=400)
    before = without_times(curriculum.get_state())
    with pytest.raises(ValueError, match=r"(?s)count: .*500.*400.*changed_tasks=True"):
        curriculum.load_state(state)
    pool = {**state["algorithm"]["tracker"]}
    keep = pool["rows"][:, 0] >= 100  # as many rows as there is room for
    pool |= {"rows": pool["rows"][keep], "weights": pool["weights"][keep], "max_tasks": 400}
    pool["counters"] = pool["counters"] | {"evicted": 100}
    for call in (
        lambda: curriculum.tracker.load_state(pool),
        lambda: curriculum.algorithm.load_state({**state["algorithm"], "tracker": pool}),
    ):
        with pytest.raises(ValueError, match=r"task 499 is not one of .*from 0 to .*399"):
            call()
    assert without_times(curriculum.get_state()) == before


def test_a_tracker_of_its_own_takes_any_id() -> None:
    tracker = LearningProgressConfig(use_shared_memory=False, num_active_tasks=3).make_tracker()
    tracker.update_task_performance(10**9, 0.5)
    assert tracker.get_all_tracked_tasks() == [10**9]


# -- items that change between two runs ------------------------------------------------------------


def known(curriculum: Curriculum, names: list[Any]) -> dict[Any, Any]:
    """What the pool says of each item that is in it, by name, but for its id."""
    found = {}
    for task_id in curriculum.probabilities():
        state = curriculum.state_of(task_id)
        assert state is not None
        # Where a task lies in the groups is not kept, nor what its place among others makes of it.
        found[names[task_id]] = state.model_dump(exclude={"task_id", "seed"})
    return found


def played(items: list[Any], **options: Any) -> Curriculum:
    curriculum = over(items, **options)
    for task_id in curriculum.probabilities():
        curriculum.update_tasks([task_id], [[0.1 * (task_id % 7)] * (1 + task_id % 3)])
    return curriculum


def test_what_is_known_of_the_items_that_stay_is_kept(caplog) -> None:
    old = ["ant", "bee", "cat", "dog"]
    new = ["fox", "dog", "bee", "gnu", "ant"]  # one removed, two added, the others in other places
    before = played(old)
    curriculum = over(new)
    with caplog.at_level(logging.WARNING):
        curriculum.load_state(before.get_state(), changed_tasks=True)
    assert "3 of its 4 tasks go on as the same" in caplog.text
    was, now = known(before, old), known(curriculum, new)
    assert now.keys() == set(new)
    for name in ("ant", "bee", "dog"):
        assert now[name] == was[name]
    for name in ("fox", "gnu"):
        assert now[name]["completion_count"] == 0
    stats = curriculum.stats()
    assert stats["num_completed"] == before.stats()["num_completed"]
    assert (stats["num_created"], stats["num_evicted"]) == (4 + 2, 1)
    with curriculum.table as table:
        assert pool_faults(table) == []


def test_the_same_items_are_loaded_as_they_were() -> None:
    before = played(WORDS)
    curriculum = over(WORDS)
    curriculum.load_state(before.get_state())
    assert without_times(curriculum.get_state()) == without_times(before.get_state())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, unique=True),
    st.lists(st.integers(0, 12), min_size=1, unique=True),
    st.integers(1, 12),
    st.booleans(),
)
def test_any_two_lists(old: list[int], new: list[int], capacity: int, as_text: bool) -> None:
    """Of text, and of what is known by its JSON; a pool that holds all, and one that does not."""
    kind = str if as_text else lambda i: {"number": i}
    before = played([kind(i) for i in old], num_active_tasks=min(capacity, len(old)))
    state = before.get_state()
    stay = {old[i] for i in before.probabilities()} & set(new)
    curriculum = over([kind(i) for i in new], num_active_tasks=max(len(stay), 1))
    curriculum.load_state(state, changed_tasks=True)
    was, now = known(before, old), known(curriculum, new)
    assert stay <= now.keys() <= set(new)
    assert len(now) == max(len(stay), 1)
    for i in stay:
        assert now[i] == was[i]
    with curriculum.table as table:
        assert pool_faults(table) == []


def test_the_state_is_plain_and_small_and_survives_a_file(tmp_path: Path) -> None:
    texts = [f"a long prompt, number {i}" * 100 for i in range(50)]
    before = played(texts, num_active_tasks=20)
    state = before.get_state()
    assert only_plain(state)
    assert state["item_keys"].shape == (20,)
    assert texts[0] not in json.dumps(without_times(state))
    np.save(tmp_path / "keys.npy", state["item_keys"])
    state["item_keys"] = np.load(tmp_path / "keys.npy").tolist()
    curriculum = over(texts[::-1], num_active_tasks=20)
    curriculum.load_state(state, changed_tasks=True)
    assert known(curriculum, texts[::-1]) == known(before, texts)


def test_a_large_pool_is_filled_up_with_all_that_is_new() -> None:
    """More ids than are enumerated for a single newcomer."""
    size = 6000
    before = over(range(size - 100), num_active_tasks=size)
    curriculum = over(range(size), num_active_tasks=size)
    curriculum.load_state(before.get_state(), changed_tasks=True)
    assert sorted(curriculum.probabilities()) == list(range(size))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (None, "item_keys is None, not one integer for each of the 5 items"),
        ([1, 2], r"item_keys is \[1, 2\], not one integer"),
        ([0.5] * 5, "item_keys is .*not one integer"),
    ],
)
def test_a_state_without_its_keys_is_refused(keys: Any, message: str) -> None:
    state = {**played(WORDS).get_state(), "item_keys": keys}
    curriculum = over(WORDS[:3])
    before = without_times(curriculum.get_state())
    with pytest.raises(ValueError, match=message):
        curriculum.load_state(state, changed_tasks=True)
    assert without_times(curriculum.get_state()) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (ItemsGenerator.Config(items=WORDS), bucketed(Room(), {"game.num_plants": [1, 2]})),
        (bucketed(Room(), {"game.num_plants": [1, 2]}), ItemsGenerator.Config(items=WORDS)),
        (ItemsGenerator.Config(items=WORDS), None),
        (None, ItemsGenerator.Config(items=WORDS)),
        (merge([ItemsGenerator.Config(items=WORDS)]), ItemsGenerator.Config(items=WORDS)),
    ],
    ids=["to buckets", "from buckets", "to ids", "from ids", "from a set"],
)
def test_of_families_of_other_kinds_nothing_is_kept(old: Any, new: Any, caplog) -> None:
    algorithm = LearningProgressConfig(use_shared_memory=False, num_active_tasks=8)
    before, curriculum = (
        CurriculumConfig(task_generator=each, algorithm_config=algorithm).make()
        for each in (old, new)
    )
    with caplog.at_level(logging.WARNING):
        curriculum.load_state(before.get_state(), changed_tasks=True)
    assert "0 of its" in caplog.text
    curriculum.get_task().complete(0.5)


# -- in sets, and with other algorithms ------------------------------------------------------------


def test_a_set_of_lists_is_drawn_by_its_weights() -> None:
    easy, hard = (
        ItemsGenerator.Config(items=[f"{k} {i}" for i in range(4)], label=k) for k in "eh"
    )
    curriculum = CurriculumConfig(
        task_generator=merge([easy, hard], weights=[3, 1]),
        algorithm_config=DiscreteRandomConfig(use_shared_memory=False),
    ).make()
    shares = dict.fromkeys("eh", 0.0)
    for task_id, p in curriculum.probabilities().items():
        item = curriculum.build(task_id)
        assert curriculum.label_of(task_id) == item[0]
        shares[item[0]] += p
    assert shares == pytest.approx({"e": 0.75, "h": 0.25})


def test_items_have_no_fields_to_set() -> None:
    with pytest.raises(ValueError, match="overrides are not allowed: items are played as they are"):
        ItemsGenerator.Config(items=WORDS, overrides={"x": 1})
    with pytest.raises(ValueError, match="'width' does not exist"):
        bucketed(ItemsGenerator.Config(items=WORDS), {"width": [1]}).create()


# -- keys ------------------------------------------------------------------------------------------


@given(st.lists(st.text(), min_size=1, unique=True))
def test_a_key_has_one_hash_whatever_the_others_are(texts: list[str]) -> None:
    mixed = ItemKeys([*texts, 1]).hashes[:-1]
    assert ItemKeys(texts).hashes.tolist() == mixed.tolist()
    assert min(ItemKeys(texts).hashes.tolist()) >= 0


@given(st.lists(st.integers(-(10**6), 10**30), min_size=1, unique=True))
def test_so_have_integers(numbers: list[int]) -> None:
    assert ItemKeys(numbers).hashes.tolist() == ItemKeys([*numbers, "x"]).hashes[:-1].tolist()


def test_the_digest_tells_lists_apart_however_they_are_cut() -> None:
    lists: list[list[Any]] = [
        *(["ab", "c"], ["a", "bc"], ["abc"], ["a\0b", "c"], ["a", "b\0c"]),
        *(["1", "2"], [1, 2], [2, 1], [1.0, 2.0], [12]),
    ]
    digests = [ItemKeys(keys).digest for keys in lists]
    assert len(set(digests)) == len(lists)
    for keys, digest in zip(lists, digests, strict=True):
        again = ItemKeys(keys)
        assert again.hashes.size == len(keys)  # asked for first
        assert again.digest == digest


def test_hashes_are_the_same_in_every_run() -> None:
    """They are in saved states: 63 bits of BLAKE2b of the JSON."""
    assert ItemKeys(["ant", "bee"]).hashes.tolist() == [HASHES["ant"], HASHES["bee"]]
    assert ItemKeys([{"b": 1, "a": [2]}, None]).hashes.tolist() == [HASHES["dict"], HASHES["none"]]
    assert ItemKeys(range(3)).hashes.tolist() == ItemKeys([0, 1, 2]).hashes.tolist()


def _of_text(text: str) -> int:
    import hashlib

    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


HASHES = {
    name: _of_text(text)
    for name, text in {
        "ant": '"ant"',
        "bee": '"bee"',
        "dict": '{"a": [2], "b": 1}',
        "none": "null",
    }.items()
}


def test_items_of_another_order_are_other_configurations() -> None:
    for one, other in itertools.combinations([WORDS, WORDS[::-1], WORDS[:3]], 2):
        assert ItemsGenerator.Config(items=one) != ItemsGenerator.Config(items=other)
    assert ItemsGenerator.Config(items=WORDS) == ItemsGenerator.Config(items=tuple(WORDS))


def test_a_data_set_that_raises_no_index_error_is_read_once() -> None:
    class Endless:
        def __len__(self) -> int:
            return 5

        def __getitem__(self, place: int) -> str:
            return f"prompt {place}"

    for key in (None, lambda item: item):
        curriculum = Curriculum.from_items(
            Endless(), key=key, algorithm_config=LearningProgressConfig(use_shared_memory=False)
        )
        assert sorted(task.item for task in curriculum.get_tasks(5, distinct=True)) == [
            f"prompt {place}" for place in range(5)
        ]


def test_pandas_is_refused_with_the_way_out() -> None:
    """Of a series that was shuffled, [i] is not the item at i."""
    pandas = pytest.importorskip("pandas")
    for items in (pandas.Series(list("abc"), index=[2, 1, 0]), pandas.DataFrame({"a": [1, 2]})):
        with pytest.raises(ValueError, match=r"of pandas is no list: give series.tolist\(\)"):
            Curriculum.from_items(items)
