"""What the commands share: how errors and tables reach the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from optode.diagnostics import SpecError


class TableFormat(str, Enum):
    """How a table is written."""

    text = "text"
    markdown = "markdown"


@contextmanager
def errors_reported() -> Iterator[None]:
    """Errors of a spec or a file go to stderr, without a traceback; the exit code is 1."""
    from optode.diagnostics import SpecError

    try:
        yield
    except SpecError as error:
        print_error(error)
        raise typer.Exit(1) from None


def print_error(error: SpecError) -> None:
    """In colour on a terminal (unless NO_COLOR is set), as plain text elsewhere."""
    from rich.console import Console
    from rich.text import Text

    text = Text(str(error))
    text.highlight_regex(r"(?m)^.*error E\d+:", "bold")
    text.highlight_regex(r"error E\d+:", "red")
    text.highlight_regex(r"(?m)^ +\| +\^+$", "red")
    text.highlight_regex(r"(?m)^  hint:", "cyan")
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)
