"""Define the command ``optode diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from optode.cli.options import PATH_OR_NAME, AssumeFixed, StageName, TimeLimit, spec_names
from optode.cli.terminal import assuming, errors_reported, print_difference
from optode.time_limit import DEFAULT_SECONDS, time_limit

if TYPE_CHECKING:
    from optode.diagnostics import Diagnostic
    from optode.show.equations import Stage


def diff(
    first: Annotated[
        str, typer.Argument(metavar="SPEC", help=PATH_OR_NAME, autocompletion=spec_names)
    ],
    second: Annotated[
        str, typer.Argument(metavar="SPEC", help=PATH_OR_NAME, autocompletion=spec_names)
    ],
    stage: Annotated[StageName | None, typer.Option(help="Compare this stage only.")] = None,
    seconds: TimeLimit = DEFAULT_SECONDS,
    assume_fixed: AssumeFixed = False,
) -> None:
    """Show the equations in which two specs differ. Exits 1 if there are any.

    A line of the first spec begins with -, one of the second with +.
    """
    from optode import compiler
    from optode.diagnostics import SpecError
    from optode.show.difference import differences

    names = () if stage is None else (stage.value,)
    sides: list[tuple[Stage, ...]] = []
    errors: list[Diagnostic] = []
    with errors_reported():
        for spec in assuming((first, second), assume_fixed):
            try:
                with time_limit(seconds):
                    sides.append(compiler.derive(spec).stages(*names))
            except SpecError as error:
                errors += error.diagnostics
        if errors:
            raise SpecError(errors)
    found = "\n".join(differences(*sides))
    if found:
        print_difference(found)
        raise typer.Exit(1)
