"""Differentiate elementwise expressions of real quantities.

SymPy differentiates in the complex plane: of the size of an expression whose sign it does not know,
it returns real and imaginary parts and arc tangents, and of its sign no derivative at all. Here every
function has the derivative of real calculus, almost everywhere: kinks and jumps count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sympy as sp
from sympy.core.function import ArgumentIndexError

from optode.language.conditions import where

_SLOPES: Mapping[type[sp.Function], Callable[[sp.Expr], sp.Expr]] = {
    sp.Abs: sp.sign,
    sp.sign: lambda _: sp.S.Zero,
}
"""The derivatives that a SymPy class does not have itself (``fdiff``)."""


def partial(expression: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    """Differentiate an elementwise expression almost everywhere.

    A call of an oracle, or an inner product, has a formal derivative (``Derivative``).
    """
    if expression == variable:
        return sp.S.One
    if variable not in expression.free_symbols:
        return sp.S.Zero
    return chained(expression, [partial(argument, variable) for argument in expression.args])


def chained(expression: sp.Expr, inner: Sequence[sp.Expr]) -> sp.Expr:
    """Return the derivative of an expression, given those of its arguments: the chain rule."""
    if isinstance(expression, sp.Add):
        return sp.Add(*inner)
    if isinstance(expression, sp.Mul):
        return _of_product(expression.args, inner)
    if isinstance(expression, sp.Pow):
        return _of_power(expression, *inner)
    if isinstance(expression, where):
        return expression.along(*inner[1:])
    return sp.Add(*(_slope(expression, i) * d for i, d in enumerate(inner) if d != 0))


def _of_product(factors: tuple[sp.Expr, ...], inner: Sequence[sp.Expr]) -> sp.Expr:
    terms = (
        sp.Mul(*factors[:i], derivative, *factors[i + 1 :])
        for i, derivative in enumerate(inner)
        if derivative != 0
    )
    return sp.Add(*terms)


def _of_power(power: sp.Pow, of_base: sp.Expr, of_exponent: sp.Expr) -> sp.Expr:
    base, exponent = power.args
    grown = of_exponent * sp.log(base) if of_exponent != 0 else sp.S.Zero
    return power * (grown + of_base * exponent / base)


def _slope(call: sp.Expr, index: int) -> sp.Expr:
    """Return the derivative of a function in one of its arguments."""
    own = _SLOPES.get(type(call))
    if own is not None:
        return own(*call.args)
    try:
        return call.fdiff(index + 1)
    except ArgumentIndexError:
        return sp.Function.fdiff(call, index + 1)
