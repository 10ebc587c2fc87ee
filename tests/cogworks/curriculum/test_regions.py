"""Families that are larger than their pool: it keeps a row per region, and what comes of any task
of the region is known of all of them."""

import itertools
import json
import logging
import math
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import run_all

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    DiscreteRandomConfig,
    LearningProgressConfig,
    SessionMismatchError,
    Span,
    TaskGeneratorConfig,
    bucketed,
    merge,
)
from metta.cogworks.curriculum.pool.checks import pool_faults
from metta.cogworks.curriculum.sessions import new_session_id
from metta.cogworks.curriculum.tasks.regions import (
    DRAWS_PER_MEMBER,
    LEAST_MEMBERS,
    LEAST_REGIONS,
    MEMBERS,
    Regions,
    grid_of,
)
from metta.cogworks.curriculum.tasks.settings import Grid
from tests.cogworks.curriculum.generator_examples import MinimalGenerator, Room

DENSITY, PLANTS, HIGH, LOW = "game.density", "game.num_plants", "game.high", "game.low"
HEART = "game.agent.rewards.heart"
UNIT = Span(0.0, 1.0)
PLANE = {DENSITY: UNIT, "game.anything": UNIT}
FAMILIES: dict[str, tuple[TaskGeneratorConfig, int]] = {
    # family, regions of at most 64
    "one real number": (bucketed(Room(), {DENSITY: UNIT}), 64),
    "two real numbers": (bucketed(Room(), PLANE), 8 * 8),
    "three real numbers": (
        bucketed(Room(), {**PLANE, HEART: UNIT}),
        4 * 4 * 4,
    ),
    "a list, and a real number": (bucketed(Room(), {PLANTS: [1, 2, 3], DENSITY: UNIT}), 3 * 21),
    "five, of which the first is cut once more": (
        bucketed(Room(), {**PLANE, HEART: UNIT, HIGH: Span(0, 99), PLANTS: Span(0, 99)}),
        3 * 2 * 2 * 2 * 2,
    ),
    "whole numbers that are too many": (bucketed(Room(), {HIGH: Span(0, 999)}), 64),
    "values and spans of one field": (
        bucketed(Room(), {HIGH: [1, 3, Span(10, 19), Span(50, 999)]}),
        2 + 10 + 52,
    ),
    "a list that is too long": (bucketed(Room(), {HIGH: list(range(1000))}), 64),
    "lists whose product is too large": (
        bucketed(Room(), {HIGH: list(range(50)), LOW: [1, 2, 3], PLANTS: list(range(9))}),
        5 * 3 * 4,  # 5 · 3 · 5 would be more
    ),
    "a set": (
        merge([bucketed(Room(), {DENSITY: UNIT}), bucketed(Room(), PLANE)], weights=[1, 3]),
        8 + 8 * 7,
    ),
    "a bucket around another": (
        bucketed(bucketed(Room(), {DENSITY: UNIT}), {PLANTS: Span(1, 5), HIGH: Span(0, 10**12)}),
        4 * 4 * 4,
    ),
}


def config(family: Any, tasks: int = 64, **fields: Any) -> CurriculumConfig:
    hypers = {"use_shared_memory": False, "num_active_tasks": tasks, **fields}
    return CurriculumConfig(
        task_generator=family, algorithm_config=LearningProgressConfig(**hypers)
    )


def regions_of(family: TaskGeneratorConfig, limit: int = 64) -> Regions:
    generator, num_ids = family.create(), 10**6
    num_ids = generator.num_variants or num_ids
    grid = grid_of(generator, num_ids, limit, limit)
    assert grid is not None
    return Regions(generator, num_ids, grid)


# How a family is cut
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_there_are_as_many_regions_as_the_grid_has(name: str) -> None:
    family, expected = FAMILIES[name]
    generator = family.create()
    grid = grid_of(generator, 10**6, 64, 64)
    assert grid is not None
    assert generator.node.num_regions(grid) == expected
    keys: list[Any] = [generator.variant(i) for i in range(min(8000, ids(name)))]
    found = {generator.node.region(key, grid) for key in keys}
    assert len(found) == expected


def ids(name: str) -> int:
    return FAMILIES[name][0].create().num_variants or 10**6


