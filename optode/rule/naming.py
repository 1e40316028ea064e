"""Check the names in a rule: that a module can have them, and that each means one thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import sympy as sp

from optode.language.symbols import COUNTER, operators_in, symbol
from optode.rule.rule import Flaw
from optode.spec.names import file_name_problem, name_problem

Pairs: TypeAlias = tuple[tuple[sp.Symbol, sp.Expr], ...]


def bad_names(
    name: str,
    step_size: sp.Symbol,
    states: tuple[sp.Symbol, ...],
    step: Mapping[sp.Expr, sp.Expr],
    formulas: Pairs,
    starts: Pairs,
) -> Iterable[Flaw]:
    """Yield a flaw for each name that a module cannot have, or that two things have."""
    problem = file_name_problem(name)
    if problem is not None:
        yield Flaw("E110", symbol(name), *problem)
    given = [step_size, *states, *(z for z in step if isinstance(z, sp.Symbol))]
    given += [parameter for parameter, _ in formulas]
    values = [*step.values(), *(value for _, value in (*formulas, *starts))]
    free = set().union(*(value.free_symbols for value in values)) - {*given, COUNTER}
    operators = operators_in(values)
    for text in map(str, [*given, *sorted(free, key=str), *operators]):
        problem = name_problem(text)
        if problem is not None:
            yield Flaw("E110", symbol(text), *problem)
    given += [symbol(name) for name in operators]
    for twice in sorted({str(z) for z in given if given.count(z) > 1}):
        yield Flaw("E117", symbol(twice), f"`{twice}` is declared twice", None)
    at_start = symbol(f"{states[0]}0") if states else None
    for state, value in starts:
        if at_start in value.free_symbols - {*states}:
            message = f"`{at_start}` is where `{states[0]}` starts: a parameter has another name"
            hint = f"write `{states[0]}` for the position at k = 0"
            yield Flaw("E117", state, message, hint, "start")


def unknown_starts(starts: Pairs, states: set[sp.Symbol]) -> Iterable[Flaw]:
    """Yield a flaw for each start of what is no state."""
    known = ", ".join(sorted(map(str, states)))
    for state, _ in starts:
        if state not in states:
            yield Flaw("E126", state, f"`{state}` is not a state", f"known: {known}", "start")
