"""Series of choices by a condition, and of reductions over the features."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

import sympy as sp

from optode.calculus.series import EXACT, NoExpansion, Series
from optode.calculus.signs import sign_in_time
from optode.language.conditions import compared, remainder, where
from optode.language.elementwise import atan2, hardtanh, relu, step
from optode.language.matrices import eye, ones
from optode.language.ranges import possible_signs
from optode.language.reductions import is_bilinear, is_linear, shares, summed_like
from optode.language.symbols import Reduction
from optode.language.text import to_text

Expand: TypeAlias = Callable[[sp.Expr], Series]
"""Returns the series of an expression."""


def of_its_own_kind(
    expression: sp.Expr, of: Expand, divided: Callable[[Series, Series], Series]
) -> Series | None:
    """Expand a choice, an angle or a reduction; None for anything else.

    ``divided`` expands a quotient.
    """
    if isinstance(expression, where):
        return chosen(expression, of)
    if isinstance(expression, atan2):
        y, x = map(of, expression.args)
        return angle(y, x, divided)
    if is_bilinear(expression):
        left, right = map(of, expression.args)
        return product(expression.func, left, right)
    if isinstance(expression, (eye, ones)):
        return Series.monomial(expression)
    return reduced(expression, of(*expression.args)) if isinstance(expression, Reduction) else None


def chosen(choice: sp.Expr, of: Expand) -> Series:
    """Expand a choice: coefficient by coefficient, or the branch that the small step decides on."""
    condition, *branches = choice.args
    condition = leading_condition(condition, of)
    if condition.is_number:
        return of(where(condition, *branches))
    return either(condition, *map(of, branches))


def either(condition: sp.Expr, a: Series, b: Series) -> Series:
    """Choose between two series, coefficient by coefficient."""
    exponents = {e for series in (a, b) for e, _ in series.terms}
    terms = {e: where(condition, a.coefficient(e), b.coefficient(e)) for e in exponents}
    return Series.of(terms, min(a.order, b.order))


def beside_zero(series: Series, usual: Series, beside: Series, *, continuous: bool) -> Series:
    """Join a function's series where the first term of its argument is not 0, and where it is.

    A continuous function of degree 1 has the same leading term in both.
    """
    exponent, first = series.leading
    found = dict(either(compared(first, "!=", sp.S.Zero), usual, beside).terms)
    if continuous:
        found[exponent] = usual.coefficient(exponent)
    return Series.of(found, min(usual.order, beside.order))


def is_flat(expression: sp.Expr) -> bool:
    """Return whether an expression may be 0 on whole regions, as ``max(G, 0)`` and a mask are."""
    return expression.has(*_FLAT) and 0 in possible_signs(expression)


_FLAT = (relu, step, where, hardtanh)


def leading_condition(condition: sp.Expr, of: Expand) -> sp.Expr:
    """Return what a condition says once the step size has become small.

    A value has the sign of its leading coefficient; where that is known, the condition is a number.
    """
    if isinstance(condition, where):
        return where(*(leading_condition(part, of) for part in condition.args))
    if not isinstance(condition, step):
        return condition
    (u,) = condition.args
    for node in u.atoms(remainder):
        message = f"{to_text(node)} goes on changing from step to step, and has no limit"
        raise NoExpansion(message)
    series = of(u)
    if not series.terms and series.order == EXACT:
        return sp.S.Zero
    coefficient = series.leading[1]
    sign = 0 if coefficient.is_nonpositive else sign_in_time(coefficient)
    return step(coefficient) if sign is None else sp.Integer(sign > 0)


def angle(y: Series, x: Series, divided: Callable[[Series, Series], Series]) -> Series:
    """Expand ``atan2(y, x)``, whose derivative is ``(y' x - x' y)/(x**2 + y**2)``.

    Raises NoExpansion where the angle may be pi or -pi.
    """
    exponent = min(y.leading[0], x.leading[0]) if y.terms else x.leading[0]
    y, x = y.shifted(-exponent), x.shifted(-exponent)
    high, wide = (series.coefficient(Fraction(0)) for series in (y, x))
    if high == 0 and not wide.is_nonnegative:
        raise NoExpansion("`atan2` jumps by 2*pi where its first argument passes 0")
    first = Series.monomial(sp.S.Zero if high == 0 else atan2(high, wide))
    above = _derivative(y).times(x, EXACT) + _derivative(x).times(y, EXACT).shifted(
        Fraction(0), sp.S.NegativeOne
    )
    slope = divided(above, x.times(x, EXACT) + y.times(y, EXACT))
    terms = {e + 1: c / sp.Rational(e + 1) for e, c in slope.terms}
    return first + Series.of(terms, slope.order + 1)


def _derivative(series: Series) -> Series:
    terms = {e - 1: c * sp.Rational(e) for e, c in series.terms}
    return Series.of(terms, series.order - 1)


def product(of: Callable[[sp.Expr, sp.Expr], sp.Expr], left: Series, right: Series) -> Series:
    """Expand an inner product, or a product of matrices: it is bilinear."""
    terms: dict[Fraction, sp.Expr] = {}
    for e1, c1 in left.terms:
        for e2, c2 in right.terms:
            terms[e1 + e2] = terms.get(e1 + e2, sp.S.Zero) + of(c1, c2)
    floor = min([left.order, *(e for e, _ in left.terms)])
    other = min([right.order, *(e for e, _ in right.terms)])
    return Series.of(terms, min(floor + right.order, other + left.order))


def reduced(call: sp.Expr, series: Series) -> Series:
    """Expand a reduction of one argument: linear, or linear near where one feature is extreme."""
    if not series.terms:
        return series
    if is_linear(call):
        return Series.of({e: call.func(c) for e, c in series.terms}, series.order)
    (exponent, first), *others = series.terms
    extreme = call.func(first)
    if not isinstance(extreme, Reduction):  # alike for all features: the next term decides
        rest = reduced(call, Series(tuple(others), series.order))
        return Series.monomial(first, exponent) + rest
    terms = {exponent: extreme} | {e: summed_like(extreme, shares(extreme) * c) for e, c in others}
    return Series.of(terms, series.order)
