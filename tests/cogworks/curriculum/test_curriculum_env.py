"""CurriculumEnv over mettagrid's environment and over a native PufferLib one, in every vector
backend."""

import gc
import multiprocessing
import pickle
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pufferlib.vector
import pytest
from mettagrid.config.mettagrid_config import MettaGridConfig
from mettagrid.envs.mettagrid_puffer_env import MettaGridPufferEnv
from mettagrid.simulator import Simulator

from metta.cogworks.curriculum import (
    Curriculum,
    CurriculumConfig,
    CurriculumTask,
    DiscreteRandomConfig,
    TaskState,
    bucketed,
    single_task,
)
from metta.cogworks.curriculum.curriculum_env import CurriculumEnv, InvalidTasksError
from metta.cogworks.curriculum.sessions import SessionClosedError
from tests.cogworks.curriculum.drills import (
    ACTIONS,
    Drill,
    DrillEnv,
    drill,
    many,
    pool,
    run_episode,
    set_drill,
)


def room(max_steps: int = 3) -> MettaGridConfig:
    config = MettaGridConfig.EmptyRoom(num_agents=2, width=6, height=6)
    config.game.max_steps = max_steps
    return config


def mettagrid_env(
    curriculum: Curriculum, config: MettaGridConfig | None = None, **options: Any
) -> CurriculumEnv:
    return CurriculumEnv(MettaGridPufferEnv(Simulator(), config or room()), curriculum, **options)


# Episodes
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["terminals", "truncations", "one each"])
def test_an_episode_is_credited_once_with_the_mean_reward_per_agent(ending: str):
    with pool() as curriculum:
        env = CurriculumEnv(DrillEnv(ending=ending), curriculum, apply_task=set_drill)
        env.reset()
        task = env.current_task
        assert task is not None
        run_episode(env)
        assert env.current_task is None
        state = curriculum.algorithm.task_tracker.get_task_state(task.task_id)
        assert state is not None
        assert state.completion_count == 1
        # Three steps of 0.5 for the first agent and of 1.0 for the second.
        assert state.total_score == pytest.approx((3 * 0.5 + 3 * 1.0) / 2)
        for _ in range(9):
            run_episode(env)
        assert curriculum.stats()["num_completed"] == 10
        assert curriculum.stats()["num_scheduled"] == 10


def test_the_finished_task_is_credited_before_the_next_is_set():
    completed_when_set = []
    with pool() as curriculum:

        def apply(env: DrillEnv, task: Drill) -> None:
            completed_when_set.append(curriculum.stats()["num_completed"])
            env.task = task

        env = CurriculumEnv(DrillEnv(), curriculum, apply_task=apply)
        for _ in range(3):
            run_episode(env)
        assert completed_when_set == [0, 1, 2]


def test_the_task_is_in_force_in_its_own_episode():
    generator = bucketed(Drill(), {"length": [2, 3, 5, 7]})
    with pool(generator) as curriculum:
        env = drill(curriculum)
        seen = set()
        for _ in range(40):
            env.step(ACTIONS)
            task = env.current_task
            assert task is not None
            length = task.get_env_cfg().length
            infos = run_episode(env)[4]
            assert infos[-1]["length"] == length
            assert infos[0] == {"elapsed": length}
            seen.add(length)
        assert seen == {task.get_env_cfg().length for task in curriculum.get_tasks(100)}


def test_a_reset_begins_another_task_and_credits_nothing():
    with pool() as curriculum:
        env = drill(curriculum)
        env.reset()
        env.step(ACTIONS)
        env.reset()
        assert curriculum.stats()["num_completed"] == 0
        run_episode(env)
        assert curriculum.stats()["num_completed"] == 1
        assert curriculum.stats()["num_scheduled"] == 2  # the interrupted and the completed one


