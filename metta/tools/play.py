"""The tool that plays one episode for a person to watch."""

from __future__ import annotations

import sys
import time
from typing import Any, Literal

from pydantic import Field

from metta.tools.policy import PolicyTool
from metta.usage import UsageError


class PlayTool(PolicyTool):
    """Plays one episode of a task, by a trained policy or at random.

    ``render``: ``interactive`` is mettagrid's terminal view, where keys move the camera and agents;
    ``text`` prints every map; ``log`` prints the reward so far every ten steps; ``auto`` is
    interactive on a terminal and log elsewhere.
    """

    render: Literal["auto", "interactive", "text", "log"] = "auto"
    max_steps: int | None = Field(
        default=None, gt=0, description="default: to the end of the episode"
    )
    delay_seconds: float = Field(
        default=0.0, ge=0, description="pause after each map of render=text"
    )

    def invoke(self) -> int:
        """Play the episode. Returns 0."""
        from metta.rl.policy import load_policy, resolve_device
        from metta.sim.simulation import (
            PolicyActor,
            RandomActor,
            draw_tasks,
            make_env,
            play_episode,
        )

        device = resolve_device(self.device)
        render = self._renderer()
        checkpoint, curriculum = self.find()
        task = next(draw_tasks(curriculum, 1, self.seed))
        trained = None
        if checkpoint is not None and self.policy == "trained":
            trained = load_policy(checkpoint, task.config, device, self.trust)
        print(
            f"task {task.task_id} ({task.label}), {task.config.game.num_agents} agents, seed "
            f"{self.seed}",
            flush=True,
        )
        if render == "interactive":
            print("it begins paused: SPACE plays and pauses, ? shows all keys, Q quits", flush=True)
            self._play_interactively(task, trained)
            return 0
        env = make_env(task)
        actor = (
            RandomActor(int(env.single_action_space.n), self.seed)
            if trained is None
            else PolicyActor(trained, device, self.seed)
        )
        play = play_episode(env, task, actor, self.max_steps)
        watch = _Watcher(render, self.delay_seconds)
        while True:
            try:
                watch(next(play))
            except StopIteration as end:
                episode = end.value
                break
        env.close()
        print(
            f"episode of {episode.length} steps, reward {episode.reward:.4f} per agent", flush=True
        )
        return 0

    def _renderer(self) -> str:
        on_terminal = sys.stdout.isatty() and sys.stdin.isatty()
        if self.render == "auto":
            return "interactive" if on_terminal else "log"
        if self.render == "interactive" and not on_terminal:
            raise UsageError(
                "render=interactive needs a terminal with a keyboard: use render=text or render=log"
            )
        return self.render

    def dry_run(self) -> str:
        """Build one environment of the curriculum and say what it is."""
        if self.curriculum is None:
            return "plays the curriculum of the run it is given"
        from metta.sim.simulation import describe_environment

        return describe_environment(self.curriculum)

    def _play_interactively(self, task: Any, trained: Any) -> None:
        from mettagrid.policy.policy_env_interface import PolicyEnvInterface
        from mettagrid.policy.random_agent import RandomMultiAgentPolicy
        from mettagrid.simulator.rollout import Rollout

        policy = trained or RandomMultiAgentPolicy(PolicyEnvInterface.from_mg_cfg(task.config))
        agents = [policy.agent_policy(agent) for agent in range(task.config.game.num_agents)]
        Rollout(task.config, agents, render_mode="unicode", seed=self.seed).run_until_done()


class _Watcher:
    """Prints what ``render`` asks for, before each step."""

    def __init__(self, render: str, delay_seconds: float) -> None:
        self._render = render
        self._delay = delay_seconds

    def __call__(self, env: Any) -> None:
        step = env.current_simulation.current_step
        reward = float(env.get_episode_rewards().mean())
        if self._render == "text":
            print(f"step {step}, reward {reward:.4f}\n{env.render()}", flush=True)
            time.sleep(self._delay)
        elif step % 10 == 0:
            print(f"step {step}, reward so far {reward:.4f} per agent", flush=True)
