"""Measure orders of convergence: compare a rule with its derived equations at decreasing steps.

The steps divide the final time, each is half the one before, and they shrink until the slope
between neighbours no longer changes; the order is the least-squares slope of the last four. Slopes
that still change at the finest step are extrapolated (Aitken's process), and terms of next order are
measured over a shorter time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import lcm

import numpy as np

from optode.language.functions import kinds
from optode.limit.deciding import period_of
from optode.trial.expectation import (
    Expectation,
    expected_next_order,
    expected_order,
    has_matched_start,
    smallest_gap,
)
from optode.trial.numerics import Array, observed_order
from optode.trial.starts import NoSolution, solve
from optode.trial.switches import horizon
from optode.trial.trial import Trial

TOLERANCE = 0.1
_LEVELS = 4
_COARSEST = 40
_FINEST = 10_240
_SETTLED = 0.01
_CHANGING = 0.02
_SLOWEST = 0.9
_FASTEST = 3
_SHORTER = (1, 4, 16, 64)
_ROUND_OFF = 1e-9


@dataclass(frozen=True, slots=True)
class Order:
    """A measured order of convergence: continuous steps, errors and the expected order.

    Without errors the rule and the limit agree to round-off. ``remark`` says where the measurement
    starts or ends, if not at t = 0 and t = 1; ``is_singular`` whether t = 0 is a singular start.
    """

    expected: Expectation
    steps: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()
    remark: str = ""
    is_singular: bool = False

    @property
    def observed(self) -> float | None:
        """The slope of log(error) against log(step), None where there is no error."""
        if not self.errors:
            return None
        return _extrapolated(self.errors) or observed_order(self.steps, self.errors)

    @property
    def passes(self) -> bool:
        """Whether the observed order is within 0.1 of the expected, or above where that is the least."""
        if self.observed is None:
            return True
        beyond = self.observed - float(self.expected.order)
        return beyond >= -TOLERANCE and (beyond <= TOLERANCE or self.expected.is_least)


@dataclass(frozen=True, slots=True)
class OrderCheck:
    """The expected and the measured orders of a rule in one scaling.

    ``limit`` is the order of the continuous limit, ``next_order`` that of the equations with the
    terms of next order. One that is None was not measured, for the reason in ``failures``.
    """

    name: str
    regime: str
    limit: Order | None = None
    next_order: Order | None = None
    failures: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether the limit was measured, and every measured order is the expected one."""
        measured = [order for order in (self.limit, self.next_order) if order is not None]
        return self.limit is not None and all(order.passes for order in measured)


def measured(
    error_at: Callable[[int], Array], time: float, expected: Expectation, period: int = 1
) -> Order:
    """Measure the order of an error; it is given, as a vector, by the number of steps up to the time.

    The steps are a whole number of periods of the rule. Raises NoSolution where the error at the
    finest step is no number.
    """
    number, found = lcm(_COARSEST, period), {}
    while number <= _FINEST:
        error = error_at(number)
        if expected.logarithm is not None:
            step = time / number
            error = error + step * np.log(step) * expected.logarithm
        found[time / number] = float(np.linalg.norm(error))
        if _is_settled(list(found.values())):
            break
        number *= 2
    if not np.isfinite(list(found.values())[-1]):
        raise NoSolution(f"the rule or its equations grow without bound before t = {time:g}")
    kept = [(step, error) for step, error in found.items() if error > _ROUND_OFF][-_LEVELS:]
    if _dies_out([error for _, error in kept], list(found.values())[-1]):
        kept = []
    steps, errors = zip(*kept, strict=True) if len(kept) > 1 else ((), ())
    return Order(expected, steps, errors)


def _is_settled(errors: list[float]) -> bool:
    """Return whether enough levels are measured and the slope between neighbours no longer changes."""
    if len(errors) < _LEVELS:
        return False
    if not np.isfinite(errors[-1]) or errors[-1] < _ROUND_OFF:
        return True
    slopes = np.diff(np.log2(errors[-_LEVELS:]))
    layered = abs(slopes[0] - slopes[-1]) > TOLERANCE  # the coarsest step still has what dies out
    return bool(abs(slopes[-1] - slopes[-2]) < _SETTLED and not layered)


