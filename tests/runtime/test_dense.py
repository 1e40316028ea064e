"""Solutions between the ends of steps: orders, gradients, work, and what is chosen."""

from __future__ import annotations

import math

import pytest
import torch
from fields import CountingField, TanhField
from modules import distances, gradients

from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE

pytestmark = pytest.mark.usefixtures("float64")

ORDERS = {
    "euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "bosh3": 3, "rk4": 4, "dopri5": 5,
    "tsit5": 5, "dopri8": 8, "interpolation3": 3, "interpolation5": 3, "interpolation8": 5,
}  # fmt: skip
GRADIENTS = ("discrete", "adjoint", "autograd")
every_gradient = pytest.mark.parametrize("gradient", GRADIENTS)
PRECISE = {"rtol": 1e-13, "atol": 1e-13, "method": "dopri8"}
BETWEEN = {"observe": "interpolate"}


class Smooth(TanhField):
    """A TanhField whose steps are soon in the asymptotic range."""

    def drive(self, t):
        return torch.sin(t)


def node_of(method, field, span=(0.0, 1.0), **settings):
    return HBNODE(field, span, method, **settings)


def exact_of(node, start, times):
    right = type(node)(node.field, node.span, **PRECISE, observe="steps")
    right.load_state_dict(node.state_dict())
    return right.integrate(start, times).states


@pytest.mark.parametrize("method", ORDERS)
def test_the_observed_order_between_steps_is_at_least_the_method_s_less_one(method):
    """The largest error of all states at times that are no ends of steps."""
    field, x = Smooth(3, 5), 0.5 * torch.randn(2, 3)
    times = (0.03, 0.21, 0.5, 0.77, 0.989)
    errors = []
    coarse = 6 if ORDERS[method] > 5 else 12
    for steps in (coarse, 2 * coarse):
        node = node_of(method, field, options={"steps": steps}, **BETWEEN)
        found, expected = node.integrate(x, times).states, exact_of(node, x, times)
        errors.append(max((a - b).abs().max() for a, b in zip(found, expected, strict=True)))
    observed = torch.log2(errors[0] / errors[1]).item()
    assert observed > ORDERS[method] - 1 - 0.25 or errors[1] < 1e-12


@pytest.mark.parametrize("method", ["dopri5", "tsit5", "bosh3", "rk4", "interpolation6"])
def test_ends_of_steps_are_read_as_they_are(method):
    """Where a time is one, and at both ends of the solve, no bit is another."""
    options = {"options": {"steps": 8}}
    node = node_of(method, TanhField(3, 5), **options, **BETWEEN)
    x, times = torch.randn(2, 3), [k / 8 for k in range(9)]
    found = node.integrate(x, times)
    node.observe, node.options = "steps", {"steps": 1}
    assert found.stats.observed == "interpolate"
    for path, expected in zip(found.states, node.integrate(x, times).states, strict=True):
        torch.testing.assert_close(path, expected, rtol=1e-14, atol=1e-14)
    first, last = found.states[0][0], found.states[0][-1]
    assert torch.equal(first, x)
    node.observe, node.options = None, {"steps": 8}
    assert torch.equal(last, node(x))


@pytest.mark.parametrize("method", ["dopri5", "bosh3", "dopri8"])
def test_what_is_read_between_fitted_steps_is_within_the_tolerance(method):
    """As near as where steps end at the times, but for a factor."""
    node = node_of(method, TanhField(3, 5), (0.0, 2.0), rtol=1e-6, atol=1e-6, **BETWEEN)
    x, times = torch.randn(2, 3), torch.linspace(0.1, 2, 40).tolist()
    expected = exact_of(node, x, times)
    error = max(
        (a - b).abs().max() for a, b in zip(node.integrate(x, times).states, expected, strict=True)
    )
    assert error < 1e-4


@every_gradient
@pytest.mark.parametrize("method", ["dopri5", "tsit5"])
def test_gradients_of_what_is_read_between_steps(method, gradient):
    """Of states, parameters and inputs, by autograd and where steps end at the times."""
    field, u, times = TanhField(3, 5, inputs=2), torch.randn(2, 2), (0.13, 0.5, 0.71, 1.0)
    settings = {"rtol": 1e-7, "atol": 1e-7}
    x = (torch.randn(2, 3), torch.randn(2, 3))
    found = {}
    for name, node in {
        "here": node_of(method, field, gradient=gradient, **settings, **BETWEEN),
        "autograd": node_of(method, field, gradient="autograd", **settings, **BETWEEN),
        "steps": node_of(method, field, gradient="autograd", observe="steps", **settings),
    }.items():
        at = u.clone().requires_grad_()
        found[name] = gradients(node, x, times, at)
        loss = node.integrate(x, times, at).states.h.sin().sum()
        (found[name]["inputs"],) = torch.autograd.grad(loss, at)
    tight = 1e-10 if gradient != "adjoint" else 1e-5
    assert max(distances(found["here"], found["autograd"]).values()) < tight
    assert max(distances(found["here"], found["steps"]).values()) < 1e-4


