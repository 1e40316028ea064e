"""Symbolic checks: derived equations against equations typed by hand from the literature.

Sources: Polyak 1964 and Xia et al. 2021 (heavy ball), Cho et al. 2022 (AdamNODE), Su, Boyd, Candes 2014
and Nguyen et al. 2022 (Nesterov), Norcliffe et al. 2020 (SONODE), da Silva and Gazeau 2020 (Adam).
"""

from __future__ import annotations

import pytest
import sympy as sp

from optode.compiler import derive
from optode.language.elementwise import sigmoid, softplus
from optode.language.symbols import TIME, Field, FieldTransposed, Gradient, symbol

t = TIME
h, m, v, x, dx = map(symbol, ("h", "m", "v", "x", "dx"))
a_h, a_m, a_v, a_x = map(symbol, ("a_h", "a_m", "a_v", "a_x"))
alpha, beta, gamma, xi, eps = map(symbol, ("alpha", "beta", "gamma", "xi", "eps"))
f, g, JT = Field(t, h), Gradient(x), FieldTransposed
sqrt, exp, tanh = sp.sqrt, sp.exp, sp.tanh

MODELS = {
    "gradient_descent": {h: f},
    "heavy_ball": {h: m, m: -gamma * m + f},
    "generalized_heavy_ball": {h: tanh(m), m: -gamma * m + f - xi * h},
    "nesterov": {h: m, m: -3 / t * m + f},
    "adam": {h: -m / (sqrt(v) + eps), m: alpha * (-f - m), v: beta * (f**2 - v)},
    "adam_guarded": {
        h: -m / (sqrt(softplus(v)) + eps),
        m: alpha * (-f - m),
        v: beta * (f**2 - v),
    },
    "second_order": {x: v, v: Field(t, x, v)},
}

D = 1 / (sqrt(v) + eps)
ADJOINTS = {
    "gradient_descent": {a_h: -JT(a_h)},
    "heavy_ball": {a_h: -JT(a_m), a_m: -a_h + gamma * a_m},
    "generalized_heavy_ball": {
        a_h: -JT(a_m) + xi * a_m,
        a_m: -(1 - tanh(m) ** 2) * a_h + gamma * a_m,
    },
    "nesterov": {a_h: -JT(a_m), a_m: -a_h + 3 / t * a_m},
    "adam": {
        a_h: JT(alpha * a_m - 2 * beta * f * a_v),
        a_m: D * a_h + alpha * a_m,
        a_v: D.diff(v) * m * a_h + beta * a_v,
    },
    "adam_guarded": {
        a_h: JT(alpha * a_m - 2 * beta * f * a_v),
        a_m: a_h / (sqrt(softplus(v)) + eps) + alpha * a_m,
        a_v: -sigmoid(v) / (2 * sqrt(softplus(v)) * (sqrt(softplus(v)) + eps) ** 2) * m * a_h
        + beta * a_v,
    },
    "second_order": {a_x: -JT(a_v, x), a_v: -a_x - JT(a_v, v)},
}


def assert_same(names, derived, expected):
    assert tuple(names) == tuple(expected)
    for name, equation in zip(names, derived, strict=True):
        assert sp.simplify(equation - expected[name]) == 0, f"{name}' = {equation}"


@pytest.mark.parametrize("name", MODELS)
def test_model_is_the_published_one(name):
    model = derive(name).model
    assert_same(model.states, model.equations, MODELS[name])


@pytest.mark.parametrize("name", ADJOINTS)
def test_adjoint_is_the_hand_derived_one(name):
    adjoint = derive(name).adjoint
    assert_same(adjoint.costates, adjoint.equations, ADJOINTS[name])


def test_hardtanh_variant():
    model = derive("generalized_heavy_ball_hardtanh").model
    clipped, force = model.equations
    for value, expected in ((-7, -5), (0.5, 0.5), (9, 5)):
        assert clipped.subs(m, value) == expected
    assert sp.simplify(force - (-gamma * m + f - xi * h)) == 0


@pytest.mark.parametrize(
    ("name", "step", "scales"),
    [
        ("gradient_descent", "s", ("1",)),
        ("heavy_ball", "sqrt(s)", ("1", "sqrt(s)")),
        ("nesterov", "sqrt(s)", ("1", "sqrt(s)")),
        ("adam", "lr", ("1", "1", "1")),
        ("adam_bias_corrected", "lr", ("1", "1", "1")),
    ],
)
def test_scaling_found_by_balance(name, step, scales):
    limit = derive(name).limit
    assert str(limit.step) == step
    assert tuple(map(str, limit.scales)) == scales


def test_singular_times_and_derived_start():
    assert derive("nesterov").limit.singular_times == (0,)
    assert derive("adam_bias_corrected").limit.singular_times == (0,)
    assert derive("heavy_ball").limit.singular_times == ()
    assert derive("heavy_ball").limit.initial == (symbol("x0"), 0)


def test_parameter_quadratures():
    quadratures = dict(derive("heavy_ball").adjoint.quadratures)
    assert quadratures == {gamma: -m * a_m}
    quadratures = dict(derive("generalized_heavy_ball").adjoint.quadratures)
    assert quadratures == {gamma: -m * a_m, xi: -h * a_m}


@pytest.mark.parametrize("name", ADJOINTS)
def test_one_vector_jacobian_product_for_each_call_of_the_field(name):
    kinds = [type(s).__name__ for s in derive(name).adjoint.backward.statements]
    assert kinds.count("FieldPullback") == kinds.count("FieldCall") == 1
