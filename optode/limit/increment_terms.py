"""The terms of an increment, whose sizes decide on a scaling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sympy as sp

from optode.calculus.tangent import derivative_along
from optode.language.conditions import branches_of, in_branches, where
from optode.language.derivative import partial
from optode.language.effort import cancelled, expanded, is_zero, operations, terms
from optode.language.elementwise import hardtanh
from optode.language.functions import function_of, kinds
from optode.language.matrices import MatrixFunction
from optode.language.numbers import is_real
from optode.language.presentation import almost_everywhere
from optode.language.symbols import COUNTER, At, Call, Opaque, Reduction, Tangent
from optode.rule.rule import UpdateRule

MOST_TERMS_OF_AN_INCREMENT = 1000


_SHORT = 8
"""Operations of a call that is as short as its name."""


class TooManyTerms(ValueError):
    """An increment that is too long to be told apart into terms; the message says whose."""


@dataclass(frozen=True, slots=True)
class Term:
    """A term of the increment of a state; a self term is that state times what does not read it."""

    state: int
    expression: sp.Expr
    is_self: bool


def grouped_terms(
    rule: UpdateRule, index: int, value: sp.Expr, growing: Iterable[sp.Symbol]
) -> Iterator[Term]:
    """Yield the terms of an increment, one for each product of states and calls.

    Coefficients are combined: ``(k-1)/(k+2) - 1`` is of order 1/k only as ``-3/(k+2)``. States that
    grow by themselves are coefficients too.
    """
    state = rule.states[index]
    vectors = [z for z in rule.states if z not in growing]
    groups: dict[sp.Expr, sp.Expr] = {}
    gained = increment(value, state)
    many = terms(gained).above
    if many > MOST_TERMS_OF_AN_INCREMENT:
        raise TooManyTerms(f"the increment of `{state}` has up to {many} terms, multiplied out")
    for term in sp.Add.make_args(almost_everywhere(_multiplied_out(gained))):
        coefficient, rest = term.as_independent(*vectors, Opaque, At, Reduction, as_Add=False)
        groups[rest] = groups.get(rest, sp.S.Zero) + coefficient
    for rest, coefficient in groups.items():
        for part in _parts(coefficient, growing):
            if part != 0:
                yield Term(index, part * rest, _is_multiple(rest, state))


def increment(value: sp.Expr, state: sp.Symbol) -> sp.Expr:
    """Return ``value - state``, the state taken off each branch of a choice where it cancels.

    What is linear in the state stands apart: ``m*where(c, -a, -b) + where(c, a*g, b*g)``.
    """
    value = value.replace(_is_split, _common_part_out)
    if isinstance(value, where):
        gained = in_branches(value, lambda leaf: increment(leaf, state))
        slope = in_branches(gained, lambda leaf: partial(leaf, state))
        if slope.has(state):
            return gained
        rest = in_branches(gained, lambda leaf: leaf.xreplace({state: sp.S.Zero}))
        return state * slope + rest
    if state in sp.Add.make_args(value):
        return value - state
    for term in sp.Add.make_args(value):
        if isinstance(term, where) and all(leaf.has(state) for leaf in branches_of(term)):
            return value - term + increment(term, state)
    return value - state


def _is_split(node: sp.Basic) -> bool:
    return isinstance(node, (where, hardtanh))


def _common_part_out(node: sp.Expr) -> sp.Expr:
    """Take what all branches of a choice have out of it, and a number out of a value and its bounds.

    ``where(c, 1 + s*p, 1 - s*q)`` is ``1 + where(c, s*p, -s*q)``, ``clip(1 - u, 0, 1 - e)`` is ``1 +
    clip(-u, -1, -e)``: so it cancels in an increment.
    """
    if isinstance(node, hardtanh):
        constant, rest = node.args[0].as_coeff_Add()
        return constant + hardtanh(rest, *(bound - constant for bound in node.args[1:]))
    leaves = [sp.Add.make_args(leaf) for leaf in branches_of(node)]
    common = sp.Add(*(t for t in leaves[0] if all(t in leaf for leaf in leaves[1:])))
    return common + in_branches(node, lambda leaf: leaf - common)


def _is_multiple(term: sp.Expr, state: sp.Symbol) -> bool:
    """Return whether a term is a state times what does not read that state."""
    return bool(term.has(state)) and not (term / state).has(state)


def _multiplied_out(expression: sp.Expr) -> sp.Expr:
    """Multiply the sums of a product out, in each branch of a choice; what functions and roots hold
    stays as it is.
    """
    if isinstance(expression, sp.Add):
        return sp.Add(*map(_multiplied_out, expression.args))
    if isinstance(expression, where):
        return where(expression.args[0], *map(_multiplied_out, expression.args[1:]))
    factors = (f.expand(deep=False) if f.is_Pow else f for f in sp.Mul.make_args(expression))
    opened_once = sp.Mul(*factors).expand(deep=False)
    return expression if opened_once == expression else _multiplied_out(opened_once)


def _parts(coefficient: sp.Expr, growing: Iterable[sp.Symbol]) -> tuple[sp.Expr, ...]:
    """Split a coefficient into terms whose sizes can be told one by one."""
    if coefficient.has(*growing):
        return (coefficient,)
    if any(power.exp.could_extract_minus_sign() for power in coefficient.atoms(sp.Pow)):
        # under short names: polynomials order their generators by what these print as
        calls = [call for call in coefficient.atoms(sp.Function) if operations(call) > _SHORT]
        names = {call: sp.Dummy(real=True) for call in sorted(calls, key=operations, reverse=True)}
        powers, counted = _powers_of_counter(coefficient.xreplace(names))
        short = cancelled(counted).xreplace(powers)
        coefficient = short.xreplace({name: call for call, name in names.items()})
    return sp.Add.make_args(expanded(coefficient))


def _powers_of_counter(
    coefficient: sp.Expr,
) -> tuple[dict[sp.Expr, sp.Expr], sp.Expr]:
    """Name ``b**k`` in an expression, also in ``b**(k + 1)``: polynomials would see two generators.

    Returns what the names stand for, and the expression with them.
    """
    names: dict[sp.Expr, sp.Expr] = {}
    for power in coefficient.atoms(sp.Pow):
        constant, rest = power.exp.as_coeff_Add()
        if rest.has(COUNTER) and constant.is_Integer:
            names.setdefault(power.base**rest, sp.Dummy(positive=True))

    def named(power: sp.Expr) -> sp.Expr:
        constant, rest = power.exp.as_coeff_Add()
        return power.base**constant * names[power.base**rest]

    def is_counted(node: sp.Basic) -> bool:
        return node.is_Pow and node.base ** node.exp.as_coeff_Add()[1] in names

    found = coefficient.replace(is_counted, named) if names else coefficient
    return {name: power for power, name in names.items()}, found


def about_rest(value: sp.Expr, state: sp.Symbol, step_size: sp.Symbol) -> sp.Expr | None:
    """Expand the new value of a state that rests at step size 0 there, to second order.

    As ``b*sinh(asinh(x/b) - s*g)``, and ``x*e*total(x)/total(x*e)`` with ``e = exp(-s*g)``: at step
    size 0 both are x, by terms that cancel together and not one by one. None where the state does
    not rest there, or the value has no two derivatives there. Only sizes are read off the result.
    """
    if value.has(COUNTER) or not is_zero(value.subs(step_size, 0) - state):
        return None
    found, slope = state, value
    for n in (1, 2):
        slope = derivative_along(slope, {step_size: sp.S.One})
        still = slope.subs(step_size, 0)
        if still.has(sp.nan, sp.zoo, sp.oo):
            return None
        found += step_size**n * still / n
    return found


def opened(value: sp.Expr, step_size: sp.Symbol, position: sp.Symbol) -> sp.Expr:
    """Open functions at what they tend to as the step size s vanishes, to second order.

    ``x*exp(-s*g) - x`` is of the size of ``s*x*g``, and ``g(x + d) - g(x)`` of that of ``J d``: what
    cancels has to be seen before sizes are balanced. Only sizes are read off the result.
    """

    def near_one(node: sp.Expr) -> bool:
        return node.has(step_size) and not node.has(COUNTER)

    def power(base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        still = base.subs(step_size, 0) if near_one(base) and exponent.is_number else sp.S.Zero
        if not still.is_number or not still.is_positive or (exponent.is_Integer and exponent > 0):
            return base**exponent
        small = expanded(base / still - 1)
        series = 1 + exponent * small + exponent * (exponent - 1) / 2 * small**2
        return still**exponent * series

    def function(call: sp.Expr) -> sp.Expr:
        argument, *rest = call.args
        if not near_one(argument) or any(map(near_one, rest)):
            return call
        still, u = argument.subs(step_size, 0), sp.Dummy(real=True)
        if not is_real(still) or (
            still == 0 and isinstance(call, kinds("kink", "jump", "contact"))
        ):
            return call
        slope = partial(call.func(u, *rest), u)
        change = expanded(argument - still)
        second = partial(slope, u).subs(u, still) * change**2 / 2
        return call.func(still, *rest) + slope.subs(u, still) * change + second

    def oracle(call: sp.Expr) -> sp.Expr:
        *before, argument = call.args
        moved = expanded(argument - position)
        if moved == 0 or not argument.has(position) or isinstance(call, MatrixFunction):
            return call
        at = call.func(*before, position)
        return at + Tangent(at, moved) + Tangent(at, moved, moved) / 2

    def is_smooth_call(node: sp.Basic) -> bool:
        record = function_of(node) if isinstance(node, sp.Function) else None
        known = record is not None and not record.over_features
        return known and not isinstance(node, where)

    found = value.replace(sp.Pow, power).replace(is_smooth_call, function)
    return found.replace(lambda node: isinstance(node, Call), oracle)