def test_a_task_is_drawn_when_its_episode_begins():
    with pool() as curriculum:
        env = drill(curriculum)
        assert curriculum.stats()["num_scheduled"] == 0
        for episodes in range(1, 4):
            env.step(ACTIONS)
            assert curriculum.stats()["num_scheduled"] == episodes
            run_episode(env)
            assert curriculum.stats()["num_scheduled"] == episodes


def test_step_before_reset_begins_an_episode():
    with pool() as curriculum:
        assert run_episode(drill(curriculum))[4][-1] == {
            "reward": pytest.approx(2.25),
            "length": 3.0,
        }


def test_later_episodes_get_seeds_derived_from_the_reset():
    with pool() as curriculum:
        env = drill(curriculum)
        env.reset(seed=7)
        for _ in range(3):
            run_episode(env)
        env.step(ACTIONS)
        assert env.seeds[0] == 7
        assert len(set(env.seeds)) == 4
        assert all(0 <= seed < 2**31 for seed in env.seeds)
        env.reset()
        assert env.seeds[-1] is None


def test_rewards_and_statistics_can_be_read_from_the_environment():
    with pool() as curriculum:
        env = drill(
            curriculum,
            episode_rewards=lambda env: np.array([10.0, 20.0]),
            episode_stats=lambda env: {"elapsed": float(env.elapsed)},
        )
        infos = run_episode(env)[4]
        assert infos[-1] == {"reward": 15.0, "length": 3.0, "elapsed": 3.0}


# mettagrid
# --------------------------------------------------------------------------------------------------


def test_mettagrid_plays_the_task_that_is_credited():
    generator = bucketed(room(), {"game.max_steps": [2, 3, 4]})
    with pool(generator) as curriculum:
        env = mettagrid_env(curriculum)
        env.reset(seed=0)
        for episode in range(20):
            if episode:
                env.step(ACTIONS)
            task = env.current_task
            assert task is not None
            assert env.env_cfg.game.max_steps == task.get_env_cfg().game.max_steps
            assert env.current_simulation.config.game.max_steps == task.get_env_cfg().game.max_steps
            infos = run_episode(env)[4]
            assert infos["length"] == task.get_env_cfg().game.max_steps
            assert set(infos) == {"reward", "length"}
        assert curriculum.stats()["num_completed"] == 20


def test_mettagrid_score_is_the_mean_of_its_episode_rewards():
    config = room()
    config.game.max_steps = 4
    with pool(single_task(config)) as curriculum:
        env = mettagrid_env(curriculum)
        infos = run_episode(env)[4]
        assert infos["reward"] == pytest.approx(float(env.get_episode_rewards().mean()))


def test_mettagrid_goes_on_after_a_configuration_it_refuses():
    # A room of 2 x 2 cells is all wall: mettagrid finds no place for an agent, and its environment
    # is left half closed.
    generator = bucketed(room(), {"game.map_builder.width": [2, 6]})
    with pool(generator) as curriculum:
        env = mettagrid_env(curriculum)
        for _ in range(20):
            run_episode(env)
        stats = curriculum.stats()
        assert stats["num_completed"] == 20
        assert stats["num_invalid"] > 0
        assert all(
            task.get_env_cfg().game.map_builder.width == 6 for task in curriculum.get_tasks(50)
        )


# Configurations that are used again
# -----------------------------------------------------------------------------------


def busy_room() -> MettaGridConfig:
    """A room whose configuration mettagrid changes in place: it fills in the agents, and halves
    walls until they fit."""
    config = room(max_steps=4)
    config.game.map_builder.objects = {"wall": 300}  # type: ignore[union-attr]
    return config


def busy_generator() -> Any:
    return bucketed(
        busy_room(),
        {
            "game.map_builder.width": [5, 6, 9],
            "game.max_steps": [2, 4],
            "game.agent.inventory.default_limit": [10, 20],
        },
    )


def config_ids(env: CurriculumEnv, episodes: int) -> list[int]:
    found = []
    for _ in range(episodes):
        env.step(ACTIONS)
        found.append(id(env.env_cfg))
        run_episode(env)
    return found


