"""Explicit Runge-Kutta methods, and their reversed steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..aliases import Bars
from ..torch_internals import add_to
from .combinations import mixed, spread
from .step import (
    Evaluate,
    Evaluated,
    Interval,
    Method,
    Problem,
    PulledBack,
    Stages,
    Step,
    Taken,
)
from .tableaux import RungeKuttaTableau


class RungeKutta(Method[None]):
    """An explicit Runge-Kutta method.

    Its rows weigh the states at the start of a step and the increments dt*F of the stages: a row
    for each stage, for the end, and for the error.
    """

    def __init__(self, tableau: RungeKuttaTableau) -> None:
        weights, errors = tableau.weights, tableau.errors
        self.estimates = bool(errors)
        self.order = tableau.embedded_order + 1 if errors else tableau.order
        self.ends_as_next = len(weights) > 1 and weights == (*tableau.rows[-1], 0.0)
        self.ends_alone = self.ends_as_next
        n = len(weights) - self.ends_alone
        self.nodes, self.weights = tableau.nodes[:n], weights[:n]
        self.rows = [(1.0, *row) for row in (*tableau.rows[:n], self.weights)]
        self.rows += [(0.0, *errors)] if errors else []

    def numbers(self, problem: Problem, steps: Sequence[Interval]) -> Sequence[None]:
        """Return nothing for each step."""
        return [None] * len(steps)

    def evaluations(self, known: bool, whole: bool) -> int:
        """Return the number of stages that are evaluated, with the one for the error."""
        return len(self.nodes) + (self.ends_alone and whole) - known

    def stages(self, evaluate: Evaluate, step: Step, first: Evaluated | None = None) -> Stages:
        """Evaluate the stages; the basis is the states and the increments."""
        basis, found = [step.states], []
        for i, node in enumerate(self.nodes):
            if i or first is None:
                y = mixed(self.rows[i], basis)
                first = evaluate(self.part, step.start + node * step.length, y)
            basis.append(step.length * first.rates)
            found.append(first)
        return Stages(found, basis, [])

    def step(self, evaluate: Evaluate, step: Step, first: Evaluated | None, whole: bool) -> Taken:
        """Take one step, with its error if whole."""
        stages, n = self.stages(evaluate, step, first), len(self.nodes)
        states = mixed(self.rows[n], stages.basis)
        if not whole:
            return Taken(states, stages, None)
        if self.ends_alone:
            end = evaluate(self.part, step.start + step.length, states)
            stages.found.append(end)
            stages.basis.append(step.length * end.rates)
        with torch.no_grad():  # the lengths of steps are held fixed
            return Taken(states, stages, mixed(self.rows[n + 1], stages.basis))

    def again(self, evaluate: Evaluate, step: Step) -> Stages:
        """Evaluate the stages of an accepted step again, with their pullbacks."""
        return self.stages(evaluate, step)

    def step_back(
        self,
        stages: Stages,
        step: Step,
        costates: Tensor,
        later: Tensor | None,
        bars: Bars,
    ) -> PulledBack:
        """Pull costates back through the stages, last to first."""
        n = len(self.nodes)
        bar: list[Tensor | None] = [None] * (n + 1)
        spread(bar, self.rows[n], costates)
        for i in reversed(range(n)):
            costate, pull = bar[i + 1], stages.found[i].pull
            if costate is not None and pull is not None:
                pulled, added = pull(step.length * costate)  # -J^T of it
                spread(bar, self.rows[i], pulled, -1.0)
                add_to(bars, added)
        start = bar[0]
        assert start is not None  # every row weighs the states at the start
        return PulledBack(start)
