"""Carry out one solve: choose its method and its gradient, and return its trajectories."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .aliases import Inputs, Tensors
from .evaluation.guards import learned_tensors, module_parameters
from .evaluation.parts import Evaluation
from .evaluation.weight import Room
from .gradients.discrete import Record
from .gradients.trajectories import trajectories
from .methods.catalogue import DOPRI5, METHODS, methods_of, solver_of
from .methods.step import AnyMethod, Stages, Step
from .options import WHY, Options
from .outside.torchdiffeq import solve_by_torchdiffeq
from .outside.torchode import solve_by_torchode
from .solution import Stats
from .stepping.stepper import Stepper
from .times import Clock, Grid
from .torch_internals import holds, is_exporting

if TYPE_CHECKING:
    from .node import Node

Errors = list[tuple[float, Tensor]]
"""The start of each step, and the error of every state over its tolerance."""


class Solve:
    """One solve: its work, its accepted steps, and the way back.

    ``count`` is the number of equal steps whose errors are estimated, None for the steps that the
    options ask for. ``weight`` is the bytes of one evaluation, where the solve is to be traced.
    """

    def __init__(
        self,
        node: Node,
        grid: Grid,
        states: Tensors,
        inputs: Inputs = None,
        count: int | None = None,
        weight: int = 0,
    ) -> None:
        self.node, self.inputs, self.count = node, inputs, count
        self.like = states[0].detach()
        self.clock = Clock(grid)
        self.options = Options.of(node.options)
        if count:
            self.options = self.options._replace(steps=count)
        self.solver, self.method, self.stats = _method(node, self.clock)
        self.replayed: AnyMethod = self.method
        step_calls = self.method.evaluations(False, True)
        self.room = Room(node, self.options.keep, step_calls, weight)
        self.evaluation = Evaluation(node, inputs, self.clock, self.room, self.stats)
        self.record = Record()
        self.errors: Errors = []
        self.learned: Tensors = ()
        self.way_back = self._way_back()
        self.plain = self.way_back in ("discrete", "adjoint", "none")
        device = self.clock.times.device.type
        self.autocast = partial(
            torch.autocast,
            device,
            dtype=torch.get_autocast_dtype(device),
            enabled=torch.is_autocast_enabled(device),
            cache_enabled=torch.is_autocast_cache_enabled(),
        )

    def _way_back(self) -> str:
        """Return how a gradient is computed.

        It is another than the node's where later evaluations would not see what this one read:
        where parameters are lent for one call, or the solve is traced. "none": nothing asks for a
        gradient, and learned numbers may be plain.
        """
        node, gradient = self.node, self.node.gradient
        if not torch.is_grad_enabled():
            lent = not all(isinstance(p, nn.Parameter) for p in node.parameters(recurse=False))
            return "autograd" if lent or torch.compiler.is_compiling() else "none"
        parameters = [*module_parameters(node.field, self.inputs)]
        self.evaluation.parameters = learned_tensors(parameters, node.field, self.inputs)
        parameters += node.parameters(recurse=False)
        if is_exporting() or not all(isinstance(p, nn.Parameter) for p in parameters):
            return "autograd"
        whole = all(type(p) is nn.Parameter for p in parameters)
        if gradient == "autograd" or (whole and not torch.compiler.is_compiling()):
            return gradient
        if gradient == "adjoint" and not whole:
            raise ValueError('gradient="adjoint" needs whole parameters: shard the node')
        # where nothing was weighed, nothing is known to fit
        fits = gradient == "discrete" and self.room.weight and self.room.holds_another()
        return "autograd" if fits else "checkpoints"

    def trajectories(self, states: Tensors) -> Tensors:
        """Return every state at the knots, stacked, with the gradient that the node asks for."""
        self.learned = tuple(getattr(self.node, name) for name in self.node.learned_names)
        start = torch.stack(states)
        if self.way_back in ("discrete", "adjoint"):
            self.weigh(start)
        if self.way_back in ("discrete", "adjoint"):
            sources = (*self.learned, *self.evaluation.parameters)
            path = trajectories(self, self.clock.times, start, *sources)
        else:
            path = self.path(start)
        return tuple(path[:, k] for k in range(len(states)))

    def weigh(self, states: Tensor) -> None:
        """Look up what an evaluation weighs; keep whole graphs where they are known to fit."""
        field = self.node.field
        modules = field.modules() if isinstance(field, nn.Module) else ()
        modes = [m.training for m in modules] + [torch.is_autocast_enabled(states.device.type)]
        given = (type(self.inputs), len(self.evaluation.parameters))
        self.room.recall((id(field), *modes, *given, states.shape, states.dtype, states.device))
        # going back through a force alone is as fast in plain numbers
        whole = self.way_back == "discrete" and self.method.needs != "DampedNode"
        # gradients by the times are those of exact flows, and steps of others are replayed
        whole &= not (self.clock.times.requires_grad or self.solver)
        if whole and self.room.weight is not None and self.room.holds_another():
            self.way_back, self.plain = "autograd", False

    def path(self, states: Tensor) -> Tensor:
        """Return the states at the knots, of shape (knots, states, ...); counts the work."""
        solvers = {"torchdiffeq": solve_by_torchdiffeq, "torchode": solve_by_torchode}
        path = solvers.get(self.solver, Solve._by_steps)(self, states)
        # steps that are counted may have been too long
        if not self.count and not holds(path.isfinite().all()):
            refuse(self.node, self.clock, self.inputs, path)
        return path

    def _by_steps(self, states: Tensor) -> Tensor:
        stepper = Stepper(self, self.method, self.node.state_names, self.count_forward)
        stepper.whole |= self.count is not None
        discrete, path = self.way_back == "discrete", [states]
        look = self.evaluation.recorded if discrete else self.evaluation.plain
        for i, (start, end) in enumerate(pairwise(self.clock.knots)):
            accept = partial(self.keep, i)
            path.append(stepper.advance(partial(look, i), start, end, path[-1], accept))
        return torch.stack(path)

    def count_forward(self, evaluations: int) -> None:
        """Count evaluations of the field."""
        self.stats.forward_nfe += evaluations

    def keep(self, i: int, step: Step, stages: Stages | None = None) -> None:
        """Count an accepted step of the i-th interval, and keep it for the way back."""
        self.stats.accepted += 1
        if stages:
            self.room.spend(len(stages.found))
        if self.way_back == "discrete":
            self.record.keep(step._replace(interval=i), stages if self.room.weight else None)

    def notice(
        self, event: str, s: float | Tensor, states: Tensor | Tensors, dt: float | Tensor
    ) -> None:
        """Count a rejected step, and call the node's callback for the event."""
        self.stats.rejected += event == "callback_reject_step"
        callback = getattr(self.node, event, None)
        if callback is not None:
            t, dt = (torch.as_tensor(x).to(states[0]) for x in (s, dt))
            callback(t, tuple(states), dt)


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
            rates = node.vector_field(clock.times[i], states.unbind(), inputs)
            known = {f"{name}'": x for name, x in zip(node.state_names, rates)}
        for name, x in known.items():
            if not x.isfinite().all():
                raise FloatingPointError(f"{name} is not finite at {clock.words(s)}: {WHY}")


def run(
    node: Node,
    grid: Grid,
    states: Tensors,
    inputs: Inputs,
    count: int | None,
    weight: int = 0,
) -> tuple[Tensors, Errors, Stats]:
    """Return the trajectories, the errors of steps that are counted, and the work."""
    solve = Solve(node, grid, states, inputs, count, weight)
    path = solve.trajectories(states)
    return path, solve.errors, solve.stats
