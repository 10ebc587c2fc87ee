"""What a run's folder says of the run."""

from metta.rl.runs import differences


def test_configurations_that_differ_are_told_place_by_place() -> None:
    before = {"seed": 1, "trainer": {"rate": 0.1, "steps": 5}, "widths": [1, 2], "old": True}
    now = {"seed": 1, "trainer": {"rate": 0.2, "steps": 5}, "widths": [1, 3], "new": {"a": 1}}
    assert differences(before, before) == []
    assert differences(before, now) == [
        "trainer.rate: 0.2, was 0.1",
        "widths: [1, 3], was [1, 2]",
        "old: None, was True",
        "new: {'a': 1}, was None",
    ]


def test_a_long_value_is_cut() -> None:
    (line,) = differences({"a": 1}, {"a": "x" * 100})
    assert line == f"a: {'x' * 57}..., was 1"
