"""Compile whole solves with torch.compile, and say what compiling took."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

import torch

from .aliases import Inputs, Tensors
from .plan import AS_SET, Plan, for_tracing
from .reasons import refuse
from .solve import Found, Solve, run
from .times import Clock, Grid
from .tracing import (
    compiled_whole,
    graphs_compiled,
    in_one_file,
    keep_regions_quiet,
    keep_shims_quiet,
    unlimited_compilations,
)

if TYPE_CHECKING:
    from .node import Node

_MANY = 16
"""After so many compilations of one node there is a warning."""

_KINDS = 64
"""For how many kinds of compiled solves a node remembers what an evaluation weighs."""

Run: TypeAlias = Callable[..., Found]


@cache
def compiled(mode: bool | str, in_one: bool) -> Run:
    """Return the compiled solve for a mode. A second node with equal shapes and settings reuses it.

    With ``in_one`` all kernels are one file with a caller in C++, which cannot have regions: that
    compiles sooner, and a call takes less time.
    """
    keep_regions_quiet()
    if mode is True and in_one:
        keep_shims_quiet()
        return compiled_whole(run, options=in_one_file())
    return compiled_whole(run, mode=None if mode is True else str(mode))


def solve_with(
    node: Node,
    grid: Grid,
    states: Tensors,
    inputs: Inputs,
    plan: Plan = AS_SET,
) -> Found:
    """Run a solve, compiled where the node says so.

    For a compiled one, record how long compiling took, and refuse a result that is not finite.
    """
    if not node.compiled or torch.compiler.is_compiling():
        return run(node, grid, states, inputs, plan)
    known, begun = graphs_compiled(), perf_counter()
    seen, traced = for_tracing(node, grid, plan, _weighed(node, grid, states, inputs))
    with unlimited_compilations():
        in_one = states[0].device.type == "cpu" and not traced.regions
        found = compiled(node.compiled, in_one)(node, seen, states, inputs, traced)
    found = found._replace(
        errors=[(float(s), error) for s, error in found.errors],
        marks=[float(s) for s in found.marks] if plan.dense else grid.knots,
    )
    if graphs_compiled() > known:
        found.stats.compile_seconds = perf_counter() - begun
        node.compilations += 1
        if node.compilations == _MANY:
            warnings.warn(
                f"this node was compiled {_MANY} times: the number of times or of steps, a dtype, a "
                "device or a setting is another from call to call. With step_size the number of "
                "steps follows from the times: give steps",
                stacklevel=2,
            )
    whole = torch.stack(found.path, 1)
    if plan.counted is None and not whole.isfinite().all():
        ends = whole[:: len(whole) - 1] if plan.dense else whole
        refuse(node, Clock(grid, states[0]), inputs, ends)
    return found


def _weighed(node: Node, grid: Grid, states: Tensors, inputs: Inputs) -> int:
    """Return the bytes of one evaluation's graph, where the gradient of the solve asks for it.

    A traced solve cannot weigh: this evaluates the field once before, for every kind of solve.
    """
    if node.gradient != "discrete" or not torch.is_grad_enabled() or len(grid.knots) < 2:
        return 0
    modes = tuple(m.training for m in node.modules())
    x = states[0]
    kind = (*modes, torch.is_autocast_enabled(x.device.type), x.shape, x.dtype, x.device)
    if kind not in node.graph_bytes:
        if len(node.graph_bytes) >= _KINDS:
            node.graph_bytes.clear()
        solve = Solve(node, grid, states, inputs)
        with torch.enable_grad():
            start = solve.cut(torch.stack(states).detach())
            solve.evaluation.plain(0, grid.knots[0], start)
        node.graph_bytes[kind] = solve.evaluation.room.weight or 0
    return node.graph_bytes[kind]
