"""What the curriculum costs: one module per kind of cost, used by `experiments/benchmarks.py`."""
