"""Each recipe: its tasks can be played for a reward, agree with each other, and are what its tools
work on."""

import importlib
import itertools
import subprocess
import sys
from types import ModuleType

import pytest
from mettagrid.map_builder.random_map import RandomMapBuilderConfig
from mettagrid.mapgen.mapgen import MapGenConfig
from mettagrid.policy.policy_env_interface import PolicyEnvInterface
from mettagrid.renderer.miniscope.symbol import DEFAULT_SYMBOL_MAP
from mettagrid.simulator import Simulation
from scripted_play import ScriptedPlay, free_cells

from experiments.recipes import (
    arena,
    arena_basic_easy_shaped,
    arena_with_sparse_rewards,
    first_steps,
    navigation,
)
from experiments.recipes.cogs_v_clips import level_1
from metta.cogworks.curriculum import CurriculumConfig, LearningProgressConfig, TaskGenerator
from metta.sim.map_seeds import with_map_seed
from metta.tools.evaluate import EvaluateTool
from metta.tools.play import PlayTool
from metta.tools.train import TrainTool

RECIPES = [
    first_steps,
    arena,
    arena_basic_easy_shaped,
    arena_with_sparse_rewards,
    navigation,
    level_1,
]

TRAINING = [(recipe, "train") for recipe in RECIPES] + [(arena, "train_shaped")]


def named(value: object) -> str | None:
    return (
        value.__name__.removeprefix("experiments.recipes.")
        if isinstance(value, ModuleType)
        else None
    )


def curriculum_of(recipe: ModuleType, function: str = "train") -> CurriculumConfig:
    return getattr(recipe, function)().training_env.curriculum


def generator_of(curriculum: CurriculumConfig) -> TaskGenerator:
    assert curriculum.task_generator is not None
    return curriculum.task_generator.create()


def tasks_of(recipe: ModuleType, function: str = "train") -> TaskGenerator:
    return generator_of(curriculum_of(recipe, function))


def task_where(generator: TaskGenerator, **wanted: object) -> int:
    """The first task whose slice values end in these names and have these values; `label` is its
    label."""
    for task_id in range(generator.num_variants or 100_000):
        description = generator.describe(task_id)
        values = {
            path.rsplit(".", 1)[-1]: value for path, value in description.slice_values.items()
        }
        values["label"] = description.label
        if all(values.get(name) == value for name, value in wanted.items()):
            return task_id
    raise LookupError(f"no task has {wanted}")


# -- rewards that a script earns, in environments that the recipe's curriculum makes


@pytest.mark.parametrize("task_id", range(5))
def test_first_steps_pays_one_for_each_use_of_an_altar(task_id):
    config = tasks_of(first_steps).get_task(task_id)
    with ScriptedPlay(config) as play:
        assert play.use("altar", times=7) == pytest.approx(7.0)
        assert play.held("heart") == 7


@pytest.mark.parametrize("label", ["arena.combat", "arena.peaceful"])
def test_arena_pays_for_a_heart_made_from_ore(label):
    generator = tasks_of(arena)
    task_id = task_where(generator, label=label, battery_red=0)
    values = {
        path: value
        for path, value in generator.describe(task_id).slice_values.items()
        if "rewards" in path
    }
    weight = {step: values[arena.weight_path(step)] for step in arena.STEPS}

    with ScriptedPlay(generator.get_task(task_id)) as play:
        assert play.use("mine_red", times=3) == pytest.approx(3 * weight["ore_red"])
        assert play.held("ore_red") == 3
        assert play.use("altar") == 0, "an altar gave something for nothing"
        assert play.use("generator_red", times=3) == pytest.approx(3 * weight["battery_red"])
        assert play.held("battery_red") == 3
        assert play.use("altar") == pytest.approx(1.0)
        assert play.held("heart") == 1
        assert play.held("battery_red") == play.held("ore_red") == 0


def test_arena_pays_for_laser_and_armor():
    generator = tasks_of(arena)
    config = generator.get_task(task_where(generator, label="arena.combat", battery_red=1))
    laser, armor = (config.game.agent.rewards[item].weight for item in ("laser", "armor"))
    with ScriptedPlay(config) as play:
        play.use("mine_red")
        assert play.use("lasery") == pytest.approx(laser)
        play.use("mine_red", times=3)
        assert play.use("armory") == pytest.approx(armor)
        assert play.held("laser") == play.held("armor") == 1