def _dies_out(errors: list[float], last: float) -> bool:
    """Return whether errors fall to round-off faster than any power: the rest of the first steps."""
    if last >= _ROUND_OFF or len(errors) < 2:
        return False
    slopes = -np.diff(np.log2([*errors[-2:], last]))
    return bool(slopes[1] > 1.5 * slopes[0] > 1.5 * _FASTEST)


def _extrapolated(errors: Sequence[float]) -> float | None:
    """Return what slopes that change by ever less tend to; None where they no longer change.

    None too where they do not come together.
    """
    if len(errors) < _LEVELS or not np.isfinite(errors).all():
        return None
    before, last = np.diff(np.diff(np.log2(errors)))[-2:]
    if abs(last) < _CHANGING or not 0 < last / before < _SLOWEST:
        return None
    return float(np.log2(errors[-2] / errors[-1]) - last * last / (before - last))


def _is_steady(errors: Sequence[float]) -> bool:
    slopes = np.diff(np.log2(errors[-3:]))
    return len(slopes) < 2 or not abs(slopes[1] - slopes[0]) >= _CHANGING


def limit_order(trial: Trial) -> Order:
    """Measure the order with which the rule approaches its limit.

    Where no solution is found from a singular start, both start at a quarter of the time.
    """
    time = horizon(trial, _JUMPS)
    try:
        _ = trial.branch
    except NoSolution as error:
        found = _order_until(trial, 0, time, at_arrival=True)
        return replace(found, remark=f"from t = {time / 4:g}: {error}", is_singular=True)
    exact = trial.limit_at(time)
    order = measured(
        lambda number: trial.iterates(time / number, number)[-1] - exact,
        time,
        expected_order(trial, time),
        period_of(trial.rule.step_map),
    )
    remark = "" if time == 1 else f"up to t = {time:g}: then a sign switches"
    return replace(order, remark=remark, is_singular=trial.branch is not None)


def next_order(trial: Trial, order: int = 1) -> Order:
    """Measure the order with which the rule approaches the equations with terms up to an order.

    Where these cannot be started at t = 0, both start at a quarter of the time, at which the rule
    has arrived.
    """
    time = horizon(trial, _JUMPS + _KINKS)
    reason = "" if has_matched_start(trial) else _NO_CLOSED_FORM
    if trial.is_singular(order):
        reason = "the start is singular"

    for shorter in _SHORTER:
        found = _order_until(trial, order, time / shorter, at_arrival=bool(reason))
        if found.passes or _is_steady(found.errors):
            break
    time /= shorter
    begins = f"from t = {time / 4:g}: {reason}" if reason else ""
    kink = "then the equations have a kink" if shorter == 1 else "beyond it finer steps are needed"
    ends = "" if time == 1 else f"up to t = {time:g}: {kink}"
    return replace(found, remark="; ".join(filter(None, (begins, ends))))


def _order_until(trial: Trial, order: int, time: float, *, at_arrival: bool) -> Order:
    """Measure the order of the equations with terms up to an order, at a time.

    From a quarter of the time where that is said, else from the start.
    """
    offset = trial.offset(order)

    def error_at(number: int) -> Array:
        delta = time / number
        history = trial.iterates(delta, number)
        first = number // 4 if at_arrival else 0
        start = history[first] if at_arrival else trial.initial(order, delta)
        times = ((first + offset) * delta, (number + offset) * delta)
        return np.asarray(history[-1] - solve(trial.rates(order, delta), times, start))

    expected = expected_next_order(trial, order) if order else Expectation(smallest_gap(trial))
    return measured(error_at, time, expected)


_NO_CLOSED_FORM = "what the fast states add while they settle has no closed form"
_JUMPS, _KINKS = kinds("jump"), kinds("kink")
