"""Evaluate the network at one time, and pull costates back through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..aliases import Inputs, Tensors

if TYPE_CHECKING:
    from ..node import Node


class BoundField:
    """The network f at one time: called with states, it evaluates.

    Made for the way back, it also keeps the graph of each evaluation, through which ``pull`` takes
    costates. ``parameters`` are those of the network whose gradients ``pull`` collects; None for a
    plain evaluation.
    """

    __slots__ = ("_bars", "_calls", "_inputs", "_node", "_parameters", "_t")

    def __init__(
        self, node: Node, t: Tensor, inputs: Inputs, parameters: Tensors | None = None
    ) -> None:
        self._node, self._t, self._inputs, self._parameters = node, t, inputs, parameters
        self._calls: list[tuple[Tensor, Tensors]] = []
        self._bars: Tensors | None = None

    def __call__(self, *states: Tensor) -> Tensor:
        """Return f(t, *states), of the shape of the first; ValueError where it has another."""
        if self._parameters is None:
            return evaluate(self._node.field, self._t, self._inputs, states)
        return self._with_graph(self._evaluate, states)

    def tangent(self, states: Tensors, directions: Tensors) -> Tensor:
        """Return the Jacobian of f at the states times the directions, one for each state."""
        if self._parameters is None:
            return self._tangent(*states, *directions)
        return self._with_graph(self._tangent, (*states, *directions))

    def pull(self, f: Tensor, costate: Tensor) -> Tensor:
        """Return J^T of the costate, for the call with one argument that gave f.

        The gradient of the network's parameters is kept for the solver. Call it once for each f.
        """
        return self.pull_each(f, costate)[0]

    def pull_each(self, f: Tensor, costate: Tensor) -> Tensors:
        """Return J^T of the costate for each argument of the call that gave f."""
        calls = self._calls
        leaves = calls[0][1] if len(calls) == 1 else next(x for g, x in calls if g is f)
        parameters = self._parameters or ()
        found: Tensors = torch.autograd.grad(
            f, leaves + parameters, costate, materialize_grads=True
        )
        bars = found[len(leaves) :]
        known_bars = self._bars
        self._bars = bars if known_bars is None else tuple(map(torch.add, known_bars, bars))
        return found[: len(leaves)]

    @property
    def bars(self) -> tuple[Tensor | None, ...]:
        """The gradients of the network's parameters so far; None where nothing was pulled."""
        return (None,) * len(self._parameters or ()) if self._bars is None else self._bars

    def _evaluate(self, *states: Tensor) -> Tensor:
        return evaluate(self._node.field, self._t, self._inputs, states)

    def _tangent(self, *vectors: Tensor) -> Tensor:
        n = len(vectors) // 2
        found: Tensor = torch.func.jvp(self._evaluate, vectors[:n], vectors[n:])[1]
        return found

    def _with_graph(self, function: Callable[..., Tensor], arguments: Tensors) -> Tensor:
        """Return the function's value, and keep its graph and the leaves of that."""
        with torch.enable_grad():
            leaves = tuple(x.detach().requires_grad_() for x in arguments)
            f = function(*leaves)
        f = f if f.requires_grad else f.detach().requires_grad_()
        self._calls.append((f, leaves))
        return f


def evaluate(field: Callable[..., Tensor], t: Tensor, inputs: Inputs, states: Tensors) -> Tensor:
    """Return the field's value, refused where it is no tensor like the first state."""
    given = () if inputs is None else (inputs(t) if callable(inputs) else inputs,)
    f, like = field(t, *states, *given), states[0]
    if isinstance(f, Tensor):
        if f.dtype != like.dtype and torch.is_autocast_enabled(like.device.type):
            f = f.to(like.dtype)
        if f.shape == like.shape and f.dtype == like.dtype and f.device == like.device:
            return f
    raise ValueError(f"field must return shape {_words(like)}, got {_words(f)}")


def _words(x: object) -> str:
    if isinstance(x, Tensor):
        return f"{tuple(x.shape)}, {x.dtype}, {x.device}"
    return type(x).__name__
