"""Learning progress: the tasks an agent is learning from are drawn more often, and those it is done
with leave the pool.

Three parts, each chosen by configuration: the scorer says what is known of a task and what it is
worth (:mod:`.lp_scorers`), the sampling rule turns worth into probability (:mod:`.sampling`),
eviction exchanges tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from metta.cogworks.curriculum import sampling
from metta.cogworks.curriculum.curriculum import (
    CurriculumAlgorithm,
    CurriculumAlgorithmConfig,
    CurriculumTask,
)
from metta.cogworks.curriculum.lp_scorers import (
    BasicLPScorer,
    BidirectionalLPScorer,
    ColumnScorer,
    LearnabilityScorer,
    LPScorer,
    PosteriorLPScorer,
    SignedLPScorer,
)
from metta.cogworks.curriculum.stats import CacheCoordinator, LPStatsAggregator, SliceAnalyzer
from metta.cogworks.curriculum.task_config import class_path, resolve_class
from metta.cogworks.curriculum.task_table import CLOCK, SCORE_HIGH, SCORE_LOW
from metta.cogworks.curriculum.task_tracker import TaskTracker, validate_score

SCORERS: dict[str, type[LPScorer]] = {
    "posterior": PosteriorLPScorer,
    "bidirectional": BidirectionalLPScorer,
    "signed": SignedLPScorer,
    "basic": BasicLPScorer,
    "learnability": LearnabilityScorer,
}

Sampling = Literal[
    "power",
    "zscore_softmax",
    "zscore_sigmoid",
    "quantile_sigmoid",
    "temperature_softmax",
    "proportional",
    "uniform",
]


class LearningProgressConfig(CurriculumAlgorithmConfig):
    """How learning progress is measured, and what is done with it."""

    # What is known of a task
    scorer: str = Field(
        default="",
        description=f"{', '.join(SCORERS)}, or the class path of a scorer. Default: what "
        "use_bidirectional says if it is given, "
        "else posterior (docs/evidence.md)",
    )
    use_bidirectional: bool = Field(
        default=True,
        description="the guide's choice between BidirectionalLPScorer and BasicLPScorer; scorer "
        "goes "
        "before it",
    )
    score_normalization: Literal["running_range", "clip"] = Field(
        default="running_range",
        description="scores as they are, on the scale of the range seen so far (at least [0, 1]); "
        "or "
        "clipped to [0, 1], which "
        "makes every progress above 1 none",
    )
    ema_timescale: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="weight of the latest score in the fast average; the guide's default",
    )
    slow_timescale_factor: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="weight of the slow average as a share of the fast one's; the guide's default",
    )
    use_baseline_normalization: bool = Field(
        default=True, description="measure bidirectional progress above the first score of the task"
    )
    progress_smoothing: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="θ of the reweighting R(p); the guide's default. 0.5 is no reweighting",
    )
    basic_ema_initial_alpha: float = Field(
        default=0.3, gt=0, le=1, description="α_0 of the basic scorer; the guide's default"
    )
    basic_ema_alpha_decay: float = Field(
        default=0.2, ge=0, description="decay of α_n; the guide's default"
    )
    exploration_blend_factor: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of exploration in a young task's basic score; the guide's default",
    )
    exploration_bonus: float = Field(
        default=0.1,
        ge=0,
        description="what a task nobody knows yet is worth above the average; with the posterior "
        "scorer, how fast a task that is "
        "not tried becomes unknown again; the guide's default",
    )
    min_samples_for_lp: int = Field(
        default=10,
        ge=1,
        description="completions before a task counts as measured; the time of the default fast "
        "average",
    )
    performance_bonus_weight: float = Field(
        default=0.0, ge=0, description="worth added per unit of average score; the guide's default"
    )

    # How worth becomes probability
    sampling: Sampling | Literal[""] = Field(
        default="",
        description="the sampling rule. Default: power for posterior, else zscore_softmax (see "
        "docs/evidence.md)",
    )
    sampling_power: float = Field(
        default=6.0,
        ge=0,
        description="exponent of the worth: how much more often a better task is drawn "
        "(docs/evidence.md)",
    )
    z_score_amplification: float = Field(
        default=1.0, ge=0, description="factor before softmax or sigmoid"
    )
    sampling_quantile: float = Field(
        default=0.9, gt=0, lt=1, description="centre of the quantile sigmoid; Kanitscheider 2021"
    )
    sampling_temperature: float = Field(
        default=0.1, gt=0, description="of temperature_softmax, in units of worth"
    )
    rand_task_rate: float = Field(
        default=0.01, ge=0, le=1, description="share of uniform sampling; the guide's default"
    )

    # Which tasks leave
    eviction_threshold_percentile: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="share of the measured tasks that may leave; the guide's default. 0: none "
        "leaves",
    )
    eviction_worth_ratio: float = Field(
        default=0.5,
        ge=0,
        description="with a scorer that knows what an unseen task is worth, a task leaves only if "
        "it "
        "is worth at most this share "
        "of one; without it, tasks that are being learned leave too (docs/evidence.md)",
    )
    min_presentations_for_eviction: int = Field(
        default=5, ge=1, description="completions before a task may leave"
    )
    sample_threshold: int = Field(
        default=10, ge=1, description="completions before a task may leave; the guide's name"
    )

    @field_validator("scorer", mode="before")
    @classmethod
    def _scorer_path(cls, value: Any) -> Any:
        if isinstance(value, type) and issubclass(value, LPScorer):
            return next(
                (name for name, known in SCORERS.items() if known is value), class_path(value)
            )
        if isinstance(value, str) and value and value not in SCORERS:
            if "." not in value:
                raise ValueError(
                    f"scorer={value!r} does not exist: use {', '.join(SCORERS)} or a class path "
                    "'module.Class'"
                )
            resolve_class(value, LPScorer)
        return value

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
        return self

    @classmethod
    def default(cls, **overrides: Any) -> LearningProgressConfig:
        """For most environments: looks back on about 10 completions. 256 tasks."""
        return cls(
            **{"num_active_tasks": 256, "ema_timescale": 0.1, "exploration_bonus": 0.1, **overrides}
        )

    @classmethod
    def stable(cls, **overrides: Any) -> LearningProgressConfig:
        """For noisy environments: looks back on about 100 completions, explores more. 256 tasks."""
        return cls(
            **{
                "num_active_tasks": 256,
                "ema_timescale": 0.01,
                "exploration_bonus": 0.15,
                **overrides,
            }
        )

    @classmethod
    def fast_learning(cls, **overrides: Any) -> LearningProgressConfig:
        """For agents that learn fast: looks back on about 5 completions, explores less. 256
        tasks."""
        return cls(
            **{
                "num_active_tasks": 256,
                "ema_timescale": 0.2,
                "exploration_bonus": 0.05,
                **overrides,
            }
        )

    def algorithm_type(self) -> str:
        return "learning_progress"

    def create(self, num_tasks: int) -> LearningProgressAlgorithm:
        return LearningProgressAlgorithm(num_tasks, self)

    def make_scorer(self) -> LPScorer:
        """The scorer."""
        kind = SCORERS.get(self.scorer) or resolve_class(self.scorer, LPScorer)
        return kind(self)

    def eviction_samples(self) -> int:
        """Completions before a task may leave the pool: it must have been measured by then."""
        return max(
            self.min_presentations_for_eviction, self.sample_threshold, self.min_samples_for_lp
        )


class LearningProgressAlgorithm(CurriculumAlgorithm):
    """Samples by learning progress.

    Args:
        num_tasks: reported as ``num_tasks``.
        hypers: the configuration.
        scorer: a scorer to use instead of the configured one.
        task_tracker: a tracker to use instead of one made as configured; it must have the scorer's
            columns.
    """

    needs_task_events = False

    def __init__(
        self,
        num_tasks: int,
        hypers: LearningProgressConfig,
        scorer: LPScorer | None = None,
        task_tracker: TaskTracker | None = None,
    ):
        self.scorer = hypers.make_scorer() if scorer is None else scorer
        super().__init__(
            num_tasks, hypers, task_tracker or hypers.make_tracker(self.scorer.columns)
        )
        self.hypers: LearningProgressConfig = hypers
        self.scorer.bind(self.task_tracker)
        self._columns = self.scorer if isinstance(self.scorer, ColumnScorer) else None
        self._unseen_worth: float | None = None  # of a task nobody knows, where the scorer can tell
        if self._columns is not None and self._columns.explores:
            unseen = float(
                self._columns.score_rows(
                    np.zeros((1, self.task_tracker.table.row_size)), 0.0, 1.0, 0
                )[0]
            )
            self._unseen_worth = unseen if math.isfinite(unseen) else None
        self._clip = hypers.score_normalization == "clip"
        self._eviction_samples = hypers.eviction_samples()
        self.stats_aggregator = LPStatsAggregator(
            self.task_tracker, self.scorer, _LiveSlices(self), num_tasks
        )
        self.cache_coordinator = CacheCoordinator(self, self.scorer)

    @property
    def lp_scorer(self) -> LPScorer:
        """The scorer, under its older name."""
        return self.scorer

    # -- a completion ------------------------------------------------------------------------------

    def complete(self, slot: int, task_id: int, score: float) -> None:
        table, scorer = self.task_tracker.table, self._columns
        v, b = table.values, table.save_row(slot)
        x = min(1.0, max(0.0, score)) if self._clip else score
        if x > v[SCORE_HIGH]:
            v[SCORE_HIGH] = x
        elif x < v[SCORE_LOW]:
            v[SCORE_LOW] = x
        if scorer is not None:
            clock = table.header[CLOCK]
            scorer.update_row(v, b, x, v[b + 2], clock)
            self.task_tracker.record_at(b, score)
            v[b + 4] = scorer.score_row(v, b, v[SCORE_LOW], v[SCORE_HIGH], clock + 1)
        else:
            self.scorer.update_with_score(task_id, x)
            self.task_tracker.record_at(b, score)
            v[b + 4] = validate_score(task_id, self.scorer.score_task(task_id, self.task_tracker))
        table.commit()

    def update_task_performance(self, task_id: int, score: float) -> None:
        """Record a completion; a task that is not tracked yet is tracked from now on."""
        score = validate_score(task_id, score)
        self.task_tracker.track_task_creation(task_id)
        with self.task_tracker.table as table:
            slot = table.find(task_id)
            if slot >= 0:
                self.complete(slot, task_id, score)
        self.cache_coordinator.invalidate_stats_cache()

    def on_task_created(self, task: CurriculumTask) -> None:
        """Track the task, where no curriculum does."""
        self.task_tracker.track_task_creation(task.task_id)

    def on_task_evicted(self, task_id: int) -> None:
        """Forget the task, where no curriculum does."""
        self.scorer.remove_task(task_id)
        self.task_tracker.remove_task(task_id)
        self.cache_coordinator.invalidate_stats_cache()

    # -- what tasks are worth ----------------------------------------------------------------------

    def score_tasks(self, task_ids: list[int]) -> dict[int, float]:
        """Learning progress per task; 0.0 for tasks that are not tracked."""
        return {task_id: self.scorer.score_task(task_id, self.task_tracker) for task_id in task_ids}

    def get_learning_progress_score(
        self, task_id: int, tracker: TaskTracker | None = None
    ) -> float:
        """Learning progress of one task, under its older name."""
        return self.scorer.score_task(task_id, tracker or self.task_tracker)

    def worth(self, rows: np.ndarray) -> np.ndarray:
        """What the tasks in ``rows``, shape ``(n, row_size)``, are worth: progress, exploration and
        performance bonus."""
        hypers, v = self.hypers, self.task_tracker.table.values
        low, high = v[SCORE_LOW], v[SCORE_HIGH]
        if self._columns is not None:
            worth = self._columns.score_rows(rows, low, high, self.task_tracker.table.clock)
            explores = self._columns.explores
        else:
            worth, explores = rows[:, 4].copy(), False
        if not explores:
            worth = explored(
                worth, rows[:, 2] >= hypers.min_samples_for_lp, hypers.exploration_bonus
            )
        if hypers.performance_bonus_weight:
            worth = worth + hypers.performance_bonus_weight * (rows[:, 3] - low) / (high - low) * (
                rows[:, 2] > 0
            )
        if not np.isfinite(worth).all():
            at = int(np.flatnonzero(~np.isfinite(worth))[0])
            raise ValueError(
                f"{type(self.scorer).__name__} scores task {int(rows[at, 0])} as {worth[at]}: "
                "scores are finite"
            )
        return worth

    def distribution(self) -> np.ndarray:
        """Worth by the sampling rule, mixed with ``rand_task_rate`` of uniform."""
        table = self.task_tracker.table
        active = None if table.active_count == table.layout.max_tasks else table.active()
        rows = table.rows if active is None else table.rows[active]
        if not len(rows):
            return np.zeros(table.layout.max_tasks)
        p = sampling.mix_uniform(self._rule()(self.worth(rows)), self.hypers.rand_task_rate)
        if active is None:
            return p
        probability = np.zeros(table.layout.max_tasks)
        probability[active] = p
        return probability

    def _rule(self) -> Callable[[np.ndarray], np.ndarray]:
        h = self.hypers
        rules: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "power": lambda w: sampling.power(w, h.sampling_power),
            "proportional": lambda w: sampling.power(w, 1.0),
            "zscore_softmax": lambda w: sampling.zscore_softmax(w, h.z_score_amplification),
            "zscore_sigmoid": lambda w: sampling.zscore_sigmoid(w, h.z_score_amplification),
            "quantile_sigmoid": lambda w: sampling.quantile_sigmoid(
                w, h.z_score_amplification, h.sampling_quantile
            ),
            "temperature_softmax": lambda w: sampling.temperature_softmax(
                w, h.sampling_temperature
            ),
            "uniform": lambda w: sampling.uniform(w.size),
        }
        return rules[h.sampling]

    # -- eviction ----------------------------------------------------------------------------------

    def evictions(self, limit: int) -> list[int]:
        """The measured tasks of least progress, lowest first: those at or below the threshold, at
        most ``limit``. Lock held."""
        table, share = self.task_tracker.table, self.hypers.eviction_threshold_percentile
        if limit < 1 or share == 0.0:
            return []
        worth, is_measured = (
            table.column("lp_score"),
            table.column("completion_count") >= self._eviction_samples,
        )
        if not (
            (worth <= self._eviction_limit()) & is_measured
        ).any():  # most of the time, and it saves a partial sort
            return []
        (measured,) = is_measured.nonzero()
        scores = worth[measured]
        (candidates,) = (scores <= self._eviction_threshold(scores)).nonzero()
        low = scores[candidates]
        if candidates.size > limit:
            lowest = low.argpartition(limit - 1)[:limit]
            candidates, low = candidates[lowest], low[lowest]
        order = candidates[low.argsort(kind="stable")]
        return table.column("task_id")[measured[order]].astype(np.int64).tolist()

    def should_evict_task(self, task_id: int, criterion: Sequence[int] | int | None = None) -> bool:
        """Whether the task was measured and is in the bottom ``eviction_threshold_percentile`` of
        the measured ones.

        ``criterion``: the ids it is compared with, or the least number of completions that it must
            have (it may not be below
        what measuring takes); the comparison is with the whole pool then.
        """
        samples, ids = self._eviction_samples, None
        if isinstance(criterion, int):
            samples = max(criterion, self.hypers.min_samples_for_lp)
        elif criterion is not None:
            ids = list(criterion)
        scores = self._measured_scores(ids, samples)
        if self.hypers.eviction_threshold_percentile == 0.0 or task_id not in scores:
            return False
        return scores[task_id] <= self._eviction_threshold(np.array(list(scores.values())))

    def _eviction_threshold(self, scores: np.ndarray) -> float:
        return min(
            percentile(scores, self.hypers.eviction_threshold_percentile), self._eviction_limit()
        )

    def _eviction_limit(self) -> float:
        # A task worth more stays, however it compares with the others.
        return (
            math.inf
            if self._unseen_worth is None
            else self.hypers.eviction_worth_ratio * self._unseen_worth
        )

    def recommend_eviction(self, task_ids: list[int]) -> int | None:
        """The measured task of least progress among ``task_ids``, or None if none was measured."""
        scores = self._measured_scores(task_ids, self._eviction_samples)
        return min(scores, key=scores.__getitem__) if scores else None

    def _measured_scores(self, task_ids: list[int] | None, samples: int) -> dict[int, float]:
        with self.task_tracker.table as table:
            ids = table.task_ids().tolist() if task_ids is None else task_ids
            slots = {task_id: slot for task_id in ids if (slot := table.find(task_id)) >= 0}
            return {
                i: float(table.rows[s, 4]) for i, s in slots.items() if table.rows[s, 2] >= samples
            }

    # -- statistics and state ----------------------------------------------------------------------

    def get_base_stats(self) -> dict[str, float]:
        return {"num_tasks": float(self.num_tasks)}

    def _compute_detailed_stats(self) -> dict[str, float]:
        stats = self.stats_aggregator.get_all_stats(
            include_slice=self.hypers.enable_detailed_slice_logging
        )
        return stats | self.label_stats()

    def get_state(self) -> dict[str, Any]:
        return {
            **super().get_state(),
            "scorer": scorer_name(self.scorer),
            "scorer_state": self.scorer.get_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a saved pool. Where it was saved with another scorer, its tasks begin anew:
        they are unmeasured."""
        if isinstance(state, dict) and not isinstance(state.get("scorer_state"), dict):
            raise ValueError(
                "not the state of a learning-progress algorithm: it has no 'scorer_state'"
            )
        super().load_state(state)
        declared = {column.name for column in self.scorer.columns}
        if state.get("scorer") == scorer_name(self.scorer) and declared <= set(
            state["tracker"]["columns"]
        ):
            self.scorer.load_state(state["scorer_state"])
            return
        with self.task_tracker.table as table:
            for slot in np.flatnonzero(table.active()).tolist():
                kept = {
                    name: float(table.column(name)[slot])
                    for name in ("success_threshold", "seed", "generator_type")
                }
                table.restart(slot, kept)


