"""A rule in one scaling: what its states gain in a step and where they start, as series."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial

import sympy as sp

from optode.calculus.expansion import Scale, expand
from optode.calculus.series import NoExpansion, Series
from optode.diagnostics import Diagnostic, SpecError
from optode.language.effort import is_zero
from optode.language.presentation import present
from optode.language.symbols import COUNTER, TIME, symbol
from optode.language.text import to_text
from optode.limit.deciding import PERIODIC_HINT, first_steps, phases, remainders
from optode.limit.in_step_size import (
    bounds_in_step_size,
    forgetting,
    step_map_in_step_size,
)
from optode.limit.increments import Increments
from optode.limit.obstacles import died_out
from optode.limit.scaling import Scaling
from optode.rule.bound import Bound
from optode.rule.growing_states import growing_states, positive
from optode.rule.rule import UpdateRule


@dataclass(frozen=True)
class ScaledRule:
    """An update rule, and how its step size, decays and states move with Delta."""

    rule: UpdateRule
    scaling: Scaling

    @cached_property
    def powers(self) -> dict[sp.Symbol, Fraction]:
        """The power of Delta that is the scale of each state."""
        return dict(zip(self.rule.states, self.scaling.powers, strict=True))

    @cached_property
    def scale(self) -> Scale:
        """The powers of Delta of everything, and time without an offset."""
        rule, scaling = self.rule, self.scaling
        step = (rule.step_size, sp.S.One, scaling.step_power)
        states = [(state, state, power) for state, power in self.powers.items() if power != 0]
        rows = zip(rule.decays, scaling.decay_powers, scaling.regimes, strict=True)
        decays = [
            (forgetting(d), forgetting(d) if regime == "inertial" else sp.S.One, power)
            for d, power, regime in rows
            if regime != "fixed"
        ]
        vectors = frozenset((*rule.states, *rule.vectors))
        return Scale((step, *states, *decays), vectors=vectors)

    @cached_property
    def bounds(self) -> dict[sp.Symbol, Bound]:
        """The bound of each state that has one, at the state's own scale.

        Raises SpecError (E403) where a bound has no series.
        """
        return {z: b.each(partial(self._level, z)) for z, b in self._bounds.items()}

    @cached_property
    def _bounds(self) -> dict[sp.Symbol, Bound]:
        return bounds_in_step_size(self.rule)

    def _level(self, state: sp.Symbol, level: sp.Expr) -> sp.Expr:
        power = self.powers[state]
        try:
            return expand(level, self.scale, power + 1).coefficient(power)
        except NoExpansion as error:
            message = f"no continuous limit: the bound of `{state}`: {error}"
            span = self.rule.span_of(self.rule.states.index(state))
            raise SpecError([Diagnostic("E403", message, span)]) from error

    def increments(self, order: int, offset: sp.Expr = sp.S.Zero) -> Increments:
        """Expand what each state gains in a step, beyond what the order needs.

        ``offset`` is kappa in ``t = (k + kappa) Delta``. Raises SpecError (E403) with every state
        whose increment has no series, or has a term that blows up.
        """
        scale = replace(self.scale, offset=offset)
        growing = {z: positive(z) for z in growing_states(self.rule)}
        found: list[Series] = []
        problems: list[Diagnostic] = []
        maps = step_map_in_step_size(self.rule)
        for index, (state, value) in enumerate(zip(self.rule.states, maps, strict=True)):
            power, lowest = self.powers[state], min(self.scaling.rates[index], Fraction(1))
            needed = power + lowest + order + Fraction(1, 2)
            try:
                series = self.averaged(index, value, scale, growing, needed).shifted(-power)
                layers = self._layers(index, value - state, replace(scale, offset=sp.S.Zero))
                first = self._first_steps(index, value)
            except NoExpansion as error:
                message = f"no continuous limit of `{state}`: {error}"
                problems.append(Diagnostic("E403", message, self.rule.span_of(index)))
                continue
            series = _without_zeros(series, lowest)
            found.append(series)
            blown = ((e, c) for e, c in series.terms if e < lowest)
            problems += [*layers, *(_blow_up(self.rule, index, e, c) for e, c in blown), *first]
        if problems:
            raise SpecError(problems)
        return Increments(self.rule.states, tuple(found), self.scaling.rates, self.bounds)

    @cached_property
    def begins_otherwise(self) -> bool:
        """Whether the first few steps are not like those at small times.

        Averages whose coefficients depend on k settle otherwise then, and what dies out within a
        few steps adds to the start.
        """
        rule, step = self.rule, self.rule.step_size
        maps = step_map_in_step_size(rule)
        scale = replace(self.scale, offset=sp.S.Zero)
        powers = set[sp.Basic]().union(*(value.atoms(sp.Pow) for value in maps))
        if any(p.exp.has(COUNTER) and _dies_out(p, scale) for p in powers):
            return True
        fast = (v for v, r in zip(maps, self.scaling.rates, strict=True) if r < 1)
        first = ([v.xreplace({COUNTER: sp.Integer(k)}).subs(step, 0) for k in (0, 1)] for v in fast)
        return any(not is_zero(a - b) for a, b in first)

    def averaged(
        self,
        index: int,
        value: sp.Expr,
        scale: Scale,
        growing: dict[sp.Symbol, sp.Symbol],
        order: Fraction,
    ) -> Series:
        """Return the series of a state's increment, the mean over the phases of a periodic rule.

        Raises NoExpansion where it is not small in each phase, or a state is fast: then the mean
        is not what the states follow.
        """
        state, power = self.rule.states[index], self.powers[self.rule.states[index]]
        each = phases(value)
        found = [_expanded(phase - state, scale, growing, order) for phase in each]
        if len(each) == 1:
            return found[0]
        large = any(s.terms and s.terms[0][0] < power + 1 for s in found)
        if large or min(self.scaling.rates) < 1:
            (node, *_) = remainders([value])
            raise NoExpansion(f"it goes on changing with `{to_text(node)}`: {PERIODIC_HINT}")
        return Series.sum(found).shifted(Fraction(0), sp.Rational(1, len(each)))

    def _first_steps(self, index: int, value: sp.Expr) -> list[Diagnostic]:
        """Report a condition that changes a slow state by order 1 before the limit begins."""
        rule, rates = self.rule, self.scaling.rates
        if rates[index] < 1:
            return []
        slow = [z for z, rate in zip(rule.states, rates, strict=True) if rate >= 1]
        resting = set(slow[1:]) - {z for z, start in rule.start if start != 0}
        found = first_steps(value, rule.states[index], self.scale, resting)
        if found is None:
            return []
        message = (
            f"no continuous limit of `{rule.states[index]}`: in the first steps, where `{found}`, "
            "it changes by more than the step allows"
        )
        hint = "give it the value that it has after them under `start:`, and leave the choice away"
        return [Diagnostic("E403", message, rule.span_of(index), hint)]

    def _layers(self, index: int, increment: sp.Expr, scale: Scale) -> list[Diagnostic]:
        """Find terms of a slow state that die out within a few steps and are large enough to count.

        ``c+ = c*(1 - 0.9**k/2)`` from 1 tends to a product of infinitely many factors.
        """
        dying = [p for p in increment.atoms(sp.Pow) if p.exp.has(COUNTER) and _dies_out(p, scale)]
        if not dying or self.scaling.rates[index] < 1:
            return []
        state, sizes = self.rule.states[index], {p: sp.Dummy(real=True) for p in dying}
        known = replace(scale, vectors=scale.vectors | {*sizes.values()})
        power = self.powers[state]
        series = expand(increment.xreplace(sizes), known, power + 1).shifted(-power)
        if not any(c.has(*sizes.values()) for e, c in series.terms if e < 1):
            return []
        return [died_out(self.rule, index, ", ".join(to_text(p) for p in dying))]

    def start(self, order: int) -> dict[sp.Symbol, sp.Expr]:
        """Return the coefficient of Delta^order of each scaled state at k = 0.

        The position x starts at ``x0``, anywhere; the others at 0 unless said. Raises SpecError
        (E404) for a start that is larger than the state's own scale.
        """
        rule = self.rule
        declared = dict(rule.start)
        at_start = {z: declared.get(z, sp.S.Zero) for z in rule.states}
        at_start[rule.position] = symbol(f"{rule.position}0")
        monomials = tuple(row for row in self.scale.monomials if row[0] not in rule.states)
        values = {rule.position: sp.S.Zero if order else at_start[rule.position]}
        for index, state in enumerate(rule.states[1:], 1):
            start = self._within(state, declared.get(state, sp.S.Zero))
            start = start.xreplace(dict(rule.formulas)).xreplace(at_start).xreplace(at_start)
            power = self.powers[state]
            series = expand(start, Scale(monomials), power + order + 1).shifted(-power)
            if any(exponent < 0 for exponent, _ in series.terms):
                message = f"`{state}` starts at {to_text(start)}, which is not of its own scale"
                raise SpecError([Diagnostic("E404", message, rule.span_of(index))])
            value = series.coefficient(Fraction(order))
            at_once = value.subs(TIME, 0)  # of a bound that moves with k
            values[state] = value if at_once.has(sp.nan, sp.zoo, sp.oo) else at_once
        return values

    def _within(self, state: sp.Symbol, start: sp.Expr) -> sp.Expr:
        """Return the start of a state, or its bound where the start lies beyond that."""
        if state not in self._bounds:
            return start
        bound = self._bounds[state]
        (sign, level), *others = bound.sides
        if start == 0 and not others and level.subs(self.rule.step_size, 0).is_nonnegative:
            return level if sign == 1 else start
        return bound.clip(start)


def _expanded(
    increment: sp.Expr, scale: Scale, growing: dict[sp.Symbol, sp.Symbol], order: Fraction
) -> Series:
    """Expand an increment, with the states that grow known to be positive."""
    monomials = tuple((growing.get(z, z), c.xreplace(growing), e) for z, c, e in scale.monomials)
    series = expand(increment.xreplace(growing), replace(scale, monomials=monomials), order)
    back = {new: old for old, new in growing.items()}
    return Series(tuple((e, c.xreplace(back)) for e, c in series.terms), series.order)


def _without_zeros(series: Series, lowest: Fraction) -> Series:
    """Leave terms away that are in the way, below the lowest order, and cancel within themselves."""
    kept = ((e, c) for e, c in series.terms if e >= lowest or not is_zero(c))
    return Series(tuple(kept), series.order)


def _dies_out(power: sp.Expr, scale: Scale) -> bool:
    """Return whether a power of the counter vanishes beyond all orders of the step."""
    try:
        return not expand(power, scale, Fraction(1)).terms
    except NoExpansion:
        return False


def _blow_up(rule: UpdateRule, index: int, order: Fraction, term: sp.Expr) -> Diagnostic:
    under = " under the declared scaling" if rule.declared_powers else ""
    return Diagnostic(
        "E403",
        f"no continuous limit{under}: the rate of `{rule.states[index]}` "
        f"has the term {to_text(present(term))} of order Delta**({order - 1})",
        rule.span_of(index),
        "let the hyper-parameters in it vanish with the step size",
    )
