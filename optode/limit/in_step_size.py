"""Expressions of a rule in the step size: formulas put in, free decays as ``1 - rate``."""

from __future__ import annotations

from functools import partial

import sympy as sp

from optode.calculus.tangent import derivative_along
from optode.language.symbols import COUNTER
from optode.rule.bound import Bound, without_bound
from optode.rule.rule import UpdateRule


def forgetting(decay: sp.Symbol) -> sp.Symbol:
    """Return the symbol for ``1 - beta`` of a free decay beta."""
    return sp.Symbol(f"rate_{decay}", positive=True)


def in_step_size(rule: UpdateRule, expression: sp.Expr) -> sp.Expr:
    """Put the formulas of hyper-parameters into an expression, and ``1 - rate`` for free decays."""
    formulas: dict[sp.Expr, sp.Expr] = {beta: 1 - forgetting(beta) for beta in rule.decays}
    for name, formula in rule.formulas:
        formulas[name] = formula.xreplace(formulas)
    return expression.xreplace(formulas)


def step_map_in_step_size(rule: UpdateRule) -> tuple[sp.Expr, ...]:
    """Return the one-step map in the step size and the rates, bounds left out."""
    bounds = rule.bounds
    values = []
    for state, value in zip(rule.states, rule.step_map, strict=True):
        if state in bounds:
            value = without_bound(value)
        values.append(in_step_size(rule, value))
    return tuple(values)


def sized_map(rule: UpdateRule) -> tuple[sp.Expr, ...]:
    """Return the one-step map as far as sizes are read off it.

    ``G(y+) - G(y)`` of a position that moves with other states is ``DG(y+ - y)`` there, and G moves
    with k by its slope: the terms would not cancel one by one.
    """
    values = step_map_in_step_size(rule)
    if rule.potential is None:
        return values
    gained = {z: v - z for z, v in zip(rule.states, values, strict=True)}
    rates = {**gained, COUNTER: sp.S.One}
    moves = derivative_along(in_step_size(rule, rule.potential), rates)
    return (rule.position + moves, *values[1:])


def bounds_in_step_size(rule: UpdateRule) -> dict[sp.Symbol, Bound]:
    """Return the bounds of states in the step size and the rates."""
    put_in = partial(in_step_size, rule)
    return {z: bound.each(put_in) for z, bound in rule.bounds.items()}
