"""Fast states: slaved to the slow ones on a manifold, order by order in Delta.

A fast state w forgets its past within a number of steps that is small beside 1/Delta and then
follows ``w = h0(z) + Delta h1(z) + ...`` of the slow states z. Invariance, ``h(z+) = w+``, gives h0
from the balance of its own terms and, where it forgets at a fixed rate, h1 from ``A h1 = Dh0[F1] -
a1`` with A the linear part of its increment (Cattaneo and Shigida 2025, arXiv:2502.02132, to first
order). What the slow states gain while the fast ones settle shifts their initial value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import sympy as sp
from sympy.utilities.iterables import strongly_connected_components

from optode.calculus.series import Series
from optode.calculus.tangent import Rates, derivative_along, substituted
from optode.language.conditions import conditions_of
from optode.language.derivative import partial
from optode.language.effort import (
    cancelled,
    common_solutions,
    factored,
    operations,
    solutions,
)
from optode.language.functions import bends
from optode.language.presentation import collected
from optode.language.symbols import Opaque, Reduction
from optode.limit.turning import NotContracting, first_beside, refuse_jumps, turning
from optode.rule.rule import Bound


@dataclass(frozen=True, slots=True)
class Increments:
    """The scaled increments of all states as series in Delta, and the rate of each state.

    ``bounds`` are those of states that are kept within one, at their own scale.
    """

    states: tuple[sp.Symbol, ...]
    series: tuple[Series, ...]
    rates: tuple[Fraction, ...]
    bounds: Mapping[sp.Symbol, Bound]

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
        for w, value in _settled(equations, increments).items():
            bound = increments.bounds.get(w)
            if bound is not None:
                value = bound.at(substituted(bound.level, graph, increments.states)).clip(value)
            graph[w] = collected(value, increments.states)
    leading = tuple(graph[w] for w in fast)
    if _beyond_slopes(balance.values(), balance):
        return SlowManifold(fast, leading, None, is_affine=False)
    linear = sp.Matrix([[partial(balance[w], u) for u in fast] for w in fast])
    is_affine = not linear.has(*fast) and not any(bends(b, *fast) for b in balance.values())
    return SlowManifold(fast, leading, linear.xreplace(graph), is_affine)


def _settled(
    equations: Mapping[sp.Symbol, sp.Expr], increments: Increments
) -> Mapping[sp.Symbol, sp.Expr]:
    """Solve the balance of fast states that read each other for where they settle.

    Linear equations are solved together; of others, one that tells its own state whatever the rest
    is, and so on.
    """
    left, found = dict(equations), dict[sp.Symbol, sp.Expr]()
    names = ", ".join(map(str, equations))
    if any(bends(equation, *left) for equation in left.values()):
        raise NotContracting(f"{names} relaxes to no unique value")
    if _beyond_slopes(equations.values(), equations):
        message = (
            f"where {names} settles is inside of a gradient, a Jacobian or a sum over features"
        )
        raise NotContracting(message)
    slopes = sp.Matrix([[partial(equation, w) for w in left] for equation in left.values()])
    while left:
        linear = sp.Matrix([[partial(equation, w) for w in left] for equation in left.values()])
        if not linear.has(*left):
            rest = [e.xreplace(dict.fromkeys(left, sp.S.Zero)) for e in left.values()]
            try:
                found |= zip(left, linear.LUsolve(-sp.Matrix(rest)), strict=True)
            except ValueError as error:  # a singular matrix
                raise NotContracting(f"{names} relaxes to no unique value") from error
            break
        told = _told(left, increments)
        found |= told
        left = {
            z: substituted(e, told, increments.states) for z, e in left.items() if z not in told
        }
    _check_contraction(list(equations), slopes.xreplace(found), increments)
    return {w: _shorter(value) for w, value in found.items()}


def _told(
    equations: Mapping[sp.Symbol, sp.Expr], increments: Increments
) -> Mapping[sp.Symbol, sp.Expr]:
    """Return where a state settles whatever the others are, else where all of them do together."""
    for w, equation in equations.items():
        others = [z for z in equations if z != w]
        roots = [{w: cancelled(root)} for root in solutions(equation, w)]
        stable = _stable({w: equation}, roots, increments)
        if len(stable) == 1 and not stable[0][w].has(*others):
            return stable[0]
    stable = _stable(equations, common_solutions(equations), increments)
    if len(stable) == 1:
        return stable[0]
    names = ", ".join(map(str, equations))
    raise NotContracting(f"no unique values are found that {names} settle at")


def _stable(
    equations: Mapping[sp.Symbol, sp.Expr],
    roots: Iterable[Mapping[sp.Symbol, sp.Expr]],
    increments: Increments,
) -> list[Mapping[sp.Symbol, sp.Expr]]:
    """Return the roots near which deviations die out."""
    slopes = sp.Matrix([[partial(e, w) for w in equations] for e in equations.values()])
    found = []
    for root in roots:
        try:
            _check_contraction(list(equations), slopes.xreplace(dict(root)), increments)
        except NotContracting:
            continue
        found.append(root)
    return found


def _shorter(value: sp.Expr) -> sp.Expr:
    """Return a value as one fraction in lowest terms where that is shorter."""
    fraction = factored(cancelled(value))
    return fraction if operations(fraction) < operations(value) else value


def _beyond_slopes(equations: Iterable[sp.Expr], unknowns: Iterable[sp.Symbol]) -> bool:
    """Return whether an unknown stands where no slope tells how it acts.

    That is in a sum over the features, or in what a gradient or a Jacobian is applied to.
    """
    calls = set().union(*(e.atoms(Opaque, Reduction) for e in equations))
    return any(call.has(*unknowns) for call in calls)


def _check_contraction(fast: list[sp.Symbol], slopes: sp.Matrix, increments: Increments) -> None:
    """Raise NotContracting unless small deviations of the states die out, whatever is chosen."""
    if conditions := set().union(*map(conditions_of, slopes)):
        condition = min(conditions, key=sp.default_sort_key)
        for held in (sp.S.Zero, sp.S.One):
            _check_contraction(fast, slopes.xreplace({condition: held}), increments)
        return
    atoms = slopes.free_symbols | slopes.atoms(Opaque, Reduction)
    point = dict.fromkeys(atoms, sp.Rational(1, 2))
    numbers = np.array(slopes.xreplace(point).evalf(15).tolist(), dtype=complex)
    rates = dict(zip(increments.states, increments.rates, strict=True))
    at_once = all(rates[w] == 0 for w in fast)
    for value in np.linalg.eigvals(numbers):
        if not (abs(1 + value) < 1 if at_once else value.real < 0):
            raise NotContracting(
                f"{', '.join(map(str, fast))} moves faster than the position and does not settle"
            )


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


def initial_shift(
    increments: Increments, manifold: SlowManifold, start: Mapping[sp.Symbol, sp.Expr]
) -> tuple[sp.Expr, ...] | None:
    """Return what each slow state gains, per Delta, while the fast ones settle.

    It is ``(dF1/dw) (-A)^{-1} (w0 - h0)`` for fast states that start at w0.

    None where the increments are not affine in the fast states: then the sum over the layer has no
    closed form.
    """
    first = increments.coefficients(increments.slow)
    if manifold.linear is None or not manifold.is_affine or _beyond_slopes(first, manifold.fast):
        return None
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
