"""States that grow by themselves: FISTA's theta, which nothing but its own recursion moves."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import sympy as sp

from optode.calculus.expansion import Scale, expand
from optode.calculus.series import NoExpansion
from optode.language.numbers import real_value
from optode.language.symbols import Opaque, Reduction
from optode.rule.rule import UpdateRule

_TRIAL_STEPS = 400
_LARGE = 10**12


@lru_cache(maxsize=32)
def growing_states(rule: UpdateRule) -> dict[sp.Symbol, Fraction]:
    """Find the states that depend on themselves alone and grow like a power of k: FISTA's theta.

    ``theta+ = theta + c theta^q + ...`` has the size ``Delta^(-1/(1-q))``. Whether a recursion
    grows is seen by carrying it out, which needs a start and coefficients that are numbers.
    """
    powers: dict[sp.Symbol, Fraction] = {}
    starts = dict(rule.start)
    for state, value in zip(rule.states[1:], rule.step_map[1:], strict=True):
        start = starts.get(state, sp.S.Zero)
        if value.free_symbols == {state} and start.is_number and _grows(state, value, start):
            theta = positive(state)
            scale = Scale(((theta, theta, Fraction(-1)),))
            try:
                increment = value.xreplace({state: theta}) - theta
                exponent = expand(increment, scale, Fraction(1)).leading[0]
            except NoExpansion:
                continue
            if exponent > -1:
                powers[state] = -1 / (1 + exponent)
    return powers


def positive(state: sp.Symbol) -> sp.Symbol:
    """Return the state as a positive symbol: a growing state is positive in the end."""
    return sp.Symbol(state.name, positive=True)


def _grows(state: sp.Symbol, value: sp.Expr, start: sp.Expr) -> bool:
    """Carry the recursion out in numbers: it has to stay positive, and to go on growing."""
    if value.has(Opaque, Reduction):
        return False
    reached: list[sp.Expr] = []
    now = real_value(start, {})
    while now is not None and 0 <= now < _LARGE and len(reached) <= _TRIAL_STEPS:
        reached.append(now)
        now = real_value(value, {state: now})
    if len(reached) <= _TRIAL_STEPS or 0 in reached[1:]:
        return False
    return bool(reached[-1] > 1.1 * reached[_TRIAL_STEPS // 2 + 1] > 1.0)
