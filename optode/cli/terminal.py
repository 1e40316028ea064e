"""Print errors of specs on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from optode.cli.boundary import DEBUG, print_cause

if TYPE_CHECKING:
    from optode.diagnostics import SpecError


@contextmanager
def errors_reported() -> Iterator[None]:
    """Print a SpecError to stderr without a traceback, and exit with code 1."""
    from optode.diagnostics import SpecError

    try:
        yield
    except SpecError as error:
        print_error(error)
        if DEBUG in sys.argv:
            print_cause(error)
        raise typer.Exit(1) from None


def print_error(error: SpecError) -> None:
    """Print an error in colour on a terminal (unless NO_COLOR is set), as plain text elsewhere."""
    from rich.console import Console
    from rich.text import Text

    text = Text(str(error))
    text.highlight_regex(r"(?m)^.*error E\d+:", "bold")
    text.highlight_regex(r"error E\d+:", "red")
    text.highlight_regex(r"(?m)^ +\| +\^+$", "red")
    text.highlight_regex(r"(?m)^  hint:", "cyan")
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)
