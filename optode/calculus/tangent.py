"""The calculus of oracles: derivatives along a direction, where an oracle's is a Jacobian product.

Elementwise products do not commute with a Jacobian: ``J(m*u)`` is not ``m*J(u)`` for a state m.
Only what holds no state and no call, a scalar, comes out of a direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

import sympy as sp

from optode.language.derivative import chained
from optode.language.presentation import distributed
from optode.language.reductions import along
from optode.language.symbols import TIME, Call, Opaque, Reduction, Tangent

Rates: TypeAlias = Mapping[sp.Symbol, sp.Expr]


@lru_cache(maxsize=4096)
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
    return Flow(rates).derivative(expression)


class Flow:
    """Differentiates along one flow, each part of an expression once."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.vectors = frozenset(rates) - {TIME}
        self.known: dict[sp.Expr, sp.Expr] = {}

    def derivative(self, expression: sp.Expr) -> sp.Expr:
        """Return the rate at which an expression changes."""
        if isinstance(expression, sp.Symbol):
            return self.rates.get(expression, sp.S.Zero)
        if not expression.args:
            return sp.S.Zero
        if expression not in self.known:
            self.known[expression] = self._of_compound(expression)
        return self.known[expression]

    def _of_compound(self, expression: sp.Expr) -> sp.Expr:
        if isinstance(expression, Tangent):
            return self._of_tangent(expression)
        moving = expression.points if isinstance(expression, Call) else expression.args
        inner = [self.derivative(argument) for argument in moving]
        if all(rate == 0 for rate in inner):
            return sp.S.Zero
        if isinstance(expression, Call):
            return tangent(expression, (_direction(inner),), self.vectors)
        if isinstance(expression, Reduction):
            return along(expression, inner)
        return chained(expression, inner)

    def _of_tangent(self, expression: Tangent) -> sp.Expr:
        call, *directions = expression.args
        step = _direction([self.derivative(argument) for argument in call.points])
        total = tangent(call, (*directions, step), self.vectors)
        for index, direction in enumerate(directions):
            if isinstance(direction, sp.Tuple):
                rate = sp.Tuple(*map(self.derivative, direction))
            else:
                rate = self.derivative(direction)
            moved = (*directions[:index], rate, *directions[index + 1 :])
            total += tangent(call, moved, self.vectors)
        return total


def _direction(components: list[sp.Expr]) -> sp.Expr:
    return components[0] if len(components) == 1 else sp.Tuple(*components)
