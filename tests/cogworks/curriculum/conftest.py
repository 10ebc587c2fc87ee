"""Fixtures of the curriculum's tests."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from metta.cogworks.curriculum import Curriculum, CurriculumAlgorithmConfig, CurriculumConfig


@pytest.fixture
def session_id() -> str:
    """A session name that nobody else uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def open_curriculum() -> Iterator[Callable[..., Curriculum]]:
    """`Curriculum`, closed when the test ends."""
    opened: list[Curriculum] = []

    def open_(
        config: CurriculumConfig | CurriculumAlgorithmConfig, *args: Any, **kwargs: Any
    ) -> Curriculum:
        opened.append(Curriculum(config, *args, **kwargs))
        return opened[-1]

    yield open_
    for curriculum in opened:
        curriculum.close()
