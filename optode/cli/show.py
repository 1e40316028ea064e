"""Print the text of a spec."""

from __future__ import annotations

import sys

import typer

from optode.spec.reader import read_file
from optode.spec.shipped import find_spec


def print_spec(spec: str) -> None:
    """Print a spec byte for byte, or in colours on a terminal (unless NO_COLOR is set)."""
    source, data = read_file(find_spec(spec))
    if not sys.stdout.isatty():
        typer.echo(data, nl=False)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    console = Console(highlight=False)
    if console.no_color:
        typer.echo(source.text, nl=False)
        return
    yaml = Syntax("", "yaml", theme="ansi_dark", background_color="default")
    text = yaml.highlight(source.text.removesuffix("\n"))
    console.print(text, soft_wrap=True, end="")
