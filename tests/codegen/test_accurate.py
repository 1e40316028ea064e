"""Forms whose digits do not cancel: equal to the given ones, and accurate in float32."""

from __future__ import annotations

import math
import random

import pytest
import sympy as sp
import torch
from torch import nn
from torch.nn import functional

from generated.adam_bias_corrected import BiasCorrectedAdamNODE
from generated.clipped_descent import ClippedNODE
from optode.codegen.accurate import accurate
from optode.codegen.expressions import TorchPrinter
from optode.compiler import compile
from optode.language.elementwise import by_formula, maximum, minimum, relu, sigmoid
from optode.language.symbols import symbol
from optode.spec.reader import parse_spec

A, C, T, X, Y = map(symbol, ["a", "c", "t", "x", "y"])
EXP, TANH, SQRT = sp.exp, sp.tanh, sp.sqrt
FORMS = {
    1 - EXP(-A * T): "-torch.expm1(-a * t)",
    A * EXP(X) - A + C: "a * torch.expm1(x) + c",
    (A + C) * EXP(X) - A - C: "a * torch.expm1(x) + c * torch.expm1(x)",
    EXP(-2 * X) - EXP(-X): "torch.exp(-x) * torch.expm1(-x)",
    EXP(-X / 2) - 1: "torch.expm1(-0.5 * x)",
    2 * EXP(-X) - EXP(-2 * X) - 1: "-(torch.expm1(-x) ** 2)",
    EXP(X) + EXP(-X) - 2: "-torch.expm1(-x) * torch.expm1(x)",
    EXP(-X) * (1 - EXP(X)): "torch.expm1(-x)",
    EXP(X) - EXP(Y): "torch.expm1(x) - torch.expm1(y)",
    T * EXP(X) / (1 - EXP(X)) ** 2: "t * torch.exp(x) / torch.expm1(x) ** 2",
    1 - A**T: "-torch.expm1(t * torch.log(a))",
    1 - (1 - A) ** T: "-torch.expm1(t * torch.log1p(-a))",
    1 - sp.Rational(1, 2) ** T: f"-torch.expm1({math.log(0.5)!r} * t)",
    sp.log(1 + X): "torch.log1p(x)",
    sp.log(1 + EXP(X)): "functional.softplus(x)",
    sp.log(sigmoid(X)): "functional.logsigmoid(x)",
    sp.log(1 - sigmoid(X)): "functional.logsigmoid(-x)",
    1 - sigmoid(X): "torch.sigmoid(-x)",
    sigmoid(X) - sigmoid(X) ** 2: "torch.sigmoid(-x) * torch.sigmoid(x)",
    EXP(X) / (1 + EXP(X)) ** 2: "torch.sigmoid(-x) * torch.sigmoid(x)",
    1 - TANH(X) ** 2: "1 / torch.cosh(x) ** 2",
    1 - TANH(X): "2 * torch.sigmoid(-2 * x)",
    sp.cosh(X) - 1: "-0.5 * torch.expm1(x) * torch.expm1(-x)",
    SQRT(1 + X) - 1: "x / (torch.sqrt(x + 1) + 1)",
    1 / SQRT(1 + X) - 1: "torch.expm1(-0.5 * torch.log1p(x))",
    1 / (1 + X) - 1: "-x / (x + 1)",
    1 - X**2 / (X**2 + C): "c / (x**2 + c)",
    1 - X * sp.sign(X) / (abs(X) + C): "c / (torch.abs(x) + c)",
    1 - relu(1 - C / X): "torch.clamp(c / x, max=1.0)",
    maximum(X, Y): "torch.clamp(y, min=x)",
    minimum(X, Y): "torch.clamp(y, max=x)",
}  # fmt: skip
KEPT = (
    2 - EXP(X),
    X + Y * EXP(A),
    sp.log(2 + X),
    1 + EXP(X),
    X + relu(Y),
    1 - A * EXP(X),
    1 - X**T,
)


def value(expression, point):
    return by_formula(expression).xreplace(point).evalf(40)


