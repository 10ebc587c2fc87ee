"""Simulated learners: worlds whose limits are known, in which curricula are compared at thousands
of episodes a second."""
