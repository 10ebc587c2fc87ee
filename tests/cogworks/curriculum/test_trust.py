"""Names of classes in data are followed only into modules that the program has imported, or
trusts."""

import json
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mettagrid.builder.envs import make_arena

from metta.cogworks.curriculum import (
    BasicLPScorer,
    CurriculumConfig,
    LearningProgressConfig,
    SingleTaskGenerator,
    bucketed,
    single_task,
    trusting,
)
from metta.cogworks.curriculum.task_generator import (
    TaskGeneratorConfig,
    class_path,
    resolve_class,
)
from metta.cogworks.curriculum.tasks.class_paths import refuse_untrusted_types
from tests.cogworks.curriculum.generator_examples import Room

MODULE = """
import pathlib
from pydantic import BaseModel
from metta.cogworks.curriculum import BasicLPScorer, DiscreteRandomConfig, TaskGenerator

pathlib.Path(__file__).with_suffix(".ran").touch()

class Env(BaseModel):
    size: int = 3

class Generator(TaskGenerator):
    def _generate_task(self, task_id, rng):
        return Env(size=rng.randint(1, 9))

class Scorer(BasicLPScorer):
    pass

class Algorithm(DiscreteRandomConfig):
    pass
"""


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module ``trap`` on the path, which leaves a file ``trap.ran`` when it is imported."""
    path = tmp_path / "trap.py"
    path.write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield path
    sys.modules.pop("trap", None)


def ran(trap: Path) -> bool:
    assert trap.with_suffix(".ran").exists() == ("trap" in sys.modules)
    return "trap" in sys.modules


def load_generator(name: Any) -> Any:
    return TaskGeneratorConfig.model_validate_json(json.dumps({"type": name}))


def load_env(name: Any) -> Any:
    dump = single_task(Room()).model_dump(mode="json")
    dump["env"] = {"type": name, "config": {}}
    return TaskGeneratorConfig.model_validate(dump)


def load_child(name: Any) -> Any:
    dump = bucketed(Room()).model_dump(mode="json")
    dump["child_generator_config"] = {"type": name}
    return TaskGeneratorConfig.model_validate(dump)


def load_curriculum(name: Any) -> Any:
    return CurriculumConfig.model_validate_json(json.dumps({"task_generator": {"type": name}}))


def load_algorithm(name: Any) -> Any:
    return CurriculumConfig.model_validate({"algorithm_config": {"type": name}})


def load_scorer(name: Any) -> Any:
    return LearningProgressConfig.model_validate_json(json.dumps({"scorer": name}))


def load_map_builder(name: Any) -> Any:
    """Inside mettagrid's own configuration, which imports what it names."""
    dump = single_task(make_arena(num_agents=4)).model_dump(mode="json")
    dump["env"]["config"]["game"]["map_builder"] = {"type": name}
    return TaskGeneratorConfig.model_validate(dump)


def load_override(name: Any) -> Any:
    dump = single_task(make_arena(num_agents=4)).model_dump(mode="json")
    dump["overrides"] = {"game.map_builder": {"type": name}}
    return TaskGeneratorConfig.model_validate(dump).create()


def load_bucket(name: Any) -> Any:
    dump = bucketed(make_arena(num_agents=4)).model_dump(mode="json")
    dump["buckets"] = {"game.map_builder": [{"type": name}]}
    return TaskGeneratorConfig.model_validate(dump).create()


PLACES = [
    (load_generator, "trap.Generator.Config"),
    (load_env, "trap.Env"),
    (load_child, "trap.Generator.Config"),
    (load_curriculum, "trap.Generator.Config"),
    (load_algorithm, "trap.Algorithm"),
    (load_scorer, "trap.Scorer"),
    (load_map_builder, "trap.Map.Config"),
    (load_override, "trap.Map.Config"),
    (load_bucket, "trap.Map.Config"),
]
EVERYWHERE = pytest.mark.parametrize(("load", "name"), PLACES)


@EVERYWHERE
def test_a_file_on_the_path_stays_unimported(
    trap: Path, load: Callable[[Any], Any], name: str
) -> None:
    with pytest.raises(ValueError, match=r"module that this program has not imported, 'trap'") as e:
        load(name)
    assert not ran(trap)
    assert "trusting('trap')" in str(e.value)
    assert "trust=('trap',)" in str(e.value)


@pytest.mark.parametrize(("load", "name"), PLACES[:6])
def test_what_is_trusted_is_imported(trap: Path, load: Callable[[Any], Any], name: str) -> None:
    with trusting("trap"):
        load(name)
    assert ran(trap)
    load(name)  # the program has imported it now


