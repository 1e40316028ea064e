"""The arguments and options that several commands take."""

from __future__ import annotations

import math
import re
from enum import Enum
from glob import escape, glob
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperGroup

from optode.cli.boundary import DEBUG

PATH_OR_NAME = "A path, the name of a shipped spec, or - for standard input."
PATHS_OR_NAMES = "Paths, names of shipped specs, or - for standard input."

_PLAIN = re.compile(r"[\w.+@/-]+")


class ReportFormat(str, Enum):
    """The formats of a report."""

    text = "text"
    markdown = "markdown"
    json = "json"


class StageName(str, Enum):
    """The stages of the compiler, by name."""

    rule = "rule"
    limit = "limit"
    model = "model"
    adjoint = "adjoint"
    following = "following"


def spec_names(incomplete: str) -> list[str]:
    """Return the shipped specs and the YAML files that begin as typed, for the shell to complete.

    Where no spec fits the shell completes files by itself, also those with spaces and quotes.
    """
    from optode.spec.shipped import shipped_specs

    beside = sorted(filter(_PLAIN.fullmatch, glob(f"{escape(incomplete)}*")))  # noqa: PTH207
    names = [name for name in shipped_specs() if name.startswith(incomplete)]
    specs = [*names, *(path for path in beside if path.endswith((".yaml", ".yml")))]
    return specs and [*specs, *(f"{path}/" for path in beside if Path(path).is_dir())]


def _step_that_fits(step: float | None) -> float | None:
    if step is not None and not (math.isfinite(step) and step > 0):
        raise typer.BadParameter(f"{step:g} is no step size: it is a positive number, as in 0.1")
    return step


OneSpec: TypeAlias = Annotated[
    str, typer.Argument(metavar="SPEC", help=PATH_OR_NAME, autocompletion=spec_names)
]
OneSpecOrAll: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="SPEC", help=PATH_OR_NAME, autocompletion=spec_names)
]
Specs: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="SPEC", help=PATHS_OR_NAMES, autocompletion=spec_names)
]
SpecsOrAll: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="SPEC", help=PATHS_OR_NAMES, autocompletion=spec_names),
]
AllSpecs: TypeAlias = Annotated[bool, typer.Option("--all", help="Take all shipped specs.")]
AllModels: TypeAlias = Annotated[bool, typer.Option("--all", help="Take all shipped models.")]
ModelOrder: TypeAlias = Annotated[
    int,
    typer.Option(min=0, max=1, help="Take the terms of the modified equation up to this order."),
]
StepSize: TypeAlias = Annotated[
    float | None,
    typer.Option(
        callback=_step_that_fits, help="The value of the step size in the next-order terms."
    ),
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


AssumeFixed: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--assume-fixed", help="Take constants that a spec uses and does not declare as fixed."
    ),
]
Folder: TypeAlias = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write to.")
]
OnlyShowStale: TypeAlias = Annotated[
    bool,
    typer.Option("--check", help="Write nothing; show what is stale, and exit 1 if anything is."),
]
NoCheck: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-check", help="Do not run the rule beside its limit first, some tenths of a second."
    ),
]


def one_or_all(spec: object, every: bool, expected: str = "one SPEC") -> None:
    """Raise BadParameter unless either SPEC or --all is given."""
    if every == bool(spec):
        raise typer.BadParameter(f"give {expected}, or --all")


def step_with_order(step: float | None, order: int) -> None:
    """Raise BadParameter for a step size that no term would use."""
    if step is not None and order == 0:
        raise typer.BadParameter(
            "it goes with --order 1: the limit itself has no step size", param_hint="--step"
        )


class Commands(TyperGroup):
    """The commands; ``--debug`` may stand anywhere."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = [argument for argument in args if argument != DEBUG]
        parsed: list[str] = super().parse_args(
            ctx, [*([DEBUG] if len(rest) < len(args) else []), *rest]
        )
        return parsed
