"""Define the command ``optode list``."""

from __future__ import annotations

from typing import Annotated

import typer

from optode.cli.options import TableFormat
from optode.cli.terminal import errors_reported


def list_specs(
    form: Annotated[
        TableFormat, typer.Option("--format", help="The format of the list.")
    ] = TableFormat.text,
) -> None:
    """List the shipped specs.

    With --format markdown, list their equations too.
    """
    if form is TableFormat.markdown:
        from optode.cli.catalogue import page

        typer.echo(page(), nl=False)
        return
    from rich.console import Console
    from rich.table import Table

    from optode.spec.reader import read_spec
    from optode.spec.shipped import shipped_spec, shipped_specs

    table = Table("name", "class", "title", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    with errors_reported():
        for name in shipped_specs():
            path = shipped_spec(name)
            spec = read_spec(path) if path else None
            if spec is not None:
                table.add_row(name, spec.model.class_name.text if spec.model else "", spec.title)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000  # a pipe has no width: every spec on one line
    console.print(table)
