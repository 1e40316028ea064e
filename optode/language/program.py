"""Programs: ordered assignments and calls of an oracle, the only thing that is ever differentiated.

``lower`` turns equations into a program; ``optode.adjoint.reverse`` differentiates it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from optode.language.matrices import (
    column_highest,
    column_mean,
    column_total,
    counted,
    eye,
    matmul,
    operator_of,
    row_highest,
    row_mean,
    row_total,
    trace,
    transposed,
)
from optode.language.symbols import (
    TIME,
    Call,
    Field,
    Gradient,
    Loss,
    Oracle,
    Reduction,
    Tangent,
    dot,
    highest,
    lowest,
    mean,
    symbol,
    total,
)


@dataclass(frozen=True, slots=True)
class Assign:
    """``name = value``, elementwise."""

    name: sp.Symbol
    value: sp.Expr


@dataclass(frozen=True, slots=True)
class FieldCall:
    """``name = f(time, *arguments)``, one evaluation of an oracle; a gradient has no time.

    With directions, one for each argument, it is the Jacobian product ``J(arguments) directions``.
    ``operator`` names what is called in the place of f: the loss, or an operator of the caller's,
    without the time unless ``time`` is given.
    """

    name: sp.Symbol
    time: sp.Symbol | None
    arguments: tuple[sp.Symbol, ...]
    directions: tuple[sp.Symbol, ...] = ()
    operator: str = ""

    @property
    def inputs(self) -> tuple[sp.Symbol, ...]:
        """Return what a call is differentiated by: its arguments, then its directions."""
        return (*self.arguments, *self.directions)


@dataclass(frozen=True, slots=True)
class FieldPullback:
    """``names = J^T cotangent`` of one call, one name for each of its inputs.

    The same vector-Jacobian product also yields the cotangents of the called network's parameters.
    """

    names: tuple[sp.Symbol, ...]
    call: FieldCall
    cotangent: sp.Symbol


@dataclass(frozen=True, slots=True)
class Total:
    """``name = sum of value over all elements``: the cotangent of a parameter."""

    name: sp.Symbol
    value: sp.Expr
    parameter: sp.Symbol


Statement: TypeAlias = Assign | FieldCall | FieldPullback | Total


@dataclass(frozen=True, slots=True)
class Program:
    """A straight-line program: every name is an input or assigned once, before it is used."""

    inputs: tuple[sp.Symbol, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[sp.Symbol, ...]

    def __post_init__(self) -> None:
        known = set(self.inputs)
        for statement in self.statements:
            if not uses(statement) <= known or known & set(defines(statement)):
                raise ValueError(f"not a straight-line program at {statement}")
            known |= set(defines(statement))
        if not set(self.outputs) <= known:
            raise ValueError(f"outputs {self.outputs} are not all assigned")


class NoProgram(ValueError):
    """Equations that are no program; the message says why."""


def defines(statement: Statement) -> tuple[sp.Symbol, ...]:
    """Return the names a statement assigns."""
    return statement.names if isinstance(statement, FieldPullback) else (statement.name,)


def uses(statement: Statement) -> set[sp.Symbol]:
    """Return the names a statement reads."""
    if isinstance(statement, FieldCall):
        return {*statement.inputs, *([statement.time] if statement.time is not None else [])}
    if isinstance(statement, FieldPullback):
        return {statement.call.name, statement.cotangent}
    return set(statement.value.free_symbols)


def lower(inputs: Iterable[sp.Symbol], equations: Mapping[sp.Symbol, sp.Expr]) -> Program:
    """Return equations ``name = expression`` in order, as a program that calls each distinct oracle once.

    Jacobian products and reductions are statements of their own as well. What they are applied
    to is assigned to ``<name>_at`` first where it is not a plain name.
    """
    inputs = tuple(inputs)
    nodes = _distinct_nodes(equations.values())
    taken = {s.name for s in (*inputs, *equations)}
    names = _node_names(nodes, taken)
    taken |= {name.name for name in names.values()}
    statements: list[Statement] = []
    for name, expression in equations.items():
        for node in nodes:
            if expression.has(node) and not any(names[node] in defines(s) for s in statements):
                statements.extend(_node_statements(node, names, taken))
        statements.append(Assign(name, _without_nodes(expression, names)))
    return Program(inputs, tuple(statements), tuple(equations))


_STEMS = (
    (Gradient, "g"), (Loss, "loss"), (Field, "f"), (Tangent, "Ju"), (matmul, "product"),
    (transposed, "turned"), (trace, "trace_value"), (eye, "identity"), (row_total, "row_sums"),
    (column_total, "column_sums"), (row_mean, "row_means"), (column_mean, "column_means"),
    (row_highest, "row_tops"), (column_highest, "column_tops"), (dot, "inner"), (total, "summed"),
    (mean, "mean_value"), (highest, "highest"), (lowest, "lowest"),
)  # fmt: skip


def _distinct_nodes(expressions: Iterable[sp.Expr]) -> list[sp.Expr]:
    """Return all calls and products, each once, inner ones before those that contain them."""
    kinds = (Oracle, *(kind for kind, _ in _STEMS))
    found: list[sp.Expr] = []
    for expression in expressions:
        for node in sp.postorder_traversal(expression):
            if isinstance(node, kinds) and node not in found:
                found.append(node)
    return found


def _node_names(nodes: list[sp.Expr], taken: set[str]) -> dict[sp.Expr, sp.Symbol]:
    names: dict[sp.Expr, sp.Symbol] = {}
    operators = {_stem(node): None for node in nodes if isinstance(node, Oracle)}
    for stem in dict.fromkeys([*(stem for _, stem in _STEMS), *operators]):
        alike = [node for node in nodes if _stem(node) == stem]
        for index, node in enumerate(alike, 1):
            names[node] = _free(stem if len(alike) == 1 else f"{stem}{index}", taken)
    return {node: names[node] for node in nodes}


def _stem(node: sp.Expr) -> str:
    """How the name of a node's value begins; an operator's value has the operator's name."""
    if isinstance(node, Oracle):
        operator = operator_of(node)
        return str(node.args[0]) if operator is None else operator.stem
    return next(stem for kind, stem in _STEMS if isinstance(node, kind))


