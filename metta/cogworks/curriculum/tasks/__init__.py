"""From a task id to a configuration: private to the curriculum package."""
