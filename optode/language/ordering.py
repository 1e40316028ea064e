"""The order in which terms and factors are printed: that of a paper, the same in text, LaTeX and
code.

Factors: numbers, step size, parameters, states, functions, field, costates (``2*beta*m*f(t,
h)*a_v``). Terms: products before bare symbols, functions before symbols, calls of the field last
(``-gamma*m + f(t, h)``, ``sqrt(v) + eps``, ``gamma*a_m - a_h``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sympy as sp

from optode.language.symbols import COUNTER, TIME, Opaque


def _symbol_rank(name: str, positive: bool) -> int:
    """Step size first, then parameters, states, time; parameters are told by their longer names."""
    if name.startswith("a_"):
        return 7
    if name == TIME.name:
        return 4
    if positive or name == COUNTER.name:
        return 1
    is_difference = name.lstrip("d") != name and len(name.lstrip("d")) == 1
    return 2 if len(name) > 1 and "_" not in name and not is_difference else 3


@lru_cache(maxsize=16384)
def _factor_key(factor: sp.Expr) -> tuple[Any, ...]:
    base = factor
    if isinstance(factor, sp.Pow) and factor.exp.is_Rational:
        known = isinstance(factor.base, sp.Symbol)
        constant = known and _symbol_rank(factor.base.name, bool(factor.base.is_positive)) <= 2
        base = factor.base if factor.exp.is_Integer or constant else factor
    rank = 6 if isinstance(base, Opaque) else 5
    if not base.free_symbols:
        rank = 0
    elif isinstance(base, sp.Symbol):
        rank = _symbol_rank(base.name, bool(base.is_positive))
        rank = 3 if rank == 1 and base != factor else rank  # gamma*sqrt(s), but s*gamma
    return rank, base != factor, sp.default_sort_key(factor)


@lru_cache(maxsize=16384)
def ordered_factors(expression: sp.Expr) -> tuple[sp.Expr, ...]:
    """Return the factors of a product, in printing order."""
    return tuple(sorted(sp.Mul.make_args(expression), key=_factor_key))


@lru_cache(maxsize=16384)
def _term_key(term: sp.Expr) -> tuple[Any, ...]:
    _, rest = term.as_coeff_Mul()
    factors = ordered_factors(rest)
    oracle = any(isinstance(f, Opaque) for f in factors)
    symbols_only = all(isinstance(f, sp.Symbol) for f in factors)
    keys = tuple(_factor_key(f) for f in factors)
    small = any(s.is_positive for s in rest.free_symbols)
    return (
        small,
        oracle,
        len(factors) == 1 and symbols_only,
        -len(factors),
        keys,
        sp.default_sort_key(term),
    )


@lru_cache(maxsize=16384)
def ordered_terms(expression: sp.Expr) -> tuple[sp.Expr, ...]:
    """Return the terms of a sum, in printing order.

    A number stands last, but first before a minus (``1 - beta``); a sum that would begin with minus a single
    factor begins with its positive terms instead (``f(t, h) - m``).
    """
    terms = sorted(sp.Add.make_args(expression), key=_term_key)
    numbers = [term for term in terms if term.is_number]
    others = [term for term in terms if not term.is_number]
    if others and _begins_backwards(others):
        others.sort(key=lambda term: term.could_extract_minus_sign())
    if others and others[0].could_extract_minus_sign():
        return (*numbers, *others)
    return (*others, *numbers)


def _begins_backwards(terms: list[sp.Expr]) -> bool:
    """Return whether a sum begins with minus a single factor, orders of the step size apart."""
    if any(s.is_positive for term in terms for s in term.free_symbols):
        return bool((-terms[0]).is_Symbol)
    return not isinstance(-terms[0], sp.Mul) and bool(terms[0].could_extract_minus_sign())
