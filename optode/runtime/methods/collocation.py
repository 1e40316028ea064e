"""Integrate a function of time from its values at nodes: Radau's collocation.

Radau's nodes on [0, 1] have the end among them, and their quadrature is exact for polynomials up to
degree 2q - 2. As a method for ordinary differential equations they are Radau IIA, which is L-stable
(Hairer and Wanner, Solving Ordinary Differential Equations II, IV.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

Row = tuple[float, ...]


@cache
def radau(count: int) -> Row:
    """Return the right Radau nodes on [0, 1]: the zeros of P_q - P_(q-1), shifted, with 1 last.

    Newton's iteration with the other zeros divided out, from equal angles.
    """
    found: list[float] = []
    for k in range(count):
        x = -math.cos(math.pi * (2 * k + 1) / (2 * count + 1)) if k < count - 1 else 1.0
        for _ in range(100):
            value, slope = _radau_polynomial(count, x)
            if x == 1.0 or value == 0:
                break
            step = value / (slope - value * sum(1 / (x - y) for y in found))
            x -= step
            if abs(step) < 1e-16:
                break
        found.append(x)
    return tuple((1 + x) / 2 for x in sorted(found))


def _radau_polynomial(count: int, x: float) -> tuple[float, float]:
    """Return P_q - P_(q-1) and its derivative, by Legendre's recurrence."""
    before, now, slope_before, slope = 1.0, x, 0.0, 1.0
    for n in range(1, count):
        after = ((2 * n + 1) * x * now - n * before) / (n + 1)
        slope_after = slope_before + (2 * n + 1) * now
        before, now, slope_before, slope = now, after, slope, slope_after
    return now - before, slope - slope_before


def lagrange(nodes: Sequence[float], x: float) -> Row:
    """Return the values at x of the polynomials that are 1 at one node and 0 at the others."""
    return tuple(
        math.prod((x - b) / (a - b) for j, b in enumerate(nodes) if j != i)
        for i, a in enumerate(nodes)
    )


@cache
def integrals(count: int, end: float) -> Row:
    """Return the integrals from 0 to an end of the Lagrange polynomials of Radau's nodes.

    Exact, since Radau's rule with as many nodes integrates polynomials of a higher degree.
    """
    nodes = radau(count)
    rows = [lagrange(nodes, end * x) for x in nodes]
    weights = quadrature(count)
    return tuple(end * sum(w * row[j] for w, row in zip(weights, rows)) for j in range(count))


@cache
def quadrature(count: int) -> Row:
    """Return the weights of Radau's rule (Abramowitz and Stegun, 25.4.31, mirrored).

    With x on [0, 1] they are ``x / (q P_(q-1)(1 - 2x))^2`` before the last, and 1/q^2 there.
    """
    found = []
    for x in radau(count):
        mirrored = 1 - 2 * x
        before, now = 0.0, 1.0
        for n in range(count - 1):
            before, now = now, ((2 * n + 1) * mirrored * now - n * before) / (n + 1)
        found.append(x / (count * now) ** 2)
    return tuple(found)


@cache
def collocation(count: int) -> tuple[Row, ...]:
    """Return the integrals from 0 to each node: the coefficients of Radau IIA."""
    return tuple(integrals(count, x) for x in radau(count))
