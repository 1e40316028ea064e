"""Update rules as an author writes them: with lags, intermediate quantities and implicit steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Literal, TypeAlias

import sympy as sp

from optode.language.effort import written_out
from optode.language.mutual import in_terms_of_the_rest
from optode.language.symbols import COUNTER, At, by_name, step_symbol, symbol
from optode.rule.accumulated import with_moving_position
from optode.rule.naming import bad_names, unknown_starts
from optode.rule.normal_form import normal_form
from optode.rule.rooted import with_powers_of_roots
from optode.rule.rule import Flaw, RuleError, UpdateRule, too_long
from optode.rule.shapes import misfits
from optode.rule.stored import with_lags_for_stored

Step: TypeAlias = dict[sp.Expr, sp.Expr]
Values: TypeAlias = Mapping[sp.Symbol, sp.Expr]

IMPLICIT_ITERATIONS = 4
"""How far an implicit step is unrolled."""

_SCALING_HINT = "write `time` or an auxiliary state, and a power of the step size: `v: sqrt(s)`"


def update_rule(
    name: str,
    step_size: sp.Symbol,
    states: Iterable[sp.Symbol],
    update: Values,
    parameters: Values | None = None,
    start: Values | None = None,
    *,
    decays: Iterable[sp.Symbol] = (),
    vectors: Iterable[sp.Symbol] = (),
    scaling: Mapping[sp.Symbol | str, sp.Expr] | None = None,
    is_matrix: bool = False,
) -> UpdateRule:
    """Make a rule from SymPy expressions.

    ``update`` maps a state to its next value and an intermediate quantity to its definition.
    Expressions use ``Gradient(x)``, ``At(x, -1)`` for x[k-1], ``At(v, 1)`` for v[k+1], ``COUNTER``
    for k and ``Oracle(P, x)`` for an operator P of the caller's. ``parameters`` gives formulas of the
    step size; all other hyper-parameters are free: ``decays`` may move with the step size, ``vectors``
    have a value for each feature. ``start`` gives states at k = 0 that are not 0. ``scaling`` fixes powers
    of the step size: ``{"time": sqrt(s)}``. With ``is_matrix`` the position has rows and columns.
    Symbols are taken by name, and a decimal number is exact. Raises RuleError with all errors of a
    kind: names that are taken or unknown, an implicit step without iteration, a value beyond the
    step, a scaling that is none, matrices whose shapes do not fit.
    """
    own = _OwnTerms(step_size)
    own_states = tuple(map(own, states))
    formulas, starts = own.pairs(parameters or {}), own.pairs(start or {})
    step = own.step(update, own_states)
    named = bad_names(name, own.step_size, own_states, step, formulas, starts)
    _raise_if_any([*named, *misfits(own_states, step, is_matrix, starts)])
    all_states, one_step = _one_step(own_states, step, own.step_size, dict(formulas))
    starts = _resolved(starts, all_states)
    rule = UpdateRule(
        name,
        own.step_size,
        all_states,
        tuple(one_step.items()),
        formulas,
        starts,
        decays=tuple(map(own, decays)),
        vectors=tuple(map(own, vectors)),
        is_matrix=is_matrix,
        written=tuple(step.items()),
        written_start=starts,
    )
    normal = normal_form(with_powers_of_roots(with_moving_position(rule)))
    _raise_if_any(unknown_starts(starts, {*all_states, *normal.states}))
    powers = {str(entry): own(p) for entry, p in (scaling or {}).items()}
    return replace(normal, declared_powers=_declared_powers(powers, normal))


def _raise_if_any(flaws: Iterable[Flaw]) -> None:
    found = tuple(flaws)
    if found:
        raise RuleError(found)


def _resolved(
    starts: tuple[tuple[sp.Symbol, sp.Expr], ...], states: tuple[sp.Symbol, ...]
) -> tuple[tuple[sp.Symbol, sp.Expr], ...]:
    """Return the starts in terms of the position and parameters alone: other states start at 0."""
    others = dict.fromkeys(states[1:], sp.S.Zero)
    try:
        known = in_terms_of_the_rest({**others, **dict(starts)})
    except ValueError as error:
        state = next(z for z, _ in starts if f"`{z}`" in str(error))
        message = f"the start of {error} is given by itself"
        hint = f"in terms of `{states[0]}`, of parameters, and of states that start by these"
        raise RuleError([Flaw("E309", state, message, hint, "start")]) from None
    return tuple((z, known[z]) for z, _ in starts)


class _OwnTerms:
    """Expressions in the language's own symbols: step size positive, the rest real."""

    def __init__(self, step_size: sp.Symbol) -> None:
        self.step_size = step_symbol(step_size.name)

    def __call__(self, expression: sp.Expr) -> sp.Expr:
        return by_name(expression).xreplace({symbol(self.step_size.name): self.step_size})

    def pairs(self, values: Values) -> tuple[tuple[sp.Symbol, sp.Expr], ...]:
        return tuple((self(name), self(value)) for name, value in values.items())

    def step(self, update: Values, states: tuple[sp.Symbol, ...]) -> Step:
        """Return the assignments; a state stands as its value at k + 1."""
        return {At(z, 1) if z in states else z: value for z, value in self.pairs(update)}


