"""The calculus of oracles: derivatives along a direction, where an oracle's is a Jacobian product.

Elementwise products do not commute with a Jacobian: ``J(m*u)`` is not ``m*J(u)`` for a state m.
Only scalars come out of a direction: what holds no state and no call, or only within what is one
number for each sample, as a norm or the loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

import sympy as sp

from optode.language.derivative import chained
from optode.language.presentation import distributed
from optode.language.reductions import along
from optode.language.symbols import (
    TIME,
    Call,
    Loss,
    Opaque,
    Reduction,
    Tangent,
    dot,
    highest,
    lowest,
    mean,
    total,
)

Rates: TypeAlias = Mapping[sp.Symbol, sp.Expr]


@lru_cache(maxsize=4096)
def tangent(
    call: sp.Expr, directions: tuple[sp.Expr, ...], vectors: frozenset[sp.Symbol]
) -> sp.Expr:
    """Return ``Tangent(call, *directions)``, sums and scalars taken out of each direction."""
    for index, direction in enumerate(directions):
        parts = _parts(direction, vectors)
        if [c for c, _ in parts] == [1]:
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


def _parts(direction: sp.Expr, vectors: frozenset[sp.Symbol]) -> list[tuple[sp.Expr, sp.Expr]]:
    """Split a direction into pairs (scalar, vector), each vector once."""
    if isinstance(direction, sp.Tuple):
        return [(sp.S.Zero if all(u == 0 for u in direction) else sp.S.One, direction)]
    found: dict[sp.Expr, sp.Expr] = {}
    for term in distributed(direction):
        scalar, vector = _split(term, vectors)
        found[vector] = found.get(vector, sp.S.Zero) + scalar
    return [(scalar, vector) for vector, scalar in found.items()]


def _split(term: sp.Expr, vectors: frozenset[sp.Symbol]) -> tuple[sp.Expr, sp.Expr]:
    """Split a term into (scalar, vector)."""
    if term == 0:
        return sp.S.Zero, term
    factors = sp.Mul.make_args(term)
    scalars = [factor for factor in factors if _is_scalar(factor, vectors)]
    others = (factor for factor in factors if factor not in scalars)
    return sp.Mul(*scalars), sp.Mul(*others)


def _is_scalar(factor: sp.Expr, vectors: frozenset[sp.Symbol]) -> bool:
    """Return whether a factor is the same for all features of a sample."""
    if type(factor) in _ONE_NUMBER:
        return True
    if factor in vectors or isinstance(factor, Opaque):
        return False
    return all(_is_scalar(argument, vectors) for argument in factor.args)


_ONE_NUMBER = (dot, total, mean, highest, lowest, Loss)
"""What is one number for each sample."""


def _drawn_out(product: sp.Expr, vectors: frozenset[sp.Symbol]) -> sp.Expr:
    """Return an inner product with scalars before it, where each side has one vector."""
    sides = [_parts(u, vectors) for u in product.args]
    if any(len(parts) != 1 for parts in sides):
        return product
    ((a, u),), ((b, w),) = sides
    return a * b * dot(u, w)


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
            moved = along(expression, inner)
            return moved.replace(dot, lambda *sides: _drawn_out(dot(*sides), self.vectors))
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
