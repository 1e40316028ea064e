"""The scaled increments of a rule as series in Delta."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import sympy as sp

from optode.calculus.expansion import Scale, expand
from optode.calculus.series import NoExpansion, Series
from optode.diagnostics import Diagnostic, SpecError
from optode.language.presentation import present
from optode.language.text import to_text
from optode.limit.in_step_size import forgetting, step_map_in_step_size
from optode.limit.scaling import Scaling
from optode.limit.slow_manifold import Increments
from optode.rule.growing_states import growing_states, positive
from optode.rule.rule import UpdateRule


def increments_of(rule: UpdateRule, scaling: Scaling, order: int, offset: sp.Expr) -> Increments:
    """The scaled increments, known beyond what the order needs; E403 for those without a series."""
    scale = scale_of(rule, scaling, offset)
    growing = {z: positive(z) for z in growing_states(rule)}
    found: list[Series] = []
    problems: list[Diagnostic] = []
    rows = zip(rule.states, step_map_in_step_size(rule), scaling.powers, scaling.rates, strict=True)
    for index, (state, value, power, rate) in enumerate(rows):
        try:
            needed = power + min(rate, Fraction(1)) + order + Fraction(1, 2)
            series = _expanded(value - state, scale, growing, needed).shifted(-power)
        except NoExpansion as error:
            message = f"no continuous limit of `{state}`: {error}"
            problems.append(Diagnostic("E403", message, rule.span_of(index)))
            continue
        found.append(series)
        lowest = min(rate, Fraction(1))
        problems += [_blow_up(rule, index, e, c) for e, c in series.terms if e < lowest]
    if problems:
        raise SpecError(problems)
    return Increments(rule.states, tuple(found), scaling.rates)


def _expanded(
    increment: sp.Expr, scale: Scale, growing: dict[sp.Symbol, sp.Symbol], order: Fraction
) -> Series:
    """The series of an increment, with the states that grow known to be positive."""
    monomials = tuple((growing.get(z, z), c.xreplace(growing), e) for z, c, e in scale.monomials)
    series = expand(increment.xreplace(growing), replace(scale, monomials=monomials), order)
    back = {new: old for old, new in growing.items()}
    return Series(tuple((e, c.xreplace(back)) for e, c in series.terms), series.order)


def scale_of(rule: UpdateRule, scaling: Scaling, offset: sp.Expr = sp.S.Zero) -> Scale:
    step = (rule.step_size, sp.S.One, scaling.step_power)
    states = [
        (state, state, power)
        for state, power in zip(rule.states, scaling.powers, strict=True)
        if power != 0
    ]
    rows = zip(rule.decays, scaling.decay_powers, scaling.regimes, strict=True)
    decays = [
        (forgetting(d), forgetting(d) if regime == "inertial" else sp.S.One, power)
        for d, power, regime in rows
        if regime != "fixed"
    ]
    return Scale((step, *states, *decays), offset, frozenset((*rule.states, *rule.vectors)))


def _blow_up(rule: UpdateRule, index: int, order: Fraction, term: sp.Expr) -> Diagnostic:
    return Diagnostic(
        "E403",
        f"no continuous limit under the declared scaling: the rate of `{rule.states[index]}` "
        f"has the term {to_text(present(term))} of order Delta**({order - 1})",
        rule.span_of(index),
        "let the hyper-parameters in it vanish with the step size",
    )