def _declared_powers(
    powers: Mapping[str, sp.Expr], rule: UpdateRule
) -> tuple[tuple[int, Fraction], ...]:
    """Return the powers of the step size in ``scaling``, by the state's index, 0 for time."""
    names = {"time": 0} | {str(state): index for index, state in enumerate(rule.states) if index}
    flaws: list[Flaw] = []
    declared: list[tuple[int, Fraction]] = []
    for name, power in powers.items():
        base, exponent = power.as_base_exp() if power != 1 else (rule.step_size, sp.S.Zero)
        if name not in names:
            flaws.append(_not_a_scaling(name, "scaling", "not a scaling of the rule"))
        elif base != rule.step_size or not exponent.is_Rational:
            flaws.append(_not_a_scaling(name, "power", "not a power of the step size"))
        elif name == "time" and exponent <= 0:
            message = "the time step must vanish with the step size"
            flaws.append(_not_a_scaling(name, "power", message))
        else:
            declared.append((names[name], Fraction(exponent)))
    _raise_if_any(flaws)
    return tuple(declared)


def _not_a_scaling(name: str, place: Literal["scaling", "power"], message: str) -> Flaw:
    return Flaw("E303", symbol(name), message, _SCALING_HINT, place)


def _one_step(
    states: tuple[sp.Symbol, ...], step: Step, step_size: sp.Symbol, formulas: Values
) -> tuple[tuple[sp.Symbol, ...], Step]:
    """Return all states, with those that lags need, and assignments that read k and k + 1 alone."""
    step = with_lags_for_stored(step, states, step_size, formulas)
    step = _inline_shifted_definitions(step, states)
    _raise_if_any(_beyond_the_step(step))
    flaws: list[Flaw] = []
    step = _in_evaluation_order(step, step_size, flaws)
    all_states, step = _with_difference_states(states, step, flaws)
    _raise_if_any(flaws or _too_long(step, formulas))
    return all_states, step


def _too_long(step: Step, formulas: Values) -> Iterable[Flaw]:
    """Yield a flaw for the first assignment that is too long with all definitions put in."""
    extents = {name: written_out(formula, {}) for name, formula in formulas.items()}
    for target, value in step.items():
        extents[target] = written_out(value, extents)
        if not extents[target].is_modest:
            yield too_long(_name(target))
            return


def shift(expression: sp.Expr, offset: int, sequences: Iterable[sp.Symbol]) -> sp.Expr:
    """Return the expression at iteration k + offset: each sequence and the counter moved."""
    moves: dict[sp.Expr, sp.Expr] = {s: At(s, offset) for s in sequences}
    moves[COUNTER] = COUNTER + offset
    for node in expression.atoms(At):
        at = node.args[1] + offset
        moves[node] = At(node.args[0], at) if at else node.args[0]
    return expression.xreplace(moves)


def _beyond_the_step(step: Step) -> list[Flaw]:
    """Find values at k + 2 and later, which one step does not make."""
    return [
        Flaw(
            "E305",
            _name(target),
            f"`{node.args[0]}[k+{node.args[1]}]` lies beyond the step",
            "one step makes the values at k+1 from those at k and before",
        )
        for target, value in step.items()
        for node in sorted(value.atoms(At), key=sp.default_sort_key)
        if node.args[1] > 1
    ]


