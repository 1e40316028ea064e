"""Turn observation times into a grid, and the solver's own time into each sample's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor

from .aliases import Times
from .torch_internals import holds


class Grid(NamedTuple):
    """The given times, those from the start on, and the solver's own time at each of these."""

    given: Tensor
    times: Tensor
    knots: list[float]


class Span(NamedTuple):
    """Where solutions begin and end, with the singular times of the equations.

    ``regular`` says whether a solution may begin at a singular time.
    """

    start: float
    end: float
    poles: tuple[float, ...]
    regular: bool


def grid_of(like: Tensor, t: Times, span: Span) -> Grid:
    """Return the times with the start before them; like is a state.

    Raises ValueError where they are not finite, do not increase, or leave the span.
    """
    chosen = (span.start, span.end) if t is None else t
    times = chosen.to(like) if isinstance(chosen, Tensor) else like.new_tensor(chosen)
    if times.ndim == 2:
        return _own_grid(like, times, span)
    if times.ndim != 1 or len(times) == 0:
        raise ValueError(
            f"t must be a vector, or a matrix of shape (batch, times), got shape "
            f"{tuple(times.shape)}"
        )
    ends, knots = [span.start, span.end], chosen
    if isinstance(chosen, Tensor):  # rounded like the times
        ends, knots = times.new_tensor(ends).tolist(), times.tolist()
    knots = [float(x) for x in knots]
    if not all(a < b for a, b in pairwise([-math.inf, *knots, math.inf])):
        raise ValueError(f"t must be strictly increasing and finite, got {knots}")
    if not ends[0] <= knots[0] <= knots[-1] <= ends[1]:
        given = (knots[0], knots[-1])
        raise ValueError(f"t must lie in the span {(span.start, span.end)}, got {given}")
    before = ends[: int(knots[0] > ends[0])]
    return Grid(times, torch.cat([times.new_tensor(before), times]), [*before, *knots])


def _own_grid(like: Tensor, times: Tensor, span: Span) -> Grid:
    """Return a grid of each sample's own times; the solver goes as far as the slowest sample."""
    if like.ndim < 2 or times.shape[0] != like.shape[0] or times.shape[1] == 0:
        raise ValueError(
            f"t must have shape ({like.shape[0]}, times) for states of shape "
            f"{tuple(like.shape)}, got {tuple(times.shape)}"
        )
    if not holds((times.diff() >= 0).all() & times.isfinite().all()):
        raise ValueError(f"t must not decrease in any row, got {times.tolist()}")
    given = times
    for pole in span.poles:
        times = _beside(times, pole, span)
    columns = times.t().reshape(-1, len(times), *[1] * (like.ndim - 1))
    widths = [1.0] * (len(columns) - 1)
    if not torch.compiler.is_compiling():
        widths = times.diff().amax(0).tolist()
    return Grid(given, columns, [*accumulate(widths, initial=0.0)])


def _beside(times: Tensor, pole: float, span: Span) -> Tensor:
    """Return the times of samples, none of which may cross the pole.

    A sample that stands still at the pole gets any other time.
    """
    times = times + (times == pole).all(1, keepdim=True)
    regular = (times[:, 0] > pole) | (times[:, -1] < pole)
    if span.regular:
        regular |= (times[:, 0] == pole) & (times[:, :2].amax(1) > pole)
    if not holds(regular.all()):
        raise ValueError(
            f"the equations are singular at t = {span.poles}, between the times of a sample"
        )
    return times


def has_own_times(t: Times) -> TypeGuard[Tensor]:
    """Return whether each sample has times of its own."""
    return isinstance(t, Tensor) and t.ndim == 2 and 0 not in t.shape


def own_start(t: Times, states: Tensor) -> Tensor | None:
    """Return each sample's start where it has one of its own, to broadcast with the states."""
    if not has_own_times(t):
        return None
    return t[:, 0].to(states).view(-1, *[1] * (states.ndim - 1))


class Clock:
    """Maps the solver's own time s to the time of the equations.

    Where samples have times of their own, or the times need a gradient, s goes from knot to knot,
    and the time of each sample at a speed that is constant in between.
    """

    def __init__(self, grid: Grid) -> None:
        self.times, self.knots = grid.times, grid.knots
        self.speeds: Tensor | None = None
        if self.times.ndim > 1 or self.times.requires_grad:
            gaps = [b - a or 1.0 for a, b in pairwise(self.knots)]
            column = (-1, *[1] * (self.times.ndim - 1))
            self.speeds = self.times.diff(dim=0) / self.times.new_tensor(gaps).view(column)

    def at(self, i: int, s: float | Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the time in the i-th interval, and its speed where that is not 1."""
        if isinstance(s, Tensor) and s.ndim > 0:
            return s, None  # each sample's own already
        if self.speeds is None:
            return s if isinstance(s, Tensor) else self.times.new_full((), s), None
        return self.times[i] + (s - self.knots[i]) * self.speeds[i], self.speeds[i]

    def words(self, s: float) -> str:
        """Return the solver's own time in the words of a message."""
        return f"t = {s:.6g}" if self.times.ndim == 1 else f"{s:.6g} after its start"


def number_of_steps(steps: int | None, step_size: float | None, length: float) -> int:
    """Return the number of equal steps over a length, none longer than step_size."""
    if steps or not step_size:
        return int(steps or 1)
    # the factor forgives round-off where step_size divides the interval
    return max(1, math.ceil(abs(length) / step_size * (1 - 1e-6)))


def pieces(
    cuts: Sequence[float], gap: float, start: float, end: float
) -> list[tuple[float, float]]:
    """Return the intervals between cuts, from start to end, in whichever direction.

    They end a relative gap before a cut: the value there belongs to what comes after it.
    """
    found, left, right = [], min(start, end), max(start, end)
    for cut in cuts:
        if left < cut <= right:
            found.append((left, cut - gap * max(abs(left), abs(cut))))
            left = cut
    found += [(left, right)] if left < right else []
    return found if start <= end else [(b, a) for a, b in reversed(found)]
