"""Puiseux series in the continuous step Delta: exact rational exponents, SymPy coefficients.

What a limit needs from asymptotics: an iteration counter that grows like t/Delta, hyper-parameters
that are powers of Delta, ``beta**k -> exp(-a t)``, and opaque gradients. A series carries the order
up to which it is known, so that cancellation is noticed instead of guessed around.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import sympy as sp

from optode.language.effort import expanded, is_zero, operations
from optode.language.elementwise import hardtanh, step
from optode.language.ranges import decided
from optode.language.symbols import TIME, Opaque, Reduction

Order: TypeAlias = Fraction | float
EXACT = float("inf")
MOST_WORK = 15000
"""Operations of all coefficients that an expansion makes."""


class NoExpansion(ValueError):
    """The expression has no power series in Delta; the message names the part that has none."""


class LostPrecision(Exception):
    """A leading term vanished within the known order: more terms are needed."""


class Work:
    """Counts the operations that the coefficients of an expansion are made of."""

    def __init__(self) -> None:
        self.operations = 0

    def on(self, made: Iterable[sp.Expr]) -> None:
        """Count some coefficients. Raises NoExpansion where the work grows too large."""
        self.operations += sum(1 + operations(coefficient) for coefficient in made)
        if self.operations > MOST_WORK:
            raise NoExpansion(f"its series takes more than {MOST_WORK} operations")


@dataclass(frozen=True, slots=True)
class Series:
    """``sum c_e Delta^e + O(Delta^order)``; exponents ascending, no zero coefficient."""

    terms: tuple[tuple[Fraction, sp.Expr], ...]
    order: Order = EXACT

    @staticmethod
    def of(coefficients: Mapping[Fraction, sp.Expr], order: Order = EXACT) -> Series:
        """Make a series from coefficients by exponent, without zeros and terms beyond the order."""
        kept = ((e, _normal(c)) for e, c in sorted(coefficients.items()) if e < order)
        return Series(tuple((e, c) for e, c in kept if c != 0), order)

    @staticmethod
    def monomial(coefficient: sp.Expr, exponent: Fraction = Fraction(0)) -> Series:
        """Make the exact series ``coefficient * Delta^exponent``."""
        return Series.of({exponent: sp.sympify(coefficient)})

    @property
    def leading(self) -> tuple[Fraction, sp.Expr]:
        """Exponent and coefficient of the first term."""
        if not self.terms:
            raise LostPrecision
        return self.terms[0]

    def coefficient(self, exponent: Fraction) -> sp.Expr:
        """Return the coefficient of Delta^exponent."""
        return dict(self.terms).get(exponent, sp.S.Zero)

    def shifted(self, exponent: Fraction, factor: sp.Expr = sp.S.One) -> Series:
        """Multiply the series by ``factor * Delta^exponent``."""
        terms = {e + exponent: c * factor for e, c in self.terms}
        return Series.of(terms, self.order + exponent)

    def __add__(self, other: Series) -> Series:
        return Series.sum((self, other))

    @staticmethod
    def sum(parts: Iterable[Series]) -> Series:
        """Add series up."""
        total: dict[Fraction, list[sp.Expr]] = {}
        order: Order = EXACT
        for part in parts:
            order = min(order, part.order)
            for exponent, coefficient in part.terms:
                total.setdefault(exponent, []).append(coefficient)
        return Series.of({e: sp.Add(*coefficients) for e, coefficients in total.items()}, order)

    def times(self, other: Series, order: Order) -> Series:
        """Multiply two series, truncated at the order."""
        known = min(self._floor + other.order, other._floor + self.order)
        total: dict[Fraction, sp.Expr] = {}
        for e1, c1 in self.terms:
            for e2, c2 in other.terms:
                if e1 + e2 < order:
                    total[e1 + e2] = total.get(e1 + e2, sp.S.Zero) + c1 * c2
        truncated = any(e1 + e2 >= order for e1, _ in self.terms for e2, _ in other.terms)
        return Series.of(total, min(known, order) if truncated else known)

    def relative(self) -> Series:
        """Return w in ``c Delta^e (1 + w)``."""
        e0, c0 = self.leading
        found = self.shifted(-e0, 1 / c0)
        return Series(found.terms[1:], found.order)

    @property
    def _floor(self) -> Order:
        return self.terms[0][0] if self.terms else self.order


def clipped(u: Series, low: Series, high: Series, vectors: frozenset[sp.Symbol]) -> Series | None:
    """Return the series of u clipped to bounds: between its kinks it is linear in all of them.

    None where the leading terms of u and a bound are the same: then later ones decide.
    """
    parts = (u, low, high)
    if not any(part.terms for part in parts):
        return Series((), min(part.order for part in parts))
    lowest = min(part.leading[0] for part in parts if part.terms)
    u0, low0, high0 = (part.coefficient(lowest) for part in parts)
    if u0 in (low0, high0):
        return None
    if low0 == high0:  # far away from both bounds: the nearer one
        side = after_start(sp.sign(u0 - low0), vectors)
        slopes, value = [sp.S.Zero, (1 - side) / 2, (1 + side) / 2], low0
    else:
        slopes = [step(u0 - low0) * step(high0 - u0), step(low0 - u0), step(u0 - high0)]
        value = hardtanh(u0, low0, high0)
    found = {lowest: after_start(value, vectors)}
    for exponent in {e for part in parts for e, _ in part.terms} - {lowest}:
        rows = zip(slopes, parts, strict=True)
        coefficient = sp.Add(*(s * part.coefficient(exponent) for s, part in rows))
        found[exponent] = after_start(coefficient, vectors)
    return Series.of(found, min(part.order for part in parts))


def after_start(expression: sp.Expr, vectors: frozenset[sp.Symbol]) -> sp.Expr:
    """Return an expression at times after the start: what is decided by t > 0 is evaluated.

    Where it has no call and none of the states in it, which are the ``vectors`` where they are known,
    its hyper-parameters are taken to be positive, too. So they are, and losses, where that decides on
    a maximum or a minimum: ``relu(-c/norm(g))`` is 0.
    """
    known = vectors and not expression.free_symbols & vectors
    free = known and not expression.has(Opaque, Reduction)
    chosen = expression.free_symbols if free else {TIME}
    later = {s: sp.Dummy(s.name, positive=True) for s in chosen}
    later_on = expression.xreplace(later).xreplace({new: old for old, new in later.items()})
    return decided(later_on, vectors) if vectors else later_on


def _normal(coefficient: sp.Expr) -> sp.Expr:
    """Return the coefficient, or 0 where its terms cancel identically."""
    if not coefficient.is_Add:
        return coefficient
    multiplied_out = expanded(coefficient)
    if multiplied_out == 0 or not multiplied_out.is_Add:
        return multiplied_out
    return sp.S.Zero if is_zero(coefficient) else coefficient


def components_of(direction: sp.Expr) -> tuple[sp.Expr, ...]:
    """Return the components of a direction."""
    return tuple(direction.args) if isinstance(direction, sp.Tuple) else (direction,)


def joined(components: list[Series]) -> Series:
    """Join the series of a direction's components: its coefficients are directions."""
    exponents = sorted({e for component in components for e, _ in component.terms})
    rows = ((e, [c.coefficient(e) for c in components]) for e in exponents)
    terms = tuple((e, row[0] if len(row) == 1 else sp.Tuple(*row)) for e, row in rows)
    return Series(terms, min(component.order for component in components))
