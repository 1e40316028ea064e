"""Series in the continuous step against high-precision numbers: the remainder has the stated order."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import pytest
import sympy as sp

from optode.calculus.expansion import Scale, expand
from optode.calculus.series import NoExpansion
from optode.language.elementwise import sigmoid
from optode.language.symbols import COUNTER as k
from optode.language.symbols import TIME as t
from optode.language.symbols import Gradient, step_symbol, symbol

s = step_symbol("s")
a, b, m, v, x = map(symbol, ("a", "b", "m", "v", "x"))
POINT = {a: "1.3", b: "0.7", m: "-0.4", v: "0.9", x: "0.6", t: "1.1"}
POINT = {name: sp.Float(value, 60) for name, value in POINT.items()}
SQRT = Scale(((s, sp.S.One, Fraction(2)), (v, v, Fraction(1))))
PLAIN = Scale(((s, sp.S.One, Fraction(1)),))
AVERAGED = (1 - a * s) * m + a * s * b

CASES = [
    (PLAIN, (1 - a * s) ** (k + 1)),
    (PLAIN, 1 / (1 - (1 - a * s) ** (k + 1))),
    (PLAIN, (k - 1) / (k + 2)),
    (PLAIN, k / (k + 3) - 1),
    (PLAIN, sp.sqrt(v / (1 - (1 - b * s) ** (k + 1))) + s),
    (PLAIN, -s * AVERAGED / (sp.sqrt((1 - b * s) * v + b * s * x**2) + a)),
    (PLAIN, sp.tanh(x + s * m) * sp.exp(-a * s)),
    (PLAIN, sigmoid(x + s * v) - sigmoid(x)),
    (PLAIN, sp.log(1 + a * s) / s),
    (PLAIN, sp.Abs(s * m + s**2 * x)),
    (SQRT, (1 - sp.sqrt(b * s)) / (1 + sp.sqrt(b * s))),
    (SQRT, (1 - a * sp.sqrt(s)) * v - s * x),
    (SQRT, sp.sqrt(s) * sp.cos(v)),
]


def at(expression, scale, delta):
    """The expression's value with every symbol at its scale, by mpmath."""
    scaled = {
        sym: c.subs(POINT) * sp.Float(delta, 60) ** sp.Rational(e.numerator, e.denominator)
        for sym, c, e in scale.monomials
    }
    return expression.subs(k, t / sp.Float(delta, 60)).subs(POINT | scaled).evalf(50)


@pytest.mark.parametrize(("scale", "expression"), CASES, ids=str)
def test_remainder_has_the_stated_order(scale, expression):
    mpmath.mp.dps = 60
    series = expand(expression, scale, Fraction(3))
    remainders = []
    for delta in ("1e-3", "1e-5"):
        total = sum(
            c.subs(POINT) * sp.Float(delta, 60) ** sp.Rational(e.numerator, e.denominator)
            for e, c in series.terms
            if e < 3
        )
        remainders.append(abs(at(expression, scale, delta) - total))
    if remainders[1] > 1e-40:
        slope = mpmath.log10(remainders[0] / remainders[1]) / 2
        assert slope > 2.4, f"{slope}: {series}"


def test_oracle_is_known_up_to_the_first_correction():
    series = expand(s * Gradient(x + s * m), PLAIN, Fraction(2))
    assert series.terms == ((Fraction(1), Gradient(x)),)
    assert series.order == 2


def test_averages_that_are_fast_are_forgotten_beyond_all_orders():
    fast = Scale(((s, sp.S.One, Fraction(2)),))
    assert expand((1 - a * sp.sqrt(s)) ** (k / sp.sqrt(s)), PLAIN, Fraction(4)).terms == ()
    assert expand(sp.exp(-k * sp.sqrt(s)), fast, Fraction(2)).terms[0][1] == sp.exp(-t)


@pytest.mark.parametrize(
    "expression", [sp.log(s), sp.exp(1 / s), Gradient(x / s), sp.tanh(x / s), (1 + a * s) ** (k**2)]
)
def test_no_power_series(expression):
    with pytest.raises(NoExpansion):
        expand(expression, PLAIN, Fraction(2))