def _free(name: str, taken: set[str]) -> sp.Symbol:
    """Return the name, with underscores after it where it is taken."""
    while name in taken:
        name += "_"
    return symbol(name)


def _without_nodes(expression: sp.Expr, names: Mapping[sp.Expr, sp.Symbol]) -> sp.Expr:
    """Return every call replaced by its name; inner calls stand before those that contain them."""
    for node in reversed(names):
        expression = expression.xreplace({node: names[node]})
    return expression


def _node_statements(
    node: sp.Expr, names: Mapping[sp.Expr, sp.Symbol], taken: set[str]
) -> list[Statement]:
    name = names[node]
    statements: list[Statement] = []

    def named(arguments: Iterable[sp.Expr], suffix: str) -> tuple[sp.Symbol, ...]:
        plain = [_without_nodes(argument, names) for argument in arguments]
        compound = list(dict.fromkeys(p for p in plain if not isinstance(p, sp.Symbol)))
        stem = f"{name}_{suffix}"
        numbered = [stem] if len(compound) == 1 else [f"{stem}{i}" for i in range(1, 9)]
        at = dict(zip(compound, (_free(each, taken) for each in numbered), strict=False))
        statements.extend(Assign(at[p], p) for p in compound)
        return tuple(at.get(p, p) for p in plain)

    if isinstance(node, Reduction):
        over = node.args if counted(node) else named(node.args, "at")
        return [*statements, Assign(name, node.func(*over))]
    call: Call = node.args[0] if isinstance(node, Tangent) else node
    if isinstance(node, Tangent) and len(node.args) > 2:
        raise NoProgram("second derivatives of the field have no program")
    arguments = call.args[1:] if isinstance(call, Field) else call.points
    points = named(arguments, "at")
    directions: tuple[sp.Symbol, ...] = ()
    if isinstance(node, Tangent):
        along = node.args[1]
        directions = named(along if isinstance(along, sp.Tuple) else (along,), "along")
    has_time = isinstance(call, Field) or (isinstance(call, Oracle) and call.has_time)
    operator = "loss" if isinstance(call, Loss) else ""
    operator = str(call.args[0]) if isinstance(call, Oracle) else operator
    time = TIME if has_time else None
    return [*statements, FieldCall(name, time, points, directions, operator)]
