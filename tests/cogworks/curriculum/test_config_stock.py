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
    config_stock,
    merge,
    single_task,
)
from metta.cogworks.curriculum.config_stock import MAX_EQUAL, ConfigStock


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


def widths(*values: int) -> ConfigStock:
    return ConfigStock(bucketed(Maze(), {"width": list(values)}).create())


def ids_of(stock_or_generator: Any, count: int = 200) -> dict[Any, list[int]]:
    """Task ids by variant."""
    generator = getattr(stock_or_generator, "_generator", stock_or_generator)
    found: dict[Any, list[int]] = {}
    for task_id in range(count):
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
    assert (
        len({generator.get_task(task_id).model_dump_json() for task_id in range(200)}) == variants
    )


def test_the_label_is_part_of_the_variant() -> None:
    class Labelled(Maze):
        label: str = ""

    config = merge([SingleTaskGenerator.Config(env=Labelled(), label=name) for name in "ab"])
    assert isinstance(config, TaskGeneratorSet.Config)
    assert len(ids_of(config.create())) == 2


def test_a_variant_is_known_without_building_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = bucketed(Maze(), {"width": [1, 2]}).create()
    monkeypatch.setattr(generator, "_build", None)
    assert len(ids_of(generator)) == 2


# The stock
# --------------------------------------------------------------------------------------------------


def test_a_configuration_that_came_back_serves_the_next_task_of_its_variant() -> None:
    stock = widths(1, 2)
    (first, second, *_), (other, *_) = ids_of(stock).values()
    loan = stock.lend(first)
    identity = id(loan[0])
    stock.take_back(loan)
    del loan
    assert len(stock) == 1
    assert id(stock.lend(other)[0]) != identity
    again = stock.lend(second)
    assert id(again[0]) == identity
    assert again[0] == stock._generator.get_task(second)
    assert len(stock) == 0


def test_no_two_loans_share_an_object() -> None:
    stock = widths(1)
    for task_id in range(3):
        stock.take_back(stock.lend(task_id))
    loans = [stock.lend(task_id) for task_id in range(3)]
    assert len({id(config) for config, _ in loans}) == 3
    assert len({id(config.objects) for config, _ in loans}) == 3


def test_what_somebody_still_holds_is_not_kept() -> None:
    stock = widths(1)
    loan = stock.lend(0)
    held = loan[0]
    stock.take_back(loan)
    assert len(stock) == 0
    assert stock.lend(0)[0] is not held
    del held
    stock.take_back(loan)
    assert len(stock) == 1


def test_of_each_variant_a_few_are_kept() -> None:
    stock = ConfigStock(bucketed(Maze(), {"width": [1, 2]}).create(), max_equal=2)
    loans = [stock.lend(task_id) for task_id in range(100)]
    while loans:
        stock.take_back(loans.pop())
    assert len(stock) == 4


def test_when_there_are_too_many_variants_all_are_let_go() -> None:
    stock = ConfigStock(Numbered.Config().create(), max_variants=3)
    kept = []
    for task_id in range(8):
        stock.take_back(stock.lend(task_id))
        kept.append(len(stock))
    assert kept == [1, 2, 3, 1, 2, 3, 1, 2]
    before = stock.lend(7)
    for task_id in range(10, 16):
        stock.take_back(stock.lend(task_id))
    stock.take_back(before)  # lent by a stock that has begun anew since
    assert len(stock) <= 3


def test_task_ids_are_forgotten_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_stock, "MAX_REMEMBERED", 10)
    stock = widths(1)
    for task_id in range(100):
        stock.take_back(stock.lend(task_id))
        assert len(stock._free_of_task) <= 10
        assert len(stock) == 1


def test_a_variant_of_which_all_are_lent_stays_known() -> None:
    stock = widths(1)
    stock.take_back(stock.lend(0))
    first = stock.lend(0)
    assert len(stock) == 0
    second = stock.lend(0)
    assert first[0] is not second[0]
    stock.take_back(second)
    assert len(stock) == 1


def test_a_refused_task_id_leaves_the_stock_as_it_was() -> None:
    stock = widths(1)
    stock.take_back(stock.lend(0))
    with pytest.raises(ValueError, match="task id -1 is not valid"):
        stock.lend(-1)
    assert len(stock) == 1


def test_a_fork_gets_a_stock_of_its_own() -> None:
    stock = widths(1)
    stock.take_back(stock.lend(0))
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()

    def child() -> None:
        config, _ = stock.lend(0)
        there.send((len(stock), config.width))

    process = context.Process(target=child)
    process.start()
    assert here.poll(60)
    assert here.recv() == (0, 1)
    process.join(60)
    assert process.exitcode == 0
    assert len(stock) == 1


def test_threads_never_get_the_same_object_at_once() -> None:
    stock = ConfigStock(bucketed(Maze(), {"width": [1, 2, 3, 4]}).create(), max_variants=3)
    in_use: Counter[int] = Counter()
    guard = threading.Lock()
    errors: list[str] = []

    def play(offset: int) -> None:
        for task_id in range(offset, offset + 3000):
            loan = stock.lend(task_id)
            with guard:
                in_use[id(loan[0])] += 1
                if in_use[id(loan[0])] > 1:
                    errors.append(f"task {task_id} got a configuration that is in use")
                if loan[0] != stock._generator.get_task(task_id):
                    errors.append(f"task {task_id} got the configuration of another")
            with guard:
                in_use[id(loan[0])] -= 1
            stock.take_back(loan)

    threads = [threading.Thread(target=play, args=(1000 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not errors
    assert len(stock) <= 3 * (MAX_EQUAL + 8)  # each of the threads may find room for one
