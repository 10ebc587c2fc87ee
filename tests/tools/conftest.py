"""A recipe file puts its folder on the import path of its process; the next test must not find it
there."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _same_import_path() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before
