"""The curriculum: a view of the shared pool of tasks.

A :class:`Curriculum` holds a configuration, a handle on the table and nothing that could go stale.
Any number of them, in any number of processes, see one pool, one set of scores and one sampling
distribution.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, Self

import numpy as np

from metta.cogworks.curriculum.algorithm import (
    CurriculumAlgorithm,
    CurriculumAlgorithmConfig,
    DiscreteRandomConfig,
    DiscreteRandomCurriculum,
)
from metta.cogworks.curriculum.batches import complete_rollouts, draw_batch
from metta.cogworks.curriculum.config import CurriculumConfig, checked_config
from metta.cogworks.curriculum.items import items_config
from metta.cogworks.curriculum.older.names import renamed
from metta.cogworks.curriculum.opening import check_sendable, opened, pool_identity
from metta.cogworks.curriculum.pool.backends import TaskState
from metta.cogworks.curriculum.pool.exclusive import exclusive
from metta.cogworks.curriculum.pool.layout import VARIANT_COLUMN
from metta.cogworks.curriculum.pool.snapshot import snapshot
from metta.cogworks.curriculum.pool.table import TaskTable
from metta.cogworks.curriculum.pool.totals import pool_counts
from metta.cogworks.curriculum.population import Population
from metta.cogworks.curriculum.regions import regions_of
from metta.cogworks.curriculum.resuming import loadable, with_item_keys
from metta.cogworks.curriculum.sampling import lag_bound
from metta.cogworks.curriculum.scores import (
    tell_unscored,
    validate_completion,
    validate_completions,
    validate_unscored,
)
from metta.cogworks.curriculum.sessions import new_session_id
from metta.cogworks.curriculum.stats import StatsLogger
from metta.cogworks.curriculum.task import CurriculumTask, TaskExplanation, explained
from metta.cogworks.curriculum.task_generator import TaskGenerator
from metta.cogworks.curriculum.task_tracker import TaskTracker
from metta.cogworks.curriculum.tasks.config_cache import ConfigCache
from metta.cogworks.curriculum.tasks.ids import (
    validate_family_id,
    validate_task_id,
    validate_task_ids,
)
from metta.cogworks.curriculum.tasks.inputs import instance, text
from metta.cogworks.curriculum.tasks.task_config import TConfig
from metta.cogworks.curriculum.tasks.variants import may_repeat

__all__ = [
    "Curriculum",
    "CurriculumAlgorithm",
    "CurriculumAlgorithmConfig",
    "CurriculumConfig",
    "CurriculumTask",
    "DiscreteRandomConfig",
    "DiscreteRandomCurriculum",
    "TaskExplanation",
    "lag_bound",
]


class Curriculum(StatsLogger, Generic[TConfig]):
    """Chooses tasks by the configured algorithm, from a pool shared by everyone with the same
    session id.

    Args:
        config: a :class:`CurriculumConfig`, or an algorithm's configuration alone; tasks are then
            plain seeds.
        seed: of the draws; None takes ``config.seed``. Only the first to open a pool sets it.
        algorithm: an algorithm made elsewhere, instead of the configured one.

    ``get_task`` draws from ``probabilities()``. By a rule that compares tasks with each other they
    lag behind the scores by fewer than :func:`lag_bound` completions.
    """

    def __init__(
        self,
        config: CurriculumConfig[TConfig] | CurriculumAlgorithmConfig,
        seed: int | None = None,
        algorithm: CurriculumAlgorithm | None = None,
    ):
        super().__init__()
        config = checked_config(config, seed, algorithm)
        self._own_algorithm = algorithm is None
        if algorithm is None and config.algorithm.use_shared_memory and config.session_id is None:
            config = config.with_session(new_session_id())
        generator = config.task_generator
        self._generator: TaskGenerator[Any] | None = generator.create() if generator else None
        self._num_ids = config.num_ids(self._generator)
        config = config.model_copy(update={"max_task_id": self._num_ids})
        self.config = config
        # Configurations for environments to play; None where a task's configuration is not what the
        # generator makes.
        self.configs: ConfigCache | None = None
        if self._generator is not None and type(self).build is Curriculum.build:
            self.configs = ConfigCache(self._generator)
        hypers = config.algorithm if algorithm is None else algorithm.hypers
        capacity = hypers.num_active_tasks
        if algorithm is not None and algorithm.is_bound:
            capacity = algorithm.table.layout.max_tasks
        self._regions = regions_of(hypers, self._generator, self._num_ids, capacity)
        repeats = self._regions is None and may_repeat(self._generator)
        own = (VARIANT_COLUMN,) if repeats else ()
        if algorithm is None:
            algorithm = opened(config, self._num_ids, self._regions, own)
        self.algorithm = algorithm
        self.tracker: TaskTracker = self.algorithm.open(own)
        self.table: TaskTable = self.tracker.table
        self._population = Population(
            self.algorithm, self._generator, self._num_ids, self._regions, config.seed, self
        )
        self._fill_if_new()

    @classmethod
    def from_items(
        cls,
        items: Any,
        *,
        key: Callable[[Any], Any] | Iterable[Any] | None = None,
        num_active_tasks: int | None = None,
        algorithm_config: CurriculumAlgorithmConfig | None = None,
        label: str | None = None,
        seed: int = 0,
    ) -> Self:
        """A curriculum over a list of anything: prompts, levels, seeds, configuration objects. The
        task with id i is item i, its ``item``.

        Args:
            items: a list, or what has a length and gives item i at i, such as a data set.
            key: what an item is known by, in a later run with other items too: a function from an
                item to it, or a list of them. Default: the item itself; what is no text and no
                number, by its form as JSON.
            num_active_tasks: how many are in the pool at a time; those that the agent is done with
                make room for others. Default: all of up to 2,048, else 2,048 (docs/evidence.md).
            algorithm_config: how they are chosen. Default: ``LearningProgressConfig()``.
            label: their name in statistics.
            seed: of the draws.

        Raises:
            ValueError: there are no items, or two have the same key, or one has none.
        """
        return cls(items_config(items, key, num_active_tasks, algorithm_config, label, seed))

    @exclusive
    def _fill_if_new(self) -> None:
        self._population.fill_if_new()

    # -- the path of an episode --------------------------------------------------------------------

    @exclusive
    def get_task(self) -> CurriculumTask[TConfig]:
        """The next task, drawn with replacement. Cost: constant."""
        return CurriculumTask.of(self, self._population.draw())

    @exclusive
    def get_tasks(self, n: int, distinct: bool = False) -> list[CurriculumTask[TConfig]]:
        """``n`` tasks, at most a million, drawn independently; with ``distinct``, no two the same:
        each is drawn from the weights, or for the uniform share from the priors, without those
        before it (from the priors alone, once none is left that is worth anything).

        Raises ValueError, and nothing changes, if the pool has fewer than ``n`` distinct ones.
        """
        ids = draw_batch(self._population, self.algorithm, n, distinct)
        return [CurriculumTask.of(self, task_id) for task_id in ids]

    @exclusive
    def update_task_performance(self, task_id: int, score: float) -> None:
        """Record a completion. Cost: constant.

        A task that has left the pool meanwhile is counted in ``late_completions`` and credited to
        nobody. Raises ValueError for an id that cannot be one or a score that is not finite;
        nothing changes then.
        """
        task_id, score = validate_completion(task_id, score)
        self._population.complete(self._family_id(task_id), score)

    @exclusive
    def complete_and_draw(self, task: CurriculumTask[Any], score: float) -> CurriculumTask[TConfig]:
        """:meth:`update_task_performance` of ``task``, then :meth:`get_task`, in one access to the
        pool. A completion that was recorded stays so when the draw fails."""
        instance("task", task, CurriculumTask, "give what get_task() returned")
        self.update_task_performance(task.task_id, score)
        return self.get_task()

    def update_tasks(self, task_ids: Any, scores: Any) -> None:
        """Record completions of several tasks, in one access to the pool. All are checked before
        any is recorded.

        ``task_ids`` is a list, or an array or tensor of shape ``(n,)``, on whatever device;
        ``scores`` one of shape ``(n,)``, or ``(n, k)``: k scores that one draw of the task came
        back with (rollouts). Each is a completion, and the draw counts as k episodes, in
        ``num_scheduled`` too.
        """
        checked = validate_completions(task_ids, scores)
        for task_id, _ in checked:
            self._family_id(task_id)
        self._complete_all(checked)

    @exclusive
    def _complete_all(self, completions: list[tuple[int, list[float]]]) -> None:
        population, algorithm = self._population, self.algorithm
        for task_id, scores in completions:
            complete_rollouts(population, algorithm, task_id, scores)

    def count_unscored(self, task_id: int, score: float) -> None:
        """Count an episode whose score cannot be recorded, as ``num_unscored``: NaN, infinite, or
        of magnitude 1e100 or more. The task keeps what is known of it.

        Logs a warning at the first, second, fourth, ... such episode. Raises ValueError for any
        other score: :meth:`update_task_performance` takes it.
        """
        task_id = self._family_id(validate_task_id(task_id))
        validate_unscored(task_id, score)
        count = self._one_more_unscored(task_id)
        tell_unscored(task_id, self.label_of(task_id), score, count)

    @exclusive
    def _one_more_unscored(self, task_id: int) -> int:
        self._population.end_unscored(task_id)
        return self.table.header.count_unscored()

    def _family_id(self, task_id: int) -> int:
        return task_id if task_id < self._num_ids else validate_family_id(task_id, self._num_ids)

    @exclusive
    def give_up(self, task_id: int) -> None:
        """An episode of the task was cut off and comes to nothing: it is no longer in flight. The
        task keeps what is known of it, and stays counted as scheduled."""
        self._population.end_unscored(self._family_id(validate_task_id(task_id)))

    @exclusive
    def retire_task(self, task_id: int, reason: str) -> None:
        """Take a task out of the pool because its environment cannot be built; it is counted as
        ``num_invalid`` and replaced.

        Logs a warning with the reason, at the first, second, fourth, ... task. Raises RuntimeError,
        with ``reason``, when the last task is retired.
        """
        task_id = self._family_id(validate_task_id(task_id))
        text("reason", reason)
        retired = self._population.retire(task_id, reason)
        if retired and self.table.header.active_count == 0:
            raise RuntimeError(
                f"all {retired} tasks of the curriculum are invalid; the last one, {task_id}: "
                f"{reason}"
            )

    # -- what a task is ----------------------------------------------------------------------------

    def build(self, task_id: int) -> Any:
        """The environment configuration of a task id: a new object at every call."""
        task_id = self._family_id(validate_task_id(task_id))
        return task_id if self._generator is None else self._generator.get_task(task_id)

    def label_of(self, task_id: int) -> str:
        """Label of a task id."""
        task_id = self._family_id(validate_task_id(task_id))
        return "" if self._generator is None else self._generator.get_label(task_id)

    def bucket_values_of(self, task_id: int) -> dict[str, Any]:
        """Bucket values of a task id."""
        task_id = self._family_id(validate_task_id(task_id))
        return {} if self._generator is None else self._generator.get_bucket_values(task_id)

    def state_of(self, task_id: int) -> TaskState | None:
        """The task's row, or None if it is not in the pool; in a pool of regions, that of its
        region."""
        task_id = self._family_id(validate_task_id(task_id))
        return self.tracker.get_task_state(self._population.row_id(task_id))

    # -- what is going on --------------------------------------------------------------------------

    @property
    def session_id(self) -> str | None:
        """Name under which other processes open this pool; None if it is not shared."""
        return self.tracker.session_id

    def probabilities(self, task_ids: Iterable[int] | None = None) -> dict[int, float]:
        """The distribution that ``get_task`` draws from next; 0.0 for ids that are not in the pool.
        None: all in the pool. In a pool of regions a task has the probability of its region; that
        of all of them is by their representatives."""
        wanted = None
        if task_ids is not None:
            wanted = [self._family_id(task_id) for task_id in validate_task_ids(task_ids)]
        self._prepare_draws()
        copy = snapshot(self.table, ("task_id", "is_active"))
        active = copy.active()
        ids = copy.column("task_id")[active].astype(np.int64).tolist()
        p = self.table.samples.probabilities(
            copy.weights[active], copy.priors[active], self.algorithm.uniform_share
        )
        found = dict(zip(ids, p.tolist(), strict=True))
        if wanted is None:
            return found
        return {i: found.get(self._population.row_id(i), 0.0) for i in wanted}

    @exclusive
    def _prepare_draws(self) -> None:
        self._population.prepare()

    def explain(self, task_id: int) -> TaskExplanation:
        """Why the task is or is not being sampled; in a pool of regions, why its region is."""
        asked = self._family_id(validate_task_id(task_id))
        task_id = self._population.row_id(asked)
        probability, state = self.probabilities(), self.state_of(task_id)
        if state is None or task_id not in probability:
            return TaskExplanation(task_id, in_pool=False)
        return explained(
            state,
            probability,
            self.label_of(task_id),
            self._regions is None and self.algorithm.should_evict_task(task_id, list(probability)),
            self._population.until_refresh,
            None if asked == task_id else asked,
        )

    def get_base_stats(self) -> dict[str, float]:
        """Counts of tasks and episodes: see the module's README."""
        return pool_counts(self.table)

    def _compute_detailed_stats(self) -> dict[str, float]:
        return self.algorithm.stats("algorithm")

    def stats_version(self) -> Hashable:
        """Changes with every change of the pool."""
        return self.algorithm.stats_version()

    # -- state and end -----------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """The pool as plain arrays, numbers and strings; a pool that loads it draws what this one
        would have drawn. Which process drew what is not saved: an episode that is in flight now and
        ends later, counts then as the oldest of its task."""
        state = {
            "seed": self.config.seed,
            "identity": json.dumps(pool_identity(self.config, self._regions)),
            "algorithm": self.algorithm.get_state(),
        }
        return with_item_keys(state, self._generator)

    @exclusive
    def load_state(self, state: dict[str, Any], changed_tasks: bool = False) -> None:
        """Replace the pool, for every process that shares it; it goes on with the saved seed.

        ``changed_tasks``: whether the saved task family may be another one. What is known of the
        tasks that both have, by their label and bucket values, is kept; the others are begun anew,
        and a warning says of how many tasks it is kept, and of how many dropped.

        Of a state of an older version counts and scores are kept, of the tasks that can be found
        here; a warning says of how many.

        Raises:
            ValueError: the state does not fit, or is that of another curriculum: the message names
                each field that differs with both values. Nothing changes.
        """
        algorithm, identity = self.algorithm, pool_identity(self.config, self._regions)
        family = (self._generator, self._num_ids, self.table.layout, self._regions)
        state = loadable(state, changed_tasks, algorithm, identity, *family)
        algorithm.load_state(state["algorithm"])
        self._population.top_up()
        self.invalidate_cache()

    @exclusive
    def forget_in_flight(self) -> None:
        """Nothing is in flight: each task was scheduled as often as it was completed. For a trainer
        that has loaded a state, whose episodes in flight are lost."""
        self._population.forget_in_flight()

    def close(self) -> None:
        """Let go of the pool; the last process out removes it. Idempotent."""
        self.tracker.cleanup_shared_memory()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a handle on a pool, of which there is one

    def __reduce__(self) -> tuple[Any, ...]:
        check_sendable(self.session_id, self._own_algorithm)
        return Curriculum, (self.config,)


CurriculumConfig.made_by(Curriculum)


def __getattr__(name: str) -> Any:
    return renamed(__name__, name)
