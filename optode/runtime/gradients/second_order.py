"""The adjoint of a damped model, which is of the model's own form, for a Nyström method.

b = a_m obeys b'' = c b' + c' b + J^T b, backwards from b' = c a_m - a_h. With u = b/R that is
u'' = J^T b/R + q u, beside w'' = R F + q w: one second-order system of h and b, with damping of
opposite signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ..methods.combinations import mixed
from ..methods.nystrom import Nystrom
from ..methods.step import Evaluated, Interval, Part, Problem, Stages, Step
from ..methods.transforms import Unmerged
from ..methods.undamping import Undamped, undamped

if TYPE_CHECKING:
    from ..solve import Solve
    from ..structures import DampedNode

Quadratures = list[tuple[float, Sequence[Tensor | None]]]


class SecondOrder:
    """h and b = a_m with their derivatives, for a Nyström method."""

    def __init__(self, solve: Solve) -> None:
        assert isinstance(solve.method, Nystrom)
        self.solve, self.node = solve, cast("DampedNode", solve.node)
        self.method = NystromPair(solve.method.tableau)
        h, m = solve.node.state_names
        self.names = (h, f"a_{m}", m, f"a_{m}'")

    def rate(self, s: float) -> Tensor:
        """Return the damping c."""
        return self.node.damping(s, s, *self.solve.learned).rate

    def joined(self, s: float, states: Tensor, costates: Tensor) -> Tensor:
        """Stack h, b, m and b'."""
        (h, m), (a_h, a_m) = states, costates
        return torch.stack([h, a_m, m, self.rate(s) * a_m - a_h])

    def parted(self, s: float, tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states and the costates."""
        h, a_m, m, slope = tensors
        a_h = self.rate(s) * a_m - slope
        return torch.stack([h, m]), torch.stack([a_h, a_m])

    def evaluate(self, i: int, part: Part, s: float, y: Tensor) -> Evaluated:
        """Return F and J^T b, and the derivatives of the quadratures."""
        found = self.solve.evaluation.linearized(i, part, s, y[:1])
        assert found.pull is not None
        pulled, bars = found.pull(y[1:])
        return Evaluated(torch.cat([found.rates, -pulled]), bars=bars)

    def quadrature(self, step: Step, stages: Stages) -> Quadratures:
        """Return weights and the derivatives of the quadratures."""
        every: Quadratures = list(zip(self.method.weights, (found.bars for found in stages.found)))
        return every + (self._of_damping(step, stages) if self.node.damping_is_learned else [])

    def _of_damping(self, step: Step, stages: Stages) -> Quadratures:
        """Return -c_p <m, b> by a learned p, where m is of the polynomial through all stages."""
        method = self.method
        found: Quadratures = []
        values = self.solve.values
        (given,) = method.numbers(self.solve, [(step.start, step.length)])
        for weight, x, row, w, shrink in zip(
            method.weights,
            method.nodes,
            _integrals(method.nodes),
            stages.positions,
            given.undamped.shrinking,
        ):
            t = step.start + x * step.length
            rate = self.node.damping(t, t, *values).rate
            h, b = shrink * w
            dw = mixed([0.0, 1.0, *row], stages.basis)
            m = (shrink * dw)[0] / step.length - rate / 2 * h
            product = -(m * b).sum()
            slopes = [slope.rate for slope in self.node.damping_slopes(t, t, *values)]
            found.append((weight, [slope * product for slope in slopes]))
        return found


class NystromPair(Nystrom):
    """A Nyström method for h and b together, whose dampings are opposite."""

    def numbers(self, problem: Problem, steps: Sequence[Interval]) -> Sequence[Unmerged]:
        """Return the transform of each step, with a number for h and one for b."""
        given = undamped(problem, self.nodes, steps)
        return [
            Unmerged(self.rows, d, _paired(d, one, problem.like))
            for (_, d), one in zip(steps, given)
        ]

    def rates(self, problem: Problem, s: float, states: Tensor, found: Evaluated) -> Tensor:
        """Return m, b' and their derivatives, with q = c^2/4 + c'/2."""
        node = cast("DampedNode", problem.node)
        _, curvature, rate = node.damping(s, s, *problem.learned)
        (_, b), (m, slope) = states.chunk(2)
        force, pulled = found.rates
        growth = 2 * curvature - rate * rate / 2
        slopes = [force - rate * m, pulled + rate * slope + growth * b]
        return torch.stack([m, slope, *slopes])


def _paired(d: float, one: Undamped, like: Tensor) -> Undamped:
    """Return the numbers as tensors that broadcast with h and b, stacked."""
    forces = [(x, d * d * r) for x, r in zip(one.forces, one.shrinking)]
    shrinking = [(r, 1 / r) for r in one.shrinking]
    ends = [(one.start, -one.start), (one.end, -one.end)]
    column = (-1, 2, *[1] * like.ndim)
    n, numbers = len(forces), like.new_tensor([*forces, *shrinking, *ends]).view(column).unbind()
    return Undamped(numbers[:n], one.curvatures, numbers[n:-2], *numbers[-2:])


def _integrals(nodes: Sequence[float]) -> list[list[float]]:
    """Return the integrals from 0 to each node of the polynomials that are 1 at one node."""
    c = torch.tensor(nodes, dtype=torch.float64, device="cpu")
    powers = torch.arange(len(nodes), dtype=torch.float64, device="cpu")
    next_powers = powers[:, None] + 1
    values, integrals = c ** powers[:, None], c**next_powers / next_powers
    found: list[list[float]] = torch.linalg.solve(values, integrals).t().tolist()
    return found
