"""Predict the order of convergence from the equations, without running the rule.

The error of the limit is ``Delta delta(T)`` with ``delta' = DF delta + f1``, f1 the next-order
terms. It is of order 1 unless f1 vanishes (order 2: a symmetric scheme), unless the increments have
a power of Delta between the first two whole ones, and unless the integral diverges at a singular
start: as the start time goes to 0 like ``t0^-a`` (order 1 - a) or like its logarithm (``Delta
log(1/Delta)``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import sympy as sp

from optode.calculus.tangent import derivative_along, substituted
from optode.diagnostics import SpecError
from optode.language.arrays import stacked
from optode.language.symbols import TIME, symbol
from optode.limit.layer import initial_shift
from optode.limit.scaled_rule import ScaledRule
from optode.limit.slow_manifold import slow_manifold
from optode.limit.turning import NotContracting
from optode.trial.numerics import Array, numerical
from optode.trial.starts import solve
from optode.trial.trial import Trial

_START_TIMES = (1e-3, 1e-4, 1e-5, 1e-6)
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True)
class Expectation:
    """An expected order of convergence, with the reason if it is not 1.

    ``is_least`` says that nothing is known of the terms of next order, which may be none.
    ``logarithm`` is B where the error is ``Delta^order (A + B log(1/Delta))``, shape (states, 2).
    """

    order: Fraction | int
    reason: str = ""
    logarithm: Array | None = None
    is_least: bool = False


def expected_order(trial: Trial, time: float) -> Expectation:
    """Return the order in Delta expected of the limit's error at a time."""
    gap = smallest_gap(trial)
    if gap < 1:
        return Expectation(gap, f"the next terms are smaller by Delta**({gap}) only")
    try:
        trial.limit(1)
    except SpecError:
        return _from_branch(trial)
    if trial.branch is not None:
        return _from_growth([_correction(trial, t0, time) for t0 in _START_TIMES])
    if _has_no_correction(trial, time):
        return Expectation(2, "symmetric: there are no terms of next order")
    return Expectation(1)


def smallest_gap(trial: Trial) -> Fraction:
    """Return the power of Delta, at most 1, by which the first neglected terms are smaller.

    1 of terms that take too much work.
    """
    gaps = [Fraction(1)]
    for found in (_gaps_of_fast_states, _gaps_of_increments):
        with suppress(SpecError, NotContracting):
            gaps += found(trial)
    return min(gaps)


def _gaps_of_fast_states(trial: Trial) -> Iterator[Fraction]:
    """Yield by how much fast states that forget slowly are off their manifold while it moves."""
    increments = ScaledRule(trial.rule, trial.scaling).increments(0)
    manifold = slow_manifold(increments)
    fields = increments.coefficients(increments.slow)
    rates = {**dict(zip(increments.slow, fields, strict=True)), TIME: sp.S.One}
    for state, leading_value in manifold.graph.items():
        if derivative_along(leading_value, rates) != 0:
            yield 1 - increments.rates[increments.states.index(state)]


def _gaps_of_increments(trial: Trial) -> Iterator[Fraction]:
    """Yield the powers of Delta of terms between leading and next order."""
    increments = ScaledRule(trial.rule, trial.scaling).increments(1)
    manifold = slow_manifold(increments)
    rows = zip(increments.states, increments.series, increments.rates, strict=True)
    for _, series, rate in rows:
        leading = min(rate, Fraction(1))
        between = ((e, c) for e, c in series.terms if leading < e < leading + 1)
        for exponent, coefficient in between:
            left = substituted(coefficient, manifold.graph, increments.slow)
            if sp.simplify(left) != 0:
                yield exponent - leading


def expected_next_order(trial: Trial, order: int) -> Expectation:
    """Return the order expected with the terms up to an order: one more, or a power between.

    Rules with roots of the step size may have terms of broken order after those of the next.
    """
    if not _has_broken_powers(trial):
        return Expectation(order + 1)
    try:
        increments = ScaledRule(trial.rule, trial.scaling).increments(order + 1)
    except SpecError:
        return Expectation(order + 1)
    gaps = [
        e - min(rate, Fraction(1))
        for series, rate in zip(increments.series, increments.rates, strict=True)
        for e, _ in series.terms
        if order < e - min(rate, Fraction(1)) < order + 1
    ]
    if not gaps:
        return Expectation(order + 1)
    return Expectation(min(gaps), f"the terms left out are of order Delta**({min(gaps)})")