def test_arena_lets_an_armed_agent_shoot_a_heart_away():
    generator = tasks_of(arena)
    config = generator.get_task(task_where(generator, label="arena.combat", battery_red=3))
    with ScriptedPlay(config) as play:
        victim, shooter = 0, 1
        play.use("altar", agent=victim)
        assert play.held("heart", victim) == 1
        for agent in range(2, play.simulation.num_agents):  # everybody could be the nearest
            play.use("altar", agent=agent)
        # Three batteries went into a heart except for the shooter's, one of which makes the laser.
        play.use("mine_red", agent=shooter)
        play.use("lasery", agent=shooter)
        assert play.held("laser", shooter) == 1
        assert play.use("agent", agent=shooter) == pytest.approx(1.0)
        assert play.held("laser", shooter) == 0
        assert sum(play.held("heart", agent) for agent in range(play.simulation.num_agents)) == 23


def test_peaceful_arena_cannot_be_shot_in():
    config = arena.make_env(attack_cost=arena.PEACE)
    limit = config.game.agent.inventory.get_limit("laser")
    assert limit < arena.PEACE


def test_shaped_arena_pays_for_every_step():
    config = tasks_of(arena, "train_shaped").get_task(0)
    with ScriptedPlay(config) as play:
        assert play.use("mine_red") == pytest.approx(0.1)
        assert play.use("generator_red") == pytest.approx(0.8)
        assert play.use("altar") == pytest.approx(1.0)


# On the map of task 1 with this seed there is a corner that nobody gets out of.
@pytest.mark.parametrize("task_id", [0, 2, 3, 4, 5])
def test_easy_shaped_arena_makes_a_heart_from_one_ore_and_pays_for_every_step(task_id):
    generator = tasks_of(arena_basic_easy_shaped)
    values = generator.describe(task_id).slice_values
    with ScriptedPlay(generator.get_task(task_id)) as play:
        assert play.use("mine_red") == pytest.approx(values[arena.weight_path("ore_red")])
        if (
            values["game.agent.inventory.initial.battery_red"]
            < values["game.agent.inventory.default_limit"]
        ):
            assert play.use("generator_red") == pytest.approx(
                values[arena.weight_path("battery_red")]
            )
        assert play.use("altar") == pytest.approx(1.0)


@pytest.mark.parametrize("price", arena_with_sparse_rewards.PRICES)
def test_sparse_arena_pays_for_hearts_and_for_nothing_else(price):
    generator = tasks_of(arena_with_sparse_rewards)
    task_id = task_where(generator, label=f"arena.sparse.price_{price}", battery_red=0)
    with ScriptedPlay(generator.get_task(task_id)) as play:
        assert play.use("mine_red", times=price) == 0
        assert play.use("generator_red", times=price) == 0
        assert play.use("altar") == pytest.approx(1.0)
        assert play.use("altar") == 0
        assert play.simulation.episode_rewards[0] == pytest.approx(1.0)


@pytest.mark.parametrize("terrain", ["open", "cluttered", "rooms"])
def test_navigation_pays_one_for_each_altar_found(terrain):
    generator = tasks_of(navigation)
    task_id = task_where(generator, label=f"navigation.{terrain}", width=18, altar=3)
    with ScriptedPlay(generator.get_task(task_id)) as play:
        for _ in range(3):
            assert play.use("altar") == pytest.approx(1.0)
        with pytest.raises(LookupError, match="any altar"):
            play.use("altar")


def test_navigation_names_the_terrains_for_an_unknown_one():
    with pytest.raises(
        ValueError, match="terrain='swamp' does not exist; use 'open', 'cluttered' or 'rooms'"
    ):
        navigation.make_env(terrain="swamp")


@pytest.mark.parametrize("price", level_1.PRICES)
def test_level_1_pays_every_cog_for_a_heart_that_they_made_together(price):
    generator = tasks_of(level_1)
    task_id = task_where(
        generator,
        label=f"level_1.price_{price}",
        weights=[0.1] * 4,
        carbon=0,
        oxygen=0,
        germanium=0,
        silicon=0,
    )
    with ScriptedPlay(generator.get_task(task_id)) as play:
        for cog, element in enumerate(level_1.ELEMENTS):
            play.use(f"{element}_extractor", times=price, agent=cog)
            assert play.use("hub", agent=cog) == pytest.approx(0.1 * price)
            assert play.held(element, cog) == 0
            play.use(f"{element}_extractor", agent=cog)  # makes way for the others
        *walk, last = play.path("hub", agent=3)
        for action in walk:
            play.act(action, agent=3)
        assert play.act(last, agent=3) == pytest.approx([1.0] * 4)
        assert [play.held("heart", cog) for cog in range(4)] == [0, 0, 0, 1]


