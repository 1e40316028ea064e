"""Print the page of commands from their own help: python docs/commands.py > docs/reference/commands.md"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from optode.cli.main import app

INTRODUCTION = """\
# Command line

`SPEC` is a path, the name of a shipped spec (`optode list`), or `-` for standard input. \
Exit codes: 0 good, 1 errors in specs or files, or a check that fails, 2 wrong usage, 130 Ctrl-C. \
A file that optode did not write, or that was edited since, is never overwritten without `--force`. \
With `--format json` errors are an array on standard output, each with `code`, `file`, `line`, \
`column`, `message` and `hint` (`null` where there is none).

This page is made from the commands' own help, by `python docs/commands.py`.
"""


def page() -> str:
    """Return the page."""
    commands: Any = typer.main.get_command(app)
    parts = (section(name, command) for name, command in commands.commands.items())
    return "\n".join([INTRODUCTION, *parts])


def section(name: str, command: Any) -> str:
    """Return what there is to say of a command."""
    arguments = (p for p in command.params if p.param_type_name == "argument")
    usage = " ".join(["optode", name, *(_argument(a) for a in arguments)])
    words = inspect.cleandoc(command.help or "")
    rows = [*_rows(command)]
    table = "\n".join(["| option | meaning |", "|---|---|", *rows]) if rows else ""
    return "\n".join(filter(None, [f"## {name}\n", f"    {usage}\n", f"{words}\n", table])) + "\n"


def _argument(argument: Any) -> str:
    many = "..." if argument.nargs == -1 else ""
    metavar = f"{argument.metavar or argument.name}{many}"
    return metavar if argument.required else f"[{metavar}]"


def _rows(command: Any) -> Iterator[str]:
    for option in command.params:
        if option.param_type_name == "argument" or option.hidden or "--help" in option.opts:
            continue
        names = ", ".join(f"`{name}`" for name in option.opts)
        value = "" if option.is_flag else f" {_value(option)}"
        yield f"| {names}{value} | {(option.help or '').replace('|', chr(92) + '|')}{_default(option)} |"


def _value(option: Any) -> str:
    kind = option.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(f"`{choice.value}`" for choice in kind)
    return f"`{option.metavar or _PLACES.get(kind, 'TEXT')}`"


_PLACES = {int: "N", float: "NUMBER", Path: "FILE"}


def _default(option: Any) -> str:
    default = getattr(option.default, "value", option.default)
    if option.is_flag or default is None or callable(default):
        return ""
    return f" By default `{default}`."


if __name__ == "__main__":
    print(page(), end="")
