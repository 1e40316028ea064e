"""Constants: what a Python float can hold, and expressions evaluated in such numbers."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from optode.language.elementwise import Elementwise

DIGITS = 15
MAX_BITS = 4096
"""Of a numerator or a denominator."""
_SMALLEST, _LARGEST = 1e-307, 1e308


def bits_of(number: sp.Rational) -> int:
    """Return how many bits the longer of numerator and denominator has."""
    return max(int(number.p).bit_length(), int(number.q).bit_length())


def in_range(number: sp.Expr) -> bool:
    """Return whether a real number is 0 or of a size that a float has, and not of endless digits."""
    if number.is_Rational and bits_of(number) > MAX_BITS:
        return False
    try:
        size = abs(float(number))
    except OverflowError:
        return False
    return _SMALLEST <= size <= _LARGEST or number.is_zero is True


def real_value(
    expression: sp.Expr, values: Mapping[sp.Expr, sp.Expr], digits: int = DIGITS
) -> sp.Expr | None:
    """Evaluate an elementwise expression in floats, given the values of its symbols and calls.

    None where it, or a part of it, is no real number in the range of floats. It goes from part to
    part, as a machine does: SymPy would carry ``exp(exp(exp(x)))`` to any number of digits.
    """
    known: dict[sp.Expr, sp.Expr | None] = dict(values)

    def value(part: sp.Expr) -> sp.Expr | None:
        if part not in known:
            inner = [value(argument) for argument in part.args]
            known[part] = None if None in inner else _float(_call(part, inner), digits)
        return known[part]

    return value(expression)


def _call(part: sp.Expr, inner: list[sp.Expr]) -> sp.Expr:
    if isinstance(part, Elementwise):
        return part.formula(*inner)
    return part.func(*inner) if inner else part


def _float(number: sp.Expr, digits: int) -> sp.Expr | None:
    number = number if number.is_Float or not number.is_number else number.evalf(digits)
    return number if number.is_Number and number.is_finite and in_range(number) else None


def is_real(expression: sp.Expr) -> bool:
    """Return whether no constant of an expression is complex, infinite or undefined."""
    parts = _parts(expression)
    if parts & {sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I}:
        return False
    powers = (part for part in parts if part.is_Pow and part.is_number)
    return all(power.is_real is not False for power in powers)


def has_floats(expression: sp.Expr) -> bool:
    """Return whether every number of an expression is in the range of floats."""
    return all(in_range(part) for part in _parts(expression) if part.is_Number)


def number_problem(
    expression: sp.Expr, values: Mapping[sp.Symbol, sp.Expr] | None = None
) -> str | None:
    """Return what is wrong with the constants of an expression, as the end of a sentence.

    ``values`` gives symbols that stand for numbers: each part that is made of them alone is looked
    at, for SymPy takes the size of a complex number to be a real one.
    """
    numbers = values or {}
    fixed = (
        part.xreplace(numbers)
        for part in (_parts(expression) if numbers else ())
        if part.free_symbols and part.free_symbols <= set(numbers)
    )
    for part in (expression, *fixed):
        if not is_real(part):
            return "has no real value"
        if not has_floats(part):
            return "has a number outside the range of floats"
    return None


def _parts(expression: sp.Expr) -> set[sp.Expr]:
    """Return the parts of an expression, each once, however often it occurs."""
    found: set[sp.Expr] = set()
    waiting = [expression]
    while waiting:
        part = waiting.pop()
        if part not in found:
            found.add(part)
            waiting += part.args
    return found
