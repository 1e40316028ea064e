"""Expressions of a rule in the step size: formulas put in, free decays as ``1 - rate``."""

from __future__ import annotations

import sympy as sp

from optode.language.symbols import relu
from optode.rule.rule import UpdateRule


def forgetting(decay: sp.Symbol) -> sp.Symbol:
    """The symbol for ``1 - beta`` of an undeclared decay beta."""
    return sp.Symbol(f"rate_{decay}", positive=True)


def in_step_size(rule: UpdateRule, expression: sp.Expr) -> sp.Expr:
    """An expression of the rule with formulas put in and undeclared decays as ``1 - rate``."""
    formulas: dict[sp.Expr, sp.Expr] = {beta: 1 - forgetting(beta) for beta in rule.decays}
    for name, formula in rule.formulas:
        formulas[name] = formula.xreplace(formulas)
    return expression.xreplace(formulas)


def step_map_in_step_size(rule: UpdateRule) -> tuple[sp.Expr, ...]:
    """The one-step map in step size and rates; of a state with a floor, the map without it."""
    floors = rule.floors
    values = []
    for state, value in zip(rule.states, rule.step_map, strict=True):
        if state in floors:
            value = sp.Add(*(t for t in sp.Add.make_args(value) if not isinstance(t, relu)))
        values.append(in_step_size(rule, value))
    return tuple(values)
