"""Functions that bend or jump exactly on the slow manifold, where no slope tells of them.

As in ``abs(gp - grad(x))`` of a stored gradient gp that settles at ``grad(x)``: there only what is
left of the next order in Delta decides. A kink has a value and one-sided slopes there, a jump
neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

import sympy as sp

from optode.calculus.expansion import expand_at
from optode.calculus.series import Series
from optode.calculus.tangent import derivative_along, substituted
from optode.language.conditions import written
from optode.language.effort import is_zero
from optode.language.elementwise import step
from optode.language.functions import borders, kinds
from optode.language.record import Smoothness
from optode.language.text import to_text

Graph = Mapping[sp.Symbol, sp.Expr]
"""Each fast state as a function of the slow ones."""

_SIDES = (sp.Rational(-1), sp.S.Zero, sp.S.One)


class NotContracting(ValueError):
    """A fast state does not settle, or not where a value is known; the message names it."""


def turning(
    expression: sp.Expr, graph: Graph, states: Iterable[sp.Symbol], *smoothness: Smoothness
) -> Iterator[tuple[sp.Expr, sp.Expr]]:
    """Yield the calls that turn all along the manifold, each with the border that vanishes there.

    A root of what vanishes is a kink, too.
    """
    vectors = tuple(states)
    calls = sorted(expression.atoms(*kinds(*smoothness)), key=sp.default_sort_key)
    found = [(call, border) for call in calls for border in borders([call])]
    if "kink" in smoothness:
        powers = sorted(expression.atoms(sp.Pow), key=sp.default_sort_key)
        found += [(p, p.base) for p in powers if not p.exp.is_Integer]
    for call, border in found:
        if border.has(*graph) and is_zero(substituted(border, graph, vectors)):
            yield call, border


def refuse_jumps(
    state: sp.Symbol, value: sp.Expr, graph: Graph, states: Iterable[sp.Symbol]
) -> None:
    """Raise NotContracting where a value of a state jumps all along the manifold."""
    vectors = tuple(states)
    for call, border in turning(value, graph, vectors, "jump", "contact"):
        values = [value.xreplace({call: side}) for side in _SIDES]
        sides = [substituted(value, graph, vectors) for value in values]
        if any(not is_zero(side - sides[0]) for side in sides[1:]):
            shown = written(call, to_text) if isinstance(call, step) else to_text(call)
            raise NotContracting(
                f"`{state}` turns on `{shown}`, and `{to_text(border)}` vanishes with the step "
                "size: only terms of next order decide"
            )


def first_beside(
    expression: sp.Expr, graph: Graph, moved: Graph, slow: Iterable[sp.Symbol]
) -> sp.Expr:
    """Return the coefficient of Delta of an expression at ``w = graph + Delta*moved``.

    Raises NoExpansion where it has none.
    """
    states = tuple(slow)
    still = dict.fromkeys(states, sp.S.Zero)
    if not any(turning(expression, graph, states, "kink", "jump", "contact")):
        return substituted(derivative_along(expression, {**still, **moved}), graph, states)
    leaves = {z: Series.monomial(z) for z in states}
    for w, h0 in graph.items():
        leaves[w] = Series.of({Fraction(0): h0, Fraction(1): moved[w]}, Fraction(2))
    return expand_at(expression, leaves, Fraction(3, 2)).coefficient(Fraction(1))
