"""Explicit Runge-Kutta methods."""

from __future__ import annotations

import torch
from torch import Tensor

from .combinations import mixed
from .step import Evaluate, Evaluated, Method, Stages, Step, Taken
from .tableaux import RungeKuttaTableau


class RungeKutta(Method):
    """An explicit Runge-Kutta method.

    Its rows weigh the states at the start of a step and the increments dt*F of the stages: a row
    for each stage, for the end, and for the error. ``weights`` are those of the stages in an
    integral over the step, ``error_weights`` those of its error.
    """

    def __init__(self, tableau: RungeKuttaTableau) -> None:
        weights, errors = tableau.weights, tableau.errors
        self.estimates = bool(errors)
        self.order, self.error_order = tableau.order, tableau.embedded_order + 1
        self.ends_as_next = len(weights) > 1 and weights == (*tableau.rows[-1], 0.0)
        n = len(weights) - self.ends_as_next
        self.error_weights = errors
        self.nodes, self.weights = tableau.nodes[:n], weights[:n]
        self.rows = [(1.0, *row) for row in (*tableau.rows[:n], self.weights)]
        self.rows += [(0.0, *errors)] if errors else []

    def evaluations(self, known: bool, whole: bool) -> int:
        """Return the number of stages that are evaluated, with the one for the error."""
        return len(self.nodes) + (self.ends_as_next and whole) - known

    def stages(self, evaluate: Evaluate, step: Step, first: Evaluated | None = None) -> Stages:
        """Evaluate the stages; the basis is the states and the increments."""
        basis, found = [step.states], []
        for i, node in enumerate(self.nodes):
            if i or first is None:
                y = mixed(self.rows[i], basis)
                first = evaluate(step.start + node * step.length, y)
            basis.append(step.length * first.rates)
            found.append(first)
        return Stages(found, basis)

    def step(self, evaluate: Evaluate, step: Step, first: Evaluated | None = None) -> Taken:
        """Take one step."""
        stages = self.stages(evaluate, step, first)
        return Taken(mixed(self.rows[len(self.nodes)], stages.basis), stages)

    def errors(self, evaluate: Evaluate, step: Step, stages: Stages, ends: Tensor) -> Tensor | None:
        """Return the errors at the end of a step."""
        if self.ends_as_next:
            end = evaluate(step.start + step.length, ends)
            stages.found.append(end)
            stages.basis.append(step.length * end.rates)
        with torch.no_grad():  # the lengths of steps are held fixed
            return mixed(self.rows[-1], stages.basis) if self.estimates else None
