"""The wheel on every Python that it is for, with numpy and pydantic alone; and the tests of the
curriculum that need no more, on those that a clone's own environment is not of."""

import subprocess
from pathlib import Path

import pytest

from tests.wheels import ROOT, NotToBeHad, build_wheel, environment, uv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VERSIONS = ("3.11", "3.12", "3.13")

CODE = """
import importlib, importlib.util, pkgutil, warnings

import metta.cogworks.curriculum as m

warnings.simplefilter("ignore", DeprecationWarning)
import agora

packages = ("mettagrid", "pufferlib", "torch", "gymnasium")
assert not any(importlib.util.find_spec(name) for name in packages), "not a bare environment"
with m.Curriculum(m.LearningProgressConfig.default()) as c:
    t = c.get_task()
    c.update_task_performance(t.task_id, 0.5)
    print(c.stats()["num_completed"])
print(agora.__version__)
for module in pkgutil.walk_packages(agora.__path__, "agora."):
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        print(module.name, error)
"""

TESTS = (
    "test_backend_contract.py",
    "test_curriculum_core.py",
    "test_curriculum_checkpointing.py",
    "test_lp_scorers.py",
    "test_older_code.py",
    "test_older_states.py",
    "test_sampling.py",
    "test_sessions.py",
    "test_shared_memory_backend.py",
    "test_task_random.py",
    "test_task_tracker.py",
    "test_variants.py",
    "test_crash_safety.py::test_killed_at_random_instants",
    "test_crash_safety.py::test_killed_at_every_point_of_an_operation",
)
"""Of tests/cogworks/curriculum: what the version of Python has a say in, and no other package."""


@pytest.fixture(scope="module", params=VERSIONS)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel, and what it depends on."""
    folder = tmp_path_factory.mktemp(f"python{request.param}")
    try:
        return environment(folder / "env", request.param, build_wheel(folder / "dist"))
    except NotToBeHad as error:
        pytest.skip(str(error))


def test_it_works_with_numpy_and_pydantic_alone(python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-c", CODE], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    completed, version, puffer = done.stdout.splitlines()
    assert (completed, version) == ("1.0", "0.1.0")
    assert puffer.startswith("agora.wrappers.puffer CurriculumEnv needs PufferLib")
    assert "pip install 'metta-curriculum[train]'" in puffer


@pytest.mark.parametrize("python", VERSIONS[1:], indirect=True)
def test_the_curriculums_own_tests_pass(python: Path) -> None:
    needed = ("coverage", "hypothesis", "pytest", "pytest-timeout", "scipy")
    uv("pip", "install", "--python", python, *needed)
    options = ("-q", "-o", "addopts=", "-p", "no:cacheprovider")
    tests = [f"tests/cogworks/curriculum/{name}" for name in TESTS]
    done = subprocess.run(
        [python, "-m", "pytest", *options, *tests],
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