def test_configurations_of_equal_tasks_are_used_again():
    with pool(single_task(room())) as curriculum:
        # Two take turns: the one before goes back once the environment has the next.
        assert len(set(config_ids(mettagrid_env(curriculum), 20))) == 2
        assert curriculum.configs is not None
        assert len(curriculum.configs) == 1
    with pool(single_task(room())) as curriculum:
        environments = [mettagrid_env(curriculum) for _ in range(3)]
        for _ in range(10):
            for env in environments:
                run_episode(env)
            for env in environments:
                env.step(ACTIONS)
            assert len({id(env.env_cfg.game) for env in environments}) == 3


@pytest.mark.parametrize(
    "options",
    [{"reuse_configs": False}, {"apply_task": lambda env, config: env.set_mg_config(config)}],
)
def test_configurations_are_not_used_again_where_they_may_have_been_changed(
    options: dict[str, Any],
):
    with pool(single_task(room())) as curriculum:
        env = mettagrid_env(curriculum, **options)
        kept = []
        for _ in range(5):
            env.step(ACTIONS)
            kept.append(env.env_cfg)
            kept[-1].game.max_steps *= 2  # would compound
            run_episode(env)
        assert len({id(config) for config in kept}) == 5
        assert {config.game.max_steps for config in kept} == {6}
        assert curriculum.configs is not None
        assert len(curriculum.configs) == 0


def test_a_custom_apply_task_can_ask_for_configurations_to_be_used_again():
    with pool(single_task(room())) as curriculum:
        env = mettagrid_env(
            curriculum, apply_task=lambda env, config: env.set_mg_config(config), reuse_configs=True
        )
        assert len(set(config_ids(env, 20))) == 2


def test_a_configuration_that_somebody_keeps_is_left_alone():
    with pool(single_task(room())) as curriculum:
        env = mettagrid_env(curriculum)
        kept = []
        for _ in range(6):
            env.step(ACTIONS)
            kept.append(env.env_cfg)
            run_episode(env)
        assert len({id(config) for config in kept}) == 6


def test_what_the_environment_plays_is_not_the_tasks_own_configuration():
    with pool(single_task(room())) as curriculum:
        env = mettagrid_env(curriculum)
        env.reset()
        task = env.current_task
        assert task is not None
        task.get_env_cfg().game.max_steps = 99
        assert env.env_cfg.game.max_steps == 3
        assert run_episode(env)[4]["length"] == 3


class Shortened(Curriculum):
    """A curriculum of a user's: what it plays is not what the generator makes."""

    def build(self, task_id: int) -> Any:
        config = super().build(task_id)
        config.game.max_steps = 2
        return config


def test_a_curriculum_that_builds_otherwise_is_asked():
    algorithm = DiscreteRandomConfig(num_active_tasks=4, use_shared_memory=False)
    with Shortened(
        CurriculumConfig(task_generator=single_task(room()), algorithm_config=algorithm)
    ) as curriculum:
        env = mettagrid_env(curriculum)
        assert [run_episode(env)[4]["length"] for _ in range(3)] == [2, 2, 2]


class Alternating(Curriculum):
    """A curriculum of a user's: it chooses for itself, and takes note of every score."""

    scores: list[float]

    def get_task(self) -> CurriculumTask:
        ids = sorted(self.probabilities())
        return CurriculumTask.of(self, ids[len(self.scores) % 2])

    def update_task_performance(self, task_id: int, score: float) -> None:
        self.scores.append(score)
        super().update_task_performance(task_id, score)


