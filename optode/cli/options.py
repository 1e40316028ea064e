"""The arguments and options that several commands take."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperGroup

from optode.cli.boundary import DEBUG

PATH_OR_NAME = "A path, or the name of a shipped spec."
PATHS_OR_NAMES = "Paths, or names of shipped specs."


class TableFormat(str, Enum):
    """The formats of a table."""

    text = "text"
    markdown = "markdown"


class ReportFormat(str, Enum):
    """The formats of a report."""

    text = "text"
    markdown = "markdown"
    json = "json"


OneSpec: TypeAlias = Annotated[str, typer.Argument(metavar="SPEC", help=PATH_OR_NAME)]
OneSpecOrAll: TypeAlias = Annotated[str | None, typer.Argument(metavar="SPEC", help=PATH_OR_NAME)]
Specs: TypeAlias = Annotated[list[str], typer.Argument(metavar="SPEC", help=PATHS_OR_NAMES)]
SpecsOrAll: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="SPEC", help=PATHS_OR_NAMES)
]
AllSpecs: TypeAlias = Annotated[bool, typer.Option("--all", help="Take all shipped specs.")]
AllModels: TypeAlias = Annotated[bool, typer.Option("--all", help="Take all shipped models.")]
ModelOrder: TypeAlias = Annotated[
    int,
    typer.Option(min=0, max=1, help="Take the terms of the modified equation up to this order."),
]
StepSize: TypeAlias = Annotated[
    float | None, typer.Option(help="The value of the step size in the next-order terms.")
]


def _positive(seconds: float) -> float:
    if not seconds > 0:
        raise typer.BadParameter(f"{seconds:g} is no time in seconds")
    return seconds


TimeLimit: TypeAlias = Annotated[
    float,
    typer.Option(
        "--time-limit",
        metavar="SECONDS",
        callback=_positive,
        help="Stop a spec that takes longer to compile.",
    ),
]


def one_or_all(spec: object, every: bool, expected: str = "one SPEC") -> None:
    """Raise BadParameter unless either SPEC or --all is given."""
    if every == bool(spec):
        raise typer.BadParameter(f"give {expected}, or --all")


class Commands(TyperGroup):
    """The commands; ``--debug`` may stand anywhere."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = [argument for argument in args if argument != DEBUG]
        parsed: list[str] = super().parse_args(
            ctx, [*([DEBUG] if len(rest) < len(args) else []), *rest]
        )
        return parsed
