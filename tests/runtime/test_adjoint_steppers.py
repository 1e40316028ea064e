"""The adjoint of damped models by their Nystrom methods, against gradients that know nothing of it."""

from __future__ import annotations

import warnings
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from fields import TanhField
from modules import distances
from scipy.integrate import solve_ivp
from torch import nn
from torch.func import vjp
from torchdiffeq import odeint

from generated.heavy_ball import HBNODE
from generated.heavy_ball_strongly_convex import StronglyConvexHBNODE
from generated.heavy_ball_undamped import UndampedHBNODE
from generated.nesterov import NesterovNODE
from generated.nesterov_generalized import GeneralizedNesterovNODE
from generated.nesterov_strongly_convex import StronglyConvexNesterovNODE
from optode.runtime.gradients.second_order import SecondOrder
from optode.runtime.methods.step import FORCE
from optode.runtime.solve import Solve
from optode.runtime.times import Span, grid_of

MODELS = {
    "heavy ball": HBNODE,
    "undamped": UndampedHBNODE,
    "strongly convex": StronglyConvexHBNODE,
    "nesterov": NesterovNODE,
    "nesterov r": GeneralizedNesterovNODE,
    "nesterov mu": StronglyConvexNesterovNODE,
}
LEARNED = [name for name in MODELS if MODELS[name].learned_names]
METHODS = ("nystrom4", "nystrom5", "nystrom6")
SPAN = (0.5, 2.0)
SEEDS = range(2)
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


def fixed(name, method, steps, seed=0, times=None):
    """The distances of the adjoint's gradients from the reference, and the work."""
    # the tolerances have a part in the warning of drift alone
    settings = {"gradient": "adjoint", "options": {"steps": steps}, "rtol": 1.0, "atol": 1.0}
    node, states = made(name, seed, method=method, **settings)
    found, stats = gradients(node, states, times)
    return distances(found, reference(name, seed, times=times)), stats


# Orders


STEPS = {"nystrom4": (32, 64), "nystrom5": (32, 64), "nystrom6": (4, 8, 16, 32, 64)}
ORDERS = {"nystrom4": 4, "nystrom5": 5, "nystrom6": 6}


@cache
def errors(name, method):
    """For each number of steps the distances, root mean square of the seeds."""
    found = []
    for steps in STEPS[method]:
        each = [fixed(name, method, steps, seed)[0] for seed in SEEDS]
        found.append({x: np.sqrt(np.mean([one[x] ** 2 for one in each])) for x in each[0]})
    return found


def orders(name, method, part):
    return [np.log2(coarse[part] / fine[part]) for coarse, fine in pairwise(errors(name, method))]


@every_method
@every_model
def test_gradients_have_the_order_of_the_method(name, method):
    """3.95 to 4.04, 4.98 to 5.03 and 5.98 to 6.04 are seen, from 32 to 64 steps."""
    for part in ("start", "field"):
        assert orders(name, method, part)[-1] == pytest.approx(ORDERS[method], abs=0.2)
        assert errors(name, method)[-1][part] < 1e-8


@every_method
@pytest.mark.parametrize("name", LEARNED)
def test_the_gradient_of_the_damping_has_an_order_of_its_own(name, method):
    """Its quadrature takes m from the polynomial through the stages.

    3.96 to 4.19 and 5.01 are seen. nystrom6 falls with an order of 4.9 to 6 over 4 to 64 steps, from
    1e-4 to 7e-11 and less, but with 4.3 to 5.1 in the end (and with 4, where it was followed further).
    """
    found = orders(name, method, "damping")
    if method == "nystrom6":
        assert found[-1] > 3.8
        assert np.mean(found) > 4.7
        assert errors(name, method)[-1]["damping"] < 2e-10
    else:
        assert found[-1] == pytest.approx(ORDERS[method], abs=0.25)


@every_method
@every_model
def test_fixed_steps_evaluate_as_often_backwards(name, method):
    """Between observations a last stage is not shared, since the costates jump there."""
    _, stats = fixed(name, method, 6)
    assert stats.backward_nfe == stats.forward_nfe
    assert stats.forward_nfe == {"nystrom4": 19, "nystrom5": 24, "nystrom6": 31}[method]
    _, stats = fixed(name, method, 2, times=(0.8, 1.1, 2.0))
    shared = 2 if method != "nystrom5" else 0
    assert stats.backward_nfe == stats.forward_nfe + shared