@pytest.mark.parametrize("name", FAMILIES)
def test_shares_sum_to_one_and_are_how_often_ids_lie_there(name: str) -> None:
    """χ² of the regions of 8,000 ids; of a counted family all ids, whose weights are the shares."""
    family, _ = FAMILIES[name]
    generator = family.create()
    grid = grid_of(generator, 10**6, 64, 64)
    assert grid is not None
    node, share = generator.node, {}
    seen: dict[Any, float] = defaultdict(float)
    count = generator.num_variants or 8000
    for task_id in range(count):
        key: Any = generator.variant(task_id)
        region = node.region(key, grid)
        share.setdefault(region, node.region_share(key, grid))
        assert share[region] == node.region_share(key, grid)
        seen[region] += generator.sampling_weight(task_id)
    assert sum(share.values()) == pytest.approx(1.0)
    if generator.num_variants is not None:
        assert {r: n / count for r, n in seen.items()} == pytest.approx(share)
        return
    chi_square = sum((seen[r] - p * count) ** 2 / (p * count) for r, p in share.items())
    freedom = len(share) - 1
    assert abs(chi_square - freedom) < 4 * math.sqrt(2 * freedom)


@pytest.mark.parametrize(
    ("span", "grid"),
    list(
        itertools.product(
            [Span(0, 9), Span(-3, 3), Span(0, 10**20), Span(5, 6)],
            [Grid(4, 0, False), Grid(6, 1, True)],
        )
    ),
)
def test_whole_numbers_are_cut_into_parts_that_differ_by_one_at_most(
    span: Span, grid: Grid
) -> None:
    generator = bucketed(Room(), {"game.anything": span}).create()
    count, parts = int(span.max) - int(span.min) + 1, grid.bins + grid.extra
    cells = [value * min(parts, count) // count for value in range(min(count, 100))]
    sizes = Counter(cells) if count <= 100 else {}
    shares: dict[Any, float] = {}
    for task_id in range(400):
        key: Any = generator.variant(task_id)
        (_, cell) = generator.node.region(key, grid)[1]
        value = generator.get_bucket_values(task_id)["game.anything"]
        assert cell == (value - int(span.min)) * min(parts, count) // count
        shares[cell] = generator.node.region_share(key, grid)
    assert len(shares) == min(parts, count)
    assert sum(shares.values()) == pytest.approx(1.0)
    for cell, size in sizes.items():
        assert shares[cell] == pytest.approx(size / count)


def test_lists_are_whole_as_long_as_they_fit_and_then_grouped_in_their_order() -> None:
    values = [7, 3, 9, 1, 5, 100, 2, 4]
    family = bucketed(Room(), {HIGH: values, DENSITY: UNIT})
    whole, grouped = regions_of(family, 17).grid, Grid(3, 0, True)
    assert whole == Grid(2, 0, False)
    generator = family.create()
    group: dict[int, set[Any]] = {}
    for task_id in range(500):
        key: Any = generator.variant(task_id)
        value = generator.get_bucket_values(task_id)[HIGH]
        group.setdefault(generator.node.region(key, grouped)[1], set()).add(value)
    assert group == {0: {7, 3, 9}, 1: {1, 5, 100}, 2: {2, 4}}


@pytest.mark.parametrize(
    ("family", "tasks"),
    [
        (bucketed(Room(), {HIGH: list(range(64))}), 64),
        (bucketed(Room(), {HIGH: Span(1, 64)}), 64),  # as many, though they are not counted
        (bucketed(Room(), {DENSITY: UNIT}), LEAST_REGIONS - 1),
        (MinimalGenerator.Config(), 64),  # a user's own
        (merge([MinimalGenerator.Config(), bucketed(Room(), {DENSITY: UNIT})]), 64),
        (Room(), 64),
    ],
)
def test_what_fits_or_tells_nothing_is_not_cut_and_goes_on_as_before(
    family: Any, tasks: int
) -> None:
    family = family if isinstance(family, TaskGeneratorConfig) else bucketed(family, {LOW: [1]})
    pools = [config(family, tasks, max_regions=most).make() for most in (256, 0)]
    played = []
    for pool in pools:
        drawn = []
        for k in range(300):
            task = pool.get_task()
            task.complete((k * 7 % 10) / 10)
            drawn.append(task.task_id)
        played.append(drawn)
    assert played[0] == played[1]
    states = [pool.get_state() for pool in pools]
    assert states[0]["identity"] == states[1]["identity"]
    assert "regions" not in json.loads(states[0]["identity"])
    rows = [state["algorithm"]["tracker"]["rows"] for state in states]
    clock = states[0]["algorithm"]["tracker"]["columns"].index("creation_time")
    assert np.array_equal(np.delete(rows[0], clock, 1), np.delete(rows[1], clock, 1))


def test_few_ids_are_not_cut() -> None:
    hypers = LearningProgressConfig(use_shared_memory=False, num_active_tasks=64)
    family = bucketed(Room(), {DENSITY: UNIT})
    curriculum = CurriculumConfig(
        task_generator=family, algorithm_config=hypers, max_task_id=60
    ).make()
    assert sorted(curriculum.probabilities()) == list(range(60))


def test_uniform_sampling_knows_no_regions() -> None:
    hypers = DiscreteRandomConfig(use_shared_memory=False, num_active_tasks=64)
    family = bucketed(Room(), {DENSITY: UNIT})
    curriculum = CurriculumConfig(task_generator=family, algorithm_config=hypers).make()
    drawn = {task.task_id for task in curriculum.get_tasks(2000)}
    assert drawn == set(curriculum.probabilities())


@given(
    task_id=st.integers(0, 2**53 - 1),
    limit=st.integers(2 * LEAST_REGIONS, 100),
    name=st.sampled_from([name for name in FAMILIES if "list" not in name]),
)
@settings(max_examples=40, deadline=None)
def test_every_id_is_of_the_region_of_its_representative(
    task_id: int, limit: int, name: str
) -> None:
    family, _ = FAMILIES[name]
    generator = family.create()
    grid = grid_of(generator, 2**53, limit, limit)
    assert grid is not None
    count = generator.node.num_regions(grid)
    assert count is not None
    assert count <= limit
    regions = Regions(generator, 2**53, grid)
    named = regions.representative(task_id)
    assert regions.representative(named) == named
    region: Any = generator.node.region

    def of(some_id: int) -> Any:
        return region(generator.variant(some_id), grid)

    assert of(named) == of(task_id)
    assert named == task_id or named in regions.representatives
    assert all(of(member) == of(named) for member in regions.members(named, 0))


# Which tasks are played
# --------------------------------------------------------------------------------------------------


def test_members_are_consecutive_ids_which_move_on_with_the_draws() -> None:
    regions, fresh = (regions_of(FAMILIES["two real numbers"][0]) for _ in range(2))

    def all_members(of: Regions, draw: int) -> list[int]:
        return sorted(i for named in of.representatives for i in of.members(named, draw))

    width = max(LEAST_MEMBERS, MEMBERS * len(regions))
    assert all_members(regions, 0) == list(range(width))
    assert all_members(regions, DRAWS_PER_MEMBER - 1) == list(range(width))
    assert all_members(regions, 5 * DRAWS_PER_MEMBER) == list(range(5, 5 + width))
    for draw in (7, 10**5, 10**5 + 64, 10**9, 3):  # also back, to a state that was saved
        for named in regions.representatives:
            assert regions.members(named, draw) == fresh.members(named, draw)


def test_of_a_family_with_few_ids_all_are_played() -> None:
    regions = regions_of(FAMILIES["a list that is too long"][0])
    for draw in (0, 10**6):
        found = [i for named in regions.representatives for i in regions.members(named, draw)]
        assert sorted(found) == list(range(1000))


def test_the_ids_begin_again_where_they_end() -> None:
    family = bucketed(Room(), {HIGH: list(range(100)), "game.anything": list(range(100))})
    regions = regions_of(family)
    draw = (10_000 - 10) * DRAWS_PER_MEMBER
    found = [i for named in regions.representatives for i in regions.members(named, draw)]
    assert sorted(found) == [*range(LEAST_MEMBERS - 10), *range(9990, 10_000)]


def test_regions_and_their_members_are_drawn_as_told() -> None:
    """χ² of 30,000 draws: over regions by `probabilities`, and equally within one."""
    curriculum = config(FAMILIES["a set"][0], rand_task_rate=1.0).make()
    expected = curriculum.probabilities()
    regions = regions_of(FAMILIES["a set"][0])
    drawn = [task.task_id for task in curriculum.get_tasks(30_000)]
    seen = Counter(map(regions.representative, drawn))
    chi_square = sum((seen[i] - 30_000 * p) ** 2 / (30_000 * p) for i, p in expected.items())
    freedom = len(expected) - 1
    assert abs(chi_square - freedom) < 4 * math.sqrt(2 * freedom)
    named = max(expected, key=expected.__getitem__)
    among = Counter(i for i in drawn if regions.representative(i) == named)
    members = regions.members(named, 0)
    mean = seen[named] / len(members)
    chi_square = sum((among[i] - mean) ** 2 / mean for i in members)
    assert abs(chi_square - len(members)) < 4 * math.sqrt(2 * len(members))


def test_the_uniform_share_draws_regions_as_the_family_does() -> None:
    """Of Span(0, 9) in 16 regions with a list of two, each whole number has a tenth."""
    family = bucketed(Room(), {HIGH: Span(0, 40), DENSITY: UNIT})
    curriculum = config(family, 16, rand_task_rate=1.0).make()
    found = curriculum.probabilities()
    cells: Counter[tuple[int, int]] = Counter()
    for task_id, p in found.items():
        values = curriculum.bucket_values_of(task_id)
        cells[values[HIGH] * 4 // 41, int(values[DENSITY] * 4)] += p  # type: ignore[call-overload]
    sizes = Counter(value * 4 // 41 for value in range(41))
    assert cells == pytest.approx({(a, b): sizes[a] / 41 / 4 for a in range(4) for b in range(4)})


# The pool
# --------------------------------------------------------------------------------------------------

PLANE_FAMILY = FAMILIES["two real numbers"][0]


def region_of(curriculum: Curriculum, task_id: int) -> tuple[int, ...]:
    """Of the plane, cut into 8 by 8."""
    return tuple(min(int(8 * x), 7) for x in curriculum.bucket_values_of(task_id).values())


def check(curriculum: Curriculum) -> None:
    with curriculum.table as table:
        assert pool_faults(table) == []


def test_every_region_has_a_row_from_the_start_and_keeps_it() -> None:
    curriculum = config(PLANE_FAMILY, 100).make()
    assert len(curriculum.probabilities()) == 100  # 10 by 10
    for _ in range(3000):
        curriculum.get_task().complete(0.0)  # nothing to be learned
    stats = curriculum.stats()
    assert (stats["num_active_tasks"], stats["num_evicted"], stats["num_created"]) == (100, 0, 100)
    assert stats["late_completions"] == 0
    check(curriculum)


def test_a_completion_of_any_task_is_credited_to_its_region() -> None:
    curriculum = config(PLANE_FAMILY).make()
    expected: Counter[tuple[int, ...]] = Counter()
    drawn = curriculum.get_tasks(500)
    ids = [task.task_id for task in drawn] + [999_999, 5000, 77]  # also those that were not drawn
    curriculum.update_tasks(ids, [0.5] * len(ids))
    for task_id in ids:
        expected[region_of(curriculum, task_id)] += 1
    for named in curriculum.probabilities():
        state = curriculum.state_of(named)
        assert state is not None
        assert state.completion_count == expected[region_of(curriculum, named)]
    assert curriculum.stats()["num_completed"] == len(ids)
    assert curriculum.stats()["num_in_flight"] == 0


def test_a_task_is_itself_and_its_numbers_are_its_regions() -> None:
    curriculum = config(PLANE_FAMILY).make()
    task = next(t for t in curriculum.get_tasks(50) if t.task_id not in curriculum.probabilities())
    values = task.get_bucket_values()
    built = task.get_env_cfg()
    assert (built.game.density, built.game.anything) == tuple(values.values())
    task.complete(0.25)
    (named,) = [
        i
        for i in curriculum.probabilities()
        if region_of(curriculum, i) == region_of(curriculum, task.task_id)
    ]
    assert task.state == curriculum.state_of(named)
    assert task.state is not None
    assert task.state.total_score == 0.25
    both = curriculum.probabilities([task.task_id, named])
    assert both[task.task_id] == both[named] == curriculum.probabilities()[named]
    why = curriculum.explain(task.task_id)
    assert why == replace(curriculum.explain(named), asked=task.task_id)
    assert f"task {named}, which stands for the region of task {task.task_id} (" in str(why)
    assert (why.in_pool, why.completions, why.may_be_evicted) == (True, 1, False)


def test_an_episode_without_a_score_is_no_longer_in_flight() -> None:
    curriculum = config(PLANE_FAMILY).make()
    task = curriculum.get_task()
    assert curriculum.explain(task.task_id).in_flight == 1
    curriculum.count_unscored(task.task_id, math.nan)
    assert curriculum.explain(task.task_id).in_flight == 0
    assert curriculum.stats()["num_unscored"] == 1


def test_slices_are_those_of_the_regions() -> None:
    family = bucketed(Room(), {PLANTS: [1, 2], DENSITY: UNIT})
    curriculum = config(family, 32, enable_detailed_slice_logging=True).make()
    plants: Counter[int] = Counter()
    for task in curriculum.get_tasks(400):
        task.complete(0.5)
        plants[task.get_bucket_values()[PLANTS]] += 1
    stats = {k: v for k, v in curriculum.stats().items() if "slice" in k and "count" in k}
    for value, count in plants.items():
        (name,) = [name for name in stats if f"{PLANTS}_{value}" in name]
        assert stats[name] == count
    # 16 intervals of the span, four in each of the four that statistics tell apart
    assert sum(f"{DENSITY}=[" in name for name in stats) == 4


def test_configurations_are_played_again() -> None:
    curriculum = config(FAMILIES["a list that is too long"][0]).make()
    assert curriculum.configs is not None
    task = curriculum.get_task()
    lease = curriculum.configs.acquire(task.task_id)
    assert lease[0].game.high == task.get_bucket_values()[HIGH]
    del task
    first = id(lease[0])
    task_id = next(
        t.task_id for t in curriculum.get_tasks(5000) if curriculum.build(t.task_id) == lease[0]
    )
    curriculum.configs.release(lease)
    del lease
    assert id(curriculum.configs.acquire(task_id)[0]) == first


# Tasks that cannot be played
# --------------------------------------------------------------------------------------------------


def test_a_task_that_cannot_be_built_is_played_no_more_but_its_region_is(caplog) -> None:
    curriculum = config(PLANE_FAMILY).make()
    gone = set()
    with caplog.at_level(logging.WARNING):
        for task in curriculum.get_tasks(20):
            curriculum.retire_task(task.task_id, "no room")
            gone.add(task.task_id)
    assert f"is invalid and was replaced (invalid so far: {len(gone) // 16 * 16}" in caplog.text
    stats = curriculum.stats()
    assert (stats["num_invalid"], stats["num_active_tasks"]) == (len(gone), 64)
    assert stats["num_in_flight"] == 20 - len(gone)
    assert gone.isdisjoint(task.task_id for task in curriculum.get_tasks(20_000))
    curriculum.retire_task(next(iter(gone)), "once more")
    assert curriculum.stats()["num_invalid"] == len(gone)
    check(curriculum)


def test_a_region_leaves_with_its_last_task() -> None:
    curriculum = config(FAMILIES["a list that is too long"][0]).make()  # 15 or 16 in each
    regions = regions_of(FAMILIES["a list that is too long"][0])
    named = regions.representatives[5]
    members = regions.members(named, 0)
    curriculum.update_task_performance(members[0], 0.5)  # so that it was played
    for task_id in members[:-1]:
        curriculum.retire_task(task_id, "no room")
        assert named in curriculum.probabilities()
    curriculum.retire_task(members[-1], "no room")
    assert named not in curriculum.probabilities()
    assert len(curriculum.probabilities()) == 63
    assert curriculum.stats()["num_invalid"] == len(members)
    assert curriculum.state_of(members[3]) is None
    assert not curriculum.explain(members[3]).in_pool
    curriculum.update_task_performance(members[3], 1.0)
    assert curriculum.stats()["late_completions"] == 1
    check(curriculum)
    again = config(FAMILIES["a list that is too long"][0]).make()
    again.load_state(curriculum.get_state())
    assert again.probabilities() == curriculum.probabilities()


def test_a_region_of_which_nothing_can_be_built_leaves_soon() -> None:
    """Though the table does not remember all of its tasks, and none is left of the others'."""
    curriculum = config(PLANE_FAMILY).make()
    tries = 0
    for _ in range(20_000):
        task = curriculum.get_task()
        if region_of(curriculum, task.task_id)[0] < 4:
            curriculum.retire_task(task.task_id, "half of the plane")
            tries += 1
        else:
            task.complete(0.5)
    assert len(curriculum.probabilities()) == 32
    assert tries <= 32 * (MEMBERS + 1)
    check(curriculum)


def test_when_nothing_can_be_built_it_is_said() -> None:
    curriculum = config(bucketed(Room(), {DENSITY: UNIT}), 16).make()

    def retire_all() -> None:
        for _ in range(16 * (MEMBERS + 2)):
            curriculum.retire_task(curriculum.get_task().task_id, "no room")

    told = r"all \d+ tasks of the curriculum are invalid.*no room"
    with pytest.raises(RuntimeError, match=told):
        retire_all()
    with pytest.raises(RuntimeError, match="the pool is empty"):
        curriculum.get_task()


# Saved, shared, changed
# --------------------------------------------------------------------------------------------------


def play(curriculum: Curriculum, episodes: int) -> list[int]:
    drawn = []
    for k in range(episodes):
        task = curriculum.get_task()
        task.complete((task.task_id + k) % 5 / 4)
        drawn.append(task.task_id)
    return drawn


def test_a_restored_pool_goes_on_as_the_saved_one_from_every_step() -> None:
    curriculum = config(PLANE_FAMILY)
    saved = curriculum.make()
    play(saved, 200)
    saved.retire_task(saved.get_task().task_id, "no room")
    for _ in range(5):
        restored = curriculum.make()
        restored.load_state(saved.get_state())
        assert play(restored, 150) == play(saved, 150)
        check(restored)


def test_another_seed_draws_other_tasks() -> None:
    one, two = (Curriculum(config(PLANE_FAMILY), seed=seed) for seed in (0, 1))
    assert play(one, 50) != play(two, 50)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_share_the_regions(method: Any) -> None:
    shared = config(PLANE_FAMILY, use_shared_memory=True).with_session(new_session_id())
    with Curriculum(shared) as curriculum:
        before = play(curriculum, 10)
        run_all(method, play_shared, [(shared, 100), (shared, 100)])
        stats = curriculum.stats()
        assert (stats["num_completed"], stats["num_in_flight"]) == (len(before) + 200, 0)
        assert stats["num_active_tasks"] == 64
        check(curriculum)
        alone = config(PLANE_FAMILY).make()
        alone.load_state(curriculum.get_state())
        assert play(alone, 50) == play(curriculum, 50)


def play_shared(shared: CurriculumConfig, episodes: int) -> None:
    with Curriculum(shared) as curriculum:
        play(curriculum, episodes)


def test_a_pool_that_is_cut_otherwise_is_another_pool() -> None:
    state = play_and_save(config(PLANE_FAMILY, 64))
    other = config(PLANE_FAMILY, 100).make()
    before = other.probabilities()
    with pytest.raises(ValueError, match=r"(?s)regions\.bins.*8.*10.*changed_tasks=True"):
        other.load_state(state)
    assert other.probabilities() == before
    with pytest.raises(ValueError, match=r"(?s)another curriculum.*regions"):
        config(PLANE_FAMILY, 1000, max_regions=0).make().load_state(state)


def play_and_save(of: CurriculumConfig) -> dict[str, Any]:
    curriculum = of.make()
    play(curriculum, 400)
    return curriculum.get_state()


def test_a_pool_of_single_tasks_is_not_taken_for_one_of_regions() -> None:
    state = play_and_save(config(PLANE_FAMILY, 1000, max_regions=0))
    with pytest.raises(ValueError, match=r"(?s)another curriculum.*regions.*changed_tasks=True"):
        config(PLANE_FAMILY, 64).make().load_state(state)


def test_sharing_a_pool_that_is_cut_otherwise_is_refused() -> None:
    one = config(PLANE_FAMILY, 64, use_shared_memory=True).with_session(new_session_id())
    assert one.session_id is not None
    other = config(PLANE_FAMILY, 100, use_shared_memory=True).with_session(one.session_id)
    same = config(PLANE_FAMILY, 100, use_shared_memory=True, max_regions=64)
    with Curriculum(one):
        with pytest.raises(SessionMismatchError, match="bins"):
            Curriculum(other)
        Curriculum(same.with_session(one.session_id)).close()


@pytest.mark.parametrize(("before", "after"), [(64, 100), (100, 64), (64, 64)])
def test_with_changed_tasks_a_region_goes_on_where_its_representative_lies(
    before: int, after: int
) -> None:
    old = config(PLANE_FAMILY, before).make()
    play(old, 400)
    new = config(PLANE_FAMILY, after).make()
    new.load_state(old.get_state(), changed_tasks=True)
    ours = regions_of(PLANE_FAMILY, after)
    expected: dict[int, int] = {}
    for named in sorted(old.probabilities()):
        state = old.state_of(named)
        assert state is not None
        expected.setdefault(ours.representative(named), state.completion_count)
    assert len(new.probabilities()) == after
    for named in new.probabilities():
        state = new.state_of(named)
        assert state is not None
        assert state.completion_count == expected.get(named, 0)
    assert new.stats()["num_completed"] == 400
    play(new, 100)
    check(new)


def test_with_changed_tasks_single_tasks_become_regions_and_the_other_way_round() -> None:
    single = config(PLANE_FAMILY, 64, max_regions=0)
    curriculum = config(PLANE_FAMILY, 64).make()
    curriculum.load_state(play_and_save(single), changed_tasks=True)
    assert len(curriculum.probabilities()) == 64
    play(curriculum, 100)
    check(curriculum)
    back = single.make()
    back.load_state(curriculum.get_state(), changed_tasks=True)
    assert sorted(back.probabilities()) == sorted(curriculum.probabilities())
    assert back.stats()["num_completed"] == 500
    check(back)


def test_a_saved_row_that_stands_for_no_region_is_refused() -> None:
    state = play_and_save(config(PLANE_FAMILY))
    pool = state["algorithm"]["tracker"]
    rows = np.array(pool["rows"])
    rows[3, pool["columns"].index("task_id")] = 999_999
    pool["rows"] = rows
    with pytest.raises(ValueError, match="its task 999999 stands for no region"):
        config(PLANE_FAMILY).make().load_state(state)


# -- parts of a family that are rare ---------------------------------------------------------------


def test_a_rare_family_of_a_set_is_drawn_as_often_as_its_weight_says() -> None:
    """Most of its regions have no task among the first ids; the few that have one stand for all.
    The 4,096 ids hold Poisson(41) of the second, which is within a half of its share by 3 standard
    deviations."""
    rare = bucketed(Room(), {"game.anything": UNIT})
    family = merge([bucketed(Room(), {DENSITY: UNIT}), rare], weights=[99, 1])
    with Curriculum(config(family, 1000, rand_task_rate=1.0)) as curriculum:
        share = sum(
            p
            for task_id, p in curriculum.probabilities().items()
            if "game.anything" in curriculum.bucket_values_of(task_id)
        )
    assert 0.005 < share < 0.015


def test_a_retired_task_that_two_environments_play_is_in_flight_no_more() -> None:
    with Curriculum(config(bucketed(Room(), {DENSITY: UNIT}))) as curriculum:
        counts: Counter[int] = Counter()
        while not counts or counts.most_common(1)[0][1] < 2:
            counts[curriculum.get_task().task_id] += 1
        ((task_id, times),) = counts.most_common(1)
        for other, number in counts.items():
            for _ in range(number if other != task_id else 0):
                curriculum.update_task_performance(other, 0.5)
        assert curriculum.stats()["num_in_flight"] == times
        for _ in range(times):
            curriculum.retire_task(task_id, "test")
        assert curriculum.stats()["num_in_flight"] == 0
        assert curriculum.stats()["num_invalid"] == 1


def test_a_region_leaves_when_a_retired_task_is_all_that_is_left_of_it() -> None:
    """Its other tasks are no longer handed out: the ids have moved on."""
    family = merge(
        [bucketed(Room(), {DENSITY: UNIT}), bucketed(Room(), {"game.anything": UNIT})],
        weights=[95, 5],
    )
    with Curriculum(config(family, 256, rand_task_rate=1.0)) as curriculum:
        regions = regions_of(family, 256)
        members = [regions.members(r, 0) for r in regions.representatives]
        second, first = min((ids[1], ids[0]) for ids in members if len(ids) == 2)
        curriculum.retire_task(first, "test")
        with curriculum.table as table:
            while second in regions.members(first, table.header.counters()["draws"]):
                table.samples.draw(1.0)
        assert first in curriculum.probabilities()
        curriculum.retire_task(first, "test")
        assert first not in curriculum.probabilities()
