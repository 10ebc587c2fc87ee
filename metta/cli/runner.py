"""The command line of ``tools/run.py``: find a recipe, configure the tool it returns, run it.

Exit status: 0 for success, 2 for a usage error (unknown recipe or key, wrong value), 1 for a
failure, otherwise what the tool returns (143 after SIGTERM, 130 after SIGINT). Errors are one
message on standard error; ``--traceback`` shows where they came from.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
import traceback

from pydantic import ValidationError

from metta.cli.recipes import Recipe, list_recipes, resolve
from metta.cli.settings import (
    Setting,
    apply,
    call_with,
    function_settings,
    model_settings,
    named_modules,
    split_arguments,
    told,
)
from metta.cogworks.curriculum.tasks.class_paths import trusting
from metta.tools.base import Tool
from metta.tools.command import CommandTool
from metta.usage import ReportedError, UsageError, nearest

USAGE = """\
usage: tools/run.py RECIPE [KEY=VALUE ...] [--dry-run] [--traceback]
       tools/run.py RECIPE --help          what the recipe does, and every key with type and default
       tools/run.py --list                 all recipes
       tools/run.py --dry-run              build every recipe and one environment of it

RECIPE is module.function (arena.train), function and module (train arena), a module (arena,
meaning its train), or a file (my_recipe.py:train). A KEY is a parameter of the recipe or a field
of its tool, nested with dots.

examples:
  tools/run.py arena.train run=first trainer.total_timesteps=100000
  tools/run.py arena.evaluate run=first
