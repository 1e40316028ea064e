"""The continuous limit of an update rule: ``(Phi - z) / Delta`` as the step size goes to zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import sympy as sp

from optode.diagnostics import Diagnostic, SpecError
from optode.notation import TIME, symbol
from optode.program import present
from optode.rule import UpdateRule
from optode.scaling import Scaling, step_map_in_step_size
from optode.series import NoExpansion, Scale, expand
from optode.text_printer import to_text


@dataclass(frozen=True, slots=True)
class ContinuousLimit:
    """``z' = F(z, t)`` with ``t = (k + offset) Delta``; states keep the author's names.

    ``step`` is Delta as a power of the step size and ``scales`` what one unit of each state stands
    for (``v`` of the rule is ``sqrt(s) v`` of the limit); both are None for a model given as an
    ODE. ``initial`` holds the value of each state at t = 0: a symbol ``x0`` for the position, the
    scaled start of the others. ``singular_times`` are the times where the vector field has a pole.
    """

    name: str
    states: tuple[sp.Symbol, ...]
    equations: tuple[sp.Expr, ...]
    initial: tuple[sp.Expr, ...]
    step: sp.Expr | None = None
    scales: tuple[sp.Expr, ...] | None = None
    offset: sp.Expr = sp.S.Zero
    singular_times: tuple[sp.Expr, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.states) == len(self.equations) == len(self.initial):
            raise ValueError("one equation and one initial value for each state")


def continuous_limit(rule: UpdateRule, scaling: Scaling) -> ContinuousLimit:
    """The leading order of the rule under a scaling.

    Each state's increment is expanded in Delta; the coefficient of Delta is the vector field.
    Raises SpecError (E403) where a term is of lower order and so blows up, or has no expansion.
    """
    scale = _scale(rule, scaling)
    equations, problems = [], []
    for index, (state, value) in enumerate(
        zip(rule.states, step_map_in_step_size(rule), strict=True)
    ):
        power = _in_delta(scaling.powers[index], scaling)
        try:
            series = expand(value - state, scale, power + Fraction(3, 2)).shifted(-power)
            equations.append(present(series.coefficient(Fraction(1))))
            problems += [_blow_up(rule, index, e, c) for e, c in series.terms if e < 1]
        except NoExpansion as error:
            message = f"no continuous limit of `{state}`: {error}"
            problems.append(Diagnostic("E403", message, rule.span_of(index)))
    if problems:
        raise SpecError(tuple(problems))
    return ContinuousLimit(
        name=rule.name,
        states=rule.states,
        equations=tuple(equations),
        initial=_initial_values(rule, scaling),
        step=rule.step_size ** _rational(scaling.time_power),
        scales=tuple(rule.step_size ** _rational(power) for power in scaling.powers),
        singular_times=singular_times(equations),
    )


def _scale(rule: UpdateRule, scaling: Scaling) -> Scale:
    step = (rule.step_size, sp.S.One, 1 / scaling.time_power)
    states = [
        (state, state, _in_delta(power, scaling))
        for state, power in zip(rule.states, scaling.powers, strict=True)
        if power != 0
    ]
    return Scale((step, *states))


def _in_delta(power: Fraction, scaling: Scaling) -> Fraction:
    """A power of the step size as a power of Delta."""
    return power / scaling.time_power


def _rational(number: Fraction) -> sp.Rational:
    return sp.Rational(number.numerator, number.denominator)


def _blow_up(rule: UpdateRule, index: int, order: Fraction, term: sp.Expr) -> Diagnostic:
    return Diagnostic(
        "E403",
        f"no continuous limit under the declared scaling: the rate of `{rule.states[index]}` "
        f"has the term {to_text(present(term))} of order Delta**({order - 1})",
        rule.span_of(index),
        "let the hyper-parameters in it vanish with the step size",
    )


def _initial_values(rule: UpdateRule, scaling: Scaling) -> tuple[sp.Expr, ...]:
    """The start of each scaled state; the position starts anywhere, the others at 0 unless
    declared.
    """
    start = dict(rule.start)
    at_start = {state: symbol(f"{state}0") for state in rule.states}
    formulas = dict(rule.formulas)
    values = [at_start[rule.position]]
    for index, state in enumerate(rule.states[1:], 1):
        declared = start.get(state, sp.S.Zero).xreplace(formulas).xreplace(at_start)
        power = _in_delta(scaling.powers[index], scaling)
        scale = Scale(((rule.step_size, sp.S.One, 1 / scaling.time_power),))
        series = expand(declared, scale, power + 1).shifted(-power)
        if any(exponent < 0 for exponent, _ in series.terms):
            message = f"`{state}` starts at {to_text(declared)}, which is not of its own scale"
            raise SpecError((Diagnostic("E404", message, rule.span_of(index)),))
        values.append(series.coefficient(Fraction(0)))
    return tuple(values)


def singular_times(equations: Iterable[sp.Expr]) -> tuple[sp.Expr, ...]:
    """The real times at which a coefficient of the vector field has a pole, ascending."""
    bases = {
        factor
        for equation in equations
        for power in equation.atoms(sp.Pow)
        if power.exp.is_negative
        for factor in sp.Mul.make_args(sp.factor_terms(power.base))
        if factor.has(TIME)
    }
    return tuple(sorted(frozenset().union(*map(_real_roots, bases)), key=sp.default_sort_key))


@cache
def _real_roots(base: sp.Expr) -> frozenset[sp.Expr]:
    """The times at which the base is zero whatever the states and parameters are."""
    try:
        roots = sp.solve(base, TIME)
    except NotImplementedError:
        return frozenset()
    return frozenset(root for root in roots if root.is_number and root.is_real)
