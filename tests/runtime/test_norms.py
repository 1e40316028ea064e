"""Errors by sample and as torchdiffeq measures them; the grid that is saved with a node."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from fields import TanhField
from modules import distances, gradients
from torch import nn
from torchdiffeq import odeint_adjoint

from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from optode.runtime import ODERNN

pytestmark = pytest.mark.usefixtures("float64")


class OneIsHard(nn.Module):
    """h' = -w h, with w = 60 for the last sample and 1 for the others, driven in time."""

    def forward(self, t, h):
        w = torch.ones(len(h)).index_fill(0, torch.tensor([len(h) - 1]), 60.0)
        return -w.view(-1, *[1] * (h.ndim - 1)) * (h - torch.sin(5 * t))


@pytest.mark.parametrize("method", ["interpolation3", "torchdiffeq:dopri5"])
@pytest.mark.parametrize("shape", [(2000, 2), (2000,)])
def test_a_hard_sample_among_many_is_solved_as_if_it_were_alone(method, shape):
    """In the mean over the batch its error is hidden, 45 times the tolerance for 2000 samples."""
    cls = HBNODE if method == "interpolation3" else NODE
    settings = {"rtol": 1e-5, "atol": 1e-5}
    node = cls(OneIsHard(), method=method, **settings)
    right = cls(OneIsHard(), method="dopri8", rtol=1e-11, atol=1e-11)
    right.load_state_dict(node.state_dict())
    x = torch.linspace(0.5, 1.5, torch.Size(shape).numel()).view(shape)
    with torch.no_grad():
        exact = right(x[-1:])
        alone = (node(x[-1:]) - exact).abs().max()
        node.options = {}
        mean = node.integrate(x)
        node.options = {"norm": "sample"}
        sample = node.integrate(x)
    assert sample.stats.accepted > mean.stats.accepted
    error = (sample.states[0][-1][-1:] - exact).abs().max()
    assert error <= 3 * alone + 1e-7
    assert error < 1e-4


def test_a_hard_sample_has_an_exact_gradient_and_an_automatic_grid():
    """The norm goes with every gradient and with grid="auto"."""
    x = torch.linspace(0.5, 1.5, 60).view(20, 3)
    counts = []
    for options in ({}, {"norm": "sample"}):
        node = HBNODE(OneIsHard(), method="interpolation3", grid="auto", options=options)
        with torch.no_grad():
            node(x)
        counts.append(node.automatic_grid.steps)
    assert counts[1] > counts[0]
    for gradient in ("discrete", "adjoint"):
        node = HBNODE(TanhField(3, 5), gradient=gradient, options={"norm": "sample"})
        right = HBNODE(node.field, gradient="autograd", options={"norm": "sample"})
        right.load_state_dict(node.state_dict())
        states = (torch.randn(4, 3), torch.randn(4, 3))
        found, expected = gradients(node, states), gradients(right, states)
        tolerance = 1e-12 if gradient == "discrete" else 1e-3
        assert max(distances(found, expected).values()) < tolerance


def test_the_adjoint_may_be_measured_as_torchdiffeq_does():
    """Then as many evaluations go back as in odeint_adjoint, and the gradients are as near."""

    class Field(TanhField):
        calls = 0

        def forward(self, t, h):
            self.calls += 1
            return super().forward(t, h)

    field, x, times = Field(3, 5), torch.randn(4, 3), torch.tensor([0.0, 0.5, 2.0])
    settings = {"rtol": 1e-6, "atol": 1e-6}
    node = NODE(field, (0.0, 2.0), gradient="adjoint", **settings)
    node.options = {"adjoint_norm": "torchdiffeq"}
    work = {}

    def bars(path):
        field.calls = 0
        found = torch.autograd.grad(path.square().sum(), [*field.parameters()])
        return field.calls, found

    work["ours"], ours = bars(node(x, times))
    node.options = {}
    work["plain"], _ = bars(node(x, times))
    work["theirs"], theirs = bars(odeint_adjoint(field, x, times, method="dopri5", **settings))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert work["plain"] < work["ours"] <= 1.6 * work["theirs"] + 20


# The grid


def trained(node, solves):
    """Solve so often, with starts that are easy and hard in turn; return the last bits."""
    for k in range(solves):
        x = torch.full((2, 3), 0.2 + (k % 3))
        out = node(x)
        out.sum().backward()
    return out


def test_a_node_goes_on_after_saving_as_if_it_had_not_been_saved():
    """Ten solves, a save, a load into a new node, ten more: bitwise those of twenty."""
    field = TanhField(3, 5)
    whole = HBNODE(field, (0.0, 3.0), "auto", 1e-4, 1e-4, grid="auto")
    first = HBNODE(copy.deepcopy(field), (0.0, 3.0), "auto", 1e-4, 1e-4, grid="auto")
    trained(whole, 10)
    trained(first, 10)
    stream = io.BytesIO()
    torch.save(first.state_dict(), stream)
    stream.seek(0)
    second = HBNODE(TanhField(3, 5), (0.0, 3.0), "auto", 1e-4, 1e-4, grid="auto")
    assert second.load_state_dict(torch.load(stream, weights_only=True)).missing_keys == []
    assert second.automatic_grid.steps == whole.automatic_grid.steps > 1
    assert second.automatic_grid.easy_solves == whole.automatic_grid.easy_solves
    for _ in range(5):
        assert torch.equal(trained(second, 2), trained(whole, 2))


