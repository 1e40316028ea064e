"""Next order: derived equations against published ones, emitted modules against autograd."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp
import torch
from fields import StillField

import optode
from optode.codegen.in_memory import class_from_text
from optode.compiler import derive
from optode.derivation import Derivation
from optode.diagnostics import SpecError
from optode.language.symbols import TIME, At, Gradient, Tangent, step_symbol, symbol
from optode.limit.balance import scalings
from optode.limit.limit import continuous_limit
from optode.rule.update_rule import update_rule

s = step_symbol("s")
x, v, y, x_dot = map(symbol, ("x", "v", "y", "x_dot"))
beta, gamma, mu, r = map(symbol, ("beta", "gamma", "mu", "r"))
g = Gradient
k = sp.Symbol("k", real=True)


def J(u):
    return Tangent(g(x), u)


def next_order(rule, order=1):
    (scaling,) = scalings(rule)
    return continuous_limit(rule, scaling, order)


def assert_zero(difference):
    assert sp.simplify(sp.expand(difference)) == 0, difference


BETA = (1 - sp.sqrt(mu * s)) / (1 + sp.sqrt(mu * s))


def test_heavy_ball_is_the_high_resolution_ode_of_shi_et_al():
    """Shi, Du, Jordan, Su 2018, arXiv:1810.08907: x'' + 2 sqrt(mu) x' + (1 + sqrt(mu s)) g = 0."""
    update = {v: beta * v - s * g(x), x: x + At(v, 1)}
    limit = next_order(update_rule("hb", s, [x, v], update, parameters={beta: BETA}))
    published = -2 * sp.sqrt(mu) * x_dot - (1 + sp.sqrt(mu) * sp.sqrt(s)) * g(x)
    assert_zero(limit.second_order - published)


def test_nesterov_strongly_convex_is_the_high_resolution_ode_of_shi_et_al():
    """x'' + 2 sqrt(mu) x' + sqrt(s) H x' + (1 + sqrt(mu s)) g = 0."""
    update = {y: x + beta * (x - At(x, -1)), x: y - s * g(y)}
    limit = next_order(update_rule("nag", s, [x], update, parameters={beta: BETA}))
    published = -2 * sp.sqrt(mu) * x_dot - sp.sqrt(s) * J(x_dot)
    published -= (1 + sp.sqrt(mu) * sp.sqrt(s)) * g(x)
    assert_zero(limit.second_order - published)


def test_nesterov_convex_with_its_time_offset():
    """x'' + (r/t) x' + sqrt(s) H x' + (1 + r sqrt(s)/(2t)) g = 0 for t = (k + r/2) sqrt(s)."""
    update = {y: x + k / (k + r) * (x - At(x, -1)), x: y - s * g(y)}
    limit = next_order(update_rule("nag", s, [x], update))
    published = -r / TIME * x_dot - sp.sqrt(s) * J(x_dot)
    published -= (1 + r * sp.sqrt(s) / (2 * TIME)) * g(x)
    assert_zero(limit.second_order - published)
    assert limit.offset == r / 2


def test_gradient_descent_to_second_order():
    """Barrett, Dherin 2021 and Hairer, Lubich, Wanner IX: -g - (s/2) H g - s^2 (HHg/3 + f'''gg/12)."""
    limit = next_order(update_rule("gd", s, [x], {x: x - s * g(x)}), order=2)
    third = Tangent(g(x), g(x), g(x))
    published = -g(x) - s / 2 * J(g(x)) - s**2 * (J(J(g(x))) / 3 + third / 12)
    assert_zero(limit.equations[0] - published)


@pytest.mark.parametrize(
    ("update", "first"),
    [
        ({x: x - s * g(x)}, -J(g(x)) / 2),
        ({x: x - s * g(x - s * g(x))}, J(g(x)) / 2),
        ({x: x - 2 * s * g(x) + s * g(At(x, -1))}, J(g(x)) / 2),
        ({x: x - s * g(At(x, 1))}, J(g(x)) / 2),
    ],
    ids=["descent-ascent", "extragradient", "optimistic", "proximal point"],
)
def test_games(update, first):
    """Lu 2022, arXiv:2001.08826: z' = -F -+ (s/2) J F."""
    limit = next_order(update_rule("game", s, [x], update))
    assert_zero(limit.equations[0] - (-g(x) + s * first))


