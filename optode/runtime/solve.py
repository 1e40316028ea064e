"""Carry out one solve: choose its method and its gradient, and return its trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .aliases import Inputs, Tensors
from .dense import longest_step
from .evaluation.following import structure_of
from .evaluation.guards import Guard
from .evaluation.parts import Evaluation
from .evaluation.sources import sources_of
from .evaluation.weight import Room
from .gradients.discrete import Record
from .gradients.trajectories import trajectories
from .learned_values import check_learned
from .lending import lent
from .methods.catalogue import solver_of
from .methods.step import Step, Taken
from .notices import Notices
from .outside.torchdiffeq import solve_by_torchdiffeq
from .outside.torchode import solve_by_torchode
from .plan import AS_SET, FEW, Plan, method_name, method_of, options_of, way_back
from .reasons import reason, refuse
from .solution import Stats
from .stepping.controller import Tolerances
from .stepping.stepper import Stepper
from .times import Clock, Grid
from .torch_internals import (
    has_saving_hooks,
    holds,
    is_transformed,
    same_autocast,
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


class _Along:
    """A trajectory with all that steps know of it: the states, where these are, and their intervals.

    The end of the last step is not among them.
    """

    def __init__(self) -> None:
        self.rows: list[Tensor] = []
        self.marks: list[Any] = []
        self.intervals: list[int] = []

    def add(self, interval: int, step: Step, taken: Taken, places: Sequence[float]) -> None:
        """Add the start of a step, and what lies within it."""
        within = () if taken.within is None else taken.within.unbind()
        self.rows += [step.states, *within]
        self.marks += [step.start, *(step.start + x * step.length for x in places)]
        self.intervals += [interval] * (1 + len(within))


class Solve:
    """One solve: its work, its accepted steps, and the way back.

    ``apart`` says whether autograd sees the solve as one function, with a way back of its own.
    """

    def __init__(
        self,
        node: Node,
        grid: Grid,
        states: Tensors,
        inputs: Inputs = None,
        plan: Plan = AS_SET,
    ) -> None:
        self.node, self.plan = node, plan
        self.like = states[0].detach()
        self.options = options_of(node, plan)
        self.tolerances = Tolerances(node.rtol, node.atol, self.options.norm == "sample")
        self.clock = Clock(grid, self.like)
        self.solver = solver_of(node.method)[0]
        self.stats = Stats(plan.method or method_name(node, self.clock, plan.dense))
        self.replayed = self.method = method_of(self.stats.method)
        self.marks, self.intervals = self.clock.knots, [*range(len(self.clock.knots) - 1)]
        if plan.dense and not self.method.within:
            longest = longest_step(self.method.order, self.clock.knots)
            self.options = self.options._replace(max_step=min(longest, self.options.max_step))
        keep = 0.0 if has_saving_hooks() else self.options.keep
        calls = self.method.evaluations(False, True)
        room = Room(keep, calls) if plan.kept is None else Room(plan.kept * calls, calls, 1)
        self.sources = self.seen = sources_of(node, inputs)
        self.way_back = way_back(node, self.sources, room, self._is_of_few_steps())
        self.apart = self.way_back in ("discrete", "adjoint")
        if self.apart:
            self.seen = self.sources.apart()
            self.clock.set_apart(self.way_back == "discrete" and self.solver != "torchode")
        self.learned = self.inner = tuple(getattr(node, name) for name in node.learned_names)
        check_learned(node, self.learned)
        if self.apart:  # leaves, since the solve has no part in the graph that made them
            self.inner = tuple(x.detach().requires_grad_(x.requires_grad) for x in self.learned)
        self.evaluation = self._evaluation(room)
        if self.method.follows:
            self.evaluation.structure = structure_of(node)
        self.notices = Notices(node, self.clock, self.stats)
        self.record = Record()
        self.errors: Errors = []
        self.autocast = same_autocast(self.like.device.type)

    def _is_of_few_steps(self) -> bool:
        """Return whether a traced solve has so few steps that their graphs are kept, if any are."""
        if not (torch.compiler.is_compiling() and self.options.keep):
            return False
        counts = self.plan.steps
        if not counts and self.options.sized():
            counts = self.clock.grid.steps(self.options.steps, self.options.step_size)
        return 0 < sum(counts) <= FEW

    def _evaluation(self, room: Room) -> Evaluation:
        node, discrete = self.node, self.way_back == "discrete"
        room.weight = None if discrete else room.weight or 0
        guard, traced = None, torch.compiler.is_compiling()
        if traced and torch.is_grad_enabled():
            self.stats.backward_nfe = None
        counts = not self.apart and not traced
        # a checkpoint takes its steps again, without the looks of the first time
        looks = not (traced or is_transformed() or self.way_back == "checkpoints")
        if looks and self.sources.are_shaped():  # a lazy layer draws its parameters
            pure = node.gradient != "autograd"
            learned = (*self.inner, *self.seen.learned(True)) if self.apart else None
            guard = Guard(node, self.seen.modules, self.like.device, pure, learned)
        learned = self.seen.learned(own=False) if self.apart else ()
        return Evaluation(
            node, self.clock, room, self.stats, self.seen, learned, guard, discrete, counts
        )

    def lent(self) -> AbstractContextManager[None]:
        """Return a context in which the equations have this solve's learned values."""
        # a checkpoint takes its steps again when nothing is lent any more
        names = () if self.way_back == "checkpoints" else self.node.learned_names
        return lent(self.node, dict(zip(names, self.inner)))

    def trajectories(self, states: Tensors) -> Tensors:
        """Return every state at the knots, stacked, with the gradient that the node asks for."""
        start = torch.stack(states)
        if self.apart:
            sources = (*self.learned, *self.sources.learned(self.way_back == "discrete"))
            path = trajectories(self, self.clock.grid.times, start, *sources)
        else:
            path = self.path(start)
        return tuple(path[:, k] for k in range(len(states)))

    def path(self, states: Tensor) -> Tensor:
        """Return the states at the knots, of shape (knots, states, ...); counts the work."""
        solvers = {"torchdiffeq": solve_by_torchdiffeq, "torchode": solve_by_torchode}
        with saving_hooks_at_rest(), self.lent():
            path = solvers.get(self.solver, Solve._by_steps)(self, states)
        # steps that are counted may have been too long
        if not self.plan.counted and not holds(path.isfinite().all()):
            refuse(self.node, self.clock, self.sources.inputs, path)
        return path

    def _by_steps(self, states: Tensor) -> Tensor:
        stepper = Stepper(self, self.method, self.node.state_names, self.count_forward)
        stepper.whole |= self.plan.counted is not None
        if self.node.first_length is not None:  # handed on by the solve before, to this way alone
            stepper.length = self.node.first_length
        path, along = [self.cut(states)], _Along()

        def accept(step: Step, taken: Taken) -> None:
            self.keep(stepper.interval, step, taken, len(along.rows))
            if self.plan.dense:
                along.add(stepper.interval, step, taken, self.method.within)

        for i, (start, end) in enumerate(pairwise(self.clock.knots)):
            path.append(stepper.advance(i, self.evaluation.within(i), start, end, path[-1], accept))
        self.stats.next_length = None if stepper.fixed else stepper.length
        if self.plan.dense:
            path = [*along.rows, path[-1]]
            self.marks = [*along.marks, self.clock.knots[-1]]
            self.intervals = along.intervals
        return torch.stack(path)

    def cut(self, states: Tensor) -> Tensor:
        """Return the states where the next step begins: a leaf, where it has a graph of its own.

        Steps whose graphs are kept have one together, unless the costates between them are told.
        """
        room, discrete = self.evaluation.room, self.way_back == "discrete"
        one = not states.is_leaf and room.holds_another() and not self.notices.of_costates
        return states.detach().requires_grad_() if discrete and not one else states

    def count_forward(self, evaluations: int) -> None:
        """Count evaluations of the field."""
        self.stats.forward_nfe += evaluations

    def keep(self, i: int, step: Step, taken: Taken | None = None, row: int = 0) -> None:
        """Count an accepted step of the i-th interval, and keep it for the way back.

        ``row`` is that of a dense trajectory at the start of the step.
        """
        self.stats.accepted += 1
        room, kept = self.evaluation.room, None
        if taken is not None and room.holds_another():
            room.spend()
            kept = taken
        if self.way_back == "discrete":
            row = row if self.plan.dense else i
            self.record.keep(step._replace(interval=i, row=row), kept)

    def reason(self, i: int, s: float, states: Tensor, otherwise: str) -> str:
        """Return why a step of the i-th interval failed at s: ``otherwise`` or a cause found."""
        time = self.clock.at(i, s)[0]
        return reason(self.node, time, states, self.seen.inputs, otherwise)


def run(node: Node, grid: Grid, states: Tensors, inputs: Inputs, plan: Plan = AS_SET) -> Found:
    """Carry out a solve."""
    solve = Solve(node, grid, states, inputs, plan)
    path = solve.trajectories(states)
    return Found(path, solve.errors, solve.stats, solve.marks)
