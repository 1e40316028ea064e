"""Define the command ``optode list``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from optode.cli.options import ReportFormat
from optode.cli.terminal import errors_reported

if TYPE_CHECKING:
    from rich.console import Console

    from optode.spec.reader import Spec


def list_specs(
    form: Annotated[
        ReportFormat, typer.Option("--format", help="The format of the list.")
    ] = ReportFormat.text,
) -> None:
    """List the shipped specs, by families on a terminal.

    With --format markdown, list their equations too.
    """
    if form is ReportFormat.markdown:
        from optode.cli.catalogue import page

        typer.echo(page(), nl=False)
        return
    from optode.spec.reader import read_spec
    from optode.spec.shipped import find_spec, shipped_specs

    with errors_reported():
        specs = [read_spec(find_spec(name)) for name in shipped_specs()]
    if form is ReportFormat.json:
        typer.echo(json.dumps([_entry(spec) for spec in specs], indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal:
        _print_families(console, specs)
    else:
        _print_lines(console, specs)


def _entry(spec: Spec) -> dict[str, object]:
    return {
        "name": spec.name.text,
        "class": _class_of(spec) or None,
        "family": spec.family,
        "year": spec.year,
        "title": spec.title,
        "references": list(spec.references),
    }


def _class_of(spec: Spec) -> str:
    return spec.model.class_name.text if spec.model else ""


def _print_families(console: Console, specs: list[Spec]) -> None:
    """Print a table for each family, as wide as the terminal."""
    from rich.table import Table

    from optode.spec.families import FAMILIES

    for family, heading in FAMILIES.items():
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), show_header=False)
        table.add_column(no_wrap=True)
        table.add_column()
        table.add_column(overflow="fold")
        for spec in (each for each in specs if each.family == family):
            table.add_row(spec.name.text, str(spec.year or ""), spec.title)
        if table.row_count:
            console.print(f"[bold]{heading}[/bold]")
            console.print(table, "")


def _print_lines(console: Console, specs: list[Spec]) -> None:
    """Print one line for each spec, however wide."""
    from rich.table import Table

    columns = ("name", "class", "family", "year", "title")
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for spec in specs:
        family, year = spec.family or "", str(spec.year or "")
        table.add_row(spec.name.text, _class_of(spec), family, year, spec.title)
    console.width = 1000
    console.print(table)
