"""Write the page of all shipped specs: title, derived limit, class and references, by families."""

from __future__ import annotations

from collections.abc import Iterator

from optode.compiler import derive
from optode.derivation import Derivation
from optode.language.text import to_text
from optode.spec.families import FAMILIES
from optode.spec.reader import Spec, read_spec
from optode.spec.shipped import find_spec, shipped_specs

COMMAND = "optode list --format markdown"

_INTRODUCTION = f"""\
# The rules that ship

Each spec with the continuous limit derived from it, fast states eliminated, and the class of its
module where it has one; by families, the oldest first. `g` is the gradient, `f` the network. Made
by `{COMMAND}`; the numerical check of every row is in [verification.md](verification.md).
"""
_HEAD = """
| spec | year | limit | class | references |
| --- | --- | --- | --- | --- |
"""


def shipped_catalogue() -> list[Spec]:
    """Return the shipped specs by family and year; those without a family stand last."""
    order = {word: place for place, word in enumerate(FAMILIES)}
    specs = [read_spec(find_spec(name)) for name in shipped_specs()]
    return sorted(
        specs, key=lambda spec: (order.get(spec.family or "", len(order)), spec.year or 0)
    )


def page() -> str:
    """Return the catalogue in Markdown."""
    lines, family = [_INTRODUCTION], ""
    for spec in shipped_catalogue():
        heading = FAMILIES.get(spec.family or "", "Of no family")
        if heading != family:
            lines.append(f"\n## {heading}\n{_HEAD}")
            family = heading
        lines.append(_row(spec))
    return "".join(lines)


def _row(spec: Spec) -> str:
    made = f"`{spec.model.class_name.text}`" if spec.model else ""
    equations = "<br>".join(f"`{line}`" for line in _equations(derive(spec)))
    name, year = f"`{spec.name.text}`: {spec.title}", str(spec.year or "")
    row = (name, year, equations, made, "; ".join(spec.references))
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |\n"


def _equations(derivation: Derivation) -> Iterator[str]:
    limit = derivation.limit
    for state, equation in zip(limit.states, limit.equations, strict=True):
        yield f"{state}' = {to_text(equation)}"