def _has_broken_powers(trial: Trial) -> bool:
    powers = set[sp.Basic]().union(*(value.atoms(sp.Pow) for value in trial.rule.step_map))
    scales = (trial.scaling.step_power * Fraction(p.exp) for p in powers if _is_of_step(p, trial))
    return any(scale.denominator != 1 for scale in (*scales, *trial.scaling.powers))


def _is_of_step(power: sp.Basic, trial: Trial) -> bool:
    return power.exp.is_Rational and power.base.has(trial.rule.step_size)


def has_matched_start(trial: Trial) -> bool:
    """Return whether the initial values of next order are known.

    The amount that the slow states gain in the first few steps may have no closed form.
    """
    scaled = ScaledRule(trial.rule, trial.scaling)
    increments = scaled.increments(1)
    manifold = slow_manifold(increments)
    at_start = {state: symbol(f"{state}0") for state in trial.rule.states}
    if scaled.begins_otherwise:
        return False
    return not manifold.fast or initial_shift(increments, manifold, at_start) is not None


def _has_no_correction(trial: Trial, time: float) -> bool:
    """Return whether next order changes neither the equations, on the way, nor the start nor the time."""
    if not has_matched_start(trial) or abs(trial.offset(1)) > _NEGLIGIBLE:
        return False
    states = trial.initial(0, 0.0)
    if np.abs(trial.initial(1, 1.0) - states).max() > _NEGLIGIBLE:
        return False
    leading, later = (trial.rates(n, 1.0) for n in (0, 1))
    for first, t in pairwise(np.linspace(0.0, time, _SAMPLES)):
        states = solve(leading, (first, t), states, rtol=1e-6)
        moved = later(t, states) - leading(t, states)
        if np.abs(moved).max() > _NEGLIGIBLE:
            return False
    return True


_SAMPLES = 9


def _correction(trial: Trial, start_time: float, end_time: float) -> Array:
    """Return delta at the end, solved from delta = 0 at the start time of the regular branch."""
    assert trial.branch is not None
    limit, number = trial.limit(0), len(trial.limit(0).states)
    deltas = tuple(symbol(f"delta_{s}") for s in limit.states)
    along = dict(zip(limit.states, deltas, strict=True))
    constants = sorted(trial.constants)
    inputs = (TIME, *limit.states, *deltas, *(symbol(c) for c in constants))
    names = {s: symbol(s.name) for e in limit.equations for s in e.free_symbols}
    linear = [derivative_along(e, along).xreplace(names) for e in limit.equations]
    product = numerical(inputs, linear, trial.field)
    leading, next_order = trial.rates(0, 1.0), trial.rates(1, 1.0)
    values = [trial.constants[c] for c in constants]

    def rates(t: float, rows: Array) -> Array:
        z = rows[:number]
        f0, f1 = leading(t, z), next_order(t, z)
        moved = stacked(product(t, *rows, *values), z.shape[1:])
        return np.concatenate([f0, moved + f1 - f0])

    start = trial.branch(start_time)
    joint = np.concatenate([start, np.zeros_like(start)])
    return solve(rates, (start_time, end_time), joint, rtol=1e-7)[number:]


def _from_branch(trial: Trial) -> Expectation:
    """Return the order where no terms of next order are known: 1/2 where z' grows like 1/sqrt(t)."""
    if trial.branch is None:
        return Expectation(1, is_least=True)
    taus, start = (1e-3, 2e-3), trial.branch(0.0)
    near, far = (np.abs(trial.branch(tau**2) - start) for tau in taus)
    moves = near > _NEAR_ROUND_OFF
    if not moves.any() or (far[moves] / near[moves]).min() > 2**1.5:  # like t
        return Expectation(1)
    return Expectation(Fraction(1, 2), "the start is singular: x' is not bounded")


_NEAR_ROUND_OFF = 1e-9


def _from_growth(deltas: list[Array]) -> Expectation:
    """Return the order that follows from how corrections grow with earlier starts, each 10 times earlier."""
    changes = [float(np.abs(b - a).max()) for a, b in pairwise(deltas)]
    if max(changes) < 1e-4 * float(np.abs(deltas[-1]).max()):
        return Expectation(1)
    growth = np.log10(changes[-1] / changes[-2])
    if growth < -0.2:
        return Expectation(1)
    if growth < 0.1:
        factor = (deltas[-1] - deltas[-2]) / np.log(10)
        return Expectation(1, "Delta*log(1/Delta): its factor is predicted, and subtracted", factor)
    power = Fraction(round(4 * growth), 4)
    return Expectation(1 - power, "the start is singular: x' is not bounded")
