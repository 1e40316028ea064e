"""Every shipped spec against the literature: derived equations minus the published ones are 0."""

from __future__ import annotations

from itertools import product

import catalogue
import loss_catalogue
import matrix_catalogue
import pytest
import sympy as sp
from corpus_catalogue import LIMITS as CORPUS

from optode.compiler import derive
from optode.language.symbols import Gradient, Loss, Tangent, dot
from optode.limit.limit import continuous_limit
from optode.spec.shipped import shipped_specs

LIMITS = catalogue.LIMITS | loss_catalogue.LIMITS | matrix_catalogue.LIMITS | CORPUS
NEXT = catalogue.NEXT | loss_catalogue.NEXT


def remainder(expression, states):
    """What is left of an expression once it is written out in products with the oracles.

    Jacobian products are linear, inner products bilinear and scalars. Gradients under `abs` and
    `sign` are taken to be positive, then negative.
    """
    flat = _Flattener(states)(sp.sympify(expression))
    switching = [f.args[0] for f in flat.atoms(sp.Abs, sp.sign) if f.args[0].func is Gradient]
    size = sp.Symbol("size", positive=True)
    branches = [flat.subs(switching[0], side) for side in (size, -size)] if switching else [flat]
    return sp.Add(*(sp.Abs(sp.simplify(sp.expand(branch))) for branch in branches))


class _Flattener:
    """Jacobian and inner products as symbols, their arguments in one form, scalars out of them."""

    def __init__(self, states):
        self.vectors = set(states)

    def __call__(self, expression):
        if not expression.args:
            return expression
        if expression.func is Tangent:
            return self.product("J", expression.args[:1], expression.args[1:])
        if expression.func is Loss:
            return sp.Symbol(f"loss{expression.args}", real=True)
        if expression.func is dot:
            return self.product("dot", (), expression.args)
        return expression.func(*map(self, expression.args))

    def product(self, kind, point, directions):
        """A multilinear product as the sum of the products of the directions' terms."""
        total = sp.S.Zero
        for terms in product(*(self.terms(u) for u in directions)):
            named = sorted((str(vector) for _, vector in terms))
            positive = (kind == "dot" and named[0] == named[1]) or None
            symbol_ = sp.Symbol(
                f"{kind}{(*map(self, point), *named)}", real=True, positive=positive
            )
            if kind == "J":
                self.vectors.add(symbol_)
            total += sp.Mul(*(scalar for scalar, _ in terms)) * symbol_
        return total

    def terms(self, direction):
        """Pairs (scalar, vector) that make up a direction."""
        for term in sp.Add.make_args(sp.expand(self(direction))):
            yield sp.factor(term).as_independent(*self.vectors, Gradient, as_Add=False)


def next_order(name):
    derivation = derive(name)
    return continuous_limit(derivation.rule, derivation.scaling, order=1)


@pytest.mark.parametrize("name", LIMITS)
def test_the_limit_is_the_published_one(name):
    limit, expected = derive(name).limit, LIMITS[name]
    assert limit.states == tuple(expected)
    for state, equation in zip(limit.states, limit.equations, strict=True):
        assert remainder(equation - expected[state], limit.states) == 0, f"{state}' = {equation}"


@pytest.mark.parametrize("name", NEXT)
def test_the_next_order_is_the_published_one(name):
    limit, leading, expected = next_order(name), LIMITS[name], NEXT[name]
    assert limit.states == tuple(expected)
    for state, equation in zip(limit.states, limit.equations, strict=True):
        published = leading[state] + limit.step * expected[state]
        assert remainder(equation - published, limit.states) == 0, f"{state}' = {equation}"


@pytest.mark.parametrize("name", catalogue.SECOND_ORDER)
def test_the_high_resolution_equation_is_the_published_one(name):
    limit = next_order(name)
    difference = limit.second_order - catalogue.SECOND_ORDER[name]
    assert remainder(difference, (*limit.states, catalogue.x_dot)) == 0, limit.second_order


@pytest.mark.parametrize("name", catalogue.OFFSETS)
def test_the_time_offset_is_the_published_one(name):
    assert next_order(name).offset == catalogue.OFFSETS[name]


@pytest.mark.parametrize("name", catalogue.STARTS)
def test_the_start_is_shifted_by_the_layer(name):
    assert sp.simplify(next_order(name).initial[0] - catalogue.STARTS[name]) == 0


@pytest.mark.parametrize("name", catalogue.MATCHED_VELOCITY)
def test_the_initial_velocity_is_matched(name):
    limit = next_order(name)
    start = dict(zip(limit.states, limit.initial, strict=True))
    velocity = limit.equations[0].xreplace(start)
    assert sp.simplify(velocity - catalogue.MATCHED_VELOCITY[name]) == 0, velocity


@pytest.mark.parametrize("name", catalogue.UNITS)
def test_the_unit_of_time_is_the_published_one(name):
    assert sp.simplify(derive(name).limit.step - catalogue.UNITS[name]) == 0


def test_gradient_descent_to_second_order():
    """Hairer, Lubich, Wanner IX: s^2 (V'V'V/3 + V''(V, V)/12) with V = -g."""
    x, g, J, s = catalogue.x, catalogue.g, catalogue.J, catalogue.s
    derivation = derive("gradient_descent")
    (equation,) = continuous_limit(derivation.rule, derivation.scaling, order=2).equations
    published = -g - s / 2 * J(g) - s**2 * (J(J(g)) / 3 + Tangent(g, g, g) / 12)
    assert remainder(equation - published, (x,)) == 0, equation


def test_every_shipped_rule_is_checked():
    rules = {name for name in shipped_specs() if not derive(name).spec.is_ode}
    tables = (catalogue.LIMITS, loss_catalogue.LIMITS, matrix_catalogue.LIMITS, CORPUS)
    assert sum(map(len, tables)) == len(LIMITS)  # none is typed twice
    rewritten = {"adam_guarded", "generalized_heavy_ball", "generalized_heavy_ball_hardtanh"}
    assert rules - rewritten == set(LIMITS)
