"""Write the method that returns rates, and the function that pulls costates back through them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sympy as sp

from optode.adjoint.adjoint import AdjointSystem
from optode.codegen.accurate import accurate_statements
from optode.codegen.layout import (
    BODY,
    LINE_LENGTH,
    call_lines,
    indented,
    tuple_lines,
    unpacking,
)
from optode.codegen.sharing import share
from optode.codegen.statements import StatementPrinter, kinds_of
from optode.language.function_names import IN_MODULES
from optode.language.matrices import counted
from optode.language.program import Assign, Statement, Total
from optode.model.model import NeuralODE

RESERVED = (
    "self", "t", "states", "costates", "field", "pull", "inputs", "torch", "math",
    "functional", *IN_MODULES,
)  # fmt: skip
"""Names that the text of a method has besides those of its program."""

_INNER = BODY + 4
_SIGNATURE = (
    "def equations(",
    "    self, t: Tensor, states: Tensors, field: BoundField",
    ") -> tuple[States, Pull]:",
)
_MEANING = '''"""The derivatives of the states, and the function that gives the costates'."""'''


def equations_method(system: AdjointSystem) -> list[str]:
    """The whole method, for the body of a class that is not indented yet."""
    model, backward = system.model, system.backward
    forward, added = share(
        accurate_statements(model, system.forward.statements),
        accurate_statements(
            model, (s for s in backward.statements if s not in system.forward.statements)
        ),
        (*system.forward.outputs, *backward.outputs),
        RESERVED,
    )
    costate_rates = backward.outputs[: len(system.costates)]
    learned = backward.outputs[len(costate_rates) :]
    idle = {s.name for s in added if isinstance(s, Total) and s.value == 0}
    added = tuple(s for s in added if not (isinstance(s, Total) and s.name in idle))
    program = (*forward, *added)
    shaped = {*model.states, *system.costates}
    kinds = kinds_of(model, program, shaped, (*system.forward.outputs, *costate_rates))
    printer = StatementPrinter(model, program, kinds)
    bars = tuple_lines("", ["None" if name in idle else str(name) for name in learned], 0)
    read = _read(printer, system)
    inner = [
        *unpacking(_or_blank(system.costates, read), "costates", _INNER),
        *printer.block(added, _INNER),
        *_returned(costate_rates, bars[0], _INNER),
    ]
    body = [
        *unpacking(_or_blank(model.states, read), "states"),
        *printer.parameters(),
        *printer.block(forward),
        "",
        "def pull(costates: Tensors) -> tuple[States, Gradients]:",
        *indented(inner),
        "",
        *_returned(system.forward.outputs, "pull", BODY),
    ]
    return [*_SIGNATURE, *indented([_MEANING, *body])]


def _read(printer: StatementPrinter, system: AdjointSystem) -> set[sp.Symbol]:
    """Every name that the method reads, in the printed statements or to return it."""
    shaped = printer.kinds.shaped
    constant = any(
        isinstance(s, Assign)
        and (s.name in shaped or counted(s.value) is not None)
        and not s.value.free_symbols & shaped
        for s in printer.program
    )
    per_feature = {p.symbol for p in system.model.parameters if p.per_feature} & printer.used
    position = {system.model.states[0]} if constant or per_feature else set()
    return printer.used | position


def _or_blank(names: Iterable[sp.Symbol], read: set[sp.Symbol]) -> list[sp.Symbol | None]:
    return [name if name in read else None for name in names]


def _returned(names: Iterable[sp.Symbol], second: str, indent: int) -> list[str]:
    """``return States(a, b), second``, on one line or one value a line."""
    items = list(map(str, names))
    line = f"return States({', '.join(items)}), {second}"
    if len(line) <= LINE_LENGTH - indent:
        return [line]
    first = call_lines("States(", items, "),", indent + 4)
    return ["return (", *indented(first), f"    {second},", ")"]


def statement_lines(
    model: NeuralODE,
    statements: Sequence[Statement],
    shaped: Iterable[sp.Symbol],
    outputs: Iterable[sp.Symbol],
) -> list[str]:
    """The lines of a method without a pullback, parameters first."""
    statements = accurate_statements(model, statements)
    kinds = kinds_of(model, statements, shaped, outputs)
    return StatementPrinter(model, statements, kinds).lines()
