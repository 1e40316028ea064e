"""Fast states: slaved to the slow ones on a manifold, order by order in Delta.

A fast state w forgets its past within a number of steps that is small beside 1/Delta and then
follows ``w = h0(z) + Delta h1(z) + ...`` of the slow states z. Invariance, ``h(z+) = w+``, gives h0
from the balance of its own terms and, where it forgets at a fixed rate, h1 from ``A h1 = Dh0[F1] -
a1`` with A the linear part of its increment (Cattaneo and Shigida 2025, arXiv:2502.02132, to first
order). What the slow states gain while the fast ones settle shifts their initial value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from optode.calculus.series import Series
from optode.calculus.tangent import Rates, derivative_along, substituted
from optode.language.derivative import partial
from optode.language.functions import bends
from optode.language.presentation import collected


@dataclass(frozen=True, slots=True)
class Increments:
    """The scaled increments of all states as series in Delta, and the rate of each state."""

    states: tuple[sp.Symbol, ...]
    series: tuple[Series, ...]
    rates: tuple[Fraction, ...]

    @property
    def slow(self) -> tuple[sp.Symbol, ...]:
        """The states that move at the rate of the position, or not at all."""
        return tuple(s for s, rate in zip(self.states, self.rates, strict=True) if rate >= 1)

    @property
    def fast(self) -> tuple[sp.Symbol, ...]:
        """The states that are slaved."""
        return tuple(s for s, rate in zip(self.states, self.rates, strict=True) if rate < 1)

    def coefficients(self, states: Sequence[sp.Symbol], extra: int = 0) -> list[sp.Expr]:
        """Return the leading coefficient of the given states' increments, or a later one."""
        rows = zip(self.states, self.series, self.rates, strict=True)
        return [s.coefficient(min(r, Fraction(1)) + extra) for z, s, r in rows if z in states]


@dataclass(frozen=True, slots=True)
class SlowManifold:
    """The fast states w as functions of the slow ones in leading order.

    ``linear`` is the leading linear part A of the fast increments.
    """

    fast: tuple[sp.Symbol, ...]
    leading: tuple[sp.Expr, ...]
    linear: sp.Matrix

    @property
    def graph(self) -> dict[sp.Symbol, sp.Expr]:
        """Each fast state as a function of the slow ones."""
        return dict(zip(self.fast, self.leading, strict=True))


class NotContracting(ValueError):
    """A fast state does not settle; the message names it."""


def slow_manifold(increments: Increments) -> SlowManifold:
    """Solve for the leading manifold of the fast states.

    Raises NotContracting where a fast state does not forget its past, or is not determined.
    """
    fast = increments.fast
    if not fast:
        return SlowManifold((), (), sp.zeros(0, 0))
    balance = increments.coefficients(fast)
    linear = sp.Matrix([[partial(equation, w) for w in fast] for equation in balance])
    if linear.has(*fast) or any(bends(equation, *fast) for equation in balance):
        raise NotContracting(f"{', '.join(map(str, fast))} relaxes to no unique value")
    for w, entry in zip(fast, linear.diagonal(), strict=True):
        point = {s: sp.Rational(1, 2) for s in entry.free_symbols}
        if not entry.xreplace(point).is_negative:
            raise NotContracting(f"{w} moves faster than the position and does not settle")
    rest = sp.Matrix([equation.xreplace(dict.fromkeys(fast, sp.S.Zero)) for equation in balance])
    leading = (collected(h0, increments.states) for h0 in linear.LUsolve(-rest))
    return SlowManifold(fast, tuple(leading), linear)


def next_on_manifold(
    increments: Increments, manifold: SlowManifold, rates: Rates
) -> tuple[sp.Expr, ...]:
    """Return h1, the first correction of the manifold, for states that forget at a fixed rate.

    ``rates`` are the slow fields F1 on the leading manifold, and 1 for time.
    """
    graph = manifold.graph
    drift = [derivative_along(h0, rates) for h0 in manifold.leading]
    slow = increments.slow
    direct = [substituted(c, graph, slow) for c in increments.coefficients(manifold.fast, 1)]
    wanted = sp.Matrix([d - a for d, a in zip(drift, direct, strict=True)])
    return tuple(manifold.linear.LUsolve(wanted))


def reduced_increments(
    increments: Increments, manifold: SlowManifold, correction: Mapping[sp.Symbol, sp.Expr] | None
) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """Return F1 and F2 of the slow states on the manifold; F2 is empty without a correction."""
    slow, graph = increments.slow, manifold.graph
    first = increments.coefficients(slow)
    fields = [substituted(coefficient, graph, slow) for coefficient in first]
    if correction is None:
        return fields, []
    second = increments.coefficients(slow, 1)
    moved = {**dict.fromkeys(slow, sp.S.Zero), **correction}
    direct = [substituted(b, graph, slow) for b in second]
    through = [substituted(derivative_along(a, moved), graph, slow) for a in first]
    return fields, [a + b for a, b in zip(direct, through, strict=True)]


def initial_shift(
    increments: Increments, manifold: SlowManifold, start: Mapping[sp.Symbol, sp.Expr]
) -> tuple[sp.Expr, ...] | None:
    """Return what each slow state gains, per Delta, while the fast ones settle.

    It is ``(dF1/dw) (-A)^{-1} (w0 - h0)`` for fast states that start at w0.

    None where the slow fields are not affine in the fast states: then the sum over the layer has no
    closed form.
    """
    first = increments.coefficients(increments.slow)
    slopes = [[partial(f, w) for w in manifold.fast] for f in first]
    if any(slope.has(*manifold.fast) for row in slopes for slope in row):
        return None
    offset = sp.Matrix(
        [start[w] - h0 for w, h0 in zip(manifold.fast, manifold.leading, strict=True)]
    )
    settled = (-manifold.linear).LUsolve(offset)
    return tuple(
        sp.Add(*(a * gain for a, gain in zip(row, settled, strict=True))) for row in slopes
    )
