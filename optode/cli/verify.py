"""Define the command ``optode verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from optode.cli.options import (
    AllSpecs,
    AssumeFixed,
    OneSpecOrAll,
    ReportFormat,
    TimeLimit,
    one_or_all,
)
from optode.cli.terminal import assuming, errors_reported, print_columns
from optode.time_limit import DEFAULT_SECONDS

if TYPE_CHECKING:
    from optode.derivation import AnySpec

Method: TypeAlias = Annotated[
    str | None, typer.Option(help="The method of the solves.  [default: rk4]")
]


def verify(
    spec: OneSpecOrAll = None,
    every: AllSpecs = False,
    order: Annotated[
        int,
        typer.Option(min=0, max=2, help="Also check the equations with terms up to this order."),
    ] = 1,
    form: Annotated[
        ReportFormat,
        typer.Option("--format", help="The format of the report; json only with --gradients."),
    ] = ReportFormat.text,
    picture: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="Plot the errors over the steps."),
    ] = None,
    gradients: Annotated[
        bool, typer.Option("--gradients", help="Check the gradients of the model.")
    ] = False,
    field: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:NAME", help="The network of the model, as FILE defines it. Runs FILE."
        ),
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="N,...", help="The shape of a state.  [default: 3,4]")
    ] = None,
    method: Method = None,
    seconds: TimeLimit = DEFAULT_SECONDS,
    assume_fixed: AssumeFixed = False,
) -> None:
    """Compare the optimizer with its ODE at decreasing steps.

    Exits 1 if an observed order differs from the expected one. With --gradients, compare the
    gradients of the model with finite differences and with each other instead.
    """
    one_or_all(spec, every)
    with errors_reported(as_json=form is ReportFormat.json):
        chosen = None if spec is None else assuming((spec,), assume_fixed)[0]
    if gradients:
        if picture:
            raise typer.BadParameter("--plot does not go with --gradients")
        if every and (field is not None or shape is not None):
            raise typer.BadParameter("--field and --shape go with one SPEC")
        _verify_gradients(chosen, field, _parse_shape(shape), method or "rk4", form)
    if (field, shape, method) != (None, None, None):
        raise typer.BadParameter("--field, --shape and --method go with --gradients")
    if form is ReportFormat.json:
        raise typer.BadParameter("--format json goes with --gradients")
    _verify_orders(chosen, order, form, picture, seconds)


def _verify_orders(
    spec: AnySpec | None, order: int, form: ReportFormat, picture: Path | None, seconds: float
) -> None:
    with errors_reported():
        from optode.picture import canvas
        from optode.verification.orders import plot, report

        if picture is not None:
            canvas.check_picture(picture)
        checks = tuple(
            report.verify_all(order, seconds)
            if spec is None
            else report.verify(spec, order, seconds)
        )
        if form is ReportFormat.markdown:
            typer.echo(report.page(checks), nl=False)
        else:
            print_columns(report.COLUMNS, report.rows(checks), report.as_text(checks))
        if picture is not None:
            plot.plot_orders(checks, picture)
    raise typer.Exit(0 if all(check.passes for check in checks) else 1)


def _verify_gradients(
    spec: AnySpec | None,
    place: str | None,
    shape: tuple[int, ...] | None,
    method: str,
    form: ReportFormat,
) -> None:
    from optode.diagnostics import Diagnostic, SpecError
    from optode.verification.gradients import report

    with errors_reported(as_json=form is ReportFormat.json):
        try:
            if spec is None:
                models = tuple(report.verify_all_gradients(method))
            else:
                field = None if place is None else report.load_field(place)
                models = (report.verify_gradients(spec, field, method, shape),)
        except report.FieldError as error:
            if form is ReportFormat.json:
                raise SpecError([Diagnostic("E606", str(error))]) from None
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None
    write = {"text": report.as_text, "markdown": report.as_markdown, "json": report.as_json}
    typer.echo(write[form.value](models), nl=False)
    raise typer.Exit(0 if all(model.passes for model in models) else 1)


def _parse_shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        shape = tuple(int(number) for number in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise typer.BadParameter(f"expected numbers like 3,4, got {text!r}", param_hint="--shape")
    return shape
