"""Every committed module: its adjoint against autograd, its gradients against each other."""

from __future__ import annotations

import importlib

import pytest
import torch
from fields import DriftingField, given_to
from shipped import OF_A_STRUCTURE_OF_THEIR_OWN, THOROUGH_MODULES
from torch import nn

NAMES = [*THOROUGH_MODULES, *OF_A_STRUCTURE_OF_THEIR_OWN]


def module_class(name):
    module = importlib.import_module(f"generated.{name}")
    classes = (v for v in vars(module).values() if isinstance(v, type) and issubclass(v, nn.Module))
    return next(c for c in classes if c.__module__ == module.__name__)


@pytest.fixture
def build():
    torch.manual_seed(3)

    def make(name, **settings):
        made = module_class(name)
        field = DriftingField(arguments=2 if name == "second_order" else 1)
        node = made(field, span=(1.0, 1.5), **given_to(made), **settings)
        return node.double()

    return make


def states_of(node):
    """Positive states: second moments, counters and entropic positions all allow them."""
    return tuple(0.2 + torch.rand(3, 4, dtype=torch.float64) for _ in node.state_names)


@pytest.mark.parametrize("name", NAMES)
def test_adjoint_field_is_the_transposed_derivative(name, build):
    node, t = build(name), torch.tensor(1.3, dtype=torch.float64)
    states = tuple(z.requires_grad_() for z in states_of(node))
    costates = tuple(torch.randn_like(z) for z in states)
    pairs = zip(node.vector_field(t, states), costates, strict=True)
    moving = [(rate, a) for rate, a in pairs if rate.requires_grad]
    rates, weights = zip(*moving, strict=True)
    expected = torch.autograd.grad(rates, states, weights, materialize_grads=True)
    for ours, theirs in zip(node.adjoint_field(t, states, costates), expected, strict=True):
        torch.testing.assert_close(ours, -theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_agree(name, build):
    """On one fixed grid discrete is autograd to round-off; of all parameters, own and the field's."""
    gradients = {}
    node = build(name, method="rk4", options={"step_size": 0.125})
    states = states_of(node)
    for node.gradient in ("discrete", "autograd"):
        node.zero_grad()
        leaves = tuple(z.clone().requires_grad_() for z in states)
        solution = node.integrate(leaves)
        sum(torch.sin(z[-1]).sum() for z in solution.states).backward()
        found = [p.grad for p in node.parameters() if p.grad is not None]
        gradients[node.gradient] = [z.grad for z in leaves] + found
    for ours, theirs in zip(*gradients.values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", THOROUGH_MODULES)
def test_own_parameters_by_the_adjoint(name, build):
    """The parameter quadratures against autograd, at a tight tolerance."""
    node = build(name, rtol=1e-10, atol=1e-10)
    own = [p for n, p in node.named_parameters() if n.startswith("raw_")]
    if not own:
        assert not node.learned_names
        return
    gradients = {}
    for node.gradient in ("adjoint", "autograd"):
        node.zero_grad()
        sum(torch.sin(z[-1]).sum() for z in node.integrate(states_of_seed(node)).states).backward()
        gradients[node.gradient] = [p.grad.clone() for p in own]
    for ours, theirs in zip(*gradients.values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def states_of_seed(node):
    torch.manual_seed(11)
    return states_of(node)
