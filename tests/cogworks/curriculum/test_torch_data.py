"""The batch sampler, in torch's own loader."""

import itertools
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest
from torch.utils.data import DataLoader, Dataset

from metta.cogworks.curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from metta.cogworks.curriculum.torch_data import CurriculumBatchSampler

WORDS = [f"word {i}" for i in range(50)]


class Words(Dataset[tuple[int, str]]):
    """What a user writes: the position goes along, so that the batch can be credited."""

    def __len__(self) -> int:
        return len(WORDS)

    def __getitem__(self, index: int) -> tuple[int, str]:
        return index, WORDS[index]


def over(items: Any = WORDS, **options: Any) -> Curriculum:
    options.setdefault("algorithm_config", LearningProgressConfig(use_shared_memory=False))
    return Curriculum.from_items(items, **options)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_the_batches_that_were_drawn(workers: int) -> None:
    with Curriculum.from_items(WORDS) as curriculum:
        sampler = CurriculumBatchSampler(curriculum, 8, num_batches=6)
        loader = DataLoader(Words(), batch_sampler=sampler, num_workers=workers)
        assert len(loader) == len(sampler) == 6
        for passes in (1, 2):
            seen = 0
            for ids, words in loader:
                assert list(words) == [WORDS[i] for i in ids.tolist()]
                assert len(set(ids.tolist())) == 8
                curriculum.update_tasks(ids, (ids % 5) / 5.0)
                seen += 1
            assert seen == 6
            stats = curriculum.stats()
            assert stats["num_completed"] == stats["num_scheduled"] == passes * 6 * 8
            assert stats["num_in_flight"] == 0


def test_a_loader_with_workers_draws_ahead() -> None:
    curriculum = over()
    sampler = CurriculumBatchSampler(curriculum, 4, num_batches=20)
    loader = DataLoader(Words(), batch_sampler=sampler, num_workers=2, prefetch_factor=3)
    for _, (ids, _) in zip(range(3), loader, strict=False):
        curriculum.update_tasks(ids, [0.5] * 4)
    # 2 * 3 batches ahead of the last one, and one for each that was taken
    assert curriculum.stats()["num_in_flight"] == 4 * 2 * 3


def test_a_pass_has_as_many_draws_as_there_are_items() -> None:
    assert len(CurriculumBatchSampler(over(), 8)) == 7  # of 50
    assert len(CurriculumBatchSampler(over(), 25)) == 2
    plain = CurriculumConfig(
        algorithm_config=LearningProgressConfig(use_shared_memory=False), max_task_id=30
    ).make()
    assert len(CurriculumBatchSampler(plain, 10)) == 3


def test_with_replacement_a_batch_may_be_larger_than_the_pool() -> None:
    curriculum = over(WORDS[:3])
    batch = next(iter(CurriculumBatchSampler(curriculum, 8, distinct=False)))
    assert len(batch) == 8
    with pytest.raises(ValueError, match=r"n=8 distinct tasks .* has 3"):
        next(iter(CurriculumBatchSampler(curriculum, 8)))


def play(curriculum: Curriculum, batches: Iterable[list[int]]) -> list[list[int]]:
    played = []
    for batch in batches:
        curriculum.update_tasks(batch, [(i % 3) / 3 for i in batch])
        played.append(batch)
    return played


@pytest.mark.parametrize("done", range(7))
def test_a_run_goes_on_where_it_was_saved(done: int) -> None:
    first = over()
    sampler = CurriculumBatchSampler(first, 8, num_batches=6)
    batches = iter(sampler)
    play(first, itertools.islice(batches, done))
    saved = first.get_state(), sampler.state_dict()
    expected = play(first, batches)
    assert len(expected) == 6 - done

    second = over()
    resumed = CurriculumBatchSampler(second, 8, num_batches=6)
    second.load_state(saved[0])
    resumed.load_state_dict(saved[1])
    second.forget_in_flight()
    assert play(second, resumed) == expected
    assert resumed.state_dict() == {"batches": 0}
    assert len(play(second, resumed)) == 6  # the next pass is a whole one


def test_a_pass_that_is_broken_off_is_not_gone_on_with() -> None:
    sampler = CurriculumBatchSampler(over(), 8, num_batches=6)
    next(iter(sampler))
    assert sampler.state_dict() == {"batches": 1}
    assert len(list(sampler)) == 6


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: CurriculumBatchSampler("x", 8), TypeError, "curriculum='x' is a str"),  # type: ignore[arg-type]
        (lambda: CurriculumBatchSampler(over(), 0), ValueError, "batch_size=0 is not allowed"),
        (lambda: CurriculumBatchSampler(over(), 2, 0), ValueError, "num_batches=0 is not allowed"),
        (
            lambda: CurriculumBatchSampler(over(), 2, 3, distinct=1),  # type: ignore[arg-type]
            TypeError,
            "distinct=1 is not allowed: give True or False",
        ),
        (
            lambda: CurriculumBatchSampler(over(), 2, 3).load_state_dict({"batches": 4}),
            ValueError,
            "batches=4 is not allowed: give an integer of at most 3",
        ),
        (
            lambda: CurriculumBatchSampler(over(), 2, 3).load_state_dict({}),
            ValueError,
            "is not the state of a batch sampler",
        ),
    ],
)
def test_what_cannot_be_is_refused(make: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_without_torch_it_says_what_to_install() -> None:
    script = """
import sys
sys.modules["torch"] = None
import metta.cogworks.curriculum
try:
    import metta.cogworks.curriculum.torch_data
except ImportError as error:
    assert "pip install torch" in str(error), error
else:
    raise SystemExit("imported")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
