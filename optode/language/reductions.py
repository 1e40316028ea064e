"""Differentiate reductions over the features, and products of matrices, forwards and backwards."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from optode.language.conditions import compared, holds
from optode.language.matrices import (
    column_highest,
    column_total,
    eye,
    matmul,
    ones,
    row_highest,
    row_total,
    trace,
    transposed,
)
from optode.language.symbols import Reduction, dot, highest, lowest, total


def summed_like(extreme: sp.Expr, value: sp.Expr) -> sp.Expr:
    """Return the sum of a value over what an extreme is taken over: all features, a row or a column."""
    over = {row_highest: row_total, column_highest: column_total}.get(type(extreme), total)
    return over(value)


def shares(extreme: sp.Expr) -> sp.Expr:
    """Return the derivative of a maximum or minimum by each feature's value: 1 at the extreme one.

    Features that are equally extreme share it equally, as in ``torch.amax``.
    """
    (u,) = extreme.args
    relation = ">=" if isinstance(extreme, highest) else "<="
    is_extreme = holds(compared(u, relation, extreme))
    return is_extreme / summed_like(extreme, is_extreme)


def along(call: sp.Expr, rates: Sequence[sp.Expr]) -> sp.Expr:
    """Return the derivative of a reduction along directions, one for each argument."""
    if isinstance(call, (dot, matmul)):
        (u, w), (du, dw) = call.args, rates
        return call.func(u, dw) + call.func(du, w)
    if isinstance(call, (eye, ones)):
        return sp.S.Zero
    (rate,) = rates
    if isinstance(call, (highest, lowest)):
        return summed_like(call, shares(call) * rate)
    return call.func(rate)


def pulled_back(call: sp.Expr, bar: sp.Expr) -> tuple[sp.Expr, ...]:
    """Return the cotangent of each argument of a reduction, given the cotangent of its value."""
    if isinstance(call, dot):
        u, w = call.args
        return total(bar) * w, total(bar) * u
    if isinstance(call, matmul):
        u, w = call.args
        return matmul(bar, transposed(w)), matmul(transposed(u), bar)
    if isinstance(call, (eye, ones)):
        return (sp.S.Zero,)
    if isinstance(call, trace):
        return (total(bar) * eye(call.args[0]),)
    if isinstance(call, (highest, lowest)):
        return (summed_like(call, bar) * shares(call),)
    return (call.func(bar),)


def is_linear(expression: sp.Expr) -> bool:
    """Return whether an expression is a reduction that is linear in its one argument."""
    others = (dot, highest, lowest, matmul, eye, ones)
    return isinstance(expression, Reduction) and not isinstance(expression, others)


def is_bilinear(expression: sp.Expr) -> bool:
    """Return whether an expression is a product that is linear in each of two arguments."""
    return isinstance(expression, (dot, matmul))
