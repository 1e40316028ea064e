"""Nodes written by hand, without the compiler: gradients, methods, grids and compilation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from optode.runtime import Node
from optode.runtime.methods.catalogue import METHODS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "runtime.md"
every = pytest.mark.parametrize


@pytest.fixture(autouse=True)
def _settings(seeded, float64):
    """Every test in float64, from one seed."""


class Torque(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, t, h):
        return self.net(h) + torch.sin(3 * t)


class States(NamedTuple):
    h: Tensor
    m: Tensor


class Pendulum(Node):
    """h' = m, m' = -c*m - sin(h) + f(t, h)."""

    States = States
    learned_names = ("c",)

    def __init__(self, field, **settings):
        super().__init__(field, **settings)
        self.c = nn.Parameter(torch.tensor(0.3))

    def equations(self, t, states, field):
        h, m = states
        f = field(h)

        def pull(costates):
            a, b = costates
            rates = States(torch.cos(h) * b - field.pull(f, b), self.c * b - a)
            return rates, (torch.sum(-m * b),)

        return States(m, -self.c * m - torch.sin(h) + f), pull


class SlowPendulum(Pendulum):
    """It says that m moves linearly with itself, beside a rest that has h in it, and h with m."""

    linear_only = ("h",)
    relative_degree = 2

    def linear_part(self, t):
        return (0.0, 1.0), (0.0, -self.c)


class FollowingPendulum(Pendulum):
    """It says that h is found by quadrature, once m is known."""

    followers = (("h",),)
    relative_degree = 1

    def linear_part(self, t):
        return (0.0, 0.0), (0.0, -self.c)


CLASSES = (Pendulum, SlowPendulum, FollowingPendulum)
START = (torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64))


def result(node):
    """The loss of an integral over three times, and its gradients."""
    leaves = tuple(z.clone().requires_grad_() for z in START)
    path = node.integrate(leaves, [0.0, 0.4, 1.0]).states
    loss = sum(torch.sin(z).sum() for z in path)
    return loss.detach(), torch.autograd.grad(loss, (*leaves, *node.parameters()))


def assert_close(found, expected, tolerance):
    torch.testing.assert_close(found[0], expected[0], rtol=tolerance, atol=tolerance)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def by_torchdiffeq(node):
    """The result by torchdiffeq's solver and automatic differentiation, at a tight tolerance."""

    def rates(t, states):
        h, m = states
        return m, -node.c * m - torch.sin(h) + node.field(t, h)

    leaves = tuple(z.clone().requires_grad_() for z in START)
    times = torch.tensor([0.0, 0.4, 1.0])
    path = odeint(rates, leaves, times, rtol=1e-11, atol=1e-11, options={"step_t": times[1:]})
    loss = sum(torch.sin(z).sum() for z in path)
    return loss.detach(), torch.autograd.grad(loss, (*leaves, *node.parameters()))


@every("gradient", ["discrete", "adjoint", "autograd"])
@every("method", METHODS)
def test_every_method_and_gradient(method, gradient):
    """Against torchdiffeq where the method is fitted, else against autograd on one grid."""
    torch.manual_seed(1)
    node = SlowPendulum(Torque(), method=method, gradient=gradient, rtol=1e-8, atol=1e-8)
    if METHODS[method].estimates and METHODS[method].order > 2:
        assert_close(result(node), by_torchdiffeq(node), 1e-5)
        return
    if gradient == "adjoint":
        assert error_of(node, 64) < error_of(node, 8) / 4  # at the least of order 1
        return
    node.options = {"steps": 8}
    found = result(node)
    node.gradient = "autograd"
    assert_close(found, result(node), 1e-10)


def error_of(node, steps):
    """The error of the gradient by h at the start, in equal steps."""
    node.options = {"steps": steps}
    return (result(node)[1][0] - by_torchdiffeq(node)[1][0]).abs().max()


@every("method", ["rk4", "interpolation5"])
def test_the_adjoint_converges_to_the_gradient(method):
    node = SlowPendulum(Torque(), method=method, gradient="adjoint")
    errors = [error_of(node, steps) for steps in (4, 16)]
    assert errors[1] < errors[0] / 2**5
    assert errors[1] < 1e-5


@every("cls", CLASSES)
def test_grid_and_compilation(cls):
    node = cls(Torque(), method="auto", grid="auto", rtol=1e-5, atol=1e-5)
    found = result(node)
    assert_close(found, by_torchdiffeq(node), 1e-3)
    torch.compiler.reset()
    node.grid, node.options = None, {"steps": 4}
    eager = result(node)
    traced = torch.compile(lambda z: node.integrate(z).states, backend="eager", fullgraph=True)
    path = traced(START)
    torch.testing.assert_close(path[0], node.integrate(START).states[0])
    assert_close(result(node), eager, 1e-12)
    torch.compiler.reset()


def test_states_alone_and_missing_parts():
    node = Pendulum(Torque())
    assert node.state_names == ("h", "m")
    with pytest.raises(ValueError, match="give all states at the start of the span: h, m"):
        node(START[0])
    with pytest.raises(NotImplementedError, match="Bare has no equations"):
        type("Bare", (Node,), {"States": States})(Torque()).integrate(START)


def test_what_follows_from_the_equations_is_not_redefined():
    """The solver would not call it."""
    for name in ("vector_field", "linearize", "adjoint_field"):
        with pytest.raises(TypeError, match=f"Wrong.{name} follows from equations"):
            type("Wrong", (Pendulum,), {name: lambda *_: None})


def test_settings_are_checked_when_they_change():
    node = Pendulum(Torque())
    node.integrate(START)
    node.method = "no such"
    with pytest.raises(ValueError, match="method must be one of"):
        node.integrate(START)
    node.method = "dopri5"
    node.integrate(START)
    node.options["no such"] = 1
    with pytest.raises(ValueError, match="options must be in"):
        node.integrate(START)


def test_the_page_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {"__name__": "page"})
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert set(printed) == {"discrete", "adjoint", "autograd"}
    assert max(map(float, printed.values())) - min(map(float, printed.values())) < 2e-3
