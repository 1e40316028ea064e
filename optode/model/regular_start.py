"""Where a module begins at a singular start."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from optode.calculus.singular_start import at_start, regular_branch
from optode.language.mutual import in_terms_of_the_rest
from optode.language.symbols import TIME, Tangent


def regular_start(
    states: Sequence[sp.Symbol], equations: Sequence[sp.Expr], initial: Sequence[sp.Expr | None]
) -> tuple[sp.Expr, ...]:
    """Return the states shortly after a singular start, in time and the position, where they are known.

    ``initial`` holds the starts that are written. Nothing is known where the field's derivative in
    time is needed, which no module has.
    """
    at_zero = {TIME: sp.S.Zero}
    rows = zip(states[1:], initial[1:], strict=True)
    starts = {z: (start or sp.S.Zero).xreplace(at_zero) for z, start in rows}
    branch = regular_branch(states, equations, [*in_terms_of_the_rest(starts).values()])
    found = tuple(at_start(state.expression) for state in branch or ())
    tangents = set[sp.Basic]().union(*(value.atoms(Tangent) for value in found))
    in_time = any(isinstance(u, sp.Tuple) for node in tangents for u in node.args[1:])
    return () if in_time else found
