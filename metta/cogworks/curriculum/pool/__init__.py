"""The pool of tasks as one table in flat memory: private to the curriculum package."""
