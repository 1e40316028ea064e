"""Decide, from what is known before a solve, how it goes: its method, its steps, its way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .evaluation.sources import Sources
from .evaluation.weight import Room
from .methods.catalogue import DOPRI5, METHODS, solver_of
from .methods.step import Method
from .options import Options
from .times import Clock, Grid
from .torch_internals import is_transformed
from .tracing import is_exporting

if TYPE_CHECKING:
    from .node import Node


class Plan(NamedTuple):
    """What a solve is to do beside what its node says.

    ``counted`` is the number of equal steps from one time to the next whose errors are estimated,
    None for the steps that the options ask for. ``dense``: the trajectories have the ends of all
    steps, and not the knots alone. ``method`` is the name of the method where the node leaves it to
    the solve, ``steps`` the number of equal steps of each interval, and ``kept`` the number of steps
    whose graphs fit: they are given to a traced solve, which cannot look at times or weigh. With
    ``regions`` its steps are compiled once. ``parts`` has where the steps of each interval begin and
    end, as parts of it, where they are not equal: of a traced solve a tensor.
    """

    counted: int | None = None
    dense: bool = False
    method: str = ""
    steps: tuple[int, ...] = ()
    kept: int | None = None
    regions: bool = False
    parts: Any = ()


FEW = 3
"""Up to so many steps are compiled as they stand; of more, one is compiled for all."""

AS_SET = Plan()
"""The plan that changes nothing: the node and its options decide."""


def options_of(node: Node, plan: Plan) -> Options:
    """Return the options of a node, with the number of steps that the plan counts."""
    options = Options.of(node.options)
    return options._replace(steps=plan.counted) if plan.counted else options


def method_name(node: Node, clock: Clock, dense: bool = False) -> str:
    """Return the name of the method, chosen where the node says "auto".

    An adjoint system ends a step at every place within the steps of a dense solve: there "auto"
    takes a method without such. Raises ValueError where the options do not go with the times.
    """
    name = solver_of(node.method)[1]
    if name == "auto":
        name = node.best_method(clock)
        if dense and node.gradient == "adjoint" and METHODS[name].within:
            name = "tsit5"
    if Options.of(node.options).cuts() and clock.times.ndim > 1:
        raise ValueError("step_t and jump_t are times of all samples: each sample has times here")
    return name


def method_of(name: str) -> Method:
    """Return the method of a name; for those of others a stand-in that counts stages."""
    return METHODS.get(name, DOPRI5)


def way_back(node: Node, sources: Sources, room: Room, few: bool = False) -> str:
    """Return how the gradient of a solve is computed.

    "none": nothing asks for one, and learned numbers may be plain. It is "autograd" also where
    later evaluations would not see what this one reads: where parameters are lent for one call, or
    the solve is exported or transformed. "checkpoints": a solve that is traced, or has sharded
    parameters, and whose graph is not known to fit. Of a traced solve of few steps it is kept: half
    of it would live at once in any case.
    """
    gradient, compiling, whole = node.gradient, torch.compiler.is_compiling(), sources.are_whole()
    apart = is_transformed() or (not whole and sources.are_lent())
    if not torch.is_grad_enabled():
        return "autograd" if apart or compiling else "none"
    if gradient == "autograd" or (whole and not compiling and not apart):
        return gradient
    if not (whole or compiling or sources.are_shaped()):
        raise ValueError(
            "field has lazy parameters without a shape: call it once on a batch, or the node "
            "without gradients, before the first solve"
        )
    if apart or is_exporting():
        return "autograd"
    if gradient == "adjoint" and not whole:
        raise ValueError('gradient="adjoint" needs whole parameters: shard the node')
    fits = room.holds_another() if room.weight else few and whole
    return "autograd" if fits and gradient == "discrete" else "checkpoints"


def for_tracing(node: Node, grid: Grid, plan: Plan, weight: int) -> tuple[Grid, Plan]:
    """Return a grid whose knots are a tensor, and a plan that needs no look at them.

    A traced solve is then of any times. Where steps end at cuts, too, it is of these times alone.
    ``weight`` is the bytes of the graph of one evaluation.
    """
    options = Options.of(node.options)
    name = method_name(node, Clock(grid, grid.times), plan.dense)
    counts = grid.steps(plan.counted or options.steps, options.step_size)
    calls = method_of(name).evaluations(False, True)
    kept = min(sum(counts), int(options.keep // (weight * calls))) if weight else 0
    plan = plan._replace(method=name, kept=kept, regions=sum(counts) > FEW)
    if options.cuts():
        return grid, plan
    dtype, device = grid.times.dtype, grid.times.device
    parts = torch.tensor(plan.parts, dtype=dtype, device=device) if plan.parts else ()
    knots = torch.tensor(grid.knots, dtype=dtype, device=device)
    return grid._replace(knots=knots), plan._replace(steps=counts, parts=parts)
