"""Compare the class of a row with its rule, step by step, and with the equations derived from it."""

from __future__ import annotations

import numpy as np

from benchmarks.corpus.rows import Row
from benchmarks.corpus.running import (
    GRADIENT,
    class_iterates,
    normal_iterates,
    numbers,
    written_iterates,
)
from optode.compiler import derive
from optode.derivation import Derivation
from optode.language.functions import kinds
from optode.limit.deciding import period_of
from optode.trial.expectation import Expectation, expected_order
from optode.trial.switches import horizon
from optode.trial.trial import Trial
from optode.verify.orders.orders import Order, measured

STEPS = 50
STEP_SIZE = 0.05


def generic_values(row: Row, derivation: Derivation) -> dict[str, object]:
    """Return the number of the step size and of every hyper-parameter that no formula gives."""
    rule = derivation.rule
    trial = Trial(rule, None, GRADIENT, row.start, tuple(row.values.items()))  # type: ignore[arg-type]
    return {rule.step_size.name: STEP_SIZE, **trial.constants}


def largest_difference(row: Row, normal_form: bool = False) -> float:
    """Return by how much positions of the class and of the rule differ at most over 50 steps.

    The rule is run as it is written, or in its normal form.
    """
    derivation = derive(row.path)
    values = generic_values(row, derivation)
    run = normal_iterates if normal_form else written_iterates
    with np.errstate(all="ignore"):  # a branch of where that is not taken may have no value
        ours = run(derivation.rule, values, np.array(row.start), STEPS)
    theirs = class_iterates(row, numbers(derivation.rule, values), STEPS)
    return float(np.abs(ours - theirs).max())


def order(row: Row) -> Order:
    """Measure the order with which the class approaches the derived equations.

    The errors are those of the position at the last time before a sign in the equations switches,
    1 at most. Raises SpecError where the rule has no limit.
    """
    derivation = derive(row.path)
    rule = derivation.rule
    trial = Trial(rule, derivation.scaling, GRADIENT, row.start, tuple(row.values.items()))
    time = horizon(trial, kinds("jump"))
    index = trial.limit(0).states.index(rule.position)
    exact = trial.limit_at(time)[index]
    expected = expected_order(trial, time)
    if expected.logarithm is not None:
        expected = Expectation(expected.order, expected.reason, expected.logarithm[index])

    def error_at(steps: int) -> np.ndarray:
        values = numbers(rule, trial.values(time / steps))
        return class_iterates(row, values, steps)[-1] - exact

    return measured(error_at, time, expected, period_of(rule.step_map))
