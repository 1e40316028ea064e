"""Ranges of expressions: no sampled value lies outside, and no sign is left out that occurs."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from optode.language.arrays import array_modules, in_full, ones
from optode.language.conditions import compared, where
from optode.language.elementwise import hardtanh, maximum, minimum, relu, sigmoid, softplus, step
from optode.language.ranges import decided, possible_signs, range_of, signs_at_positive
from optode.language.symbols import Gradient, Loss, dot, highest, mean, norm, symbol, total

x, y, a = map(symbol, "xya")
p = sp.Symbol("p", positive=True)
g = Gradient(x)

EXPRESSIONS = {
    "1 - sigmoid(x)": 1 - sigmoid(x),
    "sigmoid(x)*tanh(y)": sigmoid(x) * sp.tanh(y),
    "max(x, 0)": maximum(x, 0),
    "max(tanh(x), y**2)": maximum(sp.tanh(x), y**2),
    "min(x, -p)": minimum(x, -p),
    "min(max(x, -2), 3)": minimum(maximum(x, -2), 3),
    "1 + x**2": 1 + x**2,
    "x**3": x**3,
    "1/(1 + x**2)": 1 / (1 + x**2),
    "1/(cos(x) - 3)": 1 / (sp.cos(x) - 3),
    "sqrt(p + 1)": sp.sqrt(p + 1),
    "1/x": 1 / x,
    "abs(x)": sp.Abs(x),
    "abs(cos(x) - 3)": sp.Abs(sp.cos(x) - 3),
    "softplus(x)*p": softplus(x) * p,
    "clip(x, -1, 2)": hardtanh(x, -1, 2),
    "relu(tanh(x) - 2)": relu(sp.tanh(x) - 2),
    "where(x > 0, p, 2)": where(compared(x, ">", sp.S.Zero), p, sp.Integer(2)),
    "mean(x**2)": mean(x**2),
    "total(tanh(x))": total(sp.tanh(x)),
    "total(exp(x))": total(sp.exp(x)),
    "total(-exp(x) - 1)": total(-sp.exp(x) - 1),
    "maximum(abs(x))": highest(sp.Abs(x)),
    "norm(x)": norm(x),
    "dot(p, x**2)": dot(p, x**2),
    "exp(x) - 1": sp.exp(x) - 1,
    "step(x) - 1/2": step(x) - sp.Rational(1, 2),
    "x - y": x - y,
}


def samples(expression):
    """Its values at random vectors of three features, small ones and large ones."""
    rng = np.random.default_rng(1)
    run = sp.lambdify(
        (sp.Symbol("_ones", real=True), x, y, p), in_full(expression), array_modules(None)
    )
    for scale in (0.01, 1, 30):
        for _ in range(200):
            u, w = scale * rng.standard_normal((2, 3))
            v = scale * rng.random(3) + 1e-9
            yield from np.broadcast_to(run(ones(u), u, w, v), 3)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_no_value_lies_outside(name):
    expression = EXPRESSIONS[name]
    low, high = (float(end) for end in range_of(expression))
    signs, values = possible_signs(expression), list(samples(expression))
    slack = 1e-12 * (1 + max(map(abs, values)))
    assert low - slack <= min(values) and max(values) <= high + slack
    assert {int(np.sign(v)) for v in values if abs(v) > slack} <= signs


NARROW = {
    sigmoid(x) - 1: {-1, 0},
    sp.tanh(x) - 2: {-1},
    softplus(x): {1},
    maximum(x, 0): {0, 1},
    maximum(x, p): {1},
    minimum(x, -p): {-1},
    x**2 + 1: {1},
    sp.Abs(x) + p: {1},
    -dot(g, g): {-1, 0},
    1 / norm(g): {1},
    total(sp.S.One): {1},
    mean(x**2): {0, 1},
    highest(sp.exp(x)): {1},
    x * y: {-1, 0, 1},
    Loss(x): {-1, 0, 1},
    hardtanh(x, 1, 2): {1},
}


@pytest.mark.parametrize(("expression", "signs"), NARROW.items(), ids=str)
def test_signs(expression, signs):
    assert possible_signs(expression) == signs


def test_a_long_expression_is_not_looked_at():
    assert possible_signs(sp.Add(*(sp.Abs(x) ** n for n in range(1, 40)))) == {-1, 0, 1}


def test_losses_and_parameters_are_taken_positive():
    u = -a * Loss(x) / norm(g)
    assert possible_signs(u) == {-1, 0, 1}
    assert signs_at_positive(u, [a]) == {-1}
    assert signs_at_positive(u, []) == {-1, 0, 1}
    assert decided(x * relu(u) + step(-u), [x]) == 1
    assert decided(relu(-u), [x]) == -u
    assert decided(relu(Loss(x) - a), [x]) == relu(Loss(x) - a)
