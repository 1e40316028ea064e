"""Add the cell magic ``%%optode`` to notebooks, and show stages as mathematics.

IPython is not imported; it hands its shell over when ``%load_ext optode`` is run.
"""

from __future__ import annotations

from typing import Any, Protocol

from optode.compiler import compile, derive, parse
from optode.derivation import Derivation
from optode.diagnostics import SpecError
from optode.show.equations import Stage, show


class Shell(Protocol):
    """The methods used of IPython's InteractiveShell."""

    display_formatter: Any

    def push(self, variables: dict[str, Any]) -> None:
        """Define names for the user."""
        ...

    def register_magic_function(self, func: Any, magic_kind: str, magic_name: str) -> None:
        """Make a magic command known."""
        ...


class CellError(SpecError):
    """Errors of a spec in a cell; IPython shows them as they are, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


def load_ipython_extension(shell: Shell) -> None:
    """Register the cell magic and the Markdown of the stages; run by ``%load_ext optode``."""

    def optode(line: str, cell: str) -> Derivation:
        """Compile the spec in the cell.

        %%optode [NAME]

        Defines the class under its own name and shows the derivation, which is assigned to NAME if
        one is given. `extends` finds files in the working directory and the shipped specs.
        """
        derivation = run_cell(cell)
        names = line.split()
        if len(names) > 1 or not all(name.isidentifier() for name in names):
            raise ValueError(f"%%optode takes the name of one variable, not {line.strip()!r}")
        made = compile(derivation.spec)
        shell.push({made.__name__: made, **dict.fromkeys(names, derivation)})
        return derivation

    shell.register_magic_function(optode, "cell", "optode")
    markdown = shell.display_formatter.formatters["text/markdown"]
    for module, name in _STAGES:
        markdown.for_type_by_name(f"optode.{module}", name, _as_markdown)


_STAGES = (
    ("rule.rule", "UpdateRule"),
    ("limit.limit", "ContinuousLimit"),
    ("model.model", "NeuralODE"),
    ("adjoint.adjoint", "AdjointSystem"),
)


def _as_markdown(stage: Stage) -> str:
    return show((stage,), "markdown")


def run_cell(text: str) -> Derivation:
    """Derive the spec in a cell, up to the module's text; raises CellError with all errors."""
    try:
        derivation = derive(parse(text, "cell"))
        _ = derivation.module_text
    except SpecError as error:
        raise CellError(error.diagnostics) from None
    return derivation
