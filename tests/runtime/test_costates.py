"""Costates dL/dz of a backward pass, against autograd through solves begun at their times."""

from __future__ import annotations

import pytest
import torch
from fields import TanhField
from modules import states_of
from torch import nn

from generated.adam import AdamNODE
from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE
from optode.runtime import ODERNN

pytestmark = pytest.mark.usefixtures("float64")

TIMES = (0.0, 0.5, 1.0)
STEPS = 4


def loss_of(path: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Of every state at every time after the first, weighed by the number of those to come."""
    return sum((z.sin() * torch.arange(len(z), 0.0, -1).view(-1, 1, 1)).sum() for z in path)


def restarted(node, path, k):
    """dL/dz at the end of the k-th step, by autograd through the steps that follow.

    ``path`` has the states at the ends of all steps; the loss is of those at ``TIMES``.
    """
    ends = [n / (2 * STEPS) for n in range(2 * STEPS + 1)]
    twin = type(node)(
        node.field,
        (ends[k], 1.0) if k < 2 * STEPS else (1.0, 2.0),
        node.method,
        gradient="autograd",
    )
    twin.load_state_dict(node.state_dict())
    twin.options = {"steps": 1}
    start = tuple(z[k].detach().requires_grad_() for z in path)
    following = ends[k:]
    rest = (
        twin.integrate(start, following).states if len(following) > 1 else [z[None] for z in start]
    )
    weights = {0: 3.0, STEPS: 2.0, 2 * STEPS: 1.0}
    loss = sum(
        weights.get(k + j, 0.0) * z[j].sin().sum() for z in rest for j in range(len(following))
    )
    return torch.autograd.grad(loss, start, materialize_grads=True)


CASES = {
    "runge-kutta": lambda f, **s: HBNODE(f, method="rk4", **s),
    "first is last": lambda f, **s: HBNODE(f, method="bosh3", **s),
    "one state": lambda f, **s: NODE(f, method="dopri5", **s),
    "interpolation": lambda f, **s: HBNODE(f, method="interpolation5", **s),
    "followers": lambda f, **s: AdamNODE(f, method="interpolation4", **s),
    "torchdiffeq": lambda f, **s: HBNODE(f, method="torchdiffeq:rk4", **s),
}


@pytest.mark.parametrize("keep", [0, 2**28])
@pytest.mark.parametrize("case", CASES)
def test_discrete_costates_are_the_gradients_at_the_ends_of_steps(case, keep):
    """From the last to the first: with the loss at a time, and whatever is kept."""
    options = {"steps": STEPS} | ({} if case == "torchdiffeq" else {"keep": keep})
    node, heard = CASES[case](TanhField(3, 5), record=True, options=options), []
    node.callback_costates = lambda t, costates: heard.append((t, costates))
    start = tuple(z.requires_grad_() for z in states_of(node, (2, 3)))
    solution = node.integrate(start, TIMES)
    loss_of(solution.states).backward()
    found = solution.stats.costates
    assert [c.time.item() for c in found] == [k / 8 for k in range(8, -1, -1)]
    assert all(t == c.time and x is c.costates for (t, x), c in zip(heard, found, strict=True))
    fine = type(node)(node.field, method=node.method, options={"steps": 1})
    fine.load_state_dict(node.state_dict())
    path = fine.integrate(start, [k / 8 for k in range(9)]).states
    for k, noted in enumerate(reversed(found)):
        assert type(noted.costates) is node.States
        torch.testing.assert_close(tuple(noted.costates), restarted(node, path, k))
    torch.testing.assert_close(tuple(found[-1].costates), tuple(z.grad for z in start))


@pytest.mark.parametrize("observe", ["steps", "interpolate"])
@pytest.mark.parametrize("method", ["dopri5", "bosh3", "tsit5"])
def test_costates_of_fitted_steps(method, observe):
    """One at the end of every step; the first is that of the loss, the last that of the start."""
    node = HBNODE(TanhField(3, 5), method=method, record=True, observe=observe)
    x = torch.randn(2, 3).requires_grad_()
    solution = node.integrate(x, (0.0, 0.4, 1.0))
    solution.states.h.sin().sum().backward()
    found = solution.stats.costates
    times = [c.time.item() for c in found]
    assert times == sorted(times, reverse=True)
    assert (times[0], times[-1]) == (1.0, 0.0)
    assert len(found) == solution.stats.accepted + 1
    if observe == "steps":
        torch.testing.assert_close(found[0].costates.h, solution.states.h[-1].cos())
        torch.testing.assert_close(found[-1].costates.h, x.grad)


@pytest.mark.parametrize("method", ["dopri5", "interpolation5"])
def test_costates_of_the_adjoint_system(method):
    """At its own steps: against solves begun there, from the states there."""
    settings = {"rtol": 1e-9, "atol": 1e-9}
    node = HBNODE(TanhField(3, 5), method=method, gradient="adjoint", record=True, **settings)
    x = torch.randn(2, 3).requires_grad_()
    solution = node.integrate(x, (0.0, 0.5, 1.0))
    (solution.states.h[1].sin() + solution.states.m[2].cos()).sum().backward()
    found = solution.stats.costates
    times = [c.time.item() for c in found]
    assert times == sorted(times, reverse=True)
    assert {0.0, 0.5, 1.0} <= {*times}
    for noted in found[1 : -1 : max(1, len(found) // 5)]:
        t = noted.time.item()
        states = tuple(z[-1].detach() for z in node.integrate(x, (0.0, t)).states)
        start = tuple(z.requires_grad_() for z in states)
        twin = HBNODE(node.field, (t, 1.0), gradient="autograd", **settings)
        twin.load_state_dict(node.state_dict())
        ends = twin.integrate(start, (t, 0.5, 1.0) if t < 0.5 else (t, 1.0)).states
        loss = ends.m[-1].cos().sum()
        if t == 0.5:
            loss = loss + start[0].sin().sum()
        elif t < 0.5:
            loss = loss + ends.h[1].sin().sum()
        expected = torch.autograd.grad(loss, start)
        torch.testing.assert_close(tuple(noted.costates), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
def test_costates_of_samples_with_times_of_their_own(gradient):
    """Each is at its sample's time, and is that of the sample solved alone."""
    settings = {"method": "rk4", "options": {"steps": STEPS}} if gradient == "discrete" else {}
    node = HBNODE(TanhField(3, 5), (0.0, 3.0), gradient=gradient, record=True, **settings)
    x, times = torch.randn(2, 3), torch.tensor([[0.0, 2.0], [1.0, 1.5]])
    solution = node.integrate(x.clone().requires_grad_(), times)
    solution.states.h.sin().sum().backward()
    found = solution.stats.costates
    assert found[0].time.tolist() == [2.0, 1.5]
    assert found[-1].time.tolist() == [0.0, 1.0]
    for i in range(2):
        alone = node.integrate(x[i : i + 1].clone().requires_grad_(), times[i : i + 1])
        alone.states.h.sin().sum().backward()
        tolerance = 1e-12 if gradient == "discrete" else 1e-4
        for k in (0, -1):
            noted, right = found[k].costates.h[i], alone.stats.costates[k].costates.h[0]
            torch.testing.assert_close(noted, right, rtol=tolerance, atol=tolerance)


def test_costates_change_no_gradient_and_are_no_part_of_a_graph():
    for method in ("dopri5", "interpolation5"):
        field, x = TanhField(3, 5), torch.randn(2, 3)
        bars = []
        for record in (False, True):
            node, at = HBNODE(field, method=method, record=record), x.clone().requires_grad_()
            solution = node.integrate(at)
            solution.states.h.sin().sum().backward()
            bars.append(at.grad)
            assert bool(solution.stats.costates) is record
        torch.testing.assert_close(*bars, rtol=1e-12, atol=1e-12)
        noted = solution.stats.costates
        assert not any(z.requires_grad for c in noted for z in c.costates)
        memory = [z.untyped_storage().data_ptr() for c in noted for z in c.costates[:1]]
        assert len({*memory}) == len(memory)


def test_costates_from_a_singular_start():
    """The last is where the solver took over, and leads on to the start."""
    node = NesterovNODE(TanhField(3, 5), (0.0, 1.0), record=True)
    solution = node.integrate(torch.randn(2, 3).requires_grad_())
    solution.states.h.sum().backward()
    assert solution.stats.costates[-1].time == pytest.approx(1e-3)


def test_no_backward_pass_has_no_costates():
    node = NODE(TanhField(3, 5), record=True)
    with torch.no_grad():
        assert node.integrate(torch.randn(2, 3)).stats.costates == []


def test_costates_are_refused_where_autograd_goes_back():
    with pytest.raises(ValueError, match='record needs gradient="discrete" or "adjoint"'):
        NODE(TanhField(3, 5), record=True, gradient="autograd")
    with pytest.raises(ValueError, match="record"):
        NODE(TanhField(3, 5), record=True, method="rk4", options={"steps": 2}, compile=True)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
def test_costates_of_sequences(gradient):
    """From the last observation to the first, one interval after the other."""
    node = HBNODE(TanhField(4, 5), gradient=gradient, record=True)
    rnn = ODERNN(node, nn.GRUCell(2, 4))
    values, times = torch.randn(3, 4, 2), torch.rand(3, 4).cumsum(1)
    solution = rnn.integrate(values, times, start=torch.randn(3, 4).requires_grad_())
    solution.states.h.sin().sum().backward()
    found = torch.stack([c.time for c in solution.stats.costates])
    assert (found.diff(dim=0) <= 1e-12).all()
    assert found[0].tolist() == times[:, -1].tolist()
    torch.testing.assert_close(found[-1], times[:, 0])
    lasts = next(c for c in solution.stats.costates if c.time.equal(times[:, -1]))
    assert lasts.costates.h.any()


def test_costates_are_not_asked_of_autograd():
    node = HBNODE(TanhField(), gradient="autograd")
    node.callback_costates = lambda time, costates: None
    with pytest.raises(ValueError, match="callback_costates needs gradient"):
        node(torch.ones(2, 4))
