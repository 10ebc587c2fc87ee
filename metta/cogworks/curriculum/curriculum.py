"""The curriculum: a view of the shared pool of tasks.

A :class:`Curriculum` holds a configuration, a handle on the table and nothing that could go stale.
Any number of them, in any number of processes, see one pool, one set of scores and one sampling
distribution.
"""

from __future__ import annotations

import difflib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from metta.cogworks.curriculum.config_stock import ConfigStock
from metta.cogworks.curriculum.sessions import new_session_id
from metta.cogworks.curriculum.shared_memory_backend import TASK_STRUCT_SIZE, TaskState
from metta.cogworks.curriculum.stats import SliceAnalyzer, StatsLogger, gini, with_prefix
from metta.cogworks.curriculum.task_config import class_path, resolve_class
from metta.cogworks.curriculum.task_generator import AnyTaskGeneratorConfig, TaskGenerator
from metta.cogworks.curriculum.task_table import (
    CLOCK,
    CREATED,
    EPOCH,
    EVICTED,
    FILLED,
    INVALID,
    LABEL,
    LATE,
    REFRESHED,
    SEED,
    STALE,
    Column,
)
from metta.cogworks.curriculum.task_tracker import TaskTracker, validate_completion
from metta.cogworks.curriculum.task_values import validate_task_id

_LOG = logging.getLogger(__name__)

# The distribution lags behind the scores by fewer than max(LAG_LEAST, tasks / LAG_SHARE)
# completions, so that the cost of refreshing it, which is linear in the number of tasks, is a
# constant per completion. A 32nd costs no learning, a 16th begins to in one of two simulated worlds
# (docs/evidence.md).
LAG_LEAST, LAG_SHARE = 8, 32
# Evictions per refresh are bounded too, so that a refresh of a huge pool does not keep the lock for
# long.
MOST_EVICTIONS = 256


