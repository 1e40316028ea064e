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
from optode.language.program import Assign, FieldCall, Statement, Total, lower
from optode.language.symbols import TIME, symbol
from optode.model.following import Following
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
_RESTS = "def rests(self, t: Tensor, states: Tensors, field: BoundField) -> Rests:"
_MEANING = '''"""The derivatives of the states, and the function that gives the costates'."""'''


def equations_method(system: AdjointSystem) -> list[str]:
    """Return the whole method, for the body of a class that is not indented yet."""
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
    read = _read(printer, model)
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


def rests_method(model: NeuralODE, following: Following) -> list[list[str]]:
    """Return ``rests``: what the linear part leaves of the derivatives; as in the base class without it."""
    if not any(map(any, following.linear_part)):
        return []
    rests = {symbol(f"{z}_rest"): rest for z, rest in following.rest.items()}
    program = lower((TIME, *model.states, *(p.symbol for p in model.parameters)), rests)
    called = {s.name for s in program.statements if isinstance(s, FieldCall)}
    plain = {
        s.name: s.value
        for s in program.statements
        if isinstance(s, Assign) and s.value in called and s.name in rests
    }
    outputs = [plain.get(name, name) for name in rests]
    statements = [s for s in program.statements if not (isinstance(s, Assign) and s.name in plain)]
    shared, _ = share(accurate_statements(model, statements), (), outputs, RESERVED)
    kinds = kinds_of(model, shared, model.states, outputs)
    printer = StatementPrinter(model, shared, kinds)
    read = _read(printer, model)
    named = dict(zip(following.rest, outputs, strict=True))
    items = [str(named.get(state)) for state in model.states]
    body = [
        *unpacking(_or_blank(model.states, read), "states"),
        *printer.lines(),
        *_several("return", items),
    ]
    meaning = '"""The rests in z\' = L z + rest; None for a state that has none."""'
    return [[_RESTS, *indented([meaning, *body])]]


def _several(word: str, items: Sequence[str]) -> list[str]:
    """Return the line ``return a, b`` on one line, or one value a line."""
    line = f"{word} {', '.join(items)}"
    if len(items) > 1 and len(line) <= LINE_LENGTH - BODY:
        return [line]
    return tuple_lines(word, items, BODY)


def _read(printer: StatementPrinter, model: NeuralODE) -> set[sp.Symbol]:
    """Return every name that the method reads, in the printed statements or to return it."""
    shaped = printer.kinds.shaped
    constant = any(
        isinstance(s, Assign)
        and (s.name in shaped or counted(s.value) is not None)
        and not s.value.free_symbols & shaped
        for s in printer.program
    )
    per_feature = {p.symbol for p in model.parameters if p.per_feature} & printer.used
    position = {model.states[0]} if constant or per_feature else set()
    return printer.used | position


def _or_blank(names: Iterable[sp.Symbol], read: set[sp.Symbol]) -> list[sp.Symbol | None]:
    return [name if name in read else None for name in names]


def _returned(names: Iterable[sp.Symbol], second: str, indent: int) -> list[str]:
    """Return the lines ``return States(a, b), second``, on one line or one value a line."""
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
    """Return the lines of a method without a pullback, parameters first."""
    statements = accurate_statements(model, statements)
    kinds = kinds_of(model, statements, shaped, outputs)
    return StatementPrinter(model, statements, kinds).lines()
