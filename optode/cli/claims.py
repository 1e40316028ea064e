"""The command ``optode claims``."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated

import typer

from optode.cli.terminal import errors_reported


class ReportFormat(str, Enum):
    """How verdicts are written."""

    text = "text"
    markdown = "markdown"
    json = "json"


def claims(
    spec: Annotated[
        str | None, typer.Argument(metavar="SPEC", help="A path, or a shipped spec's name.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All shipped models.")] = False,
    form: Annotated[
        ReportFormat, typer.Option("--format", help="How to write it down.")
    ] = ReportFormat.text,
    order: Annotated[
        int, typer.Option(min=0, max=1, help="Terms of the modified equation up to this order.")
    ] = 0,
    step: Annotated[
        float | None, typer.Option(help="The step size's value in the terms of next order.")
    ] = None,
) -> None:
    """Say what is true of the adjoint, with proof and witness; exit 1 where these disagree."""
    if every == (spec is not None):
        raise typer.BadParameter("give one SPEC, or --all")
    with errors_reported():
        from optode.claim import text as claims_text
        from optode.claim.report import claims, every_claim

        found = [*every_claim()] if spec is None else [claims(spec, order, step)]
    if form is ReportFormat.json:
        documents = [claims_text.as_json(one) for one in found]
        typer.echo(json.dumps(documents if every else documents[0], indent=2))
    elif form is ReportFormat.markdown:
        text = claims_text.page(found) if every else claims_text.as_markdown(found[0])
        typer.echo(text, nl=False)
    else:
        typer.echo("\n".join(map(str, found)), nl=False)
    raise typer.Exit(0 if all(one.agree for one in found) else 1)
