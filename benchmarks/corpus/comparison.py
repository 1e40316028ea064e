"""Compare the class of a row with its rule, step by step, and with the equations derived from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.corpus.rows import Row
from benchmarks.corpus.running import (
    class_iterates,
    field_of,
    normal_iterates,
    numbers,
    written_iterates,
)
from optode.compiler import derive
from optode.derivation import Derivation
from optode.language.functions import kinds
from optode.limit.deciding import period_of
from optode.trial.expectation import Expectation, expected_order, smallest_gap
from optode.trial.numerics import Array
from optode.trial.starts import NoSolution, solve
from optode.trial.switches import horizon
from optode.trial.trial import Trial
from optode.verification.orders.orders import Order, measured

STEPS = 50
STEP_SIZE = 0.05


def generic_values(row: Row, derivation: Derivation) -> dict[str, object]:
    """Return the number of the step size and of every hyper-parameter that no formula gives."""
    rule = derivation.rule
    trial = Trial(rule, None, field_of(row), row.start, tuple(row.values.items()))  # type: ignore[arg-type]
    return {rule.step_size.name: STEP_SIZE, **trial.constants}


def largest_difference(row: Row, normal_form: bool = False) -> float:
    """Return by how much positions of the class and of the rule differ at most over 50 steps.

    The rule is run as it is written, or in its normal form.
    """
    derivation = derive(row.path)
    values = generic_values(row, derivation)
    run = normal_iterates if normal_form else written_iterates
    with np.errstate(all="ignore"):  # a branch of where that is not taken may have no value
        ours = run(row, derivation.rule, values, STEPS)
    theirs = class_iterates(row, numbers(row, derivation.rule, values), STEPS)
    return float(np.abs(ours - theirs).max())


def order(row: Row) -> Order:
    """Measure the order with which the class approaches the derived equations.

    The errors are those of the position at the last time before a sign in the equations switches,
    1 at most. Where no solution is found from a singular start, the equations start at a quarter of
    the time from the states of the rule. Raises SpecError where the rule has no limit.
    """
    derivation = derive(row.path)
    rule = derivation.rule
    trial = Trial(rule, derivation.scaling, field_of(row), row.start, tuple(row.values.items()))
    time = horizon(trial, kinds("jump"))
    index = trial.limit(0).states.index(rule.position)
    try:
        exact = trial.limit_at(time)[index]
        expected = expected_order(trial, time)
    except NoSolution:
        return _order_from_arrival(row, trial, time, index)
    if expected.logarithm is not None:
        expected = Expectation(expected.order, expected.reason, np.ravel(expected.logarithm[index]))

    def error_at(steps: int) -> Array:
        values = numbers(row, rule, trial.values(time / steps))
        return np.ravel(class_iterates(row, values, steps)[-1] - exact)

    return measured(error_at, time, expected, period_of(rule.step_map))


def _order_from_arrival(row: Row, trial: Trial, time: float, index: int) -> Order:
    """Measure the order with which the class approaches the equations from a quarter of the time."""

    def error_at(steps: int) -> Array:
        delta = time / steps
        start = trial.iterates(delta, steps // 4)[-1]
        end = solve(trial.rates(0, 1.0), (time / 4, time), start)
        values = numbers(row, trial.rule, trial.values(delta))
        return np.ravel(class_iterates(row, values, steps)[-1] - end[index])

    expected = Expectation(smallest_gap(trial))
    found = measured(error_at, time, expected, period_of(trial.rule.step_map))
    return replace(found, remark=f"from t = {time / 4:g} on")
