"""The series of an expression in the continuous step, by one pass over its tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from optode.calculus.calls import Taylor
from optode.calculus.choices import beside_zero, is_flat, of_its_own_kind
from optode.calculus.series import (
    EXACT,
    LostPrecision,
    NoExpansion,
    Order,
    Series,
    Work,
    after_start,
    clipped,
    components_of,
    joined,
)
from optode.language.derivative import partial
from optode.language.elementwise import hardtanh, maximum, minimum
from optode.language.functions import function_of
from optode.language.symbols import COUNTER, TIME, Call, Tangent

_MAX_EXTRA_ORDER = 12
_BASE = sp.Dummy(real=True)


@dataclass(frozen=True, slots=True)
class Scale:
    """How symbols move with Delta: ``symbol -> c * Delta^e`` and ``k = t/Delta - offset``.

    ``vectors`` are the symbols that are no scalars, the states: Jacobians do not commute with them.
    """

    monomials: tuple[tuple[sp.Symbol, sp.Expr, Fraction], ...]
    offset: sp.Expr = sp.S.Zero
    vectors: frozenset[sp.Symbol] = frozenset()


def expand(expression: sp.Expr, scale: Scale, order: Order) -> Series:
    """Expand an expression in Delta, at least up to O(Delta^order).

    Raises NoExpansion where there is none (an essential singularity, a logarithm of Delta, an
    oracle at a point that runs away).
    """
    leaves = {s: Series.monomial(c, e) for s, c, e in scale.monomials}
    leaves[COUNTER] = Series.of({Fraction(-1): TIME, Fraction(0): -scale.offset})
    return _known_to(expression, leaves, scale.vectors, order)


def expand_at(expression: sp.Expr, leaves: Mapping[sp.Symbol, Series], order: Order) -> Series:
    """Expand an expression in Delta where each given symbol is a series, as ``expand`` does."""
    return _known_to(expression, leaves, frozenset(leaves) - {TIME}, order)


def at_infinity(expression: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    """Return the limit of an expression as a variable grows without bound.

    Raises NoExpansion where there is none.
    """
    large = sp.Dummy(positive=True)
    scale = Scale(((large, sp.S.One, Fraction(-1)),))
    series = expand(expression.xreplace({variable: large}), scale, Fraction(1, 2))
    if series.terms and series.terms[0][0] < 0:
        raise NoExpansion(f"{expression} grows without bound")
    return series.coefficient(Fraction(0))


def _known_to(
    expression: sp.Expr,
    leaves: Mapping[sp.Symbol, Series],
    vectors: frozenset[sp.Symbol],
    order: Order,
) -> Series:
    work = Work()
    for extra in range(_MAX_EXTRA_ORDER):
        try:
            series = _Expansion(leaves, vectors, order + extra, work).of(expression)
        except LostPrecision:
            continue
        if series.order >= order:
            return series
    raise NoExpansion(f"no leading term found in {expression}")


class _Expansion:
    """One pass over an expression tree with a fixed working order."""

    def __init__(
        self,
        leaves: Mapping[sp.Symbol, Series],
        vectors: frozenset[sp.Symbol],
        order: Order,
        work: Work,
    ) -> None:
        self.work = work
        self.order = order
        self.vectors = vectors
        self.leaves = leaves

    def of(self, expression: sp.Expr) -> Series:
        if expression in self.leaves:
            return self.leaves[expression]
        if not expression.has(*self.leaves):
            return Series.monomial(expression)
        if isinstance(expression, sp.Add):
            total = Series.sum(self.of(a) for a in expression.args)
            self.work.on(coefficient for _, coefficient in total.terms)
            return total
        if isinstance(expression, sp.Mul):
            product = Series.monomial(sp.S.One)
            for factor in expression.args:
                product = self.product(product, self.of(factor), self.order)
            return product
        if isinstance(expression, sp.exp):
            return self.exponential(self.of(expression.args[0]), expression)
        if isinstance(expression, sp.Pow):
            return self.power(expression)
        if isinstance(expression, sp.log):
            return self.logarithm(self.of(expression.args[0]), expression.args[0])
        if isinstance(expression, Call):
            return self.oracle(expression)
        if isinstance(expression, Tangent):
            return self.oracle(*expression.args)
        own = of_its_own_kind(expression, self.of, self.quotient)
        return own or self.function(expression)

    def product(self, left: Series, right: Series, order: Order) -> Series:
        product = left.times(right, order)
        self.work.on(coefficient for _, coefficient in product.terms)
        return product

    def quotient(self, above: Series, below: Series) -> Series:
        return self.product(above, self.constant_power(below, 1 / _BASE), self.order)

    def power(self, expression: sp.Pow) -> Series:
        base, exponent = expression.args
        series = self.of(base)
        if exponent.is_Rational:
            return self.constant_power(series, expression)
        if not exponent.has(*self.leaves):
            return self.constant_power(series, expression)
        return self.exponential(
            self.product(self.of(exponent), self.logarithm(series, base), self.order), expression
        )

    def constant_power(self, series: Series, expression: sp.Expr) -> Series:
        power, (e0, c0) = expression.exp, series.leading
        if e0 != 0 and not power.is_Rational:
            names = ", ".join(sorted(map(str, power.free_symbols)))
            raise NoExpansion(
                f"the power of the step size that {expression} is of has {names} in it: give a number"
            )
        relative = series.relative()
        scaled = self.compose(relative, lambda n: sp.binomial(power, n), self.order - e0)
        shift = e0 * Fraction(power) if e0 != 0 else Fraction(0)
        return scaled.shifted(shift, c0**power)

    def logarithm(self, series: Series, expression: sp.Expr) -> Series:
        e0, c0 = series.leading
        if e0 != 0:
            raise NoExpansion(f"log({expression}) grows like the logarithm of the step size")

        def coefficient(n: int) -> sp.Expr:
            return sp.log(c0) if n == 0 else sp.Rational((-1) ** (n + 1), n)

        return self.compose(series.relative(), coefficient, self.order)

    def exponential(self, series: Series, expression: sp.Expr) -> Series:
        grows = [(e, c) for e, c in series.terms if e < 0]
        if grows:
            return self.essential(grows[0][1], expression)
        constant = series.coefficient(Fraction(0))
        small = series + Series.monomial(-constant)
        scaled = self.compose(small, lambda n: 1 / sp.factorial(n), self.order)
        return scaled.shifted(Fraction(0), sp.exp(constant))

    def essential(self, coefficient: sp.Expr, expression: sp.Expr) -> Series:
        """Expand exp(c/Delta^a): beyond all orders where c < 0 for positive time and parameters."""
        point = {s: sp.Rational(1, 2) for s in coefficient.free_symbols}
        if coefficient.xreplace(point).is_negative:
            return Series((), EXACT)
        raise NoExpansion(f"{expression} grows faster than any power of 1/Delta")

    def oracle(self, call: sp.Expr, *along: sp.Expr) -> Series:
        """Expand a gradient or field, or its Jacobian product along directions."""
        arguments = [self.of(argument) for argument in call.points]
        directions = [joined(list(map(self.of, components_of(u)))) for u in along]
        return Taylor(self.order, self.vectors, self.work).of(call, arguments, directions)

    def function(self, expression: sp.Expr) -> Series:
        """Expand a smooth or positively homogeneous elementwise function in its first argument."""
        inner, *rest = expression.args
        if isinstance(expression, hardtanh) and any(bound.has(*self.leaves) for bound in rest):
            return self.clipped(expression)
        return self.function_at(expression, self.of(inner), rest)

    def function_at(
        self, expression: sp.Expr, series: Series, rest: Sequence[sp.Expr], nonzero: bool = False
    ) -> Series:
        """Expand a function whose first argument is a series, ``nonzero`` if its first term is so.

        Where that may vanish on whole regions, as ``max(G, 0)`` does, the next ones decide there.
        """
        record = function_of(expression)
        if record and record.degree is not None and series.terms:
            degree = record.degree
            first, later = series.leading[1], Series(series.terms[1:], series.order)
            if later.terms and not nonzero and is_flat(first):
                usual = self.function_at(expression, series, rest, nonzero=True)
                beside = self.function_at(expression, later, rest)
                return beside_zero(series, usual, beside, continuous=record.degree > 0)
            exponent = series.leading[0]
            series = series.shifted(-exponent)
        else:
            degree, exponent = 0, Fraction(0)
        if series.terms and series.terms[0][0] < 0:
            raise NoExpansion(f"the argument of {expression} grows without bound")
        point = series.coefficient(Fraction(0))
        small = series + Series.monomial(-point)
        u = sp.Dummy("u", real=True)
        derivatives = [expression.func(u, *rest)]

        def taylor(n: int) -> sp.Expr:
            while len(derivatives) <= n:
                derivatives.append(partial(derivatives[-1], u))
            return after_start(derivatives[n].subs(u, point), self.vectors) / sp.factorial(n)

        return self.compose(small, taylor, self.order).shifted(exponent * degree)

    def clipped(self, expression: sp.Expr) -> Series:
        """Expand ``hardtanh(u, low, high)`` in all its arguments."""
        u, low, high = map(self.of, expression.args)
        found = clipped(u, low, high, self.vectors)
        return found or self.of(minimum(maximum(*expression.args[:2]), expression.args[2]))

    def compose(self, small: Series, coefficient: Callable[[int], sp.Expr], order: Order) -> Series:
        """Return ``sum_n coefficient(n) * small^n`` for a series that starts above Delta^0."""
        total = Series.monomial(coefficient(0))
        if not small.terms:
            return total + Series((), small.order)
        power, n = Series.monomial(sp.S.One), 0
        while True:
            n += 1
            if n * small.leading[0] >= order:
                return total + Series((), min(order, small.order))
            power = self.product(power, small, order)
            total = total + power.shifted(Fraction(0), coefficient(n))
