"""A program as the statements of a PyTorch method, one a line, as ``ruff format`` leaves them.

A call of the field becomes ``self._evaluate(t, inputs, h)``, one with a pullback
``self._linearize(t, inputs, h)``, whose leaves the pullback differentiates by: these two and
``_vjp`` belong to the module's template.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sympy as sp

from optode.codegen.expressions import LINE_LENGTH, TorchPrinter, assignment
from optode.language.program import (
    Assign,
    FieldCall,
    FieldPullback,
    Statement,
    Total,
    defines,
    uses,
)
from optode.language.symbols import symbol
from optode.model.model import NeuralODE

BODY = 8
"""The indentation of a method's statements."""


class Statements:
    """Prints the statements of a program in their order, and knows what kind of value each name
    has.
    """

    def __init__(
        self,
        model: NeuralODE,
        shaped: Iterable[sp.Symbol],
        outputs: Iterable[sp.Symbol],
        program: Iterable[Statement],
        given: Iterable[sp.Symbol] = (),
    ) -> None:
        self.indent = BODY
        self.model = model
        self.program = tuple(program)
        self.shaped = set(shaped)
        self.outputs = set(outputs)
        self.floats = {p.symbol for p in model.parameters if not p.is_learned}
        self.scalars = {p.symbol for p in model.parameters if not p.per_feature}
        self.given = set(given)
        self.divisors: set[sp.Symbol] = set()
        self.of_features = {p.symbol.name for p in model.parameters if p.per_feature}
        self.pulled = [s.call for s in self.program if isinstance(s, FieldPullback)]
        self.used = set().union(*map(uses, self.program))
        defined = {name for s in self.program for name in defines(s)}
        self.taken = {name.name for name in self.used | self.shaped | defined}

    def lines(self) -> list[str]:
        """``gamma = self.gamma`` for the parameters that are read, then the statements."""
        return [*self.parameters(), *self.block(self.program)]

    def parameters(self) -> list[str]:
        """``gamma = self.gamma`` for the parameters that are read and not given."""
        lines = []
        for parameter in self.model.parameters:
            name = parameter.symbol
            value = f"self.{name}"
            if name in self.divisors and parameter.is_learned:
                value += ".clamp(min=1e-30)"
            if parameter.per_feature:
                value = f"self._each_feature({value}, {self.model.states[0]})"
            lines += [f"{name} = {value}"] if name in self.used - self.given else []
        return lines

    def block(self, statements: Iterable[Statement], indent: int = BODY) -> list[str]:
        """Statements of the program, in order, for a block that is indented so far."""
        self.indent = indent
        return [line for statement in statements for line in self._statement(statement)]

    def _statement(self, statement: Statement) -> list[str]:
        match statement:
            case Assign():
                return self._assign(statement.name, statement.value)
            case Total():
                return self._total(statement)
            case FieldCall():
                return self._field_call(statement)
            case FieldPullback():
                return self._pullback(statement)
        raise TypeError(f"no PyTorch text for {statement}")

    def field_bars(self) -> str:
        """What holds the cotangents of the field's parameters, of all its calls together."""
        names = [self._names(call)[1] for call in self.pulled]
        if len(names) == 1:
            return names[0]
        if not names:
            return "map(torch.zeros_like, parameters)"
        return f"map(sum, zip({', '.join(names)}))"

    def _assign(self, name: sp.Symbol, value: sp.Expr) -> list[str]:
        if value.free_symbols & self.shaped:
            self.shaped.add(name)
        elif name in self.outputs:  # a tensor of the states' shape even where it is constant
            return self._constant(name, value)
        elif value.free_symbols <= self.floats:
            self.floats.add(name)
        return self._assignment(name.name, value)

    def _constant(self, name: sp.Symbol, value: sp.Expr) -> list[str]:
        position = self.model.states[0]
        self.shaped.add(name)
        if value == 0:
            return [f"{name} = torch.zeros_like({position})"]
        if value.free_symbols <= self.floats:
            number = self._printer().argument(value)
            return call_lines(
                f"{name} = torch.full_like(", [str(position), number], ")", self.indent
            )
        return self._assignment(name.name, symbol(f"torch.zeros_like({position})") + value)

    def _printer(self) -> TorchPrinter:
        return TorchPrinter(self.floats, self.scalars)

    def _assignment(self, name: str, value: sp.Expr) -> list[str]:
        lines = assignment(name, value, self._printer(), self.indent, self.taken)
        self.taken |= {line.split(" = ")[0] for line in lines if " = " in line}
        return lines

    def _total(self, statement: Total) -> list[str]:
        name, value = statement.name, statement.value
        parameter = name.name.removesuffix("_bar")
        if value == 0:
            return [f"{name} = torch.zeros_like(self.{parameter})"]
        summed = "self._feature_sum" if parameter in self.of_features else "torch.sum"
        text = f"{name} = {summed}({self._printer().text(value)})"
        if len(text) <= LINE_LENGTH - self.indent:
            return [text]
        density = f"{name}_density"
        return [*self._assignment(density, value), f"{name} = {summed}({density})"]

    def _field_call(self, call: FieldCall) -> list[str]:
        self.shaped.add(call.name)
        arguments = [str(call.time), "inputs", *map(str, call.inputs)]
        evaluate, linearize = ("_evaluate", "_linearize")
        if call.directions:
            evaluate, linearize = ("_tangent", "_linearize_tangent")
        if call in self.pulled:
            target = f"{call.name}, {self._names(call)[0]}"
            return call_lines(f"{target} = self.{linearize}(", arguments, ")", self.indent)
        return call_lines(f"{call.name} = self.{evaluate}(", arguments, ")", self.indent)

    def _pullback(self, statement: FieldPullback) -> list[str]:
        self.shaped.update(statement.names)
        leaves, bars = self._names(statement.call)
        arguments = [str(statement.call.name), f"{leaves} + parameters", str(statement.cotangent)]
        targets = ", ".join([*map(str, statement.names), f"*{bars}"])
        return call_lines(f"{targets} = _vjp(", arguments, ")", self.indent)

    def _names(self, call: FieldCall) -> tuple[str, str]:
        if len(self.pulled) == 1:
            return "leaves", "field_bars"
        return f"{call.name}_leaves", f"{call.name}_bars"


# Lines that ruff format leaves alone


def unpacking(names: Sequence[sp.Symbol], source: str, indent: int = BODY) -> list[str]:
    line = f"{', '.join(map(str, names))} = {source}"
    if len(names) > 1 and len(line) <= LINE_LENGTH - indent:
        return [line]
    lines = tuple_lines("", list(map(str, names)), indent + len(source))
    return [*lines[:-1], f"{lines[-1]} = {source}"]


def tuple_lines(prefix: str, items: Sequence[str], indent: int) -> list[str]:
    """``prefix (a, b)``, on one line or one item a line."""
    start = f"{prefix} (" if prefix else "("
    line = f"{start}{', '.join(items)}{',' if len(items) == 1 else ''})"
    if len(line) <= LINE_LENGTH - indent or not items:
        return [line]
    return [start, *(f"    {item}," for item in items), ")"]


def call_lines(start: str, items: Sequence[str], end: str, indent: int) -> list[str]:
    """``start a, b end`` on one line, else the items on a line of their own, else on one each."""
    inner = ", ".join(items)
    if len(f"{start}{inner}{end}") <= LINE_LENGTH - indent:
        return [f"{start}{inner}{end}"]
    if len(inner) <= LINE_LENGTH - indent - 4:
        return [start, f"    {inner}", end]
    return [start, *(f"    {item}," for item in items), end]
