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

from ..evaluation.following import Following
from .legs import Row, leg
from .step import EQUATIONS, Evaluate, Evaluated, Interval, Method, Problem, Stages, Step, Taken
from .way import Way

_MORE = 2
"""Points of collocation beyond the number of values of f. With one more, activations lose digits."""


class Interpolation(Method[None]):
    """A step that evaluates f at nodes, the first of which is its start.

    From k values of f the next state is found by k + 2 points of collocation. For the error the end
    is computed once more without the last node but two: on random networks the difference is one
    to six times the error.
    """

    needs: ClassVar[str] = "Node"
    reach: ClassVar[float] = 5.0
    estimates = True

    def __init__(self, nodes: Row) -> None:
        self.nodes, left_out = nodes, max(1, len(nodes) - 3)
        self.order, self.error_order = order(nodes, 2), len(nodes)
        ends = (*nodes[1:], 1.0)
        self.legs = tuple(leg(nodes[:k], end, k + _MORE) for k, end in enumerate(ends, 1))
        fewer = tuple(x for k, x in enumerate(nodes) if k != left_out)
        rows = leg(fewer, 1.0, len(nodes) + _MORE).weights
        rows = tuple((*row[:left_out], 0.0, *row[left_out:]) for row in rows)
        self.embedded = self.legs[-1]._replace(weights=rows)

    def numbers(self, problem: Problem, steps: Sequence[Interval]) -> Sequence[None]:
        """Return nothing for each step."""
        return [None] * len(steps)

    def evaluations(self, known: bool, whole: bool) -> int:
        """Return the number of nodes where f is evaluated."""
        return len(self.nodes) - known

    def step(self, evaluate: Evaluate, step: Step, first: Evaluated | None = None) -> Taken:
        """Take one step."""
        way, states = Way(cast("Following", evaluate), step, self.legs, self.nodes), step.states
        for k, node in enumerate(self.nodes):
            if k or first is None:
                first = evaluate(EQUATIONS, step.start + node * step.length, states)
            way.pass_by(k, states, first)
            states = way.end(k)
        return Taken(states, Stages(way.found, [x for basis in way.basis for x in basis], []))

    def errors(self, evaluate: Evaluate, step: Step, stages: Stages, ends: Tensor) -> Tensor:
        """Return the difference between the ends with all values of f, and with one left out."""
        with torch.no_grad():  # the lengths of steps are held fixed
            way = Way(cast("Following", evaluate), step, (self.embedded,), ())
            way.resume(stages)
            return ends - way.end(0)


def order(nodes: Row, degree: int) -> int:
    """Return the proven order for f that reaches what it reads after ``degree`` integrations.

    The polynomial through k values is wrong by the k-th power of the step H, so the state at node
    k + 1 by H^(degree + k). The first of these errors, at the second node, is the largest. It comes
    back in the final polynomial, with the defect H^s of that itself. States on which f acts at once
    have both times H, and over all steps the sum is a power of H less. The weight of the second node
    is small, and its error goes with the cube of its place: at usual tolerances errors fall faster.
    """
    return min(len(nodes), degree + 1)
