"""Take the loss that equations read beside the field, and its values: one number for each sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor

from ..parameters import set_operator
from .signature import is_timeless

if TYPE_CHECKING:
    from ..node import Node

Loss: TypeAlias = Callable[..., Tensor]
"""A scalar field beside the network, called as the network is: one number for each sample."""


def set_loss(node: Node, loss: Loss) -> None:
    """Give a node its loss: a function of the time and a state, or of the state, or a module.

    It is called as the field is: loss(t, h), with the inputs after h where there are any, or loss(h)
    where it takes one argument. Raises TypeError for anything that cannot be called, as where it was
    left out of the arguments.
    """
    set_operator(node, "loss", loss)
    node.timeless_loss = is_timeless(loss)


def for_each_sample(value: Tensor, state: Tensor) -> Tensor | None:
    """Return a loss of shape (n,) or (n, 1, ...) in the shape (n, ...) of a state, else None.

    A state of one dimension is one sample, with a loss of shape () or (1,).
    """
    samples = state.shape[:1] if state.ndim > 1 else ()
    singles = (*samples, *(1 for _ in state.shape[len(samples) :]))
    if tuple(value.shape) not in (tuple(samples), singles):
        return None
    return value.reshape(singles).expand_as(state)