class _LiveSlices:
    """The pool's slices as of the moment they are asked for."""

    def __init__(self, algorithm: CurriculumAlgorithm):
        self._algorithm = algorithm

    def get_detailed_stats(self) -> dict[str, float]:
        analyzer: SliceAnalyzer = self._algorithm.slice_analyzer
        return analyzer.get_detailed_stats()


def scorer_name(scorer: LPScorer) -> str:
    """The name of a scorer in saved states: that of the configuration, or the path of its class."""
    kind = type(scorer)
    return next(
        (name for name, known in SCORERS.items() if known is kind),
        f"{kind.__module__}.{kind.__qualname__}",
    )


def explored(progress: np.ndarray, measured: np.ndarray, bonus: float) -> np.ndarray:
    """Progress with unmeasured tasks raised to  mean(L) + bonus · max(L)  of the measured ones, all
    shape ``(n,)``.

    On the scale of the others' progress, so that the bonus neither drowns them nor drowns in them.
    With nothing measured, or no progress anywhere, the scale is 1.
    """
    known = progress[measured]
    if known.size == progress.size:
        return progress
    top = float(known.max()) if known.size else 0.0
    level = float(known.mean()) + bonus * top if top > 0.0 else bonus
    return np.where(measured, progress, np.maximum(progress, level))


def percentile(scores: np.ndarray, share: float) -> float:
    """The score that ``floor(share · (n − 1))`` of the ``n`` scores are sorted before; the lowest
    for share 0."""
    k = int(share * (scores.size - 1))
    return float(np.partition(scores, k)[k])
