"""Define the commands. Each imports what it needs when it runs, so that ``--help`` is quick."""

from __future__ import annotations

import os
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optode.cli.boundary import DEBUG, boundary
from optode.cli.claims import claims
from optode.cli.options import (
    AllModels,
    Commands,
    ModelOrder,
    OneSpec,
    Specs,
    SpecsOrAll,
    StepSize,
    TableFormat,
    TimeLimit,
    one_or_all,
)
from optode.cli.terminal import errors_reported, print_error
from optode.cli.verify import verify
from optode.time_limit import DEFAULT_SECONDS, time_limit
from optode.version import __version__

if TYPE_CHECKING:
    from optode.compiler import Derivation
    from optode.show.equations import Stage


app = typer.Typer(
    cls=Commands,
    name="optode",
    help="A compiler from optimizer update rules to neural ODEs.",
    epilog="SPEC is a path, else the name of a shipped spec: `optode list` shows them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # the help in boxes takes twice as long
    pretty_exceptions_enable=False,
)


class StageName(str, Enum):
    """The stages of the compiler, by name."""

    rule = "rule"
    limit = "limit"
    model = "model"
    adjoint = "adjoint"
    stepper = "stepper"


class Format(str, Enum):
    """The formats of a derivation."""

    text = "text"
    latex = "latex"
    markdown = "markdown"
    json = "json"


def main() -> None:
    """Run the ``optode`` command: exit code 1 for an error in a spec or file, 2 for misuse."""
    with boundary():
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal without Greek letters is no error
        try:
            try:
                app()
            finally:
                sys.stdout.flush()
        except BrokenPipeError:  # the reader has gone, as in `optode list | head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"optode {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show the traceback behind an error, with any command.")
    ] = False,
) -> None:
    """Return a compiler from optimizer update rules to neural ODEs."""


@app.command()
def generate(
    specs: SpecsOrAll = None,
    directory: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write to.")
    ] = Path("generated"),
    every: AllModels = False,
    check_only: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing; show what is stale, and exit 1 if anything is."
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Overwrite files that were edited or not written by optode."),
    ] = False,
    order: ModelOrder = 0,
    step: StepSize = None,
    seconds: TimeLimit = DEFAULT_SECONDS,
    standalone: Annotated[
        bool,
        typer.Option(
            "--standalone",
            help="Also write a copy of optode.runtime, and import it in place of optode.",
        ),
    ] = False,
) -> None:
    """Write the PyTorch module of each spec to DIR, as NAME.py (NAME_order1.py)."""
    from optode.codegen.files import differences, write_modules
    from optode.compiler import modules, shipped_models

    one_or_all(specs, every, "one or more SPECs")
    with errors_reported():
        chosen = shipped_models() if every else specs or ()
        texts = modules(chosen, directory, order, step, standalone=standalone, seconds=seconds)
        if check_only:
            _report_stale(differences(texts))
            return
        changed = write_modules(texts, force=force)
    for path in texts:
        typer.echo(f"{path}" if path in changed else f"{path} (unchanged)")


def _report_stale(diff: str) -> None:
    if diff:
        colours = {"+": "green", "-": "red", "@": "cyan"}
        for line in diff.splitlines():
            typer.secho(line, fg=colours.get(line[:1]))
        raise typer.Exit(1)


@app.command()
def derive(
    spec: OneSpec,
    stage: Annotated[StageName | None, typer.Option(help="Show this stage only.")] = None,
    form: Annotated[
        Format, typer.Option("--format", help="The format of the equations.")
    ] = Format.text,
    order: Annotated[
        int,
        typer.Option(
            min=0, max=2, help="Take the terms of the modified equation up to this order."
        ),
    ] = 0,
    step: StepSize = None,
    every_scaling: Annotated[
        bool, typer.Option("--scalings", help="List every scaling that has a continuous limit.")
    ] = False,
    numbers: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="NAME=NUMBER,...", help="Show which scaling fits these numbers."
        ),
    ] = None,
    seconds: TimeLimit = DEFAULT_SECONDS,
) -> None:
    """Show the rule, its limit, the neural ODE and its adjoint."""
    from optode import compiler

    with errors_reported(), time_limit(seconds):
        derivation = compiler.derive(spec, order, step)
        if every_scaling or numbers is not None:
            _show_regimes(derivation, numbers)
            return
        if stage is StageName.rule and derivation.spec.is_ode:
            raise typer.BadParameter(
                f"{spec} states an ODE, there is no rule", param_hint="--stage"
            )
        names = () if stage is None else (stage.value,)
        if form is Format.json:
            typer.echo(_json(derivation.name, derivation.stages(*names)))
        else:
            typer.echo(derivation.show(*names, form=form.value), nl=False)


def _show_regimes(derivation: Derivation, numbers: str | None) -> None:
    from optode.limit.regimes import describe, describe_at, parse_numbers

    try:
        if numbers is None:
            lines = describe(derivation.rule)
        else:
            values = parse_numbers(numbers)
            lines = describe_at(derivation.rule, values, values.pop("horizon", 1.0))
        for line in lines:
            typer.echo(line)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--at") from error


def _json(name: str, stages: tuple[Stage, ...]) -> str:
    import json

    from optode.show.as_json import as_json

    return json.dumps(as_json(name, stages), indent=2)


@app.command()
def check(
    specs: Specs,
    seconds: TimeLimit = DEFAULT_SECONDS,
) -> None:
    """Report every error of each spec, or `ok`."""
    from optode import compiler
    from optode.diagnostics import SpecError

    failures = 0
    for spec in specs:
        errors = compiler.check(spec, seconds)
        failures += bool(errors)
        if errors:
            print_error(SpecError(errors))
        else:
            typer.echo(f"{spec}: ok")
    raise typer.Exit(min(failures, 1))


app.command()(verify)
app.command()(claims)


@app.command("list")
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


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the optimizer.")],
) -> None:
    """Write NAME.yaml, a commented spec to start from."""
    from optode.cli.new import write_starter

    with errors_reported():
        path = write_starter(name)
    typer.echo(f"{path}\nNow edit it, then: optode derive {path}")


if __name__ == "__main__":
    main()
