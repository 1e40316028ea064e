"""Turn observation times into a grid, and the solver's own time into each sample's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor

from .aliases import Times
from .torch_internals import holds, widest


class Grid(NamedTuple):
    """The given times, those from the start on, and the solver's own time at each of these.

    ``times`` are held in float64, where a device has it, whatever the dtype of the states: a
    float32 has 0.002 between two numbers at 2e4. The knots are numbers, or a tensor in a traced solve.
    """

    given: Tensor
    times: Tensor
    knots: Any

    def steps(self, steps: int | None, step_size: float | None) -> tuple[int, ...]:
        """Return the number of equal steps of each interval: steps, or none above step_size."""
        return tuple(number_of_steps(steps, step_size, b - a) for a, b in pairwise(self.knots))

    def words(self, s: float) -> str:
        """Return the solver's own time in the words of a message."""
        return f"t = {s:.6g}" if self.times.ndim == 1 else f"{s:.6g} after its start"


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
    given = _given(like, t, span)
    times = given.to(like.device, widest(like.device))
    shown = given if isinstance(t, Tensor) else given.to(like.dtype)
    if times.ndim == 2:
        return _own_grid(like, given, times, span)
    if times.ndim != 1 or len(times) == 0:
        raise ValueError(
            f"t must be a vector, or a matrix of shape (batch, times), got shape "
            f"{tuple(times.shape)}"
        )
    ends = [span.start, span.end]
    if t is None:
        knots = ends
    elif isinstance(t, Tensor) and t.is_floating_point():
        # a time that is an end of the span, as its dtype rounds that, means the end
        rounded = dict(zip(given.new_tensor(ends).tolist(), ends))
        knots = [rounded.get(x, x) for x in times.tolist()]
        times = times + (times.new_tensor(knots) - times).detach()
    else:
        knots = [float(x.detach() if isinstance(x, Tensor) else x) for x in t]
    if not all(a < b for a, b in pairwise([-math.inf, *knots, math.inf])):
        raise ValueError(f"t must be strictly increasing and finite, got {_short(knots)}")
    if not ends[0] <= knots[0] <= knots[-1] <= ends[1]:
        outer = (knots[0], knots[-1])
        raise ValueError(f"t must lie in the span {(span.start, span.end)}, got {outer}")
    before = ends[: int(knots[0] > ends[0])]
    return Grid(shown, torch.cat([times.new_tensor(before), times]), [*before, *knots])


def _given(like: Tensor, t: Times, span: Span) -> Tensor:
    """Return the times as a tensor; without any, both ends of the span."""
    if isinstance(t, Tensor):
        if t.is_complex() or t.layout is not torch.strided:
            raise ValueError(f"t must be a dense tensor of real times, got {t.dtype}, {t.layout}")
        return t
    chosen: Sequence[object] = (span.start, span.end) if t is None else t
    exactly = partial(torch.as_tensor, dtype=widest(like.device), device=like.device)
    try:
        if any(isinstance(x, Tensor) for x in chosen):  # they may need a gradient
            return torch.stack([exactly(x) for x in chosen])
        return exactly(chosen)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"t must be numbers or a tensor of times: {error}") from None


def _short(numbers: Sequence[object]) -> str:
    """Return a list in words; a long one is cut."""
    return str([*numbers]) if len(numbers) <= 10 else f"[{numbers[0]}, ..., {numbers[-1]}]"


