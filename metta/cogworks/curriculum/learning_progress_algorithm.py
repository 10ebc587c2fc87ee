"""Learning progress: the tasks an agent is learning from are drawn more often, and those it is done
with leave the pool.

Three parts, each chosen by configuration: the scorer says what is known of a task and what it is
worth (:mod:`.lp_scorers`, :mod:`.posterior_scorer`), the sampling rule turns worth into probability
(:mod:`.weighing`, :mod:`.sampling`), eviction exchanges tasks (:mod:`.eviction`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, field_validator, model_validator

from metta.cogworks.curriculum.algorithm import (
    ALL_SLOTS,
    CurriculumAlgorithm,
    CurriculumAlgorithmConfig,
)
from metta.cogworks.curriculum.eviction import Eviction, EvictionConfig, measured_progress
from metta.cogworks.curriculum.known_scorers import (
    SCORERS,
    path_of,
    scorer_class,
    scorer_name,
    scorer_path,
)
from metta.cogworks.curriculum.older.outside import enter
from metta.cogworks.curriculum.pool.exclusive import exclusive
from metta.cogworks.curriculum.pool.header import positive_range
from metta.cogworks.curriculum.pool.layout import IS_ACTIVE, LP_SCORE, TASK_ID, Column
from metta.cogworks.curriculum.pool.saved import begun_anew
from metta.cogworks.curriculum.regions import RegionsConfig
from metta.cogworks.curriculum.scorer import ColumnScorer, LPScorer
from metta.cogworks.curriculum.scores import validate_completion, validate_score
from metta.cogworks.curriculum.stats import CacheCoordinator, LiveSlices, LPStatsAggregator
from metta.cogworks.curriculum.task_tracker import TaskTracker
from metta.cogworks.curriculum.tasks.ids import (
    MAX_TASK_ID,
    validate_task_id,
    validate_task_ids,
)
from metta.cogworks.curriculum.tasks.inputs import checked_integer, instance
from metta.cogworks.curriculum.weighing import LOCAL_REFRESH_PERIOD, Weighing

_LOG = logging.getLogger(__name__)


class LearningProgressConfig(EvictionConfig, RegionsConfig, CurriculumAlgorithmConfig):
    """How learning progress is measured, and what is done with it."""

    scorer: str = Field(
        default="",
        description=f"{', '.join(SCORERS)}, or the class path of a scorer. Default: what "
        "use_bidirectional says if it is given, else posterior (docs/evidence.md)",
    )
    use_bidirectional: bool = Field(
        default=False,
        description="the guide's choice between BidirectionalLPScorer and BasicLPScorer, where no "
        "scorer is given; then whether the scorer is bidirectional",
    )
    score_normalization: Literal["running_range", "clip"] = Field(
        default="running_range",
        description="scores as they are: posterior measures each task on its own scale, the other "
        "scorers on that of the range seen so far and 0. Or clipped to [0, 1], which makes every "
        "progress above 1 none",
    )

    # What `scorer` names. A worker process gets it with the pickled configuration, and so imports
    # its module, which the name alone would not.
    _scorer_class: type[LPScorer] | None = PrivateAttr(default=None)

    @field_validator("scorer", mode="before")
    @classmethod
    def _scorer_path(cls, value: Any) -> Any:
        return scorer_path(value)

    @model_validator(mode="after")
    def _resolve_defaults(self) -> Self:
        # Not what was given, but what follows from it: anew after each assignment.
        if not self.scorer or "scorer" not in self.model_fields_set:
            given = "use_bidirectional" in self.model_fields_set
            name = (
                "posterior" if not given else "bidirectional" if self.use_bidirectional else "basic"
            )
            object.__setattr__(self, "scorer", name)
        if not self.sampling or "sampling" not in self.model_fields_set:
            rule = {"posterior": "power", "signed": "proportional"}.get(
                self.scorer, "zscore_softmax"
            )
            object.__setattr__(self, "sampling", rule)
        object.__setattr__(self, "use_bidirectional", self.scorer == "bidirectional")
        self._scorer_class = scorer_class(self.scorer)
        return self

    @classmethod
    def default(cls, **overrides: Any) -> LearningProgressConfig:
        """For most environments: looks back on about 10 completions. 256 tasks."""
        return cls._preset({"ema_timescale": 0.1, "exploration_bonus": 0.1}, overrides)

    @classmethod
    def stable(cls, **overrides: Any) -> LearningProgressConfig:
        """For noisy environments: looks back on about 100 completions, explores more. 256 tasks."""
        return cls._preset({"ema_timescale": 0.01, "exploration_bonus": 0.15}, overrides)

    @classmethod
    def fast_learning(cls, **overrides: Any) -> LearningProgressConfig:
        """For agents that learn fast: looks back on about 5 completions, explores less. 256
        tasks."""
        return cls._preset({"ema_timescale": 0.2, "exploration_bonus": 0.05}, overrides)

    @classmethod
    def _preset(cls, fields: dict[str, Any], overrides: dict[str, Any]) -> LearningProgressConfig:
        config = cls(**{"num_active_tasks": 256, **fields, **overrides})
        if "num_active_tasks" not in overrides:
            config.model_fields_set.discard("num_active_tasks")  # a default, to fit the family
        return config

    def algorithm_type(self) -> str:
        """``"learning_progress"``."""
        return "learning_progress"

    def create(self, num_tasks: int) -> LearningProgressAlgorithm:
        """The algorithm."""
        return LearningProgressAlgorithm(num_tasks, self)

    def make_scorer(self) -> LPScorer:
        """The scorer."""
        kind = self._scorer_class
        if kind is None or self.scorer != path_of(kind):  # set past the validation
            kind = scorer_class(self.scorer)
        return kind(self)


class LearningProgressAlgorithm(CurriculumAlgorithm):
    """Samples by learning progress.

    Args:
        num_tasks: reported as ``num_tasks``.
        hypers: the configuration.
        scorer: a scorer to use instead of the configured one.
        task_tracker: the pool, which must have the scorer's columns; see
            :class:`~metta.cogworks.curriculum.algorithm.CurriculumAlgorithm`.
    """

    needs_task_events = False

    def __init__(
        self,
        num_tasks: int,
        hypers: LearningProgressConfig,
        scorer: LPScorer | None = None,
        task_tracker: TaskTracker | None = None,
    ):
        instance("hypers", hypers, LearningProgressConfig, "give LearningProgressConfig()")
        self._scorer = hypers.make_scorer() if scorer is None else scorer
        instance("scorer", self._scorer, LPScorer, "give one, or None for the configured one")
        self.columns: tuple[Column, ...] = tuple(self._scorer.columns)
        self._by_row = self._scorer if isinstance(self._scorer, ColumnScorer) else None
        self.uniform_share = hypers.rand_task_rate
        self._clip = hypers.score_normalization == "clip"
        super().__init__(num_tasks, hypers, task_tracker)
        self.hypers: LearningProgressConfig = hypers

    def on_bound(self, task_tracker: TaskTracker) -> None:
        """Bind the scorer, and find out what it thinks of a task that nobody has tried."""
        self._scorer.bind(task_tracker)
        unseen: float | None = None
        if self._by_row is not None and self._by_row.explores:
            empty = np.zeros((1, task_tracker.table.layout.row_size))
            worth = float(self._by_row.score_rows(empty, 0.0, 1.0, 0)[0])
            unseen = worth if math.isfinite(worth) and worth > 0.0 else None
        self._unseen_worth = unseen
        self._weighing = Weighing(self.hypers, self._scorer, unseen)
        self._eviction = Eviction(self.hypers, unseen)
        self.stats_aggregator = LPStatsAggregator(
            task_tracker, self._scorer, LiveSlices(self), self.num_tasks
        )
        self.cache_coordinator = CacheCoordinator(self, self._scorer)

    @property
    def scorer(self) -> LPScorer:
        """The scorer, bound to the pool."""
        self.open()
        return self._scorer

    @property
    def lp_scorer(self) -> LPScorer:
        """The scorer, under its older name."""
        return self.scorer

    @property
    def refresh_period(self) -> int:
        """Completions between two refreshes of a block of weights."""
        return LOCAL_REFRESH_PERIOD if self._weighing.is_local else super().refresh_period

    # -- a completion ------------------------------------------------------------------------------

    def complete(self, slot: int, task_id: int, score: float) -> str | None:
        """Record a completion of the task in ``slot``. Lock held.

        Returns why the task must be retired, or None.
        """
        tracker, scorer = self.task_tracker, self._by_row
        table = tracker.table
        begun = table.begin()
        row, header = table.save_row(slot), table.header
        x = min(1.0, max(0.0, score)) if self._clip else score
        in_range = 1.0 if self._clip else x
        low, high = header.range_with(in_range)
        if scorer is not None:
            clock = header.clock
            header.save_pool_values(table.journal)
            scorer.update_row(row, x, low, high, clock)
            tracker.record(row, score)
            worth = scorer.score_row(row, low, high, clock + 1)
        else:
            self._scorer.update_with_score(task_id, x)
            tracker.record(row, score)
            worth = validate_score(task_id, self._scorer.score_task(task_id, tracker))
        finite = -math.inf < worth < math.inf
        row[LP_SCORE] = worth if finite else 0.0
        before, in_flight = table.flights.end(slot, row)
        weighing = self._weighing
        if weighing.is_local:
            weight = 0.0
            if finite:
                weight = weighing.of_worth(worth) * weighing.in_flight.factor(in_flight)
            table.samples.set_weight(slot, weight)
            if in_flight == 0 and self._eviction.is_candidate(row):
                header.note_candidate(slot)
        else:
            self.in_flight_changed(slot, before, in_flight)
        header.log_score(score)  # last: a scorer that raises has changed nothing
        header.widen_range(in_range)
        table.commit(begun)
        return None if finite else f"{type(self._scorer).__name__} scores it as {worth}"

    def in_flight_changed(self, slot: int, before: int, now: int) -> None:
        """Weigh the task in ``slot`` by how many of its draws are in flight. Lock held."""
        self._weighing.in_flight_changed(self.table, slot, before, now)

    @exclusive
    def update_task_performance(self, task_id: int, score: float) -> None:
        """Record a completion; a task that is not tracked yet is tracked from now on."""
        task_id, score = validate_completion(task_id, score)
        self.task_tracker.track_task_creation(task_id)
        slot = self.table.find(task_id)
        if slot >= 0:
            self.complete(slot, task_id, score)
        self.cache_coordinator.invalidate_stats_cache()

    def on_task_created(self, task: Any) -> None:
        """Track the task, where no curriculum does."""
        enter(self.task_tracker, task)

    def on_task_evicted(self, task_id: int) -> None:
        """Forget the task, where no curriculum does."""
        self.scorer.remove_task(task_id)
        self.task_tracker.remove_task(task_id)
        self.cache_coordinator.invalidate_stats_cache()

    # -- what tasks are worth ----------------------------------------------------------------------

    def score_tasks(self, task_ids: list[int]) -> dict[int, float]:
        """Learning progress per task; 0.0 for tasks that are not tracked."""
        tracker = self.task_tracker
        ids = validate_task_ids(task_ids)
        return {task_id: self._scorer.score_task(task_id, tracker) for task_id in ids}

    def get_learning_progress_score(
        self, task_id: int, tracker: TaskTracker | None = None
    ) -> float:
        """Learning progress of one task, under its older name."""
        return self.scorer.score_task(task_id, tracker or self.task_tracker)

    def weigh(self, slots: slice) -> np.ndarray:
        """Weights of a block by the configured rule. Lock held."""
        return self._weighing.of_block(self.table, slots)

    def new_weight(self) -> float | None:
        """What a task is drawn by that has just entered the pool, where its own row tells."""
        if self._unseen_worth is None or not self._weighing.is_local:
            return None
        return self._weighing.of_worth(self._unseen_worth)

    # -- eviction ----------------------------------------------------------------------------------

    def evictions(self, limit: int, slots: slice = ALL_SLOTS) -> list[int]:
        """The measured tasks of least progress, lowest first: those at or below the threshold, at
        most ``limit``. Lock held."""
        return self._eviction.candidates(self.table, slots, limit)

    def may_leave(self, slot: int) -> bool:
        """Whether the task in ``slot``, which was completed last, leaves before the next draw. Lock
        held."""
        return self._eviction.may_leave(self.table, slot)

    def should_evict_task(self, task_id: int, criterion: Sequence[int] | int | None = None) -> bool:
        """Whether the task was measured and is in the bottom ``eviction_threshold_percentile`` of
        the measured ones.

        ``criterion``: the ids it is compared with, or the least number of completions that it must
        have (it may not be below what measuring takes); the comparison is with the whole pool then.
        """
        task_id = validate_task_id(task_id)
        samples, ids = self.hypers.eviction_samples(), None
        if isinstance(criterion, int | np.integer):
            least = checked_integer("criterion", criterion, 0, MAX_TASK_ID)
            samples = max(least, self.hypers.min_samples_for_lp)
        elif criterion is not None:
            ids = validate_task_ids(criterion)
        scores = measured_progress(self.table, ids, samples)
        if task_id not in scores:
            return False
        return scores[task_id] <= self._eviction.threshold(np.array(list(scores.values())))

    def recommend_eviction(self, task_ids: list[int]) -> int | None:
        """The measured task of least progress among ``task_ids``, or None if none was measured."""
        scores = measured_progress(self.table, task_ids, self.hypers.eviction_samples())
        return min(scores, key=scores.__getitem__) if scores else None

    # -- statistics and state ----------------------------------------------------------------------

    def get_base_stats(self) -> dict[str, float]:
        """``num_tasks``."""
        return {"num_tasks": float(self.num_tasks)}

    def _compute_detailed_stats(self) -> dict[str, float]:
        self.open()
        slices = self.hypers.enable_detailed_slice_logging
        return self.stats_aggregator.get_all_stats(include_slice=slices) | self.label_stats()

    def get_state(self) -> dict[str, Any]:
        """The pool, and what the scorer keeps beside it."""
        return {
            **super().get_state(),
            "scorer": scorer_name(self.scorer),
            "scorer_state": self.scorer.get_state(),
        }

    def check_state(self, state: Any) -> dict[str, Any]:
        """The state of the pool, fitted to this one's table.

        Raises:
            ValueError: it belongs to another algorithm or scorer, does not fit, or holds rows that
                the scorer cannot score.
        """
        fitting = super().check_state(state)
        if not isinstance(state.get("scorer_state"), dict):
            raise ValueError(
                "not the state of a learning-progress algorithm: it has no 'scorer_state'"
            )
        if not self._knows(state):
            return begun_anew(fitting, self.table.layout)
        if self._by_row is not None:
            rows = fitting["rows"][fitting["rows"][:, IS_ACTIVE] != 0.0]
            clock = fitting["counters"]["clock"]
            low, high = positive_range(*fitting["score_range"])
            bad = self._by_row.impossible(rows)
            with np.errstate(all="ignore"):  # what is not finite is refused
                bad |= ~np.isfinite(self._by_row.score_rows(rows, low, high, clock))
            if bad.any():
                task_id = int(rows[bad, TASK_ID][0])
                raise ValueError(
                    f"saved pool is inconsistent: {type(self._scorer).__name__} cannot score its "
                    f"task {task_id}"
                )
        return fitting

    @exclusive
    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a saved pool; ValueError, and no change, if it does not fit.

        Where it was saved with another scorer, its tasks begin anew, unmeasured, and a warning says
        how many.
        """
        fitting = self.check_state(state)
        if self._knows(state):
            self._scorer.load_state(state["scorer_state"])  # may refuse: before the table changes
        else:
            _LOG.warning(
                "the pool was saved with scorer %r, this is %r: what was known of its %d tasks is "
                "begun anew",
                state.get("scorer"),
                scorer_name(self._scorer),
                int((fitting["rows"][:, IS_ACTIVE] != 0.0).sum()),
            )
        self.table.replace(fitting)
        self.invalidate_cache()

    def _knows(self, state: dict[str, Any]) -> bool:
        declared = {column.name for column in self.columns if not column.of_pool}
        saved = set(state["tracker"]["columns"])
        return state.get("scorer") == scorer_name(self._scorer) and declared <= saved
