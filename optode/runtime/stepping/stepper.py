"""Go from one time to another in steps of one method."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..methods.step import Evaluate, Evaluated, Method, Stages, Step, Taken
from ..times import pieces
from ..tracing import compiled_once
from .controller import Controller
from .failures import changes_much, no_short_step, not_finite, too_many_steps

if TYPE_CHECKING:
    from ..solve import Solve

Accept = Callable[[Step, Taken], None]


class Stepper:
    """Steps of given lengths, or as long as the tolerances allow.

    ``count`` is told the evaluations of every step. ``suffix`` ends the names of the node's
    callbacks: "_adjoint" on the way back.
    """

    def __init__(
        self,
        solve: Solve,
        method: Method,
        names: Sequence[str],
        count: Callable[[int], None],
        suffix: str = "",
    ) -> None:
        self.solve, self.method, self.count, self.suffix = solve, method, count, suffix
        self.options = options = solve.options
        self.tolerances = solve.tolerances
        self.further_error: Callable[[Step, Taken], float] | None = None
        self.controller = Controller(method, self.tolerances, options, names)
        self.fixed = options.sized() or not method.estimates
        self.whole = not self.fixed  # the errors of steps are estimated
        self.within = solve.plan.dense and bool(method.within)
        self.cuts = options.cuts()
        self.length = options.first_step
        self.first: Evaluated | None = None  # what the first stage evaluates, where known
        self.tried, self.begun, self.interval = 0, False, 0

    def advance(
        self,
        interval: int,
        evaluate: Evaluate,
        start: float,
        end: float,
        states: Tensor,
        accept: Accept,
    ) -> Tensor:
        """Return the states at the end of the interval; accept is called with every step."""
        self.interval = interval
        go = self._equal_steps if self.fixed else self._fitted_steps
        gap = 2 * torch.finfo(self.solve.like.dtype).eps
        for a, b in pieces(self.cuts, gap, start, end):
            if self.cuts or self.solve.clock.speeds is not None:
                self.first = None  # the derivatives may jump
            states = go(evaluate, a, b, states, accept)
        return states

    def _equal_steps(
        self, evaluate: Evaluate, start: float, end: float, states: Tensor, accept: Accept
    ) -> Tensor:
        known = self.solve.plan.steps
        n = known[self.interval] if known else self.options.count_over(end - start)
        self._spend(n, start, states)
        if self.solve.evaluation.room.weight is None:
            with self._graphs():  # weighed alone, before a graph of the whole step is made
                self.first = _evaluated(self, evaluate, start, states)
        for s, dt in self._lengths(start, end, n):
            self._notice("callback_step", s, states, dt)
            step = Step(s, dt, states, whole=self.within)
            taken, ends, errors = self._try(evaluate, step)
            if errors is not None:
                self.solve.errors.append((s, self.tolerances.step_ratios(errors, states, ends)))
            states = ends
            accept(step, taken)
            self._go_on(taken.stages)
        return states

    def _lengths(self, start: Any, end: Any, n: int) -> list[tuple[Any, Any]]:
        """Return the starts and the lengths of n steps from start to end."""
        whole, parts = end - start, self.solve.plan.parts
        if not len(parts):
            return [(start + whole * (k / n), whole / n) for k in range(n)]
        places = [parts[self.interval][k] for k in range(n + 1)]
        if self.suffix:  # backwards
            places = [1 - x for x in reversed(places)]
        return [(start + whole * a, whole * (b - a)) for a, b in pairwise(places)]

    def _fitted_steps(
        self, evaluate: Evaluate, start: float, end: float, states: Tensor, accept: Accept
    ) -> Tensor:
        s, sign, control = start, math.copysign(1.0, end - start), self.controller
        begun = states
        while s != end:
            rest = abs(end - s)
            longest = self._longest(evaluate, s, sign * rest, states)
            length = control.length(longest, rest)
            dt = sign * length
            self._spend(1, s, states)
            self._notice("callback_step", s, states, dt)
            step = Step(s, dt, states, whole=self.within)
            taken, ends, errors = self._try(evaluate, step)
            assert errors is not None  # fitted steps estimate their error
            error, culprit = control.error(errors, states, ends)
            if self.further_error is not None:
                error = max(error, self.further_error(step, taken))
            factor = control.factor(error)
            shortest = longest <= self.options.min_step
            if error <= 1 or (shortest and error < math.inf):
                self._notice("callback_accept_step", s, states, dt)
                accept(step, taken)
                s, states = end if length == rest else s + dt, ends
                self._go_on(taken.stages)
                if length < longest:  # cut short by the end
                    factor = max(factor, longest / length)
            else:
                self._notice("callback_reject_step", s, states, dt)
                self.first = taken.stages.found[0]
                if shortest or s + 0.2 * dt == s:
                    grows = changes_much(begun, states, ends)
                    raise no_short_step(self, s, states, length, culprit, grows)
            self.length = max(length * factor, self.options.min_step)
        return states

    def _longest(self, evaluate: Evaluate, s: float, rest: float, states: Tensor) -> float:
        """Return how long the next step may be; before the first one, from the derivatives."""
        if self.first is None:
            with self._graphs():
                self.first = _evaluated(self, evaluate, s, states)
        if self.length is None:
            rates = self.first.rates
            for name, rate in zip(self.controller.names, rates):
                if not rate.isfinite().all():
                    raise not_finite(self, name, s, states)
            limit = math.copysign(min(abs(rest), self.options.max_step), rest)
            look = partial(_evaluated, self, evaluate)
            found = self.controller.first_length(look, s, limit, states, rates)
            self.length = max(found, self.options.min_step)
        return self.length

    def _graphs(self) -> AbstractContextManager[object]:
        """Return a context in which a step makes the graph that the way back takes, if it fits."""
        if self.solve.way_back != "discrete":
            return nullcontext()
        return torch.set_grad_enabled(self.solve.evaluation.room.holds_another())

    def _go_on(self, stages: Stages) -> None:
        """After an accepted step, keep the last stage where it is the first of the next."""
        self.first = stages.found[-1] if self.method.ends_as_next and self.whole else None

    def _try(self, evaluate: Evaluate, step: Step) -> tuple[Taken, Tensor, Tensor | None]:
        """Take a step, as a checkpoint where its graph does not fit.

        Returns it with the states where the next step begins, and with its errors.
        """
        first, take = self.first, partial(_taken, self)
        way_back, room = self.solve.way_back, self.solve.evaluation.room
        # where inductor folds a state's constant start, it fails on a first checkpoint
        checkpoints = way_back == "checkpoints" and self.begun
        if checkpoints or (way_back == "autograd" and not room.holds_another()):
            take = partial(checkpoint, take, use_reentrant=False, preserve_rng_state=False)
        elif self.solve.plan.regions:
            take = partial(_traced, self)
        self.begun = True
        with self._graphs():
            found = take(evaluate, step, first)
        self.count(self.method.evaluations(first is not None, self.whole))
        return found

    def _spend(self, steps: int, s: float, states: Tensor) -> None:
        self.tried += steps
        if self.tried > self.options.max_steps:
            raise too_many_steps(self, s, states)

    def _notice(self, event: str, s: float, states: Tensor, dt: float) -> None:
        self.solve.notices.step(event + self.suffix, self.interval, s, states, dt)


def _evaluated(stepper: Stepper, evaluate: Evaluate, s: float, states: Tensor) -> Evaluated:
    """Evaluate what the first stage of a step does."""
    stepper.count(1)
    return evaluate(s, states)


def _taken(
    stepper: Stepper, evaluate: Evaluate, step: Step, first: Evaluated | None
) -> tuple[Taken, Tensor, Tensor | None]:
    """Take a step; returns it with the states where the next one begins, and with its errors."""
    method = stepper.method
    taken = method.step(evaluate, step, first)
    ends = stepper.solve.cut(taken.states)
    if not stepper.whole:
        return taken, ends, None
    return taken, ends, method.errors(evaluate, step, taken.stages, ends)


def _traced(
    stepper: Stepper, evaluate: Evaluate, step: Step, first: Evaluated | None
) -> tuple[Taken, Tensor, Tensor | None]:
    """Take a step of a traced solve, which compiles one of all that are alike."""
    known = None if first is None else first.rates
    found = iter(compiled_once(_tensors, stepper, evaluate, step, known))
    ends = next(found)
    within = next(found) if step.whole else None
    errors = next(found) if stepper.whole else None
    stages = Stages([Evaluated(x) for x in found], [])
    return Taken(ends, stages, within), ends, errors


def _tensors(
    stepper: Stepper, evaluate: Evaluate, step: Step, rates: Tensor | None
) -> tuple[Tensor, ...]:
    """Take a step; returns its end, and what lies within it, its errors and its last rates, if any."""
    first = None if rates is None else Evaluated(rates)
    taken, ends, errors = _taken(stepper, evaluate, step, first)
    last = taken.stages.found[-1].rates if stepper.method.ends_as_next and stepper.whole else None
    return tuple(x for x in (ends, taken.within, errors, last) if x is not None)
