"""Read a solution between the ends of its steps.

Steps that know the states within them have a polynomial of their own. Otherwise it is Hermite
interpolation of the states and their derivatives: through q consecutive ends of steps, with the
values and the derivatives there, goes a polynomial of degree 2q - 1, whose error is of order 2q in
the lengths of the steps (Stoer and Bulirsch, Introduction to Numerical Analysis, 2.1.5). With 2q at
least the order of the method it is at least of the method's order minus one, as those of
torchdiffeq are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from .aliases import Inputs, Tensors
from .methods.catalogue import METHODS, solver_of
from .methods.step import Method
from .options import Options
from .times import Grid

if TYPE_CHECKING:
    from .node import Node

MANY = 32
"""With more intervals than this, fitted steps do not end at every time unless asked to."""


def interpolates(node: Node, grid: Grid) -> bool:
    """Return whether times are read off between the ends of steps; ValueError where they cannot be.

    By default where fitted steps would end at more than ``MANY`` times.
    """
    if node.observe == "steps" or len(grid.knots) < 3:
        return False
    obstacle = obstacle_of(node, grid)
    if node.observe == "interpolate" and obstacle:
        raise ValueError(f'observe="interpolate" does not go with {obstacle}: take "steps"')
    name = solver_of(node.method)[1]
    fitted = name == "auto" or (name in METHODS and METHODS[name].estimates)
    many = len(grid.knots) - 1 > MANY and fitted and not Options.of(node.options).sized()
    return not obstacle and (node.observe == "interpolate" or many)


def obstacle_of(node: Node, grid: Grid) -> str:
    """Return what keeps a solve from being read between its steps, "" where nothing does."""
    solver, _ = solver_of(node.method)
    obstacles = {
        "steps of another solver": solver != "",
        "times of each sample's own": grid.times.ndim > 1,
        "a gradient by the times": grid.times.requires_grad and torch.is_grad_enabled(),
        "step_t and jump_t": bool(Options.of(node.options).cuts()),
    }
    return next((words for words, there in obstacles.items() if there), "")


def nodes_for(order: int) -> int:
    """Return how many ends of steps a polynomial goes through, for a method of this order."""
    return max(2, (order + 1) // 2)


def longest_step(order: int, knots: Sequence[float]) -> float:
    """Return how long steps may be, for enough ends of them to interpolate between."""
    span: float = knots[-1] - knots[0]
    return span / (nodes_for(order) - 1)


def ends_of(grid: Grid) -> Grid:
    """Return the grid without the times between its ends."""
    ends = [0, -1]
    return Grid(grid.given[ends], grid.times[ends], [grid.knots[0], grid.knots[-1]])


class Interpolant(Protocol):
    """Trajectories of time, known at marks; ``values`` has one for each, stacked along these."""

    marks: Sequence[float]
    values: Tensors

    def at(self, times: Sequence[float]) -> Tensors:
        """Return every trajectory at times, stacked along these."""
        ...

    def beside(self, values: Tensor, slopes: Tensor) -> Interpolant:
        """Return the interpolant of one more trajectory beside these."""
        ...


class OfSteps:
    """Trajectories within steps that know them at places: by the polynomial of each step.

    The marks are the start of each step, its places, and the end of the last. The polynomial is of
    a degree of as many as there are places, and one.
    """

    def __init__(self, marks: Sequence[float], values: Tensors, places: Sequence[float]) -> None:
        self.marks, self.values, self.places = marks, values, places
        self.count = 1 + len(places)
        self.exact = torch.tensor(marks, dtype=torch.float64, device="cpu")

    def beside(self, values: Tensor, slopes: Tensor) -> OfSteps:
        """Return the interpolant of one more trajectory beside these; it needs no slopes."""
        return OfSteps(self.marks, (*self.values, values), self.places)

    def at(self, times: Sequence[float]) -> Tensors:
        """Return every trajectory at times, stacked along these."""
        at = self.exact.new_tensor(times)
        starts = self.exact[: -1 : self.count].contiguous()
        steps = torch.searchsorted(starts, at, right=True) - 1
        first = self.count * steps.clamp(min=0)
        rows = first[:, None] + torch.arange(self.count + 1, device="cpu")
        weights, _ = _lagrange(self.exact[rows], at)
        return tuple(_weighed([(weights, x)], rows) for x in self.values)


class OfEnds:
    """Trajectories between the ends of steps (marks), from values and slopes at these.

    ``values`` and ``slopes`` have one tensor for each trajectory, stacked along the marks. ``count``
    is the number of marks that each polynomial goes through. Gradients are those of the
    interpolant.
    """

    def __init__(
        self, marks: Sequence[float], values: Tensors, slopes: Tensors, count: int
    ) -> None:
        self.marks, self.values, self.slopes = marks, values, slopes
        self.count = min(count, len(marks))
        self.exact = torch.tensor(marks, dtype=torch.float64, device="cpu")

    def beside(self, values: Tensor, slopes: Tensor) -> OfEnds:
        """Return the interpolant of one more trajectory beside these."""
        values_of_all, slopes_of_all = (*self.values, values), (*self.slopes, slopes)
        return OfEnds(self.marks, values_of_all, slopes_of_all, self.count)

    def at(self, times: Sequence[float]) -> Tensors:
        """Return every trajectory at times, stacked along these."""
        at = self.exact.new_tensor(times)
        before = torch.searchsorted(self.exact, at, right=True) - (self.count + 1) // 2
        first = before.clamp(0, len(self.exact) - self.count)
        places = first[:, None] + torch.arange(self.count, device="cpu")
        weights = _weights(self.exact[places], at)
        both = zip(self.values, self.slopes)
        return tuple(_weighed([*zip(weights, each)], places) for each in both)


def _weighed(terms: Sequence[tuple[Tensor, Tensor]], places: Tensor) -> Tensor:
    """Return sums over rows of trajectories, of shape (times, ...): those at places, each weighed."""
    like = terms[0][1]
    column, found = (-1, *[1] * (like.ndim - 1)), []
    for k, place in enumerate(places.to(like.device).unbind(1)):
        for weights, tensor in terms:
            weight = weights[:, k].to(like).view(column)
            found.append(weight * tensor.index_select(0, place))
    total = found[0]
    for term in found[1:]:
        total = total + term
    return total


def _lagrange(nodes: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Lagrange polynomials of nodes of shape (times, q): values at times, slopes at nodes.

    The slopes are those of each polynomial at its own node.
    """
    gaps = nodes[:, :, None] - nodes[:, None, :]
    same = torch.eye(nodes.shape[1], dtype=torch.bool, device=nodes.device)
    away, gaps = (at[:, None] - nodes)[:, None, :], gaps.masked_fill(same, 1.0)
    # quotients, not products with inverses: 1 at its own node to the last bit
    values = (away / gaps).masked_fill(same, 1.0).prod(2)
    return values, (1 / gaps).masked_fill(same, 0.0).sum(2)


def _weights(nodes: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of values and slopes, of shape (times, q), for nodes of that shape.

    With the Lagrange polynomials l_a: of values (1 - 2 (x - x_a) l_a'(x_a)) l_a(x)^2, of slopes
    (x - x_a) l_a(x)^2.
    """
    lagrange, own_slopes = _lagrange(nodes, at)
    squares, distance = lagrange.square(), at[:, None] - nodes
    return (1 - 2 * distance * own_slopes) * squares, distance * squares


def interpolant_of(
    node: Node, marks: Sequence[float], path: Tensors, method: Method, inputs: Inputs
) -> Interpolant:
    """Return the interpolant of a solve.

    Where its steps do not know the states within, every mark costs an evaluation of the field.
    """
    if method.within:
        return OfSteps(marks, path, method.within)
    time = path[0].new_full
    slopes = [  # copied one by one: the field may return one memory every time
        torch.stack(node.vector_field(time((), s), tuple(x[k] for x in path), inputs))
        for k, s in enumerate(marks)
    ]
    return OfEnds(marks, path, torch.stack(slopes, 1).unbind(), nodes_for(method.order))
