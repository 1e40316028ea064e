"""Go from one time to another in steps of one method."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..methods.step import AnyMethod, Evaluate, Evaluated, Stages, Step, Taken
from ..options import WHY
from ..times import number_of_steps, pieces
from .controller import Controller, Tolerances

if TYPE_CHECKING:
    from ..solve import Solve

Accept = Callable[[Step, Stages], None]


class Stepper:
    """Steps of one size, or as long as the tolerances allow.

    ``count`` is told the evaluations of every step. ``suffix`` ends the names of the node's
    callbacks: "_adjoint" on the way back.
    """

    def __init__(
        self,
        solve: Solve,
        method: AnyMethod,
        names: Sequence[str],
        count: Callable[[int], None],
        suffix: str = "",
    ) -> None:
        self.solve, self.method, self.count, self.suffix = solve, method, count, suffix
        self.options = options = solve.options
        self.tolerances = Tolerances(solve.node.rtol, solve.node.atol)
        self.controller = Controller(method, self.tolerances, options, names)
        self.fixed = options.sized or not method.estimates
        self.whole = not self.fixed  # the errors of steps are estimated
        self.cuts = options.cuts
        self.length = options.first_step
        self.first: Evaluated | None = None  # what the first stage evaluates, where known
        self.shared = False  # as the last stage of the step before
        self.tried, self.begun = 0, False

    def advance(
        self, evaluate: Evaluate, start: float, end: float, states: Tensor, accept: Accept
    ) -> Tensor:
        """Return the states at the end; accept is called with every step and its stages."""
        go = self._equal_steps if self.fixed else self._fitted_steps
        gap = 2 * torch.finfo(self.solve.like.dtype).eps
        for a, b in pieces(self.cuts, gap, start, end):
            if self.cuts or self.solve.clock.speeds is not None:
                self.forget()  # the derivatives may jump
            states = go(evaluate, a, b, states, accept)
        return states

    def forget(self) -> None:
        """Forget what the step before evaluated."""
        self.first, self.shared = None, False

    def _equal_steps(
        self, evaluate: Evaluate, start: float, end: float, states: Tensor, accept: Accept
    ) -> Tensor:
        n = number_of_steps(self.options.steps, self.options.step_size, end - start)
        self._spend(n, start)
        starts = [start + (end - start) * (k / n) for k in range(n)]
        dt = (end - start) / n
        numbers = self.method.numbers(self.solve, [(s, dt) for s in starts])
        for s, given in zip(starts, numbers):
            self._notice("callback_step", s, states, dt)
            step = self._begin(s, dt, states, given)
            taken = self._try(evaluate, step)
            if self.whole and taken.errors is not None:
                ratios = self.tolerances.step_ratios(taken.errors, states, taken.states)
                self.solve.errors.append((s, ratios))
            states = taken.states
            accept(step, taken.stages)
            self._go_on(taken.stages)
        return states

    def _fitted_steps(
        self, evaluate: Evaluate, start: float, end: float, states: Tensor, accept: Accept
    ) -> Tensor:
        s, sign, control = start, math.copysign(1.0, end - start), self.controller
        while s != end:
            longest = self._longest(evaluate, s, sign, states)
            rest = abs(end - s)
            length = control.length(longest, rest)
            dt = sign * length
            self._spend(1, s)
            self._notice("callback_step", s, states, dt)
            (given,) = self.method.numbers(self.solve, [(s, dt)])
            step = self._begin(s, dt, states, given)
            taken = self._try(evaluate, step)
            assert taken.errors is not None  # fitted steps estimate their error
            error, culprit = control.error(taken.errors, states, taken.states)
            factor = control.factor(error)
            shortest = longest <= self.options.min_step
            if error <= 1 or (shortest and error < math.inf):
                self._notice("callback_accept_step", s, states, dt)
                accept(step, taken.stages)
                s, states = end if length == rest else s + dt, taken.states
                self._go_on(taken.stages)
                if length < longest:  # cut short by the end
                    factor = max(factor, longest / length)
            else:
                self._notice("callback_reject_step", s, states, dt)
                self.first = taken.stages.found[0]
                if shortest or s + 0.2 * dt == s:
                    raise FloatingPointError(
                        f"no step at {self.solve.clock.words(s)} is short enough for {culprit} "
                        f"(the last was {length:.3g}): {WHY}"
                    )
            self.length = max(length * factor, self.options.min_step)
        return states

    def _longest(self, evaluate: Evaluate, s: float, sign: float, states: Tensor) -> float:
        """Return how long the next step may be; before the first one, from the derivatives."""
        look = partial(self._evaluate, evaluate)
        if self.first is None:
            self.first = look(s, states)
        if self.length is None:
            found = self.controller.first_length(
                self.solve, self.solve.clock, look, s, sign, states, self.first
            )
            self.length = max(found, self.options.min_step)
        return self.length

    def _evaluate(self, evaluate: Evaluate, s: float, states: Tensor) -> Evaluated:
        """Evaluate what the first stage of a step does."""
        self.count(1)
        return evaluate(self.method.part, s, self.method.seen(states))

    def _begin(self, s: float, dt: float, states: Tensor, given: object) -> Step:
        first = self.first.rates if self.shared and self.first is not None else None
        return Step(s, dt, states, given, first)

    def _go_on(self, stages: Stages) -> None:
        """After an accepted step, keep the last stage where it is the first of the next."""
        method, self.first = self.method, None
        if method.ends_as_next and (self.whole or not method.ends_alone):
            self.first = stages.found[-1]
        self.shared = self.first is not None and not method.ends_alone

    def _try(self, evaluate: Evaluate, step: Step) -> Taken:
        """Take a step, as a checkpoint where its graph does not fit."""
        take: Callable[..., Taken] = self.method.step
        # where inductor folds a state's constant start, it fails on a first checkpoint
        checkpoints = self.solve.way_back == "checkpoints" and self.begun
        full = self.solve.way_back == "autograd" and not self.solve.room.holds_another()
        if checkpoints or full:
            take = partial(checkpoint, take, use_reentrant=False, preserve_rng_state=False)
        self.begun = True
        taken = take(evaluate, step, self.first, self.whole)
        self.count(self.method.evaluations(self.first is not None, self.whole))
        return taken

    def _spend(self, steps: int, s: float) -> None:
        self.tried += steps
        if self.tried > self.options.max_steps:
            raise RuntimeError(
                f"more than max_steps = {self.options.max_steps} steps at "
                f"{self.solve.clock.words(s)}: {WHY}"
            )

    def _notice(self, event: str, s: float, states: Tensor, dt: float) -> None:
        self.solve.notice(event + self.suffix, s, states, dt)
