"""Evaluate the network and operators at one time, and pull costates back through them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..aliases import Inputs, Tensors
from ..torch_internals import pulled, versions
from .guards import Given, Guard
from .loss import for_each_sample
from .signature import takes

if TYPE_CHECKING:
    from ..node import Node


class BoundField:
    """The network f at one time: called with states, it evaluates.

    ``apply`` calls another function that the node has: an operator. Made for the way back, it also
    keeps the graph of each evaluation, through which ``pull`` takes costates. ``parameters`` are
    those of the network and of operators whose gradients ``pull`` collects; None for a plain
    evaluation. ``guard`` looks at the first evaluations of a solve. With ``drops``, a plain
    evaluation makes a graph and drops it: the field is always called as in training. ``values`` are
    those of all calls, in turn.
    """

    __slots__ = (
        "_bars", "_drops", "_guard", "_inputs", "_node", "_parameters", "_t", "calls", "values"
    )  # fmt: skip

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
        self.values: list[Tensor] = []
        self._bars: tuple[Tensor | None, ...] | None = None

    def __call__(self, *states: Tensor) -> Tensor:
        """Return f(t, *states), of the shape of the first; ValueError where it has another."""
        return self.apply("field", *states)

    def apply(self, name: str, *states: Tensor) -> Tensor:
        """Return the value of the node's function of this name, in the shape of the first state.

        The field and the loss are called with the time and the inputs, too, an operator with the
        states alone. The loss is one number for each sample, repeated for all its features.
        """
        return self._called(partial(self._evaluate, name), states)

    def tangent(self, states: Tensors, directions: Tensors, name: str = "field") -> Tensor:
        """Return the Jacobian at the states times the directions, one for each state."""
        return self._called(partial(self._tangent, name), (*states, *directions))

    def pull(self, f: Tensor, costate: Tensor) -> Tensor:
        """Return J^T of the costate, for the call with one argument that gave f.

        The gradient of the parameters is kept for the solver. Call it once for each f.
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

    def _evaluate(self, name: str, *states: Tensor) -> Tensor:
        return evaluate(self._node, self._t, self._inputs, states, self._guard, name)

    def _tangent(self, name: str, *vectors: Tensor) -> Tensor:
        n, function = len(vectors) // 2, partial(self._evaluate, name)
        found: Tensor = torch.func.jvp(function, vectors[:n], vectors[n:])[1]
        return found

    def _called(self, function: Callable[..., Tensor], arguments: Tensors) -> Tensor:
        """Return the function's value, and note it."""
        plain = self._parameters is None and not self._drops
        value = function(*arguments) if plain else self._with_graph(function, arguments)
        self.values.append(value)
        return value

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
    node: Node,
    t: Tensor,
    inputs: Inputs,
    states: Tensors,
    guard: Guard | None = None,
    name: str = "field",
) -> Tensor:
    """Return the value of the node's function of this name, in the shape of the first state.

    Refuses one that is no such tensor, or that changes what it is given: ValueError.
    """
    function = getattr(node, name)
    given = _given(node, t, inputs, states, name)
    is_loss = name != "field" and is_called_as_field(node, name)
    if torch.compiler.is_compiling():
        return _fitting(function(*given), states[0], name, is_loss)
    before = versions(states)
    seen = Given(given) if guard is not None and guard.left else None
    try:
        f = _fitting(function(*given), states[0], name, is_loss)
    except TypeError as error:
        if takes(function, len(given)):
            raise
        what = "the states it reads"
        if is_called_as_field(node, name):
            what = f"the time, {what} and the inputs where there are any"
        raise ValueError(
            f"{name} is called with {len(given)} arguments, {what}, which it does not take: {error}"
        ) from None
    if before != versions(states) or (seen is not None and seen.changed()):
        raise ValueError(
            f"{name} changes its states, the time or its inputs in place: it has to leave what it "
            "is given"
        )
    if guard is None:
        return f
    if guard.left:
        guard.note(f)
    return f.clone() if guard.copies else f


def is_called_as_field(node: Node, name: str) -> bool:
    """Return whether the node's function of this name takes the time and the inputs."""
    return name == "field" or (name == "loss" and node.timeless_loss is not None)


def _given(node: Node, t: Tensor, inputs: Inputs, states: Tensors, name: str) -> tuple[Any, ...]:
    """Return what the node's function of this name is called with."""
    if not is_called_as_field(node, name):
        return states
    timeless = node.timeless if name == "field" else node.timeless_loss
    given: tuple[Any, ...] = states if timeless else (t, *states)
    return given if inputs is None else (*given, inputs(t) if callable(inputs) else inputs)


def _fitting(f: object, like: Tensor, name: str, is_loss: bool = False) -> Tensor:
    """Return a value in the shape, dtype and device of a state: else ValueError.

    That of an operator may be one number for several features, or for a state without a batch; a
    loss has one for each sample.
    """
    if isinstance(f, Tensor):
        same = f.dtype == like.dtype
        if not same and torch.is_autocast_enabled(like.device.type):
            f, same = f.to(like.dtype), True
        if same and f.device == like.device:
            if is_loss:
                if (spread := for_each_sample(f, like)) is not None:
                    return spread
            elif f.shape == like.shape:
                return f
            elif name != "field" and _broadcasts(f, like):
                return f.expand_as(like)
    if is_loss:
        shapes = "(), of one sample" if like.ndim < 2 else f"{(n := len(like),)} or {(n, 1)}"
        raise ValueError(
            f"{name} must return one number for each sample, in shape {shapes}, and {like.dtype}, "
            f"{like.device}: got {_words(f)}"
        )
    raise ValueError(f"{name} must return shape {_words(like)}, got {_words(f)}")


def _broadcasts(f: Tensor, like: Tensor) -> bool:
    """Return whether f has a value for each sample: as many dimensions, some of them of size 1."""
    if f.ndim == 0:
        return like.ndim <= 1
    return f.ndim == like.ndim and all(n in (1, m) for n, m in zip(f.shape, like.shape))


def _words(x: object) -> str:
    if isinstance(x, Tensor):
        return f"{tuple(x.shape)}, {x.dtype}, {x.device}"
    return type(x).__name__
