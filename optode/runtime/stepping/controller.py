"""Measure the error of a step against the tolerances, and choose the next length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..methods.step import Evaluated, Method
from ..options import Options


class Tolerances:
    """Relative and absolute tolerance, in which errors are measured.

    With ``by_sample``, the error of a state is that of its worst sample: in a mean over a batch of
    2000, one sample may have 45 times the error.
    """

    def __init__(self, rtol: float, atol: float, by_sample: bool = False) -> None:
        self.rtol, self.atol, self.by_sample = rtol, atol, by_sample

    def ratios(self, errors: Tensor, largest: Tensor) -> Tensor:
        """Return errors over the tolerance of tensors of these sizes."""
        ratios = errors / (self.atol + self.rtol * largest.abs())
        return ratios if self.atol > 0 else ratios.where(errors != 0, 0.0)

    def sizes(self, errors: Tensor, largest: Tensor) -> Tensor:
        """Return the root mean square of the ratios of every state, of shape (states,).

        0 where the states are empty.
        """
        squares = self.ratios(errors, largest).square()
        if squares.numel() == 0:
            return squares.new_zeros(len(squares))
        if self.by_sample and squares.ndim > 1:
            return squares.reshape(*squares.shape[:2], -1).mean(2).amax(1).sqrt()
        return squares.reshape(len(squares), -1).mean(1).sqrt()

    def step_ratios(self, errors: Tensor, states: Tensor, ends: Tensor) -> Tensor:
        """Return the error of a step over the tolerance, for every state."""
        with torch.no_grad():  # the lengths of steps are held fixed
            return self.sizes(errors, torch.maximum(states.abs(), ends.abs()))


class Controller:
    """Chooses the lengths of fitted steps of a method from their errors."""

    def __init__(
        self, method: Method, tolerances: Tolerances, options: Options, names: Sequence[str]
    ) -> None:
        self.method, self.tolerances, self.options, self.names = method, tolerances, options, names

    @torch.no_grad()
    def error(self, errors: Tensor, states: Tensor, ends: Tensor) -> tuple[float, str]:
        """Return the error of a step over the tolerance, and the name of its largest part."""
        norms = self.tolerances.step_ratios(errors, states, ends).tolist()
        norms = [min(math.inf, norm) for norm in norms]  # also for nan
        error = max(norms)
        if callable(self.options.norm) and error < math.inf:
            largest = torch.maximum(states.abs(), ends.abs())
            error = float(self.options.norm(tuple(self.tolerances.ratios(errors, largest))))
        return error, self.names[norms.index(max(norms))]

    def factor(self, error: float) -> float:
        """Return by how much the next step may be longer than this one, of this error."""
        grown = self.options.safety * max(error, 1e-10) ** (-1 / self.method.error_order)
        return min(self.options.ifactor, max(self.options.dfactor, grown))

    def length(self, longest: float, rest: float) -> float:
        """Return the length of the next step, which leaves no sliver before the end."""
        length = min(longest, rest, self.options.max_step)
        if rest < 2 * length:
            return rest if rest < (1 + 1e-6) * length else rest / 2
        return length

    @torch.no_grad()
    def first_length(
        self,
        evaluate: Callable[[float, Tensor], Evaluated],
        s: float,
        longest: float,
        states: Tensor,
        rates: Tensor,
    ) -> float:
        """Return a first length from the sizes of the first two derivatives.

        ``longest`` is the signed length of the longest step that may be taken. Nothing is evaluated
        beyond it.

        Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, II.4.
        """
        d0, d1 = (self._size(tensor, states) for tensor in (states, rates))
        first_guess = 0.01 * d0 / d1 if 1e-5 < min(d0, d1) <= max(d0, d1) < math.inf else 1e-6
        first_guess, sign = min(first_guess, abs(longest)), math.copysign(1.0, longest)
        s, there = s + sign * first_guess, torch.add(states, rates, alpha=sign * first_guess)
        change = evaluate(s, there).rates - rates
        steepest = max(d1, self._size(change, states) / first_guess)
        second = max(1e-6, 1e-3 * first_guess)
        if 1e-15 < steepest < math.inf:
            second = (0.01 / steepest) ** (1 / self.method.error_order)
        return min(self.method.reach * min(100 * first_guess, second), abs(longest))

    def _size(self, tensor: Tensor, largest: Tensor) -> float:
        return self.tolerances.sizes(tensor, largest).max().item()
