"""Signs that are the same for all positive times, step sizes and rates of decay."""

from __future__ import annotations

import sympy as sp

from optode.language.derivative import partial
from optode.language.effort import MOST_TO_CANCEL, expanded, is_modest
from optode.language.symbols import TIME

_DEEPEST = 4
"""Derivatives in time that are looked at."""


def sign_in_time(expression: sp.Expr) -> int | None:
    """Return the sign that an expression has for every t > 0; None where it is not known.

    A symbol r in exp(-r*t) is the rate of a decay, which is positive; other symbols are so only if
    SymPy knows it.
    """
    decays = (e.args[0] for e in expression.atoms(sp.exp))
    rates = {r for u in decays for r in (-u / TIME).free_symbols if (-u / TIME / r).is_positive}
    names = {s: sp.Dummy(positive=True) for s in {TIME, *rates}}
    return _sign(expression.xreplace(names), names[TIME], _DEEPEST)


def _sign(e: sp.Expr, time: sp.Symbol, depth: int) -> int | None:
    """Return the sign of an expression in positive symbols."""
    if e.is_zero:
        return 0
    if e.is_positive or e.is_negative:
        return 1 if e.is_positive else -1
    if not all(s.is_positive for s in e.free_symbols) or not is_modest(e, most=MOST_TO_CANCEL):
        return None
    if isinstance(e, sp.Mul):
        signs = [_sign(factor, time, depth) for factor in e.args]
        known = [sign for sign in signs if sign is not None]
        return int(sp.prod(known)) if len(known) == len(signs) else None
    if isinstance(e, sp.Pow) and e.exp.is_Integer:
        sign = _sign(e.base, time, depth)
        return None if sign is None else sign ** (int(e.exp) % 2 or 2)
    return _sign_of_sum(e, time, depth) if isinstance(e, sp.Add) and depth else None


def _sign_of_sum(e: sp.Expr, time: sp.Symbol, depth: int) -> int | None:
    """Return the sign of what does not start on one side of 0 and moves to the other."""
    whole = sp.factor_terms(sp.together(e))
    if not isinstance(whole, sp.Add):
        return _sign(whole, time, depth)
    first = _sign(whole.subs(time, 0), time, depth - 1)
    slope = _sign(sp.factor_terms(expanded(partial(whole, time))), time, depth - 1)
    return slope if slope is not None and first in (0, slope) and slope != 0 else None
