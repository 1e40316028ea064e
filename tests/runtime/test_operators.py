"""Operators of the caller's: functions that the equations call besides the network."""

from __future__ import annotations

import copy
from typing import NamedTuple

import pytest
import torch
from fields import TanhField
from torch import Tensor, nn

from generated.frank_wolfe import ConditionalGradientNODE
from generated.mirror_descent import MirrorNODE
from optode import Architecture, Formulation, compile, given_ode
from optode.language.symbols import TIME, Field, Oracle, Tangent, symbol
from optode.runtime import Node, set_operator
from optode.spec.reader import parse_spec

every = pytest.mark.parametrize
METHODS = {"discrete": 6, "autograd": 6, "adjoint": 40}


@pytest.fixture(autouse=True)
def _settings(float64):
    """Every test in float64, from one seed."""


class Mixing(nn.Module):
    """An operator with parameters, whose Jacobian is not symmetric."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, u):
        return torch.tanh(self.layer(u)) * u.square().sum(-1, keepdim=True).sqrt()


class Sum(NamedTuple):
    h: Tensor
    m: Tensor


class ByHand(Node):
    """h' = m, m' = P(f(t, P(h))) - c*m, with the operator P at two points, and f between them."""

    States = Sum
    learned_names = ("c",)
    operator_names = ("P",)

    def __init__(self, field, P, **settings):
        super().__init__(field, **settings)
        set_operator(self, "P", P)
        self.c = nn.Parameter(torch.tensor(0.3))

    def equations(self, t, states, field):
        h, m = states
        inner = field.apply("P", h)
        f = field(inner)
        outer = field.apply("P", f)

        def pull(costates):
            a, b = costates
            f_bar = field.pull(outer, b)
            h_bar = field.pull(inner, field.pull(f, f_bar))
            return Sum(-h_bar, self.c * b - a), (torch.sum(-m * b),)

        return Sum(m, outer - self.c * m), pull


WRITTEN = """\
name: operators
step_size: s
parameters: {P: oracle, beta: 1 - c*s}
state: [x, m]
update: |
  m[k+1] = beta*m[k] + s*P(-grad(P(x[k])))
  x[k+1] = x[k] + s*m[k+1]
model:
  class: OperatorsNODE
  rename: {x: h}
  parameters: {c: {init: 0.3}}
