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
    transfer     practice of i that has an effect also gives its neighbours j θ_j ← θ_j + f · η_j
                 (at most c_j); i can be practised once a neighbour or i itself has p ≥ o
    by success   practice has its effect only in an episode with a success

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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from experiments.simulation.observation import Luck, Observation

IMPOSSIBLE = -1
"""Skill of a task that nobody can solve: its outcome is always 0."""

GROUPS = ("learning", "mastered", "blocked", "unlearnable")
"""What an episode was spent on: a skill that practice improves, one mastered already, one with an
unmastered parent, or one that practice can never master."""
_LEARNING, _MASTERED, _BLOCKED, _UNLEARNABLE = range(4)


class SkillOfTask(Protocol):
    """Task → skill, or ``IMPOSSIBLE``: an array, or a family that finds them one by one."""

    def __len__(self) -> int:
        """T."""
        ...

    def __getitem__(self, task: int, /) -> int:
        """The task's skill."""
        ...


@dataclass(frozen=True)
class Neighbours:
    """Skills that are learned together, as places of a space of difficulties are."""

    of: tuple[tuple[int, ...], ...]
    """S tuples: the neighbours of each skill. Symmetric."""
    transfer: float
    """Share f of a neighbour's rate that practice gives it."""
    opens: float
    """Success probability o from which a skill opens its neighbours. Skill 0 is always open."""


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
    skill_of_task: SkillOfTask
    """(T,) the skill that each task exercises, or ``IMPOSSIBLE``."""
    reward_scale: NDArray[np.float64]
    """(S,) reward of a success; a failure pays 0."""
    agents: int = 1
    """Independent tries of one episode, whose mean reward is its score."""
    observations: tuple[Observation, ...] = ()
    """S: how each skill's scores come about, ``reward_scale`` besides; (): Bernoulli outcomes."""
    neighbours: Neighbours | None = None
    """None: skills are learned each for itself."""
    by_success: bool = False
    """Whether only an episode with a success teaches. Outcomes are Bernoulli then."""

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

    def tasks_of_skills(self) -> NDArray[np.int64]:
        """(S,) the first task of each skill; −1 where it has none."""
        task = np.full(self.num_skills, -1, dtype=np.int64)
        if isinstance(self.skill_of_task, np.ndarray):
            skills, first = np.unique(self.skill_of_task, return_index=True)
            task[skills[skills >= 0]] = first[skills >= 0]
            return task
        missing = self.num_skills
        for number in range(self.num_tasks):
            skill = self.skill_of_task[number]
            if skill != IMPOSSIBLE and task[skill] < 0:
                task[skill] = number
                missing -= 1
            if not missing:
                break
        return task

    def episodes_to_master(self) -> NDArray[np.int64]:
        """(S,) practice that masters each skill from its start, parents mastered: ceil((logit m −
        a_i) / η_i), 0 where it is mastered from the start or cannot be learned. Transfer is not
        counted. By success it is what is expected: the sum of 1 / p over that many steps.
        """
        missing = np.maximum(logit(self.mastery) - self.start, 0.0)
        needed = np.zeros(self.num_skills, dtype=np.int64)
        # A hair less than the quotient: practice adds η_i repeatedly, and rounding must not cost a
        # whole episode.
        needed[self.learnable] = np.ceil(missing[self.learnable] / self.rate[self.learnable] - 1e-9)
        if self.by_success:
            for skill, steps in enumerate(needed.tolist()):
                theta = self.start[skill] + self.rate[skill] * np.arange(steps)
                needed[skill] = math.ceil(np.sum(1.0 + np.exp(-theta)) - 1e-9)
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
        self._luck = Luck(seed)
        self._theta: list[float] = world.start.tolist()
        self._start: list[float] = world.start.tolist()
        self._rate: list[float] = world.rate.tolist()
        self._ceiling: list[float] = world.ceiling.tolist()
        self._scale: list[float] = world.reward_scale.tolist()
        self._observations = world.observations or (Observation(),) * world.num_skills
        self._learnable: list[bool] = world.learnable.tolist()
        self._practised = [0] * world.num_skills
        width = max((len(parents) for parents in world.parents), default=0)
        self._parents = np.full((world.num_skills, width), world.num_skills)
        for skill, parents in enumerate(world.parents):
            self._parents[skill, : len(parents)] = parents
        self._threshold = logit(world.mastery) - 1e-9
        self._neighbours = world.neighbours or Neighbours(((),) * world.num_skills, 0.0, 0.5)
        self._opens = logit(self._neighbours.opens)
        self._beside = np.zeros((world.num_skills, world.num_skills), dtype=bool)
        for skill, beside in enumerate(self._neighbours.of if world.neighbours else ()):
            self._beside[skill, list(beside)] = True
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
        observation, agents = self._observations[skill], self.world.agents
        outcomes = sum(self._luck.outcome(success, observation) for _ in range(agents))
        self._set(skill, theta)
        if ready and theta < self._ceiling[skill] and (outcomes or not self.world.by_success):
            self._learn(skill)
        return observation.score(self._scale[skill] * outcomes / agents, self.episode)

    def _learn(self, skill: int) -> None:
        for learned, share in self._reached(skill):
            ceiling = self._ceiling[learned]
            theta = self._remembered(learned)
            if theta < ceiling:
                self._set(learned, min(theta + share * self._rate[learned], ceiling))

    def _reached(self, skill: int) -> Iterator[tuple[int, float]]:
        yield skill, 1.0
        for neighbour in self._neighbours.of[skill]:
            yield neighbour, self._neighbours.transfer

    def _set(self, skill: int, theta: float) -> None:
        self._theta[skill] = theta
        self._practised[skill] = self.episode

    def competence(self) -> NDArray[np.float64]:
        """(S,) success probability of each skill now, its parents taken as mastered."""
        return 1.0 / (1.0 + np.exp(-self._remembered_all()))

    def level(self) -> float:
        """Mean competence over the skills that practice can master, in percent."""
        learnable = self.world.learnable
        return 100.0 * float(self.competence()[learnable].mean()) if learnable.any() else 0.0

    def mastered(self) -> NDArray[np.bool_]:
        """(S,) whether each skill is mastered now by something that was learned: one that cannot be
        learned never is."""
        return (self._remembered_all() >= self._threshold) & self.world.learnable

    def gains(self) -> NDArray[np.float64]:
        """(S,) by how much one more episode of each skill would raise the competences, p' − p, its
        own and its neighbours', as expected; what is mastered or unlearnable does not count, and a
        blocked skill gains nothing. Only an oracle may look at this."""
        theta = self._remembered_all()
        world = self.world
        after = np.minimum(theta + world.rate, np.maximum(world.ceiling, theta))
        known = np.append(theta >= self._threshold, True)  # the last one stands for "no parent"
        open_ = np.asarray(known[self._parents].all(axis=1))
        counts = ~known[:-1] & world.learnable
        if world.neighbours is not None:
            return self._gains_of_neighbours(theta, open_, counts)
        p = 1.0 / (1.0 + np.exp(-theta))
        gains = np.where(open_ & counts, 1.0 / (1.0 + np.exp(-after)) - p, 0.0)
        return gains * (1.0 - (1.0 - p) ** world.agents) if world.by_success else gains

    def _gains_of_neighbours(
        self, theta: NDArray[np.float64], open_: NDArray[np.bool_], counts: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        def gain(share: float) -> NDArray[np.float64]:
            after = np.minimum(theta + share * world.rate, np.maximum(world.ceiling, theta))
            difference = 1.0 / (1.0 + np.exp(-after)) - 1.0 / (1.0 + np.exp(-theta))
            return np.where(counts, difference, 0.0)

        world = self.world
        supports = theta >= self._opens
        supported = supports | (self._beside @ supports)
        supported[0] = True
        open_ = open_ & supported & (theta < world.ceiling)
        return np.where(open_, gain(1.0) + self._beside @ gain(self._neighbours.transfer), 0.0)

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
        remembered = self._remembered
        if not all(remembered(parent) >= self._threshold for parent in self.world.parents[skill]):
            return False
        if self.world.neighbours is None or skill == 0:
            return True
        near = (skill, *self._neighbours.of[skill])
        return any(remembered(other) >= self._opens for other in near)
