"""The command ``optode verify``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from optode.cli.terminal import errors_reported


class ReportFormat(str, Enum):
    """How a report is written."""

    text = "text"
    markdown = "markdown"
    json = "json"


def verify(
    spec: Annotated[
        str | None, typer.Argument(metavar="SPEC", help="A path, or a shipped spec's name.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All shipped specs.")] = False,
    order: Annotated[
        int, typer.Option(min=0, max=2, help="Try the equations up to this order as well.")
    ] = 1,
    form: Annotated[
        ReportFormat, typer.Option("--format", help="How to write the table; json of gradients.")
    ] = ReportFormat.text,
    picture: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw errors over steps.")
    ] = None,
    gradients: Annotated[
        bool, typer.Option("--gradients", help="Check the gradients of the model instead.")
    ] = False,
    field: Annotated[
        str | None, typer.Option(metavar="FILE.py:NAME", help="The field in the model; runs FILE.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="N,...", help="The shape of a state.  [default: 3,4]")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="The method of the solves.  [default: rk4]")
    ] = None,
) -> None:
    """Carry the rule out at smaller and smaller steps beside its equations; exit 1 on a surprise.

    With --gradients, hold the gradients of the model against differences and each other.
    """
    if every == (spec is not None):
        raise typer.BadParameter("give one SPEC, or --all")
    if gradients:
        if picture is not None:
            raise typer.BadParameter("--plot is of orders, not of --gradients")
        if every and (field is not None or shape is not None):
            raise typer.BadParameter("--field and --shape go with one SPEC")
        _verify_gradients(spec, field, _parse_shape(shape or "3,4"), method or "rk4", form)
    if field is not None or shape is not None or method is not None:
        raise typer.BadParameter("--field, --shape and --method go with --gradients")
    if form is ReportFormat.json:
        raise typer.BadParameter("--format json goes with --gradients")
    _verify_orders(spec, order, form, picture)


def _verify_orders(spec: str | None, order: int, form: ReportFormat, picture: Path | None) -> None:
    with errors_reported():
        from optode.verify.orders import report

        checks = tuple(report.verify_all(order) if spec is None else report.verify(spec, order))
    write = report.page if form is ReportFormat.markdown else report.as_text
    typer.echo(write(checks), nl=False)
    if picture is not None:
        from optode.verify.orders.plot import plot_orders

        plot_orders(checks, picture)
    raise typer.Exit(0 if all(check.passes for check in checks) else 1)


def _verify_gradients(
    spec: str | None,
    place: str | None,
    shape: tuple[int, ...],
    method: str,
    form: ReportFormat,
) -> None:
    from optode.verify.gradients import report

    with errors_reported():
        try:
            if spec is None:
                models = tuple(report.verify_all_gradients(method))
            else:
                field = None if place is None else report.load_field(place)
                models = (report.verify_gradients(spec, field, method, shape),)
        except report.FieldError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None
    write = {"text": report.as_text, "markdown": report.as_markdown, "json": report.as_json}
    typer.echo(write[form.value](models), nl=False)
    raise typer.Exit(0 if all(model.passes for model in models) else 1)


def _parse_shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(number) for number in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise typer.BadParameter(f"expected numbers like 3,4, got {text!r}", param_hint="--shape")
    return shape
