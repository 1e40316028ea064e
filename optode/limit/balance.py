"""Scalings: how the step size, the decay rates and the states move with the continuous step Delta.

Every hyper-parameter is a power of Delta: a step size ``s = Delta^a``, a decay ``1 - beta = c
Delta^a`` (a = 0: fixed). A state that starts at zero reaches the size ``Delta^b`` at which what
drives it balances what it forgets: with e the exponent of its driving terms and r_self that of its
self term,

    r = min(1, r_self),    b = min(e - r, exponent of its start).

r = 1: the state is inertial; r < 1: it is fast and slaved to the others. The position must move at
rate 1, which determines the exponent of the step size: everything is piecewise linear in it and
solved exactly. One regime of the decays (each fixed, fast, inertial or frozen) has at most one
scaling for each root; those where a rate is exactly 0 or 1 are the distinguished ones.
"""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from functools import cached_property
from itertools import product

import sympy as sp

from optode.diagnostics import Diagnostic, SpecError
from optode.language.ranges import decided
from optode.limit.deciding import periodic_errors
from optode.limit.exponents import Exponents, Regime, Sizes
from optode.limit.in_step_size import bounds_in_step_size, sized_map
from optode.limit.increment_terms import (
    MOST_TERMS_OF_AN_INCREMENT,
    Term,
    TooManyTerms,
    about_rest,
    grouped_terms,
    opened,
)
from optode.limit.obstacles import obstacles
from optode.limit.scaling import Scaling
from optode.rule.growing_states import growing_states
from optode.rule.rule import UpdateRule

_SAMPLES: dict[Regime, tuple[Fraction, ...]] = {
    "fixed": (Fraction(0),),
    "fast": (Fraction(1, 2), Fraction(1, 3), Fraction(1, 5)),
    "inertial": (Fraction(1),),
    "frozen": (Fraction(2), Fraction(3), Fraction(5)),
}
_GUESSES = tuple(Fraction(n, d) for n, d in ((1, 1), (2, 1), (1, 2), (3, 1), (1, 4), (4, 1)))
_MAX_ROUNDS = 24
MOST_DECAYS = 4
"""Of a rule whose regimes are all tried: four for each."""


def scalings(rule: UpdateRule) -> tuple[Scaling, ...]:
    """Find every scaling of the rule, one or more for each regime of its free decays.

    Raises SpecError (E401) naming the terms that do not vanish where there is none at all, and
    (E406) where there are too many regimes to try.
    """
    if (number := len(rule.decays)) > MOST_DECAYS:
        message = f"{number} free decays have {len(_SAMPLES) ** number} regimes"
        hint = f"leave at most {MOST_DECAYS} free: `fixed`, or tied to the step size, `1 - c*s`"
        raise SpecError([Diagnostic("E406", message, rule.span_of(0), hint)])
    balance = _Balance(rule)
    choices = product(_SAMPLES, repeat=len(rule.decays))
    found = [scaling for regimes in choices for scaling in balance.solve(regimes)]
    if not found:
        others = obstacles(rule, balance.terms, balance.at_first())
        raise SpecError([*periodic_errors(rule)] or others)
    return tuple(sorted(found, key=lambda scaling: not scaling.is_distinguished))