def test_gradients_are_those_of_finite_differences():
    """Of the interpolant itself, in few equal steps."""
    node = NODE(TanhField(2, 3), method="rk4", options={"steps": 2}, **BETWEEN).requires_grad_(
        False
    )
    x = torch.randn(2, 2, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: node(x, (0.2, 0.5, 0.9)), x)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
def test_thousands_of_times_cost_few_evaluations(gradient):
    """As many as to go to the end, and one for each step: on the way back, too."""
    field, x = CountingField(3, 5), torch.randn(2, 3)
    node = HBNODE(field, gradient=gradient)
    ends = node.integrate(x).stats
    field.taken()
    solution = node.integrate(x, torch.linspace(0, 1, 3000))
    assert solution.stats.observed == "interpolate"
    assert solution.stats.forward_nfe == field.taken()
    assert solution.stats.forward_nfe <= 3 * ends.forward_nfe + 20
    solution.states.h.sum().backward()
    assert field.taken() <= 20 * ends.forward_nfe


@pytest.mark.parametrize(
    ("settings", "times", "observed"),
    [
        ({}, 33, "steps"),
        ({}, 34, "interpolate"),
        ({"observe": "steps"}, 200, "steps"),
        ({"observe": "interpolate"}, 3, "interpolate"),
        ({"observe": "interpolate"}, 2, "steps"),
        ({"method": "rk4"}, 200, "steps"),
        ({"method": "rk4", "observe": "interpolate"}, 3, "interpolate"),
        ({"options": {"steps": 1}}, 200, "steps"),
        ({"options": {"step_t": [0.5]}}, 200, "steps"),
        ({"method": "torchdiffeq:dopri5"}, 40, "steps"),
        ({"method": "auto", "grid": "auto"}, 40, "interpolate"),
    ],
    ids=str,
)
def test_what_is_chosen_is_said(settings, times, observed):
    node = HBNODE(TanhField(3, 5), rtol=1e-3, atol=1e-3, **settings)
    with torch.no_grad():
        stats = node.integrate(torch.randn(2, 3), torch.linspace(0, 1, times).tolist()).stats
    assert stats.observed == observed


@pytest.mark.parametrize(
    ("settings", "times", "words"),
    [
        ({"method": "torchdiffeq:dopri5"}, [0.0, 0.5, 1.0], "another solver"),
        ({"method": "torchode:tsit5"}, [0.0, 0.5, 1.0], "another solver"),
        ({}, [[0.0, 0.5, 1.0]] * 2, "each sample"),
        ({"options": {"jump_t": [0.3]}}, [0.0, 0.5, 1.0], "step_t and jump_t"),
    ],
    ids=str,
)
def test_what_cannot_be_read_between_steps_is_refused(settings, times, words):
    node = HBNODE(TanhField(3, 5), **settings, **BETWEEN)
    with pytest.raises(ValueError, match=words):
        node(torch.randn(2, 3), torch.tensor(times))


def test_the_start_counts_where_the_first_time_is_later():
    """A solve goes from the span's start, though nothing is read there."""
    node, x = HBNODE(TanhField(3, 5), (0.0, 1.0), **BETWEEN), torch.randn(2, 3)
    found = node.integrate(x, (0.4, 0.6, 0.9))
    assert found.states.h.shape == (3, 2, 3)
    expected = exact_of(node, x, (0.4, 0.6, 0.9))
    torch.testing.assert_close(found.states, expected, rtol=1e-3, atol=1e-4)


def test_a_singular_start_is_read_as_it_is():
    node, x = NesterovNODE(TanhField(3, 5), (0.0, 1.0), **BETWEEN), torch.randn(2, 3)
    times = [0.0, 0.1, 0.4, 1.0]
    found = node.integrate(x, times).states
    assert torch.equal(found.h[0], x)
    right = NesterovNODE(node.field, (0.0, 1.0), observe="steps", rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.h, right(x, times), rtol=1e-3, atol=1e-4)


def test_far_from_0_and_in_float32():
    """The places between the ends of steps are found in float64."""
    field, x = TanhField(3, 5).float(), torch.randn(2, 3, dtype=torch.float32)
    with torch.no_grad():
        field.drive = torch.zeros_like
        times = torch.linspace(0, 1, 60).tolist()
        expected = HBNODE(field)(x, times)
        far = HBNODE(field, (1e6, 1e6 + 1))
        found = far.integrate(x, [1e6 + t for t in times])
    assert found.stats.observed == "interpolate"
    assert (found.states.h - expected).abs().max() < 1e-4 * math.sqrt(expected.norm())


def test_callbacks_and_costates_go_with_it():
    """Costates are those of the ends of steps, and of what is read at the last of them."""
    node, told = HBNODE(TanhField(3, 5), record=True, **BETWEEN), []
    node.callback_accept_step = lambda *given: told.append(given)
    solution = node.integrate(torch.randn(2, 3).requires_grad_(), (0.0, 0.3, 1.0))
    solution.states.h.sum().backward()
    assert len(told) == solution.stats.accepted
    assert len(solution.stats.costates) == solution.stats.accepted + 1
