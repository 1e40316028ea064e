"""The modules of the corpus: their vector fields are those typed by hand, their adjoints the transposes."""

from __future__ import annotations

import pytest
import torch
from corpus_equations import EQUATIONS
from fields import ImageField, TanhField
from modules import assert_equal, build, values_of

pytestmark = pytest.mark.usefixtures("float64")
every_model = pytest.mark.parametrize("name", EQUATIONS)
POSITIVE = ("v", "v_max", "w", "r", "q", "b")  # averages and sums of squares, rates, distances


def states_of(node, shape):
    """Those of any sign within (-1, 1), the positive ones beyond."""
    drawn = {name: torch.randn(shape).tanh() for name in node.state_names}
    return tuple(1.1 + z.abs() if name in POSITIVE else z for name, z in drawn.items())


@every_model
@pytest.mark.parametrize(("field", "shape"), [(TanhField, (6, 4)), (ImageField, (2, 3, 5, 5))])
def test_vector_field_is_the_published_one(name, field, shape):
    node, t = build(name, 2, field), torch.tensor(1.3)
    states = states_of(node, shape)
    expected = EQUATIONS[name](t, states, node.field, values_of(name, node))
    assert_equal(node.vector_field(t, states), expected)


@every_model
def test_adjoint_field_is_the_transposed_derivative(name):
    node, t = build(name, 3), torch.tensor(1.3)
    states = tuple(z.requires_grad_() for z in states_of(node, (3, 4)))
    costates = tuple(torch.randn_like(z) for z in states)
    pairs = zip(node.vector_field(t, states), costates, strict=True)
    rates, weights = zip(*((rate, a) for rate, a in pairs if rate.requires_grad), strict=True)
    expected = torch.autograd.grad(rates, states, weights, materialize_grads=True)
    assert_equal(node.adjoint_field(t, states, costates), [-z for z in expected], 1e-10)
