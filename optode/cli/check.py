"""Define the command ``optode check``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optode.cli.options import AssumeFixed, Specs, TimeLimit
from optode.cli.terminal import assuming, print_error, print_json
from optode.time_limit import DEFAULT_SECONDS

if TYPE_CHECKING:
    from optode.diagnostics import Diagnostic

PAUSE = 0.3
"""Seconds between two looks at the files that are watched."""


class ErrorFormat(str, Enum):
    """The formats of errors."""

    text = "text"
    json = "json"


def check(
    specs: Specs,
    form: Annotated[
        ErrorFormat, typer.Option("--format", help="The format of the errors.")
    ] = ErrorFormat.text,
    watch: Annotated[
        bool, typer.Option("--watch", help="Check again when a file changes, until Ctrl-C.")
    ] = False,
    seconds: TimeLimit = DEFAULT_SECONDS,
    assume_fixed: AssumeFixed = False,
) -> None:
    """Report every error of each spec, or `ok`. Writes no file."""
    given = dict.fromkeys(specs)
    if watch and "-" in given:
        raise typer.BadParameter("standard input cannot be watched", param_hint="--watch")
    if watch and form is ErrorFormat.json:
        raise typer.BadParameter("it goes with --format text", param_hint="--watch")
    if watch:
        _watch(given, seconds, assume_fixed)
    raise typer.Exit(_check_all(given, form, seconds, assume_fixed))


def _check_all(specs: Iterable[str], form: ErrorFormat, seconds: float, assume_fixed: bool) -> int:
    """Print what is wrong with each spec; returns the exit code."""
    from optode import compiler
    from optode.diagnostics import SpecError

    found: list[Diagnostic] = []
    for spec in specs:
        try:
            (chosen,) = assuming((spec,), assume_fixed)
            errors = compiler.check(chosen, seconds)
        except SpecError as error:
            errors = error.diagnostics
        found += errors
        if form is ErrorFormat.json:
            continue
        if errors:
            print_error(SpecError(errors))
        else:
            typer.echo(f"{spec}: ok")
    if form is ErrorFormat.json:
        print_json(tuple(found))
    return 1 if found else 0


def _watch(specs: Iterable[str], seconds: float, assume_fixed: bool) -> None:
    """Check specs whenever they change; ends by Ctrl-C, with exit code 130."""
    try:
        while True:
            before = _state(specs)
            _check_all(specs, ErrorFormat.text, seconds, assume_fixed)
            while _state(specs) == before:
                time.sleep(PAUSE)
            typer.echo(f"-- {time.strftime('%H:%M:%S')}")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _state(specs: Iterable[str]) -> tuple[tuple[Path, int, int], ...]:
    """Return place, time of change and size of the files of specs and of those that they extend."""
    from optode.spec.reader import files_of

    found = []
    for path in dict.fromkeys(path for spec in specs for path in files_of(spec)):
        try:
            status = path.stat()
            found.append((path, status.st_mtime_ns, status.st_size))
        except OSError:
            found.append((path, 0, 0))
    return tuple(found)
