"""How a limit starts: derived initial values, what is singular there, what remains open."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cache

import sympy as sp

from optode.calculus.expansion import Scale, expand
from optode.calculus.tangent import substituted
from optode.diagnostics import Diagnostic, SpecError
from optode.language.symbols import TIME, Gradient, maximum, symbol
from optode.language.text import to_text
from optode.limit.in_step_size import in_step_size
from optode.limit.increments import scale_of
from optode.limit.scaling import Scaling
from optode.limit.slow_manifold import Increments, SlowManifold, initial_shift
from optode.rule.rule import UpdateRule


def initial_values(
    rule: UpdateRule,
    scaling: Scaling,
    increments: Increments,
    manifold: SlowManifold,
    order: int,
) -> list[sp.Expr]:
    """The slow states at k = 0, beyond leading order with what they gain while the fast ones
    settle.

    Where that gain has no closed form the leading value stands alone, and a note says so.
    """
    start = _start(rule, scaling, 0)
    values = [start[state] for state in increments.slow]
    if not order:
        return values
    later = _start(rule, scaling, 1)
    values = [v + scaling.unit * later[z] for v, z in zip(values, increments.slow, strict=True)]
    shifts = initial_shift(increments, manifold, start) if manifold.fast else None
    if shifts is None:
        return values
    at_start = {state: start[state] for state in rule.states}
    moved = (substituted(shift, at_start, increments.slow) for shift in shifts)
    return [value + scaling.unit * shift for value, shift in zip(values, moved, strict=True)]


def standstill(states: tuple[sp.Symbol, ...], equations: Iterable[sp.Expr]) -> tuple[str, ...]:
    """A warning where the gradient is taken at one point for ever."""
    calls = {call for equation in equations for call in equation.atoms(Gradient)}
    fixed = sorted(to_text(call) for call in calls if not call.has(*states))
    return tuple(
        f"{call} is taken at a fixed point: where it is taken vanishes at the scale of {states[0]}, "
        "the first state, which is taken to be of order 1"
        for call in fixed
    )


def _start(rule: UpdateRule, scaling: Scaling, order: int) -> dict[sp.Symbol, sp.Expr]:
    """The coefficient of Delta^order of the scaled states at k = 0.

    The position starts anywhere, the others at 0 unless said.
    """
    declared = dict(rule.start)
    at_start = {z: declared.get(z, sp.S.Zero) for z in rule.states}
    at_start[rule.position] = symbol(f"{rule.position}0")
    constants = Scale(
        tuple(r for r in scale_of(rule, scaling).monomials if r[0] not in rule.states)
    )
    values = {rule.position: sp.S.Zero if order else at_start[rule.position]}
    floors = rule.floors
    for index, state in enumerate(rule.states[1:], 1):
        start = declared.get(state, sp.S.Zero)
        if state in floors:
            level = in_step_size(rule, floors[state]).subs(rule.step_size, 0)
            start = level if start == 0 and level.is_nonnegative else maximum(start, level)
        start = start.xreplace(dict(rule.formulas)).xreplace(at_start).xreplace(at_start)
        power = scaling.powers[index]
        series = expand(start, constants, power + order + 1).shifted(-power)
        if any(exponent < 0 for exponent, _ in series.terms):
            message = f"`{state}` starts at {to_text(start)}, which is not of its own scale"
            raise SpecError([Diagnostic("E404", message, rule.span_of(index))])
        values[state] = series.coefficient(Fraction(order))
    return values


def notes_on(
    rule: UpdateRule,
    scaling: Scaling,
    increments: Increments,
    manifold: SlowManifold,
    order: int,
) -> tuple[str, ...]:
    """What the equations do not say themselves."""
    notes = []
    shifted = bool(order and manifold.fast)
    if shifted and initial_shift(increments, manifold, _start(rule, scaling, 0)) is None:
        notes.append(
            "the start is of leading order only: what the fast states add while they settle has "
            "no closed form"
        )
    if rule.floors:
        notes.append(
            "reaches(u) is 1 where u >= 0, else 0: a running supremum moves with its floor"
        )
    return tuple(notes)


def start_singularities(
    states: tuple[sp.Symbol, ...], equations: Iterable[sp.Expr], initial: tuple[sp.Expr, ...]
) -> tuple[tuple[sp.Expr, ...], tuple[str, ...]]:
    """What is singular at the derived start: the time 0 where a pole is, words where a root is."""
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
    return tuple(poles), tuple(roots)


def singular_times(equations: Iterable[sp.Expr]) -> tuple[sp.Expr, ...]:
    """The real times at which a coefficient of the vector field has a pole, ascending."""
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
    """The times at which the base is zero whatever the states and parameters are."""
    try:
        roots = sp.solve(base, TIME)
    except NotImplementedError:
        return frozenset()
    return frozenset(root for root in roots if root.is_number and root.is_real)
