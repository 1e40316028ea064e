"""Normal form: a state that copies the position is written as its distance from it.

Nesterov's two sequences x and y coincide as the step size vanishes, and only their small difference
moves on the scale of the position. A copy is found from the rule's linear part at step size 0 and
k -> infinity: the vector e with ``L e = e`` and 1 for the position has a 1 for every copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sympy as sp

from optode.calculus.expansion import at_infinity
from optode.calculus.series import NoExpansion
from optode.language.derivative import partial
from optode.language.effort import cancelled, is_modest
from optode.language.numbers import is_real
from optode.language.symbols import COUNTER, At, Gradient, symbol
from optode.rule.growing_states import growing_states
from optode.rule.rule import UpdateRule


def normal_form(rule: UpdateRule) -> UpdateRule:
    """Replace each copy y of the position x by the state ``x_y = x - y``.

    A rule without copies is returned as it is.
    """
    copies = _copies(rule)
    if not copies:
        return rule
    x = rule.position
    distances = {y: symbol(f"{x}_{y}") for y in copies}
    values = {y: x - distance for y, distance in distances.items()}
    inlined = dict(zip(rule.states, rule.step_map, strict=True))
    step = {At(z, 1): inlined[z].xreplace(values) for z in rule.states if z not in copies}
    for y, distance in distances.items():
        step[At(distance, 1)] = step[At(x, 1)] - inlined[y].xreplace(values)
    start = {
        distances.get(z, z): (x - value if z in distances else value) for z, value in rule.start
    }
    missing = {distances[y]: x for y in copies if distances[y] not in start}
    return replace(
        rule,
        states=tuple(distances.get(z, z) for z in rule.states),
        step=tuple((target, sp.expand(value)) for target, value in step.items()),
        start=tuple((start | missing).items()),
        potential=None if rule.potential is None else rule.potential.xreplace(values),
    )


def _copies(rule: UpdateRule) -> list[sp.Symbol]:
    """Find the states that follow the position and that the position reads at full size."""
    others = rule.states[1:]
    rows = {
        z: _linear_part(value, rule) for z, value in zip(rule.states, rule.step_map, strict=True)
    }
    if any(row is None for row in rows.values()):
        return []
    read = [y for y in others if (rows[rule.position] or {}).get(y, 0) != 0]
    unknowns = {y: sp.Dummy(str(y)) for y in others}
    vector = {rule.position: sp.S.One, **unknowns}
    equations = [
        sum((c * vector[z] for z, c in (row or {}).items()), sp.S.Zero) - vector[target]
        for target, row in rows.items()
    ]
    modest = read and is_modest(*equations)
    solution = sp.solve(equations, list(unknowns.values()), dict=True) if modest else []
    if len(solution) != 1:
        return []
    return [y for y in read if solution[0].get(unknowns[y]) == 1]


def _linear_part(value: sp.Expr, rule: UpdateRule) -> dict[sp.Symbol, sp.Expr] | None:
    """Return the coefficient of each state at step size 0 and k -> infinity.

    None where the map is not linear in the states there.
    """
    formulas = dict(rule.formulas)
    still = value.xreplace(formulas).subs(rule.step_size, 0).replace(Gradient, lambda *_: sp.S.Zero)
    if not is_real(still) or not is_modest(still):
        return None
    growing = growing_states(rule)
    opened = sp.expand(still)
    try:
        coefficients = {z: _far_along(partial(opened, z), growing) for z in rule.states}
    except NoExpansion:
        return None
    if any(c.has(*rule.states) for c in coefficients.values()):
        return None
    return coefficients


def _far_along(coefficient: sp.Expr, growing: Iterable[sp.Symbol]) -> sp.Expr:
    """Return a coefficient where the states that grow by themselves, and k, have become large."""
    for variable in (*growing, COUNTER):
        if coefficient.has(variable):
            coefficient = at_infinity(coefficient, variable)
    return cancelled(coefficient)
