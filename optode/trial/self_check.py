"""Check a limit by numbers before it is shown: does the rule come closer to it in shorter steps?

The rule is carried out as it was written, in 32 and in 512 steps, beside the equations. A limit that
it does not approach is refused. This takes some tenths of a second; ``optode verify`` measures the
order itself.
"""

from __future__ import annotations

import math

import numpy as np

from optode.diagnostics import Diagnostic, SpecError
from optode.language.functions import kinds
from optode.limit.scaling import Scaling
from optode.rule.rule import UpdateRule
from optode.trial.expectation import smallest_gap
from optode.trial.numerics import Array, Rates
from optode.trial.operators import with_operators
from optode.trial.smooth_field import field_for
from optode.trial.switches import horizon
from optode.trial.trial import POSITIVE_START, START, Trial
from optode.trial.written import WrittenRule

COARSE, FINE = 32, 512
_SMALL = 5e-3
_SMALLER = 0.6
"""By what the distance has to shrink at least: that of order 1/4 does by half."""


def check_limit(
    rule: UpdateRule, scaling: Scaling, given: tuple[tuple[str, float], ...] = ()
) -> str:
    """Return why a limit cannot be checked, "" where the rule approaches it.

    ``given`` sets hyper-parameters by name. Raises SpecError (E407) with the distances where the
    rule does not come closer to the limit in shorter steps.
    """
    rule = with_operators(rule)
    found: list[tuple[float, float]] = []
    for start in (START, POSITIVE_START):
        trial = Trial(rule, scaling, field_for(rule), start, given)
        with np.errstate(all="ignore"):
            distances = _distances(trial)
        if all(map(math.isfinite, distances)):
            found.append((distances[0], distances[1]))
            break
    if not found:
        return "the rule or the equations have no finite numbers at generic parameters"
    coarse, fine = found[0]
    if fine < _SMALL or fine < _SMALLER * coarse:
        return ""
    gap = float(smallest_gap(trial))
    if gap < 1 and fine < 1.5 * coarse * (COARSE / FINE) ** gap:
        return ""
    message = (
        f"the rule does not approach the limit derived from it: at the end they are {coarse:.2g} apart "
        f"with {COARSE} steps, and {fine:.2g} with {FINE}"
    )
    hint = "please report it with the spec; `--no-check` shows the limit all the same"
    raise SpecError([Diagnostic("E407", message, rule.span_of(0), hint)])


def _distances(trial: Trial) -> tuple[float, float]:
    """Return how far rule and limit are apart at t = 1, beside the size of the states, by the steps.

    Where the equations cannot be started at t = 0, they start at a quarter of the time from the
    rule's states; where a sign switches, they end before.
    """
    limit, time = trial.limit(0), horizon(trial, kinds("jump"))
    written, rates = WrittenRule(trial.rule, trial.field), trial.rates(0, 1.0)
    powers = dict(zip(trial.rule.states, trial.scaling.powers, strict=True))
    singular = trial.is_singular(0)
    found: list[float] = []
    for steps in (COARSE, FINE):
        delta, first = time / steps, steps // 4 if singular else 0
        if singular or not found:  # the equations do not depend on the step
            start = trial.iterates(delta, first)[-1] if singular else trial.initial(0, 1.0)
            ends = _ends(rates, start, first * delta, time)
        there = written.iterates(trial.values(delta), trial.position, steps)
        rows = [
            (there[z.name][-1] / delta ** float(powers[z]), end)
            for z, end in zip(limit.states, ends, strict=True)
            if z.name in there
        ]
        apart = max(float(np.abs(a - b).max()) for a, b in rows)
        found.append(apart / (1 + max(float(np.abs(b).max()) for _, b in rows)))
    return found[0], found[1]


def _ends(rates: Rates, states: Array, start: float, end: float, steps: int = 128) -> Array:
    """Return the states at the end, by steps of the classical Runge-Kutta method.

    Adaptive steps would not end where the limit slides along a switch.
    """
    h = (end - start) / steps
    for k in range(steps):
        t = start + k * h
        k1 = rates(t, states)
        k2 = rates(t + h / 2, states + h / 2 * k1)
        k3 = rates(t + h / 2, states + h / 2 * k2)
        k4 = rates(t + h, states + h * k3)
        states = states + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return states
