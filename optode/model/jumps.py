"""Find what jumps in the equations of a model, and put something smooth in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy as sp

from optode.language.conditions import where
from optode.language.functions import kinds
from optode.language.symbols import symbol
from optode.language.text import to_text

SMOOTHED = symbol("x")
"""In what is smooth in the place of a sign, the argument."""


def jumps(expressions: Iterable[sp.Expr]) -> list[sp.Expr]:
    """Return the calls of functions that jump, whose derivative is zero: of sign, and of step."""
    found = {call for e in expressions for call in e.atoms(*kinds("jump"))}
    return sorted(found, key=sp.default_sort_key)


def smoothed(expression: sp.Expr, smooth: sp.Expr | None) -> sp.Expr:
    """Put a smooth function, an expression in x, in the place of sign(x), and of the steps of it.

    A choice by a condition becomes the mean of its branches that the smooth condition weighs.
    """
    if smooth is None or not expression.has(*kinds("jump")):
        return expression
    inner = [smoothed(argument, smooth) for argument in expression.args]
    if isinstance(expression, where):
        weight, if_true, if_false = inner
        return weight * if_true + (1 - weight) * if_false
    if not isinstance(expression, kinds("jump")):
        return expression.func(*inner)
    value = smooth.xreplace({SMOOTHED: inner[0]})
    return value if isinstance(expression, sp.sign) else (1 + value) / 2


def on_jumps(equations: Iterable[sp.Expr]) -> Iterator[str]:
    """Say that no gradient passes through what jumps."""
    calls = " and ".join(
        to_text(call if isinstance(call, sp.sign) else where(call, 1, 0))
        for call in jumps(equations)
    )
    if calls:
        yield (
            f"the derivative of {calls} is zero, and no gradient passes through it; for one, write "
            "`smooth: tanh(x/0.01)` under `model:`"
        )
