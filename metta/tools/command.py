"""A recipe that is a plain function call."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from metta.tools.base import Tool


class CommandTool(Tool):
    """Calls ``function`` without arguments; what it returns is the exit status, None meaning 0.

    A recipe binds its own parameters: ``return CommandTool(function=functools.partial(compare,
    scenario, seeds))``.
    """

    function: Callable[[], int | None] = Field(exclude=True)

    def invoke(self) -> int:
        """Call the function. Returns its exit status."""
        return self.function() or 0

    def dry_run(self) -> str:
        """Nothing is built."""
        return "a command; nothing to build"