def test_level_1_hub_gives_a_heart_from_stock_and_counts_it_down():
    generator = tasks_of(level_1)
    stock = dict.fromkeys(level_1.ELEMENTS, 5)
    with ScriptedPlay(
        generator.get_task(task_where(generator, label="level_1.price_2", **stock))
    ) as play:
        assert play.use("hub", times=2) == pytest.approx(2.0)  # 5 of each, 2 for a heart
        assert play.use("hub", times=3) == 0
        assert play.held("heart") == 2


# -- properties of all recipes


@pytest.mark.parametrize(("recipe", "function"), TRAINING, ids=named)
def test_all_tasks_have_the_same_spaces(recipe, function):
    generator = tasks_of(recipe, function)
    reference = PolicyEnvInterface.from_mg_cfg(generator.get_task(0))
    for task_id in range(1, min(60, generator.num_variants or 60)):
        other = PolicyEnvInterface.from_mg_cfg(generator.get_task(task_id))
        assert other == reference  # agents, actions, tags, observation features and shape


@pytest.mark.parametrize(("recipe", "function"), TRAINING, ids=named)
def test_every_task_fits_on_its_map(recipe, function):
    """mettagrid halves the counts of what does not fit, and never ends if agents do not."""
    generator = tasks_of(recipe, function)
    for task_id in range(min(300, generator.num_variants or 300)):
        game = generator.get_task(task_id).game
        builder = game.map_builder
        if isinstance(builder, RandomMapBuilderConfig):
            assert sum(builder.objects.values()) + game.num_agents <= free_cells(builder)
        else:
            assert isinstance(
                builder, MapGenConfig
            )  # leaves out objects, and fails if agents do not fit


@pytest.mark.parametrize(("recipe", "function"), TRAINING, ids=named)
def test_more_agents_than_places_are_refused(recipe, function):
    with pytest.raises(ValueError, match=r"num_agents=200 is too many for .*use at most \d+"):
        getattr(recipe, function)(num_agents=200)


@pytest.mark.parametrize(("recipe", "function"), TRAINING, ids=named)
def test_episodes_run_to_their_end_under_random_actions(recipe, function):
    """An observation that outgrows its tokens would stop the simulation."""
    generator = tasks_of(recipe, function)
    for task_id in range(4):
        config = generator.get_task(task_id)
        simulation = Simulation(with_map_seed(config, task_id), seed=task_id)
        actions = itertools.cycle(simulation.action_names[1:] * 3 + simulation.action_names[::-1])
        while not simulation.is_done():
            for agent in simulation.agents():
                agent.set_action(next(actions))
            simulation.step()
        assert simulation.current_step == config.game.max_steps
        simulation.close()


@pytest.mark.parametrize(("recipe", "function"), TRAINING, ids=named)
def test_curriculum_survives_json(recipe, function):
    curriculum = curriculum_of(recipe, function)
    again = CurriculumConfig.model_validate_json(curriculum.model_dump_json())
    assert again == curriculum
    assert generator_of(again).get_task(3) == generator_of(curriculum).get_task(3)


@pytest.mark.parametrize(("recipe", "function"), TRAINING, ids=named)
def test_every_object_has_a_symbol(recipe, function):
    game = tasks_of(recipe, function).get_task(0).game
    assert set(game.objects) <= set(DEFAULT_SYMBOL_MAP | game.render.symbols)


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_tools_share_the_recipes_tasks(recipe):
    training, evaluation, playing = recipe.train(), recipe.evaluate(), recipe.play()
    assert isinstance(training, TrainTool)
    assert isinstance(evaluation, EvaluateTool)
    assert isinstance(playing, PlayTool)
    assert isinstance(training.training_env.curriculum.algorithm_config, LearningProgressConfig)
    assert evaluation.curriculum == playing.curriculum == training.training_env.curriculum


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_parameters_reach_the_environment(recipe):
    tasks = generator_of(recipe.train(num_agents=3, max_steps=17).training_env.curriculum)
    game = tasks.get_task(0).game
    assert (game.num_agents, game.max_steps) == (3, 17)
    Simulation(with_map_seed(tasks.get_task(0), 0)).close()


def test_importing_recipes_loads_no_learning_library():
    modules = [recipe.__name__ for recipe in RECIPES]
    for module in modules:
        importlib.import_module(
            module
        )  # so that a failure here is not taken for one of the check below
    code = (
        f"import sys, {', '.join(modules)}; print([m for m in ('torch', 'pufferlib') if m in "
        "sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert output.stdout.strip() == "[]"
