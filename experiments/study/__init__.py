"""The training study behind ``experiments/curriculum_study.py``: tasks, runs, evaluation,
report."""
