"""The terms of an increment, whose sizes decide on a scaling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sympy as sp

from optode.language.symbols import At, Opaque, dot
from optode.rule.rule import UpdateRule


@dataclass(frozen=True, slots=True)
class Term:
    """A term of the increment of a state; a self term is linear in that state alone."""

    state: int
    expression: sp.Expr
    is_self: bool


def grouped_terms(
    rule: UpdateRule, index: int, value: sp.Expr, growing: Iterable[sp.Symbol]
) -> Iterator[Term]:
    """The terms of an increment, one for each product of states and calls, coefficients combined.

    Combining matters: ``(k-1)/(k+2) - 1`` is of order 1/k only as ``-3/(k+2)``. States that grow by
    themselves are coefficients too.
    """
    state = rule.states[index]
    vectors = [z for z in rule.states if z not in growing]
    groups: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(sp.expand(value - state)):
        coefficient, rest = term.as_independent(*vectors, Opaque, At, dot, as_Add=False)
        groups[rest] = groups.get(rest, sp.S.Zero) + coefficient
    for rest, coefficient in groups.items():
        for part in _parts(coefficient, growing):
            if part != 0:
                yield Term(index, part * rest, rest == state)


def _parts(coefficient: sp.Expr, growing: Iterable[sp.Symbol]) -> tuple[sp.Expr, ...]:
    """The terms of a coefficient whose sizes can be told one by one."""
    if coefficient.has(*growing):
        return (coefficient,)
    if any(power.exp.could_extract_minus_sign() for power in coefficient.atoms(sp.Pow)):
        coefficient = sp.cancel(sp.together(coefficient))
    return sp.Add.make_args(sp.expand(coefficient))
