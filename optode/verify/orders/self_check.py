"""Check a limit by numbers before it is shown: does the rule come closer to it in shorter steps?

The rule is carried out as it was written, in 32 and in 512 steps, beside the equations. A limit that
it does not approach is refused. This takes some tenths of a second; ``optode verify`` measures the
order itself.
"""

from __future__ import annotations

import math

import numpy as np

from optode.diagnostics import Diagnostic, SpecError
from optode.limit.scaling import Scaling
from optode.rule.rule import UpdateRule
from optode.verify.orders.expectation import smallest_gap
from optode.verify.orders.numerics import Array, Rates
from optode.verify.orders.operators import with_operators
from optode.verify.orders.smooth_field import optimizer_field
from optode.verify.orders.trial import POSITIVE_START, START, Trial
from optode.verify.orders.written import WrittenRule

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
        trial = Trial(rule, scaling, optimizer_field(), start, given)
        with np.errstate(all="ignore"):
            distances = [_distance(trial, steps) for steps in (COARSE, FINE)]
        if all(map(math.isfinite, distances)):
            found.append((distances[0], distances[1]))
            break
    if not found:
        return "the rule or the equations have no finite numbers at generic parameters"
    coarse, fine = found[0]
    if fine < _SMALL or fine < _SMALLER * coarse:
        return ""
    gap = float(smallest_gap(trial))
    if gap < 1 and fine < 1.2 * coarse * (COARSE / FINE) ** gap:
        return ""
    message = (
        f"the rule does not approach the limit derived from it: at t = 1 they are {coarse:.2g} apart "
        f"with {COARSE} steps, and {fine:.2g} with {FINE}"
    )
    hint = "please report it with the spec; `--no-check` shows the limit all the same"
    raise SpecError([Diagnostic("E407", message, rule.span_of(0), hint)])


def _distance(trial: Trial, steps: int) -> float:
    """Return how far rule and limit are apart at t = 1, beside the size of the states.

    Where the equations cannot be started at t = 0, they start at t = 1/4 from the rule's states.
    """
    limit, delta = trial.limit(0), 1 / steps
    values = trial.values(delta)
    written = WrittenRule(trial.rule, values, trial.field).iterates(np.array(trial.start), steps)
    powers = dict(zip(trial.rule.states, trial.scaling.powers, strict=True))
    seen = [i for i, z in enumerate(limit.states) if z.name in written]
    scaled = {z.name: delta ** float(powers[z]) for z in limit.states}
    first = steps // 4 if trial.is_singular(0) else 0
    states = trial.iterates(delta, first)[-1] if first else trial.initial(0, delta)
    ends = _ends(trial.rates(0, delta), states, first * delta, 1.0)
    there = np.stack(
        [written[limit.states[i].name][-1] / scaled[limit.states[i].name] for i in seen]
    )
    return float(np.abs(there - ends[seen]).max() / (1 + np.abs(ends[seen]).max()))


def _ends(rates: Rates, states: Array, start: float, end: float, steps: int = 256) -> Array:
    """Return the states at the end, by steps of the classical Runge-Kutta method.

    Adaptive steps would not end where the limit slides along a switch.
    """
    h = (end - start) / steps

    def slope(t: float, z: Array) -> Array:
        return np.stack([np.broadcast_to(rate, z.shape[1:]) for rate in rates(t, list(z))])

    for k in range(steps):
        t = start + k * h
        k1 = slope(t, states)
        k2 = slope(t + h / 2, states + h / 2 * k1)
        k3 = slope(t + h / 2, states + h / 2 * k2)
        k4 = slope(t + h, states + h * k3)
        states = states + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return states
