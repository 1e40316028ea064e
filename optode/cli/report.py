"""Define the command ``optode report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optode.cli.options import AssumeFixed, OneSpec, TimeLimit
from optode.cli.terminal import assuming, errors_reported
from optode.time_limit import DEFAULT_SECONDS


def report(
    spec: OneSpec,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.html", help="The page.  [default: NAME.html]"),
    ] = None,
    seconds: TimeLimit = DEFAULT_SECONDS,
    assume_fixed: AssumeFixed = False,
) -> None:
    """Write one HTML page on a spec, from the rule to the module.

    It has the limit, the adjoint, claims, checks and pictures, and needs no other file. A part that
    takes longer than the time limit is left out, and the page says so.
    """
    with errors_reported():
        from optode import compiler
        from optode.page.report import check_report
        from optode.page.report import report as write

        check_report(output)
        (chosen,) = assuming((spec,), assume_fixed)
        derivation = compiler.derive(chosen)
        path = output or Path(f"{derivation.name}.html")
        write(derivation.spec, path, seconds)
    typer.echo(f"{path}")