@EVERYWHERE
def test_what_is_no_text_is_refused(load: Callable[[Any], Any], name: str) -> None:
    for wrong in (5, ["trap"], None, {}, True, "", "trap", "a..b", "trap. Env", "/etc/passwd"):
        if load in (load_map_builder, load_override, load_bucket) and "." not in str(wrong):
            continue  # mettagrid's to understand
        if load is load_scorer and wrong == "":
            continue  # the default
        with pytest.raises((ValueError, TypeError)):
            load(wrong)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import sys; sys.exit(7)", "SystemExit: 7"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("def (", "SyntaxError"),
        ("raise Exception", "Exception"),
    ],
)
def test_a_trusted_module_that_fails_is_one_clear_error(
    trap: Path, source: str, reason: str
) -> None:
    trap.write_text(source)
    with pytest.raises(ValueError, match=f"module 'trap' cannot be imported: .*{reason}"):
        resolve_class("trap.Env", trust=("trap",))
    with trusting("trap"), pytest.raises(ValueError, match="module 'trap' cannot be imported"):
        load_generator("trap.Generator.Config")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (5, "type 5 is not a class path"),
        ("", "is not a class path"),
        ("Room", "is not a class path"),
        ("a-b.C", "is not a class path"),
        ("os.system", "is a builtin_function_or_method, not a class"),
        ("math.pi", "is a float, not a class"),
        ("pathlib.Path.home", "is a classmethod, not a class"),
        ("pathlib.Nothing", "there is no 'Nothing' in pathlib"),
        ("metta.nothing.C", "there is no 'nothing' in metta"),
        ("mettagrid.nothing.C", "there is no 'nothing' in mettagrid"),
        ("antigravity.C", "names a module that this program has not imported, 'antigravity'"),
        ("builtins.dict", "is not a subclass of"),
    ],
)
def test_wrong_names_are_told(path: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_class(path, TaskGeneratorConfig)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("trust", [5, (5,), ("",), ("a..b",), ("not-a-module",), None])
def test_what_cannot_be_trusted_is_told(trust: Any) -> None:
    with pytest.raises(ValueError, match=r"trust .* is not a module name"):
        resolve_class(class_path(Room), trust=trust)


def test_trust_ends_with_the_block_and_holds_for_its_thread_alone(trap: Path) -> None:
    found: list[str] = []

    def other() -> None:
        try:
            resolve_class("trap.Env")
        except ValueError as error:
            found.append(str(error))

    with trusting("trap"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    other()
    assert len(found) == 2
    assert not ran(trap)


def test_trust_is_for_a_module_and_what_lies_in_it(trap: Path) -> None:
    with trusting("tra", "trap.Env.inner", "other"), pytest.raises(ValueError, match="trap"):
        resolve_class("trap.Env")
    assert not ran(trap)


def test_names_of_a_package_of_this_project_are_imported() -> None:
    code = """
        import sys
        from metta.cogworks.curriculum.task_generator import resolve_class
        assert "metta.sim.simulation" not in sys.modules
        assert "mettagrid" not in sys.modules
        print(resolve_class("metta.sim.simulation.Task").__name__)
        print(resolve_class("mettagrid.config.mettagrid_config.MettaGridConfig").__name__)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ["Task", "MettaGridConfig"], done.stderr


def test_classes_of_the_running_program_are_found(tmp_path: Path) -> None:
    """Those of ``__main__``, in this process and in a worker that is started anew."""
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing
            from pydantic import BaseModel
            from metta.cogworks.curriculum import *
            from metta.cogworks.curriculum.task_generator import TaskGeneratorConfig

            class Env(BaseModel):
                size: int = 3

            class Scorer(BasicLPScorer):
                pass

            def work(config):
                return type(config.make_scorer()).__name__

            if __name__ == "__main__":
                text = bucketed(Env(), {"size": [1, 2]}).model_dump_json()
                print(TaskGeneratorConfig.model_validate_json(text).create().num_variants)
                config = LearningProgressConfig(scorer=Scorer)
                config = LearningProgressConfig.model_validate_json(config.model_dump_json())
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    print(pool.apply(work, (config,)))
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.split() == ["2", "Scorer"], done.stderr


def test_a_worker_gets_the_scorer_with_the_configuration(trap: Path) -> None:
    with trusting("trap"):
        config = LearningProgressConfig(scorer="trap.Scorer")
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).make_scorer().__class__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(config),
        capture_output=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": f"{trap.parent}"},
    )
    assert b"trap.Scorer" in done.stdout, done.stderr.decode()


def test_classes_given_as_classes_need_no_trust() -> None:
    class Local(Room):
        pass

    class LocalGenerator(SingleTaskGenerator):
        pass

    assert LocalGenerator.Config(env=Local()).create().get_task(0) == Local()
    assert LearningProgressConfig(scorer=BasicLPScorer).scorer == "basic"  # type: ignore[arg-type]


def test_entries_that_could_name_a_module_are_checked() -> None:
    refuse_untrusted_types({"type": "plain", "note": "antigravity.C", "scorer": ["a.b"], "x": 5})
    for name in ("antigravity.C", "antigravity. C", "antigravity.1"):
        with pytest.raises(ValueError, match="antigravity"):
            refuse_untrusted_types({"a": [{"type": name}]})
    assert "antigravity" not in sys.modules
