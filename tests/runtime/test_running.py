"""Running costs: values and gradients against an augmented state, counts, and refusals."""

from __future__ import annotations

import pytest
import torch
from fields import CountingField, TanhField
from torch import nn
from torchdiffeq import odeint

from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE

pytestmark = pytest.mark.usefixtures("float64")

GRADIENTS = ("discrete", "adjoint", "autograd")
every_gradient = pytest.mark.parametrize("gradient", GRADIENTS)
PRECISE = {"rtol": 1e-9, "atol": 1e-9}


def kinetic(t, states, f):
    """One number for each sample: the square of the field, and a cost of the position in time."""
    return (f(states[0]).square() + torch.cos(t) * states[0].square()).mean(-1)


def augmented(node, running, x, times, inputs=None):
    """The states and the running cost by torchdiffeq, side by side."""
    states = tuple(node.initial_states(x, inputs))

    def f(t):
        given = () if inputs is None else (inputs,)
        return lambda *arguments: node.field(t, *arguments, *given)

    def rates(t, z):
        states = z[:-1]
        return (
            *node.vector_field(t, states, inputs),
            running(t, node.States(*states), f(t)),
        )

    zero = torch.zeros_like(running(torch.zeros(()), node.States(*states), f(torch.zeros(()))))
    times = torch.as_tensor(times)
    ends = {"step_t": times[1:]}  # else its values are interpolated, at a lower order
    return odeint(rates, (*states, zero), times, rtol=1e-10, atol=1e-10, options=ends)


@every_gradient
@pytest.mark.parametrize("method", ["dopri5", "tsit5", "rk4", "interpolation8"])
def test_values_and_gradients_are_those_of_an_augmented_state(method, gradient):
    """Of the start, the parameters and the inputs, from costs at every time."""
    options = {"options": {"steps": 12}} if method == "rk4" else {}
    node = HBNODE(
        TanhField(3, 5, inputs=2), method=method, gradient=gradient, running=kinetic, **PRECISE
    )
    node.options = options.get("options", {})
    if gradient == "adjoint":
        node.rtol = node.atol = 1e-6
        node.options = dict.fromkeys(node.options, 8)
    x, u = torch.randn(2, 3).requires_grad_(), torch.randn(2, 2).requires_grad_()
    times = [0.0, 0.3, 1.0]
    solution = node.integrate(x, times, u)
    *states, running = augmented(node, kinetic, x, times, u)
    assert solution.running.shape == (3, 2)
    close = {"rtol": 2e-4, "atol": 1e-6}
    torch.testing.assert_close(solution.running, running, **close)
    torch.testing.assert_close(solution.states.h, states[0], **close)
    known = (x, u, *node.parameters())
    weights = torch.tensor([[1.0], [2.0], [0.5]])
    found = torch.autograd.grad((weights * solution.running).sum(), known)
    expected = torch.autograd.grad((weights * running).sum(), known)
    torch.testing.assert_close(found, expected, **close)


@pytest.mark.parametrize(
    ("method", "order"),
    [("euler", 1), ("midpoint", 2), ("rk4", 4), ("dopri5", 5), ("tsit5", 5), ("interpolation4", 3)],
)
def test_the_observed_order_is_at_least_that_of_the_method(method, order):
    field, x = TanhField(3, 5), torch.randn(2, 3)
    node = HBNODE(field, running=kinetic)
    *_, running = augmented(node, kinetic, x, [0.0, 1.0])
    errors = []
    for steps in (6, 12):
        coarse = HBNODE(field, method=method, options={"steps": steps}, running=kinetic)
        errors.append((coarse.integrate(x).running[-1] - running[-1]).abs().max())
    assert torch.log2(errors[0] / errors[1]).item() > order - 0.3


@every_gradient
def test_a_jacobian_regulariser(gradient):
    """Hutchinson's estimate of the Jacobian's norm, by a vector-Jacobian product within the cost."""
    torch.manual_seed(3)
    probe = torch.randn(2, 3)

    def roughness(t, states, f):
        with torch.enable_grad():
            h = states[0] if states[0].requires_grad else states[0].detach().requires_grad_()
            (pulled,) = torch.autograd.grad(f(h), h, probe, create_graph=True)
        return pulled.square().sum(-1)

    node = NODE(TanhField(3, 5), gradient=gradient, running=roughness, **PRECISE)
    if gradient == "adjoint":
        node.rtol = node.atol = 1e-7
    x = torch.randn(2, 3).requires_grad_()
    running = node.integrate(x).running[-1]

    def rates(t, z):
        h = z[0]
        return node.field(t, h), (node.field.jacobian(t, h).mT @ probe[..., None]).square().sum(
            (1, 2)
        )

    expected = odeint(rates, (x, torch.zeros(2)), torch.tensor([0.0, 1.0]), **PRECISE)[1][-1]
    torch.testing.assert_close(running, expected, rtol=1e-5, atol=1e-6)
    known = (x, *node.parameters())
    found = torch.autograd.grad(running.sum(), known)
    right = torch.autograd.grad(expected.sum(), known)
    torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(node.integrate(x).running[-1], expected, rtol=1e-5, atol=1e-6)


