"""Carry out one solve: choose its method and its gradient, and return its trajectories."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .aliases import Inputs, Tensors
from .dense import nodes_for
from .evaluation.guards import Guard
from .evaluation.parts import Evaluation
from .evaluation.sources import Sources, sources_of
from .evaluation.weight import Room
from .gradients.discrete import Record
from .gradients.trajectories import trajectories
from .methods.catalogue import DOPRI5, METHODS, methods_of, solver_of
from .methods.step import AnyMethod, Step, Taken
from .options import Options
from .outside.torchdiffeq import solve_by_torchdiffeq
from .outside.torchode import solve_by_torchode
from .reasons import GROWS, reason
from .solution import Costates, Stats
from .stepping.controller import Tolerances
from .stepping.stepper import Stepper
from .times import Clock, Grid
from .torch_internals import (
    has_saving_hooks,
    holds,
    is_exporting,
    is_transformed,
    saving_hooks_at_rest,
)

if TYPE_CHECKING:
    from .node import Node

Errors = list[tuple[float, Tensor]]
"""The start of each step, and the error of every state over its tolerance."""


class Found(NamedTuple):
    """The trajectories at the marks, the errors of steps that are counted, and the work.

    The marks are the knots, or the ends of all steps: the solver's own times.
    """

    path: Tensors
    errors: Errors
    stats: Stats
    marks: list[float]


class Solve:
    """One solve: its work, its accepted steps, and the way back.

    ``count`` is the number of equal steps whose errors are estimated, None for the steps that the
    options ask for. ``dense``: the trajectories have the ends of all steps, and not the knots
    alone. ``weight`` is the bytes of one evaluation, where the solve is traced. ``apart``
    says whether autograd sees the solve as one function, with a way back of its own.
    """

    def __init__(
        self,
        node: Node,
        grid: Grid,
        states: Tensors,
        inputs: Inputs = None,
        count: int | None = None,
        dense: bool = False,
        weight: int | None = None,
    ) -> None:
        self.node, self.count, self.dense = node, count, dense
        self.like = states[0].detach()
        self.options = Options.of(node.options)
        self.tolerances = Tolerances(node.rtol, node.atol, self.options.norm == "sample")
        if count:
            self.options = self.options._replace(steps=count)
        self.clock = Clock(grid, self.like)
        self.solver, self.method, self.stats = _method(node, self.clock)
        self.replayed: AnyMethod = self.method
        self.marks, self.intervals = self.clock.knots, [*range(len(self.clock.knots) - 1)]
        if dense:
            gaps = nodes_for(self.method.order) - 1
            longest = (self.clock.knots[-1] - self.clock.knots[0]) / gaps
            self.options = self.options._replace(max_step=min(longest, self.options.max_step))
        keep = 0.0 if has_saving_hooks() else self.options.keep
        room = Room(keep, self.method.evaluations(False, True), weight)
        self.sources = self.seen = sources_of(node, inputs)
        self.way_back = _way_back(node, self.sources, room)
        self.apart = self.way_back in ("discrete", "adjoint")
        self.plain = self.apart or self.way_back == "none"
        if self.apart:
            self.seen = self.sources.apart()
            self.clock.detach()
        self.evaluation = self._evaluation(room)
        if self.apart:
            self.evaluation.learned = self.seen.learned(own=False)
        self.record = Record()
        self.errors: Errors = []
        self.learned: Tensors = ()
        device = self.like.device.type
        self.autocast = partial(
            torch.autocast,
            device,
            dtype=torch.get_autocast_dtype(device),
            enabled=torch.is_autocast_enabled(device),
            cache_enabled=torch.is_autocast_cache_enabled(),
        )

    def _evaluation(self, room: Room) -> Evaluation:
        node, discrete = self.node, self.way_back == "discrete"
        room.weight = None if discrete else room.weight or 0
        guard, traced = None, torch.compiler.is_compiling()
        if traced and torch.is_grad_enabled():
            self.stats.backward_nfe = None
        counts = not self.apart and not traced
        if not (traced or is_transformed()):
            pure = node.gradient != "autograd"
            learned = self.seen.learned(True) if self.apart else None
            guard = Guard(node, self.seen.inputs, self.like.device, pure, learned)
        return Evaluation(node, self.clock, room, self.stats, self.seen, guard, discrete, counts)

    @property
    def by_graphs(self) -> bool:
        """Whether the way back goes through a graph of each step, made apart from the others."""
        return self.way_back == "discrete" and self.method.needs != "DampedNode"

    def trajectories(self, states: Tensors) -> Tensors:
        """Return every state at the knots, stacked, with the gradient that the node asks for."""
        self.learned = tuple(getattr(self.node, name) for name in self.node.learned_names)
        start = torch.stack(states)
        if self.apart:
            sources = self.sources.learned(self.by_graphs)
            if not self.by_graphs:
                sources = (*self.learned, *sources)
            path = trajectories(self, self.clock.grid.times, start, *sources)
        else:
            path = self.path(start)
        return tuple(path[:, k] for k in range(len(states)))

    def path(self, states: Tensor) -> Tensor:
        """Return the states at the knots, of shape (knots, states, ...); counts the work."""
        solvers = {"torchdiffeq": solve_by_torchdiffeq, "torchode": solve_by_torchode}
        with saving_hooks_at_rest():
            path = solvers.get(self.solver, Solve._by_steps)(self, states)
        # steps that are counted may have been too long
        if not self.count and not holds(path.isfinite().all()):
            refuse(self.node, self.clock, self.sources.inputs, path)
        return path

    def _by_steps(self, states: Tensor) -> Tensor:
        stepper = Stepper(self, self.method, self.node.state_names, self.count_forward)
        stepper.whole |= self.count is not None
        pulls = self.way_back == "discrete" and not self.by_graphs
        look = self.evaluation.recorded if pulls else self.evaluation.plain
        path, steps = [self.cut(states)], []

        def accept(step: Step, taken: Taken) -> None:
            steps.append(step._replace(interval=stepper.interval))
            self.keep(stepper.interval, step, taken)

        for i, (start, end) in enumerate(pairwise(self.clock.knots)):
            path.append(stepper.advance(i, partial(look, i), start, end, path[-1], accept))
        if self.dense:
            path = [*(step.states for step in steps), path[-1]]
            self.marks = [*(step.start for step in steps), self.clock.knots[-1]]
            self.intervals = [step.interval for step in steps]
        return torch.stack(path)

    def cut(self, states: Tensor) -> Tensor:
        """Return the states where the next step begins: a leaf, where each step has its graph."""
        return states.detach().requires_grad_() if self.by_graphs else states

    def count_forward(self, evaluations: int) -> None:
        """Count evaluations of the field."""
        self.stats.forward_nfe += evaluations

    def keep(self, i: int, step: Step, taken: Taken | None = None) -> None:
        """Count an accepted step of the i-th interval, and keep it for the way back."""
        self.stats.accepted += 1
        room = self.evaluation.room
        taken = taken if room.holds_another() else None
        if taken is not None:
            room.spend(len(taken.stages.found))
        if self.way_back == "discrete":
            row = len(self.record.steps) if self.dense else i
            self.record.keep(step._replace(interval=i, row=row), taken)

    @property
    def notes_costates(self) -> bool:
        """Whether somebody wants to see the costates of the backward pass."""
        return self.node.record or hasattr(self.node, "callback_costates")

    def note_costates(self, i: int, s: float, costates: Tensor) -> None:
        """Keep the costates at a time of the i-th interval, and call the node's callback."""
        if not self.notes_costates:
            return
        time = self.clock.told(i, s, 0.0)[0]
        found = Costates(time, self.node.States(*costates.detach().clone()))
        if self.node.record:
            self.stats.costates.append(found)
        if (callback := getattr(self.node, "callback_costates", None)) is not None:
            callback(*found)

    def reason(self, i: int, s: float, states: Tensor, otherwise: str) -> str:
        """Return why a step of the i-th interval failed at s: ``otherwise`` or a cause found."""
        time = self.clock.at(i, s)[0]
        return reason(self.node, time, states, self.seen.inputs, otherwise)

    def notice(
        self, event: str, i: int, s: float | Tensor, states: Tensor | Tensors, dt: float | Tensor
    ) -> None:
        """Count a rejected step, and call the node's callback for the event."""
        self.stats.rejected += event == "callback_reject_step"
        callback = getattr(self.node, event, None)
        if callback is not None:
            t, length = self.clock.told(i, s, dt)
            callback(t, tuple(states), length)


