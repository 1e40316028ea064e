"""Integrate a running cost along a solution: kinetic or Jacobian regularisers, costs of controls.

Where steps know the states at Radau's nodes, these are the nodes of the integral. Otherwise the
states between two ends of steps are read off their interpolant at the nodes of a Lobatto rule, whose
order is at least that of the method (Abramowitz and Stegun, 25.4.32).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from .aliases import Inputs, Tensors
from .dense import Interpolant
from .evaluation.field import BoundField
from .methods.collocation import collocation
from .methods.legs import mixed_rows
from .methods.step import Method
from .solution import Stats

if TYPE_CHECKING:
    from .node import Node

Running: TypeAlias = Callable[[Tensor, Tensors, Callable[..., Tensor]], Tensor]
"""A running cost r(t, states, f), where f is the network at t: a function of the states it reads."""

_S5, _S7 = math.sqrt(1 / 5), math.sqrt(3 / 7)

LOBATTO = {
    3: ((-1.0, 0.0, 1.0), (1 / 3, 4 / 3, 1 / 3)),
    4: ((-1.0, -_S5, _S5, 1.0), (1 / 6, 5 / 6, 5 / 6, 1 / 6)),
    5: ((-1.0, -_S7, 0.0, _S7, 1.0), (1 / 10, 49 / 90, 32 / 45, 49 / 90, 1 / 10)),
}
"""Nodes and weights on [-1, 1] by the number of nodes n; exact up to degree 2n - 3."""


class RunningCost:
    """A running cost of one solve, whose calls of the network are counted."""

    def __init__(self, node: Node, running: Running, inputs: Inputs, stats: Stats) -> None:
        self.node, self.running, self.inputs, self.stats = node, running, inputs, stats

    def at(self, s: float, states: Tensors) -> Tensor:
        """Return the running cost at a time, of any shape; ValueError where it is no tensor."""
        t = states[0].new_full((), s)
        field = BoundField(self.node, t, self.inputs)

        def f(*arguments: Tensor) -> Tensor:
            self.stats.forward_nfe += 1
            return field(*arguments).clone()  # the field may return one memory every time

        cost = self.running(t, self.node.States(*states), f)
        if not isinstance(cost, Tensor) or not cost.is_floating_point():
            raise ValueError(f"running must return a tensor of numbers, got {type(cost).__name__}")
        return cost

    def integrals(self, states: Interpolant, method: Method) -> tuple[Tensor, Tensor]:
        """Return the integrals from the start to every mark, and the cost there."""
        marks = states.marks
        ends = [self.at(s, z) for s, z in zip(marks, zip(*states.values))]
        if method.within:
            return self._over_steps(marks, ends, 1 + len(method.within)), torch.stack(ends)
        nodes, weights = LOBATTO[min(5, max(3, (method.order + 3) // 2))]
        total = torch.zeros_like(ends[0])
        integrals = [total]
        for k, (a, b) in enumerate(pairwise(marks)):
            middle, half = (a + b) / 2, (b - a) / 2
            inner = [middle + half * x for x in nodes[1:-1]]
            costs = [self.at(s, z) for s, z in zip(inner, zip(*states.at(inner)))]
            for weight, cost in zip(weights, (ends[k], *costs, ends[k + 1])):
                total = total + half * weight * cost
            integrals.append(total)
        return torch.stack(integrals), torch.stack(ends)

    def _over_steps(self, marks: Sequence[float], costs: Sequence[Tensor], count: int) -> Tensor:
        """Return the integrals to every mark, where a step has so many, by collocation at them."""
        total = torch.zeros_like(costs[0])
        integrals = [total]
        for k in range(0, len(marks) - 1, count):
            length = marks[k + count] - marks[k]
            known = torch.stack([*costs[k + 1 : k + count + 1]])
            moved = mixed_rows(length * known.new_tensor(collocation(count)), known)
            integrals += (total + moved).unbind()
            total = integrals[-1]
        return torch.stack(integrals)

    def over(self, start: float, end: float, states: Callable[[Tensor], Tensors]) -> Tensor:
        """Return the integral over a short stretch by the midpoint rule, for states of time."""
        s = (start + end) / 2
        time = torch.tensor(s, dtype=torch.float64, device="cpu")
        return (end - start) * self.at(s, states(time))


def rows_of(marks: Sequence[float], knots: Sequence[float]) -> list[int]:
    """Return the places of the knots among the marks, which have all of them."""
    places = {s: k for k, s in enumerate(marks)}
    return [places[s] for s in knots]
