"""The older name, ``agora``: every module gives the objects of metta.cogworks.curriculum, after one
warning."""

import ast
import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import metta.cogworks.curriculum

MODULES = {
    "agora.config": "task_generator",
    "agora.curriculum": "curriculum",
    "agora.tracking.memory": "shared_memory_backend",
    "agora.tracking.tracker": "task_tracker",
    "agora.tracking.stats": "stats",
    "agora.algorithms.scorers": "lp_scorers",
    "agora.algorithms.learning_progress": "learning_progress_algorithm",
    "agora.generators.base": "task_generator",
    "agora.generators.single": "task_generator",
    "agora.generators.bucketed": "task_generator",
    "agora.generators.set": "task_generator",
    "agora.wrappers.puffer": "curriculum_env",
}
PACKAGES = ("agora", "agora.tracking", "agora.algorithms", "agora.generators")


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.filterwarnings("ignore:agora is now:DeprecationWarning")
@pytest.mark.parametrize(("old", "new"), MODULES.items())
def test_a_module_has_the_objects_of_the_new_one(old: str, new: str) -> None:
    shim, module = (
        importlib.import_module(old),
        importlib.import_module(f"metta.cogworks.curriculum.{new}"),
    )
    assert shim.__all__
    for name in shim.__all__:
        assert getattr(shim, name) is getattr(module, name)


@pytest.mark.filterwarnings("ignore:agora is now:DeprecationWarning")
@pytest.mark.parametrize("old", PACKAGES)
def test_a_package_has_the_objects_of_the_new_one(old: str) -> None:
    shim = importlib.import_module(old)
    assert shim.__all__
    for name in shim.__all__:
        assert getattr(shim, name) is getattr(metta.cogworks.curriculum, name)


def test_a_shim_is_nothing_but_imports() -> None:
    folder = Path(__file__).resolve().parents[3] / "metta/_compat/agora"
    shims = [path for path in folder.rglob("*.py") if path != folder / "__init__.py"]
    assert shims
    for path in shims:
        docstring, *rest = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr), path
        *imported, names = rest or [None]
        assert all(isinstance(node, ast.ImportFrom) for node in imported), path
        assert names is None or ast.unparse(names).startswith("__all__ = ["), path


@pytest.mark.filterwarnings("ignore:agora is now:DeprecationWarning")
def test_the_package_offers_every_public_name() -> None:
    assert (
        set(metta.cogworks.curriculum.__all__) - set(importlib.import_module("agora").__all__)
        == set()
    )


def test_an_unknown_name_is_an_attribute_error() -> None:
    with (
        pytest.raises(AttributeError, match="'agora' has no attribute 'Curiculum'"),
        pytest.warns() as caught,
    ):
        importlib.reload(importlib.import_module("agora")).Curiculum  # noqa: B018  (the access is the test)
    assert {warning.category for warning in caught} == {DeprecationWarning}


def test_one_warning_that_points_at_the_import() -> None:
    out = run(
        """
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import agora
            import agora.tracking.memory, agora.algorithms.scorers
            import agora.generators.base, agora.curriculum
        told = [(w.category.__name__, w.filename, str(w.message)) for w in caught]
        print([(kind, at, "metta.cogworks.curriculum" in text) for kind, at, text in told])
        """
    )
    assert out.strip() == "[('DeprecationWarning', '<string>', True)]"


def test_importing_it_needs_neither_pufferlib_nor_mettagrid() -> None:
    out = run(
        """
        import sys, warnings
        for name in ("pufferlib", "mettagrid", "torch"):
            sys.modules[name] = None  # as if not installed
        warnings.simplefilter("ignore", DeprecationWarning)
        import agora
        with agora.Curriculum(agora.LearningProgressConfig.default()) as curriculum:
            task = curriculum.get_task()
            curriculum.update_task_performance(task._task_id, 0.5)
            print(curriculum.stats()["num_completed"])
        """
    )
    assert out.strip() == "1.0"
