"""Numbers that take the damping out of one step of ``h' = m, m' = -c m + F(t, h)``.

Of w = R h, R = exp(int c/2), the damping is gone: w'' = R F + q w with q = c^2/4 + c'/2
(Liouville's normal form; Olver, Asymptotics and Special Functions, 1974, chapter 6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor

from ..aliases import Tensors
from .step import Interval, Problem

if TYPE_CHECKING:
    from ..structures import DampedNode

Number: TypeAlias = float | complex | Tensor


class Undamped(NamedTuple):
    """The numbers of a step of length d, where R is 1 at its start.

    d^2 R and d^2 q at the stages, 1/R there and at the end, and half of d c at the start and the
    end.
    """

    forces: Sequence[Number]
    curvatures: Sequence[Number]
    shrinking: Sequence[Number]
    start: Number
    end: Number

    @classmethod
    def parted(cls, numbers: Sequence[Number]) -> Undamped:
        """Take the numbers apart that stand in one row."""
        n = len(numbers) // 3 - 1
        return cls(
            numbers[:n],
            numbers[n : 2 * n],
            numbers[2 * n : 3 * n + 1],
            numbers[3 * n + 1],
            numbers[3 * n + 2],
        )

    @property
    def row(self) -> list[Number]:
        """All numbers in one row."""
        return [*self.forces, *self.curvatures, *self.shrinking, self.start, self.end]


def values_of(learned: Tensors) -> list[float]:
    """Return learned scalars as Python's numbers; only scalars enter a damping."""
    return [x.item() if x.numel() == 1 else math.nan for x in learned]


def undamped(problem: Problem, nodes: Sequence[float], steps: Sequence[Interval]) -> list[Undamped]:
    """Return the numbers of each step: plain ones, or tensors that carry gradients."""
    node = cast("DampedNode", problem.node)
    if problem.plain:
        values = values_of(problem.learned)
        return [of_step(node, nodes, start, d, values) for start, d in steps]
    like = problem.like
    exact = partial(torch.as_tensor, dtype=torch.float64, device=like.device)
    pairs = torch.stack([torch.stack([exact(s), exact(d)]) for s, d in steps])
    start, d = pairs[..., None].unbind(1)
    t = start + torch.tensor([*nodes, 1.0], dtype=torch.float64, device=like.device) * d
    root, curvature, rate = (
        torch.as_tensor(x, dtype=torch.float64, device=like.device).expand_as(t)
        for x in node.damping(start, t, *problem.learned)
    )
    ends = (d / 2 * rate)[:, :: len(nodes)]
    columns = (d * d * root[:, :-1], d * d * curvature[:, :-1], 1 / root, ends)
    rows = torch.cat(columns, 1).to(like).unbind()
    return [Undamped.parted(row.unbind()) for row in rows]


def of_step(
    node: DampedNode, nodes: Sequence[float], start: float, d: float, learned: Sequence[float]
) -> Undamped:
    """Return the plain numbers of one step; nan where Python's arithmetic fails, as in torch."""
    times = [start + x * d for x in (*nodes, 1.0)]
    try:
        root, curvature, rate = zip(*(node.damping(start, t, *learned) for t in times))
        forces, shrinking = [d * d * r for r in root[:-1]], [1 / r for r in root]
        halves = [float(d / 2 * c) for c in (rate[0], rate[-1])]
    except (ArithmeticError, TypeError, ValueError):
        return Undamped.parted([math.nan] * 3 * len(times))
    curvatures = [d * d * q for q in curvature[:-1]]
    return Undamped.parted([*forces, *curvatures, *shrinking, *halves])


def slopes_of_step(
    node: DampedNode,
    nodes: Sequence[float],
    start: float,
    d: float,
    given: Undamped,
    learned: Sequence[float],
) -> list[list[float]]:
    """Return the derivatives of a step's row of numbers by every learned parameter."""
    times = [start + x * d for x in (*nodes, 1.0)]
    try:
        by_time = [node.damping_slopes(start, t, *learned) for t in times]
        return [_slopes(found, given, d) for found in zip(*by_time)]
    except (ArithmeticError, TypeError, ValueError):
        return [[math.nan] * 3 * len(times)] * len(learned)


def _slopes(found: Sequence[tuple[float, ...]], given: Undamped, d: float) -> list[float]:
    """Return the derivatives by one parameter, from those of R, q and c at the times."""
    root, curvature, rate = zip(*found)
    shrinking = [-(x * s) * s for x, s in zip(root, given.shrinking)]
    inner = [d * d * x for x in (*root[:-1], *curvature[:-1])]
    return [*inner, *shrinking, d / 2 * rate[0], d / 2 * rate[-1]]
