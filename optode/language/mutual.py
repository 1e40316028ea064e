"""Values that are given in terms of each other."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

Values = Mapping[sp.Symbol, sp.Expr]


def in_order(values: Values) -> list[sp.Symbol]:
    """Return the names of values, each after those that it reads, otherwise as they stand.

    Raises ValueError with the names of values that read each other or themselves.
    """
    waiting, ordered = list(values), list[sp.Symbol]()
    while waiting:
        ready = (z for z in waiting if values[z].free_symbols.isdisjoint(waiting))
        z = next(ready, None)
        if z is None:
            raise ValueError(" and ".join(f"`{name}`" for name in _circle(values, waiting)))
        ordered.append(z)
        waiting.remove(z)
    return ordered


def _circle(values: Values, waiting: list[sp.Symbol]) -> list[sp.Symbol]:
    """Return names each of which reads the next, and the last the first."""
    path = [waiting[0]]
    while True:
        read = values[path[-1]].free_symbols
        following = next(z for z in waiting if z in read)
        if following in path:
            return path[path.index(following) :]
        path.append(following)


def in_terms_of_the_rest(values: Values) -> dict[sp.Symbol, sp.Expr]:
    """Put values into each other: none of them reads one of the others any more.

    Raises ValueError as ``in_order`` does.
    """
    found = dict[sp.Symbol, sp.Expr]()
    for z in in_order(values):
        found[z] = values[z].xreplace(found)
    return {z: found[z] for z in values}
