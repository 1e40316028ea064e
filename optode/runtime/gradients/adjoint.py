"""Integrate the adjoint system backwards, beside the states."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..bars import Bars
from ..methods.catalogue import DOPRI5
from ..methods.runge_kutta import RungeKutta
from ..methods.step import Evaluated, Step, Taken
from ..reductions import largest
from ..stepping.stepper import Stepper

if TYPE_CHECKING:
    from ..solve import Solve

_DRIFT = 100.0
"""How many times the tolerance the states may drift on their way back before a warning."""


class Augmented:
    """Evaluate states and costates side by side, for steps of a Runge-Kutta method."""

    def __init__(self, solve: Solve) -> None:
        self.solve, names = solve, solve.node.state_names
        self.states = len(names)
        self.names = (*names, *(f"a_{name}" for name in names))
        method = solve.method
        self.method = method if isinstance(method, RungeKutta) else DOPRI5

    def parted(self, tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states and the costates."""
        return tensors[: self.states], tensors[self.states :]

    def evaluate(self, i: int, s: float, y: Tensor) -> Evaluated:
        """Return the derivatives of states and costates, and those of the quadratures."""
        return self.solve.evaluation.with_costates(i, s, *self.parted(y))


def integrate_adjoint(solve: Solve, path: Tensor, cotangents: Tensor, bars: Bars) -> Tensor:
    """Return the costates at the start, from observation to observation.

    The arguments are those of ``discrete.go_back``. Warns where the states drift.
    """
    system = Augmented(solve)
    stepper = Stepper(solve, system.method, system.names, lambda _: None, "_adjoint")
    as_torchdiffeq = solve.options.adjoint_norm == "torchdiffeq"
    # the system is linear in the costates: of size one, they are held to the tolerances
    size = 1.0 if as_torchdiffeq else largest(cotangents).item() or 1.0
    costates, drifts = torch.zeros_like(path[0]), []
    if as_torchdiffeq:
        stepper.further_error = partial(_error_of_bars, solve, system, bars)

    def accept(step: Step, taken: Taken) -> None:
        for weight, found in zip(system.method.weights, taken.stages.found):
            bars.add(found.bars, -size * step.length * weight)
        end = step.start + step.length
        if abs(end - start) > 1e-9 * abs(step.length):  # where an observation adds to them
            ends = size * system.parted(taken.states)[1]
            solve.notices.costates(stepper.interval, end, ends)

    start = solve.marks[-1]
    for row in reversed(range(len(solve.marks) - 1)):
        costates = costates + cotangents[row + 1] / size
        solve.notices.costates(solve.intervals[row], solve.marks[row + 1], size * costates)
        start, end = solve.marks[row : row + 2]
        tensors = torch.cat([path[row + 1], costates])
        stepper.first = None
        if as_torchdiffeq:  # which begins anew at every observation
            stepper.length = solve.options.first_step
        evaluate = partial(system.evaluate, solve.intervals[row])
        tensors = stepper.advance(solve.intervals[row], evaluate, end, start, tensors, accept)
        states, costates = system.parted(tensors)
        drifts += _drifts(solve, start, states, path[row])
    _warn_of(drifts)
    solve.notices.costates(0, start, size * costates + cotangents[0])
    return size * costates


def _error_of_bars(solve: Solve, system: Augmented, bars: Bars, step: Step, taken: Taken) -> float:
    """Return the largest error of the gradients by the sources, over the tolerance.

    It belongs to torchdiffeq's norm. This package's norm leaves it out, as nothing else depends
    on these gradients.
    """
    method, found = system.method, taken.stages.found
    weights = method.error_weights
    largest_ratio = 0.0
    for k, known in enumerate(bars.found):
        parts = [stage.bars[k] if stage.bars else None for stage in found]
        terms = [
            (e, b, x) for e, b, x in zip(weights, (*method.weights, 0.0), parts) if x is not None
        ]
        if not terms:
            continue
        error = step.length * sum(e * x for e, _, x in terms)
        change = step.length * sum(b * x for _, b, x in terms)
        start = torch.zeros_like(change) if known is None else known
        sizes = torch.maximum(start.abs(), (start - change).abs())
        largest_ratio = max(largest_ratio, solve.tolerances.sizes(error[None], sizes[None]).item())
    return largest_ratio


def _drifts(solve: Solve, s: float, states: Tensor, path: Tensor) -> list[tuple[float, str, str]]:
    """Return how far states are from those of the forward solve, in tolerances."""
    tolerances = solve.tolerances
    norms = [min(math.inf, norm) for norm in tolerances.sizes(states - path, path).tolist()]
    where = solve.clock.grid.words(s)
    return [(norm, name, where) for norm, name in zip(norms, solve.node.state_names)]


def _warn_of(drifts: list[tuple[float, str, str]]) -> None:
    drift, name, time = max(drifts, default=(0.0, "", ""))
    if drift > _DRIFT:
        warnings.warn(
            f"on its way back {name} came {drift:.0f} times its tolerance away from the forward "
            f"solution at {time}, and the gradient with it: use "
            'gradient="discrete", or smaller rtol and atol',
            stacklevel=2,
        )
