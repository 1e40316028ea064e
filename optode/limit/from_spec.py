"""From a spec that states an ODE to the limit it is."""

from __future__ import annotations

import sympy as sp

from optode.diagnostics import Reporter
from optode.language.presentation import present
from optode.language.symbols import TIME, Field, Gradient, field_call, symbol
from optode.limit.initial_values import singular_times
from optode.limit.limit import ContinuousLimit
from optode.rule.from_spec import parse_pairs
from optode.spec.expression import FUNCTIONS, Scope
from optode.spec.reader import Spec


def given_limit(spec: Spec) -> ContinuousLimit:
    """A model written down as an ODE: its equations in f(t, ...) are taken as they stand.

    Raises SpecError with all errors of the expressions.
    """
    reporter = Reporter()
    states = tuple(symbol(s.text) for s in spec.states)
    learned = spec.model.parameters if spec.model else ()
    names = [*(p.name.text for p in spec.parameters), *(p.name.text for p in learned)]
    symbols = {name: symbol(name) for name in (str(TIME), *map(str, states), *names)}
    scope = Scope(symbols, {}, {**FUNCTIONS, "f": (field_call, None), "grad": (Gradient, 1)}, None)
    pairs = [(a.target, a.expression) for a in spec.assignments]
    parsed = {name.name: value for name, value in parse_pairs(pairs, scope, reporter)}
    reporter.raise_if_any()
    numbers = {len(call.args) for value in parsed.values() for call in value.atoms(Field)}
    if len(numbers) > 1:
        message = "f is called with different numbers of arguments"
        for assignment in spec.assignments:
            if parsed[assignment.target.text].has(Field):
                reporter.error("E304", message, assignment.expression.span)
    reporter.raise_if_any()
    equations = [present(parsed[state.name]) for state in states]
    starts = (symbol(f"{states[0]}0"), *(sp.S.Zero for _ in states[1:]))
    return ContinuousLimit(
        name=spec.name.text,
        states=states,
        equations=tuple(equations),
        initial=starts,
        singular_times=singular_times(equations),
    )
