"""A limit that is given as an ODE, without an update rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import sympy as sp

from optode.language.effort import Extent, written_out
from optode.language.numbers import number_problem
from optode.language.presentation import present
from optode.language.symbols import Field, by_name, symbol
from optode.limit.initial_values import singular_times
from optode.limit.limit import ContinuousLimit
from optode.rule.rule import Flaw, RuleError, too_long
from optode.rule.shapes import misfits
from optode.spec.names import file_name_problem, name_problem

Values: TypeAlias = Mapping[sp.Symbol, sp.Expr]


def given_ode(
    name: str, states: Iterable[sp.Symbol], equations: Values, *, is_matrix: bool = False
) -> ContinuousLimit:
    """Make a limit from an ODE: the equations are taken as they stand, in ``Field(TIME, h)``.

    ``equations`` maps each state to its derivative. The first state is the position; the others
    start at 0. Symbols are taken by name, and a decimal number is exact. Raises RuleError with all
    errors: a name that is taken, a state without an equation, different numbers of arguments of f,
    matrices whose shapes do not fit. With ``is_matrix`` the position has rows and columns.
    """
    own_states = tuple(map(by_name, states))
    given = {by_name(state): by_name(value) for state, value in equations.items()}
    flaws = [*_bad_names(name, own_states, given), *_unequal_calls(given)]
    flaws += misfits(own_states, given, is_matrix)
    if flaws:
        raise RuleError(flaws)
    derivatives = [present(given[state]) for state in own_states]
    return ContinuousLimit(
        name=name,
        states=own_states,
        equations=tuple(derivatives),
        initial=(symbol(f"{own_states[0]}0"), *(sp.S.Zero for _ in own_states[1:])),
        singular_times=singular_times(derivatives),
        is_matrix=is_matrix,
    )


def put_in(definitions: Values, equations: Values) -> Values:
    """Replace the intermediate quantities in equations by their definitions, in any order.

    Raises RuleError for a quantity that is defined through itself, or an equation that gets too
    long.
    """
    waiting, known = dict(definitions), dict[sp.Symbol, sp.Expr]()
    extents: dict[sp.Expr, Extent] = {}
    while ready := [name for name, value in waiting.items() if not value.has(*waiting)]:
        for name in ready:
            extents[name] = written_out(waiting[name], extents)
            if not extents[name].is_modest:
                raise RuleError([too_long(name)])
            known[name] = waiting.pop(name).xreplace(known)
    flaws = [Flaw("E301", name, f"`{name}` is defined through itself", None) for name in waiting]
    flaws += [too_long(z) for z, e in equations.items() if not written_out(e, extents).is_modest]
    if flaws:
        raise RuleError(flaws)
    return {state: value.xreplace(known) for state, value in equations.items()}


def _bad_names(name: str, states: tuple[sp.Symbol, ...], given: Values) -> Iterable[Flaw]:
    problems = {symbol(name): file_name_problem(name)}
    problems |= {state: name_problem(state.name) for state in states}
    yield from (Flaw("E110", z, *problem) for z, problem in problems.items() if problem)
    for state in states:
        if state not in given:
            yield Flaw("E125", state, f"the state `{state}` is never assigned", None)
    for state, value in given.items():
        if problem := number_problem(value):
            yield Flaw("E209", state, f"{state}' {problem}", None)
    for other in given:
        if other not in states:
            yield Flaw("E126", other, f"`{other}` is not a state", None)


def _unequal_calls(given: Mapping[sp.Symbol, sp.Expr]) -> Iterable[Flaw]:
    calls = {state: value.atoms(Field) for state, value in given.items()}
    if len({len(call.args) for found in calls.values() for call in found}) > 1:
        message = "f is called with different numbers of arguments"
        yield from (Flaw("E304", state, message, None) for state, found in calls.items() if found)
