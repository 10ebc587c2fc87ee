"""Configurations that are used again: for equal tasks only, by one environment at a time, and a
bounded number."""

import multiprocessing
import threading
from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel, Field

from metta.cogworks.curriculum import (
    BucketedTaskGenerator,
    SingleTaskGenerator,
    Span,
    TaskGenerator,
    TaskGeneratorConfig,
    TaskGeneratorSet,
    bucketed,
    merge,
    single_task,
)
from metta.cogworks.curriculum.tasks import config_cache
from metta.cogworks.curriculum.tasks.config_cache import MAX_EQUAL, ConfigCache


class Maze(BaseModel):
    width: int = 5
    height: float = 1.0
    objects: dict[str, int] = Field(default_factory=dict)


class Numbered(TaskGenerator[Any]):
    """A generator of a user's: what its tasks have in common is not known."""

    class Config(TaskGeneratorConfig):
        pass

    def _generate_task(self, task_id: int, rng: Any) -> Maze:
        return Maze(width=task_id)


class Relabelled(BucketedTaskGenerator[Any]):
    """A subclass that makes more of the task id than its buckets do."""

    class Config(BucketedTaskGenerator.Config):
        pass

    def _generate_task(self, task_id: int, rng: Any) -> Any:
        task = super()._generate_task(task_id, rng)
        task.objects["number"] = task_id
        return task


def often(*widths: int) -> TaskGenerator[Any]:
    """A family that is drawn at random, and of which hardly any task is none of these."""
    rest = bucketed(Maze(), {"height": Span(0.0, 1.0)})
    config = merge([bucketed(Maze(), {"width": list(widths)}), rest], weights=[1, 1e-9])
    return config.create()


def cache_of(*widths: int) -> ConfigCache:
    return ConfigCache(often(*widths))


def ids_of(generator: TaskGenerator[Any], count: int = 200) -> dict[Any, list[int]]:
    """Task ids by variant."""
    found: dict[Any, list[int]] = {}
    for task_id in range(min(count, generator.num_variants or count)):
        found.setdefault(generator.variant(task_id), []).append(task_id)
    return found


# Variants
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "variants"),
    [
        (single_task(Maze()), 1),
        (bucketed(Maze(), {"width": [1, 2, 3]}), 3),
        (bucketed(Maze(), {"width": [1, 2, 3], "height": [0.5, 1.5]}), 6),
        (bucketed(bucketed(Maze(), {"width": [1, 2, 3]}), {"height": [0.5, 1.5]}), 6),
        (bucketed(Maze(), {"width": [Span(1, 4), 9]}), 5),
        (merge([Maze(), bucketed(Maze(), {"width": [1, 2]})]), 3),
        (bucketed(merge([Maze(), Maze(height=2.0)]), {"width": [1, 2]}), 4),
        (bucketed(Maze(), {"height": Span(0.0, 1.0)}), 200),  # a real number hardly occurs twice
        (Numbered.Config(), 200),
        (bucketed(Numbered.Config(), {"height": [0.5]}), 200),
        (
            Relabelled.Config(
                child_generator_config=single_task(Maze()), buckets={"width": [1, 2]}
            ),
            200,
        ),
    ],
)
def test_there_are_as_many_variants_as_different_configurations(
    config: TaskGeneratorConfig, variants: int
) -> None:
    generator = config.create()
    by_variant = ids_of(generator)
    assert len(by_variant) == variants
    for ids in by_variant.values():
        assert len({generator.get_task(task_id).model_dump_json() for task_id in ids}) == 1
    tasks = [generator.get_task(ids[0]).model_dump_json() for ids in by_variant.values()]
    assert len(set(tasks)) == variants


def test_the_label_is_part_of_the_variant() -> None:
    class Labelled(Maze):
        label: str = ""

    config = merge([SingleTaskGenerator.Config(env=Labelled(), label=name) for name in "ab"])
    assert isinstance(config, TaskGeneratorSet.Config)
    assert len(ids_of(config.create())) == 2


def test_a_variant_is_known_without_building_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = bucketed(Maze(), {"width": [1, 2]}).create()
    monkeypatch.setattr(generator.node, "build", None)
    assert len(ids_of(generator)) == 2


# The cache
# --------------------------------------------------------------------------------------------------


