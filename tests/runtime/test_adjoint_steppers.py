"""The adjoint system backwards, after interpolations of f forwards and Runge-Kutta methods."""

from __future__ import annotations

import warnings
from functools import cache

import pytest
import torch
from fields import TanhField
from modules import distances
from torch import nn

from generated.heavy_ball import HBNODE
from generated.heavy_ball_strongly_convex import StronglyConvexHBNODE
from generated.heavy_ball_undamped import UndampedHBNODE
from generated.nesterov import NesterovNODE
from generated.nesterov_generalized import GeneralizedNesterovNODE
from generated.nesterov_strongly_convex import StronglyConvexNesterovNODE

MODELS = {
    "heavy ball": HBNODE,
    "undamped": UndampedHBNODE,
    "strongly convex": StronglyConvexHBNODE,
    "nesterov": NesterovNODE,
    "nesterov r": GeneralizedNesterovNODE,
    "nesterov mu": StronglyConvexNesterovNODE,
}
METHODS = ("interpolation5", "interpolation8", "dopri5")
SPAN = (0.5, 2.0)
every_model = pytest.mark.parametrize("name", MODELS)
every_method = pytest.mark.parametrize("method", METHODS)
pytestmark = pytest.mark.usefixtures("float64")


def made(name, seed=0, span=SPAN, **settings):
    """A node, and h and m at its start."""
    torch.manual_seed(seed)
    node = MODELS[name](TanhField(3, 5), span, **settings)
    return node, (torch.randn(2, 3), torch.randn(2, 3))


def gradients(node, states, times=None):
    """By both states at the start, the field and the learned damping, of both states at all times."""
    states = tuple(x.clone().requires_grad_() for x in states)
    solution = node.integrate(states, times)
    h, m = solution.states
    known = [*states, *node.field.parameters(), *node.parameters(recurse=False)]
    weights = torch.arange(1.0, len(h) + 1).view(-1, 1, 1)
    found = torch.autograd.grad((torch.sin(weights * h) + weights * m.square()).sum(), known)
    parts = {
        "start": found[:2],
        "field": found[2:6],
        **({"damping": found[6:]} if found[6:] else {}),
    }
    flat = {part: torch.cat([x.flatten() for x in xs]) for part, xs in parts.items()}
    return flat, solution.stats


@cache
def reference(name, seed=0, span=SPAN, times=None):
    """The exact gradient of a solve by dopri8 at 1e-12."""
    node, states = made(name, seed, span, method="dopri8", rtol=1e-12, atol=1e-12)
    return gradients(node, states, times)[0]


@every_method
@every_model
def test_gradients_converge_with_the_tolerance(name, method):
    """At the ends alone, and with times between."""
    for times in (None, (0.8, 1.1, 2.0)):
        found = []
        for tolerance in (1e-5, 1e-8):
            settings = {"gradient": "adjoint", "rtol": tolerance, "atol": tolerance}
            node, states = made(name, method=method, **settings)
            gradient, stats = gradients(node, states, times)
            found.append(distances(gradient, reference(name, times=times)))
            assert stats.method == method
        coarse, fine = found
        assert all(fine[part] < coarse[part] / 100 for part in fine)
        assert max(fine["start"], fine["field"]) < 1e-6
        assert fine.get("damping", 0.0) < 1e-5  # an integral that has no part in the error


@pytest.mark.parametrize("steps", [{}, {"steps": 40}], ids=["fitted", "fixed"])
def test_a_strongly_damped_long_span_warns(steps):
    node, states = made(
        "strongly convex", span=(0.0, 12.0), gradient="adjoint", method="interpolation5"
    )
    node.options = steps
    with torch.no_grad():
        node.raw_mu.fill_(3.0)
    with pytest.warns(UserWarning, match=r"[hm] came \d+ times .* at t = 0.*discrete"):
        gradients(node, states)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        node.gradient = "discrete"
        gradients(node, states)
        node.gradient, node.span = "adjoint", (0.0, 1.0)
        gradients(node, states)


def test_states_of_any_shape_and_inputs():
    """One sample, images, float32; an input with a parameter of its own."""
    for shape in ((3,), (2, 2, 4, 3)):
        node, _ = made(
            "nesterov r", gradient="adjoint", method="interpolation5", options={"steps": 32}
        )
        states = torch.randn(shape), torch.randn(shape)
        found = gradients(node, states)[0]
        node.gradient = "discrete"
        assert max(distances(found, gradients(node, states)[0]).values()) < 1e-6
        node.float()
        node.gradient = "adjoint"
        single = gradients(node, tuple(x.float() for x in states))[0]
        assert single["start"].dtype == torch.float32
        assert max(distances(single, found).values()) < 1e-4


class Input(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.7))

    def forward(self, t):
        return torch.sin(self.rate * t)


class Driven(TanhField):
    def forward(self, t, h, u):
        return super().forward(t, h + u)


def test_inputs_with_a_parameter():
    found = []
    for settings in (
        {"gradient": "adjoint", "method": "interpolation5", "options": {"steps": 32}},
        {"gradient": "autograd", "method": "dopri8", "rtol": 1e-11, "atol": 1e-11},
    ):
        torch.manual_seed(0)
        node, u = HBNODE(Driven(3, 5), SPAN, **settings), Input()
        node(torch.ones(2, 3), inputs=u).square().sum().backward()
        found.append([u.rate.grad, node.raw_gamma.grad, node.field.inner.weight.grad])
        assert u.rate.grad.abs() > 1e-3
    torch.testing.assert_close(*found, rtol=1e-7, atol=1e-9)


def test_times_before_the_pole():
    """Fitted steps at negative times; fixed steps and "discrete" take them."""
    node, states = made(
        "nesterov", span=(-1.5, -0.6), method="interpolation5", rtol=1e-8, atol=1e-8
    )
    expected = gradients(node, states)[0]
    node.gradient = "adjoint"
    assert max(distances(gradients(node, states)[0], expected).values()) < 1e-6


@pytest.mark.parametrize("options", [{}, {"steps": 8}], ids=["fitted", "fixed"])
def test_a_large_damping_over_a_short_span(options):
    """c = 2000 over 0.001: without the fixed steps an error, with them gradients that are nan."""
    node, states = made("strongly convex", span=(0.0, 0.001), rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        node.raw_mu.fill_(1e6)
    expected = gradients(node, states)[0]
    node.method, node.gradient, node.options = "interpolation5", "adjoint", options
    assert max(distances(gradients(node, states)[0], expected).values()) < 1e-4
