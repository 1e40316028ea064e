"""Sizes: the exponent of Delta in the leading behaviour of an expression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import reduce
from typing import Literal, NamedTuple, TypeAlias

import sympy as sp

from optode.calculus.expansion import Scale, expand
from optode.language.conditions import where
from optode.language.elementwise import atan2, hardtanh, relu
from optode.language.functions import function_of
from optode.language.matrices import operator_of
from optode.language.numbers import real_value
from optode.language.ranges import decided, signs_at_positive
from optode.language.reductions import is_bilinear
from optode.language.symbols import COUNTER, Opaque, Tangent
from optode.limit.deciding import as_k_grows
from optode.limit.in_step_size import forgetting
from optode.rule.growing_states import positive
from optode.rule.rule import UpdateRule

Regime: TypeAlias = Literal["fixed", "fast", "inertial", "frozen"]
"""How ``1 - beta`` of a free decay compares with Delta: constant, slower, like it, faster."""


class Exponents(NamedTuple):
    """An exponent of Delta, affine in the unknowns: ``delta + step_size*a + sum decays_i*b_i``.

    The unknowns are the exponents a of the step size and b_i of each free decay. The same three
    numbers name a point of the unknowns, with 1 for ``delta``.
    """

    delta: Fraction
    step_size: Fraction
    decays: tuple[Fraction, ...]

    def at(self, point: Exponents) -> Fraction:
        """Return the number that the exponent is at a point."""
        pairs = zip(self.decays, point.decays, strict=True)
        constant = self.delta * point.delta + self.step_size * point.step_size
        return sum((b * value for b, value in pairs), constant)

    def times(self, factor: Fraction) -> Exponents:
        """Return the exponent of a power."""
        return Exponents(
            factor * self.delta, factor * self.step_size, tuple(factor * b for b in self.decays)
        )

    def plus(self, other: Exponents) -> Exponents:
        """Return the exponent of a product."""
        decays = tuple(a + b for a, b in zip(self.decays, other.decays, strict=True))
        return Exponents(self.delta + other.delta, self.step_size + other.step_size, decays)

    def minus(self, other: Exponents) -> Exponents:
        """Return the exponent of a quotient."""
        return self.plus(other.times(Fraction(-1)))


def units(decays: int) -> tuple[Exponents, Exponents, tuple[Exponents, ...]]:
    """Return the exponents of Delta, of the step size and of each decay, given their number."""
    zero, one = Fraction(0), Fraction(1)
    none = (zero,) * decays
    each = (Exponents(zero, zero, (*none[:i], one, *none[i + 1 :])) for i in range(decays))
    return Exponents(one, zero, none), Exponents(zero, one, none), tuple(each)


class Sizes:
    """Exponents of expressions at one guess of the unknowns.

    ``point`` is the guess, ``growing`` the exponents of states that grow by themselves. ``leaves``
    holds the exponent of each symbol, None for a state that is zero so far.
    """

    def __init__(
        self, rule: UpdateRule, point: Exponents, growing: Mapping[sp.Symbol, Fraction]
    ) -> None:
        self.growing, self.states = growing, {*rule.states, *rule.vectors}
        self.point = point
        self.delta, self.step_size, decays = units(len(point.decays))
        self.zero = self.delta.times(Fraction(0))
        self.leaves: dict[sp.Expr, Exponents | None] = {COUNTER: self.delta.times(Fraction(-1))}
        self.leaves[rule.step_size] = self.step_size
        self.leaves |= zip(map(forgetting, rule.decays), decays, strict=True)
        self.leaves |= dict.fromkeys(rule.states[1:])
        self._known: dict[sp.Expr, Exponents | None] = {}

    def of_growing(self, expression: sp.Expr) -> Exponents:
        """Return the exponent of a coefficient made of growing states, from its series.

        The leading exponents of its terms would not do: the terms may cancel.
        """
        named = {z: positive(z) for z in self.growing}
        scale = Scale(tuple((named[z], named[z], power) for z, power in self.growing.items()))
        coefficient = expression.xreplace(named)
        series = (expand(coefficient, scale, Fraction(order)) for order in range(1, 8))
        exponent = next((found.terms[0][0] for found in series if found.terms), Fraction(8))
        return self.delta.times(exponent)

    def value(self, exponents: Exponents) -> Fraction:
        return exponents.at(self.point)

    def set(self, state: sp.Symbol, exponents: Exponents | None) -> bool:
        """Give a state another size; return whether it is another number.

        Of two sizes that are equal at this guess the one that came first stays: a state that feeds
        itself is a balance of several terms, each of which tells its size.
        """
        known = self.leaves[state]
        if known is None or exponents is None:
            changed = known is not exponents
        else:
            changed = self.value(known) != self.value(exponents)
        if changed:
            self.leaves[state] = exponents
            self._known.clear()
        return changed

    def of(self, expression: sp.Expr) -> Exponents | None:
        """Return the exponent of the leading behaviour; None for what is zero so far."""
        if expression not in self._known:
            self._known[expression] = self._of(expression)
        return self._known[expression]

    def _of(self, expression: sp.Expr) -> Exponents | None:
        if expression in self.leaves:
            return self.leaves[expression]
        if not expression.has(*self.leaves):
            return None if decided(expression, self.states) == 0 else self.zero
        if isinstance(expression, Tangent):
            return self.tangent(expression.args[1:])
        operator = operator_of(expression)
        if operator is not None:
            inner = self.of(expression.args[1])
            return self.zero if inner is None else inner.times(operator.degree)
        if isinstance(expression, Opaque):
            return self.zero
        if expression.has(*self.growing) and expression.free_symbols <= set(self.growing):
            return self.of_growing(expression)
        if isinstance(expression, sp.Add):
            return self.least(self.of(a) for a in expression.args)
        if isinstance(expression, where):
            settled = as_k_grows(expression)
            branches = expression.args[1:] if settled == expression else (settled,)
            return self.least(self.of(branch) for branch in branches if branch != 0)
        if isinstance(expression, sp.Mul) or is_bilinear(expression):
            return self.product([self.of(a) for a in expression.args])
        if isinstance(expression, sp.Pow) and expression.exp.is_Rational:
            inner = self.of(expression.base)
            return None if inner is None else inner.times(Fraction(expression.exp))
        if isinstance(expression, sp.Pow) and expression.exp.has(COUNTER):
            return self.power_of_counter(expression)
        return self.elementwise(expression)

    def least(self, forms: Iterable[Exponents | None]) -> Exponents | None:
        """Return the exponent of what is largest; None where all are zero so far."""
        known = [form for form in forms if form is not None]
        return min(known, key=self.value) if known else None

    def most(self, forms: list[Exponents | None]) -> Exponents | None:
        """Return the exponent of what is smallest; None where one is zero so far."""
        known = [form for form in forms if form is not None]
        return max(known, key=self.value) if len(known) == len(forms) else None

    def product(self, forms: list[Exponents | None]) -> Exponents | None:
        known = [form for form in forms if form is not None]
        return reduce(Exponents.plus, known) if len(known) == len(forms) else None

    def tangent(self, directions: Iterable[sp.Expr]) -> Exponents | None:
        """Return the exponent of a Jacobian product: that of its directions, while these are small."""
        form = self.product([self.of(direction) for direction in directions])
        return form if form is None or self.value(form) > 0 else self.zero

    def power_of_counter(self, expression: sp.Pow) -> Exponents | None:
        """Return the exponent of beta^k.

        It is of order 1 where k*(1 - beta) is, else beyond all orders.
        """
        rates = [self.leaves[s] for s in expression.base.free_symbols if s in self.leaves]
        smallest = min((self.value(r) for r in rates if r is not None), default=Fraction(0))
        times = self.of(expression.exp)
        return self.zero if times is None or self.value(times) + smallest >= 0 else None

    def angle(self, y: Exponents | None, x: Exponents | None) -> Exponents | None:
        """Return the exponent of atan2(y, x): that of y/x where it vanishes."""
        if y is None or x is None:
            return None if y is None else self.zero
        return y.minus(x) if self.value(y) > self.value(x) else self.zero

    def elementwise(self, expression: sp.Expr) -> Exponents | None:
        """Return a function's exponent by its record; what a bound keeps from 0 is of order 1."""
        if isinstance(expression, hardtanh):
            return self.clipped(*expression.args)
        if isinstance(expression, atan2):
            return self.angle(*map(self.of, expression.args))
        if isinstance(expression, relu) and self.is_negative(expression.args[0]):
            return None
        record, inner = function_of(expression), self.of(expression.args[0])
        if record is None:
            return self.zero
        exponent = None if inner is None else self.value(inner)
        if record.degree is not None:
            power: int | None = record.degree
        elif exponent is None or exponent > 0:
            vanishes = expression.func(sp.S.Zero, *expression.args[1:]) == 0
            power = record.at_zero if vanishes else 0
        else:
            power = record.at_infinity if exponent < 0 else 0
        if not power:
            return self.zero
        return None if inner is None else inner.times(Fraction(power))

    def is_negative(self, total: sp.Expr) -> bool:
        """Return whether the largest terms of a sum are negative after the start, whatever else.

        Hyper-parameters and losses are taken to be positive.
        """
        terms = [(term, self.of(term)) for term in sp.Add.make_args(total)]
        sizes = {term: self.value(form) for term, form in terms if form is not None}
        largest = (term for term in sizes if sizes[term] == min(sizes.values()))
        later = total.free_symbols - self.states
        return bool(sizes) and all(signs_at_positive(term, later) == {-1} for term in largest)

    def clipped(self, u: sp.Expr, low: sp.Expr, high: sp.Expr) -> Exponents | None:
        """Return the exponent of u within bounds: no larger than both, and with one sign no smaller."""
        inner, outer = self.of(u), self.least([self.of(low), self.of(high)])
        found = None if inner is None else self.most([inner, outer])
        signs = [_sign_far_along(bound) for bound in (low, high)]
        if signs == [1, 1]:
            return self.least([found, self.of(low)])
        if signs == [-1, -1]:
            return self.least([found, self.of(high)])
        return found


def _sign_far_along(expression: sp.Expr) -> sp.Expr:
    """Return the sign of an expression after many small steps, 0 where it is open."""
    point = {s: sp.Rational(1, 10**6) for s in expression.free_symbols if s.is_positive}
    point |= {s: sp.Rational(1, 2) for s in expression.free_symbols if not s.is_positive}
    value = real_value(expression, {**point, COUNTER: sp.Integer(10**6)})
    return sp.S.Zero if value is None else sp.sign(value)
