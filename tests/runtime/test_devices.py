"""Solves on a device that is not the CPU, which `second_device` makes on every machine."""

from __future__ import annotations

import copy

import pytest
import torch
from second_device import NAME, SecondDevice
from torch import nn

from generated.adam import AdamNODE
from generated.heavy_ball import HBNODE

GRADIENTS = ("discrete", "adjoint", "autograd")
FITTED = (
    (AdamNODE, {"method": "dopri5"}),
    (HBNODE, {"method": "auto"}),
    (HBNODE, {"method": "auto", "grid": "auto"}),
)
FIXED = (
    (HBNODE, {"method": "dopri5"}),
    (HBNODE, {"method": "auto"}),
    (AdamNODE, {"method": "auto"}),
)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))


def step(node, h):
    """Return the states at the end and the gradients, all on the CPU as the caller reads them."""
    states = node.integrate(h, torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)).states
    sum(z[-1].square().sum() for z in states).backward()
    return [*states, h.grad, *(p.grad for p in node.parameters())]


def on_both(model, settings):
    """Return what both devices find, and how many values were read back in the second's solve."""
    h, field = torch.randn(2, 3), network()
    expected = step(model(copy.deepcopy(field), **settings), h.clone().requires_grad_())
    with SecondDevice() as mode:
        node, there = model(field, **settings).to(NAME), h.to(NAME).requires_grad_()
        mode.reads = 0
        found = step(node, there)
        assert all(x.device == NAME for x in found)
        return [mode.numbers(x) for x in found], expected, mode.reads


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize(("model", "settings"), FITTED, ids=str)
def test_fitted_steps(model, settings, gradient):
    found, expected, _ = on_both(model, {**settings, "gradient": gradient})
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize(("model", "settings"), FIXED, ids=str)
def test_steps_of_equal_size_read_nothing_back(model, settings, gradient):
    """What is read back is read once for a solve, to check it: not in its steps."""
    reads = []
    for steps in (2, 5):
        given = {**settings, "gradient": gradient, "options": {"steps": steps}}
        found, expected, count = on_both(model, given)
        torch.testing.assert_close(found, expected)
        reads.append(count)
    assert reads[0] == reads[1]


def test_the_device_is_told_from_the_cpu():
    """Tensors of both devices do not go together, and values that are read are counted."""
    with SecondDevice() as mode:
        x = torch.ones(2, device=NAME)
        with pytest.raises(RuntimeError, match="two devices"):
            x + torch.ones(2)
        assert (x.sum().item(), mode.reads) == (2.0, 1)
