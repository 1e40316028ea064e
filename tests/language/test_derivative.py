"""Derivatives of elementwise functions, against differences: by real calculus, kinks left aside."""

from __future__ import annotations

import pytest
import sympy as sp

from optode.language.derivative import partial
from optode.language.elementwise import hardtanh, relu, softplus
from optode.language.functions import bends
from optode.language.numbers import real_value
from optode.language.symbols import symbol

X, Y = symbol("x"), symbol("y")
EXPRESSIONS = (
    sp.sign(X / Y) * X,
    sp.sign(sp.sqrt(X) / Y),
    sp.Abs(sp.sqrt(X) * Y),
    sp.Abs(X**3 / (sp.sqrt(Y) + 1)),
    sp.sqrt(sp.Abs(X * Y - 2)),
    relu(X - Y**2) * sp.exp(-X),
    hardtanh(X * Y, -1, X / 2),
    softplus(X) ** Y,
    X ** sp.Rational(-1, 3) * sp.log(X),
)


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_derivatives_are_those_of_real_calculus(expression: sp.Expr) -> None:
    slope = partial(expression, X)
    assert not slope.has(sp.re, sp.im, sp.arg, sp.atan2, sp.Derivative, sp.DiracDelta)
    step = sp.Float("1e-12", 40)
    for x, y in ((0.7, 0.4), (1.9, 1.1), (0.2, 2.3)):
        left, right = (
            real_value(expression, {X: sp.Float(x, 40) + side * step, Y: sp.Float(y, 40)}, 40)
            for side in (-1, 1)
        )
        expected = (right - left) / (2 * step)
        found = real_value(slope, {X: sp.Float(x, 40), Y: sp.Float(y, 40)}, 40)
        assert found == pytest.approx(float(expected), rel=1e-9, abs=1e-9)


def test_what_bends_is_no_line() -> None:
    assert partial(sp.sign(X) + 2 * X, X) == 2
    assert bends(sp.sign(X) + 2 * X, X)
    assert not bends(sp.sign(Y) + 2 * X, X)
