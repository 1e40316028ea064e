"""Fast states: slaved to the slow ones on a manifold, order by order in Delta.

A fast state w forgets its past within a number of steps that is small beside 1/Delta and then
follows ``w = h0(z) + Delta h1(z) + ...`` of the slow states z. Invariance, ``h(z+) = w+``, gives h0
from the balance of its own terms and, where it forgets at a fixed rate, h1 from ``A h1 = Dh0[F1] -
a1`` with A the linear part of its increment (Cattaneo and Shigida 2025, arXiv:2502.02132, to first
order). What the slow states gain while the fast ones settle shifts their initial value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial as partial_of

import sympy as sp
from sympy.utilities.iterables import strongly_connected_components

from optode.calculus.tangent import Rates, derivative_along, substituted
from optode.language.derivative import partial
from optode.language.functions import bends
from optode.language.presentation import collected
from optode.limit.increments import Increments
from optode.limit.settling import beyond_slopes, settled
from optode.limit.turning import NotContracting, first_beside, refuse_jumps, turning


@dataclass(frozen=True, slots=True)
class SlowManifold:
    """The fast states w as functions of the slow ones in leading order.

    ``linear`` is the leading linear part A of the fast increments on the manifold, None where they
    have no slopes there; ``is_affine`` whether they are linear in the fast states everywhere.
    """

    fast: tuple[sp.Symbol, ...]
    leading: tuple[sp.Expr, ...]
    linear: sp.Matrix | None
    is_affine: bool = True

    @property
    def graph(self) -> dict[sp.Symbol, sp.Expr]:
        """Each fast state as a function of the slow ones."""
        return dict(zip(self.fast, self.leading, strict=True))


def slow_manifold(increments: Increments) -> SlowManifold:
    """Solve for the leading manifold of the fast states.

    States are solved for one after the other, each after those that its balance reads; those that
    read each other together. Raises NotContracting where a fast state does not forget its past, or
    is not determined.
    """
    fast = increments.fast
    balance = dict(zip(fast, increments.coefficients(fast), strict=True))
    reads = [(w, u) for w in fast for u in fast if u != w and balance[w].has(u)]
    graph: dict[sp.Symbol, sp.Expr] = {}
    for component in strongly_connected_components((list(fast), reads)):
        together = [w for w in fast if w in component]
        for w in together:
            refuse_jumps(w, balance[w], graph, increments.states)
        equations = {w: substituted(balance[w], graph, increments.states) for w in together}
        bounds = {
            w: bound.each(partial_of(substituted, values=graph, vectors=increments.states))
            for w, bound in increments.bounds.items()
            if w in equations
        }
        for w, value in settled(equations, bounds, increments).items():
            graph[w] = collected(value, increments.states)
    leading = tuple(graph[w] for w in fast)
    if beyond_slopes(balance.values(), balance):
        return SlowManifold(fast, leading, None, is_affine=False)
    linear = sp.Matrix([[partial(balance[w], u) for u in fast] for w in fast])
    is_affine = not linear.has(*fast) and not any(bends(b, *fast) for b in balance.values())
    return SlowManifold(fast, leading, linear.xreplace(graph), is_affine)


def next_on_manifold(
    increments: Increments, manifold: SlowManifold, rates: Rates
) -> tuple[sp.Expr, ...]:
    """Return h1, the first correction of the manifold, for states that forget at a fixed rate.

    ``rates`` are the slow fields F1 on the leading manifold, and 1 for time. Raises NotContracting
    where the fast increments have no slopes there.
    """
    if manifold.linear is None:
        raise NotContracting(
            "fast states are inside of a gradient, a Jacobian or a sum over features"
        )
    graph = manifold.graph
    leading, later = (increments.coefficients(manifold.fast, n) for n in (0, 1))
    for w, a, b in zip(manifold.fast, leading, later, strict=True):
        refuse_jumps(w, b, graph, increments.slow)
        if any(turning(a, graph, increments.slow, "kink")):
            raise NotContracting(f"what drives {w} has a kink exactly where the fast states settle")
    drift = [derivative_along(h0, rates) for h0 in manifold.leading]
    slow = increments.slow
    direct = [substituted(c, graph, slow) for c in later]
    wanted = sp.Matrix([d - a for d, a in zip(drift, direct, strict=True)])
    return tuple(manifold.linear.LUsolve(wanted))


def reduced_increments(
    increments: Increments, manifold: SlowManifold, correction: Mapping[sp.Symbol, sp.Expr] | None
) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """Return F1 and F2 of the slow states on the manifold; F2 is empty without a correction.

    Raises NotContracting where a jump is exactly on the manifold, and NoExpansion where what is
    left of next order has no series.
    """
    slow, graph = increments.slow, manifold.graph
    first = increments.coefficients(slow)
    for z, coefficient in zip(slow, first, strict=True):
        refuse_jumps(z, coefficient, graph, slow)
    fields = [substituted(coefficient, graph, slow) for coefficient in first]
    if correction is None:
        return fields, []
    second = increments.coefficients(slow, 1)
    for z, coefficient in zip(slow, second, strict=True):
        refuse_jumps(z, coefficient, graph, slow)
    direct = [substituted(b, graph, slow) for b in second]
    through = [first_beside(a, graph, correction, slow) for a in first]
    return fields, [a + b for a, b in zip(direct, through, strict=True)]
