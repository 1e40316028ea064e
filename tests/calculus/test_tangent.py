"""Jacobian products: numbers of a sample stand before them, values of its features do not."""

from __future__ import annotations

import numpy as np

from optode.calculus.tangent import derivative_along, tangent
from optode.language.elementwise import relu
from optode.language.symbols import Gradient, Loss, Tangent, dot, highest, mean, norm, symbol
from optode.trial.numerics import numerical
from optode.trial.smooth_field import game_field, optimizer_field

x, m, c = map(symbol, "xmc")
g, STATES = Gradient(x), frozenset((x, m))


def J(direction):
    return tangent(g, (direction,), STATES)


def test_numbers_of_a_sample_come_out():
    for number in (c, norm(g), mean(m**2), highest(m), Loss(x), relu(1 - c / norm(g)) ** 2):
        assert J(number * m) == number * Tangent(g, m)
    assert J(c * m / norm(m) - Loss(x) * m) == (c / norm(m) - Loss(x)) * Tangent(g, m)


def test_values_of_features_stay():
    assert J(c * m * g) == c * Tangent(g, m * g)
    assert J(m * x) == Tangent(g, m * x)
    assert J((dot(m, m) + x) * m) == dot(m, m) * Tangent(g, m) + Tangent(g, x * m)


def test_the_value_is_the_same():
    """Before and after, on a field whose Jacobian is not symmetric and on one with a loss."""
    point, velocity = np.array([0.7, -0.4]), np.array([0.3, 1.2])
    for field in (optimizer_field(), game_field()):
        directions = [m / norm(g) + mean(x) * x * m, highest(m) * g - g * norm(m)]
        for direction in directions:
            pair = [J(direction), Tangent(g, direction)]
            ours, theirs = numerical((x, m), pair, field)(point, velocity)
            np.testing.assert_allclose(ours, theirs, rtol=1e-13)


def test_the_derivative_of_a_norm_along_a_multiple():
    """By hand: along ``u = -q g`` with a number q, ``(g . g)' = -2 q g . J g``."""
    q = Loss(x) / norm(g)
    assert derivative_along(dot(g, g), {x: -q * g}) == -2 * q * dot(g, Tangent(g, g))
