"""The modified equation: the ODE whose flow is the update rule itself, order by order in Delta.

With ``Phi(z, t; Delta) = z + Delta F1 + Delta^2 F2 + ...`` and a vector field ``f = f0 + Delta f1 +
...`` of flow ``z + Delta y1 + Delta^2 y2/2 + ...``, where y1 = f and y_{n+1} is the derivative of
y_n along f, matching powers gives f0 = F1, f1 = F2 - (d_t F1 + (D F1)[F1])/2, and so on (Hairer,
Lubich, Wanner, Geometric Numerical Integration, IX). The derivative of an oracle along a direction
u is a Jacobian-vector product, never its transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy as sp

from optode.calculus.series import Series
from optode.calculus.tangent import Flow
from optode.language.presentation import present
from optode.language.symbols import TIME


def modified_fields(
    increments: Sequence[Series],
    states: Sequence[sp.Symbol],
    order: int,
    vectors: Sequence[sp.Symbol] = (),
) -> list[tuple[sp.Expr, ...]]:
    """Return f0, ..., f_order of the vector field whose flow over Delta makes the increments.

    ``increments`` are the series of ``Phi - z`` for each state, known beyond Delta^(order + 1);
    ``vectors`` are constants that are no scalars.
    """
    fields: list[tuple[sp.Expr, ...]] = []
    flows: list[Flow] = []
    for n in range(order + 1):
        target = [series.coefficient(Fraction(n + 1)) for series in increments]
        lower = _flow_coefficient(fields, flows, states, n + 1)
        fields.append(tuple(present(a - b) for a, b in zip(target, lower, strict=True)))
        still = dict.fromkeys(vectors, sp.S.Zero)
        time = {TIME: sp.S.Zero if flows else sp.S.One}
        flows.append(Flow(still | dict(zip(states, fields[n], strict=True)) | time))
    return fields


def _flow_coefficient(
    fields: list[tuple[sp.Expr, ...]], flows: list[Flow], states: Sequence[sp.Symbol], power: int
) -> list[sp.Expr]:
    """Return the coefficient of Delta^power in the flow of the fields found so far."""
    total = [sp.S.Zero for _ in states]
    # derivatives[m] holds the coefficient of Delta^m of y_n, the n-th derivative along the flow
    derivatives = [list(field) for field in fields]
    for n in range(1, power + 1):
        if power - n < len(derivatives):
            part = derivatives[power - n]
            total = [a + b / sp.factorial(n) for a, b in zip(total, part, strict=True)]
        derivatives = _next_derivative(derivatives, flows, len(states), power)
    return total


def _next_derivative(
    current: list[list[sp.Expr]], flows: list[Flow], states: int, power: int
) -> list[list[sp.Expr]]:
    result = [[sp.S.Zero] * states for _ in range(power)]
    for m, expressions in enumerate(current):
        for n, flow in enumerate(flows):
            if m + n < power:
                for i, expression in enumerate(expressions):
                    result[m + n][i] += flow.derivative(expression)
    return result