def lag_bound(num_tasks: int) -> int:
    """By how many completions, at most, the distribution is older than the scores when a task is
    drawn."""
    return max(LAG_LEAST, num_tasks // LAG_SHARE)


class StrictConfig(BaseModel):
    """A configuration in which an unknown field is an error that names the nearest one."""

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, arbitrary_types_allowed=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for name in data:
                if name not in cls.model_fields and name != "type":
                    raise ValueError(unknown_field(cls.__name__, str(name), list(cls.model_fields)))
        return data


def unknown_field(owner: str, name: str, known: Sequence[str]) -> str:
    """What to say about a field that does not exist."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"fields: {', '.join(known)}"
    return f"{owner} has no field {name!r}; {hint}"


# --------------------------------------------------------------------------------------------------
# Algorithms


class CurriculumAlgorithmConfig(StrictConfig, ABC):
    """What every algorithm is told about the pool it works on."""

    num_active_tasks: int = Field(
        default=1000, ge=1, description="capacity of the pool, in tasks; the guide's default"
    )
    use_shared_memory: bool = Field(
        default=True, description="share the pool with every process of the session"
    )
    session_id: str | None = Field(
        default=None, description="name of the shared pool; None: a new one"
    )
    task_struct_size: int = Field(
        default=TASK_STRUCT_SIZE,
        ge=TASK_STRUCT_SIZE,
        description="float64 a row shows; those beyond 13 are the user's",
    )
    completion_history_size: int = Field(
        default=1000, ge=1, description="scores that mean_recent_score averages"
    )
    task_tracker_ema_alpha: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="weight of the latest score in reward_ema and ema_squared; the guide's default",
    )
    task_default_success_threshold: float = Field(
        default=0.5, description="score from which a completion is a success"
    )
    task_default_generator_type: float = Field(
        default=0.0, description="number stored with every task"
    )
    memory: int = Field(
        default=25,
        ge=1,
        description="completions that the success rate looks back on, as the exponential average "
        "with "
        "α = 2/(memory + 1), "
        "whose centre of mass is that of the window; the guide's default",
    )
    max_slice_axes: int = Field(
        default=3, ge=0, le=16, description="buckets whose values are followed; the guide's default"
    )
    enable_detailed_slice_logging: bool = Field(
        default=False, description="report statistics per bucket value"
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and "max_memory_tasks" in data:
            raise ValueError(
                "max_memory_tasks no longer exists: the capacity of the pool is num_active_tasks"
            )
        return data

    @abstractmethod
    def algorithm_type(self) -> str:
        """Short name of the algorithm, for statistics and logs."""

    @abstractmethod
    def create(self, num_tasks: int) -> CurriculumAlgorithm:
        """The algorithm, on a pool opened as configured."""

    def make_tracker(self, columns: Sequence[Column] = ()) -> TaskTracker:
        """The pool as configured, with these columns beside the documented ones."""
        return TaskTracker(
            max_memory_tasks=self.num_active_tasks,
            ema_alpha=self.task_tracker_ema_alpha,
            session_id=self.session_id if self.use_shared_memory else None,
            use_shared_memory=self.use_shared_memory,
            task_struct_size=self.task_struct_size,
            completion_history_size=self.completion_history_size,
            default_success_threshold=self.task_default_success_threshold,
            default_generator_type=self.task_default_generator_type,
            columns=columns,
            slice_axes=self.max_slice_axes,
            success_alpha=2.0 / (self.memory + 1.0),
        )


class CurriculumAlgorithm(StatsLogger, ABC):
    """Decides which tasks are worth drawing and which leave the pool.

    A custom algorithm implements the abstract methods, which see task ids only. Sampling is then in
    proportion to ``score_tasks``. Its own attributes stay in its process; what it declares as
    ``columns`` of the tracker is shared.
    """

    # Whether on_task_created and on_task_evicted are to be called for every task. Each costs a call
    # per task of the pool.
    needs_task_events: bool = True

    def __init__(
        self,
        num_tasks: int,
        hypers: CurriculumAlgorithmConfig | None,
        task_tracker: TaskTracker | None = None,
    ):
        super().__init__()
        self.num_tasks = num_tasks
        self.hypers = (
            hypers
            if hypers is not None
            else DiscreteRandomConfig(num_active_tasks=max(1, num_tasks))
        )
        self.task_tracker = task_tracker if task_tracker is not None else self.hypers.make_tracker()

    @abstractmethod
    def score_tasks(self, task_ids: list[int]) -> dict[int, float]:
        """What each task is worth, at least 0."""

    @abstractmethod
    def recommend_eviction(self, task_ids: list[int]) -> int | None:
        """The task that should leave first, or None."""

    @abstractmethod
    def should_evict_task(self, task_id: int, criterion: Sequence[int] | int | None = None) -> bool:
        """Whether the task may leave. ``criterion``: the ids it is compared with, or the least
        number of completions."""

    @abstractmethod
    def update_task_performance(self, task_id: int, score: float) -> None:
        """Take note of a completion. The curriculum has recorded it in the tracker already: do not
        record it again."""

    def on_task_created(self, task: CurriculumTask) -> None:
        """A task has entered the pool."""

    def on_task_evicted(self, task_id: int) -> None:
        """A task has left the pool; its row is gone."""

    def complete(self, slot: int, task_id: int, score: float) -> None:
        """Record a completion of the task in ``slot``, then tell the algorithm. Lock held."""
        table = self.task_tracker.table
        self.task_tracker.record_at(table.save_row(slot), score)
        self.update_task_performance(task_id, score)
        table.commit()

    def evictions(self, limit: int) -> list[int]:
        """Ids of the tasks that leave the pool now, at most ``limit``. Lock held."""
        ids = self.task_tracker.get_all_tracked_tasks()
        if limit < 1 or not ids:
            return []
        candidate = self.recommend_eviction(ids)
        return (
            [candidate] if candidate is not None and self.should_evict_task(candidate, ids) else []
        )

    def distribution(self) -> np.ndarray:
        """Probability of every slot, shape ``(max_tasks,)``; 0 for empty ones. Lock held."""
        table = self.task_tracker.table
        active = table.active()
        ids = table.task_ids().tolist()
        scores = self.score_tasks(ids)
        weight = np.array([scores.get(task_id, 0.0) for task_id in ids])
        if not np.isfinite(weight).all() or (weight < 0).any():
            bad = ids[int(np.flatnonzero(~np.isfinite(weight) | (weight < 0))[0])]
            raise ValueError(
                f"score_tasks gave {scores[bad]!r} for task {bad}: scores are finite and at least 0"
            )
        total = weight.sum()
        probability = np.zeros(active.size)
        probability[active] = weight / total if total > 0 else 1.0 / max(1, weight.size)
        return probability

    def get_base_stats(self) -> dict[str, float]:
        return {"num_tasks": float(self.task_tracker.table.task_ids().size)}

    def _compute_detailed_stats(self) -> dict[str, float]:
        return (
            with_prefix("tracker", self.task_tracker.get_global_stats())
            | self.label_stats()
            | self.slice_stats()
        )

    def stats_version(self) -> Any:
        table = self.task_tracker.table
        with table:
            header = table.header
            return (
                header[CLOCK],
                header[CREATED],
                header[EVICTED],
                header[INVALID],
                header[REFRESHED],
                header[EPOCH],
                table.scheduled(),
            )

    def label_stats(self) -> dict[str, float]:
        """Completions, scheduled count, mean score and tasks in the pool, as
        ``label/<label>/…``."""
        with self.task_tracker.table as table:
            totals = table.group_totals("label")
        totals.pop("", None)  # tasks without a label
        stats: dict[str, float] = {}
        for label, group in totals.items():
            n = group["completion_count"]
            stats[f"label/{label}/completions"] = n
            stats[f"label/{label}/scheduled"] = group["scheduled_count"]
            stats[f"label/{label}/active_tasks"] = group["active_tasks"]
            if n:
                stats[f"label/{label}/mean_score"] = group["total_score"] / n
        if totals:
            stats["label/gini_completions"] = gini(
                [group["completion_count"] for group in totals.values()]
            )
        return stats

    @property
    def slice_analyzer(self) -> SliceAnalyzer:
        """The slices of the whole pool, past tasks included, as of now."""
        analyzer = SliceAnalyzer(self.hypers.max_slice_axes)
        with self.task_tracker.table as table:
            totals = table.group_totals("slice")
        for name, group in totals.items():
            analyzer.add(
                name, group["completion_count"], group["total_score"], group["total_squared"]
            )
        return analyzer

    def slice_stats(self) -> dict[str, float]:
        """Statistics per bucket value as ``slice/…``, if they are wanted."""
        if not self.hypers.enable_detailed_slice_logging:
            return {}
        return with_prefix("slice", self.slice_analyzer.get_detailed_stats())

    def get_state(self) -> dict[str, Any]:
        """The pool, and what the algorithm keeps beside it."""
        return {"type": self.hypers.algorithm_type(), "tracker": self.task_tracker.get_state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a saved state; ValueError, and no change, if it belongs to another algorithm or
        does not fit."""
        if not isinstance(state, dict):
            raise ValueError(f"not the state of an algorithm: a {type(state).__name__}, not a dict")
        if state.get("type") != self.hypers.algorithm_type():
            raise ValueError(
                f"saved state belongs to algorithm {state.get('type')!r}, this is "
                f"{self.hypers.algorithm_type()!r}"
            )
        self.task_tracker.load_state(state.get("tracker", {}))
        self.invalidate_cache()


class DiscreteRandomConfig(CurriculumAlgorithmConfig):
    """Every task of the pool equally often, and no eviction."""

    def algorithm_type(self) -> str:
        return "discrete_random"

    def create(self, num_tasks: int) -> DiscreteRandomCurriculum:
        return DiscreteRandomCurriculum(num_tasks, self)


class DiscreteRandomCurriculum(CurriculumAlgorithm):
    """Uniform sampling over the pool: p_i = 1/n."""

    needs_task_events = False

    def score_tasks(self, task_ids: list[int]) -> dict[int, float]:
        return dict.fromkeys(task_ids, 1.0)

    def recommend_eviction(self, task_ids: list[int]) -> int | None:
        return None

    def should_evict_task(self, task_id: int, criterion: Sequence[int] | int | None = None) -> bool:
        return False

    def update_task_performance(self, task_id: int, score: float) -> None:
        self.task_tracker.update_task_performance(task_id, score)

    def complete(self, slot: int, task_id: int, score: float) -> None:
        table = self.task_tracker.table
        self.task_tracker.record_at(table.save_row(slot), score)
        table.commit()

    def distribution(self) -> np.ndarray:
        active = self.task_tracker.table.active().astype(np.float64)
        return active / max(1.0, active.sum())

    def evictions(self, limit: int) -> list[int]:
        return []


# --------------------------------------------------------------------------------------------------
# Configuration


def _load_algorithm(value: Any) -> Any:
    if isinstance(value, dict) and "type" in value:
        data = dict(value)
        return resolve_class(data.pop("type"), CurriculumAlgorithmConfig).model_validate(data)
    return value


def _dump_algorithm(config: CurriculumAlgorithmConfig | None) -> Any:
    return (
        None if config is None else {"type": class_path(config), **config.model_dump(mode="json")}
    )


AnyAlgorithmConfig = Annotated[
    CurriculumAlgorithmConfig, BeforeValidator(_load_algorithm), PlainSerializer(_dump_algorithm)
]


class CurriculumConfig(StrictConfig):
    """A curriculum as plain data: what tasks there are, and how they are chosen.

    Round trips through JSON and YAML; algorithm and generator are written with their class paths.
    """

    task_generator: AnyTaskGeneratorConfig | None = Field(
        default=None,
        description="makes the environment of a task id; None: the environment is the id itself",
    )
    max_task_id: int = Field(
        default=1_000_000,
        ge=1,
        le=2**53,
        description="task ids are drawn from 0 to max_task_id - 1",
    )
    num_active_tasks: int | None = Field(
        default=None, ge=1, description="capacity of the pool; None: the algorithm's"
    )
    algorithm_config: AnyAlgorithmConfig | None = Field(
        default=None, description="None: uniform sampling"
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="of the draws of tasks; what a task id means does not depend on it",
    )

    @model_validator(mode="after")
    def _one_capacity(self) -> Self:
        algorithm, own = self.algorithm_config, self.num_active_tasks
        if algorithm is None:
            algorithm = DiscreteRandomConfig()
        if own is not None and own != algorithm.num_active_tasks:
            if "num_active_tasks" in algorithm.model_fields_set:
                raise ValueError(
                    f"num_active_tasks={own} here and {algorithm.num_active_tasks} in "
                    "algorithm_config: give it once"
                )
            algorithm = algorithm.model_copy(update={"num_active_tasks": own})
            algorithm.model_fields_set.discard(
                "num_active_tasks"
            )  # it is given here, and may be given anew
        # Past validate_assignment, which would call this again.
        object.__setattr__(self, "algorithm_config", algorithm)
        object.__setattr__(self, "num_active_tasks", algorithm.num_active_tasks)
        return self

    @property
    def algorithm(self) -> CurriculumAlgorithmConfig:
        """The algorithm's configuration; uniform sampling if none was given."""
        if self.algorithm_config is None:
            raise RuntimeError(
                "this configuration was made without validation: use "
                "CurriculumConfig.model_validate"
            )
        return self.algorithm_config

    @property
    def session_id(self) -> str | None:
        """Name of the shared pool, or None if a new one is made or the pool is not shared."""
        return self.algorithm.session_id if self.algorithm.use_shared_memory else None

    def with_session(self, session_id: str) -> CurriculumConfig:
        """The same curriculum on the pool shared under that name."""
        algorithm = self.algorithm.model_copy(
            update={"session_id": session_id, "use_shared_memory": True}
        )
        return self.model_copy(update={"algorithm_config": algorithm})

    def make(self) -> Curriculum:
        """The curriculum."""
        return Curriculum(self)


# --------------------------------------------------------------------------------------------------
# Tasks


class CurriculumTask:
    """A task as it was handed out: an id, and the way to its environment. Nothing is built before
    it is asked for."""

    __slots__ = ("_curriculum", "_env_cfg", "slot", "task_id")

    task_id: int
    """Identity of the task. Not to be set."""
    slot: int
    """Where it was in the pool when it was handed out, -1 if that is not known. It may have left
    since. Not to be set."""

    def __init__(self, curriculum: Curriculum, task_id: int, slot: int = -1):
        self._curriculum = curriculum
        self._env_cfg: Any = None
        self.task_id = task_id
        self.slot = slot

    @property
    def _task_id(self) -> int:  # its name in older code
        return self.task_id

    def get_env_cfg(self) -> Any:
        """The environment's configuration, built on first use. It is this object's own: changing it
        changes no other task.

        Raises TaskInvariantError if the generator makes a task that does not fit the others.
        """
        if self._env_cfg is None:
            self._env_cfg = self._curriculum.build(self.task_id)
        return self._env_cfg

    def get_label(self) -> str:
        """Label of the task's environment, known without building it."""
        return self._curriculum.label_of(self.task_id)

    def get_slice_values(self) -> dict[str, Any]:
        """Value of each bucket, by path, known without building the environment."""
        return self._curriculum.bucket_values_of(self.task_id)

    get_bucket_values = get_slice_values

    def complete(self, score: float) -> None:
        """Record a completion of this task."""
        self._curriculum.update_task_performance(self.task_id, score)

    @property
    def state(self) -> TaskState | None:
        """The task's row in the pool, as of now; None once it has left."""
        return self._curriculum.algorithm.task_tracker.get_task_state(self.task_id)

    def __repr__(self) -> str:
        return f"CurriculumTask({self.task_id})"


@dataclass(frozen=True)
class TaskExplanation:
    """Why a task is, or is not, being sampled. ``str()`` says it in words."""

    task_id: int
    in_pool: bool
    label: str = ""
    probability: float = 0.0
    uniform: float = 0.0
    rank: int = 0
    num_tasks: int = 0
    completions: int = 0
    scheduled: int = 0
    mean_score: float = 0.0
    learning_progress: float = 0.0
    may_be_evicted: bool = False
    completions_until_refresh: int = 0
    known: dict[str, float] | None = None

    def __str__(self) -> str:
        if not self.in_pool:
            return f"task {self.task_id} is not in the pool: it was never drawn, or was evicted"
        times = self.probability / self.uniform if self.uniform else 0.0
        lines = [
            f"task {self.task_id} ({self.label or 'no label'}): probability "
            f"{self.probability:.3g}, {times:.2f} times "
            f"uniform, rank {self.rank} of {self.num_tasks}",
            f"  scheduled {self.scheduled}, completed {self.completions}, mean score "
            f"{self.mean_score:.3g}, "
            f"learning progress {self.learning_progress:.3g}"
            + ("; never measured, so it is being explored" if self.completions == 0 else ""),
            f"  {'may be evicted' if self.may_be_evicted else 'not up for eviction'}; the "
            "distribution is refreshed within "
            f"{self.completions_until_refresh} more completions of the pool",
        ]
        if self.known:
            lines.append(
                "  columns of the scorer: "
                + ", ".join(f"{name} {value:.3g}" for name, value in self.known.items())
            )
        return "\n".join(lines)


class Curriculum(StatsLogger):
    """Chooses tasks by the configured algorithm, from a pool shared by everyone with the same
    session id.

    Args:
        config: a :class:`CurriculumConfig`, or an algorithm's configuration alone; tasks are then
            plain seeds.
        seed: of the draws; None takes ``config.seed``. Only the first to open a pool sets it.
        algorithm: an algorithm made elsewhere, instead of the configured one.

    ``get_task`` draws from ``probabilities()``, which lags behind the scores by fewer than
    :func:`lag_bound` completions.
    """

    def __init__(
        self,
        config: CurriculumConfig | CurriculumAlgorithmConfig,
        seed: int | None = None,
        algorithm: CurriculumAlgorithm | None = None,
    ):
        super().__init__()
        if isinstance(config, CurriculumAlgorithmConfig):
            config = CurriculumConfig(algorithm_config=config)
        if seed is not None:
            config = CurriculumConfig.model_validate({**dict(config), "seed": seed})
        if algorithm is None and config.algorithm.use_shared_memory and config.session_id is None:
            config = config.with_session(new_session_id())
        self.config = config
        self._own_algorithm = algorithm is None
        self._generator: TaskGenerator[Any] | None = (
            config.task_generator.create() if config.task_generator else None
        )
        # Configurations for environments to play; None where a task's configuration is not what the
        # generator makes.
        self.configs: ConfigStock | None = None
        if self._generator is not None and type(self).build is Curriculum.build:
            self.configs = ConfigStock(self._generator)
        self._max_task_id = config.max_task_id
        self.algorithm = (
            config.algorithm.create(config.algorithm.num_active_tasks)
            if algorithm is None
            else algorithm
        )
        self._table = self.algorithm.task_tracker.table
        self._label = self._table.offset(LABEL)
        self._lag = lag_bound(self._table.layout.max_tasks)
        with self._table as table:
            if not table.header[FILLED]:
                self._fill()

    def _fill(self) -> None:
        """Fill the pool. Tasks that a tracker has put there, or that a backend kept, stay. Lock
        held."""
        if self._table.active_count:
            self._top_up()
            self._table.header[FILLED] = self._table.header[STALE] = 1
            return
        table, hypers = self._table, self.algorithm.hypers
        table.header[SEED] = self.config.seed
        ids = table.fill(
            self._max_task_id,
            hypers.task_default_success_threshold,
            hypers.task_default_generator_type,
        )
        if self.algorithm.needs_task_events:
            for task_id in ids.tolist():
                self.algorithm.on_task_created(CurriculumTask(self, task_id))

    def _top_up(self) -> None:
        table = self._table
        while table.active_count < table.layout.max_tasks:
            task_id = table.new_task_id(self._max_task_id)
            if task_id is None:
                return
            table.insert(task_id, self._new_fields())
            if self.algorithm.needs_task_events:
                self.algorithm.on_task_created(CurriculumTask(self, task_id))

    def _new_fields(self) -> dict[str, float]:
        hypers = self.algorithm.hypers
        return {
            "success_threshold": hypers.task_default_success_threshold,
            "generator_type": hypers.task_default_generator_type,
        }

    # -- the path of an episode --------------------------------------------------------------------

    def get_task(self) -> CurriculumTask:
        """The next task, drawn with replacement. Cost: constant, amortised."""
        table = self._table
        table.acquire()
        try:
            slot = self._next_slot()
            base, values = table.rows_base + slot * table.row_size, table.values
            task_id = int(values[base])
            described = values[base + self._label]  # 0: not yet
        finally:
            table.release()
        if not described:
            self._describe(task_id)
        return CurriculumTask(self, task_id, slot)

    def get_tasks(self, n: int) -> list[CurriculumTask]:
        """``n`` tasks, drawn independently."""
        if n < 0:
            raise ValueError(f"n={n} is not allowed: ask for 0 or more tasks")
        table, tasks, undescribed = self._table, [], []
        with table:
            for _ in range(n):
                slot = self._next_slot()
                tasks.append(CurriculumTask(self, int(table.values[table.base(slot)]), slot))
                if not table.described(slot):
                    undescribed.append(tasks[-1].task_id)
        for task_id in undescribed:
            self._describe(task_id)
        return tasks

    def update_task_performance(self, task_id: int, score: float) -> None:
        """Record a completion. Cost: constant.

        A task that has left the pool meanwhile is counted in ``late_completions`` and credited to
        nobody. Raises ValueError for an id that cannot be one or a score that is not finite;
        nothing changes then.
        """
        task_id, score = validate_completion(task_id, score)
        table = self._table
        table.acquire()
        try:
            slot = table.find(task_id)
            if slot < 0:
                table.header[LATE] += 1
            else:
                self.algorithm.complete(slot, task_id, score)
                header = table.header
                if header[CLOCK] - header[REFRESHED] >= self._lag:
                    self._evict_if_due()
        finally:
            table.release()

    def complete_and_draw(self, task: CurriculumTask, score: float) -> CurriculumTask:
        """:meth:`update_task_performance` of ``task``, then :meth:`get_task`, in one access to the
        pool instead of two.

        For environments that play one episode after another: between two episodes of mettagrid's
            small room, when the caches are
        cold, the two take 33 µs and this 28. Raises what they raise; a completion that was recorded
        stays so when the draw fails. Where one of the two is not this class's own, they are called.
        """
        if (
            getattr(self.get_task, "__func__", None) is not _GET_TASK
            or getattr(self.update_task_performance, "__func__", None)
            is not _UPDATE_TASK_PERFORMANCE
        ):
            self.update_task_performance(task.task_id, score)
            return self.get_task()
        task_id, score = validate_completion(task.task_id, score)
        table = self._table
        table.acquire()
        try:
            slot = table.find(task_id, task.slot)
            if slot < 0:
                table.header[LATE] += 1
            else:
                self.algorithm.complete(slot, task_id, score)
            # from here on as get_task, written out because every call counts
            slot = self._next_slot()
            base, values = table.rows_base + slot * table.row_size, table.values
            task_id = int(values[base])
            described = values[base + self._label]
        finally:
            table.release()
        if not described:
            self._describe(task_id)
        return CurriculumTask(self, task_id, slot)

    def holds(self, task: CurriculumTask) -> bool:
        """Whether the task is in the pool. Does not wait for the lock: another process may exchange
        the task at any time."""
        return self._table.find(task.task_id, task.slot) >= 0

    def update_tasks(self, task_ids: Iterable[int], scores: Iterable[float]) -> None:
        """Record several completions. All are checked before any is recorded."""
        checked = [
            validate_completion(task_id, score) for task_id, score in _same_length(task_ids, scores)
        ]
        with self._table as table:
            for task_id, score in checked:
                slot = table.find(task_id)
                if slot < 0:
                    table.header[LATE] += 1
                else:
                    self.algorithm.complete(slot, task_id, score)
            self._evict_if_due()

    def _next_slot(self) -> int:
        table = self._table
        header = table.header
        if header[STALE] or header[CLOCK] - header[REFRESHED] >= self._lag:
            self._refresh()
        slot = table.next_slot()
        if slot < 0:
            if not header[FILLED]:  # whoever was loading a state died
                self._fill()
                return self._next_slot()
            raise RuntimeError(
                "the pool is empty: every task was retired as invalid "
                f"({header[INVALID]} so far). Check the task generator's overrides and buckets"
            )
        return slot

    def _refresh(self) -> None:
        self._evict_if_due()  # completions may have come past this class
        self._table.publish(self.algorithm.distribution())

    def _evict_if_due(self) -> None:
        # Part of the refresh that the next draw makes, but paid by the completion: neither takes as
        # long as both.
        header = self._table.header
        due = header[CLOCK] - header[REFRESHED]
        if due < self._lag or header[STALE]:
            return
        for task_id in self.algorithm.evictions(min(MOST_EVICTIONS, due)):
            if not self._replace(task_id, EVICTED):
                break
        header[STALE] = 1

    def _replace(self, task_id: int, counter: int, keep_if_no_other: bool = True) -> bool:
        """Exchange a task for a new one. Lock held. Returns whether it left the pool."""
        table = self._table
        slot = table.find(task_id)
        if slot < 0:
            return False
        successor = table.new_task_id(self._max_task_id, other_than=task_id)
        if successor is None and keep_if_no_other:
            return False
        if successor is None:
            table.remove(slot, counter)
        else:
            table.exchange(slot, successor, self._new_fields(), counter)
        if self.algorithm.needs_task_events:
            self.algorithm.on_task_evicted(task_id)
            if successor is not None:
                self.algorithm.on_task_created(CurriculumTask(self, successor))
        return True

    def retire_task(self, task_id: int, reason: str) -> None:
        """Take a task out of the pool because its environment cannot be built; it is counted as
        ``num_invalid`` and replaced.

        Logs a warning with the reason, at the first, second, fourth, ... task.
        Raises RuntimeError, with ``reason``, when the last task is retired.
        """
        task_id = validate_task_id(task_id)
        with self._table as table:
            if not self._replace(task_id, INVALID, keep_if_no_other=False):
                return
            table.header[STALE] = 1
            empty = table.task_ids().size == 0
            retired = table.header[INVALID]
        if not retired & (retired - 1):  # 1, 2, 4, 8, ...: neither silent nor a flood
            _LOG.warning(
                "task %d is invalid and was replaced (invalid so far: %d): %s",
                task_id,
                retired,
                reason,
            )
        if empty:
            raise RuntimeError(
                f"all {retired} tasks of the curriculum are invalid; the last one, {task_id}: "
                f"{reason}"
            )

    # -- what a task is ----------------------------------------------------------------------------

    def _describe(self, task_id: int) -> None:
        if self._generator is None:
            label, slices = "", ()
        else:
            label, values = self._generator.describe(task_id)
            slices = tuple(
                [self._generator.slice_key(axis, value) for axis, value in values.items()]
            )
        with self._table as table:
            slot = table.find(task_id)
            if slot >= 0:
                table.describe(slot, label, slices)

    def build(self, task_id: int) -> Any:
        """The environment configuration of a task id: a new object at every call."""
        return task_id if self._generator is None else self._generator.get_task(task_id)

    def label_of(self, task_id: int) -> str:
        """Label of a task id."""
        return "" if self._generator is None else self._generator.get_label(task_id)

    def bucket_values_of(self, task_id: int) -> dict[str, Any]:
        """Bucket values of a task id."""
        return {} if self._generator is None else self._generator.get_bucket_values(task_id)

    # -- what is going on --------------------------------------------------------------------------

    @property
    def session_id(self) -> str | None:
        """Name under which other processes open this pool; None if it is not shared."""
        return self.algorithm.task_tracker.session_id

    def probabilities(self, task_ids: Iterable[int] | None = None) -> dict[int, float]:
        """The distribution that ``get_task`` draws from next; 0.0 for ids that are not in the pool.
        None: all in the pool."""
        with self._table as table:
            header = table.header
            if header[STALE] or header[CLOCK] - header[REFRESHED] >= self._lag:
                self._refresh()
            total = float(table.probability.sum()) or 1.0
            if task_ids is None:
                active = table.active()
                ids, values = (
                    table.task_ids().tolist(),
                    (table.probability[active] / total).tolist(),
                )
                return dict(zip(ids, values, strict=True))
            slots = {task_id: table.find(validate_task_id(task_id)) for task_id in task_ids}
            return {
                i: float(table.probability[s]) / total if s >= 0 else 0.0 for i, s in slots.items()
            }

    def explain(self, task_id: int) -> TaskExplanation:
        """Why the task is or is not being sampled."""
        task_id = validate_task_id(task_id)
        probability = self.probabilities()
        state = self.algorithm.task_tracker.get_task_state(task_id)
        if state is None or task_id not in probability:
            return TaskExplanation(task_id, in_pool=False)
        p = probability[task_id]
        ids = list(probability)
        with self._table as table:
            until = self._lag - (table.header[CLOCK] - table.header[REFRESHED])
        hidden = ("label", "scheduled_count", "total_squared")
        return TaskExplanation(
            task_id=task_id,
            in_pool=True,
            label=self.label_of(task_id),
            probability=p,
            uniform=1.0 / len(ids),
            rank=1 + sum(other > p for other in probability.values()),
            num_tasks=len(ids),
            completions=state.completion_count,
            scheduled=int(state.columns["scheduled_count"]),
            mean_score=state.total_score / state.completion_count
            if state.completion_count
            else 0.0,
            learning_progress=state.lp_score,
            may_be_evicted=self.algorithm.should_evict_task(task_id, ids),
            completions_until_refresh=max(0, until),
            known={
                k: v
                for k, v in state.columns.items()
                if k not in hidden and not k.startswith(("slice_", "spare_"))
            },
        )

    def get_base_stats(self) -> dict[str, float]:
        with self._table as table:
            header = table.header
            return {
                "num_created": float(header[CREATED]),
                "num_evicted": float(header[EVICTED]),
                "num_completed": float(table.completed()),
                "num_scheduled": float(table.scheduled()),
                "num_active_tasks": float(table.task_ids().size),
                "num_invalid": float(header[INVALID]),
                "late_completions": float(header[LATE]),
            }

    def _compute_detailed_stats(self) -> dict[str, float]:
        return self.algorithm.stats("algorithm")

    def stats_version(self) -> Any:
        return self.algorithm.stats_version()

    # -- state and end -----------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """The pool as plain arrays, numbers and strings; a pool that loads it draws what this one
        would have drawn."""
        return {
            "seed": self.config.seed,
            "max_task_id": self._max_task_id,
            "algorithm": self.algorithm.get_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Replace the pool, for every process that shares it. Raises ValueError, before any change,
        if it does not fit."""
        if "algorithm" not in state:
            raise ValueError(
                f"not the state of a curriculum: it has no 'algorithm', only {sorted(state)}"
            )
        self.algorithm.load_state(state["algorithm"])
        with self._table:
            self._top_up()
        self.invalidate_cache()

    def close(self) -> None:
        """Let go of the pool; the last process out removes it. Idempotent."""
        self.algorithm.task_tracker.cleanup_shared_memory()

    def __enter__(self) -> Curriculum:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(
        self,
    ) -> tuple[Callable[[CurriculumConfig], Curriculum], tuple[CurriculumConfig]]:
        if self.session_id is None:
            raise TypeError(
                "a curriculum in local memory cannot be sent to another process: "
                "use_shared_memory=True, or send its "
                "configuration to make another pool"
            )
        if not self._own_algorithm:
            raise TypeError(
                "a curriculum that was given an algorithm object cannot be sent to another "
                "process: give its configuration "
                "an algorithm_config that creates the algorithm there"
            )
        return Curriculum, (self.config,)


# To tell whether a curriculum's are its own, or those of a subclass or a patch.
_GET_TASK, _UPDATE_TASK_PERFORMANCE = Curriculum.get_task, Curriculum.update_task_performance


def _same_length(task_ids: Iterable[int], scores: Iterable[float]) -> list[tuple[int, float]]:
    ids, values = list(task_ids), list(scores)
    if len(ids) != len(values):
        raise ValueError(f"{len(ids)} task ids and {len(values)} scores: give one score per task")
    return list(zip(ids, values, strict=True))