def test_a_curriculum_that_chooses_otherwise_is_asked():
    algorithm = DiscreteRandomConfig(num_active_tasks=4, use_shared_memory=False)
    with Alternating(
        CurriculumConfig(task_generator=many(Drill()), algorithm_config=algorithm)
    ) as curriculum:
        curriculum.scores = []
        env = drill(curriculum)
        played = []
        for _ in range(4):
            env.reset()
            assert env.current_task is not None
            played.append(env.current_task.task_id)
            run_episode(env)
        first, second = sorted(curriculum.probabilities())[:2]
        assert played == [first, second, first, second]
        assert curriculum.scores == [pytest.approx(2.25)] * 4


class Wrapper:
    """Not a curriculum, but in the place of one: it takes note of what is asked for."""

    def __init__(self, curriculum: Curriculum) -> None:
        self.curriculum = curriculum
        self.asked: list[str] = []

    def get_task(self) -> CurriculumTask:
        self.asked.append("get_task")
        return self.curriculum.get_task()

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self.curriculum, name)


def test_a_wrapper_of_a_curriculum_is_asked():
    with pool() as curriculum:
        wrapper: Any = Wrapper(curriculum)
        env = CurriculumEnv(DrillEnv(), wrapper, apply_task=set_drill)
        wrapper.asked.clear()  # construction looks whether all is there
        for _ in range(3):
            run_episode(env)
        assert wrapper.asked == ["get_task", "update_task_performance"] * 3
        assert curriculum.stats()["num_completed"] == 3


class Failing(Curriculum):
    """A curriculum that fails to draw while ``broken``."""

    broken = False

    def get_task(self) -> CurriculumTask:
        if self.broken:
            raise ValueError("no draw today")
        return super().get_task()


def test_when_the_draw_fails_the_completion_before_it_stays_and_counts_once():
    algorithm = DiscreteRandomConfig(num_active_tasks=4, use_shared_memory=False)
    with Failing(
        CurriculumConfig(task_generator=single_task(Drill()), algorithm_config=algorithm)
    ) as curriculum:
        env = drill(curriculum)
        run_episode(env)
        curriculum.broken = True
        for begin in (lambda: env.step(ACTIONS), env.reset):
            with pytest.raises(ValueError, match="no draw today"):
                begin()
            assert env.current_task is None
            assert curriculum.get_base_stats()["num_completed"] == 1
        curriculum.broken = False
        run_episode(env)
        assert curriculum.get_base_stats()["num_completed"] == 2


def test_a_task_that_left_the_pool_is_not_played():
    with pool() as curriculum, pool(seed=1) as other:
        env = drill(curriculum)
        run_episode(env)
        for task_id in list(curriculum.probabilities()):
            curriculum.retire_task(task_id, "for the test")
        run_episode(env)
        curriculum.load_state(other.get_state())
        run_episode(env)
        stats = curriculum.get_base_stats()
        assert (stats["num_completed"], stats["late_completions"]) == (1, 0)  # since the load


def test_an_environment_whose_rewards_are_summed_here_goes_with_its_last_reference():
    with pool() as curriculum:
        inner = DrillEnv()
        gone = weakref.ref(inner)
        env = CurriculumEnv(inner, curriculum, apply_task=set_drill)
        env.step(ACTIONS)
        gc.disable()
        try:
            del env, inner
            assert gone() is None
        finally:
            gc.enable()


def test_a_refused_task_of_a_closed_session_is_told_as_closed():
    refused: list[int] = []

    def apply(env: DrillEnv, task: Drill) -> None:
        if refused:
            raise ValueError("no")
        env.task = task

    algorithm = DiscreteRandomConfig(num_active_tasks=4)
    with CurriculumConfig(
        task_generator=single_task(Drill()), algorithm_config=algorithm
    ).make() as curriculum:
        env = CurriculumEnv(DrillEnv(), curriculum, apply_task=apply)
        run_episode(env)
    refused.append(1)
    with pytest.raises(SessionClosedError):
        env.step(ACTIONS)


