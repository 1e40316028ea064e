"""Compile whole solves with torch.compile, and say what compiling took."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

import torch

from .aliases import Inputs, Tensors
from .methods.step import EQUATIONS
from .solve import Found, Solve, refuse, run
from .times import Clock, Grid
from .torch_internals import graphs_compiled, unlimited_compilations

if TYPE_CHECKING:
    from .node import Node

_KINDS = 64
"""For how many kinds of compiled solves a node remembers what an evaluation weighs."""

Run: TypeAlias = Callable[..., Found]


@cache
def compiled(mode: bool | str) -> Run:
    """Return the compiled solve for a mode.

    A second node with equal shapes and settings reuses it.
    """
    name = None if mode is True else str(mode)
    return torch.compile(run, fullgraph=True, dynamic=False, mode=name)


def solve_with(
    node: Node,
    grid: Grid,
    states: Tensors,
    inputs: Inputs,
    count: int | None = None,
    dense: bool = False,
) -> Found:
    """Run a solve, compiled where the node says so.

    For a compiled one, record how long compiling took, and refuse a result that is not finite.
    """
    if not node.compiled or torch.compiler.is_compiling():
        return run(node, grid, states, inputs, count, dense)
    known, begun = graphs_compiled(), perf_counter()
    weight = _weighed(node, grid, states, inputs)
    with unlimited_compilations():
        found = compiled(node.compiled)(node, grid, states, inputs, count, dense, weight)
    if graphs_compiled() > known:
        found.stats.compile_seconds = perf_counter() - begun
    if count is None and not (whole := torch.stack(found.path, 1)).isfinite().all():
        refuse(node, Clock(grid, states[0]), inputs, whole[:: len(whole) - 1] if dense else whole)
    return found


def _weighed(node: Node, grid: Grid, states: Tensors, inputs: Inputs) -> int:
    """Return the bytes of one evaluation's graph, where the gradient of the solve asks for it.

    A traced solve cannot weigh: this evaluates the field once before, for every kind of solve.
    """
    if node.gradient != "discrete" or not torch.is_grad_enabled() or len(grid.knots) < 2:
        return 0
    solve = Solve(node, grid, states, inputs)
    if solve.way_back != "discrete":
        return 0
    modes = tuple(m.training for m in node.modules())
    x = states[0]
    kind = (*modes, torch.is_autocast_enabled(x.device.type), x.shape, x.dtype, x.device)
    if kind not in node.graph_bytes:
        if len(node.graph_bytes) >= _KINDS:
            node.graph_bytes.clear()
        with torch.enable_grad():
            start = solve.cut(torch.stack(states))
            solve.evaluation.plain(0, EQUATIONS, grid.knots[0], start)
        node.graph_bytes[kind] = solve.evaluation.room.weight or 0
    return node.graph_bytes[kind]
