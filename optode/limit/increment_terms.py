"""The terms of an increment, whose sizes decide on a scaling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sympy as sp

from optode.language.conditions import branches_of, where
from optode.language.effort import cancelled, expanded, terms
from optode.language.symbols import COUNTER, At, Opaque, Reduction
from optode.rule.rule import UpdateRule

MOST_TERMS_OF_AN_INCREMENT = 1000


class TooManyTerms(ValueError):
    """An increment that is too long to be told apart into terms; the message says whose."""


@dataclass(frozen=True, slots=True)
class Term:
    """A term of the increment of a state; a self term is linear in that state alone."""

    state: int
    expression: sp.Expr
    is_self: bool


def grouped_terms(
    rule: UpdateRule, index: int, value: sp.Expr, growing: Iterable[sp.Symbol]
) -> Iterator[Term]:
    """Yield the terms of an increment, one for each product of states and calls.

    Coefficients are combined: ``(k-1)/(k+2) - 1`` is of order 1/k only as ``-3/(k+2)``. States that
    grow by themselves are coefficients too.
    """
    state = rule.states[index]
    vectors = [z for z in rule.states if z not in growing]
    groups: dict[sp.Expr, sp.Expr] = {}
    gained = increment(value, state)
    many = terms(gained).above
    if many > MOST_TERMS_OF_AN_INCREMENT:
        raise TooManyTerms(f"the increment of `{state}` has up to {many} terms, multiplied out")
    for term in sp.Add.make_args(sp.expand(gained)):
        coefficient, rest = term.as_independent(*vectors, Opaque, At, Reduction, as_Add=False)
        groups[rest] = groups.get(rest, sp.S.Zero) + coefficient
    for rest, coefficient in groups.items():
        for part in _parts(coefficient, growing):
            if part != 0:
                yield Term(index, part * rest, rest == state)


def increment(value: sp.Expr, state: sp.Symbol) -> sp.Expr:
    """Return ``value - state``, the state taken off each branch of a choice where it cancels."""
    if isinstance(value, where):
        condition, *branches = value.args
        return where(condition, *(increment(branch, state) for branch in branches))
    for term in sp.Add.make_args(value):
        if isinstance(term, where) and all(leaf.has(state) for leaf in branches_of(term)):
            return value - term + increment(term, state)
    return value - state


def _parts(coefficient: sp.Expr, growing: Iterable[sp.Symbol]) -> tuple[sp.Expr, ...]:
    """Split a coefficient into terms whose sizes can be told one by one."""
    if coefficient.has(*growing):
        return (coefficient,)
    if any(power.exp.could_extract_minus_sign() for power in coefficient.atoms(sp.Pow)):
        coefficient = cancelled(coefficient)
    return sp.Add.make_args(expanded(coefficient))


def opened(value: sp.Expr, step_size: sp.Symbol) -> sp.Expr:
    """Replace exp(-s*g) by 1 - s*g + (s*g)**2/2, and powers likewise.

    This is done where they tend to a number as the step size s goes to 0. Only sizes are read off
    the result: ``x*exp(-s*g) - x`` is of the size of ``s*x*g``.
    """

    def near_one(node: sp.Expr) -> bool:
        return node.has(step_size) and not node.has(COUNTER)

    def exponential(argument: sp.Expr) -> sp.Expr:
        small = near_one(argument) and argument.subs(step_size, 0) == 0
        return 1 + argument + argument**2 / 2 if small else sp.exp(argument)

    def power(base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        still = base.subs(step_size, 0) if near_one(base) and exponent.is_number else sp.S.Zero
        if not still.is_number or not still.is_positive or (exponent.is_Integer and exponent > 0):
            return base**exponent
        small = expanded(base / still - 1)
        series = 1 + exponent * small + exponent * (exponent - 1) / 2 * small**2
        return still**exponent * series

    return value.replace(sp.exp, exponential).replace(sp.Pow, power)