def test_what_is_played_after_a_refusal_comes_back_at_once():
    """Not only when the garbage collector has run: a refusal refers to the frame that goes on with
    the next task."""
    with pool(
        bucketed(room(), {"game.map_builder.width": [2, 6]})
    ) as curriculum:  # all wall: see above
        env = mettagrid_env(curriculum)
        assert curriculum.configs is not None
        gc.disable()
        try:
            env.reset()
            for _ in range(20):
                env.reset()
                assert (
                    len(curriculum.configs) == 1
                )  # two of width 6 take turns: one is played, the other is back
        finally:
            gc.enable()
        assert curriculum.stats()["num_invalid"] > 0


def test_a_refused_configuration_is_not_kept():
    with pool(
        bucketed(room(), {"game.map_builder.width": [2, 6]})
    ) as curriculum:  # all wall: see above
        env = mettagrid_env(curriculum)
        for _ in range(20):
            run_episode(env)
            assert env.env_cfg.game.map_builder.width == 6
        assert curriculum.stats()["num_invalid"] > 0
        assert curriculum.configs is not None
        assert len(curriculum.configs) == 1


def test_episodes_are_the_same_whether_configurations_are_used_again_or_not():
    """Also where mettagrid changes them in place, and where a bucket sets what it derives from."""

    def episodes(reuse: bool) -> list[Any]:
        seen: list[Any] = []
        with pool(busy_generator(), tasks=64, seed=3) as curriculum:
            env = mettagrid_env(curriculum, busy_room(), reuse_configs=reuse)
            for _ in range(100):
                env.step(ACTIONS)
                sim = env.current_simulation
                walls = sum(thing["type_name"] == "wall" for thing in sim.grid_objects().values())
                limits = [agent.inventory.default_limit for agent in env.env_cfg.game.agents]
                shape = sim.map_width, sim.map_height
                del sim  # it holds its configuration
                infos = run_episode(env)[4]
                seen.append((*shape, walls, limits, infos["length"], infos["reward"]))
            assert curriculum.configs is not None
            assert (len(curriculum.configs) > 0) == reuse
        return seen

    reused = episodes(True)
    assert len({str(episode) for episode in reused}) == 12
    assert reused == episodes(False)


# Bad tasks
# --------------------------------------------------------------------------------------------------


def test_refused_tasks_are_retired_and_others_taken():
    with pool(bucketed(Drill(), {"length": [0, 3]}), tasks=32) as curriculum:
        env = drill(curriculum)
        for _ in range(10):
            run_episode(env)
        assert curriculum.stats()["num_invalid"] > 0
        assert curriculum.stats()["num_completed"] == 10


def test_when_every_task_is_invalid_the_error_says_so():
    with pool(many(Drill(length=0))) as curriculum:
        env = drill(curriculum, max_attempts=20)
        with pytest.raises(
            InvalidTasksError,
            match=r"every task was invalid: 20 tasks in a row.*length 0 is not allowed",
        ):
            env.reset()
        assert curriculum.stats()["num_invalid"] == 20


def test_when_the_last_task_is_retired_the_error_says_so():
    with (
        pool(many(Drill(length=0)), max_task_id=4) as curriculum,
        pytest.raises(InvalidTasksError, match="all 4 tasks of the curriculum are invalid"),
    ):
        drill(curriculum).step(ACTIONS)


# Episodes without a score
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e100, -1e200])
def test_an_episode_whose_score_is_no_number_is_counted_as_unscored(
    value: float, caplog: pytest.LogCaptureFixture
):
    with pool() as curriculum:
        env = drill(curriculum, episode_rewards=lambda env: np.array([value, value]))
        env.reset()
        assert env.current_task is not None
        task = env.current_task
        known = task.state
        infos = run_episode(env)[4]
        assert infos[-1] == {"length": 3.0}  # no reward, which would be no number
        stats = curriculum.stats()
        assert (stats["num_unscored"], stats["num_scheduled"]) == (1, 1)
        assert (stats["num_completed"], stats["late_completions"]) == (0, 0)
        assert known is not None
        assert task.state is not None
        assert known.columns["in_flight_count"] == 1.0
        assert task.state.columns["in_flight_count"] == 0.0
        assert without_in_flight(task.state) == without_in_flight(known)
    (record,) = caplog.records
    assert f"an episode of task {task.task_id} (Drill) was not scored" in record.message
    assert f"its score is {value!r}" in record.message
    assert "check the environment's rewards" in record.message


