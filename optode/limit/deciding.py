"""What becomes of conditions in the limit: decided by small steps, or averaged over a period."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from math import lcm

import sympy as sp

from optode.calculus.choices import leading_condition
from optode.calculus.expansion import Scale, expand
from optode.calculus.series import NoExpansion
from optode.diagnostics import Diagnostic
from optode.language.conditions import PYTHON, opposite, remainder, value_nodes, where, written
from optode.language.symbols import COUNTER
from optode.language.text import to_text
from optode.rule.rule import UpdateRule

LONGEST_PERIOD = 64
"""Steps over which a rule is averaged."""

PERIODIC_HINT = (
    "what is done every few steps is averaged, which needs small changes: give them a factor of "
    "the step size, or state the rule for a whole period"
)


def as_k_grows(choice: sp.Expr) -> sp.Expr:
    """Return the branch of a choice by the counter alone that is taken in the end, else the choice."""
    condition, *branches = choice.args
    settled = None if condition.free_symbols != {COUNTER} else _settled(condition, Scale(()))
    return choice if settled is None else where(settled, *branches)


def _settled(condition: sp.Expr, scale: Scale) -> sp.Expr | None:
    """Return 1 or 0 for a condition that is decided in the limit; None for any other."""
    try:
        found = leading_condition(condition, lambda u: expand(u, scale, Fraction(1)))
    except NoExpansion:
        return None
    return found if found.is_number else None


# Periodic conditions


def remainders(values: Iterable[sp.Expr]) -> list[sp.Expr]:
    """Return the remainders of the counter in expressions, in the order of their texts."""
    return sorted({node for value in values for node in value.atoms(remainder)}, key=to_text)


def period_of(values: Iterable[sp.Expr]) -> int:
    """Return after how many steps the remainders in expressions come again."""
    return lcm(*(int(node.args[1]) for node in remainders(values)))


def periodic_errors(rule: UpdateRule) -> Iterator[Diagnostic]:
    """Yield an error for each state that changes every few steps."""
    for index, (state, value) in enumerate(zip(rule.states, rule.step_map, strict=True)):
        for node in remainders([value])[:1]:
            message = f"no continuous limit: `{state}` goes on changing with `{to_text(node)}`"
            yield Diagnostic("E408", message, rule.span_of(index), PERIODIC_HINT)


def phases(value: sp.Expr) -> list[sp.Expr]:
    """Return an expression in each phase of its period, which is 1 without remainders.

    Raises NoExpansion where the period is too long.
    """
    found, period = remainders([value]), period_of([value])
    if period > LONGEST_PERIOD:
        raise NoExpansion(f"a period of {period} steps is longer than {LONGEST_PERIOD}")
    return [
        value.xreplace({r: remainder(r.args[0].subs(COUNTER, j), r.args[1]) for r in found})
        for j in range(period)
    ]


# The first steps


def first_steps(
    value: sp.Expr, state: sp.Symbol, scale: Scale, resting: Iterable[sp.Symbol]
) -> str | None:
    """Return a condition that holds in the first steps alone and changes a state by order 1 there.

    In the limit it never holds, and its effect would be lost. ``resting`` are the states that are
    still small then: they start at 0.
    """
    small = set(resting)
    monomials = tuple((s, c, e + 1 if s in small else e) for s, c, e in scale.monomials)
    scaled = {s for s, _, _ in monomials}
    monomials += tuple((s, s, Fraction(1)) for s in small - scaled)
    own = {s: e for s, _, e in scale.monomials}.get(state, Fraction(0))
    choices = {node for node in value_nodes(value) if isinstance(node, where)}
    for choice in sorted(choices, key=sp.default_sort_key):
        condition, a, b = choice.args
        settled = _settled(condition, scale) if condition.has(COUNTER) else None
        if settled is None:
            continue
        early = value.xreplace({choice: b if settled == 1 else a}) - state
        early = early.xreplace({COUNTER: sp.Dummy(positive=True)})
        try:
            series = expand(early, replace(scale, monomials=monomials), own + 1)
        except NoExpansion:
            series = None
        if series is None or (series.terms and series.terms[0][0] < own + 1):
            early_condition = opposite(condition) if settled == 1 else condition
            return written(early_condition, to_text, PYTHON)
    return None
