"""Write the methods that return rates, and the function that pulls costates back through them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
    "self", "t", "states", "costates", "field", "pull", "length", "inputs", "torch", "math",
    "functional", *IN_MODULES,
)  # fmt: skip
"""Names that the text of a method has besides those of its program."""

_INNER = BODY + 4


@dataclass(frozen=True, slots=True)
class Signature:
    """How a method is called, and what its rates are returned as: ``States``, or a plain tuple.

    ``numbers`` are arguments besides the time, the states and, unless it is called without, the
    field.
    """

    name: str
    meaning: str
    kind: str = ""
    calls_field: bool = True
    numbers: tuple[sp.Symbol, ...] = ()

    def lines(self) -> list[str]:
        """The line, or lines, of ``def``."""
        given = ["self", "t: Tensor", "states: Tensors"]
        given += ["field: BoundField"] if self.calls_field else []
        given += [f"{number}: float" for number in self.numbers]
        end = f") -> tuple[{self.kind or 'Tensors'}, Pull]:"
        return call_lines(f"def {self.name}(", given, end, 4)


def rates_method(system: AdjointSystem, signature: Signature) -> list[str]:
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
    divisors = _divisors(model) if signature.numbers else ()
    printer = StatementPrinter(model, program, kinds, signature.numbers, divisors)
    bars = tuple_lines("", ["None" if name in idle else str(name) for name in learned], 0)
    read = _read(printer, system)
    inner = [
        *unpacking(_or_blank(system.costates, read), "costates", _INNER),
        *printer.block(added, _INNER),
        *_returned(signature.kind, costate_rates, bars[0], _INNER),
    ]
    kind = signature.kind or "Tensors"
    body = [
        *unpacking(_or_blank(model.states, read), "states"),
        *printer.parameters(),
        *printer.block(forward),
        "",
        f"def pull(costates: Tensors) -> tuple[{kind}, Gradients]:",
        *indented(inner),
        "",
        *_returned(signature.kind, system.forward.outputs, "pull", BODY),
    ]
    return [*signature.lines(), f'    """{signature.meaning}"""', *indented(body)]


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


def _returned(kind: str, names: Iterable[sp.Symbol], second: str, indent: int) -> list[str]:
    """``return States(a, b), second``, on one line or one value a line."""
    items = list(map(str, names))
    comma = "," if len(items) == 1 and not kind else ""
    line = f"return {kind}({', '.join(items)}{comma}), {second}"
    if len(line) <= LINE_LENGTH - indent:
        return [line]
    first = (
        call_lines(f"{kind}(", items, "),", indent + 4)
        if kind
        else tuple_lines("", items, indent + 4, ",")
    )
    return ["return (", *indented(first), f"    {second},", ")"]


def _divisors(model: NeuralODE) -> set[sp.Symbol]:
    """Rates that mean rates are divided by, which may vanish: they tend to a limit."""
    divided = (sp.fraction(sp.together(equation))[1] for equation in model.equations)
    rates = {p.symbol for p in model.parameters if p.is_learned}
    return rates & set().union(*(x.free_symbols for x in divided))


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