def without_in_flight(state: TaskState) -> tuple[TaskState, dict[str, float]]:
    columns = {name: value for name, value in state.columns.items() if "in_flight" not in name}
    return state.model_copy(update={"columns": {}}), columns


def test_a_run_goes_on_with_rewards_that_are_no_number_in_some_tasks(
    caplog: pytest.LogCaptureFixture,
):
    def apply(env: DrillEnv, task: Drill) -> None:
        env.task = task if task.pay > 0 else Drill(pay=float("nan"))

    with pool(bucketed(many(Drill()), {"pay": [0.5, -1.0]}), tasks=8) as curriculum:
        env = CurriculumEnv(DrillEnv(), curriculum, apply_task=apply)
        infos = [run_episode(env)[4][-1] for _ in range(100)]
        stats = curriculum.stats()
        scored = sum("reward" in info for info in infos)
        assert 0 < scored < 100
        assert (stats["num_completed"], stats["num_unscored"]) == (scored, 100 - scored)
        assert all(info["length"] == 3.0 for info in infos)
        assert all(np.isfinite(list(info.values())).all() for info in infos)
        warned = [
            int(record.message.rpartition("so far: ")[2].split(")")[0]) for record in caplog.records
        ]
        assert warned == [2**k for k in range(len(warned))]
        assert 2 ** len(warned) > 100 - scored


def test_an_environment_without_set_mg_config_needs_apply_task():
    with (
        pool() as curriculum,
        pytest.raises(TypeError, match="DrillEnv has no set_mg_config: pass apply_task"),
    ):
        CurriculumEnv(DrillEnv(), curriculum)


def test_max_attempts_must_be_positive():
    with (
        pool() as curriculum,
        pytest.raises(ValueError, match="max_attempts must be at least 1, got 0"),
    ):
        drill(curriculum, max_attempts=0)


# Attributes
# --------------------------------------------------------------------------------------------------


def test_every_other_attribute_is_the_wrapped_environments():
    with pool() as curriculum:
        inner = DrillEnv()
        env = CurriculumEnv(inner, curriculum, apply_task=set_drill)
        assert env.single_observation_space is inner.single_observation_space
        assert env.observations is inner.observations
        assert env.num_agents == 2
        assert not env.done
        assert env.emulated is False
        assert env.env is inner
        assert env.curriculum is curriculum
        buffer = np.zeros(2, dtype=np.float32)
        env.rewards = buffer
        assert inner.rewards is buffer
        env.something_new = 5
        assert inner.something_new == 5
        with pytest.raises(AttributeError, match="no_such_thing"):
            _ = env.no_such_thing


def test_it_survives_pickling():
    config = DiscreteRandomConfig(num_active_tasks=4)
    with CurriculumConfig(
        task_generator=single_task(Drill()), algorithm_config=config
    ).make() as curriculum:
        env = pickle.loads(pickle.dumps(drill(curriculum)))
        run_episode(env)
        assert curriculum.stats()["num_completed"] == 1
        env.curriculum.close()


# Vector backends
# --------------------------------------------------------------------------------------------------


def make_drill(config: CurriculumConfig, buf: Any = None, seed: int = 0) -> CurriculumEnv:
    return CurriculumEnv(DrillEnv(buf, seed), config.make(), apply_task=set_drill)


def make_room(config: CurriculumConfig, buf: Any = None, seed: int = 0) -> CurriculumEnv:
    return CurriculumEnv(MettaGridPufferEnv(Simulator(), room(), buf=buf, seed=seed), config.make())


