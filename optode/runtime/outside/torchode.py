"""Solve by torchode, whose steps are each sample's own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..methods.runge_kutta import RungeKutta
from ..methods.step import Step
from ..methods.tableaux import RungeKuttaTableau

if TYPE_CHECKING:
    from ..solve import Solve

_EVENTS = ("callback_step", "callback_accept_step", "callback_reject_step")


def solve_by_torchode(solve: Solve, states: Tensor) -> Tensor:
    """Return the states at the knots; ValueError without a batch, and with callbacks."""
    shape = states.shape[1:]
    if len(shape) < 2:
        raise ValueError(f"torchode needs a batch, got states of {tuple(shape)}")
    if told := [event for event in _EVENTS if hasattr(solve.node, event)]:
        raise ValueError(f"torchode calls no {told}: take a method of this package")
    torchode: Any = import_module("torchode")
    method = getattr(torchode, solve.stats.method.capitalize())
    solve.replayed = _replayed(method.TABLEAU)
    times = solve.clock.times
    # a float32 has few digits for times, but enough for how long after its start a sample is
    widths = times.diff(dim=0).to(states.dtype).reshape(len(times) - 1, -1).expand(-1, shape[0])
    path = [states]
    for i, width in enumerate(widths):
        path.append(_Interval(torchode, method, solve, i, path[-1]).solve(width))
    return torch.stack(path)


def _replayed(table: Any) -> RungeKutta:
    """Return the method that takes the steps of torchode again, without their errors."""
    rows = tuple(tuple(row[:i]) for i, row in enumerate(table.a.tolist()))
    nodes, weights = tuple(table.c.tolist()), tuple(table.b.tolist())
    return RungeKutta(RungeKuttaTableau(1, nodes, rows, weights))


class _Interval:
    """The solve from one time to the next of every sample, for tensors of shape (batch, n)."""

    def __init__(self, torchode: Any, method: Any, solve: Solve, i: int, states: Tensor) -> None:
        self.torchode, self.method = torchode, method
        self.outer, self.i, self.states = solve, i, states
        self.shape = states.shape[1:]
        self.column = (-1, *[1] * (len(self.shape) - 1))

    def solve(self, width: Tensor) -> Tensor:
        """Return the stacked states at the end; FloatingPointError where torchode fails."""
        node, torchode = self.outer.node, self.torchode
        term = torchode.ODETerm(self.field)
        solver = torchode.AutoDiffAdjoint(
            self.method(term),
            self.controller(node.atol, node.rtol, norm=self.size),
            max_steps=self.outer.options.max_steps,
            backprop_through_step_size_control=False,
        )
        start = torch.zeros_like(width)
        problem = torchode.InitialValueProblem(self.joined(self.states), start, width)
        found = solver.solve(problem, term)
        if found.status.any():
            status = found.status.tolist()
            why = "2: max_steps were too few, 3: the steps became too short"
            raise FloatingPointError(f"torchode ends with status {status} ({why})")
        return self.split(found.ys[:, -1])

    def field(self, t: Tensor, y: Tensor) -> Tensor:
        """Return the derivatives at times after each sample's own start."""
        self.outer.count_forward(1)
        evaluate = self.outer.evaluation.plain
        return self.joined(evaluate(self.i, t.view(self.column), self.split(y)).rates)

    def split(self, y: Tensor) -> Tensor:
        """Return rows of all states as stacked states."""
        return torch.stack([x.reshape(self.shape) for x in y.chunk(len(self.states), 1)])

    def joined(self, states: Tensor) -> Tensor:
        """Return stacked states as rows of all states."""
        return torch.cat([x.flatten(1) for x in states], 1)

    def size(self, y: Tensor) -> Tensor:
        """Return the largest root mean square over the states, for each sample."""
        rows = self.split(y).flatten(2)
        return (rows.square().sum(2) / max(1, rows.shape[2])).sqrt().amax(0)

    def controller(self, *settings: float, **others: Any) -> Any:
        """Return torchode's controller, which keeps the accepted steps here."""
        interval = self
        base: Any = self.torchode.IntegralController

        class Control(base):
            def adapt_step_size(self, t: Tensor, dt: Tensor, y: Tensor, *more: Any) -> Any:
                accept, *rest = super().adapt_step_size(t, dt, y, *more)
                interval.notice(t, dt, y, accept)
                return accept, *rest

        return Control(*settings, **others)

    def notice(self, t: Tensor, dt: Tensor, y: Tensor, accept: Tensor) -> None:
        """Keep a step of the samples that accepted it; for the others it has no length."""
        solve = self.outer
        taken = torch.where(accept, dt, 0.0).view(self.column)
        solve.stats.rejected += not accept.any()
        if accept.any():
            solve.keep(self.i, Step(t.view(self.column), taken, self.split(y)))