def _own_grid(like: Tensor, given: Tensor, times: Tensor, span: Span) -> Grid:
    """Return a grid of each sample's own times; the solver goes as far as the slowest sample."""
    if like.ndim < 1 or times.shape[0] != like.shape[0] or times.shape[1] == 0:
        raise ValueError(
            f"t must have shape ({', '.join(map(str, like.shape[:1]))}, times) for states of shape "
            f"{tuple(like.shape)}, got {tuple(times.shape)}"
        )
    if not holds((times.diff() >= 0).all() & times.isfinite().all()):
        raise ValueError(f"t must not decrease in any row, got {_short(times.tolist())}")
    for pole in span.poles:
        times = _beside(times, pole, span)
    columns = times.t().reshape(*times.t().shape, *[1] * (like.ndim - 1))
    widths = [1.0] * (len(columns) - 1)
    if not torch.compiler.is_compiling() and len(times):
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
    and the time of each sample at a speed that is constant in between. ``like`` is a state: the
    equations get times of its dtype.
    """

    def __init__(self, grid: Grid, like: Tensor) -> None:
        self.grid, self.like, self.times = grid, like, grid.times
        self.knots: list[Any] = [*grid.knots]
        self.speeds: Tensor | None = None
        self.leaves: tuple[Tensor, ...] = ()
        if self.times.ndim > 1 or self.times.requires_grad:
            gaps = torch.stack([self._exact(s) for s in self.knots]).diff()
            self.gaps = gaps.where(gaps != 0, 1.0).view(-1, *[1] * (self.times.ndim - 1))
            self.speeds = self.times.diff(dim=0) / self.gaps

    def _exact(self, x: float | Tensor) -> Tensor:
        """Return a time or a length, as a tensor like the times."""
        return torch.as_tensor(x, dtype=self.times.dtype, device=self.times.device)

    def set_apart(self, live: bool) -> None:
        """Detach the times from their graph; ``live`` ones become leaves of new graphs."""
        live = live and self.times.requires_grad
        self.times = self.times.detach().requires_grad_(live)
        self.speeds = None if self.speeds is None else self.speeds.detach()
        self.leaves = (self.times,) if live else ()

    def at(self, i: int, s: float | Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the time in the i-th interval, and its speed where that is not 1.

        s is the solver's own time, or how long after its start of the interval each sample is.
        """
        dtype = self.like.dtype
        if isinstance(s, Tensor):
            if s.ndim > 0:
                time = self.times[i] + s.to(self.times.dtype)
                return torch.minimum(time, self.times[i + 1]).to(dtype), None
        else:  # round-off may have led out of the interval
            low, high = self.knots[i], self.knots[i + 1]
            s = low if s < low else high if s > high else s
        if self.speeds is None:
            return s.to(dtype) if isinstance(s, Tensor) else self.like.new_full((), s), None
        speed = self.speeds[i]
        if self.leaves:  # each evaluation has a graph of its own
            speed = (self.times[i + 1] - self.times[i]) / self.gaps[i]
        time = self.times[i] + (s - self.knots[i]) * speed
        return time.to(dtype), speed.to(dtype)

    def over(self, i: int, s: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the times in the i-th interval at several of the solver's, and their speed.

        The dimensions of s come first, then those of the samples where these have own times.
        """
        if self.speeds is None:
            return s, None
        speed = self.speeds[i]
        if self.leaves:
            speed = (self.times[i + 1] - self.times[i]) / self.gaps[i]
        return self.times[i] + (s - self.knots[i]).view(-1, *[1] * speed.ndim) * speed, speed

    def knot(self, i: int) -> Tensor:
        """Return the time of the equations at a knot."""
        return self.times[i].to(self.like.dtype)

    def told(self, i: int, s: float | Tensor, length: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return the time, and the length of a step, as callbacks get them: (batch,) or a scalar."""
        time, speed = self.at(i, s) if len(self.knots) > 1 else (self.knot(0), None)
        dt = self._exact(length).to(self.like.dtype)
        if self.times.ndim == 1:
            return time, dt
        return time.flatten(), (dt if speed is None else dt * speed).flatten()


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
    if not cuts:  # traced times are tensors, which are not compared
        return [] if not isinstance(start, Tensor) and start == end else [(start, end)]
    found, left, right = [], min(start, end), max(start, end)
    for cut in cuts:
        if left < cut <= right:
            found.append((left, cut - gap * max(abs(left), abs(cut))))
            left = cut
    found += [(left, right)] if left < right else []
    return found if start <= end else [(b, a) for a, b in reversed(found)]