BACKENDS = [
    pytest.param("PufferEnv", "fork", 1, id="native"),
    pytest.param("Serial", "fork", 4, id="serial"),
    pytest.param("Multiprocessing", "fork", 4, id="fork"),
    pytest.param("Multiprocessing", "spawn", 4, id="spawn"),
    pytest.param("Multiprocessing", "fork", 2, id="one-env-a-worker"),
]


@pytest.fixture
def start_method(request: pytest.FixtureRequest) -> Iterator[str]:
    """Sets the start method of the process, which is the one that PufferLib uses."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(request.param, force=True)
    yield request.param
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.timeout(120)  # PufferLib itself waits for ever for a worker that is gone
@pytest.mark.parametrize(
    ("backend", "start_method", "num_envs"), BACKENDS, indirect=["start_method"]
)
@pytest.mark.parametrize("make", [make_drill, make_room])
def test_every_backend_credits_every_episode_to_one_pool(
    make: Any, backend: str, start_method: str, num_envs: int
):
    generator = single_task(Drill() if make is make_drill else room())
    config = CurriculumConfig(
        task_generator=generator, algorithm_config=DiscreteRandomConfig(num_active_tasks=4)
    )
    with config.make() as curriculum:
        creator = partial(make, curriculum.config)
        options = {"num_workers": 2, "overwork": True} if backend == "Multiprocessing" else {}
        vecenv: Any = pufferlib.vector.make(
            creator, backend=getattr(pufferlib.vector, backend), num_envs=num_envs, **options
        )
        episodes = 0
        try:
            vecenv.async_reset(seed=1)
            actions = np.zeros(vecenv.num_agents, dtype=np.int32)
            for step in range(31):
                infos = vecenv.recv()[5]
                episodes += sum("reward" in info for info in infos)
                if step < 30:
                    vecenv.send(actions)
        finally:
            vecenv.close()
            for process in getattr(vecenv, "processes", []):
                process.join(30)
        # Thirty steps are ten episodes of three.
        assert episodes == 10 * num_envs
        assert curriculum.stats()["num_completed"] == 10 * num_envs


# Optional dependency
# --------------------------------------------------------------------------------------------------


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_pufferlib_the_error_says_what_to_install():
    done = run_python("""
        import sys
        sys.modules["pufferlib"] = None
        import metta.cogworks.curriculum as module
        try:
            module.CurriculumEnv
        except ImportError as error:
            print(error)
    """)
    assert "pip install 'metta-curriculum[train]'" in done.stdout, done.stderr


def test_the_curriculum_imports_neither_pufferlib_nor_torch_nor_mettagrid():
    done = run_python("""
        import sys
        import metta.cogworks.curriculum
        print(sorted({"torch", "pufferlib", "mettagrid", "gymnasium"} & set(sys.modules)))
    """)
    assert done.stdout.strip() == "[]", done.stderr


def test_an_episode_that_a_reset_cuts_off_is_no_longer_in_flight():
    with pool() as curriculum:
        env = CurriculumEnv(DrillEnv(), curriculum, apply_task=set_drill)
        for _ in range(5):
            env.reset()
        stats = curriculum.stats()
        assert stats["num_scheduled"] == 5
        assert stats["num_in_flight"] == 1
        run_episode(env)
        assert curriculum.stats()["num_in_flight"] == 0


def test_what_is_raised_while_a_task_is_handed_over_leaves_nothing_in_flight():
    def broken(env: DrillEnv, task: Drill) -> None:
        raise TypeError("a mistake of the user's")

    with pool() as curriculum:
        env = CurriculumEnv(DrillEnv(), curriculum, apply_task=broken)
        for _ in range(3):
            with pytest.raises(TypeError, match="a mistake"):
                env.reset()
        assert curriculum.stats()["num_in_flight"] == 0
        assert curriculum.stats()["num_invalid"] == 0
