"""Constants: what a Python float can hold, and expressions evaluated in such numbers."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from optode.language.elementwise import Elementwise

DIGITS = 15
MAX_BITS = 4096
"""Of a numerator or a denominator."""
_SMALLEST, _LARGEST = sp.Float("1e-307"), sp.Float("1e308")


def in_range(number: sp.Expr) -> bool:
    """Return whether a real number is 0 or of a size that a float has, and not of endless digits."""
    if number.is_Rational and max(int(number.p).bit_length(), number.q.bit_length()) > MAX_BITS:
        return False
    return bool(number.is_zero or _SMALLEST <= abs(number) <= _LARGEST)


def real_value(expression: sp.Expr, values: Mapping[sp.Expr, sp.Expr]) -> sp.Expr | None:
    """Evaluate an elementwise expression in floats, given the values of its symbols and calls.

    None where it, or a part of it, is no real number in the range of floats. It goes from part to
    part, as a machine does: SymPy would carry ``exp(exp(exp(x)))`` to any number of digits.
    """
    if expression in values:
        return values[expression]
    if not expression.args:
        return _float(expression)
    inner = [real_value(argument, values) for argument in expression.args]
    if any(value is None for value in inner):
        return None
    if isinstance(expression, Elementwise):
        return _float(expression.formula(*inner))
    return _float(expression.func(*inner))


def _float(number: sp.Expr) -> sp.Expr | None:
    number = number.evalf(DIGITS) if number.is_number else number
    return number if number.is_Number and number.is_finite and in_range(number) else None


def is_real(expression: sp.Expr) -> bool:
    """Return whether no constant of an expression is complex, infinite or undefined."""
    if expression.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I):
        return False
    return all(power.is_real is not False for power in expression.atoms(sp.Pow) if power.is_number)


def has_floats(expression: sp.Expr) -> bool:
    """Return whether every number of an expression is in the range of floats."""
    return all(map(in_range, expression.atoms(sp.Number)))
