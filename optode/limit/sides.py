"""Where fast states settle whose balance has kinks or jumps: side by side.

On each side of all kinks the balance is smooth. A place where it vanishes counts where it lies on
the side it was found on and deviations die out. Which side that is is tried at several points, of
both signs: hyper-parameters, sizes and squares are positive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple, TypeAlias

import sympy as sp

from optode.language.conditions import both, compared, where
from optode.language.effort import MOST_TO_SOLVE, is_short
from optode.language.elementwise import hardtanh, reaches, relu, step
from optode.language.functions import kinds
from optode.language.numbers import real_value
from optode.language.symbols import Opaque, Reduction, dot
from optode.limit.turning import NotContracting

MOST_SIDES = 32
_SAMPLES = 8
_DIGITS = 30

Values: TypeAlias = Mapping[sp.Symbol, sp.Expr]
Solve: TypeAlias = Callable[[Values], Values]
"""Returns where smooth equations vanish; raises NotContracting where they do nowhere, stably."""


class _Side(NamedTuple):
    """What a call is on one side of its kinks, and what is not negative there."""

    value: sp.Expr
    borders: tuple[sp.Expr, ...]
    strict: bool = False


def settled_side_by_side(equations: Values, solve: Solve) -> Values:
    """Return where equations with kinks vanish and deviations die out.

    Raises NotContracting where there is no such place, or several, at one of the points, or too
    many sides.
    """
    names = ", ".join(map(str, equations))
    refused = NotContracting(f"{names} relaxes to no unique value")
    if not all(is_short(equation, 2 * MOST_TO_SOLVE) for equation in equations.values()):
        raise refused
    places: list[tuple[Values, sp.Expr, list[bool]]] = []
    points: list[dict[sp.Expr, sp.Expr]] | None = None
    for smooth, sides in _sides(equations, refused):
        try:
            root = solve(smooth)
        except NotContracting:
            continue
        borders = [(b.xreplace(dict(root)), s.strict) for s in sides for b in s.borders]
        points = points or _points([*equations.values()], equations)
        inside = [_is_inside(borders, point) for point in points]
        if any(inside):
            places.append((root, _condition(borders), inside))
    counts = [sum(place[2][i] for place in places) for i in range(_SAMPLES)]
    if not places or set(counts) != {1}:
        raise refused
    *others, (last, _, _) = sorted(places, key=lambda place: sum(place[2]))
    found = dict(last)
    for root, condition, _ in others:
        found = {w: where(condition, root[w], found[w]) for w in found}
    return found


def _sides(
    equations: Values, refused: NotContracting
) -> Iterator[tuple[Values, tuple[_Side, ...]]]:
    """Yield the equations on each side of all their kinks, with these."""
    calls = _bending(equations)
    choices = [_sides_of(call) for call in calls]
    number = 1
    for choice in choices:
        number *= len(choice)
    if not number or number > MOST_SIDES:
        raise refused
    for sides in product(*choices):
        known: dict[sp.Expr, sp.Expr] = {}
        opened: list[_Side] = []
        for call, side in zip(calls, sides, strict=True):
            known[call] = side.value.xreplace(known)
            borders = tuple(border.xreplace(known) for border in side.borders)
            opened.append(side._replace(borders=borders))
        yield {w: equation.xreplace(known) for w, equation in equations.items()}, tuple(opened)


def _bending(equations: Values) -> list[sp.Expr]:
    """Return the calls with a kink or a jump that read an unknown, inner ones first."""
    found = set[sp.Expr]()
    for equation in equations.values():
        calls = equation.atoms(*kinds("kink", "jump", "contact"))
        found |= {call for call in calls if call.has(*equations)}
    return sorted(found, key=lambda call: (sum(call.has(c) for c in found), str(call)))


def _sides_of(call: sp.Expr) -> list[_Side]:
    """Return the sides of a call; none of one whose sides are not numbered, as of a maximum."""
    (u, *bounds), one, zero = call.args, sp.S.One, sp.S.Zero
    if isinstance(call, hardtanh):
        low, high = bounds
        above, below = _Side(high, (u - high,), strict=True), _Side(low, (low - u,), strict=True)
        return [_Side(u, (u - low, high - u)), below, above]
    known = {
        relu: ((u, zero), (True, False)),
        step: ((one, zero), (True, False)),
        reaches: ((one, zero), (False, True)),
        sp.Abs: ((u, -u), (False, True)),
        sp.sign: ((one, -one), (True, True)),
    }
    for kind, (values, strict) in known.items():
        if isinstance(call, kind):
            return [_Side(values[0], (u,), strict[0]), _Side(values[1], (-u,), strict[1])]
    return []


def _points(expressions: Sequence[sp.Expr], unknowns: Values) -> list[dict[sp.Expr, sp.Expr]]:
    """Return points at which sides are told apart: of both signs, sizes and squares positive."""
    atoms = set[sp.Expr]().union(
        *(e.free_symbols | e.atoms(Opaque, Reduction) for e in expressions)
    )
    calls = [a for a in atoms if isinstance(a, (Opaque, Reduction))]
    outer = [a for a in atoms if a not in unknowns]
    ordered = sorted(outer, key=sp.default_sort_key)
    points = []
    for n in range(_SAMPLES):
        point = {}
        for i, atom in enumerate(ordered):
            size = sp.Float(sp.Rational(2 * ((7 * n + 5 * i) % 11) + 1, 13), _DIGITS)
            is_free = atom in calls and not (isinstance(atom, dot) and atom.args[0] == atom.args[1])
            negative = is_free and (n >> (i % 3)) % 2 == 1
            point[atom] = -size if negative else size
        points.append(point)
    return points


def _is_inside(borders: Sequence[tuple[sp.Expr, bool]], point: Mapping[sp.Expr, sp.Expr]) -> bool:
    values = [(real_value(border, point, _DIGITS), strict) for border, strict in borders]
    return all(v is not None and (v > 0 if strict else v >= 0) for v, strict in values)


def _condition(borders: Sequence[tuple[sp.Expr, bool]]) -> sp.Expr:
    """Return the condition that nothing is beyond the borders."""
    found: sp.Expr = sp.S.One
    for border, strict in borders:
        relation = compared(border, ">" if strict else ">=", sp.S.Zero)
        found = relation if found == 1 else both(found, relation)
    return found
