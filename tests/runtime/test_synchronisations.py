"""A solve in equal steps does not wait for the device at any of its steps.

To read a number of a tensor makes a program wait for a GPU. On a CPU such looks can be counted.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fields import TanhField
from torch.overrides import TorchFunctionMode

from generated.adam import AdamNODE
from generated.generalized_heavy_ball import GHBNODE
from generated.heavy_ball import HBNODE

LOOKS = {
    torch.Tensor.item,
    torch.Tensor.tolist,
    torch.Tensor.numpy,
    torch.Tensor.nonzero,
    torch.Tensor.equal,
    torch.Tensor.__bool__,
    torch.Tensor.__float__,
    torch.Tensor.__int__,
    torch.Tensor.__index__,
    torch.equal,
    torch.nonzero,
}


class Looks(TorchFunctionMode):
    """Counts what reads numbers of tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in LOOKS
        return func(*args, **(kwargs or {}))


def looks(node: torch.nn.Module, h0: torch.Tensor) -> int:
    """Of a training step."""
    with Looks() as seen:
        node(h0).square().sum().backward()
    return seen.count


@pytest.mark.parametrize("model", [HBNODE, GHBNODE, AdamNODE])
@pytest.mark.parametrize("method", ["interpolation5", "tsit5", "rk4"])
@pytest.mark.parametrize("gradient", ["discrete", "autograd", "adjoint"])
def test_no_step_waits(model: Any, method: str, gradient: str) -> None:
    field, h0, found = TanhField(3, 5), torch.rand(4, 3), []
    for steps in (2, 12):
        node = model(field, method=method, gradient=gradient, options={"steps": steps})
        looks(node, h0)
        found.append(looks(node, h0))
    assert found[0] == found[1]


def test_looks_are_seen() -> None:
    node = HBNODE(TanhField(3, 5), method="dopri5")
    tight = HBNODE(node.field, (0.0, 20.0), method="dopri5")
    h0 = torch.rand(4, 3)
    assert looks(tight, h0) > looks(node, h0)  # fitted steps read their errors
