"""The continuous limit of an update rule: ``(Phi - z) / Delta`` as the step size goes to zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from optode.calculus.expansion import expand
from optode.calculus.series import Series
from optode.calculus.tangent import derivative_along, substituted
from optode.diagnostics import Diagnostic, SpecError
from optode.language.presentation import collected, present
from optode.language.symbols import TIME, Oracle, reaches, relu
from optode.limit.in_step_size import forgetting, in_step_size
from optode.limit.increments import increments_of, scale_of
from optode.limit.initial_values import (
    initial_values,
    notes_on,
    singular_times,
    standstill,
    start_singularities,
)
from optode.limit.modified_equation import modified_fields
from optode.limit.scaling import Scaling
from optode.limit.second_order import second_order_form, velocity_symbol
from optode.limit.slow_manifold import (
    Increments,
    NotContracting,
    SlowManifold,
    next_on_manifold,
    reduced,
    slow_manifold,
)
from optode.rule.rule import UpdateRule


@dataclass(frozen=True, slots=True)
class ContinuousLimit:
    """``z' = F(z, t)`` with ``t = (k + offset) Delta``; states keep the author's names.

    ``step`` is Delta as a power of the step size and ``scales`` what one unit of each state stands
    for (``v`` of the rule is ``sqrt(s) v`` of the limit); both are None for a model given as an
    ODE. ``initial`` holds the value of each state at t = 0: a symbol ``x0`` for the position, the
    scaled start of the others. ``manifold`` gives the fast states in terms of the others and
    ``second_order`` x'' in x, x' and t where there is such an equation. ``singular_times`` are the
    times where the vector field has a pole.
    """

    name: str
    states: tuple[sp.Symbol, ...]
    equations: tuple[sp.Expr, ...]
    initial: tuple[sp.Expr, ...]
    step: sp.Expr | None = None
    scales: tuple[sp.Expr, ...] | None = None
    offset: sp.Expr = sp.S.Zero
    manifold: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
    second_order: sp.Expr | None = None
    singular_times: tuple[sp.Expr, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.states) == len(self.equations) == len(self.initial):
            raise ValueError("one equation and one initial value for each state")


def continuous_limit(rule: UpdateRule, scaling: Scaling, order: int = 0) -> ContinuousLimit:
    """The rule's limit under a scaling, with the terms of the modified equation up to an order.

    Each state's increment is expanded in Delta; states that move faster than the position are
    eliminated on their slow manifold; the coefficient of Delta is the vector field. Raises
    SpecError (E403) where a term is of lower order and so blows up, has no expansion, or a fast
    state does not settle, and (E405) where there is no next order in powers of Delta.
    """
    if order:
        _refuse_what_has_no_next_order(rule)
    offset = _time_offset(rule, scaling) if order and rule.has_counter else sp.S.Zero
    increments = increments_of(rule, scaling, order, offset)
    manifold = _manifold(rule, increments)
    fields = _fields(rule, scaling, increments, manifold, order)
    fields[0] = _above_floors(rule, scaling, increments, fields[0], manifold)
    named = _Naming(rule, scaling)
    vectors = (*increments.slow, *rule.vectors, velocity_symbol(rule.position))
    orders = [[present(named(collected(e, vectors))) for e in field] for field in fields]
    equations = [_in_powers(terms, scaling.unit) for terms in zip(*orders, strict=True)]
    second = second_order_form(increments.slow, fields)
    initial = tuple(
        named(collected(value, vectors))
        for value in initial_values(rule, scaling, increments, manifold, order)
    )
    poles, roots = start_singularities(increments.slow, equations, initial)
    return ContinuousLimit(
        name=rule.name,
        states=increments.slow,
        equations=tuple(equations),
        initial=initial,
        step=scaling.unit,
        scales=_scales(rule, scaling, increments.slow),
        offset=offset,
        manifold=tuple(
            (w, present(scale * named(collected(h, vectors))))
            for (w, h), scale in zip(
                manifold.graph.items(), _scales(rule, scaling, manifold.fast), strict=True
            )
        ),
        second_order=second
        and _in_powers([present(named(collected(e, vectors))) for e in second], scaling.unit),
        singular_times=tuple(sorted({*singular_times(equations), *poles}, key=str)),
        notes=(
            *roots,
            *notes_on(rule, scaling, increments, manifold, order),
            *standstill(increments.slow, equations),
        ),
    )


def _refuse_what_has_no_next_order(rule: UpdateRule) -> None:
    if any(value.has(Oracle) for value in rule.step_map):
        message = "no next order: nothing is known of the derivatives of the rule's own operators"
    elif rule.floors:
        message = "no next order: a maximum is smooth only between its switches"
    else:
        return
    raise SpecError([Diagnostic("E405", message, rule.span_of(0))])


def _above_floors(
    rule: UpdateRule,
    scaling: Scaling,
    increments: Increments,
    fields: tuple[sp.Expr, ...],
    manifold: SlowManifold,
) -> tuple[sp.Expr, ...]:
    """The fields of states with a floor B: free above it, on it at least as fast as it rises.

    ``w' = a`` where w > B and ``w' = max(a, B')`` where w = B: the complementarity system of the
    running supremum.
    """
    slow = increments.slow
    rates = {**dict(zip(slow, fields, strict=True)), TIME: sp.S.One}
    scale = scale_of(rule, scaling)
    powers = dict(zip(rule.states, scaling.powers, strict=True))
    levels = {}
    for state, floor in rule.floors.items():
        series = expand(in_step_size(rule, floor), scale, powers[state] + 1)
        levels[state] = substituted(series.coefficient(powers[state]), manifold.graph, slow)
    above = {relu(level - state): sp.S.Zero for state, level in levels.items()}
    free = {z: field.xreplace(above) for z, field in rates.items()}
    for state, level in levels.items():
        push = relu(derivative_along(level, free) - free[state])
        free[state] += reaches(level - state) * push
    return tuple(free[z] for z in slow)


def _manifold(rule: UpdateRule, increments: Increments) -> SlowManifold:
    try:
        return slow_manifold(increments)
    except NotContracting as error:
        message = f"no continuous limit: {error}"
        raise SpecError([Diagnostic("E403", message, rule.span_of(0))]) from error


def _fields(
    rule: UpdateRule,
    scaling: Scaling,
    increments: Increments,
    manifold: SlowManifold,
    order: int,
) -> list[tuple[sp.Expr, ...]]:
    """f0, ..., f_order of the slow states."""
    fields, _ = reduced(increments, manifold, None)
    if order == 0:
        return [tuple(fields)]
    whole = all(e.denominator == 1 for s in increments.series for e, _ in s.terms if e <= order + 1)
    if not scaling.is_distinguished or not whole or (manifold.fast and order > 1):
        message = f"no terms of order {order}: the rule is no series in whole powers of Delta here"
        raise SpecError([Diagnostic("E405", message, rule.span_of(0))])
    if not manifold.fast:
        return modified_fields(increments.series, increments.slow, order, rule.vectors)
    rates = {**dict(zip(increments.slow, fields, strict=True)), TIME: sp.S.One}
    correction = next_on_manifold(increments, manifold, rates)
    first, second = reduced(increments, manifold, dict(zip(manifold.fast, correction, strict=True)))
    pairs = zip(first, second, strict=True)
    series = [Series(((Fraction(1), a), (Fraction(2), b)), Fraction(3)) for a, b in pairs]
    return modified_fields(series, increments.slow, order, rule.vectors)


def _in_powers(terms: Iterable[sp.Expr], unit: sp.Expr) -> sp.Expr:
    """``f0 + Delta f1 + ...``, the orders kept apart."""
    return sp.Add(*(term * unit**n for n, term in enumerate(terms)))


def _time_offset(rule: UpdateRule, scaling: Scaling) -> sp.Expr:
    """kappa in ``t = (k + kappa) Delta``: the one that removes ``Delta x'/t^2`` from the equation.

    Zero where the equation has no such term whatever kappa is.
    """
    kappa = sp.Dummy("kappa", real=True)
    increments = increments_of(rule, scaling, 1, kappa)
    manifold = _manifold(rule, increments)
    fields = _fields(rule, scaling, increments, manifold, 1)
    second = second_order_form(increments.slow, fields)
    expression = second[1] if second else sp.Add(*fields[1])
    poles = sp.expand(expression).coeff(TIME, -2)
    roots = sp.solve(poles, kappa) if poles.has(kappa) else []
    constant = len(roots) == 1 and not roots[0].has(TIME, *rule.states)
    return roots[0] if constant else sp.S.Zero


class _Naming:
    """Results in the author's names: ``1 - beta`` for what a fixed decay forgets."""

    def __init__(self, rule: UpdateRule, scaling: Scaling) -> None:
        fixed = zip(rule.decays, scaling.regimes, strict=True)
        self.names = {forgetting(d): 1 - d for d, regime in fixed if regime == "fixed"}

    def __call__(self, expression: sp.Expr) -> sp.Expr:
        return expression.xreplace(self.names)


def _scales(
    rule: UpdateRule, scaling: Scaling, states: tuple[sp.Symbol, ...]
) -> tuple[sp.Expr, ...]:
    """What one unit of each state of the limit is in the rule, as a power of Delta's unit."""
    powers = dict(zip(rule.states, scaling.powers, strict=True))
    return tuple(sp.powdenest(scaling.unit ** _rational(powers[s]), force=True) for s in states)


def _rational(number: Fraction) -> sp.Rational:
    return sp.Rational(number.numerator, number.denominator)
