"""Define the command ``optode schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from optode.cli.terminal import errors_reported


def schema(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.json", help="Write to this file."),
    ] = None,
) -> None:
    """Print the JSON Schema of specs, for completion in editors.

    With the YAML extension of an editor, begin a spec with this line:
    # yaml-language-server: $schema=optode.schema.json
    """
    from optode.codegen.files import file_problem, replace
    from optode.diagnostics import SpecError
    from optode.spec.schema import json_schema

    text = json.dumps(json_schema(), indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
        return
    with errors_reported():
        if problem := file_problem(output):
            raise SpecError([problem])
        replace({output: text})
    typer.echo(f"{output}")
