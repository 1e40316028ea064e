"""What a state is kept above or below: the maximum, the minimum or both that its value ends with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sympy as sp

from optode.language.effort import expanded
from optode.language.elementwise import hardtanh, maximum, minimum, relu


@dataclass(frozen=True, slots=True)
class Bound:
    """What a state w is kept above, ``max(A, floor)``, below, ``min(A, ceiling)``, or between."""

    floor: sp.Expr | None = None
    ceiling: sp.Expr | None = None

    def __post_init__(self) -> None:
        if self.floor is None and self.ceiling is None:
            raise ValueError("a floor, a ceiling or both")

    @property
    def sides(self) -> Iterator[tuple[int, sp.Expr]]:
        """The sign and the level of each: ``sign*(level - w)`` is positive where w is beyond it."""
        if self.floor is not None:
            yield 1, self.floor
        if self.ceiling is not None:
            yield -1, self.ceiling

    @property
    def levels(self) -> tuple[sp.Expr, ...]:
        """The floor and the ceiling, where there are such."""
        return tuple(level for _, level in self.sides)

    def clip(self, value: sp.Expr) -> sp.Expr:
        """Return a value, or the level that the value lies beyond."""
        if self.ceiling is None:
            return maximum(value, self.floor)
        if self.floor is None:
            return minimum(value, self.ceiling)
        clipped = isinstance(value, hardtanh) and value.args[1:] == self.levels
        return value if clipped else hardtanh(value, self.floor, self.ceiling)

    def each(self, of: Callable[[sp.Expr], sp.Expr]) -> Bound:
        """Return the bound with other expressions of its levels."""
        floor, ceiling = (
            None if level is None else of(level) for level in (self.floor, self.ceiling)
        )
        return Bound(floor, ceiling)


def bound_of(
    state: sp.Symbol, value: sp.Expr, at_rest: Callable[[sp.Expr], sp.Expr]
) -> Bound | None:
    """Return the bound of a state with this new value, ``w[k+1] = max(A, B)``; None without one.

    ``at_rest`` takes the step size to 0: B may read w itself where that vanishes then. Between two
    bounds A is w itself then: of a fast state, the sides of its kinks tell where it settles.
    """
    clipped = _clipping_terms(value)
    bound: Bound | None = None
    if len(clipped) == 1:
        bound = _of(value, *clipped)
    elif len(clipped) == 2:
        inner, outer = sorted(clipped, key=lambda term: sum(term.has(each) for each in clipped))
        bound = _between(value, inner, outer)
    if bound is None or any(at_rest(level).has(state) for level in bound.levels):
        return None
    one_sided = len(bound.levels) == 1
    return bound if one_sided or at_rest(without_bound(value)) == state else None


def _of(value: sp.Expr, term: sp.Expr) -> Bound:
    """Return the bound that this one term of a value keeps."""
    sign, call = term.as_coeff_Mul()
    rest = value - term
    if isinstance(call, hardtanh):
        return Bound(*(expanded(rest + at) for at in call.args[1:]))
    level = expanded(rest + sign * call.args[0])
    return Bound(floor=level) if sign == 1 else Bound(ceiling=level)


def _between(value: sp.Expr, inner: sp.Expr, outer: sp.Expr) -> Bound | None:
    """Return the bound of ``min(max(A, floor), ceiling)``, a maximum within a minimum or the like."""
    last, first = _of(value, outer), _of(value - outer, inner)
    if len(first.levels) != 1 or len(last.levels) != 1 or last.levels[0].has(inner):
        return None
    if first.floor is None:
        return None if last.floor is None else Bound(last.floor, first.ceiling)
    return None if last.ceiling is None else Bound(first.floor, last.ceiling)


def without_bound(value: sp.Expr) -> sp.Expr:
    """Return the value that a bound keeps, A of ``max(A, B)``."""
    clipped = _clipping_terms(value)
    free = (term.args[0] for term in clipped if isinstance(term, hardtanh))
    return sp.Add(value, *(-term for term in clipped), *free)


def _clipping_terms(value: sp.Expr) -> list[sp.Expr]:
    """Return the terms of maxima and minima, relu(u) or -relu(u), else those of ``clip(u, a, b)``."""
    terms = sp.Add.make_args(value)
    signed = [(term, *term.as_coeff_Mul()) for term in terms]
    found = [term for term, sign, rest in signed if isinstance(rest, relu) and abs(sign) == 1]
    return found or [term for term in terms if isinstance(term, hardtanh)]
