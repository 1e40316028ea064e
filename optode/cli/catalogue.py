"""Write the page of all shipped specs: title, derived limit, class and references of each."""

from __future__ import annotations

from collections.abc import Iterator

from optode.compiler import derive
from optode.derivation import Derivation
from optode.language.text import to_text
from optode.spec.reader import Spec
from optode.spec.shipped import shipped_specs

COMMAND = "optode list --format markdown"

_INTRODUCTION = f"""\
# The rules that ship

Each spec with the continuous limit derived from it, fast states eliminated, and the class of its
module where it has one. `g` is the gradient, `f` the network. Made by `{COMMAND}`; the numerical
check of every row is in [verification.md](verification.md).

| spec | limit | class | references |
| --- | --- | --- | --- |
"""


def page() -> str:
    """Return the catalogue in Markdown."""
    return _INTRODUCTION + "".join(map(_row, shipped_specs()))


def _row(name: str) -> str:
    derivation = derive(name)
    spec = derivation.spec
    made = f"`{spec.model.class_name.text}`" if isinstance(spec, Spec) and spec.model else ""
    equations = "<br>".join(f"`{line}`" for line in _equations(derivation))
    row = (f"`{name}`: {spec.title}", equations, made, "; ".join(spec.references))
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |\n"


def _equations(derivation: Derivation) -> Iterator[str]:
    limit = derivation.limit
    for state, equation in zip(limit.states, limit.equations, strict=True):
        yield f"{state}' = {to_text(equation)}"
