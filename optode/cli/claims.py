"""Define the command ``optode claims``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from optode.cli.options import (
    AllModels,
    ModelOrder,
    OneSpecOrAll,
    ReportFormat,
    StepSize,
    TimeLimit,
    one_or_all,
    step_with_order,
)
from optode.cli.terminal import errors_reported, print_fitted
from optode.time_limit import DEFAULT_SECONDS


def claims(
    spec: OneSpecOrAll = None,
    every: AllModels = False,
    form: Annotated[
        ReportFormat, typer.Option("--format", help="The format of the report.")
    ] = ReportFormat.text,
    order: ModelOrder = 0,
    step: StepSize = None,
    seconds: TimeLimit = DEFAULT_SECONDS,
) -> None:
    """Prove or refute statements about the adjoint of a model.

    Each is also checked numerically. Exits 1 if a check contradicts a proof.
    """
    one_or_all(spec, every)
    step_with_order(step, order)
    with errors_reported(as_json=form is ReportFormat.json):
        from optode.claim import markdown
        from optode.claim import text as claims_text
        from optode.claim.report import claims, every_claim

        found = [*every_claim(seconds)] if spec is None else [claims(spec, order, step, seconds)]
    if form is ReportFormat.json:
        documents = [claims_text.as_json(one) for one in found]
        typer.echo(json.dumps(documents if every else documents[0], indent=2))
    elif form is ReportFormat.markdown:
        text = markdown.page(found) if every else markdown.as_markdown(found[0])
        typer.echo(text, nl=False)
    else:
        print_fitted("\n".join(map(str, found)))
    raise typer.Exit(0 if all(one.agree for one in found) else 1)
