"""Reverse-mode differentiation from program to program.

Elementwise statements are differentiated in closed form; a call of the oracle (the field f, or the
gradient g of an update rule) becomes one vector-Jacobian product.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import sympy as sp

from optode.language.derivative import partial
from optode.language.matrices import MAPS, matmul, ones, transposed, with_scalars_out
from optode.language.presentation import present
from optode.language.program import (
    Assign,
    FieldCall,
    FieldPullback,
    Program,
    Statement,
    defines,
    uses,
)
from optode.language.reductions import pulled_back
from optode.language.symbols import Reduction, symbol


def reverse(
    program: Program,
    cotangents: Mapping[sp.Symbol, sp.Symbol],
    scalars: Collection[sp.Symbol] = (),
) -> tuple[tuple[Statement, ...], dict[sp.Symbol, sp.Expr]]:
    """Reverse mode, source to source.

    ``cotangents`` gives each output's cotangent symbol. Returns the statements that compute what is
    needed (the calls of the primal, then one pullback for each call), and the cotangent of every
    name of the program as an expression in them. The map (cotangents) -> (cotangents of inputs) is
    the transpose of the program's derivative. The ``scalars`` are inputs that are numbers.
    """
    turned = {
        transposed(s.name): s.value.args[0]
        for s in program.statements
        if isinstance(s, Assign) and isinstance(s.value, transposed)
    }

    def tidy(pulled: sp.Expr) -> sp.Expr:
        """Turn back what is transposed twice, and take numbers out of products of matrices."""
        return with_scalars_out(pulled.xreplace(turned), scalars) if pulled.has(matmul) else pulled

    bars: dict[sp.Symbol, sp.Expr] = {out: cotangents[out] for out in program.outputs}
    backward: list[Statement] = []
    for statement in reversed(program.statements):
        if isinstance(statement, Assign):
            pulled = {name for s in backward for name in defines(s)}
            _accumulate_elementwise(statement, bars, pulled.union(cotangents.values()), tidy)
        elif isinstance(statement, FieldCall):
            backward.extend(_accumulate_call(program, statement, bars))
        else:
            raise TypeError(f"cannot reverse {statement}")
    return (*_needed(program, backward, bars), *backward), bars


def _accumulate_elementwise(
    statement: Assign,
    bars: dict[sp.Symbol, sp.Expr],
    costates: set[sp.Symbol],
    tidy: Callable[[sp.Expr], sp.Expr],
) -> None:
    bar = bars.get(statement.name, sp.S.Zero)
    if isinstance(statement.value, Reduction):
        known = {statement.value: statement.name}
        bar = _in_full(bar, statement, costates)
        pairs = zip(statement.value.args, pulled_back(statement.value, bar), strict=True)
        for name, pulled in pairs:
            bars[name] = bars.get(name, sp.S.Zero) + tidy(pulled.xreplace(known))
        return
    for name in statement.value.free_symbols:
        bars[name] = bars.get(name, sp.S.Zero) + bar * partial(statement.value, name)


def _in_full(bar: sp.Expr, statement: Assign, costates: set[sp.Symbol]) -> sp.Expr:
    """Return the cotangent of a matrix in its shape: a sum over all features has none.

    A cotangent is linear in costates, so that one of them stands in each term.
    """

    def has_shape(expression: sp.Expr) -> bool:
        if isinstance(expression, Reduction) and not isinstance(expression, MAPS):
            return False
        return expression in costates or any(map(has_shape, expression.args))

    if not isinstance(statement.value, MAPS) or bar == 0 or has_shape(bar):
        return bar
    return bar * ones(statement.name)


def _accumulate_call(
    program: Program, call: FieldCall, bars: dict[sp.Symbol, sp.Expr]
) -> list[Statement]:
    bar = present(bars.get(call.name, sp.S.Zero))
    if bar == 0:
        return []
    cotangent = symbol(f"{call.name}_bar")
    stems = [str(a) for a in call.arguments] + [f"u{i}" for i, _ in enumerate(call.directions)]
    parts = [[] if len(stems) == 1 else [stem] for stem in stems]
    only = sum(isinstance(s, FieldCall) for s in program.statements) == 1
    names = tuple(
        symbol("_".join(["JT", *part, *([] if only else [str(cotangent)])])) for part in parts
    )
    for argument, name in zip(call.inputs, names, strict=True):
        bars[argument] = bars.get(argument, sp.S.Zero) + name
    return [Assign(cotangent, bar), FieldPullback(names, call, cotangent)]


def _needed(
    program: Program, backward: list[Statement], bars: Mapping[sp.Symbol, sp.Expr]
) -> list[Statement]:
    """Return the statements of the primal whose results the reverse pass reads."""
    live = set().union(
        *(uses(s) for s in backward), *(bars[i].free_symbols for i in program.inputs if i in bars)
    )
    kept: list[Statement] = []
    for statement in reversed(program.statements):
        if live & set(defines(statement)):
            kept.append(statement)
            live |= uses(statement)
    return kept[::-1]
