"""The reduced system: the fields of the slow states on the manifold that the fast ones follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import sympy as sp

from optode.calculus.series import NoExpansion, Series
from optode.calculus.tangent import derivative_along, substituted
from optode.diagnostics import Diagnostic, SpecError
from optode.language.effort import expanded, solutions
from optode.language.elementwise import reaches, relu
from optode.language.symbols import TIME, operators_in
from optode.language.text import to_text
from optode.limit.deciding import remainders
from optode.limit.increments import Increments
from optode.limit.modified_equation import modified_fields
from optode.limit.scaled_rule import ScaledRule
from optode.limit.second_order import second_order_form
from optode.limit.slow_manifold import (
    SlowManifold,
    next_on_manifold,
    reduced_increments,
    slow_manifold,
)
from optode.limit.turning import NotContracting
from optode.rule.rule import UpdateRule


@dataclass(frozen=True, slots=True)
class Reduced:
    """``z' = f0 + Delta f1 + ...`` of the slow states z, and the manifold of the fast ones.

    ``fields[n]`` holds f_n, one expression for each slow state, ``second_order`` x'' in x, x' and t
    for each order, or None. Time is ``t = (k + offset) Delta``.
    """

    increments: Increments
    manifold: SlowManifold
    fields: tuple[tuple[sp.Expr, ...], ...]
    second_order: tuple[sp.Expr, ...] | None = None
    offset: sp.Expr = sp.S.Zero

    @property
    def slow(self) -> tuple[sp.Symbol, ...]:
        """The states of the reduced system."""
        return self.increments.slow

    @property
    def order(self) -> int:
        """The power of Delta up to which the fields are known."""
        return len(self.fields) - 1


def on_manifold(scaled: ScaledRule, order: int) -> Reduced:
    """Eliminate the fast states of a rule; take the fields of the others up to an order.

    Raises SpecError (E403) where a fast state does not settle, and (E405) where there is no next
    order in powers of Delta.
    """
    if order:
        _refuse_what_has_no_next_order(scaled.rule)
    kappa = sp.Dummy("kappa", real=True) if order and scaled.rule.has_counter else sp.S.Zero
    increments = scaled.increments(order, kappa)
    manifold = _manifold(scaled.rule, increments)
    fields = _fields(scaled, increments, manifold, order)
    fields[0] = _within_bounds(increments, fields[0], manifold)
    second = second_order_form(increments.slow, fields)
    reduced = Reduced(increments, manifold, tuple(fields), second)
    return reduced if kappa == 0 else _at_best_offset(reduced, kappa)


def _refuse_what_has_no_next_order(rule: UpdateRule) -> None:
    if operators_in(rule.step_map):
        message = "no next order: nothing is known of the derivatives of the rule's own operators"
    elif rule.bounds:
        message = "no next order: a maximum is smooth only between its switches"
    else:
        return
    raise SpecError([Diagnostic("E405", message, rule.span_of(0))])


def _manifold(rule: UpdateRule, increments: Increments) -> SlowManifold:
    try:
        return slow_manifold(increments)
    except NotContracting as error:
        message = f"no continuous limit: {error}"
        raise SpecError([Diagnostic("E403", message, rule.span_of(0))]) from error


def _leading_fields(
    rule: UpdateRule, increments: Increments, manifold: SlowManifold
) -> list[sp.Expr]:
    try:
        return reduced_increments(increments, manifold, None)[0]
    except NotContracting as error:
        message = f"no continuous limit: {error}"
        raise SpecError([Diagnostic("E403", message, rule.span_of(0))]) from error


def _fields(
    scaled: ScaledRule, increments: Increments, manifold: SlowManifold, order: int
) -> list[tuple[sp.Expr, ...]]:
    """Return the fields f0, ..., f_order of the slow states on the manifold."""
    slow, vectors = increments.slow, scaled.rule.vectors
    fields = _leading_fields(scaled.rule, increments, manifold)
    if order == 0:
        return [tuple(fields)]
    if periodic := remainders(scaled.rule.step_map):
        message = f"no terms of order {order}: the limit is the mean over `{to_text(periodic[0])}`"
        raise SpecError([Diagnostic("E405", message, scaled.rule.span_of(0))])
    exponents = (e for series in increments.series for e, _ in series.terms if e <= order + 1)
    whole = all(e.denominator == 1 for e in exponents)
    if not scaled.scaling.is_distinguished or not whole or (manifold.fast and order > 1):
        message = f"no terms of order {order}: the rule is no series in whole powers of Delta here"
        raise SpecError([Diagnostic("E405", message, scaled.rule.span_of(0))])
    if not manifold.fast:
        return modified_fields(increments.series, slow, order, vectors)
    rates = {**dict(zip(slow, fields, strict=True)), TIME: sp.S.One}
    try:
        correction = next_on_manifold(increments, manifold, rates)
        moved = dict(zip(manifold.fast, correction, strict=True))
        pairs = list(zip(*reduced_increments(increments, manifold, moved), strict=True))
    except (NotContracting, NoExpansion) as error:
        message = f"no terms of order {order}: {error}"
        raise SpecError([Diagnostic("E405", message, scaled.rule.span_of(0))]) from error
    series = [Series(((Fraction(1), a), (Fraction(2), b)), Fraction(3)) for a, b in pairs]
    return modified_fields(series, slow, order, vectors)


def _within_bounds(
    increments: Increments, fields: tuple[sp.Expr, ...], manifold: SlowManifold
) -> tuple[sp.Expr, ...]:
    """Keep the slow states within bounds B: free inside, and on B not slower than it moves.

    With a floor ``w' = a`` where w > B and ``w' = max(a, B')`` where w = B, the complementarity
    system of the running supremum; with a ceiling the same of -w. Between two only one is reached.
    """
    slow = increments.slow
    rates = {**dict(zip(slow, fields, strict=True)), TIME: sp.S.One}
    bounds = {
        z: bound.each(partial(substituted, values=manifold.graph, vectors=slow))
        for z, bound in increments.bounds.items()
        if z in slow
    }
    sides = [(z, *side) for z, bound in bounds.items() for side in bound.sides]
    inside: dict[sp.Expr, sp.Expr] = {relu(sign * (b - z)): sp.S.Zero for z, sign, b in sides}
    inside |= {bound.clip(z): z for z, bound in bounds.items()}
    free = {z: f.xreplace(inside).xreplace(inside) for z, f in rates.items()}  # inner ones first
    alone = dict(free)
    for z, sign, b in sides:
        push = relu(sign * (derivative_along(b, free) - alone[z]))
        free[z] += sign * reaches(sign * (b - z)) * push
    return tuple(free[z] for z in slow)


def _at_best_offset(reduced: Reduced, kappa: sp.Symbol) -> Reduced:
    """Choose kappa in ``t = (k + kappa) Delta`` such that no term ``Delta x'/t^2`` is left.

    Zero where the equation has no such term whatever kappa is. The terms of leading order do not
    depend on kappa, so that the increments and the manifold are those of any offset.
    """
    next_order = reduced.second_order[1] if reduced.second_order else sp.Add(*reduced.fields[1])
    poles = expanded(next_order).coeff(TIME, -2)
    roots = solutions(poles, kappa) if poles.has(kappa) else []
    constant = len(roots) == 1 and not roots[0].has(TIME, *reduced.increments.states)
    offset = roots[0] if constant else sp.S.Zero
    chosen = {kappa: offset}
    second = reduced.second_order
    return replace(
        reduced,
        fields=tuple(tuple(e.xreplace(chosen) for e in field) for field in reduced.fields),
        second_order=second and tuple(e.xreplace(chosen) for e in second),
        offset=offset,
    )
