"""A disk without room: one line that names the file, the reason and the way out; what was saved
before is whole, nothing half written is left, and the run goes on once there is room."""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from metta.cli.runner import main
from metta.rl.checkpoint import list_checkpoints, read_run, save_checkpoint
from metta.rl.files import FileError, write_whole
from metta.rl.metrics import MetricsFile, read_metrics

RECIPE = str(Path(__file__).resolve().parents[1] / "tools/small_recipe.py")
STEPS = 128  # one epoch of the recipe

pytestmark = pytest.mark.timeout(280)


@contextmanager
def files_of_at_most(nbytes: int) -> Iterator[None]:
    """Any file of this process that would grow beyond ``nbytes`` is refused, as on a full disk.
    Python ignores SIGXFSZ."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "sub/file"
    write_whole(path, b"before")
    with (
        files_of_at_most(1000),
        pytest.raises(FileError, match=rf"^{path} cannot be written \(File too large\): make room"),
    ):
        write_whole(path, bytes(2000))
    assert path.read_bytes() == b"before"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "sub").write_text("")
    with pytest.raises(FileError, match=r"sub/file cannot be written \(File exists\)"):
        write_whole(tmp_path / "sub/file", b"")


def test_a_checkpoint_without_room_leaves_the_earlier_ones(tmp_path: Path) -> None:
    content: dict[str, Any] = {"text": "x" * 10_000}
    save_checkpoint(tmp_path, 1, content, keep=1)
    before = (tmp_path / "step_000000000001.pt").read_bytes()
    with (
        files_of_at_most(5000),
        pytest.raises(FileError, match=r"step_000000000002\.pt cannot be written .*goes on from"),
    ):
        save_checkpoint(tmp_path, 2, content, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step_000000000001.pt"]
    assert (tmp_path / "step_000000000001.pt").read_bytes() == before


def test_an_epoch_without_room_leaves_the_lines_before(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path, resumed_at=0)
    metrics.write({"agent_steps": 1})
    before = path.read_bytes()
    with (
        files_of_at_most(len(before) + 20),
        pytest.raises(FileError, match=r"metrics\.jsonl cannot be written \(File too large\)"),
    ):
        metrics.write({"agent_steps": 2, "text": "x" * 100})
    assert path.read_bytes() == before
    metrics.write({"agent_steps": 3})
    metrics.close()
    assert [line["agent_steps"] for line in read_metrics(path)] == [1, 3]
    assert [line["agent_steps"] for line in metrics.history] == [1, 3]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB: room for three checkpoints of the recipe."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path, but: int) -> Path:
    """A file that takes all room of ``disk`` but ``but`` bytes."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - but))
    return filler


@pytest.mark.parametrize(
    ("room", "file"),
    [
        (0, "a/metrics.jsonl"),
        (4096, "a/config."),  # the metrics' page fits; the next file is the configuration's
        (500_000, "a/checkpoints/step_000000000256.pt"),
    ],
)
def test_a_run_on_a_full_disk_ends_and_goes_on(
    small_disk: Path, capfd: pytest.CaptureFixture[str], room: int, file: str
) -> None:
    command = [RECIPE, "run=a", "training_env.num_workers=1", f"data_dir={small_disk}"]
    assert main([*command, f"trainer.total_timesteps={STEPS}"]) == 0
    (checkpoint,) = list_checkpoints(small_disk / "a/checkpoints")
    before = checkpoint.read_bytes()
    filler = fill(small_disk, but=room)
    capfd.readouterr()

    assert main([*command, f"trainer.total_timesteps={2 * STEPS}", "seed=1"]) == 1
    error = capfd.readouterr().err
    assert len(error.splitlines()) == 1
    assert error.startswith(f"error: {small_disk / file}")
    assert "cannot be written (No space left on device): make room there, or give data_dir" in error
    assert checkpoint.read_bytes() == before
    assert list_checkpoints(small_disk / "a/checkpoints") == [checkpoint]
    assert not list(small_disk.rglob("*.tmp"))

    filler.unlink()
    assert main([*command, f"trainer.total_timesteps={2 * STEPS}", "seed=1"]) == 0
    newest = list_checkpoints(small_disk / "a/checkpoints")[-1]
    assert read_run(newest).agent_steps == 2 * STEPS
    assert [line["agent_steps"] for line in read_metrics(small_disk / "a/metrics.jsonl")] == [
        STEPS,
        2 * STEPS,
    ]
