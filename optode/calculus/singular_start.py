"""Singular starts: the regular branch of a vector field that has a pole, or a root, at t = 0.

Near t = 0 the states are ``z = z0 + z1 t^p``; the leading power of the vector field along this
ansatz gives p and z1, and a pole that would remain gives z0. Nesterov's ODE starts with m = t f/4
(Su, Boyd, Candes 2014), bias-corrected averages start at what they average, AdaGrad from v = 0 with
x = x0 - 2 sign(g) sqrt(t).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from optode.calculus.expansion import expand_at
from optode.calculus.series import NoExpansion, Series
from optode.language.effort import solutions
from optode.language.presentation import present
from optode.language.symbols import TIME, Field

_MAX_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Branch:
    """``value + slope * t^power`` of one state, in the position's start and f(0, .)."""

    value: sp.Expr
    slope: sp.Expr
    power: Fraction

    @property
    def expression(self) -> sp.Expr:
        """The state shortly after the start, as a function of t."""
        return present(self.value + self.slope * TIME ** sp.Rational(self.power))


def regular_branch(
    states: Sequence[sp.Symbol],
    equations: Sequence[sp.Expr],
    others: Sequence[sp.Expr] | None = None,
) -> tuple[Branch, ...] | None:
    """Find the leading terms of the solution that starts from the position alone at t = 0.

    The position's own symbol stands for its start; the other states start where ``others`` says,
    by default at 0, unless that is 0 and a pole says otherwise. None where there is no such branch
    in powers of t.
    """
    return _search(states, equations, others)[0]


def along(expression: sp.Expr, states: Sequence[sp.Symbol], branch: Sequence[Branch]) -> sp.Expr:
    """Return what an expression tends to at t = 0 along a branch, in the position's start.

    Raises NoExpansion where it has no limit there.
    """
    leaves = {TIME: Series.monomial(sp.S.One, Fraction(1))}
    for z, part in zip(states, branch, strict=True):
        leaves[z] = Series.of({Fraction(0): part.value, part.power: part.slope})
    series = expand_at(expression, leaves, Fraction(1, 2))
    if series.terms and series.terms[0][0] < 0:
        raise NoExpansion(f"{expression} grows without bound at t = 0")
    value = series.coefficient(Fraction(0))
    if value.has(sp.nan, sp.zoo, sp.oo):
        raise NoExpansion(f"{expression} has no value at t = 0")
    return value


def runs_away(
    states: Sequence[sp.Symbol], equations: Sequence[sp.Expr], others: Sequence[sp.Expr]
) -> bool:
    """Return whether the position's rate begins like c/t, or larger, however the others begin.

    Then no solution starts at t = 0. False where what it begins like is not found.
    """
    branch, rates = _search(states, equations, others)
    if branch is not None or not rates or not rates[0].terms:
        return False
    exponent, coefficient = rates[0].terms[0]
    return exponent <= -1 and not coefficient.has(sp.Dummy)


def _search(
    states: Sequence[sp.Symbol],
    equations: Sequence[sp.Expr],
    others: Sequence[sp.Expr] | None,
) -> tuple[tuple[Branch, ...] | None, list[Series]]:
    """Return the branch, None where there is none, and the rates along what was last tried."""
    others = others or (sp.S.Zero,) * (len(states) - 1)
    starts: dict[sp.Symbol, sp.Expr] = dict(zip(states, (states[0], *others), strict=True))
    slopes = {state: sp.Dummy(f"{state}1", real=True) for state in states}
    powers = dict.fromkeys(states, Fraction(1))
    known: dict[sp.Symbol, sp.Expr] = {}
    rates: list[Series] = []
    for _ in range(_MAX_ROUNDS):
        ansatz = _ansatz(states, starts, slopes, powers, known)
        try:
            rates = [expand_at(e, ansatz, Fraction(1, 2)) for e in equations]
        except (NoExpansion, ZeroDivisionError):
            return None, []
        if _settle_poles(states, rates, starts):
            continue
        changed = _solve(states, rates, slopes, powers, known)
        if all(state in known for state in states) and not changed:
            return tuple(Branch(starts[z], known[z], powers[z]) for z in states), rates
    return None, rates


def _ansatz(
    states: Sequence[sp.Symbol],
    starts: Mapping[sp.Symbol, sp.Expr],
    slopes: Mapping[sp.Symbol, sp.Symbol],
    powers: Mapping[sp.Symbol, Fraction],
    known: Mapping[sp.Symbol, sp.Expr],
) -> dict[sp.Symbol, Series]:
    ansatz = {TIME: Series.monomial(sp.S.One, Fraction(1))}
    for state in states:
        slope = known.get(state, slopes[state])
        ansatz[state] = Series.of({Fraction(0): starts[state], powers[state]: slope})
    return ansatz


def _settle_poles(
    states: Sequence[sp.Symbol], rates: Sequence[Series], starts: dict[sp.Symbol, sp.Expr]
) -> bool:
    """Choose the start of a state such that its own pole of order 1 vanishes."""
    for state, rate in zip(states[1:], rates[1:], strict=True):
        if rate.terms and rate.terms[0][0] == -1 and starts[state] == 0:
            residue = rate.terms[0][1]
            if not residue.has(sp.Dummy):
                starts[state] = residue
                return True
    return False


def _solve(
    states: Sequence[sp.Symbol],
    rates: Sequence[Series],
    slopes: Mapping[sp.Symbol, sp.Symbol],
    powers: dict[sp.Symbol, Fraction],
    known: dict[sp.Symbol, sp.Expr],
) -> bool:
    """Match ``p z1 t^(p-1)`` with the leading term of each rate; True if anything changed."""
    changed = False
    for state, rate in zip(states, rates, strict=True):
        exponent, coefficient = rate.terms[0] if rate.terms else (Fraction(0), sp.S.Zero)
        if exponent <= -1:
            continue
        power = exponent + 1 if coefficient != 0 else Fraction(1)
        unknown = slopes[state]
        equation = coefficient / sp.Rational(power) - unknown
        others = equation.free_symbols & (set(slopes.values()) - {unknown})
        if others:
            continue
        solution = solutions(equation, unknown)
        if len(solution) == 1 and (known.get(state) != solution[0] or powers[state] != power):
            known[state], powers[state] = solution[0], power
            changed = True
    return changed


def at_start(expression: sp.Expr) -> sp.Expr:
    """Replace calls of the field at time 0 by calls at the start of the span."""
    return expression.replace(Field, lambda _, *points: Field(TIME, *points))