def _way_back(node: Node, sources: Sources, room: Room) -> str:
    """Return how the gradient of a solve is computed, from what is known before it.

    "none": nothing asks for one, and learned numbers may be plain. It is "autograd" also where
    later evaluations would not see what this one reads: where parameters are lent for one call, or
    the solve is exported or transformed. "checkpoints": a solve that is traced, or has sharded
    parameters, and whose graph is not known to fit.
    """
    gradient, compiling, whole = node.gradient, torch.compiler.is_compiling(), sources.are_whole
    apart = is_transformed() or (not whole and sources.are_lent)
    if not torch.is_grad_enabled():
        return "autograd" if apart or compiling else "none"
    if gradient == "autograd" or (whole and not compiling and not apart):
        return gradient
    if apart or is_exporting():
        return "autograd"
    if gradient == "adjoint" and not whole:
        raise ValueError('gradient="adjoint" needs whole parameters: shard the node')
    fits = gradient == "discrete" and room.weight and room.holds_another()
    return "autograd" if fits else "checkpoints"


def _method(node: Node, clock: Clock) -> tuple[str, AnyMethod, Stats]:
    """Return whose solver takes the steps, the method of this package, and an empty record."""
    solver, name = solver_of(node.method)
    if name == "auto":
        name = node.best_method(clock)
    # a solver of others may have a method that is not here: then this one has the stages' number
    method = METHODS.get(name, DOPRI5)
    if method.needs != "Node" and clock.speeds is not None:
        able = methods_of(frozenset({"Node"}))
        raise ValueError(
            f"{name} takes the same times for all samples, and no gradient of theirs: take one "
            f"of {able}"
        )
    return solver, method, Stats(name)


def refuse(node: Node, clock: Clock, inputs: Inputs, path: Tensor) -> None:
    """Name what is not finite first, a state or a derivative, and its time."""
    for i, (s, states) in enumerate(zip(clock.knots, path)):
        known = dict(zip(node.state_names, states))
        if states.isfinite().all():
            rates = node.vector_field(clock.knot(i), states.unbind(), inputs)
            known = {f"{name}'": x for name, x in zip(node.state_names, rates)}
        for name, x in known.items():
            if not x.isfinite().all():
                why = reason(node, clock.knot(i), states, inputs, GROWS)
                raise FloatingPointError(f"{name} is not finite at {clock.grid.words(s)}: {why}")


def run(
    node: Node,
    grid: Grid,
    states: Tensors,
    inputs: Inputs,
    count: int | None = None,
    dense: bool = False,
    weight: int | None = None,
) -> Found:
    """Carry out a solve."""
    solve = Solve(node, grid, states, inputs, count, dense, weight)
    path = solve.trajectories(states)
    return Found(path, solve.errors, solve.stats, solve.marks)
