"""Count backward evaluations of one gradient by the conventions in use.

The adjoint system can be solved to a norm with every gradient of a parameter in it (torchdiffeq's
default), to one without (its seminorm), with the gradients outside of the state (this package's
adjoint), or not at all (the discrete gradient). A model's backward NFE depends on that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torchdiffeq import odeint_adjoint

from experiments.trained import trained

TOLERANCES = (1e-3, 1e-4, 1e-5)


class Counted(nn.Module):
    """A field that counts its calls."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field, self.calls = field, 0

    def forward(self, t: Tensor, *states: Tensor) -> Tensor:
        self.calls += 1
        return self.field(t, *states)


class Rates(nn.Module):
    """The rates of a node's states, as torchdiffeq calls them."""

    def __init__(self, node: Any) -> None:
        super().__init__()
        self.node = node

    def forward(self, t: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(self.node.vector_field(t, states))


def measure(names: list[str], task_name: str = "spheres") -> pd.DataFrame:
    """Train models a little, and return a row for each, each tolerance and each convention."""
    rows = []
    for label, current in trained(names, task_name):
        node, h0 = current.network.node, current.network.start(current.sets.test.inputs[:64])
        for row in _rows(node, h0):
            rows.append({"model": label, **row})
    return pd.DataFrame(rows)


def _rows(node: Any, h0: Tensor) -> Iterator[dict[str, Any]]:
    node, h0 = node.double(), h0.double()
    node.method, node.gradient = "dopri8", "autograd"
    node.rtol = node.atol = 1e-10
    exact = _gradient(node, node.integrate(h0).states[0][-1])
    node.method = "dopri5"
    for tolerance in TOLERANCES:
        node.rtol = node.atol = tolerance
        for name, seminorm in (("odeint_adjoint", False), ("odeint_adjoint, seminorm", True)):
            if node.span[0] in node.singular_times:
                continue  # torchdiffeq cannot begin there
            yield _by_torchdiffeq(node, h0, tolerance, exact, name, seminorm)
        for gradient in ("adjoint", "discrete"):
            node.gradient = gradient
            solution = node.integrate(h0)
            found = _gradient(node, solution.states[0][-1])
            stats = solution.stats
            work = (stats.forward_nfe, stats.backward_nfe or 0)
            yield _row(gradient, tolerance, *work, found, exact)


def _by_torchdiffeq(
    node: Any, h0: Tensor, tolerance: float, exact: Tensor, name: str, seminorm: bool
) -> dict[str, Any]:
    plain, counted = node.field, Counted(node.field)
    node.field = counted
    try:
        settings: dict[str, Any] = {"rtol": tolerance, "atol": tolerance, "method": "dopri5"}
        more = {"adjoint_options": {"norm": "seminorm"}} if seminorm else {}
        states = tuple(node.initial_states(h0))
        times = h0.new_tensor(node.span)
        path = odeint_adjoint(Rates(node), states, times, **settings, **more)
        forward, counted.calls = counted.calls, 0
        found = _gradient(node, path[0][-1])
        return _row(name, tolerance, forward, counted.calls, found, exact)
    finally:
        node.field = plain


def _gradient(node: Any, h: Tensor) -> Tensor:
    """Return the gradient of a loss of h by the field's parameters, in one vector."""
    field = getattr(node.field, "field", node.field)
    grads = torch.autograd.grad(torch.sin(h).sum(), [*field.parameters()])
    return torch.cat([x.flatten() for x in grads])


def _row(
    name: str, tolerance: float, forward: int, backward: int, found: Tensor, exact: Tensor
) -> dict[str, Any]:
    return {
        "tolerance": tolerance,
        "convention": name,
        "forward": forward,
        "backward": backward,
        "error": float((found - exact).norm() / exact.norm()),
    }
