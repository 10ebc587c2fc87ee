"""A simulated learner: competence per skill, grown by practice, from equations of learning.

The learner is the environment *and* the agent of a curriculum: it is given a task, reports a noisy
outcome, and practice changes what it can do. For skill ``i`` at episode ``t``::

    competence   p_i = sigmoid(θ_i)                                  probability of success
    practice     θ_i ← min(θ_i + η_i, c_i)   if all parents of i are mastered, otherwise unchanged
    mastered     p_i ≥ m
    blocked      a skill with an unmastered parent succeeds with probability ℓ · p_i
    forgetting   θ_i(t) = a_i + (θ_i − a_i) · 2^(−Δt / h),
                 Δt episodes since its last practice, a_i the start
    shift        θ_i ← max(θ_i − d, a_i), at given episodes, the same for every arm

A constant gain per episode in log-odds is ``dp/dn = η p (1 − p)``, the logistic learning curve
(Thurstone, "The learning function", Journal of General Psychology 3, 1930). It is also what natural
policy gradient ascent does to the success probability of a binary choice (Kakade, "A natural policy
gradient", 2001): the exact gradient p(1−p) of the expected reward, divided by the Fisher
information p(1−p), is a constant step in log-odds. Forgetting is exponential in the time without
practice (Ebbinghaus, 1885). A prerequisite works as in a technology tree: what needs a tool cannot
be done without it.

Nothing here knows of any scorer or sampling rule.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IMPOSSIBLE = -1
"""Skill of a task that nobody can solve: its outcome is always 0."""

GROUPS = ("learning", "mastered", "blocked", "unlearnable")
"""What an episode was spent on: a skill that practice improves, one mastered already, one with an
unmastered parent, or one that practice can never master."""
_LEARNING, _MASTERED, _BLOCKED, _UNLEARNABLE = range(4)


@dataclass(frozen=True)
class World:
    """What can be learned, and how fast: the constants of the equations above for S skills and T
    tasks."""

    start: NDArray[np.float64]
    """(S,) log-odds of success before any practice, a_i."""
    rate: NDArray[np.float64]
    """(S,) log-odds gained by one episode of practice, η_i ≥ 0; 0 is a skill that cannot be
    learned."""
    ceiling: NDArray[np.float64]
    """(S,) log-odds that practice does not exceed, c_i ≥ a_i."""
    parents: tuple[tuple[int, ...], ...]
    """S tuples of the skills that must be mastered before practice of this one has an effect."""
    mastery: float
    """Success probability from which a skill counts as mastered, m."""
    blocked_success: float
    """Factor ℓ on the success probability of a skill with an unmastered parent."""
    half_life: float
    """Episodes without practice after which half of what was learned (in log-odds) is gone, h;
    infinite: no forgetting."""
    shifts: tuple[tuple[int, int, float], ...]
    """(episode, skill, log-odds lost) in the order of the episodes."""
    skill_of_task: NDArray[np.int32]
    """(T,) the skill that each task exercises, or ``IMPOSSIBLE``."""
    reward_scale: NDArray[np.float64]
    """(S,) reward of a success; a failure pays 0."""
    agents: int = 1
    """Independent tries of one episode, whose mean reward is its score."""

    @property
    def num_skills(self) -> int:
        """S."""
        return len(self.start)

    @property
    def num_tasks(self) -> int:
        """T."""
        return len(self.skill_of_task)

    @property
    def learnable(self) -> NDArray[np.bool_]:
        """(S,) whether practice can master the skill."""
        return (self.rate > 0) & (self.ceiling >= logit(self.mastery))

    def episodes_to_master(self) -> NDArray[np.int64]:
        """(S,) practice that masters each skill from its start, parents mastered: ceil((logit m −
        a_i) / η_i), 0 where it is mastered from the start or cannot be learned."""
        missing = np.maximum(logit(self.mastery) - self.start, 0.0)
        needed = np.zeros(self.num_skills, dtype=np.int64)
        # A hair less than the quotient: practice adds η_i repeatedly, and rounding must not cost a
        # whole episode.
        needed[self.learnable] = np.ceil(missing[self.learnable] / self.rate[self.learnable] - 1e-9)
        return needed


def logit(p: float) -> float:
    """Log-odds ``ln(p / (1 − p))`` of a probability strictly between 0 and 1."""
    return math.log(p / (1.0 - p))


def sigmoid(theta: float) -> float:
    """Inverse of :func:`logit`."""
    return 1.0 / (1.0 + math.exp(-theta))


class Learner:
    """The state of one learner in a :class:`World`.

    Args:
        world: the constants.
        seed: seed of the outcomes; what is learned is deterministic given the order of the tasks.
    """

    def __init__(self, world: World, seed: int | np.random.SeedSequence) -> None:
        self.world = world
        self.episode = 0
        """Episodes practised so far, of all tasks."""
        self.spent = [0, 0, 0, 0]
        """Episodes spent on each of ``GROUPS``."""
        self._random = _Uniforms(np.random.default_rng(seed))
        self._theta: list[float] = world.start.tolist()
        self._start: list[float] = world.start.tolist()
        self._rate: list[float] = world.rate.tolist()
        self._ceiling: list[float] = world.ceiling.tolist()
        self._scale: list[float] = world.reward_scale.tolist()
        self._learnable: list[bool] = world.learnable.tolist()
        self._practised = [0] * world.num_skills
        width = max((len(parents) for parents in world.parents), default=0)
        self._parents = np.full((world.num_skills, width), world.num_skills)
        for skill, parents in enumerate(world.parents):
            self._parents[skill, : len(parents)] = parents
        self._threshold = logit(world.mastery) - 1e-9
        self._next_shift = 0

    def practise(self, task: int) -> float:
        """One episode of ``task``: its outcome is drawn from the competence before the practice,
        which then counts.

        Returns the reward, ``reward_scale`` of the skill or 0. Raises ``IndexError`` for a task
        outside the world.
        """
        skill = int(self.world.skill_of_task[task])
        self.episode += 1
        self._shift()
        if skill == IMPOSSIBLE:
            self.spent[_UNLEARNABLE] += 1
            return 0.0
        theta = self._remembered(skill)
        ready = self._ready(skill)
        if not self._learnable[skill]:
            self.spent[_UNLEARNABLE] += 1
        elif not ready:
            self.spent[_BLOCKED] += 1
        else:
            self.spent[_MASTERED if theta >= self._threshold else _LEARNING] += 1
        success = sigmoid(theta) if ready else self.world.blocked_success * sigmoid(theta)
        successes = sum(self._random() < success for _ in range(self.world.agents))
        reward = self._scale[skill] * successes / self.world.agents
        if ready and theta < self._ceiling[skill]:
            theta = min(theta + self._rate[skill], self._ceiling[skill])
        self._theta[skill] = theta
        self._practised[skill] = self.episode
        return reward

    def competence(self) -> NDArray[np.float64]:
        """(S,) success probability of each skill now, its parents taken as mastered."""
        return 1.0 / (1.0 + np.exp(-self._remembered_all()))

    def mastered(self) -> NDArray[np.bool_]:
        """(S,) whether each skill is mastered now by something that was learned: one that cannot be
        learned never is."""
        return (self._remembered_all() >= self._threshold) & self.world.learnable

    def gains(self) -> NDArray[np.float64]:
        """(S,) by how much one more episode would raise each competence, p' − p; 0 for a skill that
        is blocked, mastered or unlearnable. Only an oracle may look at this."""
        theta = self._remembered_all()
        world = self.world
        after = np.minimum(theta + world.rate, np.maximum(world.ceiling, theta))
        known = np.append(theta >= self._threshold, True)  # the last one stands for "no parent"
        open_ = known[self._parents].all(axis=1) & ~known[:-1] & world.learnable
        return np.where(open_, 1.0 / (1.0 + np.exp(-after)) - 1.0 / (1.0 + np.exp(-theta)), 0.0)

    def _shift(self) -> None:
        shifts = self.world.shifts
        while self._next_shift < len(shifts) and shifts[self._next_shift][0] <= self.episode:
            _, skill, lost = shifts[self._next_shift]
            self._theta[skill] = max(self._remembered(skill) - lost, self._start[skill])
            self._practised[skill] = self.episode
            self._next_shift += 1

    def _remembered(self, skill: int) -> float:
        theta = self._theta[skill]
        if self.world.half_life == math.inf:
            return theta
        start = self._start[skill]
        return start + (theta - start) * 2.0 ** (
            -(self.episode - self._practised[skill]) / self.world.half_life
        )

    def _remembered_all(self) -> NDArray[np.float64]:
        theta = np.array(self._theta)
        if self.world.half_life == math.inf:
            return theta
        age = self.episode - np.array(self._practised, dtype=np.float64)
        return self.world.start + (theta - self.world.start) * np.exp2(-age / self.world.half_life)

    def _ready(self, skill: int) -> bool:
        return all(
            self._remembered(parent) >= self._threshold for parent in self.world.parents[skill]
        )


class _Uniforms:
    """Uniform numbers in [0, 1), drawn in blocks: a tenth of the cost of one call each."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._block: list[float] = []

    def __call__(self) -> float:
        if not self._block:
            self._block = self._generator.random(4096).tolist()
        return self._block.pop()
