"""Leave a singular time along the solution that is regular there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .aliases import Inputs, Tensors
from .times import Grid
from .torch_internals import holds

if TYPE_CHECKING:
    from .node import Node

_EARLY = 1e-3
"""How far after a singular start the solver takes over, as a part of the span."""


class Start(NamedTuple):
    """States at the singular time itself, and the grid and states from where the solver goes on."""

    states: Tensors
    grid: Grid
    later: Tensors

    def with_start(self, path: Tensors) -> Tensors:
        """Return trajectories with the states at the singular time for their first."""
        return tuple(torch.cat([z[None], x[1:]]) for z, x in zip(self.states, path))


def leave_pole(node: Node, grid: Grid, states: Tensors, inputs: Inputs) -> Start | None:
    """Return where a solve that begins at a singular time goes on; None where it does not.

    The leading terms of the regular solution, ``node.regular_start``, bridge the first thousandth
    of the span.
    """
    time = grid.times[0]
    singular = torch.stack([time == pole for pole in node.singular_times]).any(0)
    begins = grid.knots[0] in node.singular_times
    if grid.times.ndim > 1:
        begins = holds(singular.any())
    if not begins or node.regular_start is None:
        return None
    grid = _after(grid, singular, node.span[1])
    start, later = (
        tuple(torch.where(singular, z, x) for z, x in zip(branch, states))
        for branch in (
            node.regular_start(t.to(states[0].dtype), states[0], inputs)
            for t in (time, grid.times[0])
        )
    )
    return Start(start, grid, later)


def _after(grid: Grid, singular: Tensor, end: float) -> Grid:
    """Return the grid from the times on at which the solver takes over."""
    if grid.times.ndim > 1:
        start, following = grid.times[0], grid.times[1:]
        first = torch.where(singular, start + _EARLY * (following[0] - start), start)
        return grid._replace(times=torch.cat([first[None], following]))
    pole, *knots = grid.knots
    takes_over = pole + _EARLY * (end - pole)
    if knots and knots[0] <= takes_over:
        raise ValueError(f"times after {pole} must be after {takes_over}")
    times = torch.cat([grid.times.new_tensor([takes_over]), grid.times[1:]])
    return grid._replace(times=times, knots=[takes_over, *knots])
