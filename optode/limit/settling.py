"""Where fast states settle: the place where their balance vanishes and deviations die out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial as partial_of

import numpy as np
import sympy as sp

from optode.calculus.tangent import substituted
from optode.language.conditions import conditions_of
from optode.language.derivative import partial
from optode.language.effort import (
    cancelled,
    common_solutions,
    factored,
    operations,
    solutions,
)
from optode.language.functions import bends
from optode.language.symbols import Opaque, Reduction
from optode.limit.increments import Increments
from optode.limit.sides import settled_side_by_side
from optode.limit.turning import NotContracting
from optode.rule.bound import Bound


def settled(
    equations: Mapping[sp.Symbol, sp.Expr],
    bounds: Mapping[sp.Symbol, Bound],
    increments: Increments,
) -> Mapping[sp.Symbol, sp.Expr]:
    """Solve the balance of fast states, some of them within bounds.

    They settle without these, and are clipped, or else on them.
    """
    try:
        found = _settled_free(equations, increments)
    except NotContracting:
        if not bounds:
            raise
        clipped = {w: bounds[w].clip(w + e) - w if w in bounds else e for w, e in equations.items()}
        return _settled_free(clipped, increments)
    return {w: bounds[w].clip(value) if w in bounds else value for w, value in found.items()}


def _settled_free(
    equations: Mapping[sp.Symbol, sp.Expr], increments: Increments
) -> Mapping[sp.Symbol, sp.Expr]:
    """Solve the balance of fast states that read each other for where they settle.

    Linear equations are solved together; of others, one that tells its own state whatever the rest
    is, and so on; those with kinks side by side.
    """
    names = ", ".join(map(str, equations))
    if beyond_slopes(equations.values(), equations):
        message = (
            f"where {names} settles is inside of a gradient, a Jacobian or a sum over features"
        )
        raise NotContracting(message)
    if any(bends(equation, *equations) for equation in equations.values()):
        solve = partial_of(_settled_smoothly, increments=increments)
        return settled_side_by_side(equations, solve)
    return _settled_smoothly(equations, increments)


def _settled_smoothly(
    equations: Mapping[sp.Symbol, sp.Expr], increments: Increments
) -> Mapping[sp.Symbol, sp.Expr]:
    """Solve a balance without kinks."""
    left, found = dict(equations), dict[sp.Symbol, sp.Expr]()
    names = ", ".join(map(str, equations))
    slopes = sp.Matrix([[partial(equation, w) for w in left] for equation in left.values()])
    while left:
        linear = sp.Matrix([[partial(equation, w) for w in left] for equation in left.values()])
        if not linear.has(*left):
            rest = [e.xreplace(dict.fromkeys(left, sp.S.Zero)) for e in left.values()]
            try:
                found |= zip(left, linear.LUsolve(-sp.Matrix(rest)), strict=True)
            except ValueError as error:  # a singular matrix
                raise NotContracting(f"{names} relaxes to no unique value") from error
            break
        told = _told(left, increments)
        found |= told
        left = {
            z: substituted(e, told, increments.states) for z, e in left.items() if z not in told
        }
    _check_contraction(list(equations), slopes.xreplace(found), increments)
    return {w: _shorter(value) for w, value in found.items()}


def _told(
    equations: Mapping[sp.Symbol, sp.Expr], increments: Increments
) -> Mapping[sp.Symbol, sp.Expr]:
    """Return where a state settles whatever the others are, else where all of them do together."""
    for w, equation in equations.items():
        others = [z for z in equations if z != w]
        roots = [{w: cancelled(root)} for root in solutions(equation, w)]
        stable = _stable({w: equation}, roots, increments)
        if len(stable) == 1 and not stable[0][w].has(*others):
            return stable[0]
    stable = _stable(equations, common_solutions(equations), increments)
    if len(stable) == 1:
        return stable[0]
    names = ", ".join(map(str, equations))
    raise NotContracting(f"no unique values are found that {names} settle at")


def _stable(
    equations: Mapping[sp.Symbol, sp.Expr],
    roots: Iterable[Mapping[sp.Symbol, sp.Expr]],
    increments: Increments,
) -> list[Mapping[sp.Symbol, sp.Expr]]:
    """Return the roots near which deviations die out."""
    slopes = sp.Matrix([[partial(e, w) for w in equations] for e in equations.values()])
    found = []
    for root in roots:
        try:
            _check_contraction(list(equations), slopes.xreplace(dict(root)), increments)
        except NotContracting:
            continue
        found.append(root)
    return found


def _shorter(value: sp.Expr) -> sp.Expr:
    """Return a value as one fraction in lowest terms where that is shorter."""
    fraction = factored(cancelled(value))
    return fraction if operations(fraction) < operations(value) else value


def beyond_slopes(equations: Iterable[sp.Expr], unknowns: Iterable[sp.Symbol]) -> bool:
    """Return whether an unknown stands where no slope tells how it acts.

    That is in a sum over the features, or in what a gradient or a Jacobian is applied to.
    """
    calls = set().union(*(e.atoms(Opaque, Reduction) for e in equations))
    return any(call.has(*unknowns) for call in calls)


def _check_contraction(fast: list[sp.Symbol], slopes: sp.Matrix, increments: Increments) -> None:
    """Raise NotContracting unless small deviations of the states die out, whatever is chosen."""
    if conditions := set().union(*map(conditions_of, slopes)):
        condition = min(conditions, key=sp.default_sort_key)
        for held in (sp.S.Zero, sp.S.One):
            _check_contraction(fast, slopes.xreplace({condition: held}), increments)
        return
    atoms = slopes.free_symbols | slopes.atoms(Opaque, Reduction)
    point = dict.fromkeys(atoms, sp.Rational(1, 2))
    numbers = np.array(slopes.xreplace(point).evalf(15).tolist(), dtype=complex)
    rates = dict(zip(increments.states, increments.rates, strict=True))
    at_once = all(rates[w] == 0 for w in fast)
    for value in np.linalg.eigvals(numbers):
        if not (abs(1 + value) < 1 if at_once else value.real < 0):
            raise NotContracting(
                f"{', '.join(map(str, fast))} moves faster than the position and does not settle"
            )