@every_model
def test_observations_each_with_a_cotangent(name):
    times = (0.8, 1.1, 2.0)
    found, _ = fixed(name, "nystrom6", 16, times=times)
    assert max(found.values()) < 5e-9  # 1e-9 is seen
    assert reference(name, times=times)["start"].dist(reference(name)["start"]) > 0.1


# Of the gradient's size. 0.98 and 6.6 tolerances are seen: the quadratures have no part in the error.
MULTIPLES = {"start": 2, "field": 2, "damping": 20}


@every_method
@every_model
def test_fitted_steps_hold_the_tolerance(name, method):
    for tolerance in (1e-5, 1e-8):
        settings = {"gradient": "adjoint", "rtol": tolerance, "atol": tolerance}
        node, states = made(name, method=method, **settings)
        found, stats = gradients(node, states)
        for part, distance in distances(found, reference(name)).items():
            assert distance < MULTIPLES[part] * tolerance
        assert stats.backward_nfe < 1.5 * stats.forward_nfe + 20
    times = (0.8, 1.1, 2.0)
    found, _ = gradients(node, states, times)
    for part, distance in distances(found, reference(name, times=times)).items():
        assert distance < MULTIPLES[part] * tolerance


@pytest.mark.parametrize("steps", [{}, {"steps": 40}], ids=["fitted", "fixed"])
def test_a_strongly_damped_long_span_warns(steps):
    node, states = made("strongly convex", span=(0.0, 12.0), gradient="adjoint", method="nystrom6")
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
        node, _ = made("nesterov r", gradient="adjoint", method="nystrom6", options={"steps": 16})
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
        {"gradient": "adjoint", "method": "nystrom6", "options": {"steps": 32}},
        {"gradient": "autograd", "method": "dopri8", "rtol": 1e-11, "atol": 1e-11},
    ):
        torch.manual_seed(0)
        node, u = HBNODE(Driven(3, 5), SPAN, **settings), Input()
        node(torch.ones(2, 3), inputs=u).square().sum().backward()
        found.append([u.rate.grad, node.raw_gamma.grad, node.field.inner.weight.grad])
        assert u.rate.grad.abs() > 1e-3
    torch.testing.assert_close(*found, rtol=1e-7, atol=1e-9)


# By hand: c, R = exp(int c/2) from t0 on, and q = c^2/4 + c'/2

FORMS = {
    "heavy ball": lambda node, t0: (
        lambda t: node.gamma.item(),
        lambda t: np.exp(node.gamma.item() * (t - t0) / 2),
        lambda t: node.gamma.item() ** 2 / 4,
    ),
    "undamped": lambda node, t0: (lambda t: 0.0, lambda t: 1.0, lambda t: 0.0),
    "strongly convex": lambda node, t0: (
        lambda t: 2 * np.sqrt(node.mu.item()),
        lambda t: np.exp(np.sqrt(node.mu.item()) * (t - t0)),
        lambda t: node.mu.item(),
    ),
    "nesterov": lambda node, t0: (
        lambda t: 3 / t,
        lambda t: (t / t0) ** 1.5,
        lambda t: 9 / t**2 / 4 - 3 / t**2 / 2,
    ),
    "nesterov r": lambda node, t0: (
        lambda t: node.r.item() / t,
        lambda t: (t / t0) ** (node.r.item() / 2),
        lambda t: node.r.item() ** 2 / t**2 / 4 - node.r.item() / t**2 / 2,
    ),
}


def costates_at_start(states, solve):
    """Of sum(sin h) + sum(m^2) at the end."""
    leaves = tuple(x.clone().requires_grad_() for x in states)
    h, m = solve(leaves)
    return torch.autograd.grad(torch.sin(h[-1]).sum() + m[-1].square().sum(), leaves)


