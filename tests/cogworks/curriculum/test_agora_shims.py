"""The older name, ``agora``: every module gives the objects of metta.cogworks.curriculum, after one
warning that names its successor."""

import ast
import importlib
import json
import pickle
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import metta.cogworks.curriculum
from metta.cogworks.curriculum import CurriculumConfig

ROOT = Path(__file__).resolve().parents[3]

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
PACKAGES = {
    "agora": "",
    "agora.tracking": "",
    "agora.algorithms": "",
    "agora.generators": "task_generator",
    "agora.wrappers": "curriculum_env",
}


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


@pytest.mark.filterwarnings("ignore:agora[.a-z_]* is now:DeprecationWarning")
@pytest.mark.parametrize(("old", "new"), MODULES.items())
def test_a_module_has_the_objects_of_the_new_one(old: str, new: str) -> None:
    shim, module = (
        importlib.import_module(old),
        importlib.import_module(f"metta.cogworks.curriculum.{new}"),
    )
    assert shim.__all__
    for name in shim.__all__:
        assert getattr(shim, name) is getattr(module, name)


@pytest.mark.filterwarnings("ignore:agora[.a-z_]* is now:DeprecationWarning")
@pytest.mark.parametrize("old", [old for old in PACKAGES if old != "agora.wrappers"])
def test_a_package_has_the_objects_of_the_new_one(old: str) -> None:
    shim = importlib.import_module(old)
    assert shim.__all__
    for name in shim.__all__:
        assert getattr(shim, name) is getattr(metta.cogworks.curriculum, name)


def test_a_shim_is_nothing_but_imports_and_a_warning() -> None:
    folder = ROOT / "metta/_compat/agora"
    lazy = (folder / "__init__.py", folder / "wrappers/__init__.py")  # what needs pufferlib
    shims = [path for path in folder.rglob("*.py") if path not in lazy]
    assert len(shims) == len(MODULES) + len(PACKAGES) - len(lazy)
    for path in shims:
        docstring, *imported, names, warning = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr), path
        assert ast.unparse(imported[0]) == "import warnings", path
        assert all(isinstance(node, ast.ImportFrom) for node in imported[1:]), path
        assert ast.unparse(names).startswith("__all__ = ["), path
        assert ast.unparse(warning).startswith("warnings.warn("), path


@pytest.mark.filterwarnings("ignore:agora[.a-z_]* is now:DeprecationWarning")
def test_the_package_offers_every_public_name() -> None:
    assert (
        set(metta.cogworks.curriculum.__all__) - set(importlib.import_module("agora").__all__)
        == set()
    )


@pytest.mark.filterwarnings("ignore:agora[.a-z_]* is now:DeprecationWarning")
@pytest.mark.parametrize("module", ["agora", "agora.wrappers"])
def test_an_unknown_name_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match=f"'{module}' has no attribute 'Curiculum'"):
        importlib.import_module(module).Curiculum  # noqa: B018  (the access is the test)


def test_each_module_warns_once_and_names_its_successor() -> None:
    """In one interpreter: each import is done twice."""
    out = run(
        f"""
        import importlib, json, warnings
        found = {{}}
        for name in {[*PACKAGES, *MODULES]}:
            for _ in range(2):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    exec(f"import {{name}}")
                told = [(w.category.__name__, w.filename, str(w.message)) for w in caught]
                found.setdefault(name, []).append(told)
        print(json.dumps(found))
        """
    )
    new = "metta.cogworks.curriculum"
    expected = {
        old: [
            [["DeprecationWarning", "<string>", f"{old} is now {new}{'.' if name else ''}{name}"]],
            [],
        ]
        for old, name in {**PACKAGES, **MODULES}.items()
    }
    assert json.loads(out) == expected


def test_star_imports_give_every_name() -> None:
    out = run(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from agora import *
        from agora.tracking import *
        from agora.generators.base import *
        print(Curriculum.__name__, CurriculumEnv.__name__, TConfig, TTaskGenerator)
        """
    )
    assert out.split() == ["Curriculum", "CurriculumEnv", "~TConfig", "~TTaskGenerator"]


def test_star_imports_leave_out_what_is_not_installed() -> None:
    out = run(
        """
        import sys, warnings
        sys.modules["pufferlib"] = None  # as if not installed
        warnings.simplefilter("ignore", DeprecationWarning)
        from agora import *
        print(Curriculum.__name__, "CurriculumEnv" in globals())
        try:
            from agora import CurriculumEnv
        except ImportError as error:
            print("metta-curriculum[train]" in str(error))
        """
    )
    assert out.split() == ["Curriculum", "False", "True"]


@pytest.mark.filterwarnings("ignore:agora[.a-z_]* is now:DeprecationWarning")
def test_it_has_the_version_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert importlib.import_module("agora").__version__ == project["version"]


class Maze(BaseModel):
    """A configuration of a user's."""

    width: int = 5


@pytest.mark.filterwarnings("ignore:agora[.a-z_]* is now:DeprecationWarning")
def test_its_types_are_generic_in_the_configuration() -> None:
    agora: Any = importlib.import_module("agora")
    config = agora.CurriculumConfig[Maze](
        task_generator=agora.BucketedTaskGenerator.Config.from_env(Maze()).add_bucket(
            "width", [5, 7]
        ),
        algorithm_config=agora.DiscreteRandomConfig(use_shared_memory=False),
    )
    assert type(config) is CurriculumConfig  # and so are its class path and its identity
    with agora.Curriculum[Maze](config) as curriculum:
        assert curriculum.get_task().get_env_cfg().width in (5, 7)
        assert pickle.loads(pickle.dumps(curriculum.config)) == curriculum.config
    assert get_args(agora.CurriculumTask[Maze]) == (Maze,)
    assert get_args(agora.SingleTaskGenerator[Maze]) == (Maze,)
    assert get_args(agora.CurriculumEnv[Maze]) == (Maze,)
    config_of = agora.TaskGeneratorConfig
    assert config_of[importlib.import_module("agora.generators.base").TTaskGenerator] is config_of


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


# -- the check list of its document, in docs/migration.md ------------------------------------------


def check_list() -> dict[int, list[str]]:
    """The tests that hold each point."""
    text = (ROOT / "docs/migration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+)\. .* \| (.*) \|$", text, re.MULTILINE)
    return {int(point): re.findall(r"`(tests/[^`]+)`", tests) for point, tests in rows}


def test_each_of_its_thirteen_points_is_held_by_tests_that_exist() -> None:
    points = check_list()
    assert list(points) == list(range(1, 14))
    for point, tests in points.items():
        assert tests, point
        for test in tests:
            path, _, name = test.partition("::")
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert not name or name in names, test
            assert any(found.startswith("test_") for found in names), test


def test_nothing_here_imports_it() -> None:
    for folder in ("metta/cogworks", "metta/rl", "metta/sim", "metta/tools", "metta/cli"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not [name for name in names if name.split(".")[0] == "agora"], path


def test_ci_runs_what_the_check_list_asks_for() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    for command in ("ruff check", "ruff format --check", "pyright", "--cov-fail-under=90"):
        assert f"{command}" in script
    assert "\nuv run pytest -m slow" in script  # which builds and installs the wheel
