"""Tell between which numbers the values of an expression lie, and which signs they may have.

The range of a sum or a product is that of independent parts: it may be wider than what is taken,
never narrower. So a sign that is left out does not occur.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, reduce
from typing import TypeAlias

import sympy as sp

from optode.language.conditions import where
from optode.language.effort import expanded, is_short
from optode.language.elementwise import hardtanh, reaches, relu, sigmoid, softplus, step
from optode.language.symbols import Loss, dot, highest, lowest, mean, total

Range: TypeAlias = tuple[sp.Expr, sp.Expr]
"""The least and the largest number, which may be infinite."""

_LONGEST = 60
"""Operations of an expression that is looked at."""

_ALL: Range = (-sp.oo, sp.oo)
_OF_FUNCTIONS: Mapping[type[sp.Function], tuple[float, float]] = {
    sigmoid: (0, 1),
    sp.tanh: (-1, 1),
    sp.erf: (-1, 1),
    sp.sin: (-1, 1),
    sp.cos: (-1, 1),
    sp.sign: (-1, 1),
    step: (0, 1),
    reaches: (0, 1),
    sp.cosh: (1, sp.oo),
    softplus: (0, sp.oo),
    sp.exp: (0, sp.oo),
}
_NEVER_ZERO = (sigmoid, softplus, sp.exp, sp.cosh)


def possible_signs(expression: sp.Expr) -> frozenset[int]:
    """Return the signs that an expression may have, of -1, 0 and 1; all three where it is long."""
    if not is_short(expression, _LONGEST):
        return frozenset((-1, 0, 1))
    low, high = range_of(expression)
    may_vanish = low <= 0 <= high and not _never_vanishes(expression)
    return frozenset([-1] * bool(low < 0) + [0] * bool(may_vanish) + [1] * bool(high > 0))


def signs_at_positive(expression: sp.Expr, names: Iterable[sp.Symbol]) -> frozenset[int]:
    """Return the signs that an expression may have where these symbols, and losses, are positive."""
    positive = {e: _positive(e) for e in (*expression.atoms(Loss), *names)}
    return possible_signs(expression.xreplace(positive))


@lru_cache(maxsize=1024)
def _positive(value: sp.Expr) -> sp.Symbol:
    """Return a positive symbol in the place of a value, the same each time: ranges are kept by it."""
    return sp.Dummy(positive=True)


def decided(expression: sp.Expr, states: Iterable[sp.Symbol]) -> sp.Expr:
    """Return an expression with relu and step evaluated where what they are of has one sign.

    All symbols but the states are taken to be positive, and losses.
    """
    states = set(states)
    found: dict[sp.Expr, sp.Expr] = {}
    for call in expression.atoms(relu, step):
        (u,) = call.args
        signs = signs_at_positive(u, u.free_symbols - states)
        if 1 not in signs:
            found[call] = sp.S.Zero
        elif isinstance(call, relu) and -1 not in signs:
            found[call] = u
        elif isinstance(call, step) and signs == {1}:
            found[call] = sp.S.One
    return expression.xreplace(found)


@lru_cache(maxsize=65536)
def range_of(expression: sp.Expr) -> Range:
    """Return the least and the largest value that an expression may have, as far as is known."""
    if expression.is_comparable:
        return expression, expression
    known = (
        sp.S.Zero if expression.is_nonnegative else -sp.oo,
        sp.S.Zero if expression.is_nonpositive else sp.oo,
    )
    return _both(known, _of_kind(expression))


def _of_kind(e: sp.Expr) -> Range:
    if isinstance(e, sp.Add):
        return reduce(_both, map(_of_extreme, _extremes(e)), _sum(map(range_of, e.args)))
    if isinstance(e, sp.Mul):
        return reduce(_product, map(range_of, e.args))
    if isinstance(e, sp.Pow):
        return _power(e.base, e.exp)
    if isinstance(e, sp.Abs):
        return _power(e.args[0] ** 2, sp.Rational(1, 2))
    if isinstance(e, relu):
        return _each(lambda end: max(end, sp.S.Zero), range_of(e.args[0]))
    if isinstance(e, hardtanh) and all(bound.is_number for bound in e.args[1:]):
        return e.args[1], e.args[2]
    if isinstance(e, where):
        return _hull(*map(range_of, e.args[1:]))
    if isinstance(e, (mean, highest, lowest)):
        return range_of(e.args[0])
    if isinstance(e, total):
        return _of_count(range_of(e.args[0]))
    if isinstance(e, dot):
        return _of_count(_product(*map(range_of, e.args)))
    return _OF_FUNCTIONS.get(type(e), _ALL)


def _of_count(each: Range) -> Range:
    """Return the range of the sum of one number or more, each in a range."""
    low, high = each
    return (low if low >= 0 else -sp.oo), (high if high <= 0 else sp.oo)


def _extremes(total: sp.Add) -> list[tuple[bool, sp.Expr, sp.Expr]]:
    """Return each way to read a sum as a maximum (True) or a minimum of two: ``r + relu(u)``."""
    found = []
    for term in total.args:
        sign, rest = term.as_coeff_Mul()
        if isinstance(rest, relu) and abs(sign) == 1:
            other = total - term
            found.append((bool(sign == 1), other, expanded(other + sign * rest.args[0])))
    return found


def _of_extreme(extreme: tuple[bool, sp.Expr, sp.Expr]) -> Range:
    is_maximum, *parts = extreme
    choose = max if is_maximum else min
    (low1, high1), (low2, high2) = map(range_of, parts)
    return choose(low1, low2), choose(high1, high2)


def _power(base: sp.Expr, exponent: sp.Expr) -> Range:
    low, high = range_of(base)
    if not exponent.is_number:
        return (sp.S.Zero, sp.oo) if low >= 0 else _ALL
    if exponent.is_negative:
        return _inverse(_power(base, -exponent))
    if exponent.is_Integer and exponent % 2:
        return low**exponent, high**exponent
    least = max(low, -high, sp.S.Zero)
    return least**exponent, max(abs(low), abs(high)) ** exponent


def _inverse(divisor: Range) -> Range:
    low, high = divisor
    if 0 <= low < high:
        return 1 / high, (1 / low if low > 0 else sp.oo)
    return ((1 / high if high < 0 else -sp.oo), 1 / low) if low < high <= 0 else _ALL


def _sum(ranges: map[Range]) -> Range:
    lows, highs = zip(*ranges, strict=True)
    return sp.Add(*lows), sp.Add(*highs)


def _product(a: Range, b: Range) -> Range:
    ends = [sp.S.Zero if 0 in (x, y) else x * y for x in a for y in b]
    return min(ends), max(ends)


def _each(change: Callable[[sp.Expr], sp.Expr], ends: Range) -> Range:
    return change(ends[0]), change(ends[1])


def _both(a: Range, b: Range) -> Range:
    return max(a[0], b[0]), min(a[1], b[1])


def _hull(a: Range, b: Range) -> Range:
    return min(a[0], b[0]), max(a[1], b[1])


def _never_vanishes(e: sp.Expr) -> bool:
    """Return whether an expression is not 0, at whatever values it has; they are finite."""
    if e.is_zero is False or isinstance(e, _NEVER_ZERO):
        return True
    low, high = range_of(e)
    if low > 0 or high < 0:
        return True
    if isinstance(e, sp.Pow):
        return bool(e.exp.is_negative) or _never_vanishes(e.base)
    if isinstance(e, (sp.Mul, where)):
        parts = e.args[1:] if isinstance(e, where) else e.args
        return all(map(_never_vanishes, parts))
    if isinstance(e, (sp.Abs, mean, highest, lowest, total)):
        one_sided = isinstance(e, sp.Abs) or low >= 0 or high <= 0
        return one_sided and _never_vanishes(e.args[0])
    if isinstance(e, sp.Add):
        ranges = [range_of(term) for term in e.args]
        one_sided = all(a >= 0 for a, _ in ranges) or all(b <= 0 for _, b in ranges)
        is_bounded = any(map(_is_kept_from_zero, _extremes(e)))
        return is_bounded or (one_sided and any(map(_never_vanishes, e.args)))
    return False


def _is_kept_from_zero(extreme: tuple[bool, sp.Expr, sp.Expr]) -> bool:
    """Return whether a maximum has a part above zero, or a minimum one below."""
    is_maximum, *parts = extreme
    ends = [range_of(part)[0 if is_maximum else 1] for part in parts]
    sides = [end >= 0 if is_maximum else end <= 0 for end in ends]
    return any(side and _never_vanishes(u) for side, u in zip(sides, parts, strict=True))
