"""The example with prompts runs as its page says."""

import re
import subprocess
import sys
from pathlib import Path

from experiments.examples import prompts

ROOT = Path(__file__).resolve().parents[2]


def test_the_curriculum_gets_more_right_than_uniform_draws() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "experiments" / "examples" / "prompts.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = dict(re.findall(r"^ *(\w+): (.*) of all prompts right", done.stdout, re.MULTILINE))
    quarters = {
        name: [int(right) for right in re.findall(r"(\d+)%", text)] for name, text in lines.items()
    }
    assert quarters.keys() == {"curriculum", "uniform"}
    for ours, theirs in zip(quarters["curriculum"], quarters["uniform"], strict=True):
        assert ours > theirs
    assert quarters["curriculum"] == sorted(quarters["curriculum"])


def test_the_prompts_are_different_and_the_same_each_time() -> None:
    made = prompts.data_set(300, subjects=3)
    assert len({prompt.text for prompt in made}) == 300
    assert {prompt.subject for prompt in made} == {0, 1, 2}
    assert made == prompts.data_set(300, subjects=3)