"""

_FLAGS = ("--list", "--help", "--dry-run", "--traceback")
_USAGE_ERROR, _FAILURE, _INTERRUPTED = 2, 1, 130
_NOBODY_READS = 141  # 128 + SIGPIPE, as the shell has it


def main(arguments: list[str]) -> int:
    """Run the command line ``arguments`` (without the program's name). Returns the exit status."""
    show_traceback = "--traceback" in arguments
    try:
        status = _main(arguments)
        sys.stdout.flush()
        return status
    except UsageError as error:
        return _report(error, str(error), _USAGE_ERROR, show_traceback)
    except ReportedError as error:
        return _report(error, str(error), _FAILURE, show_traceback)
    except KeyboardInterrupt as error:
        return _report(error, "interrupted", _INTERRUPTED, show_traceback)
    except BrokenPipeError:  # whoever was reading has seen enough: `--help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return _NOBODY_READS
    except Exception as error:  # noqa: BLE001  the outermost frame: whatever failed becomes a message and a status
        message = f"{type(error).__name__}: {error}"
        if not show_traceback:
            message += "\n(--traceback shows where)"
        return _report(error, message, _FAILURE, show_traceback)


def _report(error: BaseException, message: str, status: int, show_traceback: bool) -> int:
    if show_traceback:
        traceback.print_exception(error)
    print(f"error: {message}", file=sys.stderr)
    return status


def _main(arguments: list[str]) -> int:
    flags = {
        "--help" if argument == "-h" else argument
        for argument in arguments
        if argument.startswith("-")
    }
    for flag in flags - set(_FLAGS):
        if "=" in flag:
            raise UsageError(f"there is no option {flag!r}; did you mean {flag.lstrip('-')}?")
        raise UsageError(f"there is no option {flag!r}{nearest(flag, _FLAGS)}")
    words = [
        argument for argument in arguments if not argument.startswith("-") and "=" not in argument
    ]
    settings = split_arguments(
        [argument for argument in arguments if not argument.startswith("-") and "=" in argument]
    )
    if "--list" in flags:
        return _list([*words, *settings])
    if not words and "--dry-run" in flags:
        return _dry_run_all()
    if not words:
        if "--help" not in flags:
            raise UsageError(f"which recipe?\n\n{USAGE}")
        print(USAGE)
        return 0
    recipe = _resolve(words)
    if "--help" in flags:
        return _help(recipe, settings)
    tool = build_tool(recipe, settings)
    if "--dry-run" in flags:
        try:
            built = tool.dry_run()
        except ValueError as error:
            raise UsageError(f"{recipe.name}: {error}") from error
        print(f"{recipe.name}: {built}")
        return 0
    return tool.invoke()


def _resolve(words: list[str]) -> Recipe:
    try:
        return resolve(words)
    except UsageError:
        if len(words) > 1:
            _raise_for_bare_key(words)
        raise


def _raise_for_bare_key(words: list[str]) -> None:
    """Raise a UsageError if the last word is a key of the recipe that the words before it name."""
    try:
        recipe = resolve(words[:-1])
        tool = build_tool(recipe, {})
    except UsageError:
        return
    word = words[-1]
    if word in {
        setting.key for setting in function_settings(recipe.function) + model_settings(tool)
    }:
        raise UsageError(f"{word!r} is a key of {recipe.name}: write {word}=VALUE")


def build_tool(recipe: Recipe, settings: dict[str, str]) -> Tool:
    """Call the recipe with ``settings`` and set the rest on the tool it returns; a new run gets a
    name.

    Raises:
        UsageError: an unknown key, a wrong value, or a function that is no recipe.
    """
    if settings.get("run") == "":
        raise UsageError(
            "run= is empty: write run=NAME, or leave it out for a name from recipe and time"
        )
    with trusting(*named_modules(settings)):  # what the user names may be imported
        return _build(recipe, settings)


def _build(recipe: Recipe, settings: dict[str, str]) -> Tool:
    try:
        tool, rest = call_with(recipe.function, settings)
    except UsageError:
        raise
    except ValidationError as error:
        raise UsageError(f"{recipe.name}: {told(error)}") from error
    except ValueError as error:
        raise UsageError(f"{recipe.name}: {error}") from error
    if not isinstance(tool, Tool):
        raise UsageError(
            f"{recipe.name} is no recipe: it returned {type(tool).__name__}, a recipe returns a "
            "Tool"
        )
    parameters = [setting.key for setting in function_settings(recipe.function)]
    if isinstance(tool, CommandTool):
        for key in rest:  # a command reads none of a tool's fields
            raise UsageError(f"there is no key {key!r}{nearest(key, parameters)}")
        return tool
    if tool.starts_run and not tool.run and "run" not in rest:
        rest["run"] = f"{recipe.name}.{time.strftime('%Y%m%d-%H%M%S')}"
    return apply(tool, rest, also_known=parameters) if rest else tool


def _list(others: list[str]) -> int:
    if others:
        raise UsageError(f"--list shows all recipes: leave out {others[0]!r}")
    recipes = list_recipes()
    width = max((len(recipe.name) for recipe in recipes), default=0)
    for recipe in recipes:
        print(f"{recipe.name:{width}}  {recipe.summary}".rstrip())
    return 0


def _help(recipe: Recipe, settings: dict[str, str]) -> int:
    print(
        f"{recipe.name}: {textwrap.dedent(recipe.function.__doc__ or 'no description').strip()}\n"
    )
    parameters = function_settings(recipe.function)
    if parameters:
        print("parameters of the recipe:")
        _print_settings(parameters)
    taken = {parameter.key for parameter in parameters}
    tool = build_tool(recipe, settings)
    if isinstance(tool, CommandTool):
        return 0
    fields = [setting for setting in model_settings(tool) if setting.key not in taken]
    print("fields of its tool:")
    _print_settings(fields)
    return 0


def _print_settings(settings: list[Setting]) -> None:
    width = shutil.get_terminal_size((110, 24)).columns
    for setting in settings:
        default = "" if setting.default is None else f" = {setting.default}"
        print(f"  {setting.key}: {setting.type}{default}")
        for line in textwrap.wrap(setting.meaning, width - 6):
            print(f"      {line}")
    print()


def _dry_run_all() -> int:
    failed = 0
    for listed in list_recipes():
        try:
            recipe = resolve([listed.name])
            print(f"{listed.name}: {build_tool(recipe, {}).dry_run()}", flush=True)
        except Exception as error:  # noqa: BLE001  one broken recipe must not hide the state of the others
            failed += 1
            print(f"{listed.name}: FAILED: {type(error).__name__}: {error}", flush=True)
    print(f"{failed} recipes failed" if failed else "every recipe builds")
    return _FAILURE if failed else 0
