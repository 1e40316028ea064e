"""A limit of two states as one equation of second order in the position."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from optode.calculus.tangent import derivative_along, substituted
from optode.language.derivative import partial
from optode.language.effort import expanded
from optode.language.presentation import present
from optode.language.symbols import TIME, velocity_symbol


def second_order_form(
    states: Sequence[sp.Symbol], fields: Sequence[Sequence[sp.Expr]]
) -> tuple[sp.Expr, ...] | None:
    """Eliminate the second state: return ``x''`` in x, x' and t, order by order in Delta.

    ``fields`` are f0 and, for the next order, f1 of the states (x, v). The velocity
    ``x' = c v + Delta P1(x, v, t)`` is solved for v to first order and differentiated. None where
    there are not two states, or x' is no multiple of v in leading order.
    """
    if len(states) != 2:
        return None
    x, v = states
    slope = partial(fields[0][0], v)
    if slope == 0 or slope.has(x, v, TIME) or expanded(fields[0][0] - slope * v) != 0:
        return None
    x_dot = velocity_symbol(x)
    flow = [dict(zip(states, field, strict=True)) for field in fields]
    leading = {**flow[0], TIME: sp.S.One}
    at_leading = {v: x_dot / slope}
    result = [derivative_along(fields[0][0], leading).xreplace(at_leading)]
    if len(fields) > 1:
        still = {x: sp.S.Zero, TIME: sp.S.Zero}
        correction = {**still, v: -fields[1][0].xreplace(at_leading) / slope}
        first = derivative_along(fields[0][0], {**flow[1], TIME: sp.S.Zero})
        first += derivative_along(fields[1][0], leading)
        shifted = derivative_along(derivative_along(fields[0][0], leading), correction)
        result.append(substituted(first + shifted, at_leading, (x, x_dot)))
    return tuple(present(expanded(acceleration)) for acceleration in result)
