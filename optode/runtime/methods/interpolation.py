"""Interpolate f in time, and solve the rest of the equations with the interpolant in its place.

The network is dear, and all else is cheap. Along a solution f(t, h(t)) is a smooth function of the
time alone. A step evaluates it at some nodes. The states at each node follow from the polynomial
through the values before it, and the end from that through all of them. What moves by a given
function of time is solved by collocation at Radau's nodes: states that move linearly, whatever
their rates, by small systems of equations, and those that follow from them by quadrature.

Methods for fast and slow parts are those of Knoth and Wolke (Implicit-explicit Runge-Kutta methods
for computing atmospheric reactive flows, Applied Numerical Mathematics 28, 1998) and Sandu (A class
of multirate infinitesimal GARK methods, SIAM Journal on Numerical Analysis 57, 2019). Here f is the
slow part, and the fast one is solved as exactly as collocation does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor

from .legs import Leg, Row, leg
from .step import Evaluate, Evaluated, Follow, Method, Stages, Step, Taken
from .way import Way

_MORE = 2
"""Points of collocation to the end, beyond the number of values of f. Fewer lose digits."""

_BETWEEN = 5
"""Points of collocation to a node: as many to each, so that a compiler makes one kernel for all."""

_EARLY = 5
"""From so many values of f on a second node that is forgotten has no weight."""


class Interpolation(Method):
    """A step that evaluates f at nodes, the first of which is its start.

    The end is found from s values of f by s + 2 points of collocation. For the error it is computed
    once more without one of the nodes, and by one point less, so that an error of collocation is
    seen, too.
    """

    reach: ClassVar[float] = 5.0
    follows: ClassVar[bool] = True
    estimates = True

    def __init__(self, nodes: Row, left_out: int) -> None:
        self.nodes, size = nodes, len(nodes)
        self.order, self.error_order = order(nodes, 2), size
        ends = (*nodes[1:], 1.0)
        without = {1} if forgets(nodes) else set()
        used = [_places(k, without if k >= _EARLY else set()) for k in range(1, size + 1)]
        points = [*[min(_BETWEEN, size + 1)] * (size - 1), size + _MORE]
        self.legs = tuple(
            _leg(nodes, places, 1 + k, end, count)
            for k, (places, end, count) in enumerate(zip(used, ends, points))
        )
        fewer = [k for k in used[-1] if k != left_out]
        self.within = self.legs[-1].nodes[:-1]
        self.embedded = _leg(nodes, fewer, size, 1.0, size + _MORE - 1)

    def evaluations(self, known: bool, whole: bool) -> int:
        """Return the number of nodes where f is evaluated."""
        return len(self.nodes) - known

    def step(self, evaluate: Evaluate, step: Step, first: Evaluated | None = None) -> Taken:
        """Take one step."""
        follow, states = cast("Follow", evaluate), step.states
        # first of all, as where it is known: autograd adds in the order of its graph
        found = follow.rests(step.start, states.unbind(), first)
        way = Way(follow, step, self.legs)
        for k, node in enumerate(self.nodes):
            if k:
                found = follow.rests(step.start + node * step.length, states.unbind())
            way.pass_by(found)
            moved = way.moved(k)
            states = step.states + moved
        return Taken(states, Stages(way.found, [way.basis], moved), way.within())

    def errors(self, evaluate: Evaluate, step: Step, stages: Stages, ends: Tensor) -> Tensor:
        """Return the difference between the ends with all values of f, and with one left out."""
        with torch.no_grad():  # the lengths of steps are held fixed
            way = Way(cast("Follow", evaluate), step._replace(whole=False), (self.embedded,))
            way.resume(stages)
            assert stages.moved is not None  # by the step
            return stages.moved - way.moved(0)


def _places(count: int, without: set[int]) -> list[int]:
    return [k for k in range(count) if k not in without]


def _leg(nodes: Row, used: Sequence[int], values: int, end: float, count: int) -> Leg:
    """Return the leg to an end by so many points, from the used ones of the values so far."""
    made = leg(tuple(nodes[k] for k in used), end, count)
    rows = [dict(zip(used, row)) for row in made.weights]
    return made._replace(weights=tuple(tuple(r.get(k, 0.0) for k in range(values)) for r in rows))


def forgets(nodes: Row) -> bool:
    """Return whether the second node helps to find the next ones alone.

    So it does where the third is twice as far. Then the integral from the start to the third of the
    defect of a straight line through both, times the distance from there, is 0.
    """
    return len(nodes) > _EARLY and nodes[2] == 2 * nodes[1]


def order(nodes: Row, degree: int) -> int:
    """Return the proven order for f that reaches what it reads after ``degree`` integrations.

    The polynomial through k values is wrong by H^k, H the length of the step, so the states at node
    k + 1 by H^(degree + k): most of all at the second node. That error comes back in the final
    polynomial, beside the defect H^s of this itself; states on which f acts at once have both times
    H, and the sum over all steps is a power of H less. So it is of order degree + 1. The second
    node's weight is small, and its error goes with a power of its place: at usual tolerances errors
    fall faster.

    Where the second node is forgotten, its error reaches the end by the nodes after it alone, after
    ``degree`` integrations more. With two of them also the third node's is of H^5: the line's defect
    of H^4 integrates to 0 there. Then the order is 5, and with one integration it is 3.
    """
    if forgets(nodes):
        return min(len(nodes) - 1, 2 * degree + 1, 5)
    return min(len(nodes), degree + 1)
