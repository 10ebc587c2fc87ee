"""The model of a simulated world's parameters, and the eight settings of it in which the curricula
are compared first. ``experiments.simulation.worlds`` has more.

Every scenario is a :class:`Scenario`; those in :data:`SCENARIOS` differ in a few fields each. The
defaults describe 107 skills (the number of items that Kanitscheider et al., "Multi-task curriculum
learning in a complex, visual, hard-exploration domain: Minecraft", 2021, discover), each mastered
by 54 episodes of practice.
"""

import dataclasses
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from experiments.simulation.families import Family, grid_neighbours
from experiments.simulation.learner import IMPOSSIBLE, Neighbours, SkillOfTask, World, logit
from experiments.simulation.observation import Noise, Observation

Merit = Literal["mastered", "level"]
"""What an arm is judged by: skills mastered, or the mean competence over what can be mastered."""


class Scenario(BaseModel):
    """Parameters of a simulated world. "Chosen" below means: no source, varied to see that the
    ranking of the arms holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    skills: int = Field(default=107, ge=1)
    """Skills; also the number of tasks unless ``task_ids`` is given. 107: Kanitscheider et al.
    2021."""
    layers: int = Field(default=1, ge=1)
    """Skills are spread over so many layers; each in layer k > 0 has parents in layer k − 1. 1: all
    independent."""
    parents: tuple[int, int] = (1, 2)
    """Fewest and most parents of a skill outside layer 0, drawn uniformly. (1, 2): the issue's
    definition of tech_tree."""
    first_layer_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of the skills in layer 0; None: every layer has the same size."""
    start: float = Field(default=0.05, gt=0, lt=1)
    """Success probability before practice: chance, as random play reaches an easy item. Chosen."""
    mastery: float = Field(default=0.8, gt=0, lt=1)
    """Success probability that counts as mastered, and that unlocks the children. Chosen."""
    ceiling: float = Field(default=0.99, gt=0, lt=1)
    """Success probability that practice does not exceed. Chosen."""
    episodes_to_master: int = Field(default=54, ge=1)
    """Practice from ``start`` to ``mastery`` of a typical skill. 54 makes one episode worth 0.014
    of competence on average: far less than the noise of one Bernoulli outcome, as in reinforcement
    learning. Chosen."""
    rate_spread: float = Field(default=0.3, ge=0)
    """Standard deviation of ln(learning rate) over the skills: some are learned twice as fast as
    others. Chosen."""
    blocked_success: float = Field(default=0.2, ge=0, le=1)
    """Factor on the success probability while a parent is not mastered: 0.05 becomes 0.01.
    Chosen."""
    noise_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the skills that can never be learned and pay at random."""
    noise_range: tuple[float, float] = (0.1, 0.9)
    """Their success probability is uniform in this range, and they pay all or nothing."""
    flat_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the skills that stay at ``flat_level`` for ever, observed as what is learned is."""
    flat_level: float = Field(default=0.3, gt=0, lt=1)
    """Their success probability. 0.3: the issue's."""
    half_life: float = Field(default=math.inf, gt=0)
    """Episodes without practice after which half of the learned log-odds is lost."""
    shift_every: int | None = Field(default=None, ge=1)
    """Every so many episodes one random skill becomes harder; None: never."""
    shift_by: float = Field(default=3.0, gt=0)
    """Log-odds by which it does. 3: from 0.9 to 0.31."""
    reset_every: int | None = Field(default=None, ge=1)
    """Every so many episodes everything is forgotten; None: never."""
    by_success: bool = False
    """Whether only an episode with a success teaches."""
    task_ids: int | None = Field(default=None, ge=1)
    """Task ids of the generator, each of which exercises a random skill; None: one task per
    skill."""
    impossible_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the task ids that nobody can solve, as procedural generators produce, or of the
    cells of a family. Needs ``task_ids``."""
    lists: tuple[int, ...] = ()
    """Number of values of each list of a family of generated tasks, by whose values the skill of a
    task is visible. (): tasks are plain ids."""
    spans: tuple[int, ...] = ()
    """Cells, along each real-valued bucket of the family, of which each is a skill. 1: a value that
    does not matter, but makes task ids unlimited; ``task_ids`` says how many are drawn from."""
    transfer: float = Field(default=0.0, ge=0, le=1)
    """What practice of one cell gives its neighbours, as a share. 0: nothing."""
    opens: float | None = Field(default=None, gt=0, lt=1)
    """Success probability from which a cell opens its neighbours; only the first is open at the
    start. None: cells are no neighbours."""
    score_noise: Noise = "bernoulli"
    """How a score shows a competence; equations with ``Observation``."""
    score_scale: float = Field(default=0.0, ge=0)
    """The constant s of that noise."""
    score_freedom: float = Field(default=2.0, gt=0)
    """The degrees of freedom of Student's t."""
    unit: float = Field(default=1.0, gt=0)
    """Factor on all rewards."""
    offset_range: tuple[float, float] = (0.0, 0.0)
    """What each skill pays for nothing, uniform in this range."""
    growth: float = Field(default=1.0, gt=0)
    """Factor by which all rewards grow over a run, exponentially."""
    reward_spread: float = Field(default=1.0, ge=1)
    """Rewards of a success differ by up to this factor between skills (log-uniform from 1); 1: all
    pay 1."""
    agents: int = Field(default=1, ge=1)
    """Agents that try the task in an episode; its score is their mean. 1: Bernoulli outcomes, the
    hardest case."""
    pool: int | None = Field(default=None, ge=2)
    """Tasks in the pool; None: all of them."""
    budget_factor: float = Field(default=2.0, gt=0)
    """Episodes of a run ÷ episodes in which an oracle masters every skill from its start once. 2:
    the issue's budget."""
    episodes: int | None = Field(default=None, ge=1)
    """Episodes of a run, whatever ``budget_factor`` says; None: as it says."""
    merit: Merit = "mastered"
    """Level, where mastery says little: nobody reaches it, or everybody."""

    @model_validator(mode="after")
    def _check(self) -> "Scenario":
        if self.layers > self.skills:
            raise ValueError(
                f"layers={self.layers} is more than skills={self.skills}; give each layer a skill"
            )
        if self.impossible_share and self.task_ids is None:
            raise ValueError(
                f"impossible_share={self.impossible_share} needs task_ids: only generated tasks "
                "can be impossible"
            )
        if self.by_success and self.score_noise != "bernoulli":
            raise ValueError(
                f"by_success needs score_noise=bernoulli, not {self.score_noise}: without all or "
                "nothing there is no success"
            )
        cells, wanted = math.prod((*self.lists, *self.spans)), self.skills
        if self.lists or self.spans:
            if round(cells * (1 - self.impossible_share)) != wanted:
                raise ValueError(
                    f"lists={self.lists} and spans={self.spans} are {cells} cells, of which "
                    f"impossible_share={self.impossible_share} leaves other than skills={wanted}"
                )
            if self.spans and self.task_ids is None:
                raise ValueError(f"spans={self.spans} needs task_ids: real values have no number")
        elif self.opens is not None:
            raise ValueError(f"opens={self.opens} needs lists or spans, whose cells are neighbours")
        if not 1 <= self.parents[0] <= self.parents[1]:
            raise ValueError(f"parents={self.parents} must be 1 <= fewest <= most")
        if not self.start < self.mastery <= self.ceiling:
            raise ValueError(
                f"start={self.start}, mastery={self.mastery}, ceiling={self.ceiling}: need start < "
                "mastery <= ceiling"
            )
        return self

    def world(self, seed: int) -> World:
        """The world of this scenario that ``seed`` draws: same seed, same world, whatever the
        arm."""
        random = np.random.default_rng([seed, 0x5EED])
        layer = self._layers()
        noise = np.zeros(self.skills, dtype=bool)
        order, coins = random.permutation(self.skills), round(self.noise_share * self.skills)
        noise[order[:coins]] = True
        flat = np.zeros(self.skills, dtype=bool)
        flat[order[coins : coins + round(self.flat_share * self.skills)]] = True
        start = np.full(self.skills, logit(self.start))
        gain = (logit(self.mastery) - logit(self.start)) / self.episodes_to_master
        rate = gain * np.exp(self.rate_spread * random.standard_normal(self.skills))
        rate[noise | flat] = 0.0
        low, high = self.noise_range
        chance = random.uniform(low, high, self.skills)
        start[noise] = np.log(chance[noise] / (1 - chance[noise]))
        start[flat] = logit(self.flat_level)
        scale = self.reward_spread ** random.random(self.skills)
        world = World(
            start=start,
            rate=rate,
            ceiling=np.maximum(start, logit(self.ceiling)),
            parents=self._parents(layer, noise | flat, random),
            mastery=self.mastery,
            blocked_success=self.blocked_success,
            half_life=self.half_life,
            shifts=(),
            skill_of_task=self._skill_of_task(random, seed),
            reward_scale=scale,
            agents=self.agents,
            neighbours=self._neighbours(),
            by_success=self.by_success,
        )
        observations = self._observations(noise, self.budget(world), seed)
        return dataclasses.replace(
            world, shifts=self._shifts(world, random), observations=observations
        )

    def budget(self, world: World) -> int:
        """Episodes of a run in ``world``."""
        if self.episodes is not None:
            return self.episodes
        return round(self.budget_factor * int(world.episodes_to_master().sum()))

    def _shifts(
        self, world: World, random: np.random.Generator
    ) -> tuple[tuple[int, int, float], ...]:
        budget = self.budget(world)
        shifts: list[tuple[int, int, float]] = []
        if self.shift_every is not None:
            times = range(self.shift_every, budget + 1, self.shift_every)
            shifted = random.choice(np.flatnonzero(world.learnable), size=len(times))
            shifts += [
                (t, int(skill), self.shift_by) for t, skill in zip(times, shifted, strict=True)
            ]
        if self.reset_every is not None:
            times = range(self.reset_every, budget + 1, self.reset_every)
            shifts += [(t, skill, math.inf) for t in times for skill in range(self.skills)]
        return tuple(sorted(shifts, key=lambda shift: shift[0]))

    def _observations(
        self, noise: NDArray[np.bool_], budget: int, seed: int
    ) -> tuple[Observation, ...]:
        low, high = self.offset_range
        offsets = np.random.default_rng([seed, 0x0FF5]).uniform(low, high, self.skills)
        growth = math.log(self.growth) / budget
        return tuple(
            Observation(
                noise="bernoulli" if is_coin else self.score_noise,
                scale=self.score_scale,
                freedom=self.score_freedom,
                unit=self.unit,
                offset=offset,
                growth=growth,
            )
            for is_coin, offset in zip(noise.tolist(), offsets.tolist(), strict=True)
        )

    def _neighbours(self) -> Neighbours | None:
        if self.opens is None:
            return None
        of = grid_neighbours((*self.lists, *self.spans))
        return Neighbours(of, self.transfer, self.opens)

    def _layers(self) -> NDArray[np.int64]:
        if self.first_layer_share is None or self.layers == 1:
            return np.arange(self.skills) * self.layers // self.skills
        first = max(1, round(self.first_layer_share * self.skills))
        rest = np.arange(self.skills - first) * (self.layers - 1) // (self.skills - first) + 1
        return np.concatenate([np.zeros(first, dtype=np.int64), rest])

    def _parents(
        self, layer: NDArray[np.int64], noise: NDArray[np.bool_], random: np.random.Generator
    ) -> tuple[tuple[int, ...], ...]:
        parents: list[tuple[int, ...]] = []
        for skill in range(self.skills):
            candidates = np.flatnonzero((layer == layer[skill] - 1) & ~noise)
            count = min(int(random.integers(self.parents[0], self.parents[1] + 1)), len(candidates))
            chosen = (
                ()
                if noise[skill]
                else random.choice(candidates, size=count, replace=False)
                if count
                else ()
            )
            parents.append(tuple(int(parent) for parent in chosen))
        return tuple(parents)

    def _skill_of_task(self, random: np.random.Generator, seed: int) -> SkillOfTask:
        if self.lists or self.spans:
            cells = math.prod((*self.lists, *self.spans))
            skill = np.arange(cells, dtype=np.int32)
            if self.impossible_share:
                # Which kinds are possible, and which skill each is, is no matter of their order.
                skill = np.random.default_rng([seed, 0xCE11]).permutation(skill)
                skill[skill >= self.skills] = IMPOSSIBLE
            return Family(self.lists, self.spans, self.task_ids or cells, skill)
        if self.task_ids is None:
            return np.arange(self.skills, dtype=np.int32)
        skill = random.integers(0, self.skills, self.task_ids, dtype=np.int32)
        skill[random.random(self.task_ids) < self.impossible_share] = IMPOSSIBLE
        return skill


SCENARIOS: dict[str, Scenario] = {
    # Kanitscheider et al. 2021: a technology tree, Bernoulli outcomes.
    "tech_tree": Scenario(layers=10),
    # Each task unlocks the next.
    "chain": Scenario(
        skills=24, layers=24, parents=(1, 1), episodes_to_master=108, budget_factor=4.0
    ),
    # 10 % of the tasks can progress; the others have reached what they can.
    "plateau": Scenario(noise_share=0.9, noise_range=(0.02, 0.98), budget_factor=6.0),
    # A third of the tasks pays at random and can never be learned.
    "noise": Scenario(layers=3, noise_share=1 / 3),
    # What is not practised decays.
    "forgetting": Scenario(layers=3, half_life=10_000.0),
    # Tasks become harder again and again.
    "moving": Scenario(layers=3, shift_every=100),
    # A generator with a million task ids, half of them impossible, and a pool of 256.
    "unbounded": Scenario(
        skills=200, layers=4, task_ids=1_000_000, impossible_share=0.5, pool=256, budget_factor=3.0
    ),
    # Four fifths of the tasks give 0 until others are mastered.
    "sparse": Scenario(layers=3, first_layer_share=0.2, start=0.02, blocked_success=0.0),
}
