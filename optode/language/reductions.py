"""Differentiate reductions over the features, forwards and backwards."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from optode.language.conditions import compared, holds
from optode.language.symbols import Reduction, dot, highest, lowest, total


def shares(extreme: sp.Expr) -> sp.Expr:
    """Return the derivative of a maximum or minimum by each feature's value: 1 at the extreme one.

    Features that are equally extreme share it equally, as in ``torch.amax``.
    """
    (u,) = extreme.args
    relation = ">=" if isinstance(extreme, highest) else "<="
    is_extreme = holds(compared(u, relation, extreme))
    return is_extreme / total(is_extreme)


def along(call: sp.Expr, rates: Sequence[sp.Expr]) -> sp.Expr:
    """Return the derivative of a reduction along directions, one for each argument."""
    if isinstance(call, dot):
        (u, w), (du, dw) = call.args, rates
        return dot(u, dw) + dot(du, w)
    (rate,) = rates
    if isinstance(call, (highest, lowest)):
        return total(shares(call) * rate)
    return call.func(rate)


def pulled_back(call: sp.Expr, bar: sp.Expr) -> tuple[sp.Expr, ...]:
    """Return the cotangent of each argument of a reduction, given the cotangent of its value."""
    if isinstance(call, dot):
        u, w = call.args
        return total(bar) * w, total(bar) * u
    if isinstance(call, (highest, lowest)):
        return (total(bar) * shares(call),)
    return (call.func(bar),)


def is_sum(expression: sp.Expr) -> bool:
    """Return whether an expression is a reduction that is linear: a sum or a mean."""
    return isinstance(expression, Reduction) and not isinstance(expression, (dot, highest, lowest))