def _inline_shifted_definitions(step: Step, states: tuple[sp.Symbol, ...]) -> Step:
    """Replace ``y[k-1]`` of an intermediate y by y's definition, every index moved by -1."""
    definitions = [target for target in step if isinstance(target, sp.Symbol)]
    result = dict(step)
    for target in result:
        for _ in definitions:
            shifted = [a for a in result[target].atoms(At) if a.args[0] in definitions]
            moved = {a: shift(step[a.args[0]], a.args[1], (*states, *definitions)) for a in shifted}
            extents = {a: written_out(value, {}) for a, value in moved.items()}
            if not written_out(result[target], extents).is_modest:
                raise RuleError([too_long(_name(target))])
            result[target] = result[target].xreplace(moved)
    return result


def _in_evaluation_order(step: Step, step_size: sp.Symbol, flaws: list[Flaw]) -> Step:
    """Order the assignments: each after those it reads, otherwise as the author wrote them.

    Assignments that read each other are unrolled.
    """
    waiting = list(step)
    ordered: Step = {}
    while waiting:
        ready = [target for target in waiting if not _reads(step[target]) & set(waiting)]
        if not ready:
            step, ready = _unrolled(step, waiting, step_size, flaws), list(waiting)
            if flaws:
                return step
        ordered[ready[0]] = step[ready[0]]
        waiting.remove(ready[0])
    return ordered


def _reads(value: sp.Expr) -> set[sp.Expr]:
    return {a for a in value.atoms(At) if a.args[1] == 1} | set(value.free_symbols)


def _unrolled(step: Step, targets: list[sp.Expr], step_size: sp.Symbol, flaws: list[Flaw]) -> Step:
    """Replace assignments that read each other by fixed-point iterations from the old values.

    Each iteration gains a power of the step size, so the result agrees with the implicit step to
    O(s^IMPLICIT_ITERATIONS), which is beyond every order a limit is taken to. An assignment whose
    own result does not come multiplied by the step size has no such iteration.
    """
    for target in targets:
        if step[target].subs(step_size, 0).has(*targets):
            name = _name(target)
            hint = "its new value must come multiplied by the step size: s*grad(x[k+1])"
            flaws.append(Flaw("E301", name, f"`{name}` is defined through itself", hint))
    old = {t: t.args[0] if isinstance(t, At) else step[t].subs(step_size, 0) for t in targets}
    for _ in range(IMPLICIT_ITERATIONS):
        extents = {target: written_out(value, {}) for target, value in old.items()}
        long = [t for t in targets if not written_out(step[t], extents).is_modest]
        if long:
            flaws += (too_long(_name(t)) for t in long)
            return step
        old = {target: step[target].xreplace(old) for target in targets}
    return step | old


def _with_difference_states(
    states: tuple[sp.Symbol, ...], step: Step, flaws: list[Flaw]
) -> tuple[tuple[sp.Symbol, ...], Step]:
    """Replace lags by difference states: z[k-j] = (1 - difference)^j z[k], a binomial sum."""
    lags: dict[sp.Expr, sp.Expr] = {}
    added: Step = {}
    for state in states:
        depth = max(
            (-_offset(a) for v in step.values() for a in v.atoms(At) if a.args[0] == state),
            default=0,
        )
        differences = [state, *(symbol("d" * i + state.name) for i in range(1, depth + 1))]
        for order in range(1, depth + 1):
            terms = (sp.binomial(order, i) * (-1) ** i * differences[i] for i in range(order + 1))
            lags[At(state, -order)] = sp.Add(*terms)
        for lower_one, difference in pairwise(differences):
            if difference in states or difference in step:
                hint = "rename the state or quantity of that name"
                message = f"the lag of `{state}` needs the name `{difference}` for its difference"
                flaws.append(Flaw("E302", state, message, hint))
            added[At(difference, 1)] = At(lower_one, 1) - lower_one
    lagless = {target: value.xreplace(lags) for target, value in step.items()} | added
    return (*states, *(target.args[0] for target in added)), lagless


def _offset(node: sp.Expr) -> int:
    return int(node.args[1])


def _name(target: sp.Expr) -> sp.Symbol:
    """Return the name that an assignment is to."""
    return target.args[0] if isinstance(target, At) else target
