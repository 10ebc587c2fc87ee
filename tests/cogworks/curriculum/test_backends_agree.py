"""Any sequence of operations gives the same state in local and in shared memory, and agrees with a
simple model."""

from collections import Counter
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from metta.cogworks.curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from metta.cogworks.curriculum.sessions import new_session_id
from tests.cogworks.curriculum.generator_examples import RoomGenerator
from tests.cogworks.curriculum.states import as_json, without_times

SCORERS = [
    "bidirectional",
    "basic",
    "posterior",
    "tests.cogworks.curriculum.curriculum_examples.SharedScorer",
]


class Pools(RuleBasedStateMachine):
    """One pool in local memory; one in shared memory with two views, which take turns."""

    @initialize(
        scorer=st.sampled_from(SCORERS),
        tasks=st.integers(1, 6),
        ids=st.integers(1, 12),
        samples=st.integers(1, 3),
    )
    def begin(self, scorer: str, tasks: int, ids: int, samples: int) -> None:
        algorithm = LearningProgressConfig(
            num_active_tasks=tasks,
            scorer=scorer,
            use_shared_memory=False,
            min_presentations_for_eviction=samples,
            sample_threshold=samples,
            min_samples_for_lp=samples,
            completion_history_size=5,
            eviction_worth_ratio=1e9,
        )
        config = CurriculumConfig(
            algorithm_config=algorithm, task_generator=RoomGenerator.Config(), max_task_id=ids
        )
        self.local = Curriculum(config)
        shared = config.with_session(new_session_id())
        self.views = [Curriculum(shared), Curriculum(shared)]
        self.ids = ids
        self.turn = 0
        self.scores: Counter[int] = Counter()
        self.saved: tuple[Any, Any] | None = None

    @property
    def shared(self) -> Curriculum:
        self.turn += 1
        return self.views[self.turn % 2]

    def both(self, action: Any) -> Any:
        results = []
        for curriculum in (self.local, self.shared):
            try:
                results.append(action(curriculum))
            except (ValueError, RuntimeError) as error:
                results.append((type(error), str(error)))
        assert results[0] == results[1]
        return results[0]

    @rule()
    def draw(self) -> None:
        self.both(lambda curriculum: curriculum.get_task().task_id)

    @rule(
        n=st.integers(0, 20),
        scores=st.lists(st.sampled_from([0.0, 0.3, 1.0, -2.0, 7.5]), min_size=1, max_size=4),
    )
    def episodes(self, n: int, scores: list[float]) -> None:
        def play(curriculum: Curriculum) -> list[int]:
            drawn = []
            for i in range(n):
                drawn.append(curriculum.get_task().task_id)
                curriculum.update_task_performance(drawn[-1], scores[i % len(scores)])
            return drawn

        drawn = self.both(play)
        if isinstance(drawn, list):
            self.scores["completions"] += n

    @rule(
        task_id=st.integers(0, 13), score=st.floats(allow_nan=True, allow_infinity=True, width=16)
    )
    def complete(self, task_id: int, score: float) -> None:
        before = self.local.stats()
        outcome = self.both(lambda curriculum: curriculum.update_task_performance(task_id, score))
        if outcome is None:
            self.scores["completions"] += 1
        else:
            assert self.local.stats() == before

    @rule(task_id=st.integers(0, 13))
    def retire(self, task_id: int) -> None:
        self.both(lambda curriculum: curriculum.retire_task(task_id, "reason"))

    @rule()
    def save(self) -> None:
        self.saved = (as_json(self.local.get_state()), self.scores.copy())

    @rule()
    def load(self) -> None:
        if self.saved is not None:
            state, self.scores = self.saved[0], self.saved[1].copy()
            self.both(lambda curriculum: curriculum.load_state(state))

    @invariant()
    def one_state(self) -> None:
        state = without_times(self.local.get_state())
        for view in self.views:
            assert without_times(view.get_state()) == state
        stats = self.local.stats()
        assert self.views[0].stats() == self.views[1].stats() == stats
        ids = self.local.algorithm.task_tracker.get_all_tracked_tasks()
        assert len(ids) == len(set(ids))
        assert all(0 <= task_id < self.ids for task_id in ids)
        assert stats["num_completed"] + stats["late_completions"] == self.scores["completions"]
        assert (
            stats["num_created"] - stats["num_evicted"] - stats["num_invalid"]
            == stats["num_active_tasks"]
            == len(ids)
        )
        with self.local.algorithm.task_tracker.table as table:
            assert sorted(table.task_ids().tolist()) == sorted(
                i for i in range(self.ids) if table.find(i) >= 0
            )

    def teardown(self) -> None:
        for view in self.views:
            view.close()


TestPools = Pools.TestCase
TestPools.settings = settings(
    max_examples=50, stateful_step_count=25, deadline=None, derandomize=True
)
