"""Define the command ``optode plot``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from optode.cli.options import AssumeFixed, OneSpec, TimeLimit
from optode.cli.terminal import assuming, errors_reported
from optode.time_limit import DEFAULT_SECONDS


class Panel(str, Enum):
    """The panels of a plot."""

    steps = "steps"
    plane = "plane"
    phase = "phase"
    damping = "damping"


def plot(
    spec: OneSpec,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The picture: .png, .svg or .pdf.  [default: NAME.png]",
        ),
    ] = None,
    panels: Annotated[
        list[Panel] | None,
        typer.Option("--panel", help="Draw this panel only; may be given several times."),
    ] = None,
    seconds: TimeLimit = DEFAULT_SECONDS,
    assume_fixed: AssumeFixed = False,
) -> None:
    """Draw a spec on a small example: steps, plane, phase and damping.

    steps: the rule at three step sizes beside its ODE. plane: paths over the loss. phase: the
    position against its rate. damping: the rate at which each other state forgets, over time.
    """
    from optode import compiler
    from optode.picture.canvas import check_picture
    from optode.picture.plot import plot as draw
    from optode.time_limit import time_limit

    with errors_reported():
        if output is not None:
            check_picture(output)
        (chosen,) = assuming((spec,), assume_fixed)
        with time_limit(seconds):
            derivation = compiler.derive(chosen)
            path = output or Path(f"{derivation.name}.png")
            draw(derivation, path, tuple(p.value for p in panels or ()))
    typer.echo(f"{path}")
