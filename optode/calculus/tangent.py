"""The calculus of oracles: derivatives along a direction, where an oracle's is a Jacobian product.

Elementwise products do not commute with a Jacobian: ``J(m*u)`` is not ``m*J(u)`` for a state m.
Only what holds no state and no call, a scalar, comes out of a direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import sympy as sp

from optode.language.derivative import partial
from optode.language.presentation import distributed
from optode.language.symbols import TIME, Call, Opaque, Tangent, dot

Rates: TypeAlias = Mapping[sp.Symbol, sp.Expr]


def tangent(
    call: sp.Expr, directions: tuple[sp.Expr, ...], vectors: frozenset[sp.Symbol]
) -> sp.Expr:
    """Return ``Tangent(call, *directions)``, sums and scalars taken out of each direction."""
    for index, direction in enumerate(directions):
        parts = [_split(term, vectors) for term in _linear_terms(direction)]
        if len(parts) == 1 and parts[0][0] == 1:
            continue
        rest = (directions[:index], directions[index + 1 :])
        return sp.Add(
            *(c * tangent(call, (*rest[0], u, *rest[1]), vectors) for c, u in parts if c != 0)
        )
    return Tangent(call, *sorted(directions, key=sp.default_sort_key))


def substituted(expression: sp.Expr, values: Rates, vectors: Iterable[sp.Symbol]) -> sp.Expr:
    """Put values in for symbols, and take sums and scalars out of Jacobian products again."""
    states = frozenset(vectors)
    return expression.xreplace(dict(values)).replace(
        Tangent, lambda call, *directions: tangent(call, directions, states)
    )


def _linear_terms(direction: sp.Expr) -> tuple[sp.Expr, ...]:
    if isinstance(direction, sp.Tuple):
        return (direction,)
    return tuple(distributed(direction))


def _split(term: sp.Expr, vectors: frozenset[sp.Symbol]) -> tuple[sp.Expr, sp.Expr]:
    """Split a term into (scalar, vector)."""
    if isinstance(term, sp.Tuple):
        return (sp.S.Zero if all(u == 0 for u in term) else sp.S.One), term
    if term == 0:
        return sp.S.Zero, term
    return term.as_independent(*vectors, Opaque, as_Add=False)


def derivative_along(expression: sp.Expr, rates: Rates) -> sp.Expr:
    """Differentiate an expression whose symbols move at the given rates.

    Exact for elementwise expressions in states, scalars, calls of an oracle and their tangents.
    """
    vectors = frozenset(rates) - {TIME}
    if isinstance(expression, sp.Symbol):
        return rates.get(expression, sp.S.Zero)
    if not expression.args or not expression.has(*rates):
        return sp.S.Zero
    inner = [derivative_along(argument, rates) for argument in expression.args]
    if isinstance(expression, Call):
        direction = inner[0] if len(inner) == 1 else sp.Tuple(*inner)
        return tangent(expression, (direction,), vectors)
    if isinstance(expression, Tangent):
        return _tangent_along(expression, rates)
    if isinstance(expression, dot):
        (u, w), (du, dw) = expression.args, inner
        return dot(u, dw) + dot(du, w)
    if isinstance(expression, sp.Add):
        return sp.Add(*inner)
    return sp.Add(*(_partial(expression, i) * rate for i, rate in enumerate(inner) if rate != 0))


def _partial(expression: sp.Expr, index: int) -> sp.Expr:
    """Differentiate an elementwise function in one of its arguments."""
    slots = [sp.Dummy(real=True) for _ in expression.args]
    slope = partial(expression.func(*slots), slots[index])
    return slope.xreplace(dict(zip(slots, expression.args, strict=True)))


def _tangent_along(expression: Tangent, rates: Rates) -> sp.Expr:
    call, *directions = expression.args
    vectors = frozenset(rates) - {TIME}
    moved = [derivative_along(argument, rates) for argument in call.args]
    step = moved[0] if len(moved) == 1 else sp.Tuple(*moved)
    total = tangent(call, (*directions, step), vectors)
    for index, direction in enumerate(directions):
        if isinstance(direction, sp.Tuple):
            rate = sp.Tuple(*(derivative_along(u, rates) for u in direction))
        else:
            rate = derivative_along(direction, rates)
        total += tangent(call, (*directions[:index], rate, *directions[index + 1 :]), vectors)
    return total