"""


def gradients(node, h):
    """By the start and by every parameter, of the network, the operator and the equations."""
    node.zero_grad()
    start = h.clone().requires_grad_()
    out = node.integrate((start, *(0.1 * h for _ in node.state_names[1:]))).states
    sum(torch.sin(z[-1]).sum() for z in out).backward()
    found = {"h": start.grad} | {name: p.grad for name, p in node.named_parameters()}
    return {name.replace("raw_c", "c"): g for name, g in found.items()}


def close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, g in expected.items():
        torch.testing.assert_close(found[name], g, rtol=tolerance, atol=tolerance * g.abs().max())


@every("gradient", METHODS)
@every("made", [ConditionalGradientNODE, MirrorNODE, compile(parse_spec(WRITTEN))])
def test_every_gradient_is_autograd_s(made, gradient):
    """By the start, the network and the parameters of the operator."""
    operator = {name: Mixing() for name in made.operator_names}
    settings = {"method": "rk4", "options": {"steps": METHODS[gradient]}}
    node, h = made(TanhField(), **operator, **settings), torch.randn(3, 4)
    node.gradient = gradient
    found = gradients(node, h)
    node.gradient = "autograd"
    expected = gradients(node, h)
    assert all(g is not None and g.abs().max() > 0 for g in expected.values())
    close(found, expected, 1e-5 if gradient == "adjoint" else 1e-11)


@every("gradient", METHODS)
def test_a_generated_module_is_the_one_written_by_hand(gradient):
    settings = {"method": "rk4", "options": {"steps": 5}, "gradient": gradient}
    field, P, h = TanhField(), Mixing(), torch.randn(3, 4)
    ours, theirs = (
        made(field, P, **settings).double() for made in (compile(parse_spec(WRITTEN)), ByHand)
    )
    close(gradients(ours, h), gradients(theirs, h), 1e-12)


def test_the_adjoint_is_the_transposed_derivative():
    made = compile(parse_spec(WRITTEN))
    node, t = made(TanhField(), Mixing()).double(), torch.tensor(0.3)
    states = tuple(torch.randn(3, 4).requires_grad_() for _ in range(2))
    costates = tuple(torch.randn(3, 4) for _ in range(2))
    expected = torch.autograd.grad(node.vector_field(t, states), states, costates)
    close(
        dict(zip("hm", node.adjoint_field(t, states, costates), strict=True)),
        dict(zip("hm", (-x for x in expected), strict=True)),
        1e-12,
    )


def test_an_operator_is_asked_for():
    field = TanhField()
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'lmo'"):
        ConditionalGradientNODE(field)
    for given in (None, (0.0, 1.0), nn.Tanh, "sign"):
        with pytest.raises(TypeError, match="lmo must be a function of a tensor, or a module, got"):
            ConditionalGradientNODE(field, given)


def test_a_number_for_each_sample_is_one_for_its_features():
    text = WRITTEN.replace("s*P(-grad(P(x[k])))", "s*P(x[k])*grad(x[k])")
    made = compile(parse_spec(text))
    field, h = TanhField(), torch.randn(3, 4)

    def loss(x):
        return x.square().sum(-1, keepdim=True)

    small, full = (made(field, P) for P in (loss, lambda x: loss(x).expand_as(x)))
    for start in (h, h[0]):
        torch.testing.assert_close(small(start), full(start), rtol=1e-14, atol=1e-14)
    close(gradients(small, h), gradients(full, h), 1e-12)
    with pytest.raises(ValueError, match=r"P must return shape \(3, 4\), .* got \(3,\)"):
        made(field, lambda x: x.sum(-1))(h)
    with pytest.raises(ValueError, match=r"P must return shape \(3, 4\), .* got \(\)"):
        made(field, lambda x: x.sum())(h)


def test_refusals_name_the_operator():
    hidden = torch.ones(4, requires_grad=True)
    field, h = TanhField(), torch.randn(3, 4)
    with pytest.raises(ValueError, match="field or mirror uses a tensor that requires a gradient"):
        MirrorNODE(field, lambda z: z * hidden)(h)
    with pytest.raises(ValueError, match="field or mirror draws random numbers"):
        MirrorNODE(field, nn.Dropout())(h)
    with pytest.raises(ValueError, match="mirror changes its states"), torch.no_grad():
        MirrorNODE(field, lambda z: z.mul_(2))(h)
    with pytest.raises(ValueError, match="mirror is called with 1 arguments, the states it reads"):
        MirrorNODE(field, lambda t, z: z)(h)


def test_copies_and_state_dicts_have_the_operator():
    node, h = MirrorNODE(TanhField(), Mixing()), torch.randn(3, 4)
    twin = copy.deepcopy(node)
    torch.testing.assert_close(twin(h), node(h), rtol=0, atol=0)
    assert "mirror.layer.weight" in node.state_dict()


@every("gradient", METHODS)
def test_a_jacobian_product_of_an_operator(gradient):
    """v' = f - J_P(x) v, with the transposed product and the derivative of J_P on the way back."""
    x, v = symbol("x"), symbol("v")
    rates = {x: v, v: Field(TIME, x) - Tangent(Oracle("P", x), v)}
    made = compile(Formulation(given_ode("product", [x, v], rates), Architecture("ProductNODE")))
    settings = {"method": "rk4", "options": {"steps": METHODS[gradient]}}
    node, start = made(TanhField(), Mixing(), **settings), 1 + torch.rand(2, 4)
    f, (h, m) = node.field, (start, 0.1 * start)
    t = torch.tensor(0.3)
    expected = f(t, h) - torch.func.jvp(node.P, (h,), (m,))[1]
    torch.testing.assert_close(node.vector_field(t, (h, m))[1], expected, rtol=1e-12, atol=1e-12)
    node.gradient = gradient
    found = gradients(node, start)
    node.gradient = "autograd"
    close(found, gradients(node, start), 1e-5 if gradient == "adjoint" else 1e-11)
