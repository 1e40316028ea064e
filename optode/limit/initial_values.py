"""How a limit starts: derived initial values, what is singular there, what remains open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from operator import methodcaller

import sympy as sp

from optode.calculus.series import NoExpansion
from optode.calculus.singular_start import along, regular_branch
from optode.calculus.tangent import substituted
from optode.language.effort import is_zero, solutions
from optode.language.functions import kinds
from optode.language.matrices import MatrixFunction
from optode.language.ranges import possible_signs, signs_at_positive
from optode.language.symbols import COUNTER, TIME, Gradient, Loss, Opaque, Reduction, symbol
from optode.language.text import to_text
from optode.limit.layer import initial_shift
from optode.limit.reduction import Reduced
from optode.limit.scaled_rule import ScaledRule
from optode.rule.rule import UpdateRule


@dataclass(frozen=True, slots=True)
class Start:
    """The slow states at k = 0.

    ``lacks_shift`` says that what they gain while the fast states settle is missing: it has no
    closed form.
    """

    values: tuple[sp.Expr, ...]
    lacks_shift: bool = False


def initial_values(reduced: Reduced, scaled: ScaledRule) -> Start:
    """Return the start of the slow states, beyond leading order with what they gain at first.

    The gain is that of a few steps, in which the fast states settle on their manifold.
    """
    slow, unit = reduced.slow, scaled.scaling.unit
    start = scaled.start(0)
    at_start = methodcaller("xreplace", dict(start))
    for state, bound in reduced.increments.bounds.items():
        if reduced.manifold.fast and state in slow:  # the bound is that of settled fast states
            settled = partial(substituted, values=reduced.manifold.graph, vectors=slow)
            clipped = bound.each(settled).each(at_start).clip(start[state]).subs(TIME, 0)
            start[state] = start[state] if clipped.has(sp.nan, sp.zoo) else clipped
    start |= _beside_a_pole(reduced, scaled)
    values = [start[state] for state in slow]
    if not reduced.order:
        return Start(tuple(values))
    later = scaled.start(1)
    values = [value + unit * later[z] for value, z in zip(values, slow, strict=True)]
    if scaled.begins_otherwise:
        return Start(tuple(values), lacks_shift=True)
    if not reduced.manifold.fast:
        return Start(tuple(values))
    shifts = initial_shift(reduced.increments, reduced.manifold, start)
    if shifts is None:
        return Start(tuple(values), lacks_shift=True)
    moved = (substituted(shift, start, slow) for shift in shifts)
    return Start(tuple(value + unit * shift for value, shift in zip(values, moved, strict=True)))


def leading_starts(reduced: Reduced, scaled: ScaledRule) -> list[sp.Expr]:
    """Return where the slow states but the position start, in terms of the position."""
    position = scaled.rule.position
    start, at_start = scaled.start(0), symbol(f"{position}0")
    return [start[z].xreplace({at_start: position}) for z in reduced.slow[1:]]


def _beside_a_pole(reduced: Reduced, scaled: ScaledRule) -> dict[sp.Symbol, sp.Expr]:
    """Return the starts that a pole at t = 0 decides, not the rule's own.

    An average whose gain is 1/(k + 1) forgets where it started at once, and begins at what it
    averages. A bound that is 0/0 begins at what it tends to from later times, as the largest of
    bias-corrected averages so far.
    """
    slow, field = reduced.slow, reduced.fields[0]
    levels = {
        z: bound.each(partial(substituted, values=reduced.manifold.graph, vectors=slow))
        for z, bound in reduced.increments.bounds.items()
        if z in slow
    }
    bounding = [level for bound in levels.values() for level in bound.levels]
    if sp.S.Zero not in singular_times([*field, *bounding]):
        return {}
    starts = leading_starts(reduced, scaled)
    branch = regular_branch(slow, field, starts)
    if branch is None or any(part.value.has(sp.nan, sp.zoo) for part in branch):
        return {}
    at_start = {scaled.rule.position: symbol(f"{scaled.rule.position}0")}
    found = {}
    for z, start, part in zip(slow[1:], starts, branch[1:], strict=True):
        with suppress(NoExpansion):
            if z in levels:
                begun = levels[z].each(partial(along, states=slow, branch=branch))
                found[z] = begun.clip(start).xreplace(at_start)
            elif part.value != start:
                found[z] = part.value.xreplace(at_start)
    return found


def standstill(states: tuple[sp.Symbol, ...], equations: Sequence[sp.Expr]) -> tuple[str, ...]:
    """Warn where the position does not move, where a gradient is taken at one point for ever, and
    of states that nothing reads.
    """
    notes = []
    if equations[0] == 0:
        notes.append(
            f"`{states[0]}` does not move in this limit: the terms that move it are smaller"
        )
    calls = {call for equation in equations for call in equation.atoms(Gradient)}
    notes += [
        f"{call} is taken at a fixed point: where it is taken vanishes at the scale of {states[0]}, "
        "the first state, which is taken to be of order 1"
        for call in sorted(to_text(call) for call in calls if not call.has(*states))
    ]
    for state in states[1:]:
        others = (e for z, e in zip(states, equations, strict=True) if z != state)
        if not any(equation.has(state) for equation in others):
            notes.append(f"`{state}` is read by no other equation: it changes nothing else")
    return tuple(notes)


def notes_on(rule: UpdateRule, start: Start) -> tuple[str, ...]:
    """Say what the equations do not say themselves."""
    notes = []
    if start.lacks_shift:
        notes.append(
            "the start is of leading order only: what the states gain in the first few steps has "
            "no closed form"
        )
    rough = kinds("kink", "jump", "contact")
    calls = set[sp.Basic]().union(*(value.atoms(*rough) for value in rule.step_map))
    names = _taken_positive(rule, calls)
    if names:
        words = ", ".join(f"`{name}`" for name in names)
        notes.append(f"{words} taken to be positive, where a maximum or a minimum turns on it")
    if rule.bounds:
        notes.append(
            "reaches(u) is 1 where u >= 0, else 0: a running maximum or minimum moves with its bound"
        )
    return tuple(notes)


def _taken_positive(rule: UpdateRule, calls: Iterable[sp.Expr]) -> list[str]:
    """Return the hyper-parameters, and losses, on whose sign alone one of these calls turns."""
    parameters, found = {*rule.free_parameters}, set[str]()
    for call in calls:
        if not call.has(Opaque, Reduction, *rule.states, *rule.vectors):
            found |= {str(s) for s in call.free_symbols & parameters}
            continue
        u = call.args[0].xreplace(dict(rule.formulas)).subs(rule.step_size, 0)
        open_signs = u.is_comparable or u.has(sp.nan, sp.zoo, sp.oo, COUNTER)
        if open_signs or {-1, 1} - possible_signs(u):
            continue
        if {-1, 1} - signs_at_positive(u, u.free_symbols & parameters):
            found |= {str(s) for s in u.free_symbols & parameters}
            found |= {to_text(loss) for loss in u.atoms(Loss)}
    return sorted(found)


def start_singularities(
    states: tuple[sp.Symbol, ...], equations: Iterable[sp.Expr], initial: tuple[sp.Expr, ...]
) -> tuple[tuple[sp.Expr, ...], tuple[str, ...]]:
    """Find what is singular at the derived start: poles, as the time 0, and roots, in words."""
    start = dict(zip(states[1:], initial[1:], strict=True))
    poles: set[sp.Expr] = set()
    roots: dict[str, None] = {}
    for power in sorted(
        set().union(*(e.atoms(sp.Pow) for e in equations)), key=sp.default_sort_key
    ):
        moving = power.base.free_symbols & set(states[1:])
        if not moving or power.base.xreplace(start).subs(TIME, 0) != 0:
            continue
        if power.exp.is_negative:
            poles.add(sp.S.Zero)
        elif power.exp.is_Rational and power.exp < 1:
            at = ", ".join(f"{z} = 0" for z in sorted(map(str, moving)))
            roots[f"not Lipschitz at the start: {to_text(power)} at {at}"] = None
    # a matrix function has no value at 0
    matrices = (call.args[1] for e in equations for call in e.atoms(MatrixFunction))
    poles |= {sp.S.Zero for a in matrices if a.xreplace(start).subs(TIME, 0) == 0}
    return tuple(poles), tuple(roots)


def singular_times(equations: Iterable[sp.Expr]) -> tuple[sp.Expr, ...]:
    """Return the real times at which a coefficient of the vector field has a pole, ascending."""
    bases = {
        factor
        for equation in equations
        for power in equation.atoms(sp.Pow)
        if power.exp.is_negative
        for factor in sp.Mul.make_args(sp.factor_terms(power.base))
        if factor.has(TIME)
    }
    return tuple(sorted(frozenset().union(*map(_real_roots, bases)), key=sp.default_sort_key))


@cache
def _real_roots(base: sp.Expr) -> frozenset[sp.Expr]:
    """Return the times at which the base is zero whatever the states and parameters are.

    With these in it, that is looked for at t = 0 alone.
    """
    if base.free_symbols == {TIME} and not base.has(Opaque):
        roots = solutions(base, TIME)
    else:
        at_start = base.subs(TIME, 0)
        finite = not at_start.has(sp.nan, sp.zoo, sp.oo)
        roots = [sp.S.Zero] if finite and is_zero(at_start) else []
    return frozenset(root for root in roots if root.is_number and root.is_real)
