"""States that are roots of sums with their own powers: ``m+ = sqrt(m**2 + g**2)``.

Their powers change by what is added, whatever they are, and the state itself is not Lipschitz at 0.
So the power is taken as the state, ``m2 = m**2``.
"""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from optode.language.symbols import At, symbol
from optode.rule.rule import UpdateRule

_MOST = 4
"""The highest root that is looked for."""


def with_powers_of_roots(rule: UpdateRule) -> UpdateRule:
    """Replace each state that is a root, and starts at 0 or above, by its power.

    A rule without such states is returned as it is.
    """
    for state in rule.states[1:]:
        power = _power(rule, state)
        if power:
            rule = _replaced(rule, state, power)
    return rule


def _power(rule: UpdateRule, state: sp.Symbol) -> int:
    """Return n where the n-th power of a state changes by what is added to it, else 0."""
    value = dict(rule.step)[At(state, 1)]
    inlined = rule.step_map[rule.states.index(state)]
    for form in (value, inlined):
        if not (form.is_Pow and form.exp.is_Rational and form.exp.p == 1):
            return 0
    exponent = int(value.exp.q)
    start = dict(rule.start).get(state, sp.S.Zero)
    if exponent > _MOST or not (start.is_nonnegative or start.is_Symbol):
        return 0
    raised = sp.Dummy(positive=True)
    base = inlined.base.xreplace({state: raised ** sp.Rational(1, exponent)})
    apart = sp.expand(base)
    is_linear = apart.diff(raised).free_symbols.isdisjoint({raised})
    return exponent if apart.has(raised) and is_linear else 0


def _replaced(rule: UpdateRule, state: sp.Symbol, exponent: int) -> UpdateRule:
    taken = {str(s) for _, value in rule.step for s in value.free_symbols}
    taken |= {str(target) for target, _ in rule.step} | set(map(str, rule.states))
    name = f"{state}{exponent}"
    while name in taken:
        name += "_"
    new, root = symbol(name), sp.Rational(1, exponent)
    known = {state: new**root, At(state, 1): At(new, 1) ** root}
    step = []
    for target, value in rule.step:
        if target == At(state, 1):
            step.append((At(new, 1), value.base.xreplace(known)))
        else:
            step.append((target, value.xreplace(known)))
    return replace(
        rule,
        states=tuple(new if z == state else z for z in rule.states),
        step=tuple(step),
        start=tuple(
            (new, value**exponent) if z == state else (z, value.xreplace(known))
            for z, value in rule.start
        ),
    )
