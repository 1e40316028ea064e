"""Put numbers into a limit: a small example whose paths can be drawn.

The gradient is that of a convex function of two variables, the hyper-parameters are generic, as in
``optode verify``. In an ODE that is given, minus this gradient stands for f.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import sympy as sp

from optode.derivation import Derivation
from optode.language.arrays import stacked
from optode.language.derivative import partial
from optode.language.functions import transformed
from optode.language.matrices import MatrixFunction
from optode.language.symbols import TIME, Oracle
from optode.limit.limit import ContinuousLimit
from optode.model.model import LearnedParameter
from optode.spec.reader import Spec
from optode.trial.numerics import Array, Rates, numerical, right_hand_side
from optode.trial.numerics import Oracle as OracleInNumbers
from optode.trial.operators import with_operators
from optode.trial.smooth_field import SmoothField, field_for, optimizer_field
from optode.trial.starts import NoSolution, solve
from optode.trial.trial import START, Trial, finite_start

_ACCURACY = 1e-7
_REST = 0.01
"""The share of the time after which a path from a pole begins, where no regular one is found."""
_EARLY_STEPS = 64
_FINE_STEPS = 4096


class Path(NamedTuple):
    """Times, the states there (times, states, ...), and the time up to which the ODE was solved."""

    times: Array
    states: Array
    solved: float


class _Descent:
    """Minus the gradient of a function of the first argument: stands for f(t, h, ...)."""

    def __init__(self, field: SmoothField) -> None:
        self._field = field

    def __call__(self, *points: Array) -> Array:
        return -self._field(points[0])

    def derivative(self, points: Sequence[Array], *directions: Sequence[Array]) -> Array:
        return -self._field.derivative(points[:1], *(d[:1] for d in directions))

    def loss(self, *points: Array) -> Array:
        return self._field.loss(points[0])


@dataclass(frozen=True)
class Example:
    """A limit with numbers. States are arrays of shape (states, 2), matrices of (states, 2, 2).

    ``trial`` runs the rule, None where an ODE is given. ``field`` has the function that is
    descended, ``oracle`` what stands for the gradient or for f, ``values`` the numbers by name,
    ``begin`` the time of the start.
    """

    limit: ContinuousLimit
    field: SmoothField
    oracle: OracleInNumbers
    values: Mapping[str, Array | float]
    start: Array
    begin: float = 0.0
    trial: Trial | None = None

    @cached_property
    def rates(self) -> Rates:
        """Return ``(t, states) -> derivatives``."""
        return right_hand_side(self.limit, self.oracle, self.values)

    def scaled(self, factor: float) -> Example:
        """Return the example from a position so many times as far from 0."""
        if self.trial is None:
            moved = np.concatenate([factor * self.start[:1], self.start[1:]])
            return replace(self, start=moved)
        trial = replace(self.trial, start=tuple(factor * x for x in self.trial.start))
        return replace(self, trial=trial, start=trial.initial(0, 1.0))

    def path(self, end: float, points: int) -> Path:
        """Return the states up to an end.

        Where the equations cannot be followed further, as along a jump, the rule in fine steps takes
        their place; where there is no rule the path ends.
        """
        begin, first = self._begin(end)
        times = np.linspace(begin, end, points)
        found = [first]
        try:
            for before, time in pairwise(times):
                found.append(solve(self.rates, (before, time), found[-1], _ACCURACY))
        except NoSolution:
            return self._by_rule(times, found)
        return Path(times, np.stack(found), end)

    def _by_rule(self, times: Array, found: list[Array]) -> Path:
        """Go on with the rule in fine steps, as far as its states are finite."""
        solved = len(found)
        if self.trial is not None:
            step = times[-1] / _FINE_STEPS
            history = self.trial.iterates(step, _FINE_STEPS)
            found += [history[round(time / step)] for time in times[solved:]]
        states = np.stack(found)
        finite = np.isfinite(states).reshape(len(states), -1).all(1)
        reached = len(states) if finite.all() else int(finite.argmin())
        if not reached:
            raise NoSolution("no state of its example is finite")
        return Path(times[:reached], states[:reached], times[solved - 1])

    def _begin(self, end: float) -> tuple[float, Array]:
        """Return the time from which the equations are solved, and the states there.

        It is 0 at a regular start. From a pole it is the reach of the regular solution, or where
        there is none a short time at which the rule itself has arrived.
        """
        if self.trial is None:
            return self.begin, self.start
        try:
            branch = self.trial.branch
        except NoSolution:
            early = _REST * end
            return early, self.trial.iterates(early / _EARLY_STEPS, _EARLY_STEPS)[-1]
        return (0.0, self.start) if branch is None else (branch.reach, branch(branch.reach))

    def evaluated(self, expressions: Sequence[sp.Expr], times: Array, states: Array) -> Array:
        """Return the values of expressions in the limit's names, of shape (times, expressions, ...)."""
        free = set().union(*(e.free_symbols for e in expressions)) - {TIME, *self.limit.states}
        named = sorted(free, key=str)
        run = numerical((TIME, *self.limit.states, *named), expressions, self.oracle)
        given = [self.values[s.name] for s in named]
        shape = states.shape[2:]
        with np.errstate(all="ignore"):
            rows = [run(t, *z, *given) for t, z in zip(times, states, strict=True)]
        return np.stack([stacked(row, shape) for row in rows])


def example_of(derivation: Derivation) -> Example:
    """Return the example of a spec's limit. Raises SpecError for a spec in error."""
    if derivation.spec.is_ode:
        return _of_ode(derivation)
    rule = with_operators(derivation.rule)
    declared = derivation.spec.verify if isinstance(derivation.spec, Spec) else ()
    given = tuple((entry.name.text, entry.numbers[0]) for entry in declared)
    field, scaling = field_for(rule), derivation.scaling
    start = finite_start(rule, scaling, field, given)
    trial = Trial(rule, scaling, field, start, given)
    first = trial.initial(0, 1.0)
    return Example(trial.limit(0), field, field, trial.values(1.0), first, trial=trial)


def _of_ode(derivation: Derivation) -> Example:
    """Return the example of an ODE that is given: its parameters begin as the model's."""
    model, field = derivation.model, optimizer_field()
    values = {str(p.symbol): _number(p) for p in model.parameters}
    position = np.array(START[:2])
    start = np.stack([position, *(np.zeros(2) for _ in derivation.limit.states[1:])])
    return Example(derivation.limit, field, _Descent(field), values, start, model.span[0])


def _number(parameter: LearnedParameter) -> float:
    """Return the value that a parameter begins with, 1 where the caller gives it."""
    if parameter.required:
        return 1.0
    if parameter.value is not None:
        return parameter.value
    return float(transformed(sp.Float(parameter.init), parameter.transform))


def forgetting_rates(limit: ContinuousLimit) -> dict[sp.Symbol, sp.Expr]:
    """Return -dz'/dz of every state z but the position, where it does not vanish.

    Oracles are held fixed, as functions of time: it is the rate at which z forgets its past, and the
    damping of a position whose velocity z is.
    """
    found = {}
    for state, rate in [*zip(limit.states, limit.equations, strict=True)][1:]:
        if rate.has(MatrixFunction):
            continue
        held = {call: sp.Dummy() for call in rate.atoms(Oracle)}
        slope = -partial(rate.xreplace(held), state).xreplace({d: c for c, d in held.items()})
        if slope != 0 and not slope.has(sp.Derivative, sp.Subs):
            found[state] = sp.simplify(slope) if slope.count_ops() < _SHORT else slope
    return found


_SHORT = 30