def test_heavy_ball_with_beta_fixed_and_its_shifted_start():
    """Kovachki, Stuart 2021: -g/(1-beta) - s (1+beta)/(2 (1-beta)^3) H g from x0 + s beta/(1-beta)^2 g."""
    rule = update_rule("hb", s, [x, v], {v: beta * v - s * g(x), x: x + At(v, 1)})
    rule = replace(rule, decays=(beta,))
    fixed = next(c for c in scalings(rule) if c.regimes == ("fixed",))
    limit = continuous_limit(rule, fixed, 1)
    published = -g(x) / (1 - beta) - s * (1 + beta) / (2 * (1 - beta) ** 3) * J(g(x))
    assert_zero(limit.equations[0] - published)
    x0 = symbol("x0")
    assert_zero(limit.initial[0] - (x0 + s * beta / (1 - beta) ** 2 * g(x0)))


def test_no_next_order_between_distinguished_limits():
    rule = update_rule("hb", s, [x, v], {v: beta * v - s * g(x), x: x + At(v, 1)})
    rule = replace(rule, decays=(beta,))
    between = next(c for c in scalings(rule) if c.regimes == ("fast",))
    with pytest.raises(SpecError, match="E405"):
        continuous_limit(rule, between, 1)


@pytest.mark.parametrize("name", ["heavy_ball", "nesterov_strongly_convex", "gradient_descent"])
def test_emitted_module_of_next_order(name):
    """The adjoint of J(u), a product with the transposed derivative of a product, against autograd."""
    derivation: Derivation = derive(name, order=1, step=0.1)
    made = class_from_text(
        derivation.module_text, derivation.file_name, derivation.model.class_name
    )
    torch.manual_seed(0)
    node, t = made(StillField()).double(), torch.tensor(0.3, dtype=torch.float64)
    double = {"dtype": torch.float64}
    states = tuple(torch.randn(3, 4, requires_grad=True, **double) for _ in node.state_names)
    costates = tuple(torch.randn(3, 4, **double) for _ in states)
    expected = torch.autograd.grad(node.vector_field(t, states), states, costates)
    for ours, theirs in zip(node.adjoint_field(t, states, costates), expected, strict=True):
        torch.testing.assert_close(ours, -theirs, rtol=1e-10, atol=1e-10)
    gradients = {}
    for node.gradient in ("discrete", "autograd"):
        node.zero_grad()
        node(states[0].detach()).square().sum().backward()
        gradients[node.gradient] = [p.grad.clone() for p in node.parameters()]
    for ours, theirs in zip(*gradients.values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_a_jacobian_product_is_not_its_transpose():
    """On a network whose Jacobian is not symmetric the emitted term is J u, by central differences."""
    derivation = derive("heavy_ball", order=1, step=0.04)
    made = class_from_text(
        derivation.module_text, derivation.file_name, derivation.model.class_name
    )
    torch.manual_seed(1)
    force = StillField().double()
    node, t = made(force), torch.tensor(0.0, dtype=torch.float64)
    h, m = torch.randn(2, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    step, gamma = 1e-6, float(node.gamma)
    ju = (force(t, h + step * m) - force(t, h - step * m)) / (2 * step)
    f = force(t, h)
    root = 0.04**0.5
    expected = -gamma * m + f + root / 2 * (-(gamma**2) * m + gamma * f - ju)
    torch.testing.assert_close(node.vector_field(t, (h, m))[1], expected, rtol=1e-7, atol=1e-7)


def test_the_library_shows_the_order():
    assert "J(v)" in optode.derive("heavy_ball", order=1).show("limit")