@pytest.mark.parametrize("expression", FORMS, ids=str)
def test_the_accurate_form_is_equal_and_keeps_its_digits(expression):
    form = accurate(expression, {A})
    assert same_factors(TorchPrinter().text(form), FORMS[expression])
    draw = random.Random(1)
    for size in (1.0, 1e-6):
        point = {s: sp.Rational(draw.uniform(0.2, 0.9)) for s in expression.free_symbols}
        point |= {s: size * point[s] for s in (X, T) if s in point}
        point = {s: sp.Rational(float(torch.tensor(float(x)))) for s, x in point.items()}
        exact = value(expression, point)
        assert abs(value(form, point) - exact) < 1e-25
        names = {s.name: torch.tensor(float(x)) for s, x in point.items()}
        ours = eval(TorchPrinter().text(form), {"torch": torch, "functional": functional} | names)
        assert ours.item() == pytest.approx(float(exact), rel=2e-6, abs=1e-12)


def same_factors(ours, expected):
    """Whether the texts agree, the order of products apart."""
    return sorted(ours.split(" * ")) == sorted(expected.split(" * "))


@pytest.mark.parametrize("expression", KEPT, ids=str)
def test_what_does_not_cancel_is_kept(expression):
    assert accurate(expression, {A}) == expression


@pytest.mark.parametrize("x", [1e-7, 1e-3, 1.0, 30.0, 1e3])
def test_bias_corrected_adam_keeps_its_digits_in_float32(x):
    """Within 10 roundings of float64, in the vector field, the pullback and the start."""
    t, found = torch.tensor(0.75), []
    rates = [torch.tensor(x / 0.75), torch.tensor(x / 1.5)]
    states = (torch.randn(5, 3), torch.randn(5, 3), torch.rand(5, 3) + 0.2)
    for dtype in (torch.float32, torch.float64):
        alpha, beta = (nn.Parameter(rate.to(dtype)) for rate in rates)
        node = BiasCorrectedAdamNODE(lambda t, h: 0 * h, alpha=alpha, beta=beta)
        at, z = t.to(dtype), [s.to(dtype) for s in states]
        speed, pull = node.linearize(at, tuple(z))
        zero = torch.zeros_like(z[0])
        (*_, back_m, back_v), bars = pull((z[1], zero, zero))
        start = node.initial_states(z[0], t=at)
        found.append([*speed, back_m, back_v, *bars, *start])
    for ours, exact in zip(*found, strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=10 * 2**-23, atol=1e-37)


def test_clipped_descent_keeps_the_direction_of_a_large_gradient():
    h = torch.tensor([[3e6, 4e6]])
    node = ClippedNODE(lambda t, h: h, c=1.0)
    (rate,) = node.vector_field(torch.tensor(0.0), (h,))
    torch.testing.assert_close(rate, torch.tensor([[0.6, 0.8]]), rtol=1e-6, atol=0)


DAMPED = """
name: damped
state: [h, m]
ode: |
  h' = m
  m' = f(t, h) - {damping}*m
model:
  class: DampedFormNODE
  parameters: {{gamma: {{init: 0.5, transform: softplus}}}}
  initial: {{m: zero}}
"""
DAMPINGS = ("tanh(gamma)", "abs(gamma)", "gamma*(1 - exp(-gamma*t))", "log(1 + sigmoid(gamma))",
            "hardtanh(gamma)")  # fmt: skip


@pytest.mark.parametrize("damping", DAMPINGS)
def test_a_damping_of_any_function_is_solved_by_collocation(damping):
    """The numbers L of the linear part have it, at several times at once."""
    made, found = compile(parse_spec(DAMPED.format(damping=damping))), []
    h0 = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
    for method, gradient in (
        ("interpolation8", "discrete"),
        ("interpolation8", "autograd"),
        ("dopri5", "discrete"),
    ):
        node = made(lambda t, h: torch.sin(h), (0.0, 1.0), method, 1e-9, 1e-9, gradient=gradient)
        h = node.double()(h0)
        h.sum().backward()
        found.append(torch.stack([h.sum(), node.raw_gamma.grad]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[0], found[2], rtol=1e-6, atol=1e-6)