def test_a_configuration_that_came_back_serves_the_next_task_of_its_variant() -> None:
    generator = often(1, 2)
    cache = ConfigCache(generator)
    (first, second, *_), (other, *_) = ids_of(generator).values()
    lease = cache.acquire(first)
    identity = id(lease[0])
    cache.release(lease)
    del lease
    assert len(cache) == 1
    assert id(cache.acquire(other)[0]) != identity
    again = cache.acquire(second)
    assert id(again[0]) == identity
    assert again[0] == generator.get_task(second)
    assert len(cache) == 0


def test_no_two_leases_share_an_object() -> None:
    cache = cache_of(1)
    for task_id in range(3):
        cache.release(cache.acquire(task_id))
    leases = [cache.acquire(task_id) for task_id in range(3)]
    assert len({id(config) for config, _ in leases}) == 3
    assert len({id(config.objects) for config, _ in leases}) == 3


def test_what_somebody_still_holds_is_not_kept() -> None:
    cache = cache_of(1)
    lease = cache.acquire(0)
    held = lease[0]
    cache.release(lease)
    assert len(cache) == 0
    assert cache.acquire(0)[0] is not held
    del held
    cache.release(lease)
    assert len(cache) == 1


def test_of_each_variant_a_few_are_kept() -> None:
    cache = ConfigCache(often(1, 2), max_equal=2)
    leases = [cache.acquire(task_id) for task_id in range(100)]
    while leases:
        cache.release(leases.pop())
    assert len(cache) == 4


def test_when_there_are_too_many_variants_all_are_let_go() -> None:
    cache = ConfigCache(Numbered.Config().create(), max_variants=3)
    kept = []
    for task_id in range(8):
        cache.release(cache.acquire(task_id))
        kept.append(len(cache))
    assert kept == [1, 2, 3, 1, 2, 3, 1, 2]
    before = cache.acquire(7)
    for task_id in range(10, 16):
        cache.release(cache.acquire(task_id))
    cache.release(before)  # handed out by a cache that has begun anew since
    assert len(cache) <= 3


def test_task_ids_are_forgotten_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_cache, "MAX_REMEMBERED", 10)
    cache = cache_of(1)
    for task_id in range(100):
        cache.release(cache.acquire(task_id))
        assert len(cache._free_of_task) <= 10
        assert len(cache) == 1


def test_a_variant_of_which_all_are_in_use_stays_known() -> None:
    cache = cache_of(1)
    cache.release(cache.acquire(0))
    first = cache.acquire(0)
    assert len(cache) == 0
    second = cache.acquire(0)
    assert first[0] is not second[0]
    cache.release(second)
    assert len(cache) == 1


def test_a_refused_task_id_leaves_the_cache_as_it_was() -> None:
    cache = cache_of(1)
    cache.release(cache.acquire(0))
    with pytest.raises(ValueError, match="task id -1 is not valid"):
        cache.acquire(-1)
    assert len(cache) == 1


def test_a_fork_gets_a_cache_of_its_own() -> None:
    cache = cache_of(1)
    cache.release(cache.acquire(0))
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()

    def child() -> None:
        config, _ = cache.acquire(0)
        there.send((len(cache), config.width))

    process = context.Process(target=child)
    process.start()
    assert here.poll(60)
    assert here.recv() == (0, 1)
    process.join(60)
    assert process.exitcode == 0
    assert len(cache) == 1


def test_threads_never_get_the_same_object_at_once() -> None:
    generator = often(1, 2, 3, 4)
    cache = ConfigCache(generator, max_variants=3)
    in_use: Counter[int] = Counter()
    guard = threading.Lock()
    errors: list[str] = []

    def play(offset: int) -> None:
        for task_id in range(offset, offset + 3000):
            lease = cache.acquire(task_id)
            with guard:
                in_use[id(lease[0])] += 1
                if in_use[id(lease[0])] > 1:
                    errors.append(f"task {task_id} got a configuration that is in use")
                if lease[0] != generator.get_task(task_id):
                    errors.append(f"task {task_id} got the configuration of another")
            with guard:
                in_use[id(lease[0])] -= 1
            cache.release(lease)

    threads = [threading.Thread(target=play, args=(1000 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not errors
    assert len(cache) <= 3 * (MAX_EQUAL + 8)  # each of the threads may find room for one
