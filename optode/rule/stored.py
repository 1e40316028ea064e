"""States that hold a quantity of the step before, and are read with a gain of one over the step size.

``last[k+1] = grad(x[k])`` is ``grad(x[k-1])`` at the next step. In ``(grad(x[k]) - last[k])/s`` the
difference of the two is what counts: as a lag it is a Jacobian product.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sympy as sp

from optode.language.effort import written_out
from optode.language.symbols import At

Values = Mapping[sp.Expr, sp.Expr]


def with_lags_for_stored(
    step: Values, states: tuple[sp.Symbol, ...], step_size: sp.Symbol, formulas: Values
) -> dict[sp.Expr, sp.Expr]:
    """Read the lag in place of each state that stores a function of the position, where that counts.

    It counts where an assignment divides by what vanishes with the step size. Where a state starts
    elsewhere than at what it stores, the first step differs: the check of the limit tells whether
    that counts.
    """
    found = dict(step)
    definitions = {z: value for z, value in step.items() if isinstance(z, sp.Symbol)}
    for state in states[1:]:
        value = _written_out(step[At(state, 1)], definitions)
        if value is None or value.free_symbols != {states[0]} or value.atoms(At):
            continue
        if not _has_gain(state, [*step.values()], definitions, (step_size, formulas)):
            continue
        before = value.xreplace({states[0]: At(states[0], -1)})
        read = {state: before, At(state, 1): value}
        found = {z: v.xreplace(read) for z, v in found.items()}
    return found


def _has_gain(
    state: sp.Symbol,
    values: Iterable[sp.Expr],
    definitions: Values,
    sizes: tuple[sp.Symbol, Values],
) -> bool:
    """Return whether a value reads a state, and divides by what vanishes with the step size."""
    step_size, formulas = sizes
    for value in values:
        whole = _written_out(value, definitions)
        if whole is None or not whole.has(state):
            continue
        for power in whole.xreplace(dict(formulas)).atoms(sp.Pow):
            if power.exp.is_negative and power.base.subs(step_size, 0) == 0:
                return True
    return False


def _written_out(value: sp.Expr, definitions: Values) -> sp.Expr | None:
    """Put the definitions in; None where that is long or does not end."""
    for _ in range(len(definitions) + 1):
        if not value.has(*definitions):
            return value
        extents = {z: written_out(v, {}) for z, v in definitions.items()}
        if not written_out(value, extents).is_modest:
            return None
        value = value.xreplace(dict(definitions))
    return None