def test_what_is_saved_are_tensors():
    """So that code that moves, averages or writes state dictionaries goes on as before."""
    node = HBNODE(TanhField(3, 5), (0.0, 3.0), "auto", 1e-4, 1e-4, grid="auto")
    assert [*node.state_dict()] == [name for name, _ in node.named_parameters()]
    trained(node, 4)
    saved = node.state_dict()
    assert len(saved) == len([*node.parameters()]) + 1
    assert all(isinstance(x.cpu(), torch.Tensor) for x in saved.values())
    node.load_state_dict({name: x.clone() for name, x in saved.items()})


def test_dictionaries_without_a_grid_are_loaded_strictly():
    """Of a version before, or of a node that had no grid; the grid begins anew."""
    node = HBNODE(TanhField(3, 5), (0.0, 3.0), "auto", 1e-4, 1e-4, grid="auto")
    plain = HBNODE(TanhField(3, 5)).state_dict()
    trained(node, 4)
    assert node.automatic_grid.steps > 1
    node.load_state_dict(plain)
    assert node.automatic_grid.steps == 1
    outer = nn.Sequential(node, nn.Linear(3, 3))
    trained(node, 4)
    kept = outer.state_dict()
    outer.load_state_dict(kept)
    assert node.automatic_grid.steps > 1
    HBNODE(TanhField(3, 5)).load_state_dict(node.state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        node.load_state_dict({name: x for name, x in plain.items() if name != "raw_gamma"})


# Sequences


class Cell(nn.Module):
    """A cell of two states, called as nn.LSTMCell is, by layers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden_size = 4
        self.h, self.m = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x, states):
        h, m = states
        return torch.tanh(self.h(torch.cat([x, h], 1))), m + self.m(torch.cat([x, m], 1))


EXACT = {"rtol": 1e-9, "atol": 1e-9}


def sequence(node, cell, values, times, mask):
    """One sample after the other, and one interval after the other, by hand."""
    outputs = []
    for x, t, seen in zip(values, times, mask, strict=True):
        states = node.States(torch.zeros(1, 4), torch.zeros(1, 4))
        row = []
        for i in range(len(t)):
            if i:
                span = (float(t[i - 1]), float(t[i]))
                twin = HBNODE(node.field, span, gradient="autograd", **EXACT)
                twin.raw_gamma = node.raw_gamma
                states = tuple(z[-1] for z in twin.integrate(states).states)
            if seen[i]:
                states = cell(x[i][None], tuple(states))
            row.append(torch.cat([*states], 1))
        outputs.append(torch.cat(row))
    return torch.stack(outputs)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint", "autograd"])
@pytest.mark.parametrize("kind", ["written", "lstm"])
def test_a_cell_of_two_states_is_the_loop_by_hand(kind, gradient):
    cell = Cell() if kind == "written" else nn.LSTMCell(2, 4)
    node = HBNODE(TanhField(4, 5), gradient=gradient, **EXACT)
    rnn = ODERNN(node, cell, updates=("h", "m"))
    values, times = torch.randn(2, 3, 2), torch.rand(2, 3).cumsum(1)
    mask = torch.tensor([[True, True, False], [True, False, True]])
    states = rnn.integrate(values, times, mask).states
    found = torch.cat([states.h, states.m], 2)
    expected = sequence(node, cell, values, times, mask)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    known = [*rnn.parameters()]
    bars = torch.autograd.grad(found.sin().sum(), known)
    right = torch.autograd.grad(expected.sin().sum(), known)
    torch.testing.assert_close(bars, right, rtol=1e-5, atol=1e-6)


def test_the_order_of_updates_is_that_of_the_cell():
    rnn = ODERNN(HBNODE(TanhField(4, 5)), lambda x, states: states[::-1], updates=("m", "h"))
    h, m = torch.randn(2, 4), torch.randn(2, 4)
    states = rnn.integrate(torch.randn(2, 1, 2), torch.zeros(2, 1), start=(h, m)).states
    assert torch.equal(states.h[:, 0], m)
    assert torch.equal(states.m[:, 0], h)


@pytest.mark.parametrize("offset", [1.6e9, -3e7])
def test_sequences_at_times_of_a_calendar(offset):
    """Seconds since 1970 in float64, with float32 states: as from 0 on."""

    class Still(TanhField):
        drive = staticmethod(torch.zeros_like)

    rnn = ODERNN(HBNODE(Still(4, 5)), nn.GRUCell(2, 4)).float()
    values = torch.randn(3, 5, 2, dtype=torch.float32)
    times = (torch.rand(3, 5).cumsum(1) * 64).round() / 64
    padded_rows = torch.cat([times, times[:, -1:]], 1)
    values = torch.cat([values, values[:, -1:]], 1)
    bars = []
    for begins in (0.0, offset):
        out = rnn(values, padded_rows + begins)
        bars.append((out, *torch.autograd.grad(out.sin().sum(), [*rnn.parameters()])))
    torch.testing.assert_close(*bars, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (lambda x, states: states[0], r"cell must return \('h', 'm'\)"),
        (lambda x, states: (*states, states[0]), r"cell must return \('h', 'm'\)"),
        (lambda x, states: (states[0], states[1][:, :2]), r"cell must return \('h', 'm'\)"),
    ],
)
def test_cells_that_return_other_states_are_refused(cell, words):
    rnn = ODERNN(HBNODE(TanhField(4, 5)), cell, updates=("h", "m"))
    with pytest.raises(ValueError, match=words):
        rnn(torch.randn(2, 3, 2), torch.rand(2, 3).cumsum(1), start=torch.zeros(2, 4))