class _Balance:
    """The balance of one rule: which sizes its states reach, and at which rates they move."""

    def __init__(self, rule: UpdateRule) -> None:
        self.rule = rule
        self.growing = growing_states(rule)
        self.terms = [
            term
            for index, value in enumerate(sized_map(rule))
            for term in self.increment(index, value)
        ]
        self.bounds = bounds_in_step_size(rule)

    def increment(self, index: int, value: sp.Expr) -> list[Term]:
        """Return the terms of a state's increment, its functions opened unless that makes too many.

        Raises SpecError (E406) if they are too many.
        """
        rule = self.rule
        with suppress(TooManyTerms):
            found = self.told_apart(index, opened(value, rule.step_size, rule.position))
            if not any(term.expression.subs(rule.step_size, 0) for term in found):
                return found
            rested = about_rest(value, rule.states[index], rule.step_size)
            return found if rested is None else self.told_apart(index, rested)
        try:
            return self.told_apart(index, value)
        except TooManyTerms as error:
            hint = (
                f"at most {MOST_TERMS_OF_AN_INCREMENT}: name a part of it as a state, or bound it"
            )
            span = self.rule.span_of(index)
            raise SpecError([Diagnostic("E406", str(error), span, hint)]) from error

    def told_apart(self, index: int, value: sp.Expr) -> list[Term]:
        """Return the terms of the increment of a state that has this new value."""
        known = decided(value, self.rule.states)
        return list(grouped_terms(self.rule, index, known, self.growing))

    def solve(self, regimes: tuple[Regime, ...]) -> list[Scaling]:
        """Find the scalings of one regime of the decays: from several guesses."""
        decays = tuple(_sample(regime, i) for i, regime in enumerate(regimes))
        found: dict[Fraction, Scaling] = {}
        for guess in self.declared_step_power or _GUESSES:
            for scaling in self.roots(guess, decays, regimes):
                found.setdefault(scaling.step_power, scaling)
        return list(found.values())

    @cached_property
    def declared_step_power(self) -> tuple[Fraction, ...]:
        return tuple(1 / power for index, power in self.rule.declared_powers if index == 0)

    def roots(
        self, guess: Fraction, decays: tuple[Fraction, ...], regimes: tuple[Regime, ...]
    ) -> list[Scaling]:
        """Solve for the exponent of the step size at which the position moves at rate 1.

        Where it does so at any exponent, as by 1/(k + 1), see ``balanced``.
        """
        for _ in range(_MAX_ROUNDS):
            sizes = self.sizes(Exponents(Fraction(1), guess, decays))
            moves = self.rate(0, sizes) if sizes is not None else None
            if sizes is None or moves is None:
                return []
            if sizes.value(moves) == 1 and (moves.step_size != 0 or self.declared_step_power):
                scaling = self.scaling(sizes, moves, regimes)
                return [] if scaling is None else [scaling]
            if self.declared_step_power:
                return []
            if moves.step_size == 0:
                return self.balanced(sizes, regimes) if sizes.value(moves) == 1 else []
            guess = guess + (1 - sizes.value(moves)) / moves.step_size
            if guess <= 0:
                return []
        return []

    def balanced(self, sizes: Sizes, regimes: tuple[Regime, ...]) -> list[Scaling]:
        """Return the scalings in which most terms balance: dominant balance.

        The position moves by a part of 1/k of its distance from another state, which is of rate 1
        whatever the step size is. So the others tell: the exponents at which a term of theirs is
        of rate 1 too.
        """
        here, decays = sizes.point.step_size, sizes.point.decays
        if "fast" in regimes:
            return []
        guesses = {
            here + (1 - sizes.value(form)) / form.step_size
            for form in self.term_rates(sizes)
            if form.step_size != 0
        }
        found: dict[Scaling, int] = {}
        for guess in sorted(g for g in guesses if g > 0):
            tried = self.sizes(Exponents(Fraction(1), guess, decays))
            moves = self.rate(0, tried) if tried is not None else None
            if tried is None or moves is None or tried.value(moves) != 1:
                continue
            unit = self.rule.step_size ** sp.Rational(1 / guess)
            tight = sum(tried.value(form) == 1 for form in self.term_rates(tried))
            found[self.scaling_in(tried, regimes, unit)] = tight
        return [scaling for scaling, tight in found.items() if tight == max(found.values())]

    def term_rates(self, sizes: Sizes) -> list[Exponents]:
        """Return the exponent of each term relative to the size of its state."""
        forms = []
        for term in self.terms:
            own = sizes.zero if term.state == 0 else sizes.leaves[self.rule.states[term.state]]
            form = sizes.of(term.expression)
            if own is not None and form is not None:
                forms.append(form.minus(own))
        return forms

    def at_first(self) -> Sizes | None:
        """Return the sizes where all powers are 1, which show what is in the way."""
        one = Fraction(1)
        return self.sizes(Exponents(one, one, (one,) * len(self.rule.decays)))

    def sizes(self, point: Exponents) -> Sizes | None:
        """Iterate the sizes of the states from zero to a fixed point; None where there is none."""
        sizes = Sizes(self.rule, point, self.growing)
        declared = dict(self.rule.declared_powers)
        for state, start in self.rule.start:
            sizes.set(state, sizes.of(start) if start != 0 else None)
        for _ in range(_MAX_ROUNDS):
            changed = False
            for index, state in enumerate(self.rule.states[1:], 1):
                if index in declared:
                    size: Exponents | None = sizes.step_size.times(declared[index])
                elif state in self.growing:
                    size = sizes.delta.times(self.growing[state])
                else:
                    size = self.size(index, sizes)
                changed = sizes.set(state, size) or changed
            if not changed:
                return sizes
        return None

    def size(self, index: int, sizes: Sizes) -> Exponents | None:
        """Return the size at which what drives a state balances what it forgets."""
        driving = sizes.least(sizes.of(t.expression) for t in self.terms_of(index, is_self=False))
        start = dict(self.rule.start).get(self.rule.states[index])
        forms = [] if start in (None, 0) else [sizes.of(start)]
        if driving is not None and self.is_held(index, sizes):
            forms.append(sizes.leaves[self.rule.states[index]])
        elif driving is not None:
            rate = self.forgetting_rate(index, sizes)
            fast = rate is not None and sizes.value(rate) < 1
            forms.append(driving.minus(rate if rate and fast else sizes.delta))
        found = sizes.least(forms)
        bound = self.bounds.get(self.rule.states[index])
        for sign, level in bound.sides if bound else ():
            keep = sizes.least if sign == 1 else sizes.most
            found = keep([found, sizes.of(level)])
        return found

    def is_held(self, index: int, sizes: Sizes) -> bool:
        """Return whether a fast state stays at its size by terms that are not linear in it.

        As in ``v+ = v + g**2 - v**2``: they are no smaller than what drives it.
        """
        state = self.rule.states[index]
        own = sizes.leaves[state]
        terms = [t.expression for t in self.terms_of(index, is_self=False)]
        holding = sizes.least(sizes.of(e) for e in terms if e.has(state))
        driving = sizes.least(sizes.of(e) for e in terms if not e.has(state))
        if own is None or holding is None:
            return False
        is_fast = sizes.value(holding.minus(own)) < 1
        return is_fast and (driving is None or sizes.value(holding) <= sizes.value(driving))

    def forgetting_rate(self, index: int, sizes: Sizes) -> Exponents | None:
        """Return the exponent of the coefficient in the terms linear in the state alone."""
        state = self.rule.states[index]
        return sizes.least(
            sizes.of(t.expression / state) for t in self.terms_of(index, is_self=True)
        )

    def rate(self, index: int, sizes: Sizes) -> Exponents | None:
        """Return the exponent of a state's increment relative to its size."""
        if self.rule.states[index] in self.growing:
            return sizes.delta
        own = sizes.zero if index == 0 else sizes.leaves[self.rule.states[index]]
        gained = sizes.least(sizes.of(t.expression) for t in self.terms if t.state == index)
        return None if gained is None or own is None else gained.minus(own)

    def terms_of(self, index: int, *, is_self: bool) -> list[Term]:
        return [t for t in self.terms if t.state == index and t.is_self == is_self]

    def scaling(
        self, sizes: Sizes, moves: Exponents, regimes: tuple[Regime, ...]
    ) -> Scaling | None:
        """Return the scaling at a balance; None where the balance leaves Delta open."""
        unit = self.time_unit(moves, regimes)
        return None if unit is None else self.scaling_in(sizes, regimes, unit)

    def scaling_in(self, sizes: Sizes, regimes: tuple[Regime, ...], unit: sp.Expr) -> Scaling:
        """Return the scaling with these sizes and this unit of time."""
        states = self.rule.states
        powers = [sizes.leaves[state] for state in states[1:]]
        rates = [self.rate(index, sizes) for index in range(len(states))]
        return Scaling(
            step_power=sizes.point.step_size,
            powers=(Fraction(0), *(Fraction(0) if b is None else sizes.value(b) for b in powers)),
            rates=tuple(Fraction(1) if r is None else sizes.value(r) for r in rates),
            decay_powers=sizes.point.decays,
            regimes=regimes,
            unit=unit,
        )

    def time_unit(self, moves: Exponents, regimes: tuple[Regime, ...]) -> sp.Expr | None:
        """Solve ``s^m prod rate_i^n_i Delta^c = Delta``, the position's rate, for Delta."""
        declared = [p for index, p in self.rule.declared_powers if index == 0]
        if declared:
            return self.rule.step_size ** sp.Rational(declared[0])
        base = self.rule.step_size ** sp.Rational(moves.step_size)
        for decay, power, regime in zip(self.rule.decays, moves.decays, regimes, strict=True):
            if regime == "fast":
                base *= (1 - decay) ** sp.Rational(power)
        inertial = (p for p, r in zip(moves.decays, regimes, strict=True) if r == "inertial")
        constant = sum(inertial, moves.delta)
        return None if constant == 1 else base ** sp.Rational(1 / (1 - constant))


def _sample(regime: Regime, index: int) -> Fraction:
    """Return a power in the regime, another for each decay where the regime is an interval."""
    samples = _SAMPLES[regime]
    return samples[index % len(samples)]
