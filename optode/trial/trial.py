"""Run one rule in one scaling with numbers, beside the solutions of its limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp

from optode.language.arrays import stacked
from optode.language.symbols import TIME
from optode.limit.in_step_size import forgetting
from optode.limit.limit import ContinuousLimit, continuous_limit
from optode.limit.scaling import Scaling
from optode.rule.rule import UpdateRule
from optode.trial.numerics import (
    Array,
    Rates,
    iterate,
    numerical,
    right_hand_side,
    value_of,
)
from optode.trial.smooth_field import SmoothField
from optode.trial.starts import REACH, RegularBranch, is_regular, regular_branch, solve

START = (0.8, -0.9, 0.5, 0.7)
POSITIVE_START = (0.8, 0.6, 0.5, 0.9)
_GOLDEN = 0.6180339887498949
_SAMPLE_STEPS = 256


@dataclass(frozen=True)
class Trial:
    """A rule in a scaling, with the field for its oracle and the position at which both start.

    All states are arrays of shape (states, 2), in the order of the limit's, or (states, 2, 2) where
    they are matrices: the first of the start's numbers fill the position.
    """

    rule: UpdateRule
    scaling: Scaling
    field: SmoothField
    start: tuple[float, ...] = START
    given: tuple[tuple[str, Array | float], ...] = ()

    @property
    def position(self) -> Array:
        """Return where the position starts."""
        shape = self.field.shape
        return np.array(self.start[: math.prod(shape)]).reshape(shape)

    @cached_property
    def constants(self) -> dict[str, Array | float]:
        """Return the numbers of the hyper-parameters that stay fixed: as given, else generic.

        A symbol of a formula is a rate, in (0.5, 1.5); any other symbol of the rule is a fraction,
        in (0.3, 0.9), such as a fixed momentum.
        """
        rates = {forgetting(d) for d in self.rule.decays}
        in_formulas = rates.union(*(f.free_symbols for _, f in self.rule.formulas))
        values: dict[str, Array | float] = {}
        for i, s in enumerate(sorted(rates.union(self.rule.free_parameters), key=str), 1):
            generic = i * _GOLDEN % 1
            number = 0.5 + generic if s in in_formulas else 0.3 + 0.6 * generic
            values[s.name] = number
            if s in self.rule.vectors:
                values[s.name] = np.array([number, 1 - number])
        return values | dict(self.given)

    def values(self, delta: float) -> dict[str, Array | float]:
        """Return every hyper-parameter by name, at a continuous step Delta."""
        values = dict(self.constants)
        values[self.rule.step_size.name] = delta ** float(self.scaling.step_power)
        rows = zip(self.rule.decays, self.scaling.decay_powers, self.scaling.regimes, strict=True)
        for decay, power, regime in rows:
            if regime != "fixed":
                rate = values[forgetting(decay).name] if regime == "inertial" else 1.0
                values[decay.name] = 1 - rate * delta ** float(power)
        return values

    def iterates(self, delta: float, steps: int) -> Array:
        """Return the scaled states of the rule that the limit keeps, shape (steps + 1, states, 2)."""
        values = self.values(delta)
        first = {z.name: np.zeros(self.field.shape) for z in self.rule.states}
        first[self.rule.position.name] = self.position
        for state, value in self.rule.start:
            number = value_of(
                value.xreplace(dict(self.rule.formulas)), {**values, **first}, self.field
            )
            first[state.name] = np.broadcast_to(number, self.field.shape)
        with np.errstate(all="ignore"):  # 0/0 of an average that a singular start leaves out
            history = iterate(self.rule, self.field, values, first, steps)
        powers = dict(zip(self.rule.states, self.scaling.powers, strict=True))
        kept = self.limit(0).states
        return np.stack([history[s.name] / delta ** float(powers[s]) for s in kept], axis=1)

    def limit(self, order: int) -> ContinuousLimit:
        """Return the derived equations with the terms up to an order; raises SpecError if there are none."""
        return continuous_limit(self.rule, self.scaling, order)

    def rates(self, order: int, delta: float) -> Rates:
        """Return the vector field of the limit of an order at a step."""
        return right_hand_side(self.limit(order), self.field, self.values(delta))

    def initial(self, order: int, delta: float) -> Array:
        """Return the derived initial values as numbers, from the start position."""
        known = dict(self.values(delta))
        known[f"{self.rule.position.name}0"] = self.position
        with np.errstate(all="ignore"):  # an infinite shift says that the start is singular
            rows = [value_of(sp.sympify(e), known, self.field) for e in self.limit(order).initial]
        return np.asarray(stacked(rows, self.field.shape))

    def offset(self, order: int) -> float:
        """Return kappa in ``t = (k + kappa) Delta``."""
        return float(value_of(self.limit(order).offset, self.constants, self.field))

    def evaluated(self, expressions: Sequence[sp.Expr], history: Array, step: float) -> Array:
        """Evaluate expressions in the limit's names along a history of its states, one step apart."""
        states, constants = self.limit(0).states, self.values(1.0)
        free = set().union(*(e.free_symbols for e in expressions)) - {TIME, *states}
        named = sorted(free, key=str)
        run = numerical((TIME, *states, *named), expressions, self.field)
        values = [constants[s.name] for s in named]
        along = (run(step * k, *z, *values) for k, z in enumerate(history, 1))
        return np.stack([stacked(row, self.field.shape) for row in along])

    @cached_property
    def branch(self) -> RegularBranch | None:
        """The regular branch of the limit from a singular start, None for a regular one."""
        rates, start = self.rates(0, 1.0), self.initial(0, 1.0)
        if not self.limit(0).singular_times and is_regular(rates, start):
            return None
        history = self.iterates(REACH / _SAMPLE_STEPS, _SAMPLE_STEPS)
        return regular_branch(rates, start, (history[_SAMPLE_STEPS // 4], history[-1]))

    def is_singular(self, order: int) -> bool:
        """Return whether the equations up to an order cannot be started at t = 0."""
        rates = self.rates(order, 1.0)
        singular = self.limit(order).singular_times or not is_regular(rates, self.initial(order, 0))
        return bool(singular)

    def limit_at(self, time: float) -> Array:
        """Return the states of the leading-order limit at a time."""
        rates = self.rates(0, 1.0)
        if self.branch is None:
            return solve(rates, (0.0, time), self.initial(0, 1.0))
        reach = self.branch.reach
        return solve(rates, (reach, time), self.branch(reach))


def finite_start(
    rule: UpdateRule,
    scaling: Scaling,
    field: SmoothField,
    given: tuple[tuple[str, Array | float], ...],
) -> tuple[float, ...]:
    """Return a generic position from which the rule stays finite: some rules need positive ones."""
    with np.errstate(all="ignore"):
        history = Trial(rule, scaling, field, START, given).iterates(1 / 64, 64)
    return START if np.isfinite(history).all() else POSITIVE_START
