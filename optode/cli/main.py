"""Define the commands. Each imports what it needs when it runs, so that ``--help`` is quick."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optode.cli.boundary import DEBUG, boundary
from optode.cli.check import check
from optode.cli.claims import claims
from optode.cli.compare import compare
from optode.cli.diff import diff
from optode.cli.listing import list_specs
from optode.cli.options import (
    AllModels,
    AssumeFixed,
    Commands,
    Folder,
    ModelOrder,
    NoCheck,
    OneSpec,
    OnlyShowStale,
    SpecsOrAll,
    StageName,
    StepSize,
    TimeLimit,
    one_or_all,
    spec_names,
    step_with_order,
)
from optode.cli.plot import plot
from optode.cli.report import report
from optode.cli.schema import schema
from optode.cli.terminal import (
    assuming,
    errors_reported,
    print_difference,
    print_fitted,
    standard_streams,
)
from optode.cli.verify import verify
from optode.time_limit import DEFAULT_SECONDS, time_limit
from optode.version import __version__

if TYPE_CHECKING:
    from optode.derivation import Derivation
    from optode.show.equations import Stage


app = typer.Typer(
    cls=Commands,
    name="optode",
    help="A compiler from optimizer update rules to neural ODEs.",
    epilog="SPEC is a path, the name of a shipped spec (`optode list` shows them), or - for "
    "standard input. Exit codes: 0 good, 1 errors in specs or files, 2 wrong usage, 130 Ctrl-C.",
    no_args_is_help=True,
    rich_markup_mode=None,  # the help in boxes takes twice as long
    pretty_exceptions_enable=False,
)


class Format(str, Enum):
    """The formats of a derivation."""

    text = "text"
    latex = "latex"
    markdown = "markdown"
    json = "json"


def main() -> None:
    """Run the ``optode`` command: exit code 1 for an error in a spec or file, 2 for misuse."""
    with boundary(), standard_streams():
        app()


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
    directory: Folder = Path("generated"),
    every: AllModels = False,
    check_only: OnlyShowStale = False,
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
    unchecked: NoCheck = False,
    assume_fixed: AssumeFixed = False,
) -> None:
    """Write the PyTorch module of each spec to DIR/NAME.py."""
    from optode.codegen.files import differences, folder_problem, write_modules
    from optode.compiler import modules, shipped_models
    from optode.diagnostics import SpecError

    one_or_all(specs, every, "one or more SPECs")
    step_with_order(step, order)
    if directory == Path("-"):
        raise typer.BadParameter("modules are written to a folder", param_hint="--output")
    with errors_reported():
        if not check_only and (problem := folder_problem(directory)):
            raise SpecError([problem])
        named = assuming(dict.fromkeys(specs or ()), assume_fixed)
        chosen = shipped_models() if every else named
        # the shipped ones are measured by `optode verify --all`
        checked = not (unchecked or every or check_only)
        texts = modules(
            chosen, directory, order, step, standalone=standalone, check=checked, seconds=seconds
        )
        if check_only:
            if stale := differences(texts):
                print_difference(stale)
                raise typer.Exit(1)
            return
        changed = write_modules(texts, force=force)
    typer.echo("\n".join(f"{p}" if p in changed else f"{p} (unchanged)" for p in texts))


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
    unchecked: NoCheck = False,
    assume_fixed: AssumeFixed = False,
) -> None:
    """Show the rule, its limit, the neural ODE and its adjoint."""
    from optode import compiler

    step_with_order(step, order)
    with errors_reported(as_json=form is Format.json), time_limit(seconds):
        (chosen,) = assuming((spec,), assume_fixed)
        derivation = compiler.derive(chosen, order, step)
        if every_scaling or numbers is not None:
            if stage is not None or form is not Format.text or (every_scaling and numbers):
                reason = "--scalings and --at each go alone, without --stage and --format"
                raise typer.BadParameter(reason)
            _needs_a_rule(derivation, "--at" if numbers is not None else "--scalings")
            _show_regimes(derivation, numbers)
            return
        if stage is StageName.rule:
            _needs_a_rule(derivation, "--stage")
        if stage is not StageName.rule and not unchecked and (why := derivation.check_limit()):
            typer.echo(f"note: the limit was not checked by numbers: {why}", err=True)
        _show(derivation, () if stage is None else (stage.value,), form)


def _show(derivation: Derivation, names: tuple[str, ...], form: Format) -> None:
    if form is Format.json:
        typer.echo(_json(derivation.name, derivation.stages(*names)))
        return
    shown = derivation.show(*names, form=form.value)
    if form is Format.text:
        print_fitted(shown)
    else:
        typer.echo(shown, nl=False)


def _needs_a_rule(derivation: Derivation, option: str) -> None:
    if derivation.spec.is_ode:
        reason = f"{derivation.name} states an ODE, there is no rule with a step size"
        raise typer.BadParameter(reason, param_hint=option)


def _show_regimes(derivation: Derivation, numbers: str | None) -> None:
    from optode.limit import regimes

    if numbers is None:
        lines = regimes.describe(derivation.rule)
    else:
        try:
            lines = iter([*regimes.described_at(derivation.rule, numbers)])
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--at") from error
    print_fitted("\n".join(lines))


def _json(name: str, stages: tuple[Stage, ...]) -> str:
    import json

    from optode.show.as_json import as_json

    return json.dumps(as_json(name, stages), indent=2)


app.command()(check)
app.command()(verify)
app.command()(claims)
app.command()(diff)
app.command()(plot)
app.command()(report)
app.command()(compare)
app.command()(schema)
app.command("list")(list_specs)


@app.command("show")
def show_spec(spec: OneSpec) -> None:
    """Print the text of a spec: `optode show adam > mine.yaml`."""
    from optode.cli.show import print_spec

    with errors_reported():
        print_spec(spec)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the optimizer.")],
    base: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SPEC",
            help="Copy this spec, under the new name.",
            autocompletion=spec_names,
        ),
    ] = None,
) -> None:
    """Write NAME.yaml, a commented spec to start from."""
    from optode.cli.new import write_starter

    with errors_reported():
        path = write_starter(name, base)
    typer.echo(f"{path}\nNow edit it, then: optode derive {path}")


if __name__ == "__main__":
    main()
