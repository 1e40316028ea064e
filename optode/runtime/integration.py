"""Integrate a node from its initial states: the times, the solve, and what is read off it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .aliases import Inputs, Tensors, Times
from .compiling import solve_with
from .dense import ends_of, interpolant_of, interpolates, obstacle_of
from .given import check_inputs, check_states
from .methods.catalogue import METHODS, solver_of
from .plan import Plan
from .quadrature import RunningCost, rows_of
from .settings import check_tolerance, settle
from .singular_start import Start, leave_pole
from .solution import Solution
from .solve import Found
from .times import Grid, Span, grid_of, own_start
from .torch_internals import is_transformed

if TYPE_CHECKING:
    from .node import Node


def integrate(node: Node, states: Tensor | Tensors, t: Times, inputs: Inputs) -> Solution:
    """Return all states of a node at the times t; see ``Node.integrate``."""
    if not is_transformed():
        return _integrated(node, states, t, inputs)
    try:
        return _integrated(node, states, t, inputs)
    except RuntimeError as error:
        if solver_of(node.method)[0]:
            others = f"{node.method} has steps of another library"
            raise RuntimeError(
                f"{others}: torch.func and forward-mode differentiation may not go through them, "
                f"take a method of this package: {error}"
            ) from error
        if "vmap" in str(error):
            raise RuntimeError(
                "vmap batches steps of equal size: give steps or step_size among the options, since "
                f"fitted ones depend on values: {error}"
            ) from error
        raise


def _integrated(node: Node, states: Tensor | Tensors, t: Times, inputs: Inputs) -> Solution:
    settle(node)
    check_inputs(inputs)
    evaluations = 0
    if isinstance(states, Tensor):
        evaluations = node.start_evaluations
        states = node.initial_states(states, inputs, own_start(t, states))
    check_states(node, states)
    start, end = map(float, node.span)
    span = Span(start, end, node.singular_times, node.regular_start is not None)
    grid, begun = grid_of(states[0], t, span), None
    if node.regular_start is not None:
        begun = leave_pole(node, grid, states, inputs)
    if begun is None:
        solution = _observed(node, grid, states, inputs)
    else:
        solution = _observed(node, begun.grid, begun.later, inputs)
        solution = _with_start(node, grid, solution, begun, inputs)
        evaluations += 2 * node.branch_evaluations
    solution.stats.forward_nfe += evaluations
    late = len(grid.knots) - grid.given.shape[-1]
    trajectories = node.States(*(x[late:] for x in solution.states))
    running = None if solution.running is None else solution.running[late:]
    return Solution(grid.given, trajectories, solution.stats, running)


def _observed(node: Node, grid: Grid, states: Tensors, inputs: Inputs) -> Solution:
    """Return the trajectories at the knots of a grid, with the integral of a running cost."""
    check_tolerance(node, states)
    between = interpolates(node, grid)
    if node.running is not None and (obstacle := obstacle_of(node, grid)):
        raise ValueError(f"running does not go with {obstacle}")
    dense = between or node.running is not None
    found = _solved(node, ends_of(grid) if between else grid, states, inputs, dense)
    stats = found.stats
    if not dense:
        return Solution(grid.times, found.path, stats)
    method = METHODS[stats.method]
    interpolant = interpolant_of(node, found.marks, found.path, method, inputs)
    stats.forward_nfe += 0 if method.within else len(found.marks)
    stats.observed = "interpolate" if between else "steps"
    if node.running is not None:
        cost = RunningCost(node, node.running, inputs, stats)
        interpolant = interpolant.beside(*cost.integrals(interpolant, method))
    if between:
        read = interpolant.at(grid.knots)
    else:
        rows = rows_of(found.marks, grid.knots)
        read = tuple(x[rows] for x in interpolant.values)
    count = len(states)
    return Solution(grid.times, read[:count], stats, read[count] if read[count:] else None)


def _solved(node: Node, grid: Grid, states: Tensors, inputs: Inputs, dense: bool) -> Found:
    if node.grid == "auto":
        return node.automatic_grid.solve(node, grid, states, inputs, dense)
    return solve_with(node, grid, states, inputs, Plan(dense=dense))


def _with_start(
    node: Node, grid: Grid, solution: Solution, begun: Start, inputs: Inputs
) -> Solution:
    """Return a solution with its states at a singular time, and the running cost from there on."""
    solution = solution._replace(states=begun.with_start(solution.states))
    if solution.running is None or node.running is None or node.regular_start is None:
        return solution
    branch, position, dtype = node.regular_start, begun.states[0], begun.states[0].dtype
    cost = RunningCost(node, node.running, inputs, solution.stats)
    first = cost.over(
        grid.knots[0],
        begun.grid.knots[0],
        lambda t: branch(t.to(position.device, dtype), position, inputs),
    )
    running = torch.cat([torch.zeros_like(first)[None], solution.running[1:] + first])
    return solution._replace(running=running)
