"""More worlds: one or a few for each thing that the eight scenarios do not ask.

The figure of merit is the number of skills mastered, unless a world says ``merit="level"``: the
mean competence over what can be mastered, in percent. Numbers without a source are chosen, as in
``experiments.simulation.scenarios``.
"""

from experiments.simulation.scenarios import SCENARIOS, Scenario

_MANY_IDS = 1_000_000

WORLDS: dict[str, Scenario] = {
    # -- tasks that are variants of few
    # Two lists of a generator, of which a user sees eight maps in five sizes: 40 tasks.
    "variants_40": Scenario(skills=40, layers=4, lists=(8, 5)),
    # The same 40 behind 10,000 ids that do not tell: seeds that a user took for tasks.
    "ids_40": Scenario(skills=40, layers=4, task_ids=10_000, pool=1_000),
    # A million ids of 256 kinds, half of which nobody can solve. The kind is a bucket value; beside
    # it a real number that does not matter. As `unbounded`, with the skill visible.
    "kinds": Scenario(
        skills=128,
        layers=4,
        lists=(256,),
        spans=(1,),
        task_ids=_MANY_IDS,
        impossible_share=0.5,
        pool=256,
        budget_factor=3.0,
    ),
    # -- neighbours: practice gives 0.3 of itself to them, and half of what is mastery opens them.
    # With transfer an oracle needs about half of the episodes, so the budget factor is 1.
    "grid": Scenario(skills=225, lists=(15, 15), transfer=0.3, opens=0.4, budget_factor=1.0),
    # Difficulty is one real number.
    "line": Scenario(
        skills=64,
        spans=(64,),
        transfer=0.3,
        opens=0.4,
        task_ids=_MANY_IDS,
        pool=1_000,
        budget_factor=2.0,
    ),
    # Difficulty is two real numbers, as in Portelas et al., "Teacher algorithms for curriculum
    # learning of Deep RL in continuously parameterized environments", 2019.
    "continuum": Scenario(
        skills=144,
        spans=(12, 12),
        transfer=0.3,
        opens=0.4,
        task_ids=_MANY_IDS,
        pool=1_000,
        budget_factor=2.0,
    ),
    # -- scores that are not 0 or 1
    # Ten coins that nobody can learn, five tasks that rise slowly with hardly any noise, five that
    # stay where they are.
    "coins": Scenario(
        skills=20,
        noise_share=0.5,
        noise_range=(0.5, 0.5),
        flat_share=0.25,
        start=0.01,
        mastery=0.99,
        ceiling=0.995,
        episodes_to_master=400,
        rate_spread=0.0,
        score_noise="gaussian",
        score_scale=0.05,
        episodes=6_000,
        merit="level",
    ),
    "scaled": Scenario(layers=10, unit=0.001),  # tech_tree, but for the unit
    "units": Scenario(layers=3, noise_share=1 / 3, reward_spread=1_000.0),  # noise, likewise
    "heavy_tails": Scenario(layers=3, score_noise="student_t", score_scale=0.1, score_freedom=1.5),
    "gaussian": Scenario(layers=3, score_noise="gaussian", score_scale=0.2),
    "lognormal": Scenario(layers=3, score_noise="lognormal", score_scale=0.5),
    "agents_4": Scenario(layers=10, agents=4),  # tech_tree, the mean of four outcomes
    "drifting_scale": Scenario(layers=3, growth=10.0),
    "offsets": Scenario(layers=3, offset_range=(-1.0, 1.0)),
    "negative": Scenario(layers=10, offset_range=(-1.0, -1.0)),  # tech_tree, minus 1
    # -- what there is to lose
    # Ten tasks of 200 can be learned.
    "unlearnable_95": Scenario(
        skills=200, noise_share=0.95, noise_range=(0.02, 0.98), budget_factor=12.0
    ),
    # Everything is forgotten every 1,500 episodes, and the last time just after the end. An oracle
    # masters everything in 1,080.
    "amnesia": Scenario(
        skills=40, layers=3, episodes_to_master=27, reset_every=1_500, episodes=7_499
    ),
    # -- against learning progress
    # Everything is learned alike, most of all at the start: whoever practises everything equally
    # does best, the oracle included.
    "all_equal": Scenario(
        start=0.5, mastery=0.95, rate_spread=0.0, budget_factor=1.0, merit="level"
    ),
    # In 118 episodes of each, nothing moves by as much as the noise: nobody masters much.
    "slow": Scenario(episodes_to_master=5_400, episodes=12_660, merit="level"),
    # One success is all there is to learn: progress shows when it is over.
    "one_shot": Scenario(layers=3, episodes_to_master=1, rate_spread=0.0, by_success=True),
    # Each skill needs three to six others.
    "prerequisite_web": Scenario(layers=10, parents=(3, 6)),
}

GROUPS: dict[str, dict[str, Scenario]] = {
    "all": SCENARIOS,
    "more": WORLDS,
    "every": {**SCENARIOS, **WORLDS},
}
"""What ``scenario=`` takes beside names: the eight, the others, both."""
