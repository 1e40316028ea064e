"""Integrate the adjoint system backwards, beside the states."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ..bars import Bars
from ..methods.catalogue import DOPRI5
from ..methods.runge_kutta import RungeKutta
from ..methods.step import AnyMethod, Evaluated, Part, Stages, Step, Taken
from ..reductions import largest
from ..stepping.stepper import Stepper
from .second_order import SecondOrder

if TYPE_CHECKING:
    from ..solve import Solve

_DRIFT = 100.0
"""How many times the tolerance the states may drift on their way back before a warning."""

Quadratures = Iterable[tuple[float, Sequence[Tensor | None]]]


class System(Protocol):
    """States and costates as one system, in the form that a method takes."""

    @property
    def method(self) -> AnyMethod: ...
    @property
    def names(self) -> tuple[str, ...]: ...

    def joined(self, s: float, states: Tensor, costates: Tensor) -> Tensor: ...
    def parted(self, s: float, tensors: Tensor) -> tuple[Tensor, Tensor]: ...
    def evaluate(self, i: int, part: Part, s: float, y: Tensor) -> Evaluated: ...
    def quadrature(self, step: Step, stages: Stages) -> Quadratures: ...


class Augmented:
    """States and costates side by side, for Runge-Kutta methods."""

    def __init__(self, solve: Solve) -> None:
        self.solve, names = solve, solve.node.state_names
        self.states = len(names)
        self.names = (*names, *(f"a_{name}" for name in names))
        method = solve.method
        self.method = method if isinstance(method, RungeKutta) else DOPRI5

    def joined(self, s: float, states: Tensor, costates: Tensor) -> Tensor:
        """Stack states and costates."""
        return torch.cat([states, costates])

    def parted(self, s: float, tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states and the costates."""
        return tensors[: self.states], tensors[self.states :]

    def evaluate(self, i: int, part: Part, s: float, y: Tensor) -> Evaluated:
        """Return the derivatives of states and costates, and those of the quadratures."""
        states, costates = self.parted(s, y)
        found = self.solve.evaluation.linearized(i, part, s, states)
        assert found.pull is not None
        costate_rates, bars = found.pull(costates)
        return Evaluated(torch.cat([found.rates, costate_rates]), bars=bars)

    def quadrature(self, step: Step, stages: Stages) -> Quadratures:
        """Return weights and the derivatives of the quadratures at the stages."""
        return zip(self.method.weights, (found.bars for found in stages.found))


def integrate_adjoint(solve: Solve, path: Tensor, cotangents: Tensor, bars: Bars) -> Tensor:
    """Return the costates at the start, from observation to observation.

    The arguments are those of ``discrete.go_back``. Warns where the states drift.
    """
    second_order = solve.method.needs == "DampedNode"
    system: System = SecondOrder(solve) if second_order else Augmented(solve)
    stepper = Stepper(solve, system.method, system.names, lambda _: None, "_adjoint")
    as_torchdiffeq = solve.options.adjoint_norm == "torchdiffeq"
    # the system is linear in the costates: of size one, they are held to the tolerances
    size = 1.0 if as_torchdiffeq else largest(cotangents).item() or 1.0
    costates, drifts = torch.zeros_like(path[0]), []
    if as_torchdiffeq:
        stepper.further_error = partial(_error_of_bars, solve, system, bars)

    def accept(step: Step, taken: Taken) -> None:
        for weight, added in system.quadrature(step, taken.stages):
            bars.add(added, -size * step.length * weight)
        end = step.start + step.length
        if abs(end - start) > 1e-9 * abs(step.length):  # where an observation adds to them
            ends = size * system.parted(end, taken.states)[1]
            solve.notices.costates(stepper.interval, end, ends)

    start = solve.marks[-1]
    for row in reversed(range(len(solve.marks) - 1)):
        costates = costates + cotangents[row + 1] / size
        solve.notices.costates(solve.intervals[row], solve.marks[row + 1], size * costates)
        start, end = solve.marks[row : row + 2]
        tensors = system.joined(end, path[row + 1], costates)
        stepper.forget()
        if as_torchdiffeq:  # which begins anew at every observation
            stepper.length = solve.options.first_step
        evaluate = partial(system.evaluate, solve.intervals[row])
        tensors = stepper.advance(solve.intervals[row], evaluate, end, start, tensors, accept)
        states, costates = system.parted(start, tensors)
        drifts += _drifts(solve, start, states, path[row])
    _warn_of(drifts)
    solve.notices.costates(0, start, size * costates + cotangents[0])
    return size * costates


def _error_of_bars(solve: Solve, system: System, bars: Bars, step: Step, taken: Taken) -> float:
    """Return the largest error of the gradients by the sources, over the tolerance.

    torchdiffeq's norm has it. This package's has not: nothing depends on these gradients.
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
