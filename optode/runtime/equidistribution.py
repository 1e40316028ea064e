"""Place the ends of steps so that all steps have equal errors.

C. de Boor, Good approximation by splines with variable knots II, Lecture Notes in Mathematics 363,
1974. The error of a step goes with a power of its length, so that its root measures how much of the
solution the step covers. The density of that along the time tells where steps have to be short.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

CELLS = 64
"""A density has one value in each of so many equal parts of the time."""

SHARE = 0.1
"""This part of the mean is added to a density: no step is much longer than where nothing is known."""

Density = tuple[float, ...]

EVEN: Density = (1.0,) * CELLS

_ENDS = [k / CELLS for k in range(CELLS + 1)]


def density_of(ends: Sequence[float], needs: Sequence[float]) -> Density:
    """Return the density, of mean 1, of steps between ends that need so much each.

    ``ends`` go from 0 to 1, and ``needs`` are roots of errors. Even where nothing needs anything.
    """
    reached = [0.0, *accumulate(needs)]
    total = reached[-1]
    if not total:
        return EVEN
    at_ends = [_line(ends, reached, x) / total for x in _ENDS]
    return tuple((CELLS * (b - a) + SHARE) / (1 + SHARE) for a, b in pairwise(at_ends))


def parts_of(density: Density, knots: Sequence[float], count: int) -> list[list[float]]:
    """Return where so many steps of each interval begin and end, as parts of the interval.

    Between two knots every step has as much of the density as any other.
    """
    reached = [x / CELLS for x in accumulate(density, initial=0.0)]
    length = knots[-1] - knots[0]
    places = [(t - knots[0]) / length for t in knots] if length else [0.0 for _ in knots]
    found = []
    for a, b in pairwise(places):
        low, high = _line(_ENDS, reached, a), _line(_ENDS, reached, b)
        shares = [low + (high - low) * (k / count) for k in range(1, count)]
        inner = [(_line(reached, _ENDS, x) - a) / (b - a) if b > a else 0.0 for x in shares]
        found.append([0.0, *inner, 1.0])
    return found


def _line(places: Sequence[float], values: Sequence[float], x: float) -> float:
    """Return the value at x of straight lines through points."""
    k = min(bisect_right(places, x), len(places) - 1)
    a, b = places[k - 1 : k + 1]
    return values[k - 1] + (values[k] - values[k - 1]) * ((x - a) / (b - a))
