"""The command ``optode verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optode.terminal import TableFormat, errors_reported


def verify(
    spec: Annotated[
        str | None, typer.Argument(metavar="SPEC", help="A path, or a shipped spec's name.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All shipped specs.")] = False,
    order: Annotated[
        int, typer.Option(min=0, max=2, help="Try the equations up to this order as well.")
    ] = 1,
    form: Annotated[
        TableFormat, typer.Option("--format", help="How to write the table.")
    ] = TableFormat.text,
    picture: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw errors over steps.")
    ] = None,
) -> None:
    """Carry the rule out at smaller and smaller steps beside its equations; exit 1 on a surprise."""
    if every == (spec is not None):
        raise typer.BadParameter("give one SPEC, or --all")
    with errors_reported():
        from optode import verify_report

        checks = tuple(
            verify_report.verify_all(order) if spec is None else verify_report.verify(spec, order)
        )
    write = verify_report.page if form is TableFormat.markdown else verify_report.as_text
    typer.echo(write(checks), nl=False)
    if picture is not None:
        from optode.plot import plot_orders

        plot_orders(checks, picture)
    raise typer.Exit(0 if all(check.passes for check in checks) else 1)