def finely(field, damping, states):
    """Typed out, for autograd."""
    times = torch.tensor(SPAN)
    return odeint(
        lambda t, z: (z[1], field(t, z[0]) - damping(t) * z[1]), states, times,
        method="dopri8", rtol=1e-12, atol=1e-12, options={"step_t": times[1:]},
    )  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_second_order_system_of_h_and_a_m_by_hand(name):
    """w'' = R F + q w of w = R h, and u'' = J^T b/R + q u of u = b/R, where b is a_m."""
    node, states = made(name, method="nystrom6", gradient="adjoint", options={"steps": 64})
    c, root, q = FORMS[name](node, SPAN[0])
    (inner, shift), (outer, offset) = (
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in (node.field.inner, node.field.outer)
    )
    rows = states[0].numel()

    def force(t, h):
        active = np.tanh(h.reshape(-1, 3) @ inner.T + shift + np.sin(3 * t))
        return (active @ outer.T + offset).ravel(), 1 - active**2

    def rates(t, z):
        parts = z.reshape(-1, rows)
        w, dw, *costates = parts
        pushed, slopes = force(t, w / root(t))
        found = [dw, root(t) * pushed + q(t) * w]
        if costates:
            u, du = costates
            pulled = (((root(t) * u).reshape(-1, 3) @ outer) * slopes) @ inner
            found += [du, pulled.ravel() / root(t) + q(t) * u]
        return np.concatenate(found)

    def solved(start, end, *z):
        tight = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-13}
        return solve_ivp(rates, (start, end), np.concatenate(z), **tight).y[:, -1].reshape(-1, rows)

    start, end = SPAN
    h, m = (x.numpy().ravel() for x in states)
    w, dw = solved(start, end, h, m + c(start) / 2 * h)
    h = w / root(end)
    a_h, a_m = np.cos(h), 2 * (dw / root(end) - c(end) / 2 * h)
    u = a_m / root(end)
    du = (c(end) * a_m - a_h) / root(end) - c(end) / 2 * u
    w, dw, u, du = solved(end, start, w, dw, u, du)
    np.testing.assert_allclose(w, states[0].numpy().ravel(), rtol=1e-9, atol=1e-9)
    by_hand = c(start) * u - (du + c(start) / 2 * u), u
    exact = costates_at_start(states, lambda leaves: finely(node.field, c, leaves))
    ours = costates_at_start(states, lambda leaves: node.integrate(leaves).states)
    for x, y, z in zip(by_hand, exact, ours, strict=True):
        assert np.abs(x).max() > 0.1
        np.testing.assert_allclose(x, y.numpy().ravel(), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(z.numpy(), y.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FORMS)
def test_rates_of_the_second_order_system(name):
    """Of h, b, m and b' at a time, from which a first step is found: b'' = c b' + c' b + J^T b."""
    node, (h, m) = made(name, method="nystrom6")
    solve = Solve(node, grid_of(h, SPAN, Span(*SPAN, node.singular_times, False)), (h, m))
    solve.learned = tuple(getattr(node, x).detach() for x in node.learned_names)
    system, t, costates = SecondOrder(solve), 1.3, (torch.randn(2, 3), torch.randn(2, 3))
    c, *_ = FORMS[name](node, SPAN[0])
    (a_h, b), (slope, eps) = costates, (c(t) * costates[1] - costates[0], 1e-5)
    tensors = system.joined(t, torch.stack([h, m]), torch.stack(costates))
    states, again = system.parted(t, tensors)
    torch.testing.assert_close(states, torch.stack([h, m]))
    torch.testing.assert_close(again, torch.stack([a_h, b]))
    force, pull = vjp(lambda x: node.field(torch.tensor(t), x), h)
    turned = c(t) * slope + (c(t + eps) - c(t - eps)) / (2 * eps) * b + pull(b)[0]
    found = system.method.rates(solve, t, tensors, system.evaluate(0, FORCE, t, tensors[:2]))
    expected = torch.stack([m, slope, force - c(t) * m, turned])
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


# Where the damping is looked at over a length of one


def test_times_before_the_pole():
    """Fitted steps at negative times; fixed steps and "discrete" take them."""
    node, states = made("nesterov", span=(-1.5, -0.6), method="nystrom6", rtol=1e-8, atol=1e-8)
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
    node.method, node.gradient, node.options = "nystrom6", "adjoint", options
    assert max(distances(gradients(node, states)[0], expected).values()) < 1e-4
