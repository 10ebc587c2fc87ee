"""Checkpoints are complete or absent, and plain data."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metta.rl.checkpoint import (
    CheckpointError,
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
    to_arrays,
    to_tensors,
)

CONTENT = {
    "floats": np.array([1.5, -0.0, np.inf]),
    "ids": np.array([0, 2**53 - 1], dtype=np.int64),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 13)),
    "nested": {
        "list": [np.uint8([3]), {"name": "arena"}],
        "number": np.float64(0.25),
        "count": np.int64(7),
    },
    "plain": [1, 2.5, "text", None, True],
}


def test_arrays_come_back_as_they_were(tmp_path: Path):
    loaded = to_arrays(load_checkpoint(save_checkpoint(tmp_path, 5, CONTENT, keep=1)))
    for key in ("floats", "ids", "flags", "empty"):
        np.testing.assert_array_equal(loaded[key], CONTENT[key])
        assert loaded[key].dtype == CONTENT[key].dtype
    assert loaded["nested"] == {
        "list": [np.uint8([3]), {"name": "arena"}],
        "number": 0.25,
        "count": 7,
    }
    assert loaded["plain"] == CONTENT["plain"]


def test_saving_copies_the_arrays():
    array = np.zeros(3)
    tensor = to_tensors(array)
    array[:] = 1
    assert tensor.sum() == 0


def test_the_newest_are_kept_and_found(tmp_path: Path):
    assert latest_checkpoint(tmp_path / "absent") is None
    for steps in (900, 1000, 20):
        save_checkpoint(tmp_path, steps, {}, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "step_000000000900.pt",
        "step_000000001000.pt",
    ]
    assert latest_checkpoint(tmp_path) == tmp_path / "step_000000001000.pt"


def test_an_unfinished_file_is_not_a_checkpoint(tmp_path: Path):
    (tmp_path / "step_000000000009.tmp").write_bytes(b"half")
    assert list_checkpoints(tmp_path) == []
    assert save_checkpoint(tmp_path, 9, {}, keep=1).exists()
    assert not list(tmp_path.glob("*.tmp"))


class Trap:
    """Pickles as a call, as a hostile file would."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("trapped"),)


def test_no_code_of_a_checkpoint_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "step_000000000001.pt"
    torch.save({"format": 1, "trap": Trap()}, path)
    with pytest.raises(CheckpointError, match=r"step_000000000001.pt cannot be read as plain data"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(CheckpointError, match="cannot be read as plain data"):
        load_checkpoint(path)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: bytes | None):
    path = save_checkpoint(tmp_path, 1, CONTENT, keep=1)
    path.write_bytes(path.read_bytes()[:400] if damage is None else damage)
    with pytest.raises(
        CheckpointError,
        match=r"step_000000000001.pt cannot be read .*not a checkpoint.*moved elsewhere",
    ):
        load_checkpoint(path)


def test_a_missing_checkpoint_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*step_1\.pt"):
        load_checkpoint(tmp_path / "step_1.pt")


@pytest.mark.parametrize("content", [{"format": 99}, {}, [1, 2]])
def test_another_format_is_refused(tmp_path: Path, content: Any):
    path = tmp_path / "step_000000000001.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"has format (99|None), this version reads format 1"):
        load_checkpoint(path)
