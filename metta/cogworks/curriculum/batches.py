"""Several draws, and several scores of a draw, at once. The pool's lock is held throughout."""

from __future__ import annotations

from metta.cogworks.curriculum.algorithm import CurriculumAlgorithm
from metta.cogworks.curriculum.population import Population
from metta.cogworks.curriculum.tasks.inputs import checked_integer, flag

MOST_TASKS_AT_ONCE = 1_000_000
"""Of one call: the pool is locked meanwhile, for a few seconds."""


def draw_batch(
    population: Population, algorithm: CurriculumAlgorithm, n: int, distinct: bool
) -> list[int]:
    """The next ``n`` tasks' ids, at most a million; ``distinct``: no two the same, see
    :func:`draw_distinct`."""
    n = checked_integer("n", n, 0, MOST_TASKS_AT_ONCE)
    if flag("distinct", distinct):
        return draw_distinct(population, algorithm, n)
    return [population.draw() for _ in range(n)]


def draw_distinct(population: Population, algorithm: CurriculumAlgorithm, n: int) -> list[int]:
    """The next ``n`` tasks' ids, drawn one after the other, each without those before it; of
    regions, no two of the same one. They count as scheduled.

    Wong and Easton, "An efficient method for weighted sampling without replacement", SIAM J.
    Comput. 9, 1980. Cost: log2 of the pool a task.

    Raises:
        ValueError: the pool has fewer tasks, or fewer that are ever drawn; nothing changes.
    """
    table, samples = algorithm.table, algorithm.table.samples
    population.fill_if_new()
    _check(n, table.header.active_count, "has")
    period = algorithm.refresh_period
    for _ in range(n):  # as often as n draws would
        if not table.header.is_due(period):
            break
        population.prepare()
    among = samples.remaining()
    chosen: list[tuple[int, tuple[int, int]]] = []
    for drawn in range(n):
        slot = samples.draw(algorithm.uniform_share, among)
        if slot < 0:
            samples.undo_draws(drawn + 1)
            _check(n, drawn, "draws only")
        chosen.append((slot, samples.latest))
        for tree in among:
            tree.leave_out(slot)
    # Each is handed out when all are chosen: what that changes is only its own weight.
    return [population.hand_out(*each) for each in chosen]


def _check(n: int, count: int, has: str) -> None:
    if n > count:
        raise ValueError(
            f"n={n} distinct tasks cannot be drawn: the pool {has} {count}. Give at most that "
            "many, a larger num_active_tasks, or distinct=False"
        )


def complete_rollouts(
    population: Population, algorithm: CurriculumAlgorithm, task_id: int, scores: list[float]
) -> None:
    """Record what became of one draw of a task: a completion per score, at least one. The draw
    counts as so many, so that no other draw of the task ends in its place."""
    table = algorithm.table
    slot = table.find(population.row_id(task_id))
    if slot >= 0 and len(scores) > 1:
        begun = table.begin()
        before, now = table.flights.multiply(slot, table.save_row(slot), len(scores))
        algorithm.in_flight_changed(slot, before, now)
        table.commit(begun)
    for score in scores:
        population.complete(task_id, score)
