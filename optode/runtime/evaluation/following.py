"""Evaluate the equations in one interval of time, with f and with given values in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ..aliases import Rates, Tensors
from ..methods.folding import spread_times
from ..methods.step import Evaluated, Structure
from .replay import Replayed

if TYPE_CHECKING:
    from ..node import Node
    from .field import BoundField
    from .parts import Evaluation


def structure_of(node: Node) -> Structure:
    """Return how the states of a node follow from f."""
    place = {name: i for i, name in enumerate(node.state_names)}
    layers = [[place[name] for name in layer] for layer in node.followers]
    following = {i for layer in layers for i in layer}
    driven = [i for i in place.values() if i not in following]
    groups = _groups(driven, node.linear_part(torch.ones((), device="cpu")))
    alone = {place[name] for name in node.linear_only}
    return Structure(groups, [i for i in driven if i not in alone], layers, node.followers_see_f)


class Following:
    """The evaluations of one interval."""

    __slots__ = ("evaluation", "interval")

    def __init__(self, evaluation: Evaluation, interval: int) -> None:
        self.evaluation, self.interval = evaluation, interval

    @property
    def structure(self) -> Structure:
        """How the states follow from f."""
        found = self.evaluation.structure
        assert found is not None  # a solve by such a method has found it before its first step
        return found

    @property
    def exact(self) -> Tensor:
        """The times: what is as exact as they are has their dtype."""
        return self.evaluation.clock.times.detach()

    def __call__(self, s: Any, y: Tensor) -> Evaluated:
        """Return what the equations give at the solver's own time s."""
        return self.evaluation.plain(self.interval, s, y)

    def replayed(self, s: Tensor, states: Tensors, values: Tensors | Tensor) -> Tensors:
        """Return the rates of folded states at the times s, with folded values in the place of f."""
        node, clock = self.evaluation.node, self.evaluation.clock
        time, speed = clock.over(self.interval, s)
        field = cast("BoundField", Replayed(values))
        rates, _ = node.equations(spread_times(time, states[0], len(s)), states, field)
        if speed is None:
            return rates
        faster = spread_times(speed.expand(len(s), *speed.shape), states[0], len(s))
        return tuple(faster * rate for rate in rates)

    def linear(self, s: Tensor) -> list[list[Tensor | None]]:
        """Return L of ``z' = L z + rest`` at the times s, its last dimension; None for what is 0."""
        node, clock = self.evaluation.node, self.evaluation.clock
        time, speed = clock.over(self.interval, s)
        return [[_at(x, time, speed) for x in row] for row in node.linear_part(time)]


def _at(x: float | Tensor, time: Tensor, speed: Tensor | None) -> Tensor | None:
    if not isinstance(x, Tensor) and x == 0:
        return None
    every = torch.as_tensor(x, dtype=time.dtype, device=time.device).expand_as(time)
    return (every if speed is None else speed * every).movedim(0, -1)


def _groups(driven: list[int], linear: Sequence[Rates]) -> list[list[int]]:
    """Return the connected groups of driven states, as L links them."""
    found: list[list[int]] = []
    for i in driven:
        linked = [g for g in found if any(_links(linear, i, j) for j in g)]
        found = [g for g in found if g not in linked]
        found.append(sorted([i, *(j for g in linked for j in g)]))
    return sorted(found)


def _links(linear: Sequence[Rates], i: int, j: int) -> bool:
    return any(isinstance(x, Tensor) or x != 0 for x in (linear[i][j], linear[j][i]))
