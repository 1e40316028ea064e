"""Sizes: the exponent of Delta in the leading behaviour of an expression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Literal, TypeAlias

import sympy as sp

from optode.calculus.expansion import Scale, expand
from optode.language.symbols import COUNTER, Field, Gradient, Oracle, Tangent, dot, relu
from optode.limit.in_step_size import forgetting
from optode.rule.growing_states import positive
from optode.rule.rule import UpdateRule

Form: TypeAlias = tuple[Fraction, ...]
"""An exponent of Delta, affine in the unknowns: (constant, of the step size, of each decay)."""

Regime: TypeAlias = Literal["fixed", "fast", "inertial", "frozen"]
"""How ``1 - beta`` of an undeclared decay compares with Delta: constant, slower, like it, faster."""

ORACLES = (Gradient, Field, Oracle, Tangent)


class Sizes:
    """Exponents of expressions at one guess of the unknowns."""

    def __init__(
        self, rule: UpdateRule, point: Form, growing: Mapping[sp.Symbol, Fraction]
    ) -> None:
        self.growing = growing
        self.point = point
        unit = [tuple(Fraction(i == j) for j in range(len(point))) for i in range(len(point))]
        self.zero = (Fraction(0),) * len(point)
        self.leaves: dict[sp.Expr, Form | None] = {COUNTER: scaled(unit[0], -1)}
        self.leaves[rule.step_size] = unit[1]
        self.leaves |= {forgetting(d): unit[2 + i] for i, d in enumerate(rule.decays)}
        self.leaves |= dict.fromkeys(rule.states[1:])

    def of_growing(self, expression: sp.Expr) -> Form:
        """A coefficient made of growing states only, by its series: its terms may cancel."""
        named = {z: positive(z) for z in self.growing}
        scale = Scale(tuple((named[z], named[z], power) for z, power in self.growing.items()))
        coefficient = expression.xreplace(named)
        series = (expand(coefficient, scale, Fraction(order)) for order in range(1, 8))
        exponent = next((found.terms[0][0] for found in series if found.terms), Fraction(8))
        return scaled(unit(0, len(self.point)), exponent)

    def value(self, form: Form) -> Fraction:
        return sum((f * p for f, p in zip(form, self.point, strict=True)), Fraction(0))

    def of(self, expression: sp.Expr) -> Form | None:
        """The exponent of the leading behaviour; None for what is zero so far."""
        if expression in self.leaves:
            return self.leaves[expression]
        if not expression.has(*self.leaves) or isinstance(expression, ORACLES):
            return self.zero
        if expression.has(*self.growing) and expression.free_symbols <= set(self.growing):
            return self.of_growing(expression)
        if isinstance(expression, sp.Add):
            return self.least(self.of(a) for a in expression.args)
        if isinstance(expression, (sp.Mul, dot)):
            return self.product([self.of(a) for a in expression.args])
        if isinstance(expression, sp.Pow) and expression.exp.is_Rational:
            inner = self.of(expression.base)
            return None if inner is None else scaled(inner, expression.exp)
        if isinstance(expression, (sp.Abs, relu)):
            return self.of(expression.args[0])
        if isinstance(expression, sp.Pow) and expression.exp.has(COUNTER):
            return self.power_of_counter(expression)
        return self.elementwise(expression)

    def least(self, forms: Iterable[Form | None]) -> Form | None:
        known = [form for form in forms if form is not None]
        return min(known, key=self.value) if known else None

    def product(self, forms: list[Form | None]) -> Form | None:
        known = [form for form in forms if form is not None]
        return total(known) if len(known) == len(forms) else None

    def power_of_counter(self, expression: sp.Pow) -> Form | None:
        """beta^k: of order 1 where 1 - beta is of order Delta or less, else beyond all orders."""
        rates = [self.leaves[s] for s in expression.base.free_symbols if s in self.leaves]
        smallest = min((self.value(r) for r in rates if r is not None), default=Fraction(0))
        return self.zero if smallest >= 1 else None

    def elementwise(self, expression: sp.Expr) -> Form | None:
        """A function that is linear at 0 keeps a small argument's size; any other is of order 1."""
        inner = self.of(expression.args[0])
        vanishes = expression.func(sp.S.Zero, *expression.args[1:]) == 0
        if not vanishes or isinstance(expression, sp.sign):
            return self.zero
        return inner if inner is None or self.value(inner) > 0 else self.zero


def unit(index: int, length: int) -> Form:
    return tuple(Fraction(i == index) for i in range(length))


def scaled(form: Form, factor: sp.Rational | Fraction | int) -> Form:
    ratio = Fraction(int(factor.p), int(factor.q)) if isinstance(factor, sp.Rational) else factor
    return tuple(ratio * c for c in form)


def rational(number: Fraction) -> sp.Rational:
    return sp.Rational(number.numerator, number.denominator)


def total(forms: list[Form]) -> Form:
    return tuple(sum(column, Fraction(0)) for column in zip(*forms, strict=True))


def difference(a: Form, b: Form) -> Form:
    return tuple(x - y for x, y in zip(a, b, strict=True))
