"""The continuous limit of an update rule: ``(Phi - z) / Delta`` as the step size goes to zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from optode.calculus.singular_start import runs_away
from optode.diagnostics import Diagnostic, SpecError
from optode.language.numbers import number_problem
from optode.limit.initial_values import (
    initial_values,
    leading_starts,
    notes_on,
    singular_times,
    standstill,
    start_singularities,
)
from optode.limit.reduction import Reduced, on_manifold
from optode.limit.scaled_rule import ScaledRule
from optode.limit.scaling import Scaling
from optode.limit.writing import Writer
from optode.rule.rule import UpdateRule


@dataclass(frozen=True, slots=True)
class ContinuousLimit:
    """``z' = F(z, t)`` with ``t = (k + offset) Delta``; states keep the author's names.

    ``step`` is Delta as a power of the step size and ``scales`` what one unit of each state stands
    for (``v`` of the rule is ``sqrt(s) v`` of the limit); both are None for a model given as an
    ODE. ``initial`` holds the value of each state at t = 0: a symbol ``x0`` for the position, the
    scaled start of the others. ``manifold`` gives the fast states in terms of the others and
    ``second_order`` x'' in x, x' and t where there is such an equation. ``singular_times`` are the
    times where the vector field has a pole. With ``is_matrix`` the position has rows and columns.
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
    is_matrix: bool = False

    def __post_init__(self) -> None:
        if not len(self.states) == len(self.equations) == len(self.initial):
            raise ValueError("one equation and one initial value for each state")


@lru_cache(maxsize=16)
def continuous_limit(rule: UpdateRule, scaling: Scaling, order: int = 0) -> ContinuousLimit:
    """Take the limit of a rule under a scaling, with terms of the modified equation up to an order.

    Each state's increment is expanded in Delta; states that move faster than the position are
    eliminated on their slow manifold; the coefficient of Delta is the vector field. Raises
    SpecError (E403) where a term is of lower order and so blows up, has no expansion, or a fast
    state does not settle, and (E405) where there is no next order in powers of Delta.
    """
    scaled = ScaledRule(rule, scaling)
    return written(on_manifold(scaled, order), scaled)


def written(reduced: Reduced, scaled: ScaledRule) -> ContinuousLimit:
    """Write a reduced system in the author's names, with its start and what is singular there."""
    write = Writer(scaled, reduced.slow)
    equations = tuple(map(write.series, zip(*reduced.fields, strict=True)))
    start = initial_values(reduced, scaled)
    initial = tuple(map(write, start.values))
    _check_numbers(scaled.rule, dict(zip(reduced.slow, equations, strict=True)))
    poles, roots = start_singularities(reduced.slow, equations, initial)
    times = {*singular_times(equations), *poles}
    if sp.S.Zero in times:
        _check_start(reduced, scaled)
    return ContinuousLimit(
        name=scaled.rule.name,
        states=reduced.slow,
        equations=equations,
        initial=initial,
        step=scaled.scaling.unit,
        scales=tuple(map(write.scale, reduced.slow)),
        offset=reduced.offset,
        manifold=tuple((w, write.in_the_rule(w, h)) for w, h in reduced.manifold.graph.items()),
        second_order=reduced.second_order and write.series(reduced.second_order),
        singular_times=tuple(sorted(times, key=str)),
        notes=(
            *roots,
            *notes_on(scaled.rule, start),
            *standstill(reduced.slow, equations),
        ),
        is_matrix=scaled.rule.is_matrix,
    )


def _check_start(reduced: Reduced, scaled: ScaledRule) -> None:
    """Raise SpecError (E403) where no solution starts at a pole at t = 0."""
    rule = scaled.rule
    if runs_away(reduced.slow, reduced.fields[0], leading_starts(reduced, scaled)):
        message = (
            f"no continuous limit: `{rule.position}` moves without bound in the first steps: its "
            "rate begins like 1/t, which has no integral from t = 0"
        )
        hint = "divide by the bias 1 - beta**k only what it is in: an average from 0"
        raise SpecError([Diagnostic("E403", message, rule.span_of(0), hint)])


def _check_numbers(rule: UpdateRule, equations: Mapping[sp.Symbol, sp.Expr]) -> None:
    """Raise SpecError (E403) for equations with constants that are no floats."""
    found = []
    for state, equation in equations.items():
        if problem := number_problem(equation):
            span = rule.span_of(rule.states.index(state))
            found.append(Diagnostic("E403", f"no continuous limit: {state}' {problem}", span))
    if found:
        raise SpecError(found)