@every_gradient
def test_the_cost_has_parameters_and_any_shape(gradient):
    """A module as a cost, whose parameters are learned with it: numbers, vectors, images."""

    class Cost(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(0.7))

        def forward(self, t, states, f):
            return self.weight * torch.stack([f(states.h), states.m], -1)

    cost = Cost()
    node = HBNODE(TanhField(3, 5), gradient=gradient, running=cost)
    solution = node.integrate(torch.randn(2, 3), (0.0, 0.5, 1.0))
    assert solution.running.shape == (3, 2, 3, 2)
    (bar,) = torch.autograd.grad(solution.running[-1].sum(), cost.weight)
    torch.testing.assert_close(bar, solution.running[-1].sum() / 0.7)
    number = HBNODE(node.field, running=lambda t, states, f: t)
    torch.testing.assert_close(number.integrate(torch.randn(2, 3)).running[-1], torch.tensor(0.5))


def test_the_cost_has_no_part_in_the_steps_and_its_calls_are_counted():
    field, x = CountingField(3, 5), torch.randn(2, 3)
    plain = HBNODE(field, observe="interpolate")
    node = HBNODE(field, running=kinetic, observe="interpolate")
    times = (0.0, 0.2, 1.0)
    expected = plain.integrate(x, times)
    field.taken()
    found = node.integrate(x, times)
    assert found.stats.forward_nfe == field.taken()
    assert found.stats.accepted == expected.stats.accepted
    assert torch.equal(found.states.h, expected.states.h)
    free = HBNODE(field, running=lambda t, states, f: states.h.sum(), observe="interpolate")
    assert free.integrate(x, times).stats.forward_nfe == expected.stats.forward_nfe


@every_gradient
def test_a_singular_start(gradient):
    """Nesterov's equations from t = 0 on; the first stretch is part of the integral."""
    node = NesterovNODE(
        TanhField(3, 5), (0.0, 1.0), gradient=gradient, running=kinetic, rtol=1e-6, atol=1e-6
    )
    x = torch.randn(2, 3).requires_grad_()
    solution = node.integrate(x, (0.0, 0.5, 1.0))
    assert not solution.running[0].any()
    later = NesterovNODE(node.field, (0.0, 1.0), observe="steps", rtol=1e-8, atol=1e-8)
    states = later.integrate(x, torch.linspace(0, 1, 101).tolist()).states
    costs = torch.stack(
        [
            kinetic(t, node.States(*z), lambda h, t=t: node.field(t, h))
            for t, z in zip(torch.linspace(0, 1, 101), zip(*states, strict=True), strict=True)
        ]
    )
    expected = torch.trapezoid(costs, dx=1 / 100, dim=0)
    torch.testing.assert_close(solution.running[-1], expected, rtol=1e-3, atol=1e-4)
    (bar,) = torch.autograd.grad(solution.running[-1].sum(), x)
    (right,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(bar, right, rtol=1e-3, atol=1e-4)


def test_many_times_an_automatic_grid_and_hooks():
    """The integral grows from time to time, however the times are read."""
    x = torch.randn(2, 3)
    for settings in ({}, {"method": "auto", "grid": "auto"}, {"observe": "steps"}):
        node = HBNODE(TanhField(3, 5), running=lambda t, states, f: 1.0 + 0 * t, **settings)
        times = torch.linspace(0, 1, 40)
        found = node.integrate(x, times.tolist()).running
        torch.testing.assert_close(found, times)


@pytest.mark.parametrize(
    ("settings", "times", "words"),
    [
        ({"running": lambda t, states, f: 1.0}, None, "running must return a tensor.*float"),
        ({"running": lambda t, states, f: None}, None, "running must return a tensor.*NoneType"),
        ({"running": lambda t, states, f: torch.arange(3)}, None, "running must return a tensor"),
        ({"method": "torchdiffeq:dopri5"}, None, "another solver"),
        ({"options": {"step_t": [0.5]}}, None, "step_t and jump_t"),
        ({}, torch.tensor([[0.0, 1.0], [0.0, 2.0]]), "each sample"),
        ({}, torch.tensor([0.0, 1.0], requires_grad=True), "gradient by the times"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, times, words):
    node = HBNODE(TanhField(3, 5), **{"running": kinetic} | settings)
    with pytest.raises(ValueError, match=words):
        node.integrate(torch.randn(2, 3), times)
