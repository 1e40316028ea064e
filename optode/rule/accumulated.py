"""A position that is a function of accumulators, as in dual averaging: ``x = x0 - s/sqrt(v)``.

Such a rule assigns the position without reading it: ``x[k+1] = G(y[k+1])`` of other states y, or as
an average, ``x[k+1] = rho*x[k] + (1 - rho)*G(y[k+1])``. Then ``x[k+1] = x[k] + G(y[k+1]) - G(y[k])``
says the same of its motion, beside a distance from G that is forgotten in a few steps.
"""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from optode.language.derivative import partial
from optode.language.effort import expanded, is_zero
from optode.language.symbols import COUNTER, At, Opaque, symbol
from optode.rule.rule import Flaw, RuleError, UpdateRule


def with_moving_position(rule: UpdateRule) -> UpdateRule:
    """Write the position of a rule as one that moves; a rule whose position does is returned as it is.

    Raises RuleError where the position would jump from its start to another place, or has no start.
    """
    found = _potential(rule)
    if found is None:
        return rule
    memory, potential = found
    x, steps = rule.position, dict(rule.step)
    if potential in rule.states:
        return _renamed(rule, potential)
    remembered = _through_unread(rule)
    still = _given(remembered).xreplace(dict(rule.formulas)).subs(rule.step_size, 0)
    if still.has(x) and _potential(remembered) is None:
        return remembered
    _check_start(rule, potential)
    following = potential.xreplace({z: At(z, 1) for z in rule.states})
    moves = following - potential.xreplace({COUNTER: COUNTER - 1})
    if memory == 0:
        steps = {z: v for z, v in steps.items() if z != At(x, 1)} | {At(x, 1): x + moves}
        return replace(rule, step=tuple(steps.items()), potential=potential)
    rest = symbol(f"{x}_rest")
    steps = {z: v.xreplace({x: x + rest}) for z, v in steps.items() if z != At(x, 1)}
    steps |= {At(x, 1): x + moves, At(rest, 1): memory * (rest - moves)}
    return replace(
        rule,
        states=(*rule.states, rest),
        step=tuple(steps.items()),
        potential=potential,
    )


def _potential(rule: UpdateRule) -> tuple[sp.Expr, sp.Expr] | None:
    """Return rho and G of a position that forgets where it was; None where it remembers."""
    x, steps = rule.position, dict(rule.step)
    value = _given(rule)
    constant = {z: At(z, 1) for z in rule.states if steps[At(z, 1)] == z}
    value = value.xreplace(constant)
    memory, rest = sp.S.Zero, value
    if value.has(x):
        memory = expanded(partial(value, x))
        rest = value - memory * x
        rest = expanded(rest) if rest.has(x) else rest
    still = memory.xreplace(dict(rule.formulas)).subs(rule.step_size, 0)
    if still == 1 or memory.has(*rule.states, At, Opaque, COUNTER, rule.step_size):
        return None
    slots = {At(z, 1): sp.Dummy(z.name, real=True) for z in rule.states}
    after = rest.xreplace(slots)
    if after.has(*rule.states, At, Opaque) or not after.has(*slots.values()):
        return None
    back = {slot: at.args[0] for at, slot in slots.items()}
    return memory, (after / (1 - memory)).xreplace(back)


def _through_unread(rule: UpdateRule) -> UpdateRule:
    """Put states that nothing reads one step later into what the position is given.

    As ``y[k+1] = x[k] - s*grad(x[k])`` in ``x[k+1] = (1 - c)*z[k+1] + c*y[k+1]``: these are
    intermediate quantities, and through them the position reads where it was.
    """
    x, steps = rule.position, dict(rule.step)
    read = set[sp.Symbol]().union(*(_read_before(value) for value in steps.values()))
    unread = {z: v for z, v in steps.items() if isinstance(z, At) and z.args[0] not in {*read, x}}
    for _ in unread:
        steps[At(x, 1)] = steps[At(x, 1)].xreplace(unread)
    return replace(rule, step=tuple(steps.items()))


def _read_before(value: sp.Expr) -> set[sp.Symbol]:
    """Return the names that a value reads at k."""
    bare = value.xreplace({at: sp.Dummy() for at in value.atoms(At)})
    return set(bare.free_symbols)


def _given(rule: UpdateRule) -> sp.Expr:
    """Return what the position is given, definitions put in."""
    definitions = {z: v for z, v in rule.step if isinstance(z, sp.Symbol)}
    value = dict(rule.step)[At(rule.position, 1)]
    for _ in definitions:
        value = value.xreplace(definitions)
    return value


def _renamed(rule: UpdateRule, other: sp.Expr) -> UpdateRule:
    """Drop a state that the position is equal to after every step.

    Raises RuleError where that starts at another place, which the first step does not forget.
    """
    x, steps = rule.position, dict(rule.step)
    first = rule.step_map[rule.states.index(other)].xreplace(dict(rule.formulas))
    first = first.xreplace({COUNTER: sp.S.Zero}).subs(rule.step_size, 0)
    start = dict(rule.start).get(other, sp.S.Zero)
    apart = first.xreplace({other: start}) - first.xreplace({other: x})
    if not (apart.has(sp.nan, sp.zoo, sp.oo) or is_zero(apart)):
        hint = f"let it start where the position does: `start: {{{other}: {x}}}`"
        raise RuleError([Flaw("E307", x, _forgetting(x, f"`{other}`"), hint)])
    same = {other: x, At(other, 1): At(x, 1)}
    kept = {z: v.xreplace(same) for z, v in steps.items() if z != At(x, 1)}
    step = {(At(x, 1) if z == At(other, 1) else z): v for z, v in kept.items()}
    return replace(
        rule,
        states=tuple(z for z in rule.states if z != other),
        step=tuple(step.items()),
        start=tuple((z, v) for z, v in rule.start if z != other),
    )


def _check_start(rule: UpdateRule, potential: sp.Expr) -> None:
    starts = dict.fromkeys(rule.states[1:], sp.S.Zero) | dict(rule.start)
    x, before = rule.position, {COUNTER: sp.Integer(-1)}
    first = potential.xreplace(before).xreplace(starts)
    if potential.xreplace(before).has(sp.nan, sp.zoo, sp.oo):
        message = f"`{x}` has no value before its first step, where its `k` is -1"
        hint = "count later: `k + 2` for `k + 1` has the same limit"
        raise RuleError([Flaw("E308", x, message, hint)])
    if first.has(sp.nan, sp.zoo, sp.oo) or is_zero(first - rule.position):
        return
    hint = (
        f"let a state hold its start: `{x}_ref[k+1] = {x}_ref[k]`, `start: {{{x}_ref: {x}}}`, and "
        f"count from there: `{x}[k+1] = {x}_ref[k] + ...`"
    )
    raise RuleError([Flaw("E307", x, _forgetting(x, "other states"), hint)])


def _forgetting(x: sp.Symbol, others: str) -> str:
    return f"`{x}` forgets where it starts: its first value is that of {others}"
