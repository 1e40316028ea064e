"""The committed modules whose states are matrices, against equations typed with torch.linalg.

Values, pulled costates and gradients of whole solves, in float64 against PyTorch's own graph of the
typed equations; rectangular matrices wherever the states have the position's sides.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from matrix_catalogue import FIELDS
from modules import MATRICES, distances, gradients, module_class, shuffle_parameters
from torch import nn

import optode

pytestmark = pytest.mark.usefixtures("float64")
SQUARE = [name for name in MATRICES if module_class(name).square_only]
SHAPES = [
    (name, shape)
    for name in MATRICES
    for shape in ((3, 4, 4), (3, 5, 3), (3, 2, 4))
    if name not in SQUARE or shape[1] == shape[2]
]
every_shape = pytest.mark.parametrize("name, shape", SHAPES)
POSITIVE = ("v", "r", "c")


class MatrixField(nn.Module):
    """``tanh(A h B + sin(3 t)) + cos(h)``: neither its rows nor its columns are alike."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.left = nn.Parameter(torch.randn(rows, rows))
        self.right = nn.Parameter(torch.randn(columns, columns))

    def forward(self, t, h):
        return torch.tanh(self.left @ h @ self.right + torch.sin(3 * t)) + torch.cos(h)


def build(name, shape, seed=3, **settings):
    torch.manual_seed(seed)
    node = module_class(name)(MatrixField(*shape[1:]), **settings)
    shuffle_parameters(node)
    return node.double()


def states_of(node, shape):
    """Random states; Gram matrices are positive, and what roots are taken of too."""

    def draw(name):
        if name in ("left", "right"):
            a = torch.randn(shape)
            return a @ a.mT + torch.diag(torch.arange(1.0, shape[1] + 1))
        return torch.rand(shape) + 0.2 if name in POSITIVE else torch.randn(shape)

    return tuple(map(draw, node.state_names))


def values_of(node):
    return SimpleNamespace(
        **{n: getattr(node, n) for n in (*node.learned_names, *node.constant_names)}
    )


def typed_rates(name, node, t, states):
    rates = FIELDS[name](states, node.field(t, states[0]), values_of(node))
    return tuple(rate.expand_as(state) for rate, state in zip(rates, states, strict=True))


def test_every_matrix_module_has_typed_equations():
    assert {*MATRICES} == FIELDS.keys()
    assert SQUARE == ["shampoo", "soap"]


@every_shape
def test_rates_and_costates_are_those_of_the_typed_equations(name, shape):
    node, t = build(name, shape), torch.tensor(0.7)
    states = tuple(z.requires_grad_() for z in states_of(node, shape))
    expected = typed_rates(name, node, t, states)
    costates = tuple(torch.randn(shape) for _ in states)
    pulled = torch.autograd.grad(expected, states, costates, materialize_grads=True)
    plain = tuple(z.detach() for z in states)
    found, pull = node.linearize(t, plain)
    of_costates = tuple(-z for z in pulled)
    for ours, theirs in zip((*found, *pull(costates)[0]), (*expected, *of_costates), strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-10, atol=1e-11)


@every_shape
def test_gradients_of_a_solve_are_those_of_the_typed_equations(name, shape):
    node = build(name, shape, span=(0.0, 0.2), method="midpoint", options={"steps": 4})

    def midpoint(states, times, inputs):
        h, path = 0.05, [states]
        for t in torch.arange(4) * 0.05:
            half = typed_rates(name, node, t, states)
            half = tuple(z + h / 2 * rate for z, rate in zip(states, half, strict=True))
            rates = typed_rates(name, node, t + h / 2, half)
            states = tuple(z + h * rate for z, rate in zip(states, rates, strict=True))
            path.append(states)
        return tuple(torch.stack(ends) for ends in zip(path[0], path[-1], strict=True))

    states = states_of(node, shape)
    expected = gradients(node, states, integrate=midpoint)
    assert max(distances(gradients(node, states), expected).values()) < 1e-9


@pytest.mark.parametrize("name", MATRICES)
def test_a_solve_from_the_position_alone(name):
    node = build(name, (2, 4, 4), method="rk4", options={"steps": 8})
    solution = node.integrate(0.3 * torch.randn(2, 4, 4))
    assert all(z.isfinite().all() and z.shape == (2, 2, 4, 4) for z in solution.states)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, rows, columns\), got \(4, 4\)"):
        build("muon", (2, 4, 4)).integrate(torch.randn(4, 4))
    with pytest.raises(ValueError, match=r"h has to be square, got \(2, 3, 4\)"):
        build("shampoo", (2, 3, 4)).integrate(torch.randn(2, 3, 4))


def test_a_singular_matrix_is_named_with_its_time():
    node = build("muon", (2, 3, 3), method="rk4", options={"steps": 4})
    h = torch.randn(2, 3, 3)
    with pytest.raises(FloatingPointError, match=r"at t = 0.*polar is taken of a matrix"):
        node.integrate((h, torch.zeros_like(h)))


def test_the_classes_are_what_the_specs_say():
    for name in MATRICES:
        assert optode.derive(name).model.is_matrix
