"""Print programs as the statements of PyTorch methods, one a line.

A call of the field becomes ``f = field(h)``, its pullback ``JT = field.pull(f, costate)``; ``field``
is the network at one time, an ``optode.runtime.BoundField``. An operator of the caller's is called as
``lmo = field.apply("lmo", h)``, and pulled back like f.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import sympy as sp

from optode.codegen.assignment import assignment
from optode.codegen.expressions import TorchPrinter
from optode.codegen.layout import BODY, LINE_LENGTH, call_lines
from optode.language.conditions import where
from optode.language.matrices import MAPS, counted
from optode.language.program import (
    Assign,
    FieldCall,
    FieldPullback,
    Statement,
    Total,
    defines,
    uses,
)
from optode.language.symbols import Reduction, dot, symbol
from optode.model.model import NeuralODE


@dataclass(frozen=True, slots=True)
class Kinds:
    """What each name of a program is in the emitted code.

    ``shaped``: a tensor of the states' shape, or of one with a sum over the features in it;
    ``full``: of the states' shape indeed; ``floats``: a Python number; ``scalars``: a number, or a
    tensor of one, which costs less to divide by than by a state.
    """

    shaped: frozenset[sp.Symbol]
    full: frozenset[sp.Symbol]
    floats: frozenset[sp.Symbol]
    scalars: frozenset[sp.Symbol]


def kinds_of(
    model: NeuralODE,
    program: Iterable[Statement],
    shaped: Iterable[sp.Symbol],
    outputs: Iterable[sp.Symbol],
) -> Kinds:
    """Return the kind of every name, given the names that are shaped before.

    An output has the states' shape even where its value is constant.
    """
    program, shaped = tuple(program), set(shaped)
    outputs = {*outputs, *chain.from_iterable(map(_of_the_field, program))}
    full = set(shaped)
    numbers = {p.symbol for p in model.parameters if not p.is_learned}
    scalars = {p.symbol for p in model.parameters if not p.per_feature} | numbers
    for statement in program:
        if isinstance(statement, (FieldCall, FieldPullback)):
            shaped.update(defines(statement))
            full.update(defines(statement))
        elif isinstance(statement, Assign):
            read = statement.value.free_symbols
            if _is_full(statement.value, full, numbers) or statement.name in outputs:
                full.add(statement.name)
            if read & shaped or statement.name in outputs or _is_summed(statement.value):
                shaped.add(statement.name)
            elif read <= scalars:
                scalars.add(statement.name)
                numbers |= {statement.name} if read <= numbers else set()
    return Kinds(frozenset(shaped), frozenset(full), frozenset(numbers), frozenset(scalars))


def _of_the_field(statement: Statement) -> tuple[sp.Symbol, ...]:
    """Return what the network, or its pullback, is called with: it has the states' shape."""
    if isinstance(statement, FieldCall):
        return statement.inputs
    return (statement.cotangent,) if isinstance(statement, FieldPullback) else ()


def _is_summed(value: sp.Expr) -> bool:
    """Return whether a value has one number for each sample, as reductions over the features have.

    The number of features itself, and of rows and columns, is a Python number.
    """
    return isinstance(value, Reduction) and not counted(value)


def _is_full(
    value: sp.Expr, full: Collection[sp.Symbol], floats: Collection[sp.Symbol] = ()
) -> bool:
    """Return whether a value has the states' shape: more than reductions over the features is in it.

    A choice by a number is the branch that is taken, whose shape is that of the states only where
    both branches have it.
    """
    if isinstance(value, Reduction):
        return isinstance(value, MAPS) and not counted(value)
    if isinstance(value, where) and value.args[0].free_symbols <= set(floats):
        return all(_is_full(branch, full, floats) for branch in value.args[1:])
    return value in full or any(_is_full(argument, full, floats) for argument in value.args)


