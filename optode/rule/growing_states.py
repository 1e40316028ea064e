"""What the naive size of an expression misses: cancellation at small steps, coefficients that grow."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from optode.calculus.expansion import Scale, expand
from optode.calculus.series import NoExpansion
from optode.language.functions import by_formula
from optode.language.symbols import COUNTER
from optode.rule.rule import UpdateRule

_TRIAL_STEPS = 400


def opened(value: sp.Expr, step_size: sp.Symbol) -> sp.Expr:
    """Exponentials and powers that are 1 at step size 0, by their series to second order.

    Only sizes are read off the result: ``x*exp(-s*g) - x`` is of the size of ``s*x*g``.
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
        small = sp.expand(base / still - 1)
        series = 1 + exponent * small + exponent * (exponent - 1) / 2 * small**2
        return still**exponent * series

    return value.replace(sp.exp, exponential).replace(sp.Pow, power)


def growing_states(rule: UpdateRule) -> dict[sp.Symbol, Fraction]:
    """States that depend on nothing but themselves and grow like a power of k, as FISTA's theta.

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
    """The state as a positive number, which a growing one is in the end."""
    return sp.Symbol(state.name, positive=True)


def _grows(state: sp.Symbol, value: sp.Expr, start: sp.Expr) -> bool:
    step = sp.lambdify(state, by_formula(value), "math")
    halfway = end = float(start)
    for k in range(_TRIAL_STEPS):
        end = step(end)
        halfway = end if k == _TRIAL_STEPS // 2 else halfway
        if not 0 < end < 1e12:
            return False
    return end > 1.1 * halfway > 1.0
