"""Integrals over time in closed form, and the growth that a rate makes."""

from __future__ import annotations

import sympy as sp

from optode.language.effort import MOST_TO_SOLVE, expanded, is_short
from optode.language.symbols import TIME


def growth(
    rate: sp.Expr, start: sp.Expr, end: sp.Expr, times: sp.Expr = sp.S.One
) -> sp.Expr | None:
    """Return ``exp`` of the integral of ``times*rate``; a pole gives a power: ``(t0/T)**3``.

    None without a closed form.
    """
    poles, rest = _poles(rate)
    falls = poles.could_extract_minus_sign()
    power = (start / end if falls else end / start) ** (times * (-poles if falls else poles))
    gained = integral(rest, start, end)
    return None if gained is None else power * exponential(times * gained)


def integral(rate: sp.Expr, start: sp.Expr, end: sp.Expr) -> sp.Expr | None:
    """Integrate a rate over time: ``-gamma*(T - t0)``; None without a closed form."""
    poles, rest = _poles(rate)
    constant, moving = rest.as_independent(TIME, as_Add=True)
    found = antiderivative(moving)
    if found is None:
        return None
    gained = found.xreplace({TIME: end}) - found.xreplace({TIME: start})
    gained += poles * sp.log(end / start)
    if constant.could_extract_minus_sign():
        return gained + sp.Mul(-1, -constant, end - start)
    return gained + constant * (end - start)


def _poles(rate: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Split a rate into its residue at t = 0 and the terms that are no multiple of 1/t."""
    terms = sp.Add.make_args(expanded(rate))
    poles = [term for term in terms if not (term * TIME).has(TIME)]
    return sp.Add(*poles) * TIME, sp.Add(*(term for term in terms if term not in poles))


def antiderivative(rate: sp.Expr) -> sp.Expr | None:
    """Integrate over t, parameters being positive; None where no integral is found at once.

    Sought term by term, of terms with one function of t beside powers: others may take minutes.
    """
    if not is_short(rate, MOST_TO_SOLVE):
        return None
    found = sp.S.Zero
    generic = {s: sp.Dummy(positive=True) for s in rate.free_symbols - {TIME}}
    for term in sp.Add.make_args(sp.expand(rate).xreplace(generic)):
        nodes = (node for node in term.atoms(sp.Function, sp.Pow) if node.has(TIME))
        if sum(not (node.is_Pow and node.exp.is_Integer) for node in nodes) > 1:
            return None
        found += sp.integrate(term, TIME, manual=True)
    if found.has(sp.Integral, sp.Piecewise, sp.zoo, sp.nan):
        return None
    return found.xreplace({dummy: s for s, dummy in generic.items()})


def exponential(exponent: sp.Expr) -> sp.Expr:
    """Return ``exp`` of a sum; a logarithm in it gives a power: ``t**r`` for ``r*log(t)``."""
    rest, powers = sp.S.Zero, sp.S.One
    for term in sp.Add.make_args(exponent):
        logarithms = [f for f in sp.Mul.make_args(term) if isinstance(f, sp.log)]
        if len(logarithms) == 1:
            powers *= logarithms[0].args[0] ** (term / logarithms[0])
        else:
            rest += term
    return powers * sp.exp(rest)