class StatementPrinter:
    """Prints the statements of one method, in which parameters are attributes."""

    def __init__(self, model: NeuralODE, program: Sequence[Statement], kinds: Kinds) -> None:
        self.model, self.program, self.kinds = model, tuple(program), kinds
        self.printer = TorchPrinter(kinds.floats, kinds.scalars)
        self.used = set().union(*map(uses, self.program))
        self.taken = {name.name for s in self.program for name in (*uses(s), *defines(s))}

    def lines(self) -> list[str]:
        """Return ``gamma = self.gamma`` for the parameters that are read, then the statements."""
        return [*self.parameters(), *self.block(self.program)]

    def parameters(self) -> list[str]:
        """Return ``gamma = self.gamma`` for the parameters that are read."""
        lines = []
        for parameter in self.model.parameters:
            name = parameter.symbol
            value = f"self.{name}"
            if name not in self.used:
                continue
            if parameter.per_feature:
                value = f"self.each_feature({value}, {self.model.states[0]})"
            lines.append(f"{name} = {value}")
        return lines

    def block(self, statements: Sequence[Statement], indent: int = BODY) -> list[str]:
        """Return statements of the program, in order, for a block that is indented so far."""
        inlined = {c.cotangent: s for s in statements if (c := self._only_reader(s)) is not None}
        lines: list[str] = []
        for statement in statements:
            if isinstance(statement, FieldPullback):
                lines += self._pullback(statement, inlined.get(statement.cotangent), indent)
            elif statement not in inlined.values():
                lines += self._statement(statement, indent)
        return lines

    def _only_reader(self, statement: Statement) -> FieldPullback | None:
        """Return the pullback that alone reads what a statement assigns."""
        readers = [s for s in self.program if set(defines(statement)) & uses(s)]
        if isinstance(statement, Assign) and len(readers) == 1:
            return readers[0] if isinstance(readers[0], FieldPullback) else None
        return None

    def _statement(self, statement: Statement, indent: int) -> list[str]:
        match statement:
            case Assign():
                return self._assign(statement, indent)
            case Total():
                return self._total(statement, indent)
            case FieldCall():
                return self._call(statement, indent)
        raise TypeError(f"no PyTorch text for {statement}")

    def _assign(self, statement: Assign, indent: int) -> list[str]:
        name, value = statement.name.name, statement.value
        if function := counted(value):
            return self._count(statement.name, function)
        if isinstance(value, dot) and not any(map(self._has_shape, value.args)):
            first, second = value.args  # alike for all features: one of them gets their shape
            at = self._free(f"{name}_at")
            lines = self._filled(at, first, indent)
            return [*lines, f"{name} = dot({at}, {self.printer.argument(second)})"]
        if statement.name in self.kinds.full and not self._has_shape(value):
            lines, value = self._spread(value, indent)
            return [*lines, *self._filled(name, value, indent)]
        return self._assignment(name, value, indent)

    def _count(self, name: sp.Symbol, function: str) -> list[str]:
        """Assign the number of features, of rows or of columns."""
        position = self.model.states[0]
        number = f"{function}({position})"
        if name in self.kinds.full:
            number = f"torch.full_like({position}, {number})"
        return [f"{name} = {number}"]

    def _has_shape(self, value: sp.Expr) -> bool:
        return _is_full(value, self.kinds.full, self.kinds.floats)

    def _free(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _filled(self, name: str, value: sp.Expr, indent: int) -> list[str]:
        """Assign a value that is alike for all features, in the states' shape."""
        position = str(self.model.states[0])
        zeros = f"torch.zeros_like({position})"
        if value == 0:
            return [f"{name} = {zeros}"]
        if value == 1:
            return [f"{name} = torch.ones_like({position})"]
        if value.free_symbols <= self.kinds.floats:
            items = [position, self.printer.argument(value)]
            return call_lines(f"{name} = torch.full_like(", items, ")", indent)
        text = self.printer.text(value)
        signed = f"- {text[1:]}" if text.startswith("-") else f"+ {text}"
        line = f"{name} = {zeros} {signed}"
        if len(line) <= LINE_LENGTH - indent:
            return [line]
        alike = self._free(f"{name}_alike")
        return [*self._assignment(alike, value, indent), f"{name} = {zeros} + {alike}"]

    def _assignment(self, name: str, value: sp.Expr, indent: int) -> list[str]:
        self.taken.add(name)
        lines, value = self._spread(value, indent)
        return [*lines, *assignment(name, value, self.printer, indent, self.taken)]

    def _spread(self, value: sp.Expr, indent: int) -> tuple[list[str], sp.Expr]:
        """Give what reductions are applied to the states' shape, where it is alike for all features."""
        lines: list[str] = []
        for node in sp.postorder_traversal(value):
            alike = isinstance(node, Reduction) and not any(map(self._has_shape, node.args))
            if alike and not isinstance(node, dot):
                spread = self._free("spread")
                lines += self._filled(spread, node.args[0], indent)
                value = value.xreplace({node: node.func(symbol(spread))})
        return lines, value

    def _total(self, statement: Total, indent: int) -> list[str]:
        per_feature = {p.symbol for p in self.model.parameters if p.per_feature}
        summed = "self.feature_sum" if statement.parameter in per_feature else "torch.sum"
        text = f"{statement.name} = {summed}({self.printer.text(statement.value)})"
        density = f"{statement.name}_density"
        if not self._has_shape(statement.value):
            lines = self._filled(density, statement.value, indent)
        elif len(text) <= LINE_LENGTH - indent:
            return [text]
        else:
            lines = self._assignment(density, statement.value, indent)
        return [*lines, f"{statement.name} = {summed}({density})"]

    def _call(self, call: FieldCall, indent: int) -> list[str]:
        lines: list[str] = []
        arguments, directions = (
            [self._in_full(name, lines, indent) for name in names]
            for names in (call.arguments, call.directions)
        )
        operator = [f'"{call.operator}"'] if call.operator else []
        if directions:
            items = [_tuple(arguments), _tuple(directions), *operator]
            return [*lines, *call_lines(f"{call.name} = field.tangent(", items, ")", indent)]
        function = "field.apply" if operator else "field"
        items = [*operator, *arguments]
        return [*lines, *call_lines(f"{call.name} = {function}(", items, ")", indent)]

    def _in_full(self, name: sp.Symbol, lines: list[str], indent: int) -> str:
        """Return a name for a value in the states' shape, after the lines that give it one."""
        if self._has_shape(name):
            return str(name)
        spread = self._free(f"{name}_at")
        lines += self._filled(spread, name, indent)
        return spread

    def _pullback(
        self, statement: FieldPullback, cotangent: Statement | None, indent: int
    ) -> list[str]:
        """Return the pullback, with its cotangent written into the call where that fits on the line."""
        names, call = _names(statement.names), str(statement.call.name)
        method = "pull" if len(names) == 1 else "pull_each"
        start = f"{', '.join(names)} = field.{method}("
        if isinstance(cotangent, Assign):
            line = f"{start}{call}, {self.printer.text(cotangent.value)})"
            if self._has_shape(cotangent.value) and len(line) <= LINE_LENGTH - indent:
                return [line]
        before = self._statement(cotangent, indent) if cotangent else []
        return [*before, *call_lines(start, [call, str(statement.cotangent)], ")", indent)]


def _names(symbols: Iterable[sp.Symbol]) -> list[str]:
    return [str(name) for name in symbols]


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"
