"""Find the one cause of a solve that failed, for its message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .aliases import Inputs
from .learned_values import learned_text
from .matrix_functions import singular_functions
from .times import Clock

if TYPE_CHECKING:
    from .node import Node

GROWS = "the solution or the field grows without bound there, or the steps are too long"
"""Why numbers are not finite, where parameters are."""


@torch.no_grad()
def reason(node: Node, t: Tensor, states: Tensor, inputs: Inputs, otherwise: str) -> str:
    """Return why a solve failed at a time and stacked states; ``otherwise`` if none is found."""
    for name, parameter in node.named_parameters():
        if not parameter.isfinite().all():
            return f"{name} is not finite"
    learned = learned_text(node)
    otherwise = f"{otherwise}; {learned}" if learned else otherwise
    if len(states) != len(node.state_names):  # with costates among them
        return otherwise
    with singular_functions() as singular:
        rates, again = (node.vector_field(t, states.unbind(), inputs) for _ in range(2))
    if singular:
        return f"{singular[0]} is taken of a matrix that is singular, or close to it"
    if all(x.isfinite().all() for x in rates) and not all(map(torch.equal, rates, again)):
        return (
            "the field draws random numbers, so that no step has a small error: call field.eval(), "
            "or give what is drawn as inputs"
        )
    return otherwise


def refuse(node: Node, clock: Clock, inputs: Inputs, path: Tensor) -> None:
    """Name what is not finite first, a state or a derivative, and its time."""
    for i, (s, states) in enumerate(zip(clock.knots, path)):
        known = dict(zip(node.state_names, states))
        if states.isfinite().all():
            rates = node.vector_field(clock.knot(i), states.unbind(), inputs)
            known = {f"{name}'": x for name, x in zip(node.state_names, rates)}
        for name, x in known.items():
            if not x.isfinite().all():
                why = reason(node, clock.knot(i), states, inputs, GROWS)
                raise FloatingPointError(f"{name} is not finite at {clock.grid.words(s)}: {why}")
