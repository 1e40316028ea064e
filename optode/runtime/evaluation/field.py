"""Evaluate the network at one time, and pull costates back through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..aliases import Inputs, Tensors
from ..torch_internals import pulled, versions
from .guards import Given, Guard
from .signature import takes

if TYPE_CHECKING:
    from ..node import Node


class BoundField:
    """The network f at one time: called with states, it evaluates.

    Made for the way back, it also keeps the graph of each evaluation, through which ``pull`` takes
    costates. ``parameters`` are those of the network whose gradients ``pull`` collects; None for a
    plain evaluation. ``guard`` looks at the first evaluations of a solve. With ``drops``, a plain
    evaluation makes a graph and drops it: the field is always called as in training.
    """

    __slots__ = ("_bars", "_drops", "_guard", "_inputs", "_node", "_parameters", "_t", "calls")

    def __init__(
        self,
        node: Node,
        t: Tensor,
        inputs: Inputs,
        parameters: Tensors | None = None,
        guard: Guard | None = None,
        drops: bool = False,
    ) -> None:
        self._node, self._t, self._inputs, self._parameters = node, t, inputs, parameters
        self._guard, self._drops = guard, drops
        self.calls: list[tuple[Tensor, Tensors]] = []
        self._bars: tuple[Tensor | None, ...] | None = None

    def __call__(self, *states: Tensor) -> Tensor:
        """Return f(t, *states), of the shape of the first; ValueError where it has another."""
        if self._parameters is None and not self._drops:
            return self._evaluate(*states)
        return self._with_graph(self._evaluate, states)

    def tangent(self, states: Tensors, directions: Tensors) -> Tensor:
        """Return the Jacobian of f at the states times the directions, one for each state."""
        if self._parameters is None and not self._drops:
            return self._tangent(*states, *directions)
        return self._with_graph(self._tangent, (*states, *directions))

    def pull(self, f: Tensor, costate: Tensor) -> Tensor:
        """Return J^T of the costate, for the call with one argument that gave f.

        The gradient of the network's parameters is kept for the solver. Call it once for each f.
        """
        return self.pull_each(f, costate)[0]

    def pull_each(self, f: Tensor, costate: Tensor) -> Tensors:
        """Return J^T of the costate for each argument of the call that gave f."""
        calls = self.calls
        leaves = calls[0][1] if len(calls) == 1 else next(x for g, x in calls if g is f)
        parameters = self._parameters or ()
        found = pulled((f,), (costate,), leaves + parameters)
        bars, known_bars = tuple(found[len(leaves) :]), self._bars
        if known_bars is not None:
            bars = tuple(_sum(x, y) for x, y in zip(known_bars, bars))
        self._bars = bars
        pairs = zip(found, leaves)
        return tuple(torch.zeros_like(leaf) if x is None else x for x, leaf in pairs)

    @property
    def bars(self) -> tuple[Tensor | None, ...]:
        """The gradients of the network's parameters so far; None where nothing was pulled."""
        return (None,) * len(self._parameters or ()) if self._bars is None else self._bars

    def _evaluate(self, *states: Tensor) -> Tensor:
        return evaluate(self._node, self._t, self._inputs, states, self._guard)

    def _tangent(self, *vectors: Tensor) -> Tensor:
        n = len(vectors) // 2
        found: Tensor = torch.func.jvp(self._evaluate, vectors[:n], vectors[n:])[1]
        return found

    def _with_graph(self, function: Callable[..., Tensor], arguments: Tensors) -> Tensor:
        """Return the function's value, and keep its graph and the leaves of that, or drop them."""
        with torch.enable_grad():
            leaves = tuple(x.detach().requires_grad_() for x in arguments)
            # a view: hooks on what a module is given may not sit on a leaf
            f = function(*(x.view_as(x) for x in leaves))
        f = f if f.requires_grad else f.detach().requires_grad_()
        if not self._drops or (self._guard is not None and self._guard.left):
            self.calls.append((f, leaves))
        return f.detach() if self._drops else f


def _sum(x: Tensor | None, y: Tensor | None) -> Tensor | None:
    if x is None or y is None:
        return y if x is None else x
    return x + y


def evaluate(
    node: Node, t: Tensor, inputs: Inputs, states: Tensors, guard: Guard | None = None
) -> Tensor:
    """Return the field's value, refused where it is no tensor like the first state."""
    given: tuple[Any, ...] = states if node.timeless else (t, *states)
    if inputs is not None:
        given = (*given, inputs(t) if callable(inputs) else inputs)
    if torch.compiler.is_compiling():
        return _fitting(node.field(*given), states[0])
    before = versions(states)
    seen = Given(given) if guard is not None and guard.left else None
    try:
        f = _fitting(node.field(*given), states[0])
    except TypeError as error:
        if takes(node.field, len(given)):
            raise
        raise ValueError(
            f"field is called with {len(given)} arguments, the time, the states it reads and the "
            f"inputs where there are any, which it does not take: {error}"
        ) from None
    if before != versions(states) or (seen is not None and seen.changed()):
        raise ValueError(
            "field changes its states, the time or its inputs in place: it has to leave what it is "
            "given"
        )
    if guard is None:
        return f
    if guard.left:
        guard.note(f)
    return f.clone() if guard.copies else f


def _fitting(f: object, like: Tensor) -> Tensor:
    """Return a value of the field, of the shape, dtype and device of a state: else ValueError."""
    if isinstance(f, Tensor):
        same = f.dtype == like.dtype
        if not same and torch.is_autocast_enabled(like.device.type):
            f, same = f.to(like.dtype), True
        if same and f.shape == like.shape and f.device == like.device:
            return f
    raise ValueError(f"field must return shape {_words(like)}, got {_words(f)}")


def _words(x: object) -> str:
    if isinstance(x, Tensor):
        return f"{tuple(x.shape)}, {x.dtype}, {x.device}"
    return type(x).__name__
