"""Agents, resources and actions are the same in all tasks; what differs is refused with its
cause."""

import re

import pytest
from mettagrid.builder.envs import make_arena, make_navigation

from metta.cogworks.curriculum.task_generator import (
    TaskGenerator,
    TaskGeneratorSet,
    TaskInvariantError,
    TaskRandom,
    bucketed,
    merge,
    single_task,
)
from metta.cogworks.curriculum.tasks.invariants import read_invariants
from tests.cogworks.curriculum.generator_examples import Room


class GrowingGenerator(TaskGenerator):
    """Task 3 has another number of agents."""

    def _generate_task(self, task_id: int, rng: TaskRandom):
        return make_navigation(num_agents=5 if task_id == 3 else 4)


def first_task(generator: TaskGenerator, axis: str, value: object) -> int:
    return next(
        task_id
        for task_id in range(1000)
        if generator.describe(task_id).slice_values[axis] == value
    )


def test_reads_agents_resources_and_actions():
    arena = make_arena(num_agents=6)
    found = read_invariants(arena)
    assert found == {
        "num_agents": 6,
        "resource_names": tuple(arena.game.resource_names),
        "actions": {
            "noop": 1,
            "move": len(arena.game.actions.move.allowed_directions),
            "attack": 1,
        },
    }


def test_task_generator_validates_resource_consistency():
    generator = bucketed(
        make_navigation(num_agents=4), {"game.resource_names": [["heart"], ["heart", "ore"]]}
    ).create()
    generator.get_task(first_task(generator, "game.resource_names", ["heart"]))
    task_id = first_task(generator, "game.resource_names", ["heart", "ore"])
    message = (
        rf"inconsistent resource count for task {task_id} \(mettagrid\): resource_names is "
        r"\['heart', 'ore'\], but in the generator's base it is "
        rf"\['heart'\]; set by bucket game.resource_names=\['heart', 'ore'\]"
    )
    with pytest.raises(TaskInvariantError, match=message):
        generator.get_task(task_id)


def test_order_of_resources_counts():
    base = make_navigation(num_agents=4)
    base.game.resource_names = ["heart", "ore"]
    generator = bucketed(base, {"game.resource_names": [["ore", "heart"]]}).create()
    with pytest.raises(TaskInvariantError, match=r"inconsistent resources for task 0 .*names"):
        generator.get_task(0)


def test_task_generator_validates_agent_count():
    generator = bucketed(make_navigation(num_agents=4), {"game.num_agents": [4, 6]}).create()
    task_id = first_task(generator, "game.num_agents", 6)
    with pytest.raises(
        TaskInvariantError,
        match=rf"inconsistent agent count for task {task_id} .*num_agents is 6.*is 4; "
        r"set by bucket game.num_agents=6",
    ):
        generator.get_task(task_id)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("game.actions.attack.enabled", [True]),
        (
            "game.actions.move.allowed_directions",
            [["north", "south"]],
        ),  # fewer variants are fewer actions
    ],
)
def test_task_generator_validates_action_count(path: str, values: list):
    generator = bucketed(make_navigation(num_agents=4), {path: values}).create()
    message = re.escape(f"set by bucket {path}={values[0]!r}")
    with pytest.raises(TaskInvariantError, match=f"inconsistent action count .*{message}"):
        generator.get_task(0)


def test_other_actions_of_the_same_number_are_no_other_count():
    attack, noop = "game.actions.attack.enabled", "game.actions.noop.enabled"
    config = bucketed(make_navigation(num_agents=4), {attack: [True], noop: [False]})
    with pytest.raises(TaskInvariantError, match="inconsistent actions for task 0"):
        config.create().get_task(0)


def test_the_error_is_an_assertion_as_in_older_versions():
    generator = GrowingGenerator.Config().create()
    with pytest.raises(AssertionError, match="inconsistent agent count for task 3"):
        generator.get_task(3)
    with pytest.raises(ValueError, match="inconsistent agent count for task 3"):
        generator.get_task(3)


def test_children_that_disagree_are_refused_at_their_tasks_too():
    """A generator that is made of its configuration directly, as older code does, is made."""
    config = merge([make_navigation(num_agents=4), make_navigation(num_agents=6)])
    generator = TaskGeneratorSet(config)
    tasks, wrong, message = {}, -1, ""
    for task_id in range(2):
        try:
            tasks[task_id] = generator.get_task(task_id).game.num_agents
        except AssertionError as error:
            wrong, message = task_id, str(error)
    assert list(tasks.values()) == [4]
    assert message.startswith(f"inconsistent agent count for task {wrong} ")
    with pytest.raises(AssertionError, match="disagree on num_agents"):
        config.create()


def test_the_reference_is_the_base_and_not_the_first_task():
    config = bucketed(make_navigation(num_agents=4), {"game.num_agents": [4, 6]})
    generator = config.create()
    wrong, right = (
        first_task(generator, "game.num_agents", 6),
        first_task(generator, "game.num_agents", 4),
    )
    with pytest.raises(TaskInvariantError):
        generator.get_task(wrong)
    assert generator.get_task(right).game.num_agents == 4
    assert generator.reference_invariants()["num_agents"] == 4


def test_task_generator_allows_consistent_tasks():
    generator = bucketed(
        make_navigation(num_agents=4),
        {"game.max_steps": [10, 20], "game.map_builder.width": [8, 9]},
    ).create()
    assert {generator.get_task(task_id).game.num_agents for task_id in range(4)} == {4}


def test_an_override_changes_the_reference_itself():
    config = bucketed(make_navigation(num_agents=4), {"game.max_steps": [10, 20]})
    config.overrides["game.num_agents"] = 6
    generator = config.create()
    assert generator.reference_invariants()["num_agents"] == 6
    assert generator.get_task(0).game.num_agents == 6


def test_custom_generator_is_checked():
    generator = GrowingGenerator.Config().create()
    generator.get_task(2)
    with pytest.raises(
        TaskInvariantError, match=r"task 3 .*num_agents is 5, .*is 4; set by the generator itself"
    ):
        generator.get_task(3)


def test_children_that_disagree_are_refused_when_the_set_is_made():
    with pytest.raises(
        TaskInvariantError,
        match=r"disagree on num_agents: child 0 \(mettagrid\) has 4, child 1 .* has 6",
    ):
        merge([make_navigation(num_agents=4), make_navigation(num_agents=6)]).create()


def test_the_override_that_makes_children_disagree_is_named():
    other = single_task(make_navigation(num_agents=4))
    other.overrides["game.resource_names"] = ["ore"]
    with pytest.raises(
        TaskInvariantError,
        match=r"disagree on resource_names.*set by override game.resource_names=\['ore'\]",
    ):
        merge([make_navigation(num_agents=4), other]).create()


def test_an_override_of_the_set_can_make_children_agree():
    config = merge([make_navigation(num_agents=4), make_navigation(num_agents=6)])
    config.overrides["game.num_agents"] = 5
    generator = config.create()
    assert {generator.get_task(task_id).game.num_agents for task_id in range(2)} == {5}


def test_configurations_without_these_quantities_have_no_invariants():
    assert single_task(Room()).create().reference_invariants() == {}
